"""A task of the executive under any policy: what was played once is walked through again, not simulated again.

Robot, beliefs and answers are the same after the same decisions, so all that a task can become is a tree of decisions
and answers. Policies that decide alike share their way through it, whatever model answers and whatever they may spend:
a grid of rules costs little more than its different ways."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


UNWATCHED = ExecutiveSettings(confirm=False)
"""Of missions that are played by the thousand: nobody is there to be asked."""


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
    settings: ExecutiveSettings = UNWATCHED
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
        walk = Walk(self, policy, terms)
        while walk.report is not None:
            walk.step()
        return walk.played

    def at(self, moves: Sequence[Move], path: Path, live: _Live | None) -> tuple[Report | None, Played, _Live | None]:
        """Report and end after `moves`, and the task where it had to be played; path: of the moves. live: a task that
        is being played, perhaps these very moves but the last."""
        if path not in self._reports:
            if live is not None and moves and live.path == path[:-1]:
                live.take(moves[-1])
            elif live is None or live.path != path:
                live = _Live(self.task)
                for move in moves:
                    live.take(move)
            self._reports[path], self._ends[path] = live.report, live.played
        return self._reports[path], self._ends[path], live


class Walk:
    """A way through a task, decision by decision.

    Args:
        trial: of the task.
        policy: decides.
        terms: None: nobody can be asked.

    Attributes:
        report: what a decision is due for; None where the task is over.
        played: how the task would end here, or has ended."""

    def __init__(self, trial: Trial, policy: OrchestratorPolicy, terms: Terms | None = None) -> None:
        self._trial, self._terms = trial, terms
        costs = terms.costs if terms is not None else CallCosts.of({}, {})
        abstention, weight = (terms.abstention, terms.cost_weight) if terms is not None else (None, COST_WEIGHT)
        orchestrator = Orchestrator(policy, costs, weight, abstention=abstention)
        self.session = DecisionSession(orchestrator, terms.cap if terms is not None else None, domain=trial.task.domain)
        self._moves: tuple[Move, ...] = ()
        self._path: Path = ()
        self.report, self.played, self._live = trial.at((), (), None)

    def step(self) -> Decision:
        """Lets the policy decide, and carries that out."""
        assert self.report is not None
        decision = self.session.answer(self.report)
        if decision is None:
            decision = Decision(len(self._moves) + 1, Action.ACT, 0.0, "")
        if decision.asks_person:  # the task stands still, and nothing of it comes true
            self.report, self.played = None, replace(self.played, success=False, asked=True)
            return decision

        request = self.session.request(decision)
        answer = self._terms.reasoner.ask(request) if request is not None and self._terms is not None else None
        self._moves = (*self._moves, (decision, answer))
        self._path = (*self._path, _key(self._moves[-1]))
        self.report, self.played, self._live = self._trial.at(self._moves, self._path, self._live)
        return decision

    def fork(self, policy: OrchestratorPolicy) -> Walk:
        """Another walk that has come the same way; `policy` decides on."""
        other = copy.copy(self)
        other._live = None
        values = (self._trial.task.domain, self.session.report, self.report)  # frozen: they need not be copied
        memo = {id(self.session.orchestrator.policy): policy, **{id(value): value for value in values}}
        other.session = copy.deepcopy(self.session, memo)
        return other


def _key(move: Move) -> Any:
    """What of a move makes a difference: the answer as the executive takes it."""
    decision, answer = move
    if answer is None:
        return int(decision.action)
    where = tuple(sorted(answer.where.items()))
    sure = None if math.isnan(answer.confidence) else answer.confidence
    return int(decision.action), answer.status, answer.seconds, answer.tokens, answer.plan, answer.verdict, sure, where
