"""The picture of household missions: one mission under every policy, from above and over time, and a table of all."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rarrl.report.figure import (
    BAD,
    DPI,
    FAINT,
    GOOD,
    INK,
    ROLE_COLOURS,
    SUBGOALS,
    WIDTH_IN,
)
from rarrl.report.runs import wilson
from rarrl.types import GateReason

from .mission_table import Block
from .table_picture import LINE, blank, draw_blocks, draw_rows, lines_of
from .trace import HomePlan, MissionResult, Trace, TracedDecision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOOR = "#dcdcdc"
SEEN = "#ffffff"
FURNITURE = "#c9b79c"
WALL = "#4d4d4d"
OCCUPIED = "#2b4c7e"
DOOR = "#8c510a"
STOP = "#d7191c"
LIMITED = "#fdb863"
_STRIP = 4.65  # inches from the left: where time begins
CELL_M = 0.1  # side of a cell that is drawn as seen occupied, metres
# The table's head.
HEAD = (
    "policy",
    "done",
    "95 % interval",
    "conditions met",
    "mission",
    "LLM",
    "tokens",
    "calls",
    "collisions",
    "gate stops",
)
CONDITIONS = (
    "Conditions met: the share of what the goal asks for that holds in the end, such as \u201cthe bowl is clean\u201d "
    "and \u201cthe bowl is in the fridge\u201d."
)
# Right edges of the table's columns (left edge of the first), share of its width.
_COLUMNS = (0.0, 0.25, 0.36, 0.49, 0.58, 0.66, 0.735, 0.8, 0.9, 1.0)
# Heights, inches.
_TOP = 1.0  # title
_ROW = 2.3  # one policy
_LEGEND = 0.95


@dataclass(frozen=True)
class Figures:
    """What a policy's missions came to. success and its 95 % Wilson interval, share (of the conditions met): 0 to 1;
    mission_s, llm_s, tokens, calls: means over n missions; collisions, gate_stops: sums."""

    policy: str
    n: int
    done: int
    low: float
    high: float
    share: float
    mission_s: float
    llm_s: float
    tokens: float
    calls: float
    collisions: int
    gate_stops: int

    def row(self) -> tuple[str, ...]:
        """The cells of the table, in the order of HEAD."""
        return (
            self.policy,
            f"{self.done} of {self.n}",
            f"{100 * self.low:.0f} to {100 * self.high:.0f} %",
            f"{100 * self.share:.0f} %",
            f"{self.mission_s:.0f} s",
            _seconds(self.llm_s),
            f"{self.tokens:,.0f}".replace(",", " "),
            f"{self.calls:.1f}",
            f"{self.collisions}",
            f"{self.gate_stops}",
        )


def figures_of(results: Sequence[MissionResult]) -> list[Figures]:
    """A row per policy, in the order in which they come."""
    rows = []
    for policy in dict.fromkeys(r.policy for r in results):
        own = [r for r in results if r.policy == policy]
        n = len(own)
        done = sum(r.success for r in own)
        means = {name: sum(getattr(r, name) for r in own) / n for name in ("share", "mission_s", "llm_s", "tokens")}
        rows.append(
            Figures(
                policy,
                n,
                done,
                *wilson(done, n),
                **means,
                calls=sum(r.calls for r in own) / n,
                collisions=sum(r.collisions for r in own),
                gate_stops=sum(r.gate_stops for r in own),
            )
        )

    return rows


def shown_seed(results: Sequence[MissionResult]) -> tuple[int, str]:
    """The mission that a report shows, and the rule that chose it: of those that every policy played, the first whose
    outcome differs between the policies; else the first with a call of the language model; else the first."""
    by_policy = {policy: {r.seed: r for r in results if r.policy == policy} for policy in {r.policy for r in results}}
    common = sorted(set.intersection(*(set(own) for own in by_policy.values())))
    if not common:
        return results[0].seed, "the first"

    for seed in common:
        if len({own[seed].success for own in by_policy.values()}) > 1:
            return seed, "the first whose outcome differs between the policies"
    for seed in common:
        if any(own[seed].calls for own in by_policy.values()):
            return seed, "the first with a call of the language model"
    return common[0], "the first"


def render(
    traces: Sequence[Trace],
    results: Sequence[MissionResult],
    kind: str = "png",
    with_table: bool = True,
    table: Sequence[Block] = (),
) -> bytes:
    """The picture as bytes of a file of `kind`. traces: of one mission, one per policy, at most `MAX_POLICIES`.
    with_table: with the table of all `results` below, or of many missions more, `table`, where there is one; a page
    that has tables of its own leaves it out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = figures_of(results)
    lines = lines_of(table) if table else len(rows) + 1
    below = (LINE * lines + 0.3) * with_table
    height = _TOP + _ROW * len(traces) + (_LEGEND + 0.25 if traces else 0.0) + below + 0.2
    figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def place(left: float, right: float, from_top: float, tall: float) -> Axes:
        return figure.add_axes(
            (left / WIDTH_IN, 1 - (from_top + tall) / height, (right - left) / WIDTH_IN, tall / height)
        )

    def line(text: str, inches: float, **style: Any) -> None:
        figure.text(0.25 / WIDTH_IN, 1 - inches / height, text, va="baseline", **style)

    line("A robot in a home: when does it think, and what does it cost?", 0.38, fontsize=16, weight="bold", color=INK)
    if traces:
        first = traces[0]
        line(f"Mission: \u201c{_cut(first.goal, 90)}\u201d", 0.66, fontsize=11, color=INK)
        budget = f" It may think for {first.time_budget_s:.0f} s." if first.time_budget_s else ""
        line(
            f"The same home, people and mishaps for each policy. Left: its way, from above. Right: over time.{budget}",
            0.86,
            fontsize=9,
            color=FAINT,
        )

    y = _TOP
    span = max([t.duration_s for t in traces], default=1.0) * 1.02
    for index, trace in enumerate(traces):
        result = next((r for r in results if (r.policy, r.seed) == (trace.policy, trace.seed)), None)
        plan = place(0.25, 4.0, y + 0.3, _ROW - 0.38)
        draw_plan(plan, trace, result)
        _row_title(figure, trace, result, y, height)
        last = index == len(traces) - 1
        _draw_time(place(_STRIP, WIDTH_IN - 0.2, y + 0.5, _ROW - 0.84), trace, span, last)
        y += _ROW

    if traces:
        _draw_legend(place(0.25, WIDTH_IN - 0.2, y + 0.16, _LEGEND), traces)
        y += _LEGEND + 0.25
    if with_table and table:
        draw_blocks(place(0.25, WIDTH_IN - 0.25, y + 0.3, below - 0.3), table)
    elif with_table:
        line(CONDITIONS, y + 0.12, fontsize=9, color=FAINT)
        axes = place(0.25, WIDTH_IN - 0.25, y + 0.3, below - 0.3)
        blank(axes, lines)
        draw_rows(axes, HEAD, _COLUMNS, [row.row() for row in rows])
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set_parse_math(False)  # type: ignore[attr-defined]  # goals and names are data, not formulas
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def _row_title(figure: Any, trace: Trace, result: MissionResult | None, top: float, height: float) -> None:
    y = 1 - (top + 0.2) / height
    figure.text(0.25 / WIDTH_IN, y, trace.policy, fontsize=11.5, weight="bold", color=INK, va="baseline")
    if result is None:
        return

    end = "done" if result.success else f"not done: {result.end_reason}"
    text = f"{end}, {result.mission_s:.0f} s in all"
    if result.calls:
        text += f", {_seconds(result.llm_s)} of it thinking in {result.calls} call{'s' * (result.calls != 1)}"
    elif trace.policy:
        text += ", never thought"

    plans = [d.answer for d in trace.decisions if d.role == "planner" and d.status == "OK" and d.answer]
    if plans:
        wrote = _cut(f"It wrote: {plans[0]}", 108)
        figure.text(_STRIP / WIDTH_IN, 1 - (top + 0.39) / height, wrote, fontsize=8.5, color=FAINT, va="baseline")
    good = GOOD if result.success else BAD
    figure.text(_STRIP / WIDTH_IN, y, text, fontsize=10, weight="bold", color=good, va="baseline")


