"""The dynamics: known answers by hand, budgets that cannot be overdrawn, hidden u, common random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType as T
from rarrl.latency.replay import block_row
from rarrl.orchestrator.features import FEATURE_LIMIT, MAX_CALLS_PER_ACT
from rarrl_sim_envs.alfred.core import (
    HARD,
    LUCK,
    ROW,
    SHOCK_LEAVES,
    STEP_S,
    AlfredReplayCore,
    Dynamics,
    EpisodeBank,
    EpisodeParams,
    uniform,
)

PLAN = [(T.GotoLocation, 12), (T.PickupObject, 1), (T.HeatObject, 9), (T.GotoLocation, 3), (T.PutObject, 1)]
SURE = Dynamics(base_failure=(0.0,) * 8)  # every attempt succeeds
DOOMED = Dynamics(base_failure=(1e9,) * 8, irreversible=(0.0,) * 8, max_failure=1.0)  # every attempt fails
ACT, P1, P2, V1, V2 = range(5)


def params(n: int, **changes: Any) -> EpisodeParams:
    values: dict[str, Any] = {
        "row": 0,
        "seed": np.arange(n) + 1000,
        "table": 0,
        "time_s": 10.0,
        "tokens": 1e5,
        "cost_weight": 0.0,
        "latency_scale": 1.0,
        "jitter": 0.0,
        "shock_at": -1,
    }
    kinds = {"row": np.int64, "seed": np.uint64, "table": np.int64, "shock_at": np.int64}
    values |= changes
    return EpisodeParams(**{k: np.broadcast_to(np.array(v, kinds.get(k, np.float64)), (n,)) for k, v in values.items()})


def started(bank: EpisodeBank, tables: Any, n: int, core: dict[str, Any] | None = None, **p: Any) -> AlfredReplayCore:
    world = AlfredReplayCore(bank, tables, n, **(core or {}))
    world.begin(np.arange(n), params(n, **p))
    return world


def every(n: int, action: int) -> np.ndarray:
    return np.full(n, action)


@pytest.fixture(scope="module")
def bank(make_plan: Any) -> EpisodeBank:
    return EpisodeBank.from_plans([make_plan(PLAN)])


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


# --- plans ---


def test_rows_of_the_bank_by_hand(make_plan: Any) -> None:
    look = make_plan([(T.GotoLocation, 8), (T.ToggleObject, 1)], "look_at_obj_in_light")
    bank = EpisodeBank.from_plans([make_plan(PLAN), look])
    assert bank.category.tolist() == [2, 0, 1, 0]  # Delivery, its Navigation, Inspection, its Navigation
    assert bank.plan_index.tolist() == [0, 0, 1, 1]
    assert bank.pieces.tolist() == [7, 3, 2, 1]
    assert bank.subgoals.tolist() == [5, 2, 2, 1]
    assert bank.piece_type[0].tolist() == [0, 0, 1, 6, 6, 0, 2]
    assert bank.piece_subgoal[0].tolist() == [0, 0, 1, 2, 2, 3, 4]
    assert bank.piece_steps[0].tolist() == [8, 4, 1, 8, 1, 3, 1]
    assert bank.piece_steps[1, :3].tolist() == [8, 4, 3]
    assert bank.remaining[0, 0].tolist() == [1, 1, 1, 0, 0, 0, 1, 0]
    assert bank.remaining[0, 4].sum() == 0
    assert bank.remaining[1, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert len(EpisodeBank.from_plans([make_plan(PLAN), look], ("Inspection",))) == 1


def test_a_bank_without_episodes_is_refused(make_plan: Any) -> None:
    with pytest.raises(ValueError, match="no episode of the categories"):
        EpisodeBank.from_plans([make_plan(PLAN)], ("Inspection",))


def test_a_core_needs_a_table(bank: EpisodeBank) -> None:
    with pytest.raises(ValueError, match="at least one ReplayTable"):
        AlfredReplayCore(bank, [], 1)


# --- the hash ---


def test_uniform_is_uniform_and_depends_on_all_three() -> None:
    seed = np.arange(20_000, dtype=np.uint64)
    draws = uniform(seed, LUCK, 0)
    assert draws.min() >= 0.0 and draws.max() < 1.0
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)
    for other in (uniform(seed + np.uint64(1), LUCK, 0), uniform(seed, HARD, 0), uniform(seed, LUCK, 1)):
        assert abs(np.corrcoef(draws, other)[0, 1]) < 0.03
    both = uniform(seed, (HARD, LUCK), np.zeros(len(seed), int))
    assert (both == np.stack([uniform(seed, HARD, 0), draws])).all()


# --- attempts ---


def test_failure_probabilities_by_hand(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 6)
    h = core.history
    core.subgoal_type[:] = [T.PutObject] * 4 + [T.GotoLocation, T.SliceObject]
    core.u[:] = [0.5, 0.5, 0.5, 0.5, 0.0, 1.0]
    h.consecutive_failures[:] = [0, 2, 0, 0, 1, 0]
    h.planner_level[:] = [0, 0, 2, 0, 1, 0]
    h.verifier_level[:] = [0, 0, 0, 1, 2, 2]
    lost, wrong = core.failure_probabilities()
    p = 0.30 * (0.04 + 2.5 * 0.5)  # PutObject: base 0.30, three quarters irreversible
    assert lost == pytest.approx(
        [0.75 * p, 0.75 * (p + 0.1), 0.75 * p, 0.75 * p * (1 - 0.6 * 0.5), 0.0, 0.85 * 0.9 * (1 - 0.9)]
    )
    goto = 0.22 * 0.04 + 0.05
    assert wrong == pytest.approx(
        [0.25 * p, 0.25 * (p + 0.1), 0.25 * p * (1 - 0.85 * 0.5), 0.25 * p, goto, 0.15 * 0.9]  # Slice: capped at 0.9
    )


def test_u_by_hand(bank: EpisodeBank, table: Any) -> None:
    sure = {"dynamics": Dynamics(hard_scenes=1.0, hard_share=(0.0, 1.0))}
    never = {"dynamics": Dynamics(hard_scenes=0.0, hard_share=(0.0, 1.0))}
    hard, easy = started(bank, [table], 5000, sure).u, started(bank, [table], 5000, never).u
    assert hard.min() >= 0.75 and hard.max() < 1.0 and easy.min() >= 0.0 and easy.max() < 0.25
    mixed = started(bank, [table], 20_000).u >= 0.75
    assert mixed.mean() == pytest.approx(0.55 * 0.04 + 0.45 * 0.85, abs=0.015)


def test_luck_decides_the_attempt(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 4000, time_s=50.0)
    seen = set()
    for step in range(12):
        (lost, wrong), luck, alive = core.failure_probabilities(), core.luck(), core.alive.copy()
        r = core.step(every(core.n, ACT if step % 3 else V1))
        acted = alive & (r.act_status >= 0)
        expected = np.where(luck < lost, 2, np.where(luck > 1.0 - wrong, 1, 0))
        assert (r.act_status[acted] == expected[acted]).all()
        seen |= set(r.act_status[acted].tolist())
        assert r.done[r.act_status == 2].all() and not r.success[r.act_status == 2].any()
    assert seen == {0, 1, 2}


def test_attempts_end_at_the_horizon(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 2, {"dynamics": DOOMED}, row=[0, 1])
    ends = []
    for step in range(1, 20):
        r = core.step(every(2, ACT))
        ends += [(int(i), step) for i in np.flatnonzero(r.done)]
        assert not r.success.any()
    assert ends == [(1, 2 * 3 + 1), (0, 2 * 7 + 1)]


def test_a_sure_robot_needs_one_attempt_per_piece(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 1, {"dynamics": SURE})
    results = [core.step(every(1, ACT)) for _ in range(7)]
    assert [bool(r.success[0]) for r in results] == [False] * 6 + [True]
    assert [float(r.exec_s[0]) for r in results] == [n * STEP_S for n in (8, 4, 1, 8, 1, 3, 1)]
    assert results[-1].reward[0] == 1.0


def test_never_agrees_with_a_plain_simulation(bank: EpisodeBank, table: Any) -> None:
    n, rng, d = 20_000, np.random.default_rng(5), Dynamics()
    core = started(bank, [table], n)
    success = np.zeros(n, bool)
    while core.alive.any():
        success |= core.step(every(n, ACT)).success

    def once() -> bool:
        share = d.hard_share[1] if rng.random() < d.hard_scenes else d.hard_share[0]
        left = 2 * 7 + 1
        for kind, steps in PLAN:
            u = 0.25 * rng.random() + 0.75 * (rng.random() < share)
            for _ in range(-(-steps // 8)):
                failures = 0
                while True:
                    if left == 0:
                        return False
                    left -= 1
                    p = min(d.base_failure[kind] * (d.easy + d.slope * u) + d.consecutive_penalty * failures, 0.9)
                    if rng.random() >= p:
                        break
                    if rng.random() < d.irreversible[kind]:
                        return False
                    failures += 1
        return True

    plain = np.mean([once() for _ in range(n)])
    assert 0.1 < plain < 0.9
    assert abs(success.mean() - plain) < 4 * np.sqrt(2 * plain * (1 - plain) / n)


# --- advice ---


def test_planner_advice_lasts_for_the_subgoal_verifier_advice_for_one_attempt(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 1, {"dynamics": SURE})
    h = core.history

    def levels(action: int) -> tuple[float, float]:
        core.step(every(1, action))
        return float(h.planner_level[0]), float(h.verifier_level[0])

    assert levels(P2) == (2, 0)
    assert levels(P1) == (2, 0)  # a weaker plan does not replace a better one
    assert levels(V1) == (2, 1)
    assert levels(ACT) == (2, 0)  # first piece of GotoLocation done
    assert levels(ACT) == (0, 0)  # GotoLocation done
    core = started(bank, [table], 1, {"dynamics": DOOMED})
    h = core.history
    assert levels(P1) == (1, 0)
    assert levels(V2) == (1, 2)
    assert levels(ACT) == (1, 0)  # a failure keeps the plan


def test_a_failed_call_costs_its_time_and_changes_nothing_else(bank: EpisodeBank, make_table: Any) -> None:
    core = started(bank, [make_table(ok=False)], 1)
    before = (core.failure_probabilities(), core.luck(), core.piece.copy(), core.acts.copy())
    r = core.step(every(1, P2))
    assert not r.call_ok[0] and r.seconds[0] == 2.0 and r.tokens[0] == 100.0
    assert core.time_s[0] == 8.0 and core.tokens[0] == 1e5 - 100.0
    after = (core.failure_probabilities(), core.luck(), core.piece, core.acts)
    for x, y in zip(before, after, strict=True):
        assert np.array_equal(x, y)
    assert r.act_status[0] == -1 and not r.done[0]


# --- what calls cost ---


def test_a_call_is_cut_off_at_the_timeout(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 1, {"call_timeout_s": 1.5})
    r = core.step(every(1, P2))
    assert (r.seconds[0], bool(r.call_ok[0]), bool(r.deadline_miss[0])) == (1.5, False, False)
    assert core.step(every(1, P1)).call_ok[0]


@pytest.mark.parametrize("hard", [False, True])
def test_a_call_that_outlasts_the_budget(bank: EpisodeBank, make_table: Any, hard: bool) -> None:
    slow = make_table(np.array([[1.0] * 6 + [9.0, 9.0]] * 4))  # mean 3 s
    n = 400
    core = started(bank, [slow], n, {"hard": hard}, time_s=4.0)
    r = core.step(every(n, P1))
    miss = r.seconds > 3.0
    assert 0 < miss.sum() < n
    assert np.array_equal(r.deadline_miss, miss) and np.array_equal(r.done, miss & hard)
    assert (core.time_s == np.where(miss, 0.0, 3.0)).all()
    assert (r.seconds == np.where(miss, 4.0, 1.0)).all() and np.array_equal(r.call_ok, ~miss)
    assert not r.success.any() and np.array_equal(core.alive, ~(miss & hard))


def test_hard_mode_differs_by_the_end_at_the_first_overrun_alone(bank: EpisodeBank, make_table: Any) -> None:
    slow = make_table(np.random.default_rng(0).lognormal(0.0, 1.0, (4, 50)))
    n, rng = 300, np.random.default_rng(1)
    soft, hard = (started(bank, [slow], n, {"hard": h}, time_s=6.0) for h in (False, True))
    missed = np.zeros(n, bool)
    for _ in range(30):
        actions = rng.integers(0, 5, n)
        a, b = soft.step(actions), hard.step(actions)
        for name in ("act_status", "seconds", "tokens", "call_ok", "deadline_miss", "success"):
            assert np.array_equal(getattr(a, name)[~missed], getattr(b, name)[~missed])
        assert np.array_equal(b.done[~missed], (a.done | a.deadline_miss)[~missed])
        missed |= b.deadline_miss
    assert missed.any() and not missed.all()


def test_latency_scale_and_jitter(bank: EpisodeBank, table: Any) -> None:
    n = 20_000
    plain, scaled, jittered = (
        started(bank, [table], n, time_s=100.0, latency_scale=scale, jitter=jitter).step(every(n, P1)).seconds
        for scale, jitter in ((1.0, 0.0), (2.5, 0.0), (1.0, 0.5))
    )
    assert (plain == 1.0).all() and (scaled == 2.5).all()
    assert jittered.mean() == pytest.approx(1.0, abs=0.02)  # the jitter keeps the mean
    assert np.log(jittered).std() == pytest.approx(0.5, abs=0.02)


def test_calls_come_in_blocks_of_their_own_table(bank: EpisodeBank, make_table: Any) -> None:
    rows = 0.001 * (1.0 + np.arange(20.0))
    short, long = make_table(np.tile(rows[:12], (4, 1))), make_table(np.tile(rows + 0.5, (4, 1)))
    core = started(bank, [short, long], 2, {"dynamics": SURE}, table=[0, 1], seed=[7, 7])
    for call in range(18):
        r = core.step(every(2, 1 + call % 4))
        if call % 3 == 2:
            core.step(every(2, ACT))
        draw = uniform(np.array([7], np.uint64), ROW, call // 8)
        expected = [int(block_row(rows_, draw, np.array([call]))[0]) for rows_ in (12, 20)]
        assert r.seconds == pytest.approx([rows[expected[0]], rows[expected[1]] + 0.5])


def test_reward_is_success_minus_the_price_of_seconds(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 1, {"dynamics": SURE}, cost_weight=0.03)
    rewards = [float(core.step(every(1, a)).reward[0]) for a in (P2, V1, ACT)]
    assert rewards == pytest.approx([-0.06, -0.03, 0.0])


def test_a_shock_leaves_forty_percent_once(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 2, {"dynamics": SURE}, shock_at=[2, -1], time_s=10.0, tokens=1000.0)
    shocks, left = [], []
    for action in (P1, ACT, ACT, V1, ACT, ACT):
        r = core.step(every(2, action))
        shocks.append(r.shocked.tolist())
        left.append(core.time_s.tolist())
    assert shocks == [[False, False]] * 2 + [[True, False]] + [[False, False]] * 3
    assert left[2] == [9.0 * SHOCK_LEAVES, 9.0] and left[5] == pytest.approx([9.0 * SHOCK_LEAVES - 1.0, 8.0])
    assert core.tokens == pytest.approx([900.0 * SHOCK_LEAVES - 100.0, 800.0])
    assert SHOCK_LEAVES == 0.4


# --- budgets and masks ---


@settings(max_examples=60)
@given(data=st.data())
def test_no_policy_can_overspend(bank: EpisodeBank, make_table: Any, data: st.DataObject) -> None:
    """Whatever it does, whatever calls cost: no budget below zero, no call that the mask forbids."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n, rows = 8, data.draw(st.integers(1, 20))
    tables = [
        make_table(
            rng.lognormal(rng.normal(), data.draw(st.floats(0, 2)), (4, rows)),
            rng.integers(1, 2000, (4, rows)),
            rng.random((4, rows)) < 0.8,
        )
        for _ in range(2)
    ]
    core = started(
        bank,
        tables,
        n,
        {"hard": data.draw(st.booleans())},
        row=rng.integers(0, 2, n),
        table=rng.integers(0, 2, n),
        seed=rng.integers(0, 2**63, n),
        time_s=data.draw(st.sampled_from([0.0, 1e-9, 1.0, 30.0, 1e6])) * rng.random(n),
        tokens=data.draw(st.sampled_from([0.0, 500.0, 1e4, 1e9])) * rng.random(n),
        cost_weight=0.1,
        latency_scale=data.draw(st.sampled_from([0.0, 0.5, 1.0, 4.0, 1e6])),
        jitter=data.draw(st.floats(0, 2)),
        shock_at=rng.integers(-1, 7, n),
    )
    spent_s, spent_tokens, calls = np.zeros(n), np.zeros(n), np.zeros(n)
    for _ in range(40):
        time_s, tokens, alive = core.time_s.copy(), core.tokens.copy(), core.alive.copy()
        actions = rng.integers(0, 5, n)
        mask = core.situation().action_mask()
        largest = np.stack([tables[t].costs.max_tokens for t in core.table], axis=1)
        mean = np.stack([tables[t].costs.mean_s for t in core.table], axis=1)
        affordable = (largest <= tokens) & (mean <= time_s) & (calls < MAX_CALLS_PER_ACT)
        assert np.array_equal(mask[1:], affordable) and mask[0].all()
        r = core.step(actions)
        called = alive & (r.act_status < 0)
        assert np.array_equal(called, alive & (actions > 0) & mask[actions, np.arange(n)])  # else it is an ACT
        assert (r.seconds >= 0).all() and (r.seconds <= time_s).all() and (r.tokens <= tokens).all()
        assert (core.time_s >= 0).all() and (core.tokens >= 0).all()
        assert not r.seconds[~called].any() and not r.tokens[~called].any()
        spent_s, spent_tokens = spent_s + r.seconds, spent_tokens + r.tokens
        calls = np.where(called, calls + 1, np.where(alive, 0, calls))
        assert (calls <= MAX_CALLS_PER_ACT).all()
        seen = core.observe()
        assert np.isfinite(seen).all() and (abs(seen) <= FEATURE_LIMIT).all()
    assert (spent_s <= core.initial_time_s + 1e-9).all() and (spent_tokens <= core.initial_tokens + 1e-9).all()


