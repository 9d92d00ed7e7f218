"""Plays a task in one process: the executive, a robot whose skills are Python calls, and perhaps an orchestrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rarrl.clock import Clock
from rarrl.decision_loop import DecisionSession
from rarrl.executive.commands import Commands, Send
from rarrl.executive.executive import AWAY_S, TaskExecutive, TaskStatus
from rarrl.reasoner.base import Reasoner
from rarrl.skills.outcome import SkillResult
from rarrl.skills.plan import Step
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
) -> TaskEnd:
    """Plays one task to its end.

    Args:
        executive: of the robot; its beliefs go on from task to task.
        goal: what a person says.
        player: runs skills. Skills and calls take their seconds on the clock.
        session: the orchestrator's; None: every decision is ACT.
        reasoner: answers THINK; None: every decision is ACT.

    Raises: RuntimeError where the task does not end."""
    started = clock.now()
    _carry_out(executive, executive.instruct(goal, clock.now()), player, clock)

    for number in range(MAX_EVENTS):
        if not executive.waits:
            break
        assert executive.report is not None
        decision = session.answer(executive.report) if session is not None else None
        if decision is None or reasoner is None:
            decision = Decision(number, Action.ACT, 0.0, "no orchestrator")
        _carry_out(executive, executive.decide(decision, clock.now()), player, clock)
        while executive.held:
            clock.sleep(AWAY_S)
            _carry_out(executive, executive.tick(clock.now()), player, clock)

        if executive.thinks is not None:
            assert session is not None and reasoner is not None
            request = session.request(decision)
            assert request is not None
            answer = reasoner.ask(request)
            clock.sleep(answer.seconds)
            _carry_out(executive, executive.answer(answer, clock.now()), player, clock)
    else:
        raise RuntimeError(f"the task {goal!r} has not ended after {MAX_EVENTS} decisions")

    calls, llm_s, tokens, skills = executive.spent
    return TaskEnd(executive.status, executive.why, clock.now() - started, skills, calls, llm_s, tokens)


def _carry_out(executive: TaskExecutive, commands: Commands, player: SkillPlayer, clock: Clock) -> None:
    for command in commands:
        if isinstance(command, Send):
            result = player.run(command.step, command.timeout_s)
            clock.sleep(result.seconds)
            _carry_out(executive, executive.finished(command.uuid, result, clock.now()), player, clock)