def draw_plan(axes: Axes, trace: Trace, result: MissionResult | None) -> None:
    """The home from above, what was seen of it, the robot's path, and where it stopped, thought and failed."""
    from matplotlib.collections import PolyCollection

    home = trace.home
    axes.set_xlim(-0.15, home.size[0] + 0.15)
    axes.set_ylim(-0.15, home.size[1] + 0.15)
    axes.set_aspect("equal", anchor="W")
    axes.axis("off")
    _box(axes, np.array([0, 0, *home.size]), FLOOR, 0)
    wedges, occupied = seen(trace)
    axes.add_collection(PolyCollection(wedges, facecolors=SEEN, edgecolors="none", zorder=1))
    used = {word for text in trace.subgoal for word in text.split()[1:]}
    for name, box in zip(home.names, home.boxes, strict=True):
        _box(axes, box, FURNITURE if name in used else "#d9cfc0", 2)
    for box in home.walls:
        _box(axes, box, WALL, 4)
    if len(trace.door_open) and not trace.door_open[-1]:
        _box(axes, home.door, DOOR, 4)
    if len(occupied):
        cells = [np.array([x, y, x + CELL_M, y + CELL_M]) for x, y in occupied * CELL_M]
        corners = [[(b[0], b[1]), (b[2], b[1]), (b[2], b[3]), (b[0], b[3])] for b in cells]
        axes.add_collection(PolyCollection(corners, facecolors=OCCUPIED, edgecolors="none", alpha=0.75, zorder=3))

    for name, box in zip(home.names, home.boxes, strict=True):
        if name in used:
            _label(axes, box, name, home)
    axes.plot(trace.pose[:, 0], trace.pose[:, 1], color="#08306b", linewidth=1.8, zorder=6, solid_capstyle="round")
    _marks(axes, trace, result)


