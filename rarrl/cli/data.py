"""`rarrl profile ...` and `rarrl alfred ...`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rarrl.cli.common import check_output, command_line, console, guarded, table

if TYPE_CHECKING:
    from rarrl.latency.commands import ProfileRow

SHOWN = 10  # rows that were left out


@guarded()
def profile_show(
    profile: Annotated[str, typer.Argument(help="Name of a shipped profile, or path of a profile file.")],
    picture: Annotated[Path | None, typer.Option(help="Draw it into this .png, .svg or .pdf.")] = None,
) -> None:
    """Show what a language model costs: seconds and tokens per role and level."""
    from rarrl.latency.commands import show_profile

    check_output(picture, "--picture")
    _print_profile(profile, show_profile(profile, picture))
    if picture is not None:
        console().print(f"picture: {picture}", markup=False)


@guarded()
def profile_import(
    csv: Annotated[Path, typer.Argument(help="A request log with llmperf's columns (docs/LATENCY_PROFILES.md).")],
    provider: Annotated[str, typer.Option(help="Which provider's requests to take, e.g. groq.")],
    size: Annotated[str, typer.Option(help="Which model size's requests to take, e.g. 70b.")],
    out: Annotated[Path, typer.Option(help="Where the profile goes (JSON).")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    model: Annotated[str, typer.Option(help="For the header: the model's name.")] = "",
    hardware: Annotated[str, typer.Option(help="For the header: what it ran on.")] = "not known",
    date: Annotated[str, typer.Option(help="For the header: when it was measured.")] = "unknown",
    source: Annotated[str, typer.Option(help="For the header: where the log is from.")] = "",
    licence: Annotated[str, typer.Option(help="For the header: the log's licence.")] = "unknown",
) -> None:
    """Turn a log of requests to a language model into a latency profile."""
    from rarrl.latency.commands import import_profile, profile_rows
    from rarrl.latency.import_logs import Origin

    check_output(out, "--out")
    origin = Origin(model, hardware, date, source, licence, command_line())
    result = import_profile(csv, provider, size, out, seed, origin)
    _print_left_out("rows", result.skipped)
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _print_profile(str(out), profile_rows(result.profile))


@guarded()
def alfred_statistics(
    folder: Annotated[Path, typer.Argument(help="ALFRED's json_2.1.0 folder, or one with alfred_<split>.jsonl.gz.")],
    out: Annotated[Path, typer.Option(help="Where the statistics go.")] = Path("alfred_statistics.json"),
    split: Annotated[str | None, typer.Option(help="Which split to count; train where there is one.")] = None,
) -> None:
    """Count ALFRED's plans: sub-goals per task type, steps per sub-goal."""
    from rarrl.latency.commands import alfred_statistics_command

    check_output(out, "--out")
    data, statistics = alfred_statistics_command(folder, out, split)
    _print_left_out("entries", data.skipped)
    rows = [(name, f"{count}") for name, count in sorted(statistics.task_counts().items())]
    console().print(table(f"{len(data.plans)} plans of split {data.split}", ("task type", "plans"), rows))
    console().print(f"statistics: {out}", markup=False)


def _print_profile(name: str, rows: Sequence[ProfileRow]) -> None:
    head = ("call", "n", "answered", "mean s", "50 % s", "95 % s", "99 % s", "tokens")
    console().print(
        table(
            f"Latency profile {name}",
            head,
            [
                (
                    f"{row.role}, level {row.level}",
                    f"{row.n}",
                    f"{100 * row.ok_rate:.1f} %",
                    *(f"{value:.2f}" for value in (row.mean_s, row.p50_s, row.p95_s, row.p99_s)),
                    f"{row.mean_tokens:.0f}",
                )
                for row in rows
            ],
        )
    )


def _print_left_out(what: str, skipped: Sequence[str]) -> None:
    if skipped:
        typer.echo(f"{len(skipped)} {what} left out:", err=True)
        for line in skipped[:SHOWN]:
            typer.echo(f"  {line}", err=True)
        if len(skipped) > SHOWN:
            typer.echo(f"  and {len(skipped) - SHOWN} more", err=True)
