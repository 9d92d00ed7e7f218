"""Which formula turns an obstacle summary into the safety gate's scan, measured in the household.

    python benchmarks/scan_formula.py [--missions 20] [--drives 40] [--journals DIR]
                                      [--json benchmarks/results/scan_formula.json]

A bearing of the scan says how far it is seen to be free. `clear`: how far it is free without a gap (`clear_m`);
`nearest_and_clear`: the nearer of that and its nearest obstacle (`nearest_m`); `nearest`: the nearest obstacle alone,
where what was not seen counts as free: no formula for a robot, but it shows that these missions notice a formula.

Each formula plays the same missions (homes, goals, people, luck), with calls of the language model as long as in a
latency profile, so that the runs repeat; and the same drives, one GotoLocation each between two people. Besides, the
first two formulas are compared on every scan.
The rides of benchmarks/safety_gate.py have no part in this: their scans are ray-casts, and no formula stands between.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.perception import obstacle_sensor
from rarrl.policy.serve import LlamaPolicy
from rarrl.range_scan import RangeScan
from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl.types import ObstacleSummary
from rarrl_learning.household.evaluate import FIRST_SEED, FOLDER, Row, Setting, run_missions
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.drivers import CLASSICAL, PolicyDriver
from rarrl_sim_envs.household.world import DT

SETTING = Setting(policy="learned", latency="household-training")
"""Calls take drawn seconds, not measured ones: a busy machine changes nothing."""
SEED = 0
Formula = Callable[[ObstacleSummary], np.ndarray]
FORMULAS: dict[str, Formula] = {
    "clear": lambda summary: summary.clear_m,
    "nearest_and_clear": lambda summary: np.minimum(summary.nearest_m, summary.clear_m),
    "nearest": lambda summary: summary.nearest_m,
}


@dataclass
class Tally:
    """Scans and bearings, and in how many of either `clear` and `nearest_and_clear` differ."""

    scans: int = 0
    bearings: int = 0
    differing_bearings: int = 0
    largest_m: float = 0.0

    def add(self, summary: ObstacleSummary) -> None:
        """One more scan."""
        gap = np.abs(FORMULAS["clear"](summary) - FORMULAS["nearest_and_clear"](summary))
        self.scans += 1
        self.bearings += len(gap)
        self.differing_bearings += int(np.count_nonzero(gap))
        self.largest_m = max(self.largest_m, float(gap.max()))


@contextmanager
def using(formula: Formula, tally: Tally) -> Iterator[None]:
    """Inside, sensors make their scans by `formula`."""
    original = obstacle_sensor.range_scan

    def made(summary: ObstacleSummary, field_rad: float, range_max_m: float) -> RangeScan:
        tally.add(summary)
        width = field_rad / len(summary.clear_m)
        return RangeScan(width / 2 - field_rad / 2, width, formula(summary), range_max_m)

    obstacle_sensor.range_scan = made
    try:
        yield
    finally:
        obstacle_sensor.range_scan = original


@dataclass(frozen=True)
class Drive:
    """One GotoLocation. steps: of 0.1 s. least_clear_m: from the base's edge to the nearest thing or person."""

    arrived: bool
    steps: int
    collisions: int
    gate_stops: int
    least_clear_m: float


def drive_all(policy: LlamaPolicy, seeds: Sequence[int]) -> list[Drive]:
    """The drives of these seeds; people walk about."""
    driver = PolicyDriver(policy, CLASSICAL)
    drives = []
    env = HouseholdEnv(subgoal="GotoLocation")
    try:
        for seed in seeds:
            env.reset(seed=seed)
            driver.begin(env)
            while not env.is_done and not env.is_late:
                driver.attempt(env)
            counted = driver.statistics
            drives.append(
                Drive(env.is_done, env.world.steps, env.world.collisions, counted.stops, counted.least_clear_m)
            )
    finally:
        env.close()
    return drives


