"""Train action policies and compare their two runtimes: the functions behind `rarrl train policy...`.

Nothing here prints, so that a notebook can call it. All of them need torch (extra `train`) and run it on one thread
unless told otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import read_file, sha256
from rarrl.policy.base import Observation
from rarrl.policy.relevance import FILE as RELEVANCE
from rarrl.policy.relevance import load_relevance
from rarrl.policy.serve import GGUF
from rarrl.results import Figure, machine, versions

from ..progress import Progress
from .demonstrations import Demonstrations, load_demonstrations

NEEDS_TORCH = "training needs torch: pip install 'rarrl[train]'"


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
    progress: Progress | None = None,
    start: Path | None = None,
) -> dict[str, Any]:
    """Trains a policy on demonstrations by behaviour cloning, and writes it as a policy folder.

    Where `out` holds a checkpoint, training goes on from there, with the spec of the checkpoint.

    Args:
        data: Folders of demonstrations; see `load_demonstrations`.
        out: Folder of the checkpoint, and of the policy in the end.
        steps: Optimizer steps, those of the checkpoint included.
        batch: Frames in a step.
        layers: Blocks of the transformer.
        weights: How often a task is drawn, by its name; 1 where a task is not named.
        threads: Of torch.
        seed: Of the weights and the batches.
        command: What the card names as its origin.
        progress: Called with the number of steps that are done, and the running loss as text.
        start: Folder of a policy whose weights a new run begins with, its words by their name; None: random ones.

    Returns: The card; its `metrics` hold `loss` and `validation_l1`, both mean L1 in the network's units.

    Raises:
        InputError: For demonstrations or a checkpoint that do not fit, or wrong numbers.
        DependencyMissingError: Without torch.
    """
    try:
        import torch

        from . import train
    except ImportError:
        raise DependencyMissingError(NEEDS_TORCH) from None
    from .export import export_policy
    from .model import adopted, load_model

    torch.set_num_threads(threads)
    demonstrations = load_demonstrations(data)
    settings = train.TrainSettings(steps=steps, batch=batch, weights=weights or {})

    checkpoint = out / train.STATE
    if checkpoint.exists():
        spec = train.load_average(checkpoint).spec
    else:
        spec = train.make_spec(demonstrations, layers=layers)

    known = adopted(load_model(start), spec) if start is not None else None
    model, losses = train.fit_policy(demonstrations, spec, out, settings, seed, progress, known)

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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a policy further, so that it can do with fewer image patches and fewer blocks.

    Patches are dropped by relevance, and the actions after every block are trained too (early exits).

    Args:
        policy: Folder of the policy to begin with.
        data: Folders of demonstrations.
        out: Folder of the checkpoint, and in the end of the policy, with its scorer of patches.
        steps: Optimizer steps, those of a checkpoint in `out` included.
        weights: How often a task is drawn, by its name; 1 where a task is not named.
        seed: Of the scorer and the batches.
        command: What the card names as its origin, after the commands of `policy`.
        progress: Called with the number of steps that are done, and the running loss as text.

    Returns: The card; see `train_policy`.

    Raises:
        InputError: For a policy, demonstrations or a checkpoint that do not fit.
        DependencyMissingError: Without torch.
    """
    try:
        import torch

        from . import train
        from .model import load_model
    except ImportError:
        raise DependencyMissingError(NEEDS_TORCH) from None
    from .export import export_policy

    torch.set_num_threads(1)
    demonstrations = load_demonstrations(data)
    start = load_model(policy)

    relevance = train.train_relevance(start, demonstrations, seed=seed)
    settings = train.speed_settings(start.spec, steps, weights or {})
    model, losses = train.fit_policy(demonstrations, start.spec, out, settings, seed, progress, start, relevance)

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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Distils a policy into a transformer of fewer blocks, and writes it as `<name>.gguf` into the policy's folder.

    Args:
        policy: Folder of the policy. Its scorer of patches is learned here where `train_policy_speed` made none; the
            policy itself stays as it is.
        data: Folders of demonstrations.
        name: Letters, digits, - and _; not the name of the policy's own file.
        blocks: Of the student's transformer; fewer than the policy has.
        steps: Optimizer steps.
        samples: Frames that the policy is asked about before training; about 16 kB of memory each.
        weights: How often a task is drawn, by its name; 1 where a task is not named.
        seed: Of the samples and the batches.
        command: What the card names as the student's origin.
        progress: Called with the share of the work that is done, 0 to 1, and a text.

    Returns: What the policy's card says of the student; `metrics` hold `loss` and `validation_l1`, mean L1 from the
        policy's actions.

    Raises:
        InputError: For another name or number of blocks.
        DependencyMissingError: Without torch.
    """
    try:
        import torch

        from . import student, train
        from .model import load_model
    except ImportError:
        raise DependencyMissingError(NEEDS_TORCH) from None
    from .export import export_relevance, export_student

    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or f"{name}.gguf" == GGUF:
        raise InputError(f"name: allowed are letters, digits, - and _, and not the policy's own file; got {name!r}")

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    demonstrations = load_demonstrations(data)
    teacher = load_model(policy)

    if not (policy / RELEVANCE).exists():
        export_relevance(train.train_relevance(teacher, demonstrations, seed=seed), policy)
    relevance = load_relevance(policy, teacher.spec)
    settings = student.student_settings(teacher, steps, dict(weights or {}))
    model, losses = student.fit_student(teacher, relevance, demonstrations, settings, blocks, samples, seed, progress)

    facts = {
        "blocks": blocks,
        "teacher_sha256": sha256(read_file(policy / GGUF, "policy")),
        **_provenance(command, seed, demonstrations, steps * settings.batch, losses),
    }
    export_student(model, policy, f"{name}.gguf", facts)
    return facts


def parity_of(folder: Path, observations: Sequence[Observation]) -> dict[str, Figure]:
    """Compares the actions of a policy folder in llama.cpp with those of the same weights in torch.

    Args:
        folder: The policy.
        observations: What both are given.

    Returns: `parity_f32` and `parity_f16`: the largest difference of an action, in the network's units (-1 to 1).

    Raises:
        InputError: Where the folder holds no policy.
        DependencyMissingError: Without torch.
    """
    try:
        from .model import load_model
        from .parity import parity
    except ImportError:
        raise DependencyMissingError("the comparison needs torch: pip install 'rarrl[train]'") from None

    return parity(load_model(folder), observations)


def _provenance(
    command: str | list[str], seed: int, data: Demonstrations, samples: int, metrics: dict[str, float]
) -> dict[str, Any]:
    """What a card says of how weights were made. samples: frames that were drawn, repetitions counted."""
    return {
        "command": command,
        "seed": seed,
        "data": {"frames": len(data.task), "sha256": data.digest},
        "samples": samples,
        "metrics": metrics,
        "machine": machine(),
        "versions": versions(),
    }
