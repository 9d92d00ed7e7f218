"""`rarrl sweep orchestrator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import RayOption, WorkersOption, check_output, command_line, console, guarded, progress, table
from rarrl.cli.orchestrator import AlfredOption, SplitOption
from rarrl.errors import InputError


@guarded("cells that are over stay; the same command goes on with the others")
def sweep_orchestrator(
    out: Annotated[Path, typer.Option(help="Gets a folder for each cell, and sweep.json.")],
    seeds: Annotated[str, typer.Option(help="Commas between; 0-4 is five of them.")] = "0",
    budgets: Annotated[
        str, typer.Option(help="Mean planner calls that a task may cost; commas between, or any.")
    ] = "any",
    profiles: Annotated[str, typer.Option(help="Latency profiles, each for itself; commas between, or any.")] = "any",
    prices: Annotated[
        str, typer.Option(help="Points of success that a mean planner call costs; commas between, or any.")
    ] = "any",
    steps: Annotated[int, typer.Option(min=1, help="Decisions that each cell learns from.")] = 8_000_000,
    alfred: AlfredOption = None,
    split: SplitOption = None,
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="How often each plan is played.")] = 1,
    workers: WorkersOption = 1,
    ray: RayOption = "",
) -> None:
    """Train the orchestrator in every cell of a grid, and hold the cells against one another.

    Each cell is played on episodes of its own budget and price that none was trained on. Cells that are done are
    skipped: add values to go on, or start the same command again where it was interrupted."""
    from rarrl_learning.orchestrator.sweep import COLUMNS, RESULTS, grid, run_sweep
    from rarrl_learning.spread import crew

    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; give a folder")
    check_output(out / RESULTS, "--out")
    cells = grid(
        _seeds(seeds),
        _numbers(budgets, "--budgets"),
        _words(profiles, "--profiles"),
        _numbers(prices, "--prices"),
        steps,
    )
    with crew(workers, ray) as pool, progress("cells", len(cells)) as update:
        results = run_sweep(
            cells,
            out,
            pool,
            alfred=alfred,
            split=split,
            replicas=replicas,
            command=command_line(),
            progress=update,
        )
    rows = [
        (row["name"], f"{100 * row['success']:.1f} %", *(f"{row[column]:.3g}" for column in COLUMNS[1:]))
        for row in results["tables"]["cells"]
    ]
    console().print(table(f"{len(rows)} cells", ("cell", "success", "LLM seconds", "calls", "overruns"), rows))
    typer.echo(f"figures: {out / RESULTS}")


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InputError(f"{option}: names nothing; give values with commas between")
    return words


def _numbers(text: str, option: str) -> list[float | None]:
    try:
        return [None if word == "any" else float(word) for word in _words(text, option)]
    except ValueError:
        raise InputError(
            f"{option}: {text[:80]!r} is not allowed (allowed: numbers with commas between, or any)"
        ) from None


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    try:
        for word in _words(text, "--seeds"):
            first, _, last = word.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError:
        found = []
    if not found or len(found) > 10_000:
        raise InputError(
            f"--seeds: {text[:80]!r} is not allowed (allowed: whole numbers with commas, such as 0,1 or 0-4)"
        )
    return found
