"""Where episodes come from: the same seed, the same episode; every range is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType as T
from rarrl.errors import InputError
from rarrl_learning.orchestrator.scenarios import (
    CONDITIONS,
    TASKS_PER_NAVIGATION,
    every_episode,
    fixed_episodes,
    priced,
)
from rarrl_sim_envs.alfred.core import EpisodeBank
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler, seeds


@pytest.fixture(scope="module")
def bank(make_plan: Any) -> EpisodeBank:
    delivery = [make_plan([(T.GotoLocation, 9), (T.PutObject, n)]) for n in (1, 9, 20)]
    return EpisodeBank.from_plans(
        [*delivery, make_plan([(T.GotoLocation, 1), (T.ToggleObject, 1)], "look_at_obj_in_light")]
    )


@pytest.fixture(scope="module")
def tables(make_table: Any) -> list[Any]:
    return [make_table((1.0, 2.0, 1.0, 2.0)), make_table((10.0, 20.0, 5.0, 9.0), tokens=300.0)]


def test_every_range_is_kept_and_used(bank: EpisodeBank, tables: Any) -> None:
    p = EpisodeSampler(bank, tables, TRAINING).draw(seeds(0, 20_000))
    mean_s, tokens = np.array([1.0, 10.0])[p.table], np.array([100.0, 300.0])[p.table]
    calls = p.time_s / mean_s
    assert calls.min() >= 1.0 and calls.max() <= 100.0 and np.median(calls) == pytest.approx(10.0, rel=0.05)
    ratio = p.tokens / tokens / calls
    assert ratio.min() >= 0.7 - 1e-9 and ratio.max() <= 2.0 + 1e-9
    assert abs(np.corrcoef(ratio, calls)[0, 1]) < 0.03  # seconds and tokens bind independently
    price = p.cost_weight * mean_s
    assert price.min() >= 0.0003 - 1e-12 and price.max() <= 0.06 + 1e-12
    disturbed = (p.latency_scale != 1.0) | (p.jitter != 0.0)
    assert disturbed.mean() == pytest.approx(TRAINING.disturbed_share, abs=0.02)
    assert p.latency_scale.min() >= 0.5 and p.latency_scale.max() <= 4.0 and p.jitter.max() <= 0.8
    assert (p.shock_at >= 0).mean() == pytest.approx(TRAINING.shock_share, abs=0.02)
    shocked = p.shock_at >= 0
    assert (p.shock_at[shocked] <= 0.75 * bank.pieces[p.row[shocked]]).all()
    assert (bank.category[p.row] == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert np.bincount(p.row, minlength=len(bank)).min() > 800 and np.bincount(p.table).min() > 9000


def test_same_seed_same_episode_whatever_the_company(bank: EpisodeBank, tables: Any) -> None:
    sampler, all_seeds = EpisodeSampler(bank, tables, TRAINING), seeds(5, 100)
    whole, part = sampler.draw(all_seeds), sampler.draw(all_seeds[40:60])
    for name, values in vars(part).items():
        assert np.array_equal(values, getattr(whole, name)[40:60]), name
    assert np.array_equal(seeds(5, 60, start=40), all_seeds[40:]) and len(set(all_seeds.tolist())) == 100


def test_absolute_budgets_and_prices(bank: EpisodeBank, tables: Any) -> None:
    config = EpisodeConfig(time_budget_s=7.0, token_budget=900.0, cost_weight=0.02)
    p = EpisodeSampler(bank, tables, config).draw(seeds(0, 50))
    assert set(p.time_s) == {7.0} and set(p.tokens) == {900.0} and set(p.cost_weight) == {0.02}
    assert set(p.latency_scale) == {1.0} and not p.jitter.any() and (p.shock_at == -1).all()


@given(share=st.floats(0, 1), category=st.sampled_from([("Navigation",), ("Delivery",), ("Navigation", "Inspection")]))
def test_rows_are_of_the_bank(make_plan: Any, tables: Any, share: float, category: tuple[str, ...]) -> None:
    plans = [
        make_plan([(T.GotoLocation, 9), (T.PutObject, 1)]),
        make_plan([(T.GotoLocation, 1)], "look_at_obj_in_light"),
    ]
    bank = EpisodeBank.from_plans(plans, category)
    rows = EpisodeSampler(bank, tables, EpisodeConfig(navigation_share=share)).draw(seeds(0, 200)).row
    assert rows.min() >= 0 and rows.max() < len(bank)


def test_conditions() -> None:
    assert set(CONDITIONS) == {"unbound", "binding", "comfortable", "shock"}
    assert replace(CONDITIONS["shock"], shock_share=0.0) == CONDITIONS["comfortable"]  # differ by the shock alone
    assert priced(CONDITIONS["binding"], 0.02) == replace(CONDITIONS["binding"], call_price=(0.02, 0.02))


def test_every_episode_of_an_evaluation(bank: EpisodeBank, tables: Any) -> None:
    rows = every_episode(bank, 2)
    counts = np.bincount(rows, minlength=len(bank))
    assert (counts == np.where(bank.category == 0, 2, 2 * TASKS_PER_NAVIGATION)).all()
    a, b = (fixed_episodes(EpisodeSampler(bank, tables, CONDITIONS[c]), rows, 3) for c in ("comfortable", "shock"))
    for name in ("row", "seed", "table", "time_s", "tokens", "cost_weight"):
        assert np.array_equal(getattr(a, name), getattr(b, name))  # common random numbers across conditions
    assert np.array_equal(a.row, rows) and (b.shock_at >= 0).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"time_budget_s": -1.0},
        {"time_budget_s": float("nan")},
        {"token_budget": float("inf")},
        {"cost_weight": -0.1},
        {"budget_calls": (0.0, 5.0)},
        {"budget_calls": (5.0, 1.0)},
        {"token_ratio": (1.0, float("nan"))},
        {"call_price": (-1.0, 1.0)},
        {"latency_scale": (2.0, 1.0)},
        {"latency_jitter": (0.0, float("inf"))},
        {"disturbed_share": -0.1},
        {"shock_share": 1.1},
        {"navigation_share": float("nan")},
    ],
)
def test_impossible_configurations_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        EpisodeConfig(**bad)
