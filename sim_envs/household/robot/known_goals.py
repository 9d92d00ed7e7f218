"""What a robot without a language model goes by: goals that it reached before, in other homes, with their plans."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rarrl.alfred import AlfredPlan, Annotation, SubgoalType
from rarrl.reasoner.nearest import NearestGoal

from ..tasks import draw_mission, remaining_plan

EXPERIENCE = 240
"""Missions that the robot has done before: the default plan is then right for four goals in ten, as on ALFRED."""
_STREAM = 6007  # first number of the seeds; an environment seeds its missions by one number, so none occurs in both


@lru_cache(maxsize=4)
def known_goals(missions: int = EXPERIENCE, seed: int = 0) -> NearestGoal:
    """The goals of so many `missions`, drawn from a stream of their own, each with the plan that reached it.

    Raises: ValueError for no mission at all."""
    return NearestGoal(_reached(number, seed) for number in range(missions))


def _reached(number: int, seed: int) -> AlfredPlan:
    """The goal of mission `number`, with the plan that reaches it, without GotoLocation."""
    mission = draw_mission(np.random.default_rng([_STREAM, seed, number]))
    rows = [row for row in remaining_plan(mission.world(0, 0, 0.0), mission.task) if row[0] != "GotoLocation"]
    verbs = tuple(SubgoalType[row[0]] for row in rows)
    return AlfredPlan(
        mission.task.task_type,
        "",
        f"household-{seed}-{number}",
        verbs,
        tuple(row[1:] for row in rows),
        (1,) * len(rows),
        (Annotation(mission.task.goal, ()),),
        mission.task.parameters,
    )
