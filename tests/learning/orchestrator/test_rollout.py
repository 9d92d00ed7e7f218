"""Playing and comparing: sums by hand, bootstrap intervals with known answers, matched operating points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rarrl.alfred import SubgoalType as T
from rarrl.orchestrator.rules import make_rule
from rarrl_learning.orchestrator.rollout import Clusters, interval, matched, rollout
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds


def test_rollout_sums_what_each_episode_spent(make_plan: Any, make_table: Any) -> None:
    bank = EpisodeBank.from_plans([make_plan([(T.GotoLocation, 12), (T.SliceObject, 1), (T.PutObject, 1)])])
    table = make_table(np.random.default_rng(0).lognormal(0, 1, (4, 50)), ok=np.arange(50) % 5 > 0)
    config, n = EpisodeConfig(budget_calls=(4.0, 20.0), shock_share=0.5), 300
    rule = make_rule("after_failure", recipe="P1V1")
    params = EpisodeSampler(bank, [table], config).draw(seeds(0, n))
    e = rollout(AlfredReplayCore(bank, [table], n), params, rule)
    one = AlfredReplayCore(bank, [table], 1)
    for i in range(0, n, 3):  # each again, alone and by hand
        one.begin(np.zeros(1, int), params.take(np.array([i])))
        sums, shocked = dict.fromkeys(("seconds", "tokens", "calls", "misses", "acts", "after"), 0.0), False
        while one.alive[0]:
            s = one.situation()
            r = one.step(rule.act(s, s.action_mask()))
            call = r.act_status[0] < 0
            sums["seconds"] += r.seconds[0]
            sums["tokens"] += r.tokens[0]
            sums["calls"] += call
            sums["acts"] += not call
            sums["misses"] += r.deadline_miss[0]
            sums["after"] += call and shocked
            shocked |= bool(r.shocked[0])
        found = (e.seconds[i], e.tokens[i], e.calls[i], e.misses[i], e.acts[i], e.calls_after_shock[i])
        assert found == pytest.approx(tuple(sums[k] for k in ("seconds", "tokens", "calls", "misses", "acts", "after")))
        assert (e.success[i], e.lost[i]) == (r.success[0], r.act_status[0] == 2)
    assert e.success.any() and e.lost.any() and e.misses.any() and e.calls_after_shock.any()
    assert (e.calls_after_shock <= e.calls).all()


def test_interval_is_the_central_95_percent() -> None:
    assert interval(np.arange(1001.0)) == (25.0, 975.0)


def test_bootstrap_of_independent_episodes_has_the_textbook_error() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    means = Clusters.make(np.arange(400), draws=4000).means(values)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / np.sqrt(400), rel=0.05)


def test_bootstrap_counts_plans_not_episodes() -> None:
    """25 copies of each of 16 plans know no more than 16 plans do."""
    plan_values = np.random.default_rng(0).normal(size=16)
    clusters = Clusters.make(np.repeat(np.arange(16) * 7 + 3, 25), draws=8000)
    means = clusters.means(np.repeat(plan_values, 25))
    assert means.std() == pytest.approx(plan_values.std() / 4, rel=0.05)


def test_bootstrap_of_unequal_plans_is_a_mean_over_episodes() -> None:
    clusters = Clusters.make(np.array([0, 0, 0, 1]), draws=2000)
    means = clusters.means(np.array([0.0, 0.0, 0.0, 1.0]))
    assert sorted(set(means.tolist())) == [0.0, 0.25, 1.0]  # both plans: one of four episodes
    assert np.mean(means == 0.25) == pytest.approx(0.5, abs=0.05)


def test_bootstrap_draws_training_seeds_too() -> None:
    clusters = Clusters.make(np.zeros(10, int), draws=6000)
    runs = np.repeat(np.array([[0.0], [1.0], [5.0], [2.0]]), 10, axis=1)
    means = clusters.means(runs)
    assert means.mean() == pytest.approx(2.0, abs=0.05)
    assert means.std() == pytest.approx(runs[:, 0].std() / 2, rel=0.05)
    constant = clusters.means(np.full((3, 10), 0.7))
    assert constant == pytest.approx(np.full(6000, 0.7))


def test_bootstrap_is_repeatable_and_pairs_differences() -> None:
    plan, rng = np.repeat(np.arange(30), 4), np.random.default_rng(0)
    a = rng.random(120)
    b = a - 0.1  # a paired difference without spread, between noisy contenders
    clusters = Clusters.make(plan, seed=3)
    assert np.array_equal(clusters.means(a), Clusters.make(plan, seed=3).means(a))
    assert interval(clusters.means(a - b)) == pytest.approx((0.1, 0.1))
    assert clusters.means(a) - clusters.means(b) == pytest.approx(np.full(1000, 0.1))


def test_matched_spends_most_without_spending_more() -> None:
    seconds = np.array([9.0, 5.0, 3.0, 1.0])
    assert [matched(seconds, limit) for limit in (100.0, 5.0, 4.99, 1.0)] == [0, 1, 2, 3]
    assert matched(seconds, 0.5) == 3  # none is affordable: the cheapest
    assert matched(np.array([3.0, 1.0, 2.0]), 2.5) == 2  # prices need not be in order
