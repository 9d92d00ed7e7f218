"""What the orchestrator sees: execution history h_t, remaining budget b_t, and their encoding for a policy.

Everything is a struct of arrays over n robots (the axis is last, so that a column of the training matrix is
contiguous here); a single robot is n = 1. Training, evaluation and the ROS node run this one code.

Where the language model's answers are recorded, a `PlanView` tells of the plan in force, in further features.

Source: arXiv 2603.16673 (state = task state + h_t + b_t; the uncertainty u(s) is never handed out, only
failure-frequency proxies). All features are dimensionless: prices in points of success, budgets in
affordable calls. So a policy can serve a language model whose latency it has never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import STEP_VIEWS, SubgoalType
from rarrl.orchestrator.beside import BESIDE_FEATURE_NAMES
from rarrl.types import THINK_ACTIONS, Action, Budget, PlanStatus, StateSummary, StepView

Floats = NDArray[np.float64]
N_ACTIONS = len(Action)
N_TYPES = len(SubgoalType)
FOREIGN = -1
"""`Situation.subgoal_type` of a step whose name is none of ALFRED's."""
_TYPE_OF_NAME = {kind.name: int(kind) for kind in SubgoalType}
MAX_CALLS_PER_ACT = 3
"""After so many calls without an execution attempt, only ACT remains: no robot ponders for ever."""

MAX_CALLS = 60.0
"""More affordable calls than this are as good as any number."""

PLANNER_ACTIONS = np.array([False, True, True, False, False])
VERIFIER_ACTIONS = np.array([False, False, False, True, True])
ACTION_LEVEL = np.array([a.level for a in Action], dtype=np.int64)


class Costs(Protocol):
    """Per THINK action, in the order of THINK_ACTIONS: what one call is expected to cost. Arrays (4,)."""

    @property
    def mean_s(self) -> Floats: ...
    @property
    def p95_s(self) -> Floats: ...
    @property
    def mean_tokens(self) -> Floats: ...
    @property
    def max_tokens(self) -> Floats: ...


class History:
    """h_t of n robots: outcomes, calls, and the advice in force. The only loop of the data flow.

    Arrays (n,), float64 unless said: `last_outcome` (0 none, 1 success, -1 failure), `consecutive_failures`,
    `subgoal_failures`, `subgoal_acts` (in the current sub-goal), `recent_failures` (5, n) newest first, `ema_failure`,
    `acts_since_think` (capped at 20), `calls_since_act`, `last_think` (int, 0 = none yet), `last_call_ok`,
    `planner_level` (advice in force for the rest of the sub-goal), `verifier_level` (in force for the next
    attempt), `latency_log_ratio` (running mean, then EMA, of log(measured / expected seconds)), `calls`.
    """

    EMA = 0.3

    def __init__(self, n: int = 1) -> None:
        self.n = n
        self._m = np.zeros((18, n))
        (
            self.last_outcome,
            self.consecutive_failures,
            self.subgoal_failures,
            self.subgoal_acts,
            self.ema_failure,
            self.acts_since_think,
            self.calls_since_act,
            self.last_think,
            self.last_call_ok,
            self.planner_level,
            self.verifier_level,
            self.latency_log_ratio,
            self.calls,
        ) = self._m[:13]
        self.recent_failures = self._m[13:18]
        self.reset(np.arange(n))

    def reset(self, where: NDArray[np.int64]) -> None:
        """A new task for the robots with indices `where`."""
        self._m[:, where] = 0.0
        self.acts_since_think[where] = 20.0
        self.last_call_ok[where] = 1.0

    def record_act(
        self,
        acted: NDArray[np.bool_],
        success: NDArray[np.bool_],
        subgoal_done: NDArray[np.bool_],
        pending: NDArray[np.bool_] | None = None,
    ) -> None:
        """Folds in one execution attempt of the robots in `acted` (n,). `pending` (n,): it was made beside a call,
        which is still the last decision; None: nowhere."""
        failed = acted & ~success
        fail = failed.astype(np.float64)
        self.last_outcome[:] = np.where(acted, 1.0 - 2.0 * fail, self.last_outcome)
        self.consecutive_failures[:] = np.where(
            acted, (self.consecutive_failures + 1.0) * fail, self.consecutive_failures
        )
        self.subgoal_failures += fail
        self.subgoal_acts += acted
        self.ema_failure[:] = np.where(acted, self.ema_failure + self.EMA * (fail - self.ema_failure), self.ema_failure)
        self.recent_failures[1:] = np.where(acted, self.recent_failures[:-1], self.recent_failures[1:])
        self.recent_failures[0] = np.where(acted, fail, self.recent_failures[0])
        self.acts_since_think[:] = np.minimum(self.acts_since_think + acted, 20.0)
        self.calls_since_act[acted if pending is None else acted & ~pending] = 0.0
        self.verifier_level[acted] = 0.0
        done = acted & subgoal_done
        self.planner_level[done] = 0.0
        self.subgoal_failures[done] = 0.0
        self.subgoal_acts[done] = 0.0

    def record_think(
        self, action: NDArray[np.int64], ok: NDArray[np.bool_], seconds: Floats, expected_s: Floats
    ) -> None:
        """Folds in one call for the robots whose `action` (n,) is a THINK; the others are left alone."""
        asked = action > 0
        self.last_think[:] = np.where(asked, action, self.last_think)
        self.last_call_ok[:] = np.where(asked, ok, self.last_call_ok)
        self.acts_since_think[asked] = 0.0
        self.calls_since_act += asked
        level = ACTION_LEVEL[action] * ok
        np.maximum(self.planner_level, level * PLANNER_ACTIONS[action], out=self.planner_level)
        np.maximum(self.verifier_level, level * VERIFIER_ACTIONS[action], out=self.verifier_level)
        ratio = np.log(np.clip(seconds / np.maximum(expected_s, 1e-6), 0.05, 20.0))
        self.calls += asked
        weight = np.maximum(self.EMA, 1.0 / np.maximum(self.calls, 1.0))  # the first call counts in full
        self.latency_log_ratio[:] = np.where(
            asked, self.latency_log_ratio + weight * (ratio - self.latency_log_ratio), self.latency_log_ratio
        )


