"""The report of a run folder: `report.png` and a self-contained `report.html`, with `perception.png` if there is one.

matplotlib is imported only when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic, write_text_atomic
from rarrl.report.runs import Run, read_runs

PNG = "report.png"
HTML = "report.html"
PERCEPTION = "perception.png"
"""Names of the pictures and of the page in a run folder."""


@dataclass(frozen=True)
class Report:
    """The files that were written, and the runs that they show."""

    png: Path
    html: Path
    runs: tuple[Run, ...]


def write_report(folder: Path, order: Sequence[str] = (), notes: Sequence[str] = ()) -> Report:
    """Reads the runs in `folder` and writes report.png and report.html there.

    order: names of policies in the order to show them; the others follow. notes: lines under the table.

    Raises: InputError for bad or missing runs, or a folder that cannot be written."""
    from rarrl.report.figure import MAX_POLICIES, render
    from rarrl.report.page import page

    runs = read_runs(folder)
    ranks = {name: rank for rank, name in enumerate(order)}
    runs.sort(key=lambda run: ranks.get(run.policy, len(ranks)))

    if len(runs) > MAX_POLICIES:
        raise InputError(f"report: {folder} holds {len(runs)} runs; at most {MAX_POLICIES} fit into one picture")

    place = folder if folder.is_dir() else folder.parent
    picture = render(runs)
    try:
        seen = (place / PERCEPTION).read_bytes() if (place / PERCEPTION).is_file() else b""
        write_bytes_atomic(place / PNG, picture)
        write_text_atomic(place / HTML, page(runs, picture, notes, seen))
    except OSError as error:
        raise InputError(f"report: cannot write into {place} ({error.strerror}); copy the run elsewhere") from None

    return Report(place / PNG, place / HTML, tuple(runs))
