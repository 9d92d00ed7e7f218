"""Tables in the picture: of the missions that were rendered, and of many more."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rarrl.report.figure import FAINT, INK, MAX_POLICIES, POLICY_STYLES

from .mission_table import HEAD, NOTE, Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.3
"""Inches: height of a row."""
_TEXT = 0.19  # inches: a line of text
_CHARS = 165  # of a line of text, at 9.5 points on the page's width
# Right edges of the columns of HEAD (left edge of the first), share of the width.
_COLUMNS = (0.0, 0.25, 0.36, 0.5, 0.65, 0.74, 0.83, 0.91, 1.0)


def draw_rows(
    axes: Axes, head: Sequence[str], columns: Sequence[float], rows: Sequence[Sequence[str]], top: float = 0.0
) -> None:
    """Draws a table into axes whose unit, downwards, is LINE, from `top` on. columns: right edges (left edge of the
    first), share of the width."""
    for index, cells in enumerate([head, *rows]):
        y = top + index
        if index:
            colour, marker = POLICY_STYLES[(index - 1) % MAX_POLICIES]
            axes.plot([0, 1], [y, y], color="#dddddd", linewidth=0.8, zorder=1)
            axes.plot(0.006, y + 0.5, marker, color=colour)
        for column, (x, cell) in enumerate(zip(columns, cells, strict=True)):
            axes.text(
                x + 0.02 * (not column), y + 0.5, cell if len(cell) <= 30 else f"{cell[:29]}\u2026", fontsize=10,
                va="center", ha="right" if column else "left", weight="normal" if index and column else "bold",
                color=INK if index else FAINT,
            )  # fmt: skip


def blank(axes: Axes, lines: float) -> None:
    """Makes axes for `draw_rows`, with room for so many lines."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(lines, 0)


def lines_of(blocks: Sequence[Block]) -> float:
    """Height of `draw_blocks`, in rows of LINE."""
    return sum(_lines(block) for block in blocks) + (1.0 if blocks else 0.0)


def draw_blocks(axes: Axes, blocks: Sequence[Block]) -> None:
    """The table of many missions: by language model its title, a row for each policy, and what they mean."""
    blank(axes, lines_of(blocks))
    y = 0.0
    for block in blocks:
        rows = [row.cells() for row in block.rows()]
        axes.text(0, y + 0.6, block.title, fontsize=11.5, weight="bold", color=INK, va="center")
        draw_rows(axes, HEAD, _COLUMNS, rows, y + 1.0)
        for index, text in enumerate(_wrapped(block)):
            place = y + 2.0 + len(rows) + (index + 0.9) * _TEXT / LINE
            axes.text(0, place, text, fontsize=9.5, color=INK, va="center")
        y += _lines(block)
    axes.text(0, y + 0.4, NOTE, fontsize=9, color=FAINT, va="center")


def _wrapped(block: Block) -> list[str]:
    return textwrap.wrap(block.meaning(), _CHARS)


def _lines(block: Block) -> float:
    return 2.0 + len(block.results) + len(_wrapped(block)) * _TEXT / LINE + 0.9
