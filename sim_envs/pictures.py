"""The Pareto picture of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LEARNED, RULE, ORACLE = "#0072b2", "#666666", "#009e73"


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
        for rule, row in table["rules"].items():
            colour = ORACLE if rule == "oracle" else RULE
            axes.plot(row["llm_seconds"], 100 * row["success"], "s", color=colour, ms=5)
            axes.annotate(
                rule.replace("_", " "),
                (row["llm_seconds"], 100 * row["success"]),
                xytext=(5, -3),
                textcoords="offset points",
                fontsize=8,
                color=colour,
            )
        axes.set_title(title)
        axes.set_xlabel("LLM seconds per task (mean)")
        axes.set_ylabel("Tasks done, %")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