@dataclass(frozen=True)
class PlanView:
    """What n robots know of their plans and of the answers they got; arrays (n,). Never whether a plan is right.

    `source`: of the plan in force: 0 the default plan (no language model), 1 or 2 the planner of that level.
    `confidence` (0 to 1): mean probability of its tokens; of a default plan the similarity of its source.
    `similarity`: that of the default plan, whatever is in force. `verdict`: of the verifier on the plan in force: 1 ok,
    -1 a fault, 0 not asked; `verdict_level` (0, 1, 2) and `p_ok` (0.5 where not asked) of it. `answered` (2, n): the
    planner of level 1, 2 gave a plan in this task. `agreeing`: how many other plans known are the one in force.
    `contradicted`: the plan in force begins otherwise than what was already done. `words`, `unknown`: of the goal; see
    `rarrl.reasoner.nearest.NearestPlan`."""

    source: NDArray[np.int64]
    confidence: Floats
    similarity: Floats
    verdict: Floats
    verdict_level: Floats
    p_ok: Floats
    answered: NDArray[np.bool_]
    agreeing: Floats
    contradicted: NDArray[np.bool_]
    words: Floats
    unknown: Floats

    @classmethod
    def single(cls, status: PlanStatus) -> PlanView:
        """What one robot knows."""

        def one(value: float) -> Floats:
            return np.array([value], dtype=np.float64)

        return cls(
            source=np.array([status.source]),
            confidence=one(status.confidence),
            similarity=one(status.similarity),
            verdict=one(status.verdict),
            verdict_level=one(status.verdict_level),
            p_ok=one(status.p_ok),
            answered=np.array(status.answered)[:, None],
            agreeing=one(status.agreeing),
            contradicted=np.array([status.contradicted]),
            words=one(status.words),
            unknown=one(status.unknown),
        )

    def status(self) -> PlanStatus:
        """The inverse of `single`. Raises: ValueError where there is not one robot."""
        (source,) = self.source
        return PlanStatus(
            source=int(source),
            confidence=float(self.confidence[0]),
            similarity=float(self.similarity[0]),
            verdict=int(self.verdict[0]),
            verdict_level=int(self.verdict_level[0]),
            p_ok=float(self.p_ok[0]),
            answered=(bool(self.answered[0, 0]), bool(self.answered[1, 0])),
            agreeing=int(self.agreeing[0]),
            contradicted=bool(self.contradicted[0]),
            words=int(self.words[0]),
            unknown=int(self.unknown[0]),
        )


