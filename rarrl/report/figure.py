"""The picture of a report: one episode under every policy, its budget, and the figures of all episodes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rarrl.events import ActEvent, ShockEvent, ThinkEvent
from rarrl.report.runs import Episode, Figures, Run, figures_of, shown_episode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All colours can be distinguished in grey and by colour-blind readers. Sub-goals are pale, because calls and failures
# must stand out.
ROLE_COLOURS = {
    ("planner", 1): "#6baed6",
    ("planner", 2): "#08519c",
    ("verifier", 1): "#fdae6b",
    ("verifier", 2): "#d94801",
}
"""(role, level) -> colour, as in the pictures of latency profiles."""
SUBGOALS = {
    "GotoLocation": ("Go to", "#dcdcdc"),
    "PickupObject": ("Pick", "#c6dfa0"),
    "PutObject": ("Put", "#f5d76e"),
    "SliceObject": ("Slice", "#eab0b0"),
    "ToggleObject": ("Toggle", "#c9bce3"),
    "CleanObject": ("Clean", "#9ad6d0"),
    "HeatObject": ("Heat", "#efb0d2"),
    "CoolObject": ("Cool", "#b3cdf0"),
}
"""Sub-goal type -> its name in the picture, and its colour."""
TASKS = {
    "pick_and_place_simple": "put an object away",
    "pick_two_obj_and_place": "put two objects away",
    "look_at_obj_in_light": "look at an object under a lamp",
    "pick_clean_then_place_in_recep": "clean an object and put it away",
    "pick_heat_then_place_in_recep": "heat an object and put it away",
    "pick_cool_then_place_in_recep": "cool an object and put it away",
    "pick_and_place_with_movable_recep": "put an object away in a container",
}
"""ALFRED's task type -> what stands in the title if a task has no goal sentence."""
POLICY_STYLES = (
    ("#8c8c8c", "s"),
    ("#cc79a7", "^"),
    ("#009e73", "D"),
    ("#000000", "o"),
    ("#0072b2", "v"),
    ("#d55e00", "P"),
    ("#56b4e9", "X"),
    ("#b59a00", "*"),
)
"""Colour (Okabe and Ito's set, with gray and a darker yellow) and marker of each policy, in the order of the report."""
GOOD = "#00805c"
"""Colour of success."""
BAD = "#b3261e"
"""Colour of failure."""
INK = "#222222"
"""Colour of text."""
FAINT = "#666666"
"""Colour of less important text."""
WIDTH_IN = 11.7
"""Inches: the long side of an A4 page."""
DPI = 120
"""Pixels per inch; the picture is 1404 pixels wide, which fits a laptop's screen."""
MAX_POLICIES = len(POLICY_STYLES)
"""Policies that one picture can distinguish."""


def render(runs: Sequence[Run], kind: str = "png") -> bytes:
    """Returns the picture as the bytes of a file of `kind` (png, svg or pdf)."""
    # matplotlib's objects are used, not pyplot, which keeps figures and looks for a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = shown_episode(runs)
    strips = [run.episode(chosen[0]) for run in runs] if chosen else []

    # Heights in inches: title, one strip per run, the legend below them, the three diagrams, the table.
    rows = len(runs)
    top = 1.0
    strip = 0.88
    gap = 1.35
    low = 2.5
    table = 0.55 + 0.3 * (rows + 1)
    height = top + (strip * rows + gap if strips else 0.4) + low + table
    figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def place(left: float, right: float, from_top: float, tall: float) -> Axes:
        """Adds axes; all positions are inches from the left and upper edges."""
        return figure.add_axes(
            (left / WIDTH_IN, 1 - (from_top + tall) / height, (right - left) / WIDTH_IN, tall / height)
        )

    _draw_title(figure, runs, chosen, strips, height)
    y = top
    if strips:
        span = max(max(episode.duration_s for episode in strips), 1.0) * 1.09
        for index, (run, episode) in enumerate(zip(runs, strips, strict=True)):
            axes = place(2.3, WIDTH_IN - 0.25, y + 0.06, strip - 0.12)
            _draw_strip(axes, run, episode, span, index, last=index == rows - 1)
            if index == rows - 1:
                _strip_legend(axes, [name for e in strips for name in e.start.subgoals])
            y += strip

        y += gap
        _draw_budget(place(0.75, 3.75, y, low - 0.75), runs, strips, span, "time")
        _draw_budget(place(4.6, 7.6, y, low - 0.75), runs, strips, span, "tokens")
        _draw_pareto(place(8.4, WIDTH_IN - 0.25, y, low - 0.75), runs)
    else:
        _draw_pareto(place(0.75, WIDTH_IN - 0.25, y, low - 0.75), runs)

    _draw_table(place(0.25, WIDTH_IN - 0.25, y + low, table - 0.4), runs)
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set_parse_math(False)  # type: ignore[attr-defined]  # goals and names are data, not formulas

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a goal in Chinese gives boxes, but a report
        figure.savefig(buffer, format=kind)

    return buffer.getvalue()


