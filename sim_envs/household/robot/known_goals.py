"""What a robot without a language model goes by: goals that it reached before, in other homes, with their plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS
from rarrl.alfred_plans import alfred_plan
from rarrl.files import write_text_atomic
from rarrl.reasoner.nearest import NearestGoal

from ..tasks import draw_mission, remaining_plan

EXPERIENCE = 240
"""Missions that the robot has done before: the default plan is then right for four goals in ten, as on ALFRED."""
EXPERIENCE_PATH = HOUSEHOLD_TASKS.with_name("household_known_goals.jsonl")
"""The goals of `known_goals()`, one a line: to draw so many homes takes three seconds. Made anew by `python -m
rarrl_sim_envs.household.robot.known_goals`."""
Rows = Sequence[Sequence[str]]
"""Verbs with their arguments, as ALFRED writes a plan."""
_STREAM = 6007  # first number of the seeds; an environment seeds its missions by one number, so none occurs in both


@lru_cache(maxsize=4)
def known_goals(missions: int = EXPERIENCE, seed: int = 0) -> NearestGoal:
    """The goals of so many `missions`, drawn from a stream of their own, each with the plan that reached it.

    Raises: ValueError for no mission at all."""
    if (missions, seed) == (EXPERIENCE, 0):
        lines = EXPERIENCE_PATH.read_text("utf-8").splitlines()
        reached = [(each["goal"], each["plan"]) for each in map(json.loads, lines)]
    else:
        reached = drawn(missions, seed)
    return NearestGoal(goals=[(goal, alfred_plan(rows)) for goal, rows in reached])


def drawn(missions: int, seed: int) -> list[tuple[str, Rows]]:
    """The goal of each mission, and the plan that reaches it, without GotoLocation."""
    found: list[tuple[str, Rows]] = []
    for number in range(missions):
        mission = draw_mission(np.random.default_rng([_STREAM, seed, number]))
        rows = remaining_plan(mission.world(0, 0, 0.0), mission.task)
        found.append((mission.task.goal, [row for row in rows if row[0] != "GotoLocation"]))
    return found


def main(path: Path = EXPERIENCE_PATH) -> None:
    lines = [json.dumps({"goal": goal, "plan": rows}) + "\n" for goal, rows in drawn(EXPERIENCE, 0)]
    write_text_atomic(path, "".join(lines))


if __name__ == "__main__":
    main()