def type_of(name: str) -> int:
    """The number of ALFRED's action of that name; FOREIGN where there is none."""
    return _TYPE_OF_NAME.get(name, FOREIGN)


@dataclass(frozen=True)
class Steps:
    """What the steps of n robots' plans are expected to do; arrays (n,) float64. Nothing here depends on a name.

    Of the step at hand, as in `StepView`: `failures`, `attempts`, `irreversible`, `seconds`, `looks` (0 or 1). Over the
    steps after it: `rest_failures` and `rest_losses` (sums of the failure shares, and of the shares that lose the
    task), `rest_doubt` (sum of the standard deviations of the failure shares), `rest_worst` (the largest share that
    loses the task), `rest_irreversible` (sum of the shares of the failures), `rest_seconds` (sum), `rest_looks` (how
    many). `retries_left`, `contradicted`: see `StateSummary`."""

    failures: Floats
    attempts: Floats
    irreversible: Floats
    seconds: Floats
    looks: Floats
    rest_failures: Floats
    rest_losses: Floats
    rest_doubt: Floats
    rest_worst: Floats
    rest_irreversible: Floats
    rest_seconds: Floats
    rest_looks: Floats
    retries_left: Floats
    contradicted: Floats

    @classmethod
    def single(cls, summary: StateSummary) -> Steps:
        """Of one robot; where all steps are done, the last one counts as the step at hand."""
        current = min(summary.subgoal_index, len(summary.subgoals) - 1)
        now, rest = summary.subgoals[current], facts_of(summary.subgoals[current + 1 :])
        values = (
            now.failures,
            now.attempts,
            now.irreversible,
            now.seconds,
            float(now.looks),
            *_rest(rest, np.ones((len(rest[0]), 1)))[:, 0],
            float(summary.retries_left),
            float(summary.contradicted),
        )
        return cls(*np.array(values)[:, None])

    @classmethod
    def of_types(cls, subgoal_type: NDArray[np.int64], remaining: Floats) -> Steps:
        """Of ALFRED's actions: the type of the step at hand (n,), and how many of each type come after it (8, n).

        A FOREIGN type counts as a skill that nobody told anything about."""
        nothing = np.zeros(len(subgoal_type))
        rows = [*_TYPE_FACTS[:, subgoal_type], *_rest(_TYPE_FACTS[:, :N_TYPES], remaining), nothing, nothing]
        return cls(*rows)


def facts_of(steps: Sequence[StepView]) -> Floats:
    """(5, k): failures, attempts, irreversible, seconds and looks of each step."""
    rows = [(s.failures, s.attempts, s.irreversible, s.seconds, float(s.looks)) for s in steps]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 5).T


def _rest(facts: Floats, counts: Floats) -> Floats:
    """(7, n): what `Steps` says of the steps to come. `counts` (k, n): how often each of the steps `facts` (5, k) is
    among them."""
    failures, attempts, irreversible, seconds, looks = facts
    losses = failures * irreversible
    deviations = np.sqrt(failures * (1.0 - failures) / (attempts + 1.0))  # of a Beta
    sums = np.stack([failures, losses, deviations, irreversible, seconds, looks]) @ counts
    worst = (losses[:, None] * (counts > 0.0)).max(axis=0, initial=0.0)
    return np.concatenate([sums[:3], worst[None], sums[3:]])


_TYPE_FACTS = facts_of([*STEP_VIEWS.values(), StepView("unknown")])
"""(5, 9) of ALFRED's actions by their numbers; the last column, FOREIGN, of a skill that nobody told anything about."""


