"""Plays one episode of AlfredReplay at a time, as a robot would live it: for the replay node and `rarrl replay`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import SubgoalType, step_views
from rarrl.decision_loop import TaskView
from rarrl.latency.replay import ReplayTable
from rarrl.reasoner.base import Answer
from rarrl.types import CALL_TIMEOUT_S, Action, ActStatus, CallStatus, LlmCall, StateSummary

from .core import ACT_STATUS, CATEGORIES, AlfredReplayCore, Dynamics, EpisodeBank, StepResult
from .episodes import EpisodeConfig, EpisodeSampler, seeds


@dataclass(frozen=True)
class Attempt:
    """The outcome of one ACT. `seconds` of robot time; `subgoal_done`: its sub-goal is finished."""

    status: ActStatus
    seconds: float
    subgoal_done: bool


@dataclass(frozen=True)
class EpisodeInfo:
    """What is known of an episode at its start. `category` as in the evaluation; budgets in seconds and tokens."""

    number: int
    category: str
    task_type: str
    goal: str
    scene: str
    time_budget_s: float
    token_budget: float


class AlfredExecutive:
    """A robot in one episode: `begin`, then `act` or `think` until `done`.

    The same numpy core as in training, with one environment: the same seed gives the same episode there."""

    def __init__(
        self,
        bank: EpisodeBank,
        table: ReplayTable,
        config: EpisodeConfig,
        seed: int = 0,
        dynamics: Dynamics | None = None,
        hard: bool = False,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._core = AlfredReplayCore(bank, [table], 1, dynamics, hard, call_timeout_s)
        self._call_timeout_s = self._core.call_timeout_s
        self._sampler = EpisodeSampler(bank, [table], config)
        self._seed = seed
        self.done = True
        self.success = False
        self.deadline_misses = 0

    def begin(self, number: int) -> EpisodeInfo:
        """Starts episode `number` of this seed."""
        core = self._core
        params = self._sampler.draw(seeds(self._seed, 1, number))
        core.begin(np.zeros(1, np.int64), params)
        self.done, self.success, self.deadline_misses = False, False, 0
        row = int(core.row[0])
        types = core.bank.subgoal_types[row, : core.bank.subgoals[row]]
        self._steps = step_views(SubgoalType(int(t)) for t in types)
        plan = core.bank.plans[core.bank.plan_index[row]]
        return EpisodeInfo(
            number=number,
            category=CATEGORIES[core.bank.category[row]],
            task_type=plan.task_type,
            goal=plan.goal,
            scene=plan.scene,
            time_budget_s=float(params.time_s[0]),
            token_budget=float(params.tokens[0]),
        )

    @property
    def summary(self) -> StateSummary:
        """Where the task stands."""
        core = self._core
        finished = self.done and self.success
        index = len(self._steps) if finished else int(core.subgoal[0])
        return StateSummary(self._steps, index, int(core.acts[0]), int(core.horizon[0]))

    @property
    def budget_left(self) -> tuple[float, float]:
        """Seconds and tokens that the environment still grants (a shock shows here)."""
        return float(self._core.time_s[0]), float(self._core.tokens[0])

    @property
    def task(self) -> TaskView | None:
        """None: no plan is kept here that a reasoner could be asked for."""
        return None

    def take(self, action: Action, answer: Answer) -> LlmCall:
        """Not here: what an answer is worth is not known. Raises: RuntimeError; play a profile of recorded answers."""
        raise RuntimeError(f"{action.label}: a reasoner's answer needs a task; play a profile of recorded answers")

    def act(self) -> Attempt:
        """One execution attempt.

        Raises: RuntimeError when the episode is over."""
        before = self.summary.subgoal_index
        result = self._step(Action.ACT)
        status = ACT_STATUS[int(result.act_status[0])]
        return Attempt(status, float(result.exec_s[0]), self.summary.subgoal_index != before)

    def think(self, action: Action, deadline_s: float = math.inf) -> LlmCall:
        """One call of the language model, cut off after `deadline_s`; a call that the budget cannot pay for
        costs nothing and is refused.

        Raises: RuntimeError when the episode is over; ValueError for ACT."""
        if action is Action.ACT:
            raise ValueError("think() takes a THINK action, got ACT; use act()")
        if not self._core.situation().action_mask()[action, 0]:
            return LlmCall(action, CallStatus.BUDGET, 0.0, 0.0)
        timeout_s = self._core.call_timeout_s = min(self._call_timeout_s, max(deadline_s, 0.0))
        result = self._step(action)
        if result.call_ok[0]:
            status = CallStatus.OK
        elif result.deadline_miss[0] or result.seconds[0] >= timeout_s:
            status = CallStatus.TIMEOUT
        else:
            status = CallStatus.INVALID
        self.deadline_misses += int(result.deadline_miss[0])
        return LlmCall(action, status, float(result.seconds[0]), float(result.tokens[0]))

    def _step(self, action: Action, mask: NDArray[np.bool_] | None = None) -> StepResult:
        """One decision of the core. mask: which actions are allowed; None: those that the budget is expected to pay."""
        if self.done:
            raise RuntimeError("the episode is over: call begin() for the next one")
        result = self._core.step(np.array([int(action)]), mask)
        self.done, self.success = bool(result.done[0]), bool(result.success[0])
        return result
