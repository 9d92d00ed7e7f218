"""`rarrl train planner` and `rarrl eval planner`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import InputError

AlfredOption = Annotated[Path, typer.Option("--alfred", help="Folder of the ALFRED data set.")]


@guarded("the same command goes on from the last checkpoint")
def train_planner(
    alfred: AlfredOption,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 4_000,
    batch_tokens: Annotated[int, typer.Option(min=1024, help="Tokens of a step, about.")] = 4_096,
    device: Annotated[str, typer.Option(help="cpu (one core) or cuda.")] = "cpu",
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option(help="Folder of checkpoints and result.")] = Path("runs/planner"),
) -> None:
    """Train the planner's language model on ALFRED. Interrupt it at will: the same command goes on."""
    from rarrl_learning.reasoner import jobs

    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; give a folder")
    check_output(out / "card.json", "--out")
    with progress("training", steps) as update:
        card = jobs.train_planner(alfred, steps, seed, out, command_line(), update, batch_tokens, device)
    typer.echo(f"model: {out / jobs.MODEL} ({card['bytes'] / 1e6:.1f} MB)")
    typer.echo(f"try it: rarrl eval planner --alfred {alfred} --split valid_seen --llm llama:{out / jobs.MODEL}")


@guarded("nothing was written; start again")
def eval_planner(
    alfred: AlfredOption,
    split: Annotated[str, typer.Option(help="Which split to judge on.")] = "valid_seen",
    llm: Annotated[str, typer.Option(help="Which model: llama is the shipped one; llama:PATH.gguf.")] = "llama",
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Judge plans and verdicts on ALFRED's annotations, from the goal sentences alone (minutes)."""
    from rarrl.build import make_reasoner
    from rarrl.cli.results import print_results
    from rarrl_learning.reasoner import jobs

    check_output(json, "--json")
    reasoner = make_reasoner(llm)
    try:
        with progress("asking", 1.0) as update:
            results = jobs.eval_planner(reasoner, alfred, split, seed, json, command_line(), update)
    finally:
        reasoner.close()
    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")
