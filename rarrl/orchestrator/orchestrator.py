"""One robot's orchestrator: keeps history and budget, and turns a policy's choice into a `Decision`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rarrl.errors import InputError, RarrlError
from rarrl.orchestrator.abstain import Abstention
from rarrl.orchestrator.beside import action_of, thinks_beside
from rarrl.orchestrator.features import FOREIGN, Costs, History, Situation, type_of
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.rules import Mask, OrchestratorPolicy
from rarrl.orchestrator.running_costs import RunningCosts
from rarrl.plugins import USER_ERRORS, one_line
from rarrl.strict_json import short
from rarrl.types import (
    CALL_TIMEOUT_S,
    Action,
    ActStatus,
    Budget,
    CallStatus,
    Decision,
    LlmCall,
    PlanStatus,
    StateSummary,
)


class Orchestrator:
    """Decides ACT or THINK(role, level) for one robot, and keeps the ledger of what was spent.

    The order of calls: `start`, then per decision `decide` followed by `record_act` or `record_call` with its
    outcome. An outcome for another decision is dropped: `is_current(id)` says so.

    Args:
        policy: a rule or the learned policy.
        costs: what calls of this language model are expected to cost (`ReplayTable.costs`); `RunningCosts` follow the
            calls that are recorded here.
        cost_weight: RARRL's lambda, points of success per second of thinking.
        call_timeout_s: no call may take longer than this, however much budget is left.
        abstention: when the robot asks a person instead of acting, at most once in a task; None: never.

    Attributes:
        on_policy_error: where it is set, an error of the policy is handed to it and the decision is ACT, so that a
            robot is never left without a decision; None: `decide` raises the error.
    """

    def __init__(
        self,
        policy: OrchestratorPolicy,
        costs: Costs,
        cost_weight: float,
        call_timeout_s: float = CALL_TIMEOUT_S,
        abstention: Abstention | None = None,
    ) -> None:
        self.policy = policy
        self.costs = costs
        self.cost_weight = cost_weight
        self.call_timeout_s = call_timeout_s
        self.abstention = abstention
        self.on_policy_error: Callable[[RarrlError], None] | None = None
        self.history = History(1)
        self.budget = Budget.full(0.0, 0.0)
        self._id = 0
        self._started = False
        self._pending = False  # a call, when the last decision was made
        self._has_asked = False

    def start(self, budget: Budget) -> None:
        """Begins a task with a fresh history. Ids go on counting, so that late answers stay recognisable."""
        self._started = True
        self._pending = False
        self._has_asked = False
        self.budget = budget
        self.history.reset(np.zeros(1, np.int64))

    def allows(self, action: Action, summary: StateSummary) -> bool:
        """Whether `action` may be taken in the present situation: budget, and calls since the last attempt."""
        situation = self.situation(summary)
        return bool(situation.action_mask()[action, 0])

    def situation(self, summary: StateSummary, plan: PlanStatus | None = None) -> Situation:
        """What the policy sees."""
        return Situation.single(summary, self.budget, self.history, self.costs, self.cost_weight, plan)

    def decide(self, summary: StateSummary, asked: Action | None = None, plan: PlanStatus | None = None) -> Decision:
        """The next decision; a spent budget leaves only ACT, and so does a call that is pending. `asked`: somebody's
        wish, taken where it is allowed. `plan`: what is known of the plan in force, where a reasoner writes it.

        Raises: RuntimeError before `start`; InputError where the policy fails or answers with anything but actions, see
            `on_policy_error`."""
        if not self._started:
            raise RuntimeError("Orchestrator.decide: no task has been started; call start first")

        situation = self.situation(summary, plan)
        self._pending = summary.thinking
        mask = situation.choice_mask() if thinks_beside(self.policy) else situation.action_mask()
        trouble = ""
        choice = 0
        if asked is None:
            try:
                choice = self._choice(situation, mask)
            except RarrlError as error:
                if self.on_policy_error is None:
                    raise
                self.on_policy_error(error)
                trouble = f"; ACT, because the policy failed: {error}"
        else:
            choice = int(asked)

        action, goes_on = action_of(choice if mask[choice, 0] else 0)
        doubt = self._doubt(situation) if action is Action.ACT and asked is None else ""
        self._has_asked |= bool(doubt)
        self._id += 1
        deadline_s = 0.0 if action is Action.ACT else min(self.budget.time_s, self.call_timeout_s)
        why = doubt or self._why(summary, bool(mask[1:].any())) + trouble
        return Decision(self._id, action, deadline_s, why, beside=goes_on, asks_person=bool(doubt))

    def _doubt(self, situation: Situation) -> str:
        """Why a person is to be asked instead of acting; "" where none is, or one was asked in this task, or the answer
        to a call is still to come."""
        if self.abstention is None or self._has_asked or self._pending:
            return ""
        score, limit = self.abstention.score(situation), self.abstention.threshold
        return f"fails with probability {score:.2f} (asks from {limit:.2f})" if score >= limit else ""

    def _choice(self, situation: Situation, mask: Mask) -> int:
        """What the policy chooses; it may be a user's, and gets a mask of its own that it cannot write to.

        Raises: InputError, one line, where it raises, or returns anything but (n,) integers 0 to 4 (to 8, where it
        thinks beside)."""
        shown = mask.copy()
        shown.setflags(write=False)
        try:
            answer = self.policy.act(situation, shown)
            actions = np.asarray(answer)
        except RarrlError:
            raise
        except USER_ERRORS as error:
            raise InputError(f"policy {self._policy_name}: act failed ({one_line(error)}); mend it") from error

        if (
            actions.dtype.kind not in "iu"
            or actions.shape != (situation.n,)
            or not ((actions >= 0) & (actions < len(mask))).all()
        ):
            raise InputError(
                f"policy {self._policy_name}: act returned {_described(answer)} (allowed: an array of shape "
                f"({situation.n},) of integers 0 to {len(mask) - 1}); mend it"
            )
        return int(actions[0])

    @property
    def _policy_name(self) -> str:
        """The policy's name for messages; that of its class, where a user's policy cannot say it."""
        try:
            return " ".join(str(self.policy.name).split())
        except USER_ERRORS:
            return type(self.policy).__name__

    def is_current(self, decision_id: int) -> bool:
        """Whether `decision_id` is the last decision made; the outcomes of all others come too late."""
        return decision_id == self._id

    def record_act(self, status: ActStatus, subgoal_done: bool, pending: bool | None = None) -> None:
        """Folds in the outcome of an execution attempt. pending: whether it was made beside a call; None: as it was
        when the last decision was made."""
        success = np.array([status is ActStatus.SUCCESS])
        beside = self._pending if pending is None else pending
        self.history.record_act(np.array([True]), success, np.array([subgoal_done]), np.array([beside]))

    def record_call(self, call: LlmCall) -> None:
        """Folds in a finished call and pays for it. One that was withdrawn tells nothing of calls, and is paid for."""
        self.budget = self.budget.spend(call.seconds, call.tokens)
        if call.status is CallStatus.WITHDRAWN:
            return
        self.history.record_think(
            np.array([int(call.action)]),
            np.array([call.status is CallStatus.OK]),
            np.array([call.seconds]),
            self.costs.mean_s[[int(call.action) - 1]],
        )
        if isinstance(self.costs, RunningCosts):
            self.costs.observe(call)

    def cut_budget(self, time_s: float, tokens: float) -> None:
        """Sets what is left to at most `time_s` and `tokens` (a budget shock from outside)."""
        b = self.budget
        self.budget = Budget(min(b.time_s, time_s), min(b.tokens, tokens), b.initial_time_s, b.initial_tokens)

    def _why(self, summary: StateSummary, can_think: bool) -> str:
        h = self.history
        subgoal = summary.subgoals[min(summary.subgoal_index, len(summary.subgoals) - 1)].name
        parts = [
            f"{self._policy_name}: {subgoal} ({summary.subgoal_index + 1}/{len(summary.subgoals)})",
            f"{int(h.subgoal_failures[0])} failures here, recent rate {h.ema_failure[0]:.2f}",
            f"left {self.budget.time_s:.1f} s, {self.budget.tokens:.0f} tokens",
        ]
        if isinstance(self.policy, LearnedPolicy) and not self.policy.nameless and type_of(subgoal) == FOREIGN:
            parts.append(f"trained on ALFRED's actions, of which {subgoal} is none: `nameless` knows any skill")
        if self._pending:
            parts.append("it goes on while it waits for an answer")
        elif not can_think:
            parts.append("no call allowed: budget spent or enough calls for this attempt")
        return "; ".join(parts)


def _described(answer: Any) -> str:
    """What a policy returned instead of actions, for a message."""
    if isinstance(answer, np.ndarray):
        return f"{short(answer.ravel()[:5].tolist())} of shape {answer.shape} and type {answer.dtype}"
    if answer is None or isinstance(answer, (int, float, str, list, tuple)):
        return short(answer)
    return f"an object of type {type(answer).__name__}"
