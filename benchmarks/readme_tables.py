"""Writes the figures of benchmarks/results/*.json between the markers of docs/FIGURES.md (all) and README.md (five).

python benchmarks/readme_tables.py            # rewrites both
python benchmarks/readme_tables.py --check    # exit status 1 where one would change
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rarrl.cli.results import figure_text
from rarrl.files import write_text_atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

HEADLINES = (
    (
        "Missions in the simulated home, {mission.success_learned:n} for each policy",
        "{mission.success_learned:percent} done by `learned`, {mission.success_always:percent} by `always`, "
        "{mission.success_never:percent} by `never`, with "
        "{mission.llm_seconds_saved_vs_always:percent} fewer LLM seconds than `always`",
        "against `always` itself a tie: {mission.gain_over_best_rule_at_any_cost} points; calls of the small planner "
        "are so cheap that mission time hardly differs ({mission.mission_s_saved_vs_always} s saved)",
    ),
    (
        "ALFRED replay, where a call takes seconds",
        "{orchestrator_eval.llm_seconds_saved_vs_always:percent} fewer LLM seconds than always-think, and "
        "{orchestrator_eval.gain_over_best_rule} points of success above the best tuned rule at equal seconds",
        "{orchestrator_eval.success_lost_vs_always} points of success below always-think; on recorded answers of the "
        "shipped planner no gain over the best rule ({orchestrator_recorded.gain_over_best_rule} points)",
    ),
    (
        "Obstacle detector on three real indoor pairs",
        "IoU {detector.iou_indoor}: {detector.iou_gain_indoor} above the best tuned SGBM, and "
        "{detector_bench.speedup_vs_sgbm} times as fast as colour SGBM",
        "on {detector.iou_gain_rendered:n} rendered pairs the gain is not certain: {detector.iou_gain_rendered}",
    ),
    (
        "Action policy on Meta-World (a simulated arm: open and close drawers and windows, open a door, press a "
        "button, reach, push, pick and place) at 2.5 bits per weight",
        "no loss seen ({quantize_closed_loop.kept_2p5bpw} of the success at 16 bits, nine tasks), "
        "{quantize_closed_loop.memory_ratio_2p5} times less memory",
        "below {quantize_closed_loop.min_bpw_kept_ours} bits it loses more than a twentieth; at 16 bits it does "
        "{policy_eval.success_mt10} of the episodes of all ten tasks, none of `peg-insert-side`",
    ),
    (
        "Safety gate",
        "{faults.unsafe_outputs} unsafe outputs in {faults.rows:n} injected faults of {faults.rows} kinds; "
        "{mission.collisions_with_gate} collisions in {mission.collisions_with_gate:n} missions "
        "({mission.collisions_without_gate} in {mission.collisions_without_gate:n} without it); its last "
        "command that moves comes at most {faults.stop_p99_s} s after a fault (p99 of the slowest kind)",
        "{safety_gate.collisions_with_gate} collisions in {safety_gate.collisions_with_gate:n} blind rides, for which "
        "it stood more than a third of the time; measured in simulation only",
    ),
)
"""README's rows: what was measured, the figure, the loss beside it. `{file.figure}` is filled in; `:percent` and `:n`
write the value as a percentage, and the number of trials."""


def section(folder: Path) -> str:
    """All figures as Markdown: a table per results file."""
    parts = [_results(path) for path in sorted(folder.glob("*.json"))]
    return "\n\n".join(parts) if parts else "No results yet."


def headlines(folder: Path) -> str:
    """README's table. Raises: KeyError where a results file lacks a figure that it names."""
    rows = [tuple(_filled(text, folder) for text in row) for row in HEADLINES]
    return "\n".join(
        ["| measured | figure | and the loss |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    )


PAGES: dict[str, Callable[[Path], str]] = {"README.md": headlines, "docs/FIGURES.md": section}


def _filled(text: str, folder: Path) -> str:
    return re.sub(r"\{(\w+)\.(\w+)(?::(\w+))?\}", lambda found: _value(folder, *found.groups()), text)


def _value(folder: Path, file: str, name: str, form: str | None) -> str:
    figures = json.loads((folder / f"{file}.json").read_text("utf-8"))["figures"]
    if name not in figures:
        raise KeyError(f"{file}.json has no figure {name}; edit HEADLINES")
    figure = figures[name]
    if form == "n":
        return str(figure["n"])
    if form == "percent":
        return f"{100 * figure['value']:.0f} %"
    return figure_text(figure)


def _results(path: Path) -> str:
    document = json.loads(path.read_text("utf-8"))
    machine = document["machine"]
    where = ", ".join(str(machine[key]) for key in ("processor", "cores") if machine.get(key))
    head = f"**{path.stem}** (`{document['command']}`, seed {document['seed']}, {document['date']}; {where} cores)"
    figures = document["figures"]
    return f"{head}\n\n{_figures(figures) if figures else 'Tables alone: see the file.'}"


def _figures(figures: dict[str, Any]) -> str:
    lines = ["| figure | value [95 % interval] | n | unit |", "|---|---|---|---|"]
    for name, figure in figures.items():
        n = "" if figure.get("n") is None else figure["n"]
        lines.append(f"| `{name}` | {figure_text(figure)} | {n} | {figure['unit']} |")
    return "\n".join(lines)


def rewritten(page: str, made: str) -> str:
    """`page` with `made` between the markers. Raises: ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where a page is stale")
    args = parser.parse_args()
    stale = False
    for name, make in PAGES.items():
        path = ROOT / name
        old = path.read_text("utf-8")
        new = rewritten(old, make(RESULTS))
        if args.check and new != old:
            print(f"{name} is stale: python benchmarks/readme_tables.py", file=sys.stderr)
            stale = True
        elif new != old:
            write_text_atomic(path, new)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