def test_after_three_calls_only_act_remains(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 1, {"dynamics": SURE}, time_s=1e3)
    for _ in range(MAX_CALLS_PER_ACT):
        assert core.situation().action_mask().all()
        core.step(every(1, V1))
    assert core.situation().action_mask()[:, 0].tolist() == [True] + [False] * 4
    assert core.step(every(1, V1)).act_status[0] == 0  # executed as ACT
    assert core.situation().action_mask().all()


# --- what is hidden, what is common ---


def test_u_is_not_in_the_observation(bank: EpisodeBank, table: Any) -> None:
    """Robots in the same place that saw the same outcomes see the same, however their hidden u differ."""
    n = 2000
    core = started(bank, [table], n)
    assert len(np.unique(core.u)) > 1000
    histories = np.zeros(n, np.int64)
    for action in (V1, ACT, P1, ACT, ACT, ACT, V2, ACT):
        r = core.step(every(n, action))
        histories = histories * 4 + r.act_status + 1
        seen = core.observe()
        for history in np.unique(histories[core.alive]):
            same = np.flatnonzero(core.alive & (histories == history))
            assert (seen[same] == seen[same[0]]).all()
            assert (core.situation().action_mask()[:, same[0]] == core.situation().action_mask()[:, same].T).all()


def test_same_seed_same_episode(bank: EpisodeBank, make_table: Any) -> None:
    tables = [make_table(np.random.default_rng(0).lognormal(0, 1, (4, 30)))]
    actions = np.random.default_rng(1).integers(0, 5, (40, 50))
    runs = []
    for start in (0, 0, 500):
        core = started(bank, tables, 50, seed=np.arange(50) + start, jitter=0.3)
        runs.append(np.stack([np.hstack([core.step(a).reward, core.observe().ravel()]) for a in actions]))
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_an_episode_does_not_depend_on_its_neighbours(bank: EpisodeBank, make_table: Any) -> None:
    tables = [make_table(np.random.default_rng(0).lognormal(0, 1, (4, 30)))]
    actions = np.random.default_rng(1).integers(0, 5, (25, 6))
    many, one = started(bank, tables, 6, row=[0, 1] * 3), AlfredReplayCore(bank, tables, 1)
    one.begin(np.zeros(1, int), params(6, row=[0, 1] * 3).take(np.array([3])))
    for row in actions:
        a, b = many.step(row), one.step(row[3:4])
        assert a.reward[3] == b.reward[0] and a.act_status[3] == b.act_status[0]
        assert np.array_equal(many.observe()[3], one.observe()[0])


