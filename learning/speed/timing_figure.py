"""The picture of `rarrl bench timing`: how long each stage takes and how much it varies, and what that comes from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic

from .timing import ORDER

FORMATS = ("png", "svg", "pdf")
COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#b59a00", "#d55e00", "#cc79a7", "#c8c8c8")
"""Of the shares in ORDER: Okabe and Ito's set, and grey for what is left."""


def check_format(path: Path) -> str:
    """The format of a picture by its ending. Raises: InputError for another one."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        endings = ", ".join(f".{ending}" for ending in FORMATS)
        raise InputError(f"picture: {path} does not end in one of {endings}; choose one of them")
    return kind


def draw_timing(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws the table `timing` of the results into `path` (.png, .svg or .pdf), written whole or not at all.

    Raises: InputError for another ending, or a place that cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = check_format(path)
    parts = list(dict.fromkeys(row["part"] for row in rows))
    heights = [sum(row["part"] == part for row in rows) for part in parts]
    figure = Figure(figsize=(11.7, 1.6 + 0.36 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(parts), 2, width_ratios=(1.0, 1.5), height_ratios=heights)
    for number, part in enumerate(parts):
        mine = [row for row in rows if row["part"] == part]
        times, shares = (figure.add_subplot(grid[number, column]) for column in range(2))
        _draw_times(times, part, mine)
        _draw_shares(shares, mine)
        if not number:
            handles, names = shares.get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower right", ncols=len(names), frameon=False, fontsize=9)

    data = io.BytesIO()
    figure.savefig(data, format=kind)
    try:
        write_bytes_atomic(path, data.getvalue())
    except OSError as error:
        raise InputError(f"picture: cannot write {path} ({error.strerror}); choose another path") from None


def _draw_times(axes: Any, part: str, rows: Sequence[Mapping[str, Any]]) -> None:
    y = np.arange(len(rows))
    axes.barh(y, [row["mean_ms"] for row in rows], xerr=[row["sd_ms"] for row in rows], color="#9db8cc", capsize=2)
    for at, row in zip(y, rows, strict=True):
        end = row["mean_ms"] + row["sd_ms"]
        axes.text(end, at, f"  x {row['p99_over_p50']:.1f}", va="center", fontsize=8, color="#444444")
    axes.set_yticks(y, [row["stage"] for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.set_title(f"{part}: ms, mean and sd; x: p99 / p50", fontsize=9, loc="left")


def _draw_shares(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    y = np.arange(len(rows))
    left = np.zeros(len(rows))
    for cause, colour in zip(ORDER, COLOURS, strict=True):
        share = 100 * np.array([row["variance"][cause] for row in rows])
        axes.barh(y, share, left=left, color=colour, label=cause)
        left += share
    axes.set_yticks(y, [""] * len(rows))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_title("share of the variance, %", fontsize=9, loc="left")