def _marks(axes: Axes, trace: Trace, result: MissionResult | None) -> None:
    def spots(times: list[float]) -> tuple[np.ndarray, np.ndarray]:
        rows = np.clip(np.searchsorted(trace.t_s, times), 0, len(trace.t_s) - 1)
        return trace.pose[rows, 0], trace.pose[rows, 1]

    if not len(trace.t_s):
        return

    style: dict[str, Any] = {"linestyle": "", "zorder": 8, "markeredgecolor": "white", "markeredgewidth": 0.8}
    axes.plot(*trace.pose[0, :2], marker="o", markersize=13, color=INK, **style)  # a call there does not hide it
    stops = [t0 for t0, _, _ in trace.stops()]
    axes.plot(*spots(stops), marker="s", markersize=5.5, color=STOP, **style)

    thinks = [d for d in trace.decisions if d.action == "think" and d.status != "BUDGET"]
    for decision in thinks:
        colour = ROLE_COLOURS[(decision.role, decision.level)]
        axes.plot(*spots([decision.t0]), marker="D", markersize=7, color=colour, **style)
    failed = [d.t1 for d in trace.decisions if d.action == "act" and d.status != "SUCCESS"]
    axes.plot(*spots(failed), marker="X", markersize=7.5, color=BAD, **style)
    good = result is not None and result.success
    axes.plot(
        *trace.pose[-1, :2],
        marker="*" if good else "P",
        markersize=15 if good else 10,
        color=GOOD if good else BAD,
        **style,
    )


