"""A task of the executive under any policy: what was played once is walked through again, not simulated again.

Robot, beliefs and answers are the same after the same decisions, so all that a task can become is a tree of decisions
and answers. Policies that decide alike share their way through it, whatever model answers and whatever they may spend:
a grid of rules costs little more than its different ways."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rarrl.clock import ManualClock
from rarrl.decision_loop import DecisionSession, Report
from rarrl.executive.commands import Commands, Send
from rarrl.executive.executive import ExecutiveSettings, TaskExecutive
from rarrl.executive.play import SkillPlayer
from rarrl.orchestrator.abstain import Abstention
from rarrl.orchestrator.features import Costs, Floats
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.reasoner.base import Answer, Reasoner
from rarrl.skills.domain import Domain
from rarrl.skills.nearest import Recalled
from rarrl.skills.search import Search
from rarrl.types import Action, Decision

COST_WEIGHT = 0.004
"""Points of success per second of thinking, as everywhere else."""
NO_CALL_S = 1e6
"""Seconds of a call that was not recorded. No budget pays for it."""


@dataclass(frozen=True)
class CallCosts:
    """What calls are expected to cost; arrays (4,), in the order of THINK_ACTIONS."""

    mean_s: Floats
    p95_s: Floats
    mean_tokens: Floats
    max_tokens: Floats

    @classmethod
    def of(cls, seconds: dict[Action, list[float]], tokens: dict[Action, list[float]]) -> CallCosts:
        """Of recorded calls; those of an action without any are out of reach."""
        rows = np.full((4, 4), NO_CALL_S)
        for action, took in seconds.items():
            if took:
                used = tokens[action]
                rows[:, action - 1] = np.mean(took), np.percentile(took, 95), np.mean(used), np.max(used)
        return cls(*rows)


@dataclass(frozen=True)
class Terms:
    """Who is asked, and what that may cost: the side of a trial that differs from model to model.

    costs: what calls are expected to cost. cap: (seconds, tokens) of thinking in one task. abstention: when a person is
    asked; None: never. cost_weight: points of success per second of thinking."""

    reasoner: Reasoner
    costs: Costs
    cap: tuple[float, float] = (math.inf, math.inf)
    abstention: Abstention | None = None
    cost_weight: float = COST_WEIGHT


@dataclass(frozen=True)
class Task:
    """A sentence for a robot, the same each time that it is begun.

    begin: makes the robot as it is at the beginning, and tells the executive what it knows by itself. succeeded: the
    judge. horizon_s: simulated seconds after which the task has failed. recall: see `TaskExecutive`."""

    sentence: str
    domain: Domain
    search: Search
    begin: Callable[[TaskExecutive], SkillPlayer]
    succeeded: Callable[[Any], bool]
    horizon_s: float = math.inf
    settings: ExecutiveSettings = field(default_factory=ExecutiveSettings)
    recall: Callable[[str], Recalled] | None = None


@dataclass(frozen=True)
class Played:
    """One task. seconds: simulated, thinking included; the horizon, if there is one, where it failed. skills: that were
    run. asked: a person was asked, and the task ended there."""

    success: bool
    seconds: float
    skills: int
    llm_s: float
    tokens: float
    calls: int
    asked: bool = False


Move = tuple[Decision, Answer | None]
"""A decision that was carried out, and the answer to it where it was a THINK."""
Path = tuple[Any, ...]
"""What of the moves so far makes a difference."""


class _Live:
    """A task that is being played. path: the moves so far."""

    def __init__(self, task: Task) -> None:
        self.path: Path = ()
        self._task = task
        self._clock = ManualClock()
        ids = iter(range(10**9))
        self._executive = TaskExecutive(
            task.domain,
            task.settings,
            new_id=lambda: f"{next(ids):032x}",
            search=task.search,
            recall=task.recall,
        )
        self._player = task.begin(self._executive)
        self._carry_out(self._executive.instruct(task.sentence, 0.0))

    @property
    def report(self) -> Report | None:
        """What a decision is due for; None where the task is over."""
        over = not self._executive.waits or self._clock.now() >= self._task.horizon_s
        return None if over else self._executive.report

    @property
    def played(self) -> Played:
        """How it would end here."""
        calls, llm_s, tokens, skills = self._executive.spent
        seconds, horizon_s = self._clock.now(), self._task.horizon_s
        success = seconds <= horizon_s and self._task.succeeded(self._player)
        took_s = seconds if success or math.isinf(horizon_s) else horizon_s
        return Played(success, took_s, skills, llm_s, tokens, calls)

    def take(self, move: Move) -> None:
        """Carries a decision out."""
        decision, answer = move
        self.path = (*self.path, _key(move))
        self._carry_out(self._executive.decide(decision, self._clock.now()))
        if answer is not None:
            self._clock.sleep(answer.seconds)
            self._carry_out(self._executive.answer(answer, self._clock.now()))

    def _carry_out(self, commands: Commands) -> None:
        for command in commands:
            if isinstance(command, Send):
                result = self._player.run(command.step, command.timeout_s)
                self._clock.sleep(result.seconds)
                self._carry_out(self._executive.finished(command.uuid, result, self._clock.now()))


class Trial:
    """A task, and all that was played of it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._reports: dict[Path, Report | None] = {}
        self._ends: dict[Path, Played] = {}

    def play(self, policy: OrchestratorPolicy, terms: Terms | None = None) -> Played:
        """The task under a policy. terms: None: nobody can be asked."""
        costs = terms.costs if terms is not None else CallCosts.of({}, {})
        abstention, weight = (terms.abstention, terms.cost_weight) if terms is not None else (None, COST_WEIGHT)
        orchestrator = Orchestrator(policy, costs, weight, abstention=abstention)
        session = DecisionSession(orchestrator, terms.cap if terms is not None else None, domain=self.task.domain)

        path: Path = ()
        moves: list[Move] = []
        live: _Live | None = None
        while True:
            if path not in self._reports:
                live = self._played_to(moves) if live is None or live.path != path else live
                self._note(live)
            report = self._reports[path]
            if report is None:
                return self._ends[path]

            decision = session.answer(report)
            if decision is None:
                decision = Decision(len(path) + 1, Action.ACT, 0.0, "")
            if decision.asks_person:
                return self._stopped(path, moves)
            request = session.request(decision)
            answer = terms.reasoner.ask(request) if request is not None and terms is not None else None
            moves.append((decision, answer))
            before, path = path, (*path, _key(moves[-1]))
            if path not in self._reports:
                if live is None or live.path != before:
                    live = self._played_to(moves[:-1])
                live.take(moves[-1])

    def _stopped(self, path: Path, moves: list[Move]) -> Played:
        """Where a person is asked: the task stands still, and nothing of it has come true."""
        if path not in self._ends:
            self._note(self._played_to(moves))
        here = self._ends[path]
        return Played(False, here.seconds, here.skills, here.llm_s, here.tokens, here.calls, asked=True)

    def _note(self, live: _Live) -> None:
        self._reports[live.path] = live.report
        self._ends[live.path] = live.played

    def _played_to(self, moves: list[Move]) -> _Live:
        """A task in which `moves` were made."""
        live = _Live(self.task)
        self._note(live)
        for move in moves:
            live.take(move)
        return live


def _key(move: Move) -> Any:
    """What of a move makes a difference: the answer as the executive takes it."""
    decision, answer = move
    if answer is None:
        return int(decision.action)
    where = tuple(sorted(answer.where.items()))
    sure = None if math.isnan(answer.confidence) else answer.confidence
    return int(decision.action), answer.status, answer.seconds, answer.tokens, answer.plan, answer.verdict, sure, where
