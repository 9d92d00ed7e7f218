"""`rarrl bench timing`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from rarrl.cli.common import check_output, command_line, console, guarded, progress, table
from rarrl.cli.orchestrator import JsonOption, SeedOption
from rarrl.errors import DependencyMissingError


@guarded("nothing was written; start again")
def bench_timing(
    repetitions: Annotated[int, typer.Option("--rounds", min=2, help="Repetitions of each combination.")] = 5,
    scenes: Annotated[int, typer.Option(min=2, help="Rendered rooms, and observations of the policy.")] = 4,
    policy: Annotated[
        str, typer.Option(help="The policy: a folder, or a shipped one by name; none: only see and gate.")
    ] = "",
    seed: SeedOption = 0,
    json: JsonOption = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="A picture of it (.png, .svg or .pdf).")
    ] = None,
) -> None:
    """Show where each stage's milliseconds vary: data, I/O, model, runtime, hardware, end to end (arXiv 2209.05487)."""
    from rarrl.resources.threads import cores
    from rarrl.results import Figure, make_results, write_results
    from rarrl_learning.progress import counted
    from rarrl_learning.speed.measure import rendered_rooms
    from rarrl_learning.speed.timing import (
        busy_processes,
        detector_times,
        policy_times,
        spreads,
        thread_counts,
        timing_figures,
    )
    from rarrl_learning.speed.timing_figure import check_format, draw_timing

    check_output(json, "--json")
    check_output(png, "--png")
    if png is not None:
        check_format(png)
    threads = thread_counts()
    figures: dict[str, Figure] = {}
    rows, left_out = [], []
    with tempfile.TemporaryDirectory() as place, busy_processes(cores()) as work:
        with progress("detector", scenes * 2 * 3 * len(threads) * 2 * (repetitions + 1)) as update:
            rooms = rendered_rooms(640, 480, scenes, seed)
            times = detector_times(rooms, threads, repetitions, seed, Path(place), work, counted(update))
        found = {"detector": spreads(times)}
        if policy != "none":
            try:
                with progress("policy", scenes * 2 * 2 * len(threads) * 2 * (repetitions + 1)) as update:
                    report = counted(update)
                    times = policy_times(policy, scenes, threads, repetitions, seed, Path(place), work, report)
                found["policy"] = spreads(times)
            except DependencyMissingError as error:
                if policy:
                    raise
                left_out.append(f"policy: {error}")

    for part, of_part in found.items():
        more, stages = timing_figures(part, of_part)
        figures |= more
        rows += stages
    tables = {"timing": rows, "threads": threads, "busy_processes": cores(), "left_out": left_out}
    results = make_results(command_line(), seed, figures, tables)
    _print(rows)
    for line in left_out:
        typer.echo(f"left out: {line}")
    if json is not None:
        write_results(json, results)
        typer.echo(f"figures: {json}")
    if png is not None:
        draw_timing(rows, png)
        typer.echo(f"picture: {png}")


def _print(rows: list[dict[str, Any]]) -> None:
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        causes = list(mine[0]["variance"])
        cells = [
            (
                row["stage"],
                f"{row['mean_ms']:.2f}",
                f"{row['sd_ms']:.2f}",
                f"{row['p99_over_p50']:.1f}",
                *(f"{100 * row['variance'][cause]:.0f}" for cause in causes),
            )
            for row in mine
        ]
        title = f"{part.capitalize()}: milliseconds by stage, and what their variance comes from (%)"
        console().print(table(title, ("stage", "ms", "sd", "p99/p50", *causes), cells))
