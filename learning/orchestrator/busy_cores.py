"""How much slower calls of the shipped planner become on this computer when other programs keep its cores busy."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import HOUSEHOLD_TASKS, read_alfred
from rarrl.build import make_reasoner
from rarrl.reasoner.base import Request
from rarrl.types import CALL_TIMEOUT_S, Role

ROUNDS = 3
"""Times that idle and busy take turns: what else the computer does then falls on both."""
SETTLE_S = 0.5
"""Seconds until the programs that keep the cores busy run."""


@dataclass(frozen=True)
class BusyCores:
    """Seconds of calls: (n,) each, in turns of the same questions. programs: how many kept the cores busy."""

    idle_s: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    programs: int

    @property
    def factors(self) -> NDArray[np.float64]:
        """(n,) busy seconds over the median of the idle ones."""
        return self.busy_s / np.median(self.idle_s)

    def table(self) -> dict[str, Any]:
        """For a results document."""
        quantiles = {f"factor_p{q}": round(float(np.percentile(self.factors, q)), 2) for q in (5, 50, 95)}
        return {
            "calls": len(self.idle_s) + len(self.busy_s),
            "busy_programs": self.programs,
            "idle_median_s": round(float(np.median(self.idle_s)), 4),
            "busy_median_s": round(float(np.median(self.busy_s)), 4),
            **quantiles,
        }


def measure_busy_cores(
    calls: int = 40, seed: int = 0, progress: Callable[[str, float], None] | None = None
) -> BusyCores:
    """Asks the shipped planner `calls` questions in each of ROUNDS rounds, first as it is, then with as many programs
    at work beside it as there are cores. Raises: DependencyMissingError without llama-cpp-python."""
    goals = [each.goal for plan in read_alfred(HOUSEHOLD_TASKS).plans for each in plan.annotations]
    goals = [goals[i] for i in np.random.default_rng(seed).permutation(len(goals))]
    programs = os.cpu_count() or 1
    say = progress or (lambda what, share: None)
    reasoner = make_reasoner("llama")
    taken: dict[bool, list[float]] = {False: [], True: []}
    try:
        reasoner.ask(Request(0, Role.PLANNER, 1, goals[0], CALL_TIMEOUT_S))  # loading is not a call
        for turn in range(2 * ROUNDS):
            busy = turn % 2 == 1
            say(f"calls of the shipped planner, cores {'busy' if busy else 'as they are'}", turn / (2 * ROUNDS))
            with cores_at_work(programs if busy else 0):
                for number in range(calls):
                    goal = goals[(turn // 2 * calls + number) % len(goals)]
                    began = time.monotonic()
                    reasoner.ask(Request(number + 1, Role.PLANNER, 1, goal, CALL_TIMEOUT_S))
                    taken[busy].append(time.monotonic() - began)
    finally:
        reasoner.close()
    return BusyCores(np.array(taken[False]), np.array(taken[True]), programs)


@contextmanager
def cores_at_work(programs: int) -> Iterator[list[SpawnProcess]]:
    """Keeps `programs` programs computing meanwhile."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_spin, args=(os.getpid(),), daemon=True) for _ in range(programs)]
    for worker in workers:
        worker.start()
    try:
        time.sleep(SETTLE_S if programs else 0.0)
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _spin(parent: int) -> None:
    """Computes until process `parent` is gone, however that ended."""
    number = 0.0
    while os.getppid() == parent:
        for _ in range(100_000):
            number += 1.0
