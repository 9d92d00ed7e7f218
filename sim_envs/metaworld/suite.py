"""Meta-World as a suite: what is recorded, evaluated and reported of it."""

from __future__ import annotations

from ..suite import Control, Suite
from .env import MT10, SEVEN, TASKS, MetaWorldLanguageEnv

SUITE = Suite(
    name="metaworld",
    tasks=TASKS,
    make=MetaWorldLanguageEnv,
    # Experts need 32 to 120 steps (0.4 to 1.5 s); a disturbed one a few more, and a policy a few more than that.
    record_steps=140,
    play_steps=150,
    packages=("mujoco", "metaworld"),
    # Without `done`: the other task's scene is mostly another one.
    control=Control(
        kind="swapped",
        task=lambda name, start: TASKS[name].swapped,
        rule={name: task.swapped for name, task in TASKS.items()},
    ),
    figures={
        "success_f16": (SEVEN, "trained", "success"),
        "success_mt10": (MT10, "trained", "success"),
        "success_held_out": (SEVEN, "held_out", "success"),
        "success_swapped": (SEVEN, "swapped", "success"),
    },
)
