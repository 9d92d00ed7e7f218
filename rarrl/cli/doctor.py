"""`rarrl doctor`."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from rarrl.cli.common import console, guarded


@guarded()
def doctor() -> None:
    """Say what is there, what is missing, and what therefore runs here."""
    from rarrl.doctor import diagnose

    marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
    grid = Table.grid(padding=(0, 2))
    checks = diagnose(Path.cwd())
    for check in checks:
        grid.add_row(marks[check.status], escape(check.name), escape(check.detail))
        if check.fix:
            grid.add_row("", "", escape(f"-> {check.fix}"))
    console().print(grid)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
