"""Success of the household's policy on single sub-goals: `subgoal_success` of `rarrl eval mission`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rarrl.policy.base import Policy
from rarrl.report.runs import wilson
from rarrl.results import Figure
from rarrl.types import ActStatus
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.executor import VERBS
from rarrl_sim_envs.household.robot.drivers import CLASSICAL, HomeSensor, PolicyDriver

from ..progress import Progress


def run_subgoals(
    policy: Policy, seeds: Sequence[int], sensor: HomeSensor = CLASSICAL, progress: Progress | None = None
) -> dict[str, list[tuple[bool, bool]]]:
    """By verb, for each seed: (succeeded within 30 s, at the first attempt). People walk about, grasps slip."""
    found: dict[str, list[tuple[bool, bool]]] = {verb: [] for verb in VERBS}
    driver = PolicyDriver(policy, sensor)
    count = 0
    for verb in VERBS:
        env = HouseholdEnv(subgoal=verb)
        try:
            for seed in seeds:
                env.reset(seed=seed)
                driver.begin(env)
                event = driver.attempt(env)
                first = event.status is ActStatus.SUCCESS
                while not env.is_done and not env.is_late:
                    driver.attempt(env)
                found[verb].append((env.is_done, first))
                count += 1
                if progress:
                    progress(count, verb)
        finally:
            env.close()

    return found


def subgoal_figures(found: dict[str, list[tuple[bool, bool]]]) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """`subgoal_success` (mean over verbs, each weighing the same), `subgoal_first_try`, and a row per verb."""
    rows = []
    figures = {}

    for verb, episodes in found.items():
        done, first = (sum(values) for values in zip(*episodes, strict=True))
        rows.append({"verb": verb, "episodes": len(episodes), "done": done, "at the first attempt": first})
    for name, key in (("subgoal_success", "done"), ("subgoal_first_try", "at the first attempt")):
        n = sum(row["episodes"] for row in rows)
        done = sum(row[key] for row in rows)
        lo, hi = wilson(done, n)
        figures[name] = Figure(done / n, "share of sub-goals, eight kinds equally often", n, round(lo, 4), round(hi, 4))

    return figures, rows
