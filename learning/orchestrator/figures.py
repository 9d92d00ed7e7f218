"""The Pareto picture of an evaluation: success against LLM seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LEARNED = "#0072b2"
ORACLE = "#009e73"
MARKERS = "ovs^D<P>Xphd"  # one per rule: eleven labels beside their points would overlap
# Tables of the results document, one panel each, and their titles.
PANELS = {
    "binding": "Binding budget",
    "unbound": "No bound on the budget",
    "held_out_profiles": "Unseen language models, binding budget",
}


def pareto(results: dict[str, Any], path: Path) -> None:
    """Success against LLM seconds: the learned policy's lambda sweep as a line, each rule as a point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    FigureCanvasAgg(figure)

    axes = None
    for axes, (name, title) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        table = results["tables"][name]
        sweep = sorted(table["learned_by_price"], key=lambda row: row["llm_seconds"])
        x = [row["llm_seconds"] for row in sweep]
        axes.fill_between(
            x, [100 * r["lo"] for r in sweep], [100 * r["hi"] for r in sweep], color=LEARNED, alpha=0.15, lw=0
        )
        axes.plot(x, [100 * r["success"] for r in sweep], ".-", color=LEARNED, label="learned, price swept (95 %)")
        for marker, (rule, row) in zip(MARKERS, table["rules"].items(), strict=False):
            colour = ORACLE if rule == "oracle" else "#444444"
            label = rule.replace("_", " ") + (" (peeks)" if rule == "oracle" else "")
            axes.plot(
                row["llm_seconds"], 100 * row["success"], marker, color=colour, mfc="white", ms=7, mew=1.5, label=label
            )

        axes.set_title(title)
        axes.set_xlabel("LLM seconds per task (mean)")
        axes.set_ylabel("Tasks done, %")
        axes.grid(alpha=0.3)

    assert axes is not None
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
