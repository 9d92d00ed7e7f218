"""What a set of tasks with words must tell, so that demonstrations, evaluation and command line serve all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.spec import RobotInfo, TaskInfo

from .metaworld import env as metaworld
from .tabletop import env as tabletop


class Task(Protocol):
    """One task and its words."""

    @property
    def name(self) -> str:
        """What files and tables call it."""

    def instructions(self, held_out: bool = False) -> list[str]:
        """The paraphrases for training, or those held out."""


class Env(Protocol):
    """An environment of one task that can be recorded and played; shapes and units are its own."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """options: `split`, `start`, `instruction`."""

    def advance(self, action: np.ndarray) -> bool:
        """One control step without a picture: whether the task is done."""

    def observation(self) -> dict[str, Any]:
        """`images`, `proprio`, `instruction`, drawn now."""

    def expert_action(self) -> np.ndarray:
        """(a,) float32: what the scripted expert would do now."""

    def expert_chunk(self, horizon: int) -> np.ndarray:
        """(horizon, a) float32: what it would do from here on; nothing moves."""

    def privileged(self) -> np.ndarray:
        """(6,) float32: what only the simulator knows; an extra target of training."""

    def distraction(self, i: int) -> np.ndarray:
        """(a,) float32: on the way to thing number `i`, without touching it; only of suites that are `distracting`."""

    def close(self) -> None:
        """Frees the renderer."""


@dataclass(frozen=True)
class Suite:
    """Tasks of one robot.

    make: task's name, most control steps -> environment. info: what training must know of a task.
    start: the number of a task's i-th start for training. record_steps, play_steps: control steps of an episode.
    groups: the row of the second table that a task belongs to.
    control: the kind of instruction that belongs to another task. told: task's name, start -> that other task.
    told_done: whether that other task, by name, is done now.
    control_rule: that, told in a result file.
    figures: name -> the tasks (a mean over them), the kind of instruction, and what of an episode is counted."""

    name: str
    tasks: Mapping[str, Task]
    make: Callable[[str, int], Env]
    robot: RobotInfo
    info: Callable[[str], TaskInfo]
    start: Callable[[str, int], int]
    distracting: bool
    record_steps: int
    play_steps: int
    rendering: str
    packages: tuple[str, ...]
    groups: Mapping[str, str]
    control: str
    told: Callable[[str, int], str]
    told_done: Callable[[Any, str], bool]
    control_rule: Any
    figures: Mapping[str, tuple[tuple[str, ...], str, str]]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of instruction."""
        return "trained", "held_out", self.control

    def task(self, name: str) -> Task:
        """Raises: InputError for an unknown name."""
        if name not in self.tasks:
            raise InputError(f"task: {name!r} is unknown; allowed: {', '.join(self.tasks)}")
        return self.tasks[name]


def _metaworld_info(name: str) -> TaskInfo:
    task = metaworld.TASKS[name]
    same_scene = metaworld.TASKS[task.swapped].scene == task.scene
    return TaskInfo(name, tuple(task.instructions()), task.scene, task.swapped if same_scene else "")


def _another(name: str, start: int) -> str:
    others = [other for other in tabletop.TASKS if other != name]
    rng = np.random.default_rng([start, list(tabletop.TASKS).index(name)])
    return others[rng.integers(len(others))]


def _suite(module: Any, **parts: Any) -> Suite:
    robot = RobotInfo(tuple(module.CAMERAS), module.PROPRIO_NAMES, module.ACTION_NAMES, module.CONTROL_HZ)
    return Suite(tasks=module.TASKS, robot=robot, rendering=module.RENDERING, **parts)


_SEVEN, _ALL = metaworld.SEVEN, tuple(tabletop.TASKS)
SUITES = {
    suite.name: suite
    for suite in (
        _suite(
            metaworld,
            name="metaworld",
            make=metaworld.MetaWorldLanguageEnv,
            info=_metaworld_info,
            start=lambda name, i: i,
            distracting=False,
            record_steps=140,
            play_steps=150,
            packages=("mujoco", "metaworld"),
            groups={},
            control="swapped",
            told=lambda name, start: metaworld.TASKS[name].swapped,
            told_done=lambda env, told: False,  # most have a scene of their own
            control_rule={name: task.swapped for name, task in metaworld.TASKS.items()},
            figures={
                "success_f16": (_SEVEN, "trained", "success"),
                "success_mt10": (metaworld.MT10, "trained", "success"),
                "success_held_out": (_SEVEN, "held_out", "success"),
                "success_swapped": (_SEVEN, "swapped", "success"),
            },
        ),
        _suite(
            tabletop,
            name="tabletop",
            make=tabletop.TabletopEnv,
            info=lambda name: TaskInfo(name, tuple(tabletop.TASKS[name].instructions()), "table", ""),
            # Pictures of its own for each task: 24 times as many to learn from.
            start=lambda name, i: i * len(_ALL) + _ALL.index(name),
            distracting=True,
            record_steps=tabletop.MAX_STEPS,
            play_steps=tabletop.MAX_STEPS,
            packages=("mujoco",),
            groups={name: task.kind for name, task in tabletop.TASKS.items()},
            control="wrong",
            told=_another,
            told_done=lambda env, told: env.solved(tabletop.TASKS[told]),
            control_rule="another instruction for the same picture, drawn by start; success of the first one",
            figures={
                "success_tabletop": (_ALL, "trained", "success"),
                "success_tabletop_held_out": (_ALL, "held_out", "success"),
                "success_tabletop_wrong": (_ALL, "wrong", "success"),
                "success_tabletop_told": (_ALL, "wrong", "told_success"),
            },
        ),
    )
}


def suite_named(name: str) -> Suite:
    """Raises: InputError for an unknown name."""
    if name not in SUITES:
        raise InputError(f"--suite: {name!r} is unknown; allowed: {', '.join(SUITES)}")
    return SUITES[name]