def _draw_title(
    figure: Figure, runs: Sequence[Run], chosen: tuple[int, str] | None, strips: Sequence[Episode], height: float
) -> None:
    def line(text: str, inches: float, **style: Any) -> None:
        figure.text(0.25 / WIDTH_IN, 1 - inches / height, text, va="baseline", **style)

    models = sorted({run.header.reasoner or run.header.profile for run in runs})
    line("When does the robot think, and what does it cost?", 0.38, fontsize=16, weight="bold", color=INK)
    if chosen is None:
        line("No episode was finished by all of these runs.", 0.68, fontsize=10.5, color=FAINT)
        return

    start = strips[0].start
    task = start.goal or TASKS.get(start.task_type, start.task_type)
    only = ", navigation only" if start.category == "Navigation" else ""
    text = f"Task: {_cut(task, 80)}{only} ({start.category}). Language model: {', '.join(models)}."
    text += f" Budget: {start.time_budget_s:.0f} s and {_thousands(start.token_budget)} tokens of thinking."
    line(_cut(text, 170), 0.66, fontsize=10.5, color=INK)
    line(f"Episode {chosen[0]}, the same task and luck for all: {chosen[1]}.", 0.89, fontsize=10, color=FAINT)


def _draw_strip(axes: Axes, run: Run, episode: Episode, span: float, index: int, last: bool) -> None:
    origin = episode.start.t
    end = episode.end
    axes.set_xlim(0, span)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")
    axes.tick_params(axis="x", labelbottom=last, colors=FAINT, labelsize=9, length=3)

    if last:
        axes.set_xlabel("seconds since the episode began (the robot waits while it thinks)", fontsize=9.5, color=FAINT)

    colour, _ = POLICY_STYLES[index % MAX_POLICIES]
    left = -2.05 / (WIDTH_IN - 0.25 - 2.3)
    axes.text(
        left, 0.74, _cut(run.policy, 17), transform=axes.transAxes, fontsize=12, weight="bold", color=INK, va="center"
    )
    axes.plot([left - 0.012] * 2, [0.02, 0.98], transform=axes.transAxes, color=colour, linewidth=5, clip_on=False)
    calls = "1 call" if end.calls == 1 else f"{end.calls} calls"
    summary = f"{calls}, {end.llm_seconds:.1f} s, {_thousands(end.tokens)} tok."
    axes.text(
        left,
        0.34,
        summary if end.calls else "no calls",
        transform=axes.transAxes,
        fontsize=8.8,
        color=FAINT,
        va="center",
    )

    for segment in _segments(episode.acts):
        _draw_segment(axes, segment, origin, span)

    for think in episode.thinks:
        _draw_think(axes, think, origin, span)

    for shock in episode.shocks:
        axes.axvline(shock.t - origin, color=BAD, linestyle=(0, (2, 2)), linewidth=1.2)
        axes.text(shock.t - origin, 0.97, " budget cut", fontsize=8, color=BAD, va="top")

    mark, tint = ("done", GOOD) if end.success else ("lost" if end.lost else "out of attempts", BAD)
    x = episode.duration_s
    axes.plot(x + 0.006 * span, 0.2, "o" if end.success else "X", color=tint, markersize=9, clip_on=False, zorder=5)
    room = x < span * (0.95 - 0.008 * len(mark))  # by the length of the word
    axes.text(
        x + (0.02 if room else 0.015) * span, 0.2 if room else 0.62, mark, color=tint, fontsize=10.5, weight="bold",
        va="center", ha="left" if room else "right",
    )  # fmt: skip


