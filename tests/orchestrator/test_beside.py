"""Nine choices: thinking beside acting, for rules, learned policies, and one robot's orchestrator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.alfred import step_views
from rarrl.errors import InputError
from rarrl.orchestrator.beside import BESIDE_FEATURE_NAMES, action_of, encode_beside
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, NAMELESS_FEATURE_NAMES, History, Situation
from rarrl.orchestrator.learned import LearnedPolicy, load_learned, save_policy
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.registry import load_policy
from rarrl.orchestrator.rules import RULES, grid, make_rule
from rarrl.types import Action, ActStatus, Budget, CallStatus, LlmCall, PlanStatus, StateSummary

SUMMARY = StateSummary(step_views((T.GotoLocation, T.PutObject)), 0, 3, 9)
PLAN = PlanStatus(1, 0.9, 0.8, 0, 0, 0.5, (True, False), 0, False, 7, 0)
FREE = replace(SUMMARY, can_go_on=True)
WAITS = replace(SUMMARY, can_go_on=True, thinking=True)


@pytest.fixture
def table(make_table: Any) -> Any:
    return make_table()


def brain_of(policy: Any, table: Any) -> Orchestrator:
    brain = Orchestrator(policy, table.costs, 0.01)
    brain.start(Budget.full(100.0, 1e5))
    return brain


def situation(table: Any, summary: StateSummary) -> Situation:
    return Situation.single(summary, Budget.full(100.0, 1e5), History(), table.costs, 0.01, PLAN)


def test_a_choice_is_an_action_standing_or_beside() -> None:
    assert [action_of(choice) for choice in range(9)] == [
        *((action, False) for action in Action),
        *((action, True) for action in Action if action is not Action.ACT),
    ]


def test_the_mask_knows_what_can_go_on_and_what_is_pending(table: Any) -> None:
    for summary, standing, going in ((SUMMARY, 1, 0), (FREE, 1, 1), (WAITS, 0, 0)):
        mask = situation(table, summary).choice_mask()[:, 0]
        assert mask.tolist() == [True, *[bool(standing)] * 4, *[bool(going)] * 4]
        assert mask[:5].tolist() == situation(table, summary).action_mask()[:, 0].tolist()
    poor = replace(situation(table, FREE), time_s=np.array([0.0]))
    assert poor.choice_mask()[:, 0].tolist() == [True, *[False] * 8]


def test_each_rule_thinks_beside_where_it_can_and_else_stands(table: Any) -> None:
    for family in RULES:
        for params in grid(family)[:: max(len(grid(family)) // 4, 1)]:
            standing, going = make_rule(family, **params), make_rule(family, **params, beside=True)
            for status in (SUMMARY, FREE, WAITS):
                s = situation(table, status)
                action, beside = action_of(int(going.act(s, s.choice_mask())[0]))
                assert action == int(standing.act(s, s.action_mask())[0])
                assert beside == (status is FREE and action is not Action.ACT)
    assert make_rule("always", beside=True).name == "always beside"
    assert make_rule("always", beside=False).name == "always"
    assert grid("always", beside=True) == [params | {"beside": True} for params in grid("always")]


def test_what_is_no_truth_value_is_refused() -> None:
    for spec in ('always:{"beside": 1}', 'always:{"beside": "yes"}'):
        with pytest.raises(InputError, match="parameter beside must be true or false") as error:
            load_policy(spec)
        assert "\n" not in str(error.value)
    assert load_policy('interval:{"every": 2, "beside": true}').params == {"every": 2, "beside": True}  # type: ignore[attr-defined]


def test_a_decision_says_whether_it_is_beside(table: Any) -> None:
    brain = brain_of(make_rule("always", recipe="P2V2", beside=True), table)
    first = brain.decide(FREE)
    assert (first.action, first.beside) == (Action.PLANNER_2, True)
    waiting = brain.decide(WAITS)
    assert (waiting.action, waiting.beside) == (Action.ACT, False)
    assert waiting.why.endswith("it goes on while it waits for an answer")
    brain.record_act(ActStatus.SUCCESS, True)
    brain.record_call(LlmCall(Action.PLANNER_2, CallStatus.OK, 3.0, 100.0))
    # The attempt beside it was no decision of its own: the recipe's next call comes before the next one.
    assert brain.decide(FREE).action is Action.VERIFIER_2
    standing = brain_of(make_rule("always", recipe="P2V2", beside=True), table).decide(SUMMARY)
    assert (standing.action, standing.beside) == (Action.PLANNER_2, False)
    assert brain.decide(WAITS, asked=Action.PLANNER_1).action is Action.ACT


def test_a_call_that_was_withdrawn_is_paid_for_and_tells_nothing(table: Any) -> None:
    brain = brain_of(make_rule("after_failure", beside=True), table)
    brain.record_act(ActStatus.FAILURE, False)
    assert brain.decide(FREE).beside
    before = brain.history.last_call_ok.copy(), brain.history.latency_log_ratio.copy(), brain.history.calls.copy()
    brain.record_call(LlmCall(Action.PLANNER_1, CallStatus.WITHDRAWN, 0.5, 260.0))
    assert (brain.budget.time_s, brain.budget.tokens) == (99.5, 1e5 - 260.0)
    assert before == (brain.history.last_call_ok, brain.history.latency_log_ratio, brain.history.calls)


@dataclass
class Wants:
    """Always wants the same choice."""

    choice: int
    thinks_beside: bool
    name: str = "wants"

    def act(self, s: Situation, mask: np.ndarray) -> np.ndarray:
        assert mask.shape == ((9 if self.thinks_beside else 5), s.n)
        return np.full(s.n, self.choice)


def test_a_users_policy_says_itself_how_many_choices_it_has(table: Any) -> None:
    decision = brain_of(Wants(8, True), table).decide(FREE)
    assert (decision.action, decision.beside) == (Action.VERIFIER_2, True)
    assert brain_of(Wants(8, True), table).decide(SUMMARY).action is Action.ACT
    for choice, beside, allowed in ((5, False, "0 to 4"), (9, True, "0 to 8")):
        with pytest.raises(InputError, match=allowed):
            brain_of(Wants(choice, beside), table).decide(FREE)


def nine(nameless: bool, favourite: int) -> LearnedPolicy:
    """Wants one choice wherever it is allowed, else the one before it, and so on."""
    width = len(NAMELESS_FEATURE_NAMES if nameless else ALL_FEATURE_NAMES) + len(BESIDE_FEATURE_NAMES)
    bias = -np.abs(np.arange(9) - favourite).astype(np.float32)
    return LearnedPolicy(
        "nine", (np.zeros((9, width), np.float32),), (bias,), np.zeros(width, bool), np.ones(9, bool), nameless=nameless
    )


@pytest.mark.parametrize("nameless", [False, True])
def test_a_learned_policy_of_nine_choices(nameless: bool, table: Any, tmp_path: Path) -> None:
    save_policy(nine(nameless, 6), tmp_path, {})
    policy = load_learned(tmp_path)
    assert policy.thinks_beside and policy.nameless == nameless
    assert policy.feature_names[-4:] == BESIDE_FEATURE_NAMES and len(policy.feature_names) == len(policy.hidden)
    decision = brain_of(policy, table).decide(FREE, plan=PLAN)
    assert (decision.action, decision.beside) == (Action.PLANNER_2, True)
    assert brain_of(policy, table).decide(SUMMARY, plan=PLAN).action is Action.VERIFIER_2
    assert brain_of(policy, table).decide(WAITS, plan=PLAN).action is Action.ACT
    assert policy.probabilities(policy.encode(situation(table, FREE)), situation(table, FREE).choice_mask()).shape == (
        1,
        9,
    )


def test_names_without_a_plan_are_too_few_for_nine_choices(table: Any) -> None:
    with pytest.raises(InputError, match="trained on recorded answers"):
        brain_of(nine(False, 6), table).decide(FREE)


def test_five_outputs_on_features_of_nine_are_refused(tmp_path: Path) -> None:
    policy = nine(False, 0)
    save_policy(replace(policy, allowed=np.ones(5, bool)), tmp_path, {})
    with pytest.raises(InputError):
        load_learned(tmp_path)


def test_features_are_what_the_robot_told() -> None:
    yes, no = np.array([True]), np.array([False])
    mean_s = np.array([[1.0], [2.0], [0.5], [1.5]])
    assert encode_beside(yes, no, np.array([3.0]), mean_s).tolist() == [[1.0, 0.0, 1.5, 0.75]]
    assert encode_beside(no, yes, np.array([9.0]), mean_s).tolist() == [[0.0, 1.0, 2.0, 2.0]]
