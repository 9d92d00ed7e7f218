"""The table of `rarrl demo` over all missions that have recorded answers, and how its rules got their parameters.

    python benchmarks/demo_table.py tune [--missions 200]     # prints; missions of `household-training`
    python benchmarks/demo_table.py play [--missions 300]     # benchmarks/results/demo_table.json

Calls that take seconds ask for other parameters than the shipped model's. `tune` plays the candidates at the hosted
model's latencies, without driving, on the missions that the orchestrator was trained on; the demo has what did best.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rarrl.results import make_results, write_results
from rarrl_learning.household.demo import HOSTED, blocks, demo_settings, play_table, table_rows
from rarrl_learning.household.evaluate import Setting
from rarrl_learning.household.report.mission_table import figures_of, tables_of
from rarrl_learning.household.report.trace import MissionResult, Played
from rarrl_learning.household.twin_missions import play_in_twin
from rarrl_learning.spread import crew

RESULTS = Path("benchmarks/results/demo_table.json")
RULES = (
    *(f'always:{{"recipe":"{recipe}"}}' for recipe in ("P1", "P2")),
    *(f'after_failure:{{"failures":1,"recipe":"{recipe}"}}' for recipe in ("P1", "P2")),
    *(f'interval:{{"every":{every},"recipe":"{recipe}"}}' for every in (2, 3, 4, 5) for recipe in ("P1", "P2")),
)
PRICES = (0.06, 0.02, 0.008, 0.002)
"""Success that those that learned give for a second."""


def tune(missions: int) -> None:
    """Plays the candidates at the hosted model's latencies."""
    base = demo_settings("", None, HOSTED)[-1]
    candidates = [replace(base, policy=rule) for rule in RULES]
    for policy in ("learned", "household_beside"):
        candidates += [replace(base, policy=policy, cost_weight=price) for price in PRICES]
    for setting in candidates:
        played = [
            play_in_twin(setting, row, recording="household-training", drives=False).result for row in range(missions)
        ]
        done, llm_s, mission_s = (
            float(np.mean([getattr(r, name) for r in played])) for name in ("success", "llm_s", "mission_s")
        )
        print(
            f"{setting.policy} {setting.cost_weight:g}: {done:.3f} done, {llm_s:.2f} s of thinking, {mission_s:.1f} s "
            f"a mission, n = {missions}",
            flush=True,
        )


def play(missions: int) -> None:
    """The table, into RESULTS."""
    outcomes: dict[Setting, list[MissionResult]] = {}

    def keep(setting: Setting, played: Played) -> None:
        outcomes.setdefault(setting, []).append(played.result)

    with crew() as pool:
        play_table(table_rows(missions, 0), pool, partial(print, flush=True), keep)

    found = blocks(outcomes)
    command = f"python benchmarks/demo_table.py play --missions {missions}"
    write_results(RESULTS, make_results(command, 0, figures_of(found), tables_of(found)))
    for block in found:
        print(block.meaning())


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "play"))
    parser.add_argument("--missions", type=int)
    options = parser.parse_args()
    if options.what == "tune":
        tune(options.missions or 200)
    else:
        play(options.missions or 300)


if __name__ == "__main__":
    main()
