"""`rarrl eval skills`, `train skills`, `profile record-skills`: a robot that is not ours, with and without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import RayOption, WorkersOption, check_output, command_line, guarded, progress
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.cli.orchestrator import JsonOption, SeedOption


@guarded("nothing was written; start again")
def eval_skills(
    n: Annotated[int, typer.Option("--n", min=1, help="Test seeds of each goal and variant.")] = 30,
    goals: Annotated[str, typer.Option(help="Goals, 1 to 4; commas between.")] = "1,2,3,4",
    variants: Annotated[
        str, typer.Option(help="plain, hidden, vague, doors, battery, failures, told; commas between.")
    ] = "plain,hidden,vague,doors,battery,failures,told",
    workers: WorkersOption = 1,
    ray: RayOption = "",
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Play pyrobosim's missions: what thinking adds over the re-planner that costs nothing."""
    from rarrl.cli.results import print_results
    from rarrl_learning.skills.evaluate import eval_skills as evaluate
    from rarrl_learning.skills.evaluate import shipped_policies, tuned_rules
    from rarrl_learning.spread import crew

    check_output(json, "--json")
    with crew(workers, ray) as pool, progress("playing missions", 1.0) as update:
        results = evaluate(
            shipped_policies(),
            n=n,
            goals=tuple(int(goal) for goal in goals.split(",")),
            variants=tuple(variant.strip() for variant in variants.split(",")),
            pool=pool,
            seed=seed,
            json_path=json,
            command=command_line(),
            tuned=tuned_rules(),
            progress=lambda what, share: update(share, what),
        )
    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")


@guarded("answers that were given are kept; the same command goes on")
def record_skills(
    llm: Annotated[str, typer.Option(help="The model to ask, such as llama:FILE.gguf.")],
    llm_option: LlmSettings = None,
    test: Annotated[
        bool, typer.Option("--test", help="The sentences of test missions; else those of training missions.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where the answers go; default: the shipped file.")] = None,
) -> None:
    """Ask a model about every sentence of pyrobosim's missions, once, and keep what it says and takes."""
    from rarrl.build import make_reasoner
    from rarrl_learning.skills.evaluate import ANSWERS, sentences
    from rarrl_learning.skills.recorded_answers import LEVELS, record
    from rarrl_learning.skills.trials import domain

    reasoner = make_reasoner(llm, settings=language_model_settings(llm_option))
    try:
        questions = [(sentence, level) for level in LEVELS for sentence in sentences(test)]
        answers = record(reasoner, Path(llm.partition(":")[2]).stem or llm, domain(), questions, out or ANSWERS)
    finally:
        reasoner.close()
    typer.echo(f"answers: {out or ANSWERS} ({len(answers.entries)})")


@guarded("nothing was written; start again")
def train_skills(
    n: Annotated[int, typer.Option("--n", min=1, help="Training seeds of each goal and variant.")] = 2,
    workers: WorkersOption = 1,
    ray: RayOption = "",
    out: Annotated[Path | None, typer.Option(help="Folder; default: where `eval skills` looks.")] = None,
) -> None:
    """Tune the rules for pyrobosim's missions, and fit when to ask; on training missions and their sentences alone."""
    from rarrl_learning.skills.evaluate import ANSWERS
    from rarrl_learning.skills.train import train_skills as train
    from rarrl_learning.spread import crew

    with crew(workers, ray) as pool, progress("training", 1.0) as update:
        card = train(n, pool, out or ANSWERS.parent, command_line(), lambda what, share: update(share, what))
    for name, value in card["metrics"].items():
        typer.echo(f"{name}: {value:.4f}")
