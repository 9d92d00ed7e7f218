"""One robot's ledger and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType as T
from rarrl.alfred import step_views
from rarrl.build import make_orchestrator
from rarrl.errors import InputError
from rarrl.latency.profile import World
from rarrl.orchestrator.features import MAX_CALLS_PER_ACT
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.types import Action, ActStatus, Budget, CallStatus, LlmCall, StateSummary, StepView

SUMMARY = StateSummary(step_views((T.GotoLocation, T.PutObject)), 1, 3, 9)


@dataclass
class Wants:
    """A policy that always wants the same action, allowed or not."""

    action: int
    name: str = "wants"

    def act(self, s: Any, mask: Any) -> np.ndarray:
        return np.full(s.n, self.action)


@pytest.fixture
def table(make_table: Any) -> Any:
    return make_table()


def test_a_decision_and_what_it_costs(table: Any) -> None:
    brain = Orchestrator(make_rule("always", recipe="P2V2"), table.costs, 0.01, call_timeout_s=5.0)
    brain.start(Budget.full(10.0, 1000.0))
    first = brain.decide(SUMMARY)
    assert (first.action, first.deadline_s) == (Action.PLANNER_2, 5.0)
    assert first.why == "always: PutObject (2/2); 0 failures here, recent rate 0.00; left 10.0 s, 1000 tokens"
    brain.record_call(LlmCall(first.action, CallStatus.OK, 6.5, 120.0))
    assert (brain.budget.time_s, brain.budget.tokens) == (3.5, 880.0)
    second = brain.decide(SUMMARY)
    assert (second.action, second.deadline_s, second.id) == (Action.VERIFIER_2, 3.5, first.id + 1)
    brain.record_call(LlmCall(second.action, CallStatus.TIMEOUT, 3.5, 100.0))
    assert brain.history.planner_level[0] == 2 and brain.history.verifier_level[0] == 0
    last = brain.decide(SUMMARY)
    assert (last.action, last.deadline_s) == (Action.ACT, 0.0)
    assert last.why.endswith("no call allowed: budget spent or enough calls for this attempt")
    brain.record_act(ActStatus.LOST, False)
    assert brain.history.last_outcome[0] == -1


def test_forbidden_wishes_become_act(table: Any) -> None:
    brain = Orchestrator(Wants(2), table.costs, 0.01)
    brain.start(Budget.full(1.5, 1000.0))  # planner 2 takes 2 s
    assert not brain.allows(Action.PLANNER_2, SUMMARY) and brain.allows(Action.PLANNER_1, SUMMARY)
    assert brain.decide(SUMMARY).action is Action.ACT
    assert brain.decide(SUMMARY, asked=Action.PLANNER_1).action is Action.PLANNER_1
    assert brain.decide(SUMMARY, asked=Action.PLANNER_2).action is Action.ACT
    assert brain.decide(SUMMARY, asked=Action.ACT).action is Action.ACT


def test_only_the_last_decision_is_current_even_after_a_restart(table: Any) -> None:
    brain = Orchestrator(Wants(1), table.costs, 0.01)
    brain.start(Budget.full(9.0, 1000.0))
    assert not brain.is_current(1)
    ids = [brain.decide(SUMMARY).id for _ in range(3)]
    assert [brain.is_current(i) for i in ids] == [False, False, True]
    brain.start(Budget.full(9.0, 1000.0))
    assert brain.decide(SUMMARY).id not in ids and not brain.is_current(ids[-1])


def test_start_forgets_the_last_task(table: Any) -> None:
    brain = Orchestrator(Wants(0), table.costs, 0.01)
    fresh = brain.history._m.copy()
    brain.record_act(ActStatus.FAILURE, False)
    brain.record_call(LlmCall(Action.PLANNER_1, CallStatus.OK, 1.0, 10.0))
    brain.start(Budget.full(5.0, 500.0))
    assert np.array_equal(brain.history._m, fresh) and brain.budget == Budget.full(5.0, 500.0)


def test_before_start_nothing_can_be_spent(table: Any) -> None:
    brain = Orchestrator(Wants(1), table.costs, 0.01)
    assert not brain.allows(Action.PLANNER_1, SUMMARY) and brain.allows(Action.ACT, SUMMARY)
    with pytest.raises(RuntimeError, match="call start first"):
        brain.decide(SUMMARY)


def test_a_cut_lowers_and_never_raises(table: Any) -> None:
    brain = Orchestrator(Wants(1), table.costs, 0.01)
    brain.start(Budget.full(10.0, 1000.0))
    brain.cut_budget(4.0, 2000.0)
    assert brain.budget == Budget(4.0, 1000.0, 10.0, 1000.0)
    brain.cut_budget(9.0, 300.0)
    assert brain.budget == Budget(4.0, 300.0, 10.0, 1000.0)


def test_enough_calls_for_one_attempt(table: Any) -> None:
    brain = Orchestrator(Wants(3), table.costs, 0.01)
    brain.start(Budget.full(1e3, 1e6))
    actions = []
    for _ in range(2 * (MAX_CALLS_PER_ACT + 1)):
        actions.append(brain.decide(SUMMARY).action)
        if actions[-1] is Action.ACT:
            brain.record_act(ActStatus.FAILURE, False)
        else:
            brain.record_call(LlmCall(actions[-1], CallStatus.INVALID, 1.0, 1.0))
    assert actions == 2 * ([Action.VERIFIER_1] * MAX_CALLS_PER_ACT + [Action.ACT])


amount = st.floats(0, 1e6)


@given(st.lists(st.tuples(st.sampled_from(list(Action)), st.sampled_from(list(CallStatus)), amount, amount)))
def test_the_ledger_is_never_negative_and_never_grows(make_table: Any, calls: Any) -> None:
    brain = Orchestrator(Wants(2), make_table().costs, 0.01)
    brain.start(Budget.full(100.0, 1e4))
    for action, status, seconds, tokens in calls:
        before = brain.budget
        decision = brain.decide(SUMMARY)
        assert decision.action is Action.ACT or (before.time_s >= 2.0 and before.tokens >= 100.0)
        assert 0.0 <= decision.deadline_s <= before.time_s
        if action is Action.ACT:
            brain.record_act(ActStatus.FAILURE, False)
            brain.cut_budget(seconds, tokens)
        else:
            brain.record_call(LlmCall(action, status, seconds, tokens))
        assert 0.0 <= brain.budget.time_s <= before.time_s and 0.0 <= brain.budget.tokens <= before.tokens


@dataclass
class Returns:
    """A policy that answers with whatever it was made with, or raises it."""

    answer: Any
    name: str = "mine"

    def act(self, s: Any, mask: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer(mask) if callable(self.answer) else self.answer


def write(mask: Any) -> Any:
    mask[:] = True
    return np.array([2])


BAD_ANSWERS = [
    (RuntimeError("two\nlines"), "act failed (RuntimeError: two lines)"),
    (SystemExit(3), "act failed (SystemExit: 3)"),
    (np.array([np.nan]), "act returned [nan] of shape (1,)"),
    (np.array([99]), "act returned [99]"),
    (np.array([-1]), "act returned [-1]"),
    (np.array([1.7]), "act returned [1.7] of shape (1,) and type float64"),
    (np.array([True]), "act returned [True]"),
    (np.zeros(4, int), "act returned [0, 0, 0, 0] of shape (4,)"),
    (2, "act returned 2 "),
    (None, "act returned None"),
    ("ACT", "act returned 'ACT'"),
    (write, "act failed (ValueError: assignment destination is read-only)"),
]


@pytest.mark.parametrize(("answer", "message"), BAD_ANSWERS)
def test_what_is_no_action_is_an_error_or_act(table: Any, answer: Any, message: str) -> None:
    brain = Orchestrator(Returns(answer), table.costs, 0.01)
    brain.start(Budget.full(10.0, 1000.0))
    with pytest.raises(InputError) as raised:
        brain.decide(SUMMARY)
    assert str(raised.value).startswith("policy mine: ") and "\n" not in str(raised.value)
    assert message in str(raised.value)

    errors: list[str] = []
    brain.on_policy_error = lambda error: errors.append(str(error))
    decision = brain.decide(SUMMARY)
    assert (decision.action, decision.deadline_s) == (Action.ACT, 0.0) and message in decision.why
    assert errors == [str(raised.value)]


def test_a_policy_that_knows_names_says_so_of_foreign_skills() -> None:
    foreign = StateSummary((StepView("dock"), StepView("pour", 0.3, 9.0, 1.0, 4.0)), 1, 0, 9)
    reasons = {}
    for world in (None, World.SKILLS):
        brain = make_orchestrator("learned", "groq-70b", world=world)
        brain.start(Budget.full(20.0, 4000.0))
        reasons[world] = brain.decide(foreign).why
        assert "trained on" not in brain.decide(SUMMARY).why
    assert "of which pour is none: `nameless`" in reasons[None]
    assert reasons[World.SKILLS].startswith("nameless: pour (2/2)") and "trained on" not in reasons[World.SKILLS]
