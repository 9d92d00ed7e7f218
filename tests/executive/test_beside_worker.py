"""Thinking beside acting against a real worker process: it is withdrawn, and it is killed, while the robot goes on."""

import os
import queue
import signal
import threading
import time

import pytest
from reasoner_fixtures import _without_amx, write_model  # noqa: F401
from toy_robot import ToyRobot, counting_ids, toy

from rarrl.clock import SteadyClock
from rarrl.config import LanguageModelConfig
from rarrl.executive.commands import Send, Withdraw
from rarrl.executive.executive import ExecutiveSettings, TaskExecutive, TaskStatus
from rarrl.reasoner.base import Request
from rarrl.reasoner.breaker import BreakerState, GuardedReasoner
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.skills.outcome import Outcome
from rarrl.types import Action, CallStatus, Decision, Role

GOAL = "put the cup on the table"
STEP_S = 0.15
"""Seconds of the clock that a skill takes here."""


def endless(request, model):
    model.complete("ab", max_tokens=900)
    raise AssertionError("nobody waits so long")


@pytest.fixture
def reasoner(tmp_path):
    """Takes many seconds for an answer."""
    model = write_model(tmp_path / "slow.gguf", d=512, layers=8)
    made = LlamaReasoner(model, recipe=endless, settings=LanguageModelConfig(max_new_tokens_1=900))
    yield GuardedReasoner(made)
    made.close()


class Live:
    """A task on the real clock: skills take STEP_S, and answers come from another thread."""

    def __init__(self, reasoner, failing=None):
        self.reasoner, self.clock, self.answers = reasoner, SteadyClock(), queue.SimpleQueue()
        self.robot = ToyRobot(toy(), None, failing)
        self.made = TaskExecutive(toy(), ExecutiveSettings(sure=0.8), new_id=counting_ids())
        self.got = []
        self.made.instruct(GOAL, self.clock.now())

    def carry_out(self, commands):
        for command in commands:
            if isinstance(command, Withdraw):
                assert self.reasoner.cancel(command.decision)
            elif isinstance(command, Send):
                result = self.robot.run(command.step)
                time.sleep(STEP_S)
                self.carry_out(self.made.finished(command.uuid, result, self.clock.now()))

    def act(self):
        self.carry_out(self.made.decide(Decision(1, Action.ACT, 0.0, ""), self.clock.now()))

    def think(self):
        decision = Decision(7, Action.PLANNER_1, 20.0, "", beside=True)
        self.carry_out(self.made.decide(decision, self.clock.now()))
        request = Request(7, Role.PLANNER, 1, GOAL, 20.0)
        threading.Thread(target=lambda: self.answers.put(self.reasoner.ask(request)), daemon=True).start()

    def listen(self, timeout_s):
        answer = self.answers.get(timeout=timeout_s)
        self.got.append(answer)
        self.carry_out(self.made.answer(answer, self.clock.now()))

    def to_the_end(self):
        while self.made.waits:
            self.act()


def test_what_the_world_settles_stops_the_worker_and_saves_what_it_would_have_written(reasoner):
    live = Live(reasoner, {("pick", Outcome.FAILED): 1})
    live.act()
    live.act()  # the cup slips
    live.think()
    time.sleep(0.2)
    live.act()  # again, and it is taken: the question is settled
    assert (live.made.thinks, live.made.withdrawn.id) == (None, 7)
    live.listen(1.0)
    (answer,) = live.got
    assert answer.status is CallStatus.WITHDRAWN
    assert 0 < answer.tokens_out < 900
    assert 0.2 < answer.seconds < 5.0
    assert live.made.report.thought.status is CallStatus.WITHDRAWN
    assert live.made.spent[2] == answer.tokens
    assert reasoner.backend.worker.starts == 1
    assert reasoner.breaker.state is BreakerState.CLOSED
    live.to_the_end()
    assert live.made.status is TaskStatus.SUCCEEDED


def test_a_worker_that_is_killed_in_mid_thought_costs_no_step(reasoner):
    live = Live(reasoner)
    live.think()
    time.sleep(0.2)
    os.kill(reasoner.backend.worker.pid, signal.SIGKILL)
    live.act()  # the way to the shelf goes on
    live.listen(5.0)
    assert live.got[0].status is CallStatus.BACKEND_DOWN
    assert (live.made.thinks, live.made.tally.applied) == (None, 0)
    live.to_the_end()
    assert live.made.status is TaskStatus.SUCCEEDED
    assert live.robot.log == ["go shelf", "pick cup", "go table", "put cup table"]  # none lost, none twice

    deadline = time.monotonic() + 20.0
    while reasoner.backend.worker.starts < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reasoner.backend.worker.starts == 2
