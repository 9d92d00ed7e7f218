"""`rarrl doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rarrl.cli.common import console, guarded

if TYPE_CHECKING:
    from rarrl.doctor import Check


@guarded()
def doctor(
    config: Annotated[Path | None, typer.Option("--config", help="Check this settings file (YAML), too.")] = None,
) -> None:
    """Say what is there, what is missing or broken, and what therefore runs here. Exit status 1: something failed."""
    from rarrl.doctor import as_text, diagnose

    checks = diagnose(Path.cwd())
    if config is not None:
        checks = (_settings(config), *checks)
    if sys.stdout.isatty():
        console().print(_table(checks))
    else:  # a finding a line, for grep and for reports
        typer.echo(as_text(checks))
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _table(checks: tuple[Check, ...]) -> Table:
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column()
    grid.add_column(overflow="fold")  # a path is of use whole
    for check in checks:
        grid.add_row(marks[check.status], escape(check.name), escape(check.detail))
        if check.fix:
            grid.add_row("", "", escape(f"-> {check.fix}"))
    return grid


def _settings(path: Path) -> Check:
    """Whether rarrl takes a settings file as it is."""
    from rarrl.config import load_config
    from rarrl.doctor import Check, Status
    from rarrl.errors import InputError

    try:
        load_config(path)
    except InputError as error:
        return Check("settings", Status.FAIL, " ".join(str(error).split()), "all settings: config/default.yaml")
    return Check("settings", Status.OK, str(path))