@dataclass(frozen=True)
class Situation:
    """All that a decision may depend on, for n robots: task state, h_t, b_t, and what calls cost here.

    `subgoal_type` (n,) int, FOREIGN for a step whose name is none of ALFRED's; `remaining` (8, n) steps of each of
    ALFRED's types after the current one; `subgoal_index`,
    `subgoal_count`, `step`, `horizon` (n,); `time_s`, `tokens`, `initial_time_s`, `initial_tokens` (n,) the
    budget; `mean_s`, `p95_s`, `mean_tokens`, `max_tokens` (4, n) expected cost per THINK action;
    `cost_weight` (n,) lambda, points of success per second of thinking. `plan`: None where plans are not known to be
    right or wrong (the parametric world); where it is there, all task state is by the plan in force. `known_steps`:
    what the steps are expected to do; None: that of ALFRED's actions, see `steps`. `can_go_on` (n,)
    bool: something can be done beside a call; `thinking` (n,) bool: a call is pending. None: nowhere.
    """

    subgoal_type: NDArray[np.int64]
    remaining: Floats
    subgoal_index: Floats
    subgoal_count: Floats
    step: Floats
    horizon: Floats
    history: History
    time_s: Floats
    tokens: Floats
    initial_time_s: Floats
    initial_tokens: Floats
    mean_s: Floats
    p95_s: Floats
    mean_tokens: Floats
    max_tokens: Floats
    cost_weight: Floats
    plan: PlanView | None = None
    known_steps: Steps | None = None
    can_go_on: NDArray[np.bool_] | None = None
    thinking: NDArray[np.bool_] | None = None

    @property
    def steps(self) -> Steps:
        """What the steps are expected to do."""
        return self.known_steps or Steps.of_types(self.subgoal_type, self.remaining)

    @property
    def n(self) -> int:
        """Number of robots."""
        return len(self.subgoal_type)

    @classmethod
    def single(
        cls,
        summary: StateSummary,
        budget: Budget,
        history: History,
        costs: Costs,
        cost_weight: float,
        plan: PlanStatus | None = None,
    ) -> Situation:
        """The situation of one robot. `plan`: None where it does not know of plans (the parametric world)."""
        current = min(summary.subgoal_index, len(summary.subgoals) - 1)
        remaining = np.zeros((N_TYPES, 1))
        for step in summary.subgoals[current + 1 :]:
            kind = type_of(step.name)
            if kind != FOREIGN:
                remaining[kind, 0] += 1.0

        def one(value: float) -> Floats:
            return np.array([value], dtype=np.float64)

        return cls(
            subgoal_type=np.array([type_of(summary.subgoals[current].name)]),
            remaining=remaining,
            subgoal_index=one(summary.subgoal_index),
            subgoal_count=one(len(summary.subgoals)),
            step=one(summary.step),
            horizon=one(summary.horizon),
            history=history,
            time_s=one(budget.time_s),
            tokens=one(budget.tokens),
            initial_time_s=one(budget.initial_time_s),
            initial_tokens=one(budget.initial_tokens),
            mean_s=costs.mean_s[:, None],
            p95_s=costs.p95_s[:, None],
            mean_tokens=costs.mean_tokens[:, None],
            max_tokens=costs.max_tokens[:, None],
            cost_weight=one(cost_weight),
            plan=None if plan is None else PlanView.single(plan),
            known_steps=Steps.single(summary),
            can_go_on=np.array([summary.can_go_on]),
            thinking=np.array([summary.thinking]),
        )

    def action_mask(self) -> NDArray[np.bool_]:
        """(5, n): which actions are allowed. ACT always; THINK only while the budget can pay for it, and while no call
        is pending.

        Seconds must cover the *expected* call (it is cut off at the budget's end anyway), tokens the *largest*
        possible one (prompt + cap), so that the token budget can never be overspent.
        """
        mask = np.ones((N_ACTIONS, self.n), dtype=bool)
        mask[1:] = (
            (self.mean_s <= self.time_s)
            & (self.max_tokens <= self.tokens)
            & (self.history.calls_since_act < MAX_CALLS_PER_ACT)
        )
        if self.thinking is not None:
            mask[1:] &= ~self.thinking
        return mask

    def choice_mask(self) -> NDArray[np.bool_]:
        """(9, n): `action_mask`, and the THINK actions beside where something can be done beside them."""
        mask = self.action_mask()
        can_go_on = False if self.can_go_on is None else self.can_go_on
        return np.concatenate([mask, mask[1:] & can_go_on])