def seen(trace: Trace) -> tuple[list[np.ndarray], np.ndarray]:
    """What the scans of a mission showed: wedges of free floor ((m, 2) corners each), and (k, 2) integer cells of
    CELL_M in which they ended, without those near people."""
    wedges = []
    cells = []
    for row in range(0, len(trace.t_s), 3):
        clear = trace.clear_m[row]
        if not len(clear) or not np.isfinite(clear).any():
            continue
        x, y, heading = trace.pose[row]
        angles = heading + trace.bearings
        ends = np.stack([x + clear * np.cos(angles), y + clear * np.sin(angles)], axis=1)
        wedges.append(np.vstack([[x, y], ends]))
        hit = ends[clear < trace.range_m - 0.05]
        if trace.people.shape[1] and len(hit):
            away = np.linalg.norm(hit[:, None] - trace.people[row], axis=2).min(axis=1)
            hit = hit[away > 0.45]
        cells.append(np.floor(hit / CELL_M).astype(int))

    if not cells:
        return wedges, np.zeros((0, 2), int)

    unique, counts = np.unique(np.vstack(cells), axis=0, return_counts=True)
    return wedges, unique[counts > 1]


def _draw_time(axes: Axes, trace: Trace, span: float, last: bool) -> None:
    """What it did, when it thought, what was left of the budget, when the gate stopped it."""
    axes.set_xlim(0, span)
    axes.set_ylim(0, 4)
    for decision in trace.decisions:
        _draw_decision(axes, decision, span)
    if trace.time_budget_s:
        times, left = budget_curve(trace)
        height = 0.95 / trace.time_budget_s
        axes.fill_between(times, 1.02, 1.02 + np.array(left) * height, color="#eef3f9", linewidth=0, zorder=2)
        axes.plot(times, 1.02 + np.array(left) * height, color="#045a8d", linewidth=1.4, zorder=3)
        room = times[-1] < 0.9 * span  # else the text stands below the line, inside of the axes
        axes.text(
            times[-1] + (0.006 if room else -0.006) * span,
            1.02 + left[-1] * height - (0.0 if room else 0.06),
            f"{left[-1]:.1f} s left",
            fontsize=8,
            color="#045a8d",
            ha="left" if room else "right",
            va="center" if room else "top",
        )

    for t, gate, reason in zip(trace.t_s.tolist(), trace.gate, trace.gate_reason, strict=True):
        if gate == "LIMITED" and reason != GateReason.LIMITS:  # its own acceleration is no news
            axes.axvspan(t - 0.1, t, 0.04, 0.2, color=LIMITED, linewidth=0, zorder=2)
    least = 0.004 * span
    for t0, t1, _ in trace.stops():
        axes.axvspan(t0 - 0.1, max(t1, t0 - 0.1 + least), 0.02, 0.22, color=STOP, linewidth=0, zorder=3)
    axes.axvline(trace.duration_s, color="#888888", linewidth=1, zorder=1)
    axes.set_yticks([3.5, 2.5, 1.5, 0.5], ["acts", "thinks", "budget", "gate"], fontsize=9, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors="#444444", labelsize=8.5)
    axes.hlines([1, 2, 3], 0, span, color="#e3e3e3", linewidth=0.8, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#999999")
    if last:
        axes.set_xlabel("seconds since the mission began (simulated; thinking takes the time that it took)", fontsize=9)


def _draw_decision(axes: Axes, decision: TracedDecision, span: float) -> None:
    wide = max(decision.t1 - decision.t0, 0.0)
    if decision.action == "think":
        colour = ROLE_COLOURS[(decision.role, decision.level)]
        # Most calls are shorter than a pixel: a mark of fixed size at their start, and their length behind it.
        axes.broken_barh([(decision.t0, wide)], (2.2, 0.6), facecolors=colour, zorder=3)
        axes.plot(
            decision.t0, 2.5, "D", markersize=8, color=colour, markeredgecolor="white", markeredgewidth=0.8, zorder=4,
            clip_on=False,
        )  # fmt: skip
    elif decision.action == "act":
        name, colour = SUBGOALS.get(decision.subgoal, (decision.subgoal, "#dcdcdc"))
        failed = decision.status != "SUCCESS"
        narrow = wide < 0.012 * span
        edge = {"edgecolors": BAD, "linewidth": 1.6, "hatch": "////"} if failed else {"edgecolors": "white"}
        if narrow:
            colour = BAD if failed else colour
            edge = {"edgecolors": "white", "linewidth": 0.3}
        axes.broken_barh([(decision.t0, wide)], (3.08, 0.84), facecolors=colour, zorder=3, **edge)
        if wide > 0.012 * span * len(name):
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.0} if failed else None
            x = (decision.t0 + decision.t1) / 2
            axes.text(x, 3.5, name, fontsize=8, ha="center", va="center", color=INK, zorder=4, bbox=box)


