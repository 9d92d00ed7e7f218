"""Whether the missions of `rarrl/Household-v0` can be done, what its disturbances cost, and how fast it runs.

    python benchmarks/household.py [--missions 200] [--steps 120] [--json benchmarks/results/household.json]

The scripted expert, which knows the whole world, drives the same seeded missions three times in the twin, whose world
is the same as that of the rendered environment: with disturbances, making its plan anew after each (`expert`); with
disturbances and the plan of the start (`fixed_plan`: its failed steps are tried again until time is up); and without
disturbances (`undisturbed`).

Speed: rendered steps (stereo pair of 320 x 240 with noise) and steps of the twin, in turns, the same actions. cpu_ms:
processor time per step, which other work on the machine hardly changes; wall_ms: median of the time on the clock, which
it does. The pictures take neither a detector's time nor a policy's.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.mission import Run, run_mission

SEED = 0
SETTINGS: dict[str, tuple[float, bool]] = {  # disturbance, whether it makes new plans
    "expert": (1.0, True),
    "fixed_plan": (1.0, False),
    "undisturbed": (0.0, True),
}


def drive(missions: int, disturbance: float, replans: bool) -> tuple[list[Run], list[str]]:
    """The runs, and the task type of each."""
    env = HouseholdEnv(stereo=False, disturbance=disturbance)
    runs = []
    types = []
    for number in range(missions):
        runs.append(run_mission(env, SEED + number, replans))
        types.append(env.mission.task.task_type)
    return runs, types


def row(name: str, runs: list[Run]) -> dict[str, Any]:
    """The table row of a setting."""
    disturbances = Counter(text.split(":")[0] for run in runs for text in run.disturbed)
    return {
        "setting": name,
        "missions": len(runs),
        "success": round(float(np.mean([run.success for run in runs])), 4),
        "conditions_met": round(float(np.mean([run.share for run in runs])), 4),
        "median_s": round(float(np.median([run.seconds for run in runs])), 1),
        "collisions": sum(run.collisions for run in runs),
        "failed_attempts": sum(len(run.failures) for run in runs),
        **{kind: disturbances[kind] for kind in ("moved", "shut", "slipped", "dropped")},
    }


def speed(steps: int) -> dict[str, dict[str, float]]:
    """{"rendered" or "twin": {"cpu_ms", "wall_ms"}} per step; in turns of a tenth of the steps."""
    envs = {"rendered": HouseholdEnv(), "twin": HouseholdEnv(stereo=False)}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in envs}

    for env in envs.values():
        env.reset(seed=SEED)
        env.step(np.array([0.1, 0.3, 0.0]))  # the first picture takes longer
    actions = np.random.default_rng(SEED).uniform((0, -1, 0), (0.5, 1, 0), (steps, 3))
    for block in np.array_split(actions, 10):
        for name, env in envs.items():
            for action in block:
                wall = time.perf_counter()
                cpu = time.process_time()
                env.step(action)
                spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))

    for env in envs.values():
        env.close()
    return {
        name: {"cpu_ms": 1e3 * float(np.mean([c for c, _ in v])), "wall_ms": 1e3 * float(np.median([w for _, w in v]))}
        for name, v in spent.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missions", type=int, default=200)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    times = speed(args.steps)

    figures: dict[str, Figure] = {}
    rows = []
    by_type = []
    for name, (disturbance, replans) in SETTINGS.items():
        runs, types = drive(args.missions, disturbance, replans)
        rows.append(row(name, runs))
        lo, hi = wilson(sum(run.success for run in runs), len(runs))
        value = float(np.mean([run.success for run in runs]))
        figures[f"{name}_success"] = Figure(value, "share of missions done", len(runs), round(lo, 4), round(hi, 4))
        print(rows[-1])
        if name == "expert":
            figures["expert_collisions"] = Figure(sum(run.collisions for run in runs), "contacts", len(runs))
            for kind in sorted(set(types)):
                of_kind = [run for run, t in zip(runs, types, strict=True) if t == kind]
                done = sum(run.success for run in of_kind)
                by_type.append({"task_type": kind, "missions": len(of_kind), "done": done})

    for name, figure in times.items():
        figures[f"{name}_cpu_ms"] = Figure(round(figure["cpu_ms"], 3), "ms of processor time per step", args.steps)
        figures[f"{name}_wall_ms"] = Figure(round(figure["wall_ms"], 3), "ms per step, median", args.steps)
    rendered = times["rendered"]
    twin = times["twin"]
    figures["twin_speedup_cpu"] = Figure(round(rendered["cpu_ms"] / twin["cpu_ms"], 1), "times", args.steps)
    figures["twin_speedup_wall"] = Figure(round(rendered["wall_ms"] / twin["wall_ms"], 1), "times", args.steps)
    figures["control_hz_per_core"] = Figure(round(1e3 / rendered["cpu_ms"], 1), "steps per second of processor time")
    figures["twin_steps_per_cpu_s"] = Figure(round(1e3 / twin["cpu_ms"]), "steps per second of processor time")
    figures["load_average"] = Figure(round(load, 2), "at the start of the timings")
    for name, shown in figures.items():
        print(name, shown.text())
    command = f"python benchmarks/household.py --missions {args.missions} --steps {args.steps}"
    if args.json:
        write_results(args.json, make_results(command, SEED, figures, {"settings": rows, "task_types": by_type}))


if __name__ == "__main__":
    main()
