"""Train and evaluate the planner model: the functions behind `rarrl train planner` and `rarrl eval planner`.

Nothing here prints, so that a notebook can call it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rarrl.alfred import AlfredData, AlfredPlan, is_development, read_alfred
from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import sha256, write_json_atomic
from rarrl.reasoner.base import Reasoner
from rarrl.results import Figure, machine, make_results, versions, write_results
from rarrl.types import CALL_TIMEOUT_S

from ..progress import Progress
from .curriculum import FIELDS, AnnotatedPlan, annotated_plans, fields
from .evaluate import Bootstrap, evaluate, items
from .injection import injection_figures

MODEL = "planner.gguf"  # in the folder that training writes
DATA = "ALFRED json_2.1.0, split train, without its development plans (MIT, (c) 2019 ALFRED)"


def train_planner(
    alfred: Path,
    steps: int = 4_000,
    seed: int = 0,
    out: Path = Path("runs/planner"),
    command: str = "rarrl train planner",
    progress: Progress | None = None,
    batch_tokens: int = 4_096,
    device: str = "cpu",
) -> dict[str, Any]:
    """Trains the planner's language model on ALFRED's train split, and writes it as GGUF with its card.

    Where `out` holds a checkpoint of the same options, training goes on from there.

    Args:
        alfred: Folder of the ALFRED data set.
        steps: Optimizer steps.
        seed: Of the weights and the examples.
        out: Folder of the checkpoint, and in the end of `planner.gguf` and `card.json`.
        command: What the card names as its origin.
        progress: Called with the number of steps that are done, and running figures as text.
        batch_tokens: Tokens of a step, about.
        device: As torch names it: "cpu" or "cuda".

    Returns: The card; its `metrics` hold the loss, and the accuracy on development plans.

    Raises:
        InputError: For a data set without annotated plans, a checkpoint of other options, or a device that is not
            there.
        DependencyMissingError: Without the extra `train`.
    """
    try:
        from .export import export_gguf
        from .train import TrainConfig, fit_planner
    except ImportError as error:
        raise DependencyMissingError(f"training needs {error.name}; pip install 'rarrl[train]'") from None

    data = read_alfred(alfred, "train")
    training_set, development = training_and_development(data.plans)
    if not training_set or not development:
        raise InputError(f"ALFRED: {alfred}: too few annotated plans to learn from; download the data set again")

    def on_step(step: int, figures: dict[str, float]) -> None:
        if progress is not None:
            progress(step, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))

    config = TrainConfig(seed=seed, steps=steps, batch_tokens=batch_tokens)
    trained = fit_planner(training_set, development, config, out, on_step, device=device)
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


def training_and_development(plans: Sequence[AlfredPlan]) -> tuple[list[AnnotatedPlan], list[AnnotatedPlan]]:
    """The annotated plans of the train split to learn from, and its development plans, both with confusions."""
    from .tfidf_baseline import with_confusions

    taught, held = ([plan for plan in plans if is_development(plan) is kept_out] for kept_out in (False, True))
    return with_confusions(annotated_plans(taught)), with_confusions(annotated_plans(held))


def eval_planner(
    reasoner: Reasoner,
    alfred: Path,
    split: str = "valid_seen",
    seed: int = 0,
    json: Path | None = None,
    command: str = "rarrl eval planner",
    progress: Progress | None = None,
    deadline_s: float = CALL_TIMEOUT_S,
) -> dict[str, Any]:
    """Judges a reasoner's plans and verdicts on ALFRED's annotations, beside a tf-idf baseline and injection attacks.

    Args:
        reasoner: What is judged; see `rarrl.build.make_reasoner`.
        alfred: Folder of the ALFRED data set; its train split trains the baseline.
        split: Whose annotations to judge on.
        seed: Of the corrupted plans and of the bootstrap.
        json: File of the results document; None: it is not written.
        command: What the document names as its origin.
        progress: Called with the share of the annotations that are done, 0 to 1, and a text.
        deadline_s: Seconds that each call may take; quality is measured here, not time.

    Returns: The results document; see `evaluate` for its figures.

    Raises:
        InputError: For a data set without the split, or without goal parameters in it.
        DependencyMissingError: Without scikit-learn.
    """

    def on_item(done: int, total: int) -> None:
        if progress is not None:
            progress(done / total, f"{done} of {total}")

    data = read_alfred(alfred, split)
    train = read_alfred(alfred, "train").plans
    figures, tables = evaluate(reasoner, data, seed, on_item, train, deadline_s)
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
