"""What the command line does with policies: plain functions, no printing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import read_file, sha256
from rarrl.policy.base import Observation
from rarrl.policy.relevance import load_relevance
from rarrl.policy.serve import GGUF
from rarrl.results import Figure, machine, versions

from .demonstrations import Demonstrations, load_demonstrations

Say = Callable[[float, str], None]


def train_policy(
    data: Sequence[Path],
    out: Path,
    steps: int,
    batch: int = 32,
    layers: int = 3,
    weights: Mapping[str, float] | None = None,
    threads: int = 1,
    seed: int = 0,
    command: str = "rarrl train policy",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl train policy`: trains on the demonstrations below `data`, and writes a policy folder to `out`.

    Goes on where `out` holds a checkpoint; then its spec stays. Returns: the card. Raises: InputError."""
    try:
        import torch

        from . import train
    except ImportError:
        raise DependencyMissingError("training needs torch: pip install 'rarrl[train]'") from None

    from .export import export_policy

    torch.set_num_threads(threads)
    demonstrations = load_demonstrations(data)
    settings = train.TrainSettings(steps=steps, batch=batch, weights=weights or {})
    checkpoint = out / train.STATE
    if checkpoint.exists():
        spec = train.load_average(checkpoint).spec
    else:
        spec = train.make_spec(demonstrations, layers=layers)

    model, losses = train.train_policy(demonstrations, spec, out, settings, seed, progress)
    card = {
        "what": "a language-conditioned action policy: words, pictures and proprioception in, a chunk of actions out",
        **_provenance(command, seed, demonstrations, steps * batch, losses),
    }
    export_policy(model, out, card)

    return card


def train_policy_speed(
    policy: Path,
    data: Sequence[Path],
    out: Path,
    steps: int,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    command: str = "rarrl train policy-speed",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl train policy-speed`: goes on from `policy`, with patches dropped and with actions after each block, and
    writes a policy folder with the scorer of patches.

    Returns: the card. Raises: InputError."""
    try:
        import torch

        from . import train
        from .model import load_model
    except ImportError:
        raise DependencyMissingError("training needs torch: pip install 'rarrl[train]'") from None

    from .export import export_policy

    torch.set_num_threads(1)
    demonstrations = load_demonstrations(data)
    start = load_model(policy)
    relevance = train.train_relevance(start, demonstrations, seed=seed)
    settings = train.speed_settings(start.spec, steps, weights or {})
    model, losses = train.train_policy(demonstrations, start.spec, out, settings, seed, progress, start, relevance)
    before = json.loads((policy / "card.json").read_text())
    commands = [*np.atleast_1d(before.get("command", [])).tolist(), command]
    card = {
        **{key: before[key] for key in ("what", "history") if key in before},
        **_provenance(commands, seed, demonstrations, before.get("samples", 0) + steps * settings.batch, losses),
    }
    export_policy(model, out, card, relevance=relevance)

    return card


def train_policy_student(
    policy: Path,
    data: Sequence[Path],
    name: str,
    blocks: int,
    steps: int,
    samples: int,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    command: str = "rarrl train policy-student",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl train policy-student`: writes `<name>.gguf`, a transformer of fewer blocks, into the policy's folder.

    Returns: what the card tells of it. Raises: InputError."""
    try:
        import torch

        from . import student
        from .model import load_model
    except ImportError:
        raise DependencyMissingError("training needs torch: pip install 'rarrl[train]'") from None

    from .export import export_student

    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or f"{name}.gguf" == GGUF:
        raise InputError(f"name: allowed are letters, digits, - and _, and not the policy's own file; got {name!r}")

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    demonstrations = load_demonstrations(data)
    teacher = load_model(policy)
    relevance = load_relevance(policy, teacher.spec)
    settings = student.student_settings(teacher, steps, dict(weights or {}))
    model, losses = student.train_student(teacher, relevance, demonstrations, settings, blocks, samples, seed, progress)
    facts = {
        "blocks": blocks,
        "teacher_sha256": sha256(read_file(policy / GGUF, "policy")),
        **_provenance(command, seed, demonstrations, steps * settings.batch, losses),
    }
    export_student(model, policy, f"{name}.gguf", facts)

    return facts


def parity_of(folder: Path, observations: Sequence[Observation]) -> dict[str, Figure]:
    """`rarrl eval policy --parity`: see `parity`.

    Raises: InputError, DependencyMissingError."""
    try:
        from .model import load_model
        from .parity import parity
    except ImportError:
        raise DependencyMissingError("the comparison needs torch: pip install 'rarrl[train]'") from None

    return parity(load_model(folder), observations)


def _provenance(
    command: str | list[str], seed: int, data: Demonstrations, samples: int, metrics: dict[str, float]
) -> dict[str, Any]:
    """What a card tells of how weights were made."""
    return {
        "command": command,
        "seed": seed,
        "data": {"frames": len(data.task), "sha256": data.digest},
        "samples": samples,
        "metrics": metrics,
        "machine": machine(),
        "versions": versions(),
    }