def test_extra_calls_do_not_change_the_luck_of_attempts(bank: EpisodeBank, table: Any) -> None:
    n = 500
    quiet, chatty = (started(bank, [table], n, {"dynamics": SURE}, time_s=1e3) for _ in range(2))
    for step in range(6):
        for action in (V1, P2)[: step % 3]:
            chatty.step(every(n, action))
        assert np.array_equal(quiet.luck(), chatty.luck())
        assert np.array_equal(quiet.u, chatty.u)
        quiet.step(every(n, ACT))
        chatty.step(every(n, ACT))


def test_extra_attempts_do_not_change_the_cost_of_calls(bank: EpisodeBank, make_table: Any) -> None:
    tables = [make_table(np.random.default_rng(0).lognormal(0, 1, (4, 30)))]
    early, late = (started(bank, tables, 100, {"dynamics": DOOMED}, time_s=1e4, jitter=0.5) for _ in range(2))
    a = [early.step(every(100, x)).seconds for x in (P1, V2, P2)]
    b = [late.step(every(100, x)).seconds for x in (P1, ACT, V2, ACT, ACT, P2)]
    assert all(np.array_equal(x, y) for x, y in zip(a, (b[0], b[2], b[5]), strict=True))


def test_policies_that_agree_for_a_while_have_the_same_history(bank: EpisodeBank, make_table: Any) -> None:
    tables = [make_table(np.random.default_rng(0).lognormal(0, 1, (4, 30)))]
    rng = np.random.default_rng(2)
    a, b = (started(bank, tables, 200, time_s=1e3) for _ in range(2))
    for step in range(15):
        common = rng.integers(0, 5, 200)
        a.step(common)
        b.step(common if step < 8 else rng.integers(0, 5, 200))
        if step < 8:
            assert np.array_equal(a.history._m, b.history._m) and np.array_equal(a.time_s, b.time_s)
    assert not np.array_equal(a.history._m, b.history._m)