def _segments(acts: Sequence[ActEvent]) -> list[list[ActEvent]]:
    """Groups successful attempts that follow one another in one sub-goal; each group becomes one box."""
    groups: list[list[ActEvent]] = []
    for act in acts:
        before = groups[-1][-1] if groups else None
        if (
            before is not None
            and before.subgoal_index == act.subgoal_index
            and before.status == act.status == "SUCCESS"
            and act.decision == before.decision + 1
        ):
            groups[-1].append(act)
        else:
            groups.append([act])

    return groups


def _draw_segment(axes: Axes, acts: list[ActEvent], origin: float, span: float) -> None:
    t0 = acts[0].t0 - origin
    t1 = acts[-1].t1 - origin
    first = acts[0]
    short, colour = SUBGOALS.get(first.subgoal, (first.subgoal, "#eeeeee"))
    failed = first.status != "SUCCESS"
    axes.broken_barh([(t0, t1 - t0)], (0.02, 0.36), facecolor=colour, edgecolor="white", linewidth=0.8, zorder=2)

    if failed:  # the mark is of fixed size: a short attempt shows too
        axes.broken_barh([(t0, t1 - t0)], (0.0, 0.06), facecolor=BAD, edgecolor="white", linewidth=0.8, zorder=3)
        marker, size = ("x", 6) if first.status == "FAILURE" else ("X", 9)
        axes.plot((t0 + t1) / 2, 0.2, marker, color=BAD, markersize=size, markeredgewidth=1.8, zorder=4)
    else:
        _label(axes, (t0 + t1) / 2, 0.2, short, t1 - t0, span, 8.5, INK)


def _draw_think(axes: Axes, think: ThinkEvent, origin: float, span: float) -> None:
    t0 = think.t0 - origin
    width = max(think.t1 - think.t0, span * 0.002)
    tall = 0.27 if think.level == 1 else 0.5
    colour = ROLE_COLOURS[(think.role, think.level)]
    axes.broken_barh([(t0, width)], (0.42, tall), facecolor=colour, edgecolor="white", linewidth=0.6, zorder=2)

    if think.status != "OK":
        axes.broken_barh(
            [(t0, width)], (0.42, tall), facecolor="none", edgecolor="white", hatch="xxxx", linewidth=0, zorder=3
        )
    else:
        dark = think.level == 2
        _label(
            axes,
            t0 + width / 2,
            0.42 + tall / 2,
            f"{think.role[0].upper()}{think.level}",
            width,
            span,
            8,
            "white" if dark else INK,
        )


def _label(axes: Axes, x: float, y: float, text: str, width: float, span: float, size: float, colour: str) -> None:
    """Writes `text` if it fits into a box of `width` seconds."""
    pixels = width / span * (WIDTH_IN - 0.25 - 2.3) * 72
    if pixels > 0.58 * size * len(text) + 3:
        axes.text(x, y, text, fontsize=size, ha="center", va="center", color=colour, zorder=4)


