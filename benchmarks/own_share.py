"""Whether what this process waits for a core tells, before a call, how long the shipped planner will take.

    python benchmarks/own_share.py [--seconds S] [--json FILE]

Between two calls this process computes for 50 ms, as a robot does; after every six calls another number of programs (0
to twice the cores) works beside it. The same calls are told to `RunningCosts` with and without `OwnShare`; what counts
is the error of the logarithm that each expected before the call. Intervals are bootstrapped over the six calls.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS, read_alfred
from rarrl.build import make_reasoner
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.running_costs import RunningCosts
from rarrl.reasoner.base import Request
from rarrl.resources.own_share import OwnShare
from rarrl.results import Figure, make_results, write_results
from rarrl.types import CALL_TIMEOUT_S, Action, CallStatus, LlmCall, Role
from rarrl_learning.orchestrator.busy_cores import cores_at_work
from rarrl_learning.orchestrator.rollout import Clusters, interval

CALLS = 6
OWN_S = 0.06
PROFILE = "household"


def record(seconds: float, seed: int) -> np.ndarray:
    """(calls, 4): turn, programs beside it, slowdown before the call, seconds of the call."""
    goals = [each.goal for plan in read_alfred(HOUSEHOLD_TASKS).plans for each in plan.annotations]
    rng, share, matrix = np.random.default_rng(seed), OwnShare(), np.ones((200, 200))
    reasoner = make_reasoner("llama")
    rows: list[tuple[float, ...]] = []
    until = time.monotonic() + seconds
    try:
        reasoner.ask(Request(0, Role.PLANNER, 1, goals[0], CALL_TIMEOUT_S))  # loading is not a call
        turn = 0
        while time.monotonic() < until:
            programs = int(rng.choice([0, 1, 2, 4])) * (os.cpu_count() or 1) // 2
            with cores_at_work(programs):
                for _ in range(CALLS):
                    begun = time.process_time()
                    while time.process_time() - begun < OWN_S:
                        matrix @ matrix
                    slowdown = share.slowdown()
                    at = time.monotonic()
                    reasoner.ask(Request(len(rows) + 1, Role.PLANNER, 1, goals[len(rows) % len(goals)], CALL_TIMEOUT_S))
                    rows.append((turn, programs, slowdown, time.monotonic() - at))
            turn += 1
    finally:
        reasoner.close()
    return np.array(rows)


def errors(calls: np.ndarray, sees: bool) -> np.ndarray:
    """(calls,) log(seconds / expected before the call). sees: what a robot sees of its computer is told."""
    now = [1.0]
    costs = RunningCosts(
        ReplayTable.from_profile(load_profile(PROFILE)).costs, slowdown=(lambda: now[0]) if sees else None
    )
    out = []
    for _, _, now[0], seconds in calls:
        out.append(np.log(seconds / costs.mean_s[Action.PLANNER_1 - 1]))
        costs.observe(LlmCall(Action.PLANNER_1, CallStatus.OK, seconds, 0.0))
    return np.array(out)


def main() -> None:
    """Records, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=150.0, help="of recording")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    calls = record(args.seconds, args.seed)
    first = np.diff(calls[:, 0], prepend=-1) != 0
    known = calls[:, 0] >= 2  # both have met a change of load by then
    figures: dict[str, Figure] = {}
    for name, sees in (("without", False), ("with", True)):
        squared = errors(calls, sees) ** 2
        for part, which in (("first_call_after_change", known & first), ("later_calls", known & ~first)):
            draws = np.sqrt(Clusters.make(calls[which, 0]).means(squared[which]))
            lo, hi = interval(draws)
            root = float(np.sqrt(squared[which].mean()))
            figures[f"log_error_{name}_own_share_{part}"] = Figure(
                root, "rms of the logarithm", int(which.sum()), lo, hi
            )
    r = float(np.corrcoef(np.log(calls[:, 2]), np.log(calls[:, 3]))[0, 1])
    figures["correlation_own_share_seconds"] = Figure(r, "correlation of logarithms", len(calls))
    medians: dict[str, Any] = {
        f"{int(programs)} programs": round(float(np.median(calls[calls[:, 1] == programs, 3])), 4)
        for programs in np.unique(calls[:, 1])
    }
    results = make_results(
        shlex.join(["python", "benchmarks/own_share.py", *sys.argv[1:]]), args.seed, figures, {"median_s": medians}
    )
    for name, figure in figures.items():
        print(f"{name}: {figure.text()}")
    print(medians)
    if args.json is not None:
        write_results(args.json, results)


if __name__ == "__main__":
    main()