# --- ends ---


def test_a_finished_episode_stands_still(bank: EpisodeBank, table: Any) -> None:
    n, rng = 64, np.random.default_rng(0)
    core = started(bank, [table], n, {"hard": True}, shock_at=3)
    while core.alive.any():
        core.step(rng.integers(0, 5, n))
    state = {k: v.copy() for k, v in vars(core).items() if isinstance(v, np.ndarray)}
    seen = core.observe()
    for _ in range(5):
        r = core.step(rng.integers(0, 5, n))
        assert not r.reward.any() and not r.seconds.any() and (r.act_status == -1).all()
        assert not (r.done | r.success | r.shocked | r.deadline_miss).any()
    assert all(np.array_equal(v, getattr(core, k)) for k, v in state.items())
    assert np.array_equal(seen, core.observe())


def test_begin_restarts_only_the_environments_named(bank: EpisodeBank, table: Any) -> None:
    core = started(bank, [table], 3, time_s=[5.0, 6.0, 7.0])
    core.step(every(3, P1))
    before = core.observe()
    core.begin(np.array([1]), params(1, row=1, time_s=9.0))
    assert core.time_s.tolist() == [4.0, 9.0, 6.0] and core.calls.tolist() == [1, 0, 1]
    assert np.array_equal(before[[0, 2]], core.observe()[[0, 2]])
    fresh = started(bank, [table], 1, row=1, time_s=9.0)
    assert np.array_equal(fresh.observe()[0], core.observe()[1])