def _strip_legend(axes: Axes, subgoals: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    calls: list[Any] = [
        Patch(facecolor=colour, label=f"{role}, level {level}") for (role, level), colour in ROLE_COLOURS.items()
    ]
    calls.append(Patch(facecolor="#aaaaaa", edgecolor="white", hatch="xxxx", label="call without a usable answer"))
    acts: list[Any] = [
        Patch(facecolor=colour, label=name) for key, (name, colour) in SUBGOALS.items() if key in subgoals
    ]
    acts += [
        Line2D([], [], linestyle="", marker="x", markeredgewidth=1.8, color=BAD, label="failed attempt"),
        Line2D([], [], linestyle="", marker="X", markersize=8, color=BAD, label="task failed"),
        Line2D([], [], linestyle="", marker="o", markersize=8, color=GOOD, label="task done"),
    ]
    left = -2.05 / (WIDTH_IN - 0.25 - 2.3)

    for y, title, handles in ((-0.62, "Thinks:", calls), (-0.94, "Acts:", acts)):
        axes.text(left, y - 0.085, title, transform=axes.transAxes, fontsize=8.8, weight="bold", color=INK, va="center")
        legend = axes.legend(
            handles=handles, ncols=len(handles), fontsize=8.8, frameon=False, loc="upper left", handlelength=1.2,
            bbox_to_anchor=(left + 0.07, y), columnspacing=1.3, handletextpad=0.5, borderaxespad=0, borderpad=0,
        )  # fmt: skip

        if handles is calls:  # an axes keeps its last legend only
            axes.add_artist(legend)


def _draw_budget(axes: Axes, runs: Sequence[Run], strips: Sequence[Episode], span: float, what: str) -> None:
    for index, (run, episode) in enumerate(zip(runs, strips, strict=True)):
        colour, marker = POLICY_STYLES[index % MAX_POLICIES]
        axes.plot(
            *budget_curve(episode, what), color=colour, linewidth=2, solid_capstyle="round", label=run.policy,
            marker=marker, markevery=[-1], markersize=6, zorder=3 + index, clip_on=False,
        )  # fmt: skip

    _tidy(axes)
    axes.set_xlim(0, span)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the episode began", fontsize=9.5)
    title = "Seconds of thinking left" if what == "time" else "Tokens left"
    axes.set_title(f"{title}, in this episode", fontsize=11, loc="left", weight="bold", color=INK)


def budget_curve(episode: Episode, what: str) -> tuple[list[float], list[float]]:
    """Returns times and what is left of the `time` or `tokens` budget: it falls during calls and jumps at shocks."""
    left = episode.start.time_budget_s if what == "time" else episode.start.token_budget
    times = [0.0]
    values = [left]

    for event in episode.events:
        if not isinstance(event, ThinkEvent | ShockEvent):
            continue

        t0, t1 = (event.t0, event.t1) if isinstance(event, ThinkEvent) else (event.t, event.t)
        after = event.time_left_s if what == "time" else event.tokens_left
        # A budget may be cut while a call beside acting is under way; its line comes after that of the cut.
        times += [max(t0 - episode.start.t, times[-1]), t1 - episode.start.t]
        values += [left, after]
        left = after

    return [*times, episode.duration_s], [*values, left]


def _draw_pareto(axes: Axes, runs: Sequence[Run]) -> None:
    rows = [figures_of(run) for run in runs]
    for index, row in enumerate(rows):
        colour, marker = POLICY_STYLES[index % MAX_POLICIES]
        error = [[100 * (row.success - row.low)], [100 * (row.high - row.success)]]
        axes.errorbar(
            row.llm_seconds,
            100 * row.success,
            yerr=error,
            fmt=marker,
            color=colour,
            markersize=8,
            capsize=3,
            linewidth=1.4,
        )

    _tidy(axes)
    most = max((row.llm_seconds for row in rows), default=0.0) or 1.0
    axes.set_xlim(-0.06 * most, 1.12 * most)
    axes.set_ylim(0, 102)

    names = [_cut(row.policy, 16) for row in rows]
    points = [(row.llm_seconds / most, row.success) for row in rows]
    for index, (row, name, (dx, dy)) in enumerate(zip(rows, names, places_beside(points, names), strict=True)):
        axes.annotate(
            name, (row.llm_seconds, 100 * row.success), (dx, dy), textcoords="offset points", fontsize=9,
            ha="left" if dx > 0 else "right", va="center", color=POLICY_STYLES[index % MAX_POLICIES][0], weight="bold",
        )  # fmt: skip

    axes.set_xlabel("mean LLM seconds an episode", fontsize=9.5)
    counts = sorted({row.n for row in rows})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    axes.set_title(f"Success, % (95 % interval, {n})", fontsize=11, loc="left", weight="bold", color=INK)


Box = tuple[float, float, float, float]
"""x low, x high, y low, y high."""


def places_beside(points: Sequence[tuple[float, float]], names: Sequence[str]) -> list[tuple[float, float]]:
    """Where the name of each point stands, as an offset in points of the page: to its right (dx above 0) or left, level
    with it or one or two lines off, so that no name covers another name, a point or the edge.

    points: (x, y) as shares of the largest x and of 1."""
    letter, line = 0.03, 0.075  # of the axes: about the size of a letter and of a line of the names
    boxes: list[Box] = [(x - 0.02, x + 0.02, y - 0.03, y + 0.03) for x, y in points]
    offsets = [(dx, 12.0 * rows) for rows in (0, 1, -1, 2, -2, 3) for dx in (8.0, -8.0)]

    placed = []
    for index, ((x, y), name) in enumerate(zip(points, names, strict=True)):

        def box(dx: float, dy: float, x: float = x, y: float = y, name: str = name) -> Box:
            near, far = 0.03, 0.03 + letter * len(name)
            middle = y + dy / 12.0 * line
            x0, x1 = (x + near, x + far) if dx > 0 else (x - far, x - near)
            return x0, x1, middle - line / 2, middle + line / 2

        def fits(offset: tuple[float, float], index: int = index, box: Any = box) -> bool:
            x0, x1, y0, y1 = box(*offset)
            others = [other for number, other in enumerate(boxes) if number != index]
            inside = x0 > -0.06 and x1 < 1.12 and y0 > 0 and y1 < 1.02
            return inside and not any(x0 < b and a < x1 and y0 < d and c < y1 for a, b, c, d in others)

        offset = next(filter(fits, offsets), offsets[0])
        boxes.append(box(*offset))
        placed.append(offset)

    return placed


def _draw_table(axes: Axes, runs: Sequence[Run]) -> None:
    axes.axis("off")
    lines = [TABLE_HEAD, *(table_row(figures_of(run)) for run in runs)]
    columns = (0.0, 0.3, 0.46, 0.6, 0.71, 0.81, 1.0)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(lines), 0)

    for y, cells in enumerate(lines):
        if y:
            axes.plot([0, 1], [y, y], color="#dddddd", linewidth=0.8, zorder=1)
            colour, marker = POLICY_STYLES[(y - 1) % MAX_POLICIES]
            axes.plot(0.006, y + 0.5, marker, color=colour, markersize=7)

        for x, cell in zip(columns, cells, strict=True):
            first = cell is cells[0]
            axes.text(
                x + 0.02 * first, y + 0.5, _cut(cell, 30), fontsize=10, va="center", ha="left" if first else "right",
                weight="bold" if not y or first else "normal", color=FAINT if not y else INK,
            )  # fmt: skip


TABLE_HEAD = ("policy", "success", "95 % interval", "LLM seconds", "tokens", "calls", "deadline misses")
"""Titles of the table's columns."""


def table_row(row: Figures) -> tuple[str, ...]:
    """Returns the cells of a policy, in the order of TABLE_HEAD."""
    if not row.n:
        return (row.policy, "no episode", "", "", "", "", "")
    return (
        row.policy,
        f"{round(row.success * row.n)} of {row.n} ({100 * row.success:.0f} %)",
        f"{100 * row.low:.0f} to {100 * row.high:.0f} %",
        f"{row.llm_seconds:.1f}" if row.llm_seconds >= 1.0 or not row.llm_seconds else f"{row.llm_seconds:.2g}",
        _thousands(row.tokens),
        f"{row.calls:.1f}",
        f"{row.misses}",
    )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#444444", labelsize=9)


def _thousands(value: float) -> str:
    """Returns a whole number with a space between groups of three digits.

    >>> _thousands(12345.4)
    '12 345'
    """
    return f"{value:,.0f}".replace(",", " ")


def _cut(text: str, limit: int) -> str:
    """Returns `text` on one line, cut to at most `limit` characters.

    >>> _cut("put  the mug away", 9)
    'put the …'
    """
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
