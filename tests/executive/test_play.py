"""A task from beginning to end in one process."""

import pytest
from toy_robot import ToyRobot, plan, toy

from rarrl.build import make_orchestrator
from rarrl.clock import ManualClock
from rarrl.decision_loop import DecisionSession
from rarrl.executive import play
from rarrl.executive.executive import ExecutiveSettings, TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.reasoner.base import Answer
from rarrl.types import CallStatus

TOY = toy()
TRUSTING = ExecutiveSettings(sure=0.8)  # the toy gives no signals: its word is taken


def test_seconds_are_those_of_the_robot():
    clock = ManualClock(100.0)
    end = play_task(TaskExecutive(TOY, TRUSTING), "put the cup on the table", ToyRobot(TOY), clock)
    assert (end.status, end.seconds, clock.now()) == (TaskStatus.SUCCEEDED, 8.0, 108.0)


def test_a_reasoner_is_asked_once_and_takes_its_time():
    asked = []

    class Thinker:
        name = "thinker"

        def ask(self, request):
            asked.append(request)
            return Answer(
                request.decision, request.role, request.level, CallStatus.OK, 3.0, "test", plan=plan("put cup cupboard")
            )

        def close(self): ...

    thinker = Thinker()
    session = DecisionSession(make_orchestrator("always", "groq-70b"))
    robot = ToyRobot(TOY)
    end = play_task(TaskExecutive(TOY, TRUSTING), "put the cup on the table", robot, ManualClock(), session, thinker)
    assert robot.log[-1] == "put cup cupboard"
    assert end.calls == len(asked) >= 1
    assert end.llm_s == 3.0 * end.calls
    assert end.seconds == end.llm_s + 2.0 * end.skills
    assert asked[0].goal == "put the cup on the table"


def test_a_task_without_end_is_a_fault_of_ours(monkeypatch):
    monkeypatch.setattr(play, "MAX_EVENTS", 2)
    with pytest.raises(RuntimeError, match="has not ended after 2 decisions"):
        play_task(TaskExecutive(TOY), "put the cup on the table", ToyRobot(TOY), ManualClock())
