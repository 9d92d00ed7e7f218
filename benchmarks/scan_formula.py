"""Which formula turns an obstacle summary into the safety gate's scan, measured in the household.

    python benchmarks/scan_formula.py [--missions 20] [--drives 40] [--only FORMULA] [--journals DIR]
                                      [--json benchmarks/results/scan_formula.json]

A bearing of the scan says how far it is seen to be free. `clear`: how far it is free without a gap (`clear_m`);
`nearest_and_clear`: the nearer of that and its nearest obstacle (`nearest_m`); `nearest`: the nearest obstacle alone,
where what was not seen counts as free: no formula for a robot, but it shows whether these drives notice that.

Each of the first two plays the same missions (homes, goals, people, luck), with calls of the language model as long as
in a latency profile, so that the runs repeat. All three play the same drives, one GotoLocation each between two people.
Besides, the first two formulas are compared on every scan of those drives. Journals keep what is done: several
processes may share the work, one formula each with `--only`, and a last one writes the figures.
The rides of benchmarks/safety_gate.py have no part in this: their scans are ray-casts, and no formula stands between.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
MISSIONS_OF = ("clear", "nearest_and_clear")
FORMULAS: dict[str, Formula] = {
    "clear": lambda summary: summary.clear_m,
    "nearest_and_clear": lambda summary: np.minimum(summary.nearest_m, summary.clear_m),
    "nearest": lambda summary: summary.nearest_m,
}


@dataclass
class Tally:
    """Scans and bearings so far, and in how many bearings `clear` and `nearest_and_clear` differ."""

    scans: int = 0
    bearings: int = 0
    differing_bearings: int = 0

    def add(self, summary: ObstacleSummary) -> None:
        """One more scan."""
        differs = FORMULAS["clear"](summary) != FORMULAS["nearest_and_clear"](summary)
        self.scans += 1
        self.bearings += len(differs)
        self.differing_bearings += int(np.count_nonzero(differs))


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
    """One GotoLocation. steps: of 0.1 s. least_clear_m: from the base's edge to the nearest thing or person. The rest
    as in `Tally`."""

    seed: int
    arrived: bool
    steps: int
    collisions: int
    gate_stops: int
    least_clear_m: float
    scans: int
    bearings: int
    differing_bearings: int


def drive_all(policy: LlamaPolicy, formula: Formula, seeds: Sequence[int], journal: Path) -> list[Drive]:
    """The drives of these seeds by one formula; people walk about."""
    driver = PolicyDriver(policy, CLASSICAL)
    lines = journal.read_text("utf-8").splitlines() if journal.exists() else []
    done = {drive.seed: drive for drive in (Drive(**json.loads(line)) for line in lines)}
    env = HouseholdEnv(subgoal="GotoLocation")
    try:
        for seed in seeds:
            if seed in done:
                continue
            tally = Tally()
            env.reset(seed=seed)
            driver.begin(env)
            with using(formula, tally):
                while not env.is_done and not env.is_late:
                    driver.attempt(env)
            counted = driver.statistics
            world = env.world
            done[seed] = Drive(
                seed,
                env.is_done,
                world.steps,
                world.collisions,
                counted.stops,
                counted.least_clear_m,
                tally.scans,
                tally.bearings,
                tally.differing_bearings,
            )
            with journal.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(done[seed])) + "\n")
    finally:
        env.close()
    return [done[seed] for seed in seeds]


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
    parser.add_argument("--only", choices=list(FORMULAS), help="this formula alone; no figures")
    parser.add_argument("--journals", type=Path, help="folder of the missions done: a run that was killed goes on")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    journals = args.journals or Path(tempfile.mkdtemp())
    journals.mkdir(parents=True, exist_ok=True)
    first = FIRST_SEED + 10_000 * SEED
    played: dict[str, list[Row]] = {}
    driven: dict[str, list[Drive]] = {}
    policy = LlamaPolicy(FOLDER, FOLDER / SETTING.gguf)
    for name in [args.only] if args.only else FORMULAS:
        formula = FORMULAS[name]
        driven[name] = drive_all(policy, formula, range(first, first + args.drives), journals / f"drives_{name}.jsonl")
        print(drives_row(name, driven[name]), flush=True)
        if name in MISSIONS_OF:
            with using(formula, Tally()):
                seeds = range(first, first + args.missions)
                played[name] = [row for _, row in run_missions([SETTING], seeds, journals / f"{name}.jsonl")]
            print(table_row(name, played[name]), flush=True)
    if args.only:
        return

    two = [drive for name in MISSIONS_OF for drive in driven[name]]
    bearings = sum(drive.bearings for drive in two)
    alike = sum(same(a, b) for a, b in zip(*(played[name] for name in MISSIONS_OF), strict=True))
    drives_alike = sum(a == b for a, b in zip(*(driven[name] for name in MISSIONS_OF), strict=True))
    figures = {
        "scans": Figure(sum(drive.scans for drive in two), "scans that both formulas made", len(two)),
        "differing_bearings": Figure(sum(drive.differing_bearings for drive in two), "bearings", bearings),
        "missions_alike": Figure(alike, "missions that went alike with the two formulas", args.missions),
        "drives_alike": Figure(drives_alike, "drives that went alike with the two formulas", args.drives),
    }
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