FEATURE_NAMES: tuple[str, ...] = (
    *(f"type.{t.name}" for t in SubgoalType),
    *(f"remaining.{t.name}" for t in SubgoalType),
    "progress",
    "subgoals_left",
    "step_fraction",
    "slack",
    "last_success",
    "last_failure",
    "consecutive_failures",
    "subgoal_failures",
    "subgoal_acts",
    "ema_failure",
    "last5_failures",
    "acts_since_think",
    "calls_since_act",
    "last_planner",
    "last_verifier",
    "last_level",
    "last_call_failed",
    "planner_in_force",
    "verifier_in_force",
    "latency_log_ratio",
    "time_fraction",
    "token_fraction",
    *(f"calls_by_time.{a.name}" for a in THINK_ACTIONS),
    *(f"calls_by_tokens.{a.name}" for a in THINK_ACTIONS),
    *(f"price.{a.name}" for a in THINK_ACTIONS),
    *(f"relative_cost.{a.name}" for a in THINK_ACTIONS[1:]),
    "tail",
)
N_FEATURES = len(FEATURE_NAMES)
PLAN_FEATURE_NAMES: tuple[str, ...] = (
    "plan.default",
    "plan.PLANNER_1",
    "plan.PLANNER_2",
    "plan_doubt",
    "default_doubt",
    "verdict_ok",
    "verdict_fault",
    "verdict_level",
    "p_ok",
    "answered.PLANNER_1",
    "answered.PLANNER_2",
    "plans_agree",
    "plan_contradicted",
    "goal_words",
    "unknown_words",
)
"""Appended to FEATURE_NAMES where the situation has a `PlanView`."""
ALL_FEATURE_NAMES = FEATURE_NAMES + PLAN_FEATURE_NAMES
STEP_FEATURE_NAMES: tuple[str, ...] = (
    "step.failures",
    "step.attempts",
    "step.irreversible",
    "step.losses",
    "step.calls",
    "step.looks",
    "rest.failures",
    "rest.losses",
    "rest.doubt",
    "rest.worst",
    "rest.irreversible",
    "rest.calls",
    "rest.looks",
    "retries_left",
    "beliefs_contradicted",
)
"""What stands in the place of ALFRED's names: what the step at hand, and those after it, are expected to do."""
NAMELESS_FEATURE_NAMES = (
    *STEP_FEATURE_NAMES,
    *FEATURE_NAMES[2 * N_TYPES :],
    "plan.known",
    *PLAN_FEATURE_NAMES,
)
"""Features that know no names, for any robot's skills; those of the plan are 0 where there is no `PlanView`."""
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "names": FEATURE_NAMES,
    "names_and_plan": ALL_FEATURE_NAMES,
    "nameless": NAMELESS_FEATURE_NAMES,
    "names_and_plan_beside": ALL_FEATURE_NAMES + BESIDE_FEATURE_NAMES,
    "nameless_beside": NAMELESS_FEATURE_NAMES + BESIDE_FEATURE_NAMES,
}
"""Every set of features that a policy file may have been trained on."""
FEATURE_LIMIT = 8.0
"""Features are cut off at +- this value."""
HISTORY_FEATURES = slice(FEATURE_NAMES.index("last_success"), FEATURE_NAMES.index("latency_log_ratio") + 1)
BUDGET_FEATURES = slice(FEATURE_NAMES.index("time_fraction"), FEATURE_NAMES.index("price.PLANNER_1"))
_TYPES = np.arange(N_TYPES)[:, None]


def encode(s: Situation) -> NDArray[np.float32]:
    """The policy's input (n, features) float32, every column of order one.

    Names in FEATURE_NAMES, or ALL_FEATURE_NAMES where the situation has a `PlanView`."""
    out = np.empty((N_FEATURES if s.plan is None else len(ALL_FEATURE_NAMES), s.n), dtype=np.float32)
    out[0:8] = s.subgoal_type == _TYPES
    out[8:16] = s.remaining * 0.25
    _encode_task(s, out[16:N_FEATURES])
    if s.plan is not None:
        _encode_plan(s.plan, out[N_FEATURES:])
    np.clip(out, -FEATURE_LIMIT, FEATURE_LIMIT, out=out)
    return np.ascontiguousarray(out.T)


def encode_nameless(s: Situation) -> NDArray[np.float32]:
    """As `encode`, without any name: (n, features) float32 by NAMELESS_FEATURE_NAMES."""
    out = np.zeros((len(NAMELESS_FEATURE_NAMES), s.n), dtype=np.float32)
    k = len(STEP_FEATURE_NAMES)
    tail = k + N_FEATURES - 2 * N_TYPES
    _encode_steps(s, out[:k])
    _encode_task(s, out[k:tail])
    if s.plan is not None:
        out[tail] = 1.0
        _encode_plan(s.plan, out[tail + 1 :])
    np.clip(out, -FEATURE_LIMIT, FEATURE_LIMIT, out=out)
    return np.ascontiguousarray(out.T)


