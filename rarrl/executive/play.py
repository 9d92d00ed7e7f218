"""Plays a task in one process: the executive, a robot whose skills are Python calls, and perhaps an orchestrator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rarrl.clock import Clock
from rarrl.decision_loop import DecisionSession
from rarrl.executive.commands import Commands, Send, Withdraw
from rarrl.executive.executive import AWAY_S, TaskExecutive, TaskStatus
from rarrl.reasoner.base import Reasoner
from rarrl.skills.outcome import SkillResult
from rarrl.skills.plan import Step
from rarrl.thinking import CallBeside
from rarrl.types import Action, Decision

MAX_EVENTS = 2_000
"""Decisions of one task: each is an attempt or a call, and both are limited; more is a fault of ours."""


class SkillPlayer(Protocol):
    """A robot in the same process."""

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        """Runs one skill to its end. `SkillResult.seconds` have passed on the robot."""
        ...


@dataclass(frozen=True)
class TaskEnd:
    """How a task ended. seconds: of the clock, thinking included. skills: how many were tried. llm_s, tokens, calls: of
    thinking."""

    status: TaskStatus
    why: str
    seconds: float
    skills: int
    calls: int
    llm_s: float
    tokens: float


def play_task(
    executive: TaskExecutive,
    goal: str,
    player: SkillPlayer,
    clock: Clock,
    session: DecisionSession | None = None,
    reasoner: Reasoner | None = None,
    person: Callable[[TaskExecutive], bool] | None = None,
) -> TaskEnd:
    """Plays one task to its end.

    Args:
        executive: of the robot; its beliefs go on from task to task.
        goal: what a person says.
        player: runs skills. Skills and calls take their seconds on the clock.
        session: the orchestrator's; None: every decision is ACT.
        reasoner: answers THINK; None: every decision is ACT.
        person: says yes or no to the step that the executive asks about (`asks`, `why`); None: nobody is there, and
            the task stands.

    Raises: RuntimeError where the task does not end."""
    played = _Played(executive, player, clock)
    started = clock.now()
    played.carry_out(executive.instruct(goal, clock.now()))

    for number in range(MAX_EVENTS):
        if played.call is not None and not executive.waits:  # the robot stands for it
            played.listen(math.inf)
            continue
        if executive.asks is not None and person is not None:
            said = executive.resume if person(executive) else executive.cancel
            played.carry_out(said(clock.now()))
        if not executive.waits:
            break
        assert executive.report is not None
        decision = session.answer(executive.report) if session is not None else None
        if decision is None or reasoner is None:
            decision = Decision(number, Action.ACT, 0.0, "no orchestrator")
        request = session.request(decision) if session is not None and decision.action is not Action.ACT else None
        played.carry_out(executive.decide(decision, clock.now()))
        while executive.held:
            played.listen(AWAY_S)
            played.carry_out(executive.tick(clock.now()))

        if executive.thinks == decision:
            assert reasoner is not None and request is not None
            answer = reasoner.ask(request)
            if session is not None:
                session.heard(answer)
            played.call = CallBeside(answer, clock.now(), math.inf)
    else:
        raise RuntimeError(f"the task {goal!r} has not ended after {MAX_EVENTS} decisions")

    calls, llm_s, tokens, skills = executive.spent
    return TaskEnd(executive.status, executive.why, clock.now() - started, skills, calls, llm_s, tokens)


class _Played:
    """A task under way. call: the one that is open; it takes its seconds on the clock beside skills."""

    def __init__(self, executive: TaskExecutive, player: SkillPlayer, clock: Clock) -> None:
        self.call: CallBeside | None = None
        self._executive = executive
        self._player = player
        self._clock = clock

    def carry_out(self, commands: Commands) -> None:
        """Runs the skills that are sent, each to its end; a `Stop` comes too late for them."""
        for command in commands:
            if isinstance(command, Send):
                result = self._player.run(command.step, command.timeout_s)
                self.listen(result.seconds)
                self.carry_out(self._executive.finished(command.uuid, result, self._clock.now()))
            elif isinstance(command, Withdraw):
                self._answer()

    def listen(self, seconds: float) -> None:
        """Lets `seconds` pass, infinitely many until the call is over; an answer that comes meanwhile is taken."""
        if self.call is not None:
            left_s = self.call.left_s(self._clock.now())
            if left_s <= seconds:
                self._clock.sleep(left_s)
                self._answer()
                seconds -= left_s
        if math.isfinite(seconds):
            self._clock.sleep(seconds)

    def _answer(self) -> None:
        """What the call has come to by now."""
        if self.call is not None:
            answer, self.call = self.call.at(self._clock.now()), None
            self.carry_out(self._executive.answer(answer, self._clock.now()))
