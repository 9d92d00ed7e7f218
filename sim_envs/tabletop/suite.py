"""The tabletop as a suite: what is recorded, evaluated and reported of it."""

from __future__ import annotations

import numpy as np

from ..suite import Control, Suite
from .env import MAX_STEPS, TASKS, TabletopEnv

ALL = tuple(TASKS)


def other_task(name: str, start: int) -> str:
    """Another task than `name`, drawn by the start."""
    others = [other for other in ALL if other != name]
    rng = np.random.default_rng([start, ALL.index(name)])
    return others[rng.integers(len(others))]


def own_start(name: str, i: int) -> int:
    """Each task has starts of its own, so that training sees 24 times as many images as with shared ones."""
    return i * len(ALL) + ALL.index(name)


SUITE = Suite(
    name="tabletop",
    tasks=TASKS,
    make=TabletopEnv,
    record_steps=MAX_STEPS,
    play_steps=MAX_STEPS,
    packages=("mujoco",),
    control=Control(
        kind="wrong",
        task=other_task,
        done=lambda env, name: env.solved(TASKS[name]),
        rule="another instruction for the same picture, drawn by start; success of the first one",
    ),
    figures={
        "success_tabletop": (ALL, "trained", "success"),
        "success_tabletop_held_out": (ALL, "held_out", "success"),
        "success_tabletop_wrong": (ALL, "wrong", "success"),
        "success_tabletop_told": (ALL, "wrong", "told_success"),
    },
    start=own_start,
)
