"""The Pareto picture of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LEARNED, RULE, ORACLE = "#0072b2", "#666666", "#009e73"


def _merged(points: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Rules that came out as one point share a label."""
    merged: list[tuple[str, dict[str, Any]]] = []
    for name, row in points:
        last = merged[-1] if merged else None
        same = last is not None and all(abs(last[1][k] - row[k]) < 1e-9 for k in ("llm_seconds", "success"))
        text = name.replace("_", " ")
        if last is not None and same:
            merged[-1] = (f"{last[0]}, {text}", row)
        else:
            merged.append((text, row))
    return merged


def pareto(results: dict[str, Any], path: Path) -> None:
    """Success against LLM seconds: the learned policy's lambda sweep as a line, each rule as a point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = {
        "binding": "Binding budget",
        "unbound": "No bound on the budget",
        "held_out_profiles": "Unseen LLMs, binding",
    }
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        table = results["tables"][name]
        sweep = sorted(table["learned_by_price"], key=lambda row: row["llm_seconds"])
        x = [row["llm_seconds"] for row in sweep]
        axes.fill_between(
            x, [100 * r["lo"] for r in sweep], [100 * r["hi"] for r in sweep], color=LEARNED, alpha=0.15, lw=0
        )
        axes.plot(x, [100 * r["success"] for r in sweep], "o-", color=LEARNED, ms=4, label="learned, price swept")
        points = sorted(table["rules"].items(), key=lambda item: item[1]["llm_seconds"])
        right = max(row["llm_seconds"] for _, row in points)
        axes.set_xlim(-0.05 * right, 1.35 * right)
        before: list[tuple[float, float]] = []
        above = False
        for name_, row in _merged(points):
            colour = ORACLE if name_ == "oracle" else RULE
            at = row["llm_seconds"], 100 * row["success"]
            near = any(at[0] - x0 < 0.3 * right and abs(at[1] - y0) < 1.2 for x0, y0 in before)
            before.append(at)
            above = near and not above
            axes.plot(*at, "s", color=colour, ms=5)
            offset = (5, -3) if not near else (-4, 7) if above else (-4, -14)
            axes.annotate(name_, at, xytext=offset, textcoords="offset points", fontsize=8, color=colour)
        axes.set_title(title)
        axes.set_xlabel("LLM seconds per task (mean)")
        axes.set_ylabel("Tasks done, %")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