def budget_curve(trace: Trace) -> tuple[list[float], list[float]]:
    """Times and seconds of thinking left: falls during calls."""
    times = [0.0]
    values = [trace.time_budget_s]
    left = trace.time_budget_s
    for decision in trace.decisions:
        if decision.action in ("think", "cut"):
            times += [decision.t0, decision.t1]
            values += [left, decision.time_left_s]
            left = decision.time_left_s

    return [*times, max(trace.duration_s, times[-1])], [*values, left]


def _draw_legend(axes: Axes, traces: Sequence[Trace]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    axes.axis("off")

    def mark(marker: str, colour: str, label: str, size: float = 7) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, color=colour, markersize=size, label=label)

    called = {(d.role, d.level) for t in traces for d in t.decisions if d.action == "think"}
    names = {
        ("planner", 1): "writes a plan",
        ("planner", 2): "writes a plan, longer",
        ("verifier", 1): "checks the plan",
        ("verifier", 2): "checks it, longer",
    }
    first = [
        mark("o", INK, "start"),
        mark("*", GOOD, "done", 12),
        mark("P", BAD, "gave up"),
        mark("X", BAD, "attempt failed"),
        Patch(facecolor=STOP, label="gate stopped it"),
        Patch(facecolor=LIMITED, label="gate slowed it"),
        Patch(facecolor=SEEN, edgecolor="#999999", label="seen free"),
        Patch(facecolor=OCCUPIED, alpha=0.75, label="seen occupied"),
        Patch(facecolor=FLOOR, label="not seen"),
        Patch(facecolor=FURNITURE, label="furniture"),
        Patch(facecolor=DOOR, label="shut door"),
    ]
    done = {d.subgoal for t in traces for d in t.decisions if d.action == "act"}
    acts = [Patch(facecolor=colour, label=name) for key, (name, colour) in SUBGOALS.items() if key in done]

    second = [mark("D", ROLE_COLOURS[key], names[key], 8) for key in names if key in called]
    for y, title, handles in ((1.0, "", first), (0.66, "The robot acts:", acts), (0.32, "It thinks:", second)):
        if not handles:
            continue
        if title:
            axes.text(0, y - 0.1, title, transform=axes.transAxes, fontsize=9, weight="bold", color=INK, va="center")
        legend = axes.legend(
            handles=handles, ncols=len(handles), fontsize=9, frameon=False, loc="upper left", handlelength=1.2,
            bbox_to_anchor=(0.115 if title else -0.005, y), columnspacing=1.1, handletextpad=0.5, borderaxespad=0,
            borderpad=0,
        )  # fmt: skip
        axes.add_artist(legend)


def _box(axes: Axes, box: np.ndarray, colour: str, zorder: int) -> None:
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = map(float, box)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, facecolor=colour, edgecolor="none", zorder=zorder))


def _label(axes: Axes, box: np.ndarray, name: str, home: HomePlan) -> None:
    import matplotlib.patheffects as effects

    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    text = home.words.get(name, name)
    half = 0.17 * len(text) / 2 + 0.05  # metres, about
    low, high = home.room(x)
    axes.text(
        min(max(x, low + half), high - half), y, text, fontsize=8, ha="center", va="center", color=INK, zorder=5,
        path_effects=[effects.withStroke(linewidth=2, foreground="white")],
    )  # fmt: skip


def _seconds(value: float) -> str:
    """
    >>> _seconds(12.34), _seconds(0.042), _seconds(0)
    ('12.3 s', '0.04 s', '0 s')
    """
    return f"{value:.1f} s" if value >= 1 else f"{value:.2f} s" if value else "0 s"


def _cut(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
