"""Behind `rarrl train planner` and `rarrl eval planner`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rarrl.alfred import AlfredData, AlfredPlan, is_development, read_alfred
from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import sha256, write_json_atomic
from rarrl.reasoner.base import Reasoner
from rarrl.results import Figure, machine, make_results, versions, write_results

from .evaluate import Bootstrap, evaluate, items
from .injection import injection_figures
from .lessons import FIELDS, Lesson, fields, lessons

MODEL = "planner.gguf"  # in the folder that training writes
DATA = "ALFRED json_2.1.0, split train, without its development plans (MIT, (c) 2019 ALFRED)"
Update = Callable[[float, str], None]


def train_planner(
    alfred: Path,
    steps: int,
    seed: int,
    out: Path,
    command: str,
    update: Update,
    batch_tokens: int = 4_096,
    device: str = "cpu",
) -> dict[str, Any]:
    """Trains on the train split, writes `planner.gguf` and `card.json` into `out`; returns the card.

    Raises: InputError; DependencyMissingError without the extra [train]."""
    try:
        from .export import export_gguf
        from .train import TrainConfig
        from .train import train_planner as train
    except ImportError as error:
        raise DependencyMissingError(f"training needs {error.name}; pip install 'rarrl[train]'") from None

    data = read_alfred(alfred, "train")
    pupils, held = taught_and_held(data.plans)
    if not pupils or not held:
        raise InputError(f"ALFRED: {alfred}: too few annotated plans to learn from; download the data set again")

    def on_step(step: int, figures: dict[str, float]) -> None:
        update(step, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))

    config = TrainConfig(seed=seed, steps=steps, batch_tokens=batch_tokens)
    trained = train(pupils, held, config, out, on_step, device=device)
    export_gguf(out / MODEL, trained.shape, trained.tokenizer, trained.weights)
    content = (out / MODEL).read_bytes()
    card = {
        "what": "planner and verifier: a small Llama over the format of rarrl.reasoner.prompt, Q8_0",
        "command": command,
        "seed": seed,
        "data": DATA,
        "data_sha256": data.sha256,
        "parameters": sum(weight.size for weight in trained.weights.values()),
        "bytes": len(content),
        "metrics": {name: round(value, 4) for name, value in trained.figures.items()},
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "files": {MODEL: sha256(content)},
    }
    write_json_atomic(out / "card.json", card)

    return card


def taught_and_held(plans: Sequence[AlfredPlan]) -> tuple[list[Lesson], list[Lesson]]:
    """The lessons of the train split to learn from, and those of its development plans; each with doubts."""
    from .tfidf_baseline import with_doubts

    taught, held = ([plan for plan in plans if is_development(plan) is kept_out] for kept_out in (False, True))
    return with_doubts(lessons(taught)), with_doubts(lessons(held))


def eval_planner(
    reasoner: Reasoner, alfred: Path, split: str, seed: int, json: Path | None, command: str, update: Update
) -> dict[str, Any]:
    """Figures of `rarrl_learning.reasoner.evaluate.evaluate` and of the tf-idf baseline, as a results document."""
    data = read_alfred(alfred, split)
    train = read_alfred(alfred, "train").plans
    figures, tables = evaluate(
        reasoner, data, seed, lambda done, total: update(done / total, f"{done} of {total}"), train
    )
    figures |= baseline_figures(train, data, seed)
    attacks, attack_tables = injection_figures(getattr(reasoner, "backend", reasoner))
    figures = figures | attacks
    tables = tables | attack_tables
    tables |= {"model": reasoner.name, "data": {"split": data.split, "sha256": data.sha256, "plans": len(data.plans)}}
    results = make_results(command, seed, figures, tables)
    if json is not None:
        write_results(json, results)
    return results


def baseline_figures(train: Sequence[AlfredPlan], data: AlfredData, seed: int) -> dict[str, Figure]:
    """The tf-idf baseline's, fitted on all annotations of `train`; it writes no plans.

    Raises: DependencyMissingError without scikit-learn."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise DependencyMissingError("the baseline needs scikit-learn; pip install 'rarrl[eval]'") from None

    from .tfidf_baseline import TfidfBaseline, field_hits

    known = [(a.goal, fields(p.task_type, p.parameters)) for p in train if p.parameters for a in p.annotations]
    asked = items(data, seed)
    model = TfidfBaseline([goal for goal, _ in known], [target for _, target in known])
    hits = field_hits([item.goal for item in asked], [item.target for item in asked], model)
    spread = Bootstrap([item.cluster for item in asked], seed)
    figures = {f"tfidf_{name}_accuracy": spread.mean(hits[:, i]) for i, name in enumerate(FIELDS)}

    return figures | {"tfidf_all_parameters_accuracy": spread.mean(hits.min(axis=1))}
