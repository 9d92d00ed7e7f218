"""The value objects."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType, step_views
from rarrl.types import MAX_NEW_TOKENS, THINK_ACTIONS, Action, Budget, Decision, Role, StateSummary, StepView

amounts = st.floats(0.0, 1e6)


def test_actions_are_the_papers_five():
    assert [(a.role, a.level) for a in Action] == [
        (None, 0),
        (Role.PLANNER, 1),
        (Role.PLANNER, 2),
        (Role.VERIFIER, 1),
        (Role.VERIFIER, 2),
    ]
    assert [a.label for a in Action][:2] == ["ACT", "THINK(planner, 1)"]
    assert set(THINK_ACTIONS) == set(Action) - {Action.ACT}
    assert MAX_NEW_TOKENS == {1: 256, 2: 512}


@given(time_s=amounts, tokens=amounts, calls=st.lists(st.tuples(amounts, amounts), max_size=5))
def test_a_budget_only_falls_and_never_below_zero(time_s, tokens, calls):
    budget = Budget.full(time_s, tokens)
    for seconds, used in calls:
        after = budget.spend(seconds, used)
        assert 0.0 <= after.time_s <= budget.time_s
        assert 0.0 <= after.tokens <= budget.tokens
        assert (after.initial_time_s, after.initial_tokens) == (time_s, tokens)
        budget = after


def test_spend_known_answer():
    assert Budget.full(3.0, 100.0).spend(1.0, 30.0) == Budget(2.0, 70.0, 3.0, 100.0)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["time_s", "tokens", "initial_time_s", "initial_tokens"])
def test_budget_refuses_impossible_amounts(name, bad):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(Budget.full(1.0, 1.0), **{name: bad})


@pytest.mark.parametrize(
    "change",
    [
        {"subgoals": ()},
        {"subgoal_index": -1},
        {"subgoal_index": 2},
        {"horizon": 0},
        {"step": -1},
        {"retries_left": -1},
        {"contradicted": -1},
    ],
)
def test_state_summary_refuses_the_impossible(change):
    good = StateSummary(step_views((SubgoalType.GotoLocation,)), subgoal_index=1, step=0, horizon=5)
    with pytest.raises(ValueError, match=r"StateSummary"):
        dataclasses.replace(good, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a,b"},
        {"name": "a\nb"},
        {"name": "x" * 61},
        {"failures": 1.1},
        {"failures": float("nan")},
        {"attempts": 0.0},
        {"attempts": float("inf")},
        {"irreversible": -0.1},
        {"seconds": float("inf")},
    ],
)
def test_a_step_view_refuses_the_impossible(change):
    with pytest.raises(ValueError, match=f"StepView.{next(iter(change))}"):
        dataclasses.replace(StepView("navigate", 0.0, 1e9, 1.0, 0.0, looks=True), **change)


def test_values_are_frozen():
    decision = Decision(1, Action.ACT, 0.0, "nothing to think about")
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.id = 2
