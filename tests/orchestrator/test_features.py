"""The encoding of what the orchestrator sees: by hand, single against batch, finite whatever comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType as T
from rarrl.alfred import step_views
from rarrl.latency.profile import shipped_profiles
from rarrl.orchestrator.features import (
    BUDGET_FEATURES,
    FEATURE_LIMIT,
    FEATURE_NAMES,
    FOREIGN,
    HISTORY_FEATURES,
    MAX_CALLS_PER_ACT,
    N_FEATURES,
    History,
    Situation,
    Steps,
    encode,
)
from rarrl.types import THINK_ACTIONS, Action, Budget, StateSummary, StepView
from rarrl_sim_envs.alfred.datasets import load_tables

PLAN = (T.GotoLocation, T.PickupObject, T.GotoLocation, T.PutObject)


def features(s: Situation) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, encode(s)[0].tolist(), strict=True))


def act(h: History, success: bool, done: bool = False) -> None:
    h.record_act(np.array([True]), np.array([success]), np.array([done]))


def think(h: History, action: Action, ok: bool = True, ratio: float = 1.0) -> None:
    h.record_think(np.array([int(action)]), np.array([ok]), np.array([ratio]), np.array([1.0]))


def situation(table: Any, history: History | None = None, budget: Budget | None = None, index: int = 0) -> Situation:
    budget = budget or Budget.full(10.0, 1000.0)
    return Situation.single(
        StateSummary(step_views(PLAN), index, 2, 11), budget, history or History(), table.costs, 0.01
    )


def test_names_are_one_per_column() -> None:
    assert len(set(FEATURE_NAMES)) == N_FEATURES == 54
    history, budget = FEATURE_NAMES[HISTORY_FEATURES], FEATURE_NAMES[BUDGET_FEATURES]
    assert history[0] == "last_success" and history[-1] == "latency_log_ratio"
    assert {"consecutive_failures", "ema_failure", "planner_in_force", "last_call_failed"} <= set(history)
    assert budget[:2] == ("time_fraction", "token_fraction") and len(budget) == 10
    assert not any(name.startswith(("price", "type", "remaining")) for name in history + budget)


def test_a_fresh_task_by_hand(make_table: Any) -> None:
    f = features(situation(make_table()))
    assert f["type.GotoLocation"] == 1.0 and sum(v for k, v in f.items() if k.startswith("type.")) == 1.0
    assert (f["remaining.GotoLocation"], f["remaining.PickupObject"], f["remaining.PutObject"]) == (0.25, 0.25, 0.25)
    assert (f["progress"], f["subgoals_left"]) == (0.0, 0.5)
    assert f["step_fraction"] == pytest.approx(2 / 11) and f["slack"] == pytest.approx(9 / 4 - 1)
    assert f["last_success"] == f["last_failure"] == f["last_call_failed"] == 0.0
    assert f["acts_since_think"] == 2.0
    assert f["time_fraction"] == f["token_fraction"] == 1.0
    assert f["calls_by_time.PLANNER_1"] == pytest.approx(0.5 * np.log(11))
    assert f["calls_by_time.PLANNER_2"] == pytest.approx(0.5 * np.log(6))
    assert f["calls_by_tokens.VERIFIER_1"] == pytest.approx(0.5 * np.log(11))
    assert f["price.PLANNER_2"] == pytest.approx(0.25 * np.log(1e-4 + 0.02) + 1)
    assert f["relative_cost.PLANNER_2"] == pytest.approx(np.log(2)) and f["relative_cost.VERIFIER_1"] == 0.0
    assert f["tail"] == 0.0


def test_more_than_sixty_calls_are_as_good_as_any_number(make_table: Any) -> None:
    f, g = (features(situation(make_table(), budget=Budget.full(t, 100 * t))) for t in (60.0, 9999.0))
    assert f["calls_by_time.PLANNER_1"] == g["calls_by_time.PLANNER_1"] == pytest.approx(0.5 * np.log(61))
    assert f["calls_by_tokens.PLANNER_1"] == g["calls_by_tokens.PLANNER_1"] == pytest.approx(0.5 * np.log(61))


def test_history_by_hand(make_table: Any) -> None:
    h = History()
    act(h, success=False)
    act(h, success=False)
    think(h, Action.VERIFIER_2, ok=False, ratio=np.e)
    think(h, Action.PLANNER_1)
    f = features(situation(make_table(), h))
    assert (f["last_success"], f["last_failure"]) == (0.0, 1.0)
    assert (f["consecutive_failures"], f["subgoal_failures"], f["subgoal_acts"]) == (1.0, 1.0, 0.5)
    assert f["ema_failure"] == pytest.approx(2 * (1 - 0.7**2)) and f["last5_failures"] == pytest.approx(0.8)
    assert (f["acts_since_think"], f["calls_since_act"]) == (0.0, 1.0)
    assert (f["last_planner"], f["last_verifier"], f["last_level"], f["last_call_failed"]) == (1.0, 0.0, 0.5, 0.0)
    assert (f["planner_in_force"], f["verifier_in_force"]) == (0.5, 0.0)  # the verifier's call failed
    assert f["latency_log_ratio"] == 0.5  # the mean of log(e) and log(1); from the fourth call on, an EMA
    act(h, success=True, done=True)
    f = features(situation(make_table(), h, index=1))
    assert (f["last_success"], f["consecutive_failures"], f["subgoal_failures"], f["subgoal_acts"]) == (1, 0, 0, 0)
    assert (f["planner_in_force"], f["calls_since_act"]) == (0.0, 0.0)
    assert f["last5_failures"] == pytest.approx(0.8) and f["acts_since_think"] == pytest.approx(0.1)


def test_history_forgets_beyond_five_and_twenty() -> None:
    h = History()
    think(h, Action.PLANNER_1)
    for _ in range(30):
        act(h, success=False)
    assert h.recent_failures.sum() == 5 and h.acts_since_think[0] == 20 and h.consecutive_failures[0] == 30
    h.reset(np.zeros(1, int))
    assert np.array_equal(h._m, History()._m)


def test_records_touch_only_the_robots_that_did_something() -> None:
    rng = np.random.default_rng(0)
    h = History(4)
    for _ in range(20):
        h.record_act(rng.random(4) < 0.5, rng.random(4) < 0.5, rng.random(4) < 0.2)
        before = h._m.copy()
        acted = np.array([True, False, True, False])
        h.record_act(acted, acted & (rng.random(4) < 0.5), np.zeros(4, bool))
        assert np.array_equal(before[:, ~acted], h._m[:, ~acted])
        before = h._m.copy()
        h.record_think(np.array([0, 3, 0, 2]), np.array([True, True, False, False]), np.ones(4), np.ones(4))
        assert np.array_equal(before[:, [0, 2]], h._m[:, [0, 2]])


def test_the_mask_by_hand(make_table: Any) -> None:
    table = make_table((1.0, 2.0, 0.5, 1.5), tokens=[[100.0] * 8, [300.0] * 8, [50.0] * 8, [50.0] * 7 + [250.0]])

    def allowed(time_s: float, tokens: float, calls: int = 0) -> list[int]:
        h = History()
        for _ in range(calls):
            think(h, Action.VERIFIER_1)
        s = situation(table, h, Budget(time_s, tokens, 20.0, 2000.0))
        return np.flatnonzero(s.action_mask()[:, 0]).tolist()

    assert allowed(20.0, 2000.0) == [0, 1, 2, 3, 4]
    assert allowed(1.5, 2000.0) == [0, 1, 3, 4]  # seconds: the expected call
    assert allowed(1.4999, 2000.0) == [0, 1, 3]
    assert allowed(20.0, 249.0) == [0, 1, 3]  # tokens: the largest possible call, 250 of verifier 2, not its mean
    assert allowed(0.0, 0.0) == [0]
    assert allowed(20.0, 2000.0, MAX_CALLS_PER_ACT - 1) == [0, 1, 2, 3, 4]
    assert allowed(20.0, 2000.0, MAX_CALLS_PER_ACT) == [0]


def test_a_summary_at_the_end_is_still_encoded(make_table: Any) -> None:
    f = features(situation(make_table(), index=len(PLAN)))
    assert f["progress"] == 1.0 and f["subgoals_left"] == 0.0 and f["type.PutObject"] == 1.0


def test_steps_by_hand(make_table: Any) -> None:
    steps = (
        StepView("look", 0.1, 3.0, 0.0, 2.0, looks=True),
        StepView("grasp", 0.5, 3.0, 0.5, 4.0),
        StepView("pour", 0.2, 15.0, 1.0, 1.5),
    )
    s = Situation.single(StateSummary(steps, 0, 0, 9, 2, 1), Budget.full(9.0, 99.0), History(), make_table().costs, 0.0)
    assert s.subgoal_type.tolist() == [FOREIGN] and not s.remaining.any()
    assert features(s)["type.GotoLocation"] == 0.0
    now = s.steps
    assert (now.failures, now.attempts, now.irreversible, now.seconds, now.looks) == (0.1, 3.0, 0.0, 2.0, 1.0)
    assert now.rest_failures[0] == pytest.approx(0.7) and now.rest_losses[0] == pytest.approx(0.45)
    assert now.rest_worst == 0.25 and now.rest_seconds == 5.5 and now.rest_looks == 0.0
    assert now.rest_doubt[0] == pytest.approx(np.sqrt(0.25 / 4) + np.sqrt(0.16 / 16))
    assert (now.retries_left, now.contradicted) == (2.0, 1.0)
    last = Steps.single(StateSummary(steps, 3, 0, 9))
    assert last.failures == 0.2 and last.rest_failures == last.rest_worst == last.rest_doubt == 0.0


@given(st.lists(st.sampled_from(list(T)), min_size=1, max_size=12), st.integers(0, 12))
def test_steps_of_alfred_are_the_same_from_types(kinds: list[T], index: int) -> None:
    summary = StateSummary(step_views(kinds), min(index, len(kinds)), 0, 9)
    s = Situation.single(summary, Budget.full(9.0, 99.0), History(), TABLES["groq-70b"].costs, 0.0)
    found, expected = Steps.of_types(s.subgoal_type, s.remaining), Steps.single(summary)
    for name in Steps.__dataclass_fields__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


summaries = st.builds(
    lambda subgoals, index, step, horizon: StateSummary(step_views(subgoals), min(index, len(subgoals)), step, horizon),
    st.lists(st.sampled_from(list(T)), min_size=1, max_size=100),
    st.integers(0, 100),
    st.integers(0, 500),
    st.integers(1, 500),
)
amounts = st.one_of(st.just(0.0), st.floats(0, 1e12))
events = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans(), st.floats(0, 1e6)), max_size=60)


@settings(max_examples=150)
@given(summary=summaries, budget=st.tuples(amounts, amounts, amounts, amounts), past=events, price=st.floats(0, 1e6))
@pytest.mark.parametrize("profile", ["groq-70b", "replicate-70b"])
def test_features_are_finite_and_within_limits(
    profile: str, summary: StateSummary, budget: tuple[float, ...], past: Any, price: float
) -> None:
    table = TABLES[profile]
    h = History()
    for action, flag, done, seconds in past:
        if action == 0:
            act(h, flag, done and flag)
        else:
            think(h, Action(action), flag, seconds)
    s = Situation.single(summary, Budget(*budget), h, table.costs, price)
    seen = encode(s)
    assert seen.shape == (1, N_FEATURES) and seen.dtype == np.float32
    assert np.isfinite(seen).all() and (abs(seen) <= FEATURE_LIMIT).all()
    mask = s.action_mask()
    assert mask.shape == (5, 1) and mask[0, 0]


TABLES = dict(zip(shipped_profiles(), load_tables(shipped_profiles()), strict=True))


def test_single_and_batch_agree() -> None:
    """n robots in one struct of arrays, and each alone, see the same to the last bit."""
    rng, n = np.random.default_rng(0), 40
    names = list(TABLES)
    batch, singles = History(n), [History() for _ in range(n)]
    for _ in range(25):
        action, ok, seconds = rng.integers(0, 5, n), rng.random(n) < 0.8, rng.lognormal(size=n)
        acted, done = action == 0, rng.random(n) < 0.3
        batch.record_think(action, ok, seconds, np.ones(n))
        batch.record_act(acted, ok & acted, done & ok & acted)
        for i, h in enumerate(singles):
            if acted[i]:
                act(h, bool(ok[i]), bool(done[i] & ok[i]))
            else:
                think(h, Action(int(action[i])), bool(ok[i]), float(seconds[i]))
    plans = [tuple(T(int(t)) for t in rng.integers(0, 8, rng.integers(1, 12))) for _ in range(n)]
    index = [int(rng.integers(0, len(plan))) for plan in plans]
    time_s, tokens, price = rng.random(n) * 50, rng.random(n) * 5000, rng.random(n) * 0.1
    tables = [TABLES[names[i % len(names)]] for i in range(n)]
    remaining = np.array([[plan[k + 1 :].count(t) for plan, k in zip(plans, index, strict=True)] for t in T], float)

    def costs(name: str) -> np.ndarray:
        return np.stack([getattr(t.costs, name) for t in tables], axis=1)

    together = Situation(
        subgoal_type=np.array([int(plan[k]) for plan, k in zip(plans, index, strict=True)]),
        remaining=remaining,
        subgoal_index=np.array(index, float),
        subgoal_count=np.array([len(plan) for plan in plans], float),
        step=np.full(n, 3.0),
        horizon=np.full(n, 17.0),
        history=batch,
        time_s=time_s,
        tokens=tokens,
        initial_time_s=np.full(n, 50.0),
        initial_tokens=np.full(n, 5000.0),
        mean_s=costs("mean_s"),
        p95_s=costs("p95_s"),
        mean_tokens=costs("mean_tokens"),
        max_tokens=costs("max_tokens"),
        cost_weight=price,
    )
    assert together.n == n
    for i in range(n):
        alone = Situation.single(
            StateSummary(step_views(plans[i]), index[i], 3, 17),
            Budget(float(time_s[i]), float(tokens[i]), 50.0, 5000.0),
            singles[i],
            tables[i].costs,
            float(price[i]),
        )
        assert np.array_equal(encode(together)[i], encode(alone)[0])
        assert np.array_equal(together.action_mask()[:, i], alone.action_mask()[:, 0])


def test_think_actions_keep_their_order() -> None:
    assert [a.label for a in THINK_ACTIONS] == [
        "THINK(planner, 1)",
        "THINK(planner, 2)",
        "THINK(verifier, 1)",
        "THINK(verifier, 2)",
    ]
