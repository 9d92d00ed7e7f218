"""What a suite derives from its tasks and the class of its environments."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from rarrl.errors import InputError
from rarrl.policy.spec import RobotInfo, TaskInfo
from rarrl_sim_envs.suite import Control, Suite


@dataclass(frozen=True)
class Door:
    name: str
    opposite: str
    group: str = ""
    scene: ClassVar[str] = "door"

    def instructions(self, held_out=False):
        return [f"{self.name} it"] if held_out else [f"{self.name} the door", f"do {self.name} the door"]


class DoorEnv:
    robot = RobotInfo(("top",), ("angle",), ("torque",), 10.0)
    rendering = "in words"

    def __init__(self, task, max_steps):
        self.task, self.max_steps = task, max_steps


class DoorsEnv(DoorEnv):
    def distraction(self, i):
        return i


SUITE = Suite(
    name="doors",
    tasks={"open": Door("open", "close", "first"), "close": Door("close", "open")},
    make=DoorEnv,
    record_steps=3,
    play_steps=4,
    packages=(),
    control=Control("opposite", lambda name, start: {"open": "close", "close": "open"}[name], "the opposite"),
    figures={},
)


def test_what_need_not_be_said_twice_is_derived():
    assert SUITE.robot is DoorEnv.robot
    assert SUITE.rendering == "in words"
    assert SUITE.groups == {"open": "first"}
    assert SUITE.kinds == ("trained", "held_out", "opposite")
    assert SUITE.info("open") == TaskInfo("open", ("open the door", "do open the door"), "door", "close")
    assert SUITE.start("open", 5) == 5
    assert SUITE.make("open", SUITE.play_steps).max_steps == 4


def test_demonstrations_are_distracted_where_the_environment_can():
    assert not SUITE.distracting
    assert replace(SUITE, make=DoorsEnv).distracting


def test_the_other_task_of_the_control_is_not_judged_unless_the_suite_can():
    assert SUITE.control.done(object(), "close") is False


def test_unknown_tasks_are_refused():
    with pytest.raises(InputError, match="'push' is unknown; allowed: open, close"):
        SUITE.task("push")