def drives_row(name: str, drives: Sequence[Drive]) -> dict[str, Any]:
    """What the drives of one formula came to."""
    return {
        "formula": name,
        "drives": len(drives),
        "arrived": sum(drive.arrived for drive in drives),
        "drive_s": round(float(np.mean([drive.steps for drive in drives])) * DT, 3),
        "collisions": sum(drive.collisions for drive in drives),
        "gate_stops": sum(drive.gate_stops for drive in drives),
        "least_clear_m": round(min(drive.least_clear_m for drive in drives), 4),
    }


def table_row(name: str, rows: list[Row]) -> dict[str, Any]:
    """What the missions of one formula came to."""
    return {
        "formula": name,
        "missions": len(rows),
        "done": sum(row.result.success for row in rows),
        "mission_s": round(float(np.mean([row.result.mission_s for row in rows])), 3),
        "collisions": sum(row.result.collisions for row in rows),
        "gate_stops": sum(row.result.gate_stops for row in rows),
        "least_clear_m": round(min(row.least_clear_m for row in rows), 4),
        "steps": sum(row.steps for row in rows),
    }


def same(a: Row, b: Row) -> bool:
    """Whether two missions went alike to the last step, computing time left out."""
    return (a.result, a.steps, a.least_clear_m) == (b.result, b.steps, b.least_clear_m)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missions", type=int, default=20)
    parser.add_argument("--drives", type=int, default=40)
    parser.add_argument("--journals", type=Path, help="folder of the missions done: a run that was killed goes on")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    journals = args.journals or Path(tempfile.mkdtemp())
    seeds = range(FIRST_SEED, FIRST_SEED + args.missions)
    tally = Tally()
    played: dict[str, list[Row]] = {}
    driven: dict[str, list[Drive]] = {}
    policy = LlamaPolicy(FOLDER, FOLDER / SETTING.gguf)
    for name, formula in FORMULAS.items():
        # What was not seen counts as free with the last one: its scans say nothing of the other two.
        counted = Tally() if name == "nearest" else tally
        with using(formula, counted):
            driven[name] = drive_all(policy, range(FIRST_SEED, FIRST_SEED + args.drives))
            print(drives_row(name, driven[name]), flush=True)
    for name, formula in FORMULAS.items():
        counted = Tally() if name == "nearest" else tally
        with using(formula, counted):
            played[name] = [row for _, row in run_missions([SETTING], seeds, journals / f"{name}.jsonl")]
        print(table_row(name, played[name]), flush=True)

    alike = sum(same(a, b) for a, b in zip(played["clear"], played["nearest_and_clear"], strict=True))
    figures = {
        "scans": Figure(tally.scans, "scans of missions played here"),
        "differing_bearings": Figure(tally.differing_bearings, "bearings", tally.bearings),
        "largest_difference_m": Figure(tally.largest_m, "m", tally.bearings),
        "missions_alike": Figure(alike, "missions that went alike with the two formulas", args.missions),
    }
    same_drives = sum(a == b for a, b in zip(driven["clear"], driven["nearest_and_clear"], strict=True))
    figures["drives_alike"] = Figure(same_drives, "drives that went alike with the two formulas", args.drives)
    for name, drives in driven.items():
        figures[f"drive_collisions_{name}"] = Figure(sum(d.collisions for d in drives), "contacts", len(drives))
    for name, rows in played.items():
        done = sum(row.result.success for row in rows)
        low, high = wilson(done, len(rows))
        figures[f"success_{name}"] = Figure(done / len(rows), "share of missions", len(rows), low, high)
        figures[f"collisions_{name}"] = Figure(sum(r.result.collisions for r in rows), "contacts", len(rows))
    for name, figure in figures.items():
        print(name, figure.text())

    command = f"python benchmarks/scan_formula.py --missions {args.missions} --drives {args.drives}"
    tables = {
        "missions": [table_row(name, rows) for name, rows in played.items()],
        "drives": [drives_row(name, drives) for name, drives in driven.items()],
    }
    if args.json:
        write_results(args.json, make_results(command, SEED, figures, tables))


if __name__ == "__main__":
    main()
