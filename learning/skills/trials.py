"""A pyrobosim mission under any policy: what was played once is walked through again, not simulated again.

Robot, beliefs and answers are the same after the same decisions, so all that a mission can become is a tree of
decisions. Policies that decide alike share their way through it: a grid of rules costs little more than its different
ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rarrl.clock import ManualClock
from rarrl.decision_loop import DecisionSession, Report
from rarrl.executive.commands import Commands, Send
from rarrl.executive.executive import TaskExecutive
from rarrl.orchestrator.features import Floats
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.reasoner.base import Reasoner
from rarrl.skills.domain import Domain, load_robot
from rarrl.skills.search import Search
from rarrl.types import Action, Decision
from rarrl_sim_envs.pyrobosim.missions import Mission
from rarrl_sim_envs.pyrobosim.player import PyrobosimPlayer

from .recorded_answers import Recorded

COST_WEIGHT = 0.004
"""Points of success per second of thinking, as everywhere else."""
NO_CALL_S = 1e6
"""Seconds of a call that was not recorded: the verifier's. No budget pays for it."""


@lru_cache(maxsize=2)
def domain(told: bool = False) -> Domain:
    """pyrobosim's two files; without `told` they do not say where things usually are, as a maker seldom knows it."""
    shipped = load_robot("pyrobosim")
    if told:
        return shipped
    things = {name: thing.model_copy(update={"usual": {}}) for name, thing in shipped.made.things.items()}
    return Domain(shipped.skills, shipped.made.model_copy(update={"things": things}), shipped.policy)


@lru_cache(maxsize=2)
def _search(told: bool) -> Search:
    """One for all missions: what it has solved in one, it need not solve again."""
    return Search(domain(told))


@dataclass(frozen=True)
class CallCosts:
    """What calls are expected to cost; arrays (4,), in the order of THINK_ACTIONS."""

    mean_s: Floats
    p95_s: Floats
    mean_tokens: Floats
    max_tokens: Floats

    @classmethod
    def of(cls, answers: list[Recorded]) -> CallCosts:
        """Of recorded answers; the verifier's are out of reach."""
        rows = np.full((4, 4), NO_CALL_S)
        for level in (1, 2):
            seconds = [each.seconds for each in answers if each.level == level]
            tokens = [each.tokens_in + each.tokens_out for each in answers if each.level == level]
            if seconds:
                rows[:, level - 1] = np.mean(seconds), np.percentile(seconds, 95), np.mean(tokens), np.max(tokens)
        return cls(*rows)


@dataclass(frozen=True)
class Played:
    """One mission. seconds: simulated, thinking included; the horizon where it failed. skills: that were run."""

    success: bool
    seconds: float
    skills: int
    llm_s: float
    tokens: float
    calls: int


class _Live:
    """A mission that is being played. path: the decisions so far."""

    def __init__(self, mission: Mission, reasoner: Reasoner | None, told: bool) -> None:
        self.path: tuple[int, ...] = ()
        self._mission, self._reasoner = mission, reasoner
        self._clock = ManualClock()
        ids = iter(range(10**9))
        self._player = PyrobosimPlayer(mission.robot(), domain(told))
        self._executive = TaskExecutive(domain(told), new_id=lambda: f"{next(ids):032x}", search=_search(told))
        self._player.tell(self._executive)
        self._carry_out(self._executive.instruct(mission.instruction, 0.0))

    @property
    def report(self) -> Report | None:
        """What a decision is due for; None where the mission is over."""
        over = not self._executive.waits or self._clock.now() >= self._mission.horizon_s
        return None if over else self._executive.report

    @property
    def played(self) -> Played:
        """How it ended."""
        calls, llm_s, tokens, skills = self._executive.spent
        seconds, horizon_s = self._clock.now(), self._mission.horizon_s
        success = seconds <= horizon_s and self._mission.goal.met(self._player.robot.truth())
        return Played(success, seconds if success else horizon_s, skills, llm_s, tokens, calls)

    def take(self, decision: Decision, session: DecisionSession) -> None:
        """Carries a decision out. `session`: any that has seen the report."""
        self.path = (*self.path, int(decision.action))
        self._carry_out(self._executive.decide(decision, self._clock.now()))
        if self._executive.thinks is not None:
            assert self._reasoner is not None
            request = session.request(decision)
            assert request is not None
            answer = self._reasoner.ask(request)
            self._clock.sleep(answer.seconds)
            self._carry_out(self._executive.answer(answer, self._clock.now()))

    def _carry_out(self, commands: Commands) -> None:
        for command in commands:
            if isinstance(command, Send):
                result = self._player.run(command.step, command.timeout_s)
                self._clock.sleep(result.seconds)
                self._carry_out(self._executive.finished(command.uuid, result, self._clock.now()))


class Trial:
    """A mission, and all that was played of it.

    Args:
        mission: see `rarrl_sim_envs.pyrobosim.missions`.
        reasoner: answers THINK, the same each time; None: only ACT is taken.
        costs: what calls are expected to cost.
        told: whether world.yaml says where things usually are.
    """

    def __init__(self, mission: Mission, reasoner: Reasoner | None, costs: CallCosts, told: bool = False) -> None:
        self.mission = mission
        self._told = told
        self._reasoner, self._costs = reasoner, costs
        self._reports: dict[tuple[int, ...], Report | None] = {}
        self._ends: dict[tuple[int, ...], Played] = {}

    def play(self, policy: OrchestratorPolicy) -> Played:
        """The mission under a policy."""
        orchestrator = Orchestrator(policy, self._costs, COST_WEIGHT)
        session = DecisionSession(orchestrator, domain=domain())
        path: tuple[int, ...] = ()
        live: _Live | None = None
        while True:
            if path not in self._reports:
                live = self._played_to(path) if live is None or live.path != path else live
                self._note(live)
            report = self._reports[path]
            if report is None:
                return self._ends[path]

            decision = session.answer(report)
            if decision is None or self._reasoner is None:
                decision = Decision(len(path) + 1, Action.ACT, 0.0, "")
            path = (*path, int(decision.action))
            if path not in self._reports:
                if live is None or live.path != path[:-1]:
                    live = self._played_to(path[:-1])
                live.take(decision, session)

    def _note(self, live: _Live) -> None:
        self._reports[live.path] = live.report
        if live.report is None:
            self._ends[live.path] = live.played

    def _played_to(self, path: tuple[int, ...]) -> _Live:
        """A mission in which the decisions of `path` were taken."""
        live = _Live(self.mission, self._reasoner, self._told)
        session = DecisionSession(Orchestrator(_Along(path), self._costs, COST_WEIGHT), domain=domain())
        self._note(live)
        for _ in path:
            assert live.report is not None
            decision = session.answer(live.report)
            assert decision is not None
            live.take(decision, session)
        return live


class _Along:
    """Takes given decisions again."""

    name = "again"

    def __init__(self, path: tuple[int, ...]) -> None:
        self._left: Iterator[int] = iter(path)

    def act(self, s: object, mask: object) -> np.ndarray:
        """The next one."""
        return np.array([next(self._left)])
