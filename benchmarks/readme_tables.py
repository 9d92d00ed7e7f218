"""Writes the figures of benchmarks/results/*.json between the markers of docs/FIGURES.md (all) and README.md (a few).

python benchmarks/readme_tables.py            # rewrites both
python benchmarks/readme_tables.py --check    # exit status 1 where one would change
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rarrl.cli.results import figure_text
from rarrl.files import write_text_atomic

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


HEADLINES = {
    "orchestrator_eval": (
        "llm_seconds_saved_vs_always",
        "success_lost_vs_always",
        "gain_over_best_rule",
        "shock_gain_over_threshold",
    ),
    "orchestrator_recorded": ("llm_seconds_saved_vs_always", "success_lost_vs_always", "gain_over_best_rule"),
    "planner_eval": ("all_parameters_accuracy", "plan_accuracy_level1", "gain_level2", "gain_verifier"),
    "planner_bench": ("deadline_overrun_p99_ms", "restart_s"),
    "detector": ("iou_gain_indoor", "iou_gain_nominal", "iou_gain_rendered", "ece"),
    "detector_bench": ("speedup_vs_sgbm", "speedup_vs_stereovoxelnet"),
    "household": ("expert_success",),
    "mission": (
        "success_learned",
        "success_always",
        "success_never",
        "llm_seconds_saved_vs_always",
        "success_lost_vs_always",
        "gain_over_best_rule",
        "collisions_with_gate",
        "collisions_without_gate",
        "subgoal_success",
    ),
    "mission_graph": ("graph_success", "graph_collisions", "loop_miss_rate"),
    "mission_kills": ("stop_s_max", "recovered"),
    "policy_eval": ("success_f16", "success_mt10", "parity_f32"),
    "policy_node": ("late_chunks", "stale_commands", "hold_s_max"),
    "policy_speed": ("speedup_tuned", "kept_tuned"),
    "policy_tabletop": ("success_tabletop", "success_tabletop_wrong"),
    "quantize_bench": ("error_ratio_uniform_2p5", "error_ratio_uniform_3", "error_ratio_compensated_imatrix"),
    "quantize_closed_loop": ("kept_3bpw", "kept_2p5bpw", "memory_ratio_2p5"),
    "safety_gate": ("unsafe_outputs", "stop_s_max", "collisions_with_gate", "collisions_without_gate"),
    "stereo_node": ("node_p95_ms", "dropped", "false_free"),
}
"""What README.md shows, of each results file that is there."""
PAGES = {"README.md": HEADLINES, "docs/FIGURES.md": None}


def section(folder: Path, chosen: dict[str, tuple[str, ...]] | None = None) -> str:
    """The Markdown between the markers: a table per results file. `chosen`: of these files and figures alone."""
    paths = [path for path in sorted(folder.glob("*.json")) if chosen is None or path.stem in chosen]
    parts = [_results(path, chosen and chosen[path.stem]) for path in paths]
    return "\n\n".join(parts) if parts else "No results yet."


def _results(path: Path, chosen: tuple[str, ...] | None) -> str:
    document = json.loads(path.read_text("utf-8"))
    machine = document["machine"]
    where = ", ".join(str(machine[key]) for key in ("processor", "cores") if machine.get(key))
    head = f"**{path.stem}** (`{document['command']}`, seed {document['seed']}, {document['date']}; {where} cores)"
    figures = document["figures"]
    return f"{head}\n\n{_figures({n: f for n, f in figures.items() if chosen is None or n in chosen})}"


def _figures(figures: dict[str, Any]) -> str:
    lines = ["| figure | value [95 % interval] | n | unit |", "|---|---|---|---|"]
    for name, figure in figures.items():
        n = "" if figure.get("n") is None else figure["n"]
        lines.append(f"| `{name}` | {figure_text(figure)} | {n} | {figure['unit']} |")
    return "\n".join(lines)


def rewritten(page: str, folder: Path, chosen: dict[str, tuple[str, ...]] | None = None) -> str:
    """`page` with a fresh section. Raises: ValueError where the markers are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{section(folder, chosen)}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where a page is stale")
    args = parser.parse_args()
    stale = False
    for name, chosen in PAGES.items():
        path = ROOT / name
        old = path.read_text("utf-8")
        new = rewritten(old, ROOT / "benchmarks" / "results", chosen)
        if args.check and new != old:
            print(f"{name} is stale: python benchmarks/readme_tables.py", file=sys.stderr)
            stale = True
        elif new != old:
            write_text_atomic(path, new)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
