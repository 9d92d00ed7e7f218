"""The picture of a latency profile: seconds and tokens of its calls, and their order."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic
from rarrl.latency.profile import LatencyProfile
from rarrl.latency.replay import Samples, option_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Endings of the files that can be drawn.
FORMATS = ("png", "svg", "pdf")
# Blue for the planner, orange for the verifier; the darker one is level 2. Distinct in grey and for
# colour-blind readers.
COLOURS = {("planner", 1): "#6baed6", ("planner", 2): "#08519c", ("verifier", 1): "#fdae6b", ("verifier", 2): "#d94801"}
_MAX_CALLS_DRAWN = 300  # call by call: more would be a grey band

_Option = tuple[str, int]


def plot_profile(profile: LatencyProfile, path: Path | str) -> None:
    """Draws `profile` into `path` (.png, .svg or .pdf), written whole or not at all.

    Three parts: share of calls done within a time; seconds call by call, where bursts show; tokens a call.

    Raises: InputError for another file ending, or a place that cannot be written."""
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        endings = ", ".join(f".{ending}" for ending in FORMATS)
        raise InputError(f"picture: {path} does not end in one of {endings}; choose one of them")

    data = render_profile(profile, kind)
    try:
        write_bytes_atomic(path, data)
    except OSError as error:
        raise InputError(f"picture: cannot write {path} ({error.strerror}); choose another path") from None


def render_profile(profile: LatencyProfile, kind: str = "png") -> bytes:
    """The picture as bytes of a file of `kind` (png, svg, pdf)."""
    # Imported here (it takes half a second), and as objects: pyplot would keep figures and pick a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    options = {option: option_samples(profile, *option) for option in profile.options()}
    figure = Figure(figsize=(11, 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1.0))
    _draw_ecdf(figure.add_subplot(grid[0, 0]), options)
    _draw_tokens(figure.add_subplot(grid[0, 1]), options)
    _draw_series(figure.add_subplot(grid[1, :]), options, profile.header.kind)

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)

    header = profile.header
    figure.suptitle(
        f"Latency profile {header.name}: {header.model[:60]}, {header.kind}, {header.date}", fontsize=13, weight="bold"
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)

    return buffer.getvalue()


def _label(option: _Option) -> str:
    return f"{option[0]}, level {option[1]}"


def _draw_ecdf(axes: Axes, options: dict[_Option, Samples]) -> None:
    for option, samples in options.items():
        seconds = np.sort(samples.seconds)
        p95 = float(np.quantile(seconds, 0.95))
        share = np.arange(1, len(seconds) + 1) / len(seconds)
        label = f"{_label(option)}: mean {seconds.mean():.2f} s, p95 {p95:.2f} s"
        axes.step(seconds, share, where="post", color=COLOURS[option], linewidth=2, label=label)
        axes.plot(p95, 0.95, "o", color=COLOURS[option], markersize=6)

    if all(samples.seconds.min() > 0 for samples in options.values()):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")

    axes.axhline(0.95, color="#999999", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("seconds a call takes")
    axes.set_ylabel("share of calls done")
    axes.set_title("How long a call takes (dots: 95 %)", fontsize=11, loc="left", pad=40)

    # Above the axes: inside, it would hide a curve of one profile or another.
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, frameon=False, borderaxespad=0)


def _draw_tokens(axes: Axes, options: dict[_Option, Samples]) -> None:
    for y, (option, samples) in enumerate(options.items()):
        total = samples.tokens_in + samples.tokens_out
        prompt, answer = samples.tokens_in.mean(), samples.tokens_out.mean()
        axes.barh(y, prompt, color="#cccccc", label="prompt" if y == 0 else None)
        axes.barh(y, answer, left=prompt, color=COLOURS[option])
        low, high = np.quantile(total, (0.05, 0.95))
        mean = total.mean()
        axes.errorbar(mean, y, xerr=[[max(mean - low, 0)], [max(high - mean, 0)]], color="#333333", capsize=3)
        axes.text(max(high, mean), y, f"  {mean:.0f}", va="center", fontsize=9)

    axes.set_yticks(range(len(options)), [_label(option) for option in options])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("tokens a call (bar: mean; whisker: 5 to 95 %)")
    axes.set_title("Tokens: prompt (grey) and answer", fontsize=11, loc="left")


def _draw_series(axes: Axes, options: dict[_Option, Samples], kind: str) -> None:
    for option, samples in options.items():
        seconds = samples.seconds[:_MAX_CALLS_DRAWN]
        axes.plot(np.arange(len(seconds)), seconds, color=COLOURS[option], linewidth=1.2, label=_label(option))
        failed = np.flatnonzero(~samples.ok[:_MAX_CALLS_DRAWN])
        axes.plot(failed, seconds[failed], "x", color="#cb181d", markersize=6)

    if any(not samples.ok[:_MAX_CALLS_DRAWN].all() for samples in options.values()):
        axes.plot([], [], "x", color="#cb181d", label="no usable answer")
    axes.set_ylim(0, 1.15 * max(s.seconds[:_MAX_CALLS_DRAWN].max() for s in options.values()) or 1.0)  # legend on top
    axes.margins(x=0.01)
    order = "draws, shuffled: no bursts are modelled" if kind == "parametric" else "in measured order: bursts stay"
    axes.set_xlabel(f"call number ({order})")
    axes.set_ylabel("seconds")
    axes.set_title("Call by call", fontsize=11, loc="left")
    axes.legend(fontsize=8, ncols=5, loc="upper right")