def _encode_steps(s: Situation, out: NDArray[np.float32]) -> None:
    steps, call_s = s.steps, s.mean_s[0]
    out[0] = steps.failures * 2.0
    out[1] = np.log(steps.attempts) * 0.25
    out[2] = steps.irreversible
    out[3] = np.sqrt(steps.failures * steps.irreversible) * 2.0  # a loss of 1 % is told from one of 4 %
    out[4] = np.log1p(steps.seconds / call_s) * 0.25
    out[5] = steps.looks
    out[6] = steps.rest_failures * 0.5
    out[7] = np.sqrt(steps.rest_losses)
    out[8] = steps.rest_doubt
    out[9] = np.sqrt(steps.rest_worst) * 2.0
    out[10] = steps.rest_irreversible * 0.25
    out[11] = np.log1p(steps.rest_seconds / call_s) * 0.25
    out[12] = steps.rest_looks * 0.25
    out[13] = np.minimum(steps.retries_left, 4.0) * 0.25
    out[14] = np.minimum(steps.contradicted, 3.0) * 0.5


def _encode_task(s: Situation, out: NDArray[np.float32]) -> None:
    """From "progress" to "tail": history, budget and prices, which know no names."""
    h = s.history
    left = s.subgoal_count - s.subgoal_index
    out[0] = s.subgoal_index / s.subgoal_count
    out[1] = left * 0.125
    out[2] = s.step / s.horizon
    out[3] = np.clip((s.horizon - s.step) / np.maximum(left, 1.0) - 1.0, 0.0, 4.0)
    out[4] = h.last_outcome > 0.0
    out[5] = h.last_outcome < 0.0
    out[6] = h.consecutive_failures * 0.5
    out[7] = h.subgoal_failures * 0.5
    out[8] = h.subgoal_acts * 0.25
    out[9] = h.ema_failure * 2.0
    out[10] = h.recent_failures.sum(axis=0) * 0.4
    out[11] = h.acts_since_think * 0.1
    out[12] = h.calls_since_act * 0.5
    out[13] = (h.last_think == 1.0) | (h.last_think == 2.0)
    out[14] = h.last_think > 2.0
    out[15] = np.where(h.last_think > 0.0, 0.5 + 0.5 * ((h.last_think - 1.0) % 2.0), 0.0)
    out[16] = 1.0 - h.last_call_ok
    out[17] = h.planner_level * 0.5
    out[18] = h.verifier_level * 0.5
    out[19] = h.latency_log_ratio
    out[20] = s.time_s / np.maximum(s.initial_time_s, 1e-9)
    out[21] = s.tokens / np.maximum(s.initial_tokens, 1e-9)
    out[22:26] = np.log1p(np.minimum(s.time_s / s.mean_s, MAX_CALLS)) * 0.5
    out[26:30] = np.log1p(np.minimum(s.tokens / s.mean_tokens, MAX_CALLS)) * 0.5
    out[30:34] = np.log(1e-4 + s.cost_weight * s.mean_s) * 0.25 + 1.0
    out[34:37] = np.log(s.mean_s[1:] / s.mean_s[0])
    out[37] = np.log(s.p95_s[0] / s.mean_s[0])


def _encode_plan(p: PlanView, out: NDArray[np.float32]) -> None:
    out[0:3] = p.source == np.arange(3)[:, None]
    out[3], out[4] = doubt(p.confidence), doubt(p.similarity)
    out[5], out[6] = p.verdict > 0.0, p.verdict < 0.0
    out[7] = p.verdict_level * 0.5
    out[8] = p.p_ok * 2.0 - 1.0
    out[9:11] = p.answered
    out[11] = p.agreeing * 0.5
    out[12] = p.contradicted
    out[13] = p.words * 0.05
    out[14] = p.unknown * 0.25


def doubt(confidence: Floats) -> Floats:
    """-1 where `confidence` is 1, 1 where it is 0; logarithmic, for most that matters lies between 0.9 and 1.

    >>> [round(float(doubt(np.array(c))), 2) for c in (1.0, 0.99, 0.9, 0.0)]
    [-1.0, -0.31, 0.34, 1.0]
    """
    return np.asarray(np.log10(1.001 - confidence) / 1.5 + 1.0)
