import pytest

from rarrl.clock import ManualClock
from rarrl.executive.executive import TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.skills.domain import load_robot
from rarrl.skills.outcome import Outcome
from rarrl.skills.plan import Step
from rarrl_sim_envs.pyrobosim.missions import mission
from rarrl_sim_envs.pyrobosim.player import PyrobosimPlayer
from rarrl_sim_envs.pyrobosim.robot import PyrobosimRobot, Setup

pytest.importorskip("pyrobosim")
DOMAIN = load_robot("pyrobosim")


def test_the_executive_carries_a_mission_out() -> None:
    task = mission(1, "plain", 0)
    player, executive = PyrobosimPlayer(task.robot(), DOMAIN), TaskExecutive(DOMAIN)
    player.tell(executive)

    end = play_task(executive, task.instruction, player, ManualClock())

    assert end.status is TaskStatus.SUCCEEDED
    assert task.goal.met(player.robot.truth())
    assert end.seconds == pytest.approx(player.robot.seconds)


def test_what_the_robot_knows_becomes_beliefs() -> None:
    robot = PyrobosimRobot(Setup(shut=frozenset({"fridge", "hall_kitchen_trash"})))

    state = PyrobosimPlayer(robot, DOMAIN).beliefs().state

    assert ("open", "fridge") not in state.flags and ("open", "pantry") in state.flags
    assert ("open", "hall_kitchen_trash") not in state.flags
    assert (state.count("waste", "bin"), state.count("waste", "desk"), state.count("soda", "desk")) == (1, 1, 0)


def test_a_look_that_finds_nothing_has_been_made() -> None:
    player = PyrobosimPlayer(PyrobosimRobot(Setup(things=(("soda", "desk"),), hidden=True)), DOMAIN)
    player.run(Step("navigate", ("table",)), 60.0)

    nothing = player.run(Step("detect", ("table",)), 60.0)
    player.run(Step("navigate", ("desk",)), 60.0)
    soda = player.run(Step("detect", ("desk",)), 60.0)

    assert nothing.outcome is Outcome.SUCCESS and (nothing.fields or {})["detected_objects"] == []
    assert (soda.fields or {})["detected_objects"] == [{"category": "soda", "parent": "desk"}]


def test_refusals_and_battery_come_through() -> None:
    player = PyrobosimPlayer(PyrobosimRobot(Setup(battery=40.0)), DOMAIN)

    refused = player.run(Step("pick", ("soda",)), 60.0)

    assert refused.outcome is Outcome.REFUSED and refused.why
    assert (refused.fields or {})["battery"] == 40.0
