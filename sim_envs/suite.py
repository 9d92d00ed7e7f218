"""What a set of tasks with instructions must define, so that recording, training and evaluation serve all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.spec import RobotInfo, TaskInfo


class Task(Protocol):
    """One task and its instructions."""

    @property
    def name(self) -> str:
        """Its name in files and tables."""

    @property
    def scene(self) -> str:
        """Tasks of one scene look alike, so that only the instruction tells them apart."""

    @property
    def opposite(self) -> str:
        """The task of the same scene that undoes this one, or ""."""

    @property
    def group(self) -> str:
        """The row of the results' second table that the task belongs to, or ""."""

    def instructions(self, held_out: bool = False) -> list[str]:
        """The paraphrases for training, or those held out."""


class Env(Protocol):
    """An environment of one task that can be recorded and evaluated; shapes and units are its own."""

    robot: ClassVar[RobotInfo]
    rendering: ClassVar[str]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """options: `split`, `start`, `instruction`."""

    def advance(self, action: np.ndarray) -> bool:
        """One control step without rendering: whether the task is done."""

    def observation(self) -> dict[str, Any]:
        """`images`, `proprio`, `instruction`, rendered now."""

    def expert_action(self) -> np.ndarray:
        """(a,) float32: what the scripted expert would do now."""

    def expert_chunk(self, horizon: int) -> np.ndarray:
        """(horizon, a) float32: what it would do from here on; nothing moves."""

    def privileged(self) -> np.ndarray:
        """(6,) float32: what only the simulator knows; an extra target of training."""

    def distraction(self, i: int) -> np.ndarray:
        """(a,) float32: towards object number `i`, without touching it; only of suites that are `distracting`."""

    def close(self) -> None:
        """Frees the renderer."""


class EnvClass(Protocol):
    """The class of a suite's environments: task's name, most control steps -> environment."""

    @property
    def robot(self) -> RobotInfo:
        """Cameras, names of proprioception and actions, control rate."""

    @property
    def rendering(self) -> str:
        """How images are rendered, in words."""

    def __call__(self, task: str, max_steps: int) -> Any:
        """An `Env`."""


def _never(env: Any, task: str) -> bool:
    return False


@dataclass(frozen=True)
class Control:
    """The control of an evaluation: the robot gets the instruction of another task than the one that is judged. A
    policy that reads its instruction fails; one that goes by the image alone succeeds.

    kind: what this kind of instruction is called. task: name of the judged task, start -> the task whose instruction is
    given. done: whether that other task, by name, is done now; by default never, where it cannot be seen in this scene.
    rule: how the other task is chosen, for result files."""

    kind: str
    task: Callable[[str, int], str]
    rule: Any
    done: Callable[[Any, str], bool] = _never


Figures = Mapping[str, tuple[tuple[str, ...], str, str]]
"""Name of a figure -> the tasks that it is a mean over, the kind of instruction, and what of an episode is counted."""


def _same(task: str, i: int) -> int:
    return i


@dataclass(frozen=True)
class Suite:
    """Tasks of one robot. A new one: a module with such an object, and a line in `suites.SUITES`.

    make: the class of its environments. record_steps, play_steps: control steps of an episode when demonstrations are
    recorded, and when a policy is evaluated. packages: whose versions are recorded. figures: see `Figures`.
    start: task's name, i -> the number of its i-th start for training; by default i. disturbed: for each action, how
    strongly a disturbed expert's recording disturbs it, 0 to 1; by default fully. only: the kinds of instruction,
    where not all three make sense."""

    name: str
    tasks: Mapping[str, Task]
    make: EnvClass
    record_steps: int
    play_steps: int
    packages: tuple[str, ...]
    control: Control
    figures: Figures
    start: Callable[[str, int], int] = _same
    disturbed: tuple[float, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def robot(self) -> RobotInfo:
        """Cameras, names of proprioception and actions, control rate."""
        return self.make.robot

    @property
    def rendering(self) -> str:
        """How images are rendered, in words."""
        return self.make.rendering

    @property
    def distracting(self) -> bool:
        """Whether demonstrations go to a wrong object first: where environments have a `distraction`."""
        return hasattr(self.make, "distraction")

    @property
    def noise(self) -> np.ndarray:
        """(a,) `disturbed`, written out."""
        return np.array(self.disturbed or (1.0,) * len(self.robot.action_names))

    @property
    def groups(self) -> dict[str, str]:
        """Task -> the row of the results' second table; without tasks that belong to none."""
        return {name: task.group for name, task in self.tasks.items() if task.group}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of instruction."""
        return self.only or ("trained", "held_out", self.control.kind)

    @property
    def scripted(self) -> tuple[str, ...]:
        """Names of the tasks that an expert does."""
        return tuple(name for name, task in self.tasks.items() if getattr(task, "scripted", True))

    def task(self, name: str) -> Task:
        """Raises: InputError for an unknown name."""
        if name not in self.tasks:
            raise InputError(f"task: {name!r} is unknown; allowed: {', '.join(self.tasks)}")
        return self.tasks[name]

    def info(self, name: str) -> TaskInfo:
        """What training must know of a task."""
        task = self.tasks[name]
        return TaskInfo(name, tuple(task.instructions()), task.scene, task.opposite)
