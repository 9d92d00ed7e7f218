"""`rarrl train planner`, `eval planner` and `bench planner`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import check_output, command_line, guarded, progress
from rarrl.cli.language_model import LlmSettings, language_model_settings
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import InputError

AlfredOption = Annotated[Path, typer.Option("--alfred", help="Folder of the ALFRED data set.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, max=64, help="Threads of llama.cpp.")]


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
    llm_option: LlmSettings = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Judge plans and verdicts on ALFRED's annotations, from the goal sentences alone (minutes)."""
    from rarrl.build import make_reasoner
    from rarrl.cli.results import print_results
    from rarrl_learning.reasoner import jobs

    check_output(json, "--json")
    settings = language_model_settings(llm_option, llm)
    reasoner = make_reasoner(llm, settings=settings)
    try:
        with progress("asking", 1.0) as update:
            results = jobs.eval_planner(
                reasoner, alfred, split, seed, json, command_line(), update, settings.call_timeout_s
            )
    finally:
        reasoner.close()
    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")


@guarded("nothing was written; start again")
def bench_planner(
    llm: Annotated[str, typer.Option("--llm", help="llama (the shipped model) or llama:PATH.gguf.")] = "llama",
    threads: ThreadsOption = None,
    trials: Annotated[int, typer.Option(min=1, help="Repetitions of each measurement; 5 take some five minutes.")] = 5,
    alfred: Annotated[
        Path | None, typer.Option(help="ALFRED: its expert plans are the control of the checker.")
    ] = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """Measure speed, deadlines under load, restart after a kill, and the plan checker (faults: `rarrl faults run`)."""
    from rarrl.build import llama_file
    from rarrl.cli.results import print_results
    from rarrl.results import make_results, write_results
    from rarrl_learning.reasoner.benchmark import bench_planner as measure
    from rarrl_learning.reasoner.benchmark import false_refusal_figures

    check_output(json, "--json")
    steps = 0
    with progress("measuring", 5) as update:

        def say(text: str) -> None:
            nonlocal steps
            steps += 1
            update(min(steps, 4), text)

        figures, tables = measure(llama_file(llm), threads or 1, trials, seed, say)
        if alfred is not None:
            more, tables["false_refusals"] = false_refusal_figures(alfred)
            figures |= more
    results = make_results(command_line(), seed, figures, tables)
    if json is not None:
        write_results(json, results)
    print_results(results)
    if json is not None:
        typer.echo(f"figures: {json}")
