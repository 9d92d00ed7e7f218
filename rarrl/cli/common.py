"""What the commands share: errors in one line, progress, run folders, tables."""

from __future__ import annotations

import functools
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.secrets import hide_secrets

P = ParamSpec("P")
R = TypeVar("R")
LOG_EVERY_S = 10.0
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes; with --ray local: its workers, one a core by default.")
]
RayOption = Annotated[
    str,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread it over a Ray cluster: local (this machine), auto or HOST:PORT (one that this machine joined).",
    ),
]
Update = Callable[[float, str], None]


def guarded(resume: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turns a command's errors into one line on stderr and an exit status: 2 for bad input, 1 for a failure, 130 for
    Ctrl-C. `resume`: what an interrupted command's user should know."""

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
            try:
                return command(*args, **kwargs)
            except (InputError, DependencyMissingError) as error:
                _say_error(error)
                raise typer.Exit(2) from None
            except RarrlError as error:
                _say_error(error)
                raise typer.Exit(1) from None
            except KeyboardInterrupt:
                typer.echo(f"interrupted{'; ' + resume if resume else ''}", err=True)
                raise typer.Exit(130) from None

        return run

    return decorate


def _say_error(error: Exception) -> None:
    typer.echo("error: " + hide_secrets(" ".join(str(error).split())), err=True)


def console() -> Console:
    """Where results go."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def command_line() -> str:
    """The command as it was typed, for the record in a file; without secrets that somebody typed into a URL."""
    return hide_secrets(shlex.join(["rarrl", *sys.argv[1:]]))


def new_run_folder(out: Path | None) -> Path:
    """`out`, else a new `runs/<time>` here. The folder is made.

    Raises: InputError where it cannot be, or `out` is a file or not empty."""
    folder = out or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        if out is None and folder.exists():
            folder = folder.with_name(f"{folder.name}_{os.getpid()}")
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"out: {folder} is not empty; name a new folder")
    except OSError as error:
        raise InputError(f"out: {folder} cannot be made ({error.strerror}); name another folder with --out") from None
    return folder


def check_output(path: Path | None, option: str) -> None:
    """Refuses a place that cannot hold a file, before hours are spent on its contents.

    Raises: InputError."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option}: {path} is a folder; give the path of a file")
    place = path.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"{option}: {path} cannot be written ({place} is no folder of yours); name another path")


@contextmanager
def progress(what: str, total: float) -> Iterator[Update]:
    """A progress bar on a terminal, else a line every ten seconds; call the result with (done, text)."""
    if sys.stderr.isatty():
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("[dim]{task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        with bar:
            task = bar.add_task(escape(what), total=total, text="")
            yield lambda done, text: bar.update(task, completed=done, text=escape(text))
        return
    last = time.monotonic()

    def log(done: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_EVERY_S:
            last = time.monotonic()
            typer.echo(f"{what}: {100 * done / max(total, 1e-9):.0f} % {text}", err=True)

    yield log


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    result = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD)
    for index, name in enumerate(head):
        result.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*(escape(cell) for cell in row))
    return result
