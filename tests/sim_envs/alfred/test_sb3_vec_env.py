"""SB3's vector protocol, step by step against one core per environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor

from rarrl.alfred import SubgoalType as T
from rarrl.orchestrator.features import BUDGET_FEATURES, N_FEATURES
from rarrl_sim_envs.alfred import sb3_vec_env
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds
from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

CONFIG = EpisodeConfig(budget_calls=(2.0, 6.0), cost_weight=0.01, latency_jitter=(0.5, 0.5), shock_share=0.5)


@pytest.fixture
def parts(make_plan: Any, make_table: Any) -> tuple[EpisodeBank, Any]:
    plans = [make_plan([(T.GotoLocation, n), (T.PickupObject, 1), (T.PutObject, 1)]) for n in (3, 12, 20)]
    return EpisodeBank.from_plans(plans), [make_table(), make_table((2.0, 4.0, 1.0, 2.0))]


def make_env(parts: Any, n: int = 6, hard: bool = False, **more: Any) -> AlfredReplayVecEnv:
    bank, tables = parts
    return AlfredReplayVecEnv(
        AlfredReplayCore(bank, tables, n, hard=hard), EpisodeSampler(bank, tables, CONFIG), **more
    )


def test_protocol_against_single_cores(parts: Any) -> None:
    utils = pytest.importorskip("sb3_contrib.common.maskable.utils")
    n, (bank, tables) = 6, parts
    env, sampler = make_env(parts, n, seed=9), EpisodeSampler(*parts, CONFIG)
    cores = [AlfredReplayCore(bank, tables, 1) for _ in range(n)]
    following, sums, lengths, totals = 0, np.zeros(n), np.zeros(n, int), np.zeros(4)

    def begin(i: int) -> None:
        nonlocal following
        cores[i].begin(np.zeros(1, int), sampler.draw(seeds(9, 1, following)))
        following, sums[i], lengths[i] = following + 1, 0.0, 0

    observations = env.reset()
    for i in range(n):
        begin(i)
    assert utils.is_masking_supported(env)
    rng = np.random.default_rng(0)
    for _ in range(200):
        masks = utils.get_action_masks(env)
        assert masks.shape == (n, 5) and observations.dtype == np.float32
        for i, core in enumerate(cores):
            assert np.array_equal(observations[i], core.observe()[0])
            assert np.array_equal(masks[i], core.situation().action_mask()[:, 0])
        actions = rng.integers(0, 5, n)
        observations, rewards, dones, infos = env.step(actions)
        for i, core in enumerate(cores):
            r = core.step(actions[i : i + 1])
            sums[i], lengths[i] = sums[i] + r.reward[0], lengths[i] + 1
            totals += (r.done[0], r.success[0], r.deadline_miss[0], r.seconds[0])
            assert (rewards[i], dones[i]) == (np.float32(r.reward[0]), r.done[0])
            if r.done[0]:  # same-step autoreset
                assert np.array_equal(infos[i]["terminal_observation"], core.observe()[0])
                assert infos[i]["episode"]["r"] == pytest.approx(sums[i]) and infos[i]["episode"]["l"] == lengths[i]
                assert infos[i]["is_success"] == r.success[0]
                begin(i)
            else:
                assert infos[i] == {}
    assert following > 4 * n
    assert env.statistics == pytest.approx(totals)


def test_the_seed_repeats_the_run(parts: Any) -> None:
    actions = np.random.default_rng(0).integers(0, 5, (60, 6))
    env, runs = make_env(parts, seed=1), []
    for seed in (1, 1, 2):
        env.seed(seed)
        start = env.reset()
        runs.append([start, *(env.step(a)[0] for a in actions)])
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_hidden_inputs_are_zero_also_at_the_end(parts: Any) -> None:
    hidden = np.zeros(N_FEATURES, bool)
    hidden[BUDGET_FEATURES] = True
    blind, seeing = make_env(parts, hidden=hidden), make_env(parts)
    a, b, ends = blind.reset(), seeing.reset(), 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert not a[:, hidden].any() and np.array_equal(a[:, ~hidden], b[:, ~hidden]) and b[:, hidden].any()
        actions = rng.integers(0, 5, 6)
        (a, *_, infos), (b, *_) = blind.step(actions), seeing.step(actions)
        last = [info["terminal_observation"] for info in infos if info]
        ends += len(last)
        assert not any(x[hidden].any() for x in last)
    assert ends


def test_forbidden_actions_are_masked_and_executed_as_act(parts: Any) -> None:
    allowed = np.array([True, True, True, False, False])
    env, reference = make_env(parts, allowed=allowed), make_env(parts)
    env.reset(), reference.reset()
    for action in (3, 4, 3, 4):
        assert not env.action_masks()[:, 3:].any() and env.action_masks()[:, :3].any()
        a, b = env.step(np.full(6, action)), reference.step(np.zeros(6, int))
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])


def test_the_price_of_overruns_is_taken_from_the_reward(parts: Any) -> None:
    free, priced = make_env(parts, hard=True), make_env(parts, hard=True)
    priced.miss_price = 0.7
    free.reset(), priced.reset()
    rng, gaps = np.random.default_rng(0), []
    for _ in range(150):
        before, actions = priced.statistics[2], rng.integers(0, 5, 6)
        a, b = free.step(actions), priced.step(actions)
        gaps.append((a[1].sum() - b[1].sum(), 0.7 * (priced.statistics[2] - before)))
    assert [g for g, _ in gaps] == pytest.approx([w for _, w in gaps], abs=1e-5)
    assert sum(w for _, w in gaps) > 0


def test_what_sb3_asks_of_a_vec_env(parts: Any) -> None:
    env = make_env(parts)
    assert env.env_is_wrapped(Monitor) == [True] * 6 and env.env_is_wrapped(VecMonitor, [0]) == [False]
    assert env.has_attr("action_masks") and not env.has_attr("nonsense")
    assert env.get_attr("render_mode", [0, 1]) == [None, None]
    env.set_attr("miss_price", 0.5)
    assert env.miss_price == 0.5
    with pytest.raises(AttributeError, match="nonsense"):
        env.env_method("nonsense")


@pytest.mark.filterwarnings("ignore:The environment is already wrapped")
def test_a_wrapper_does_not_write_into_the_shared_empty_info(parts: Any) -> None:
    env = VecMonitor(make_env(parts))
    env.reset()
    for _ in range(40):
        *_, infos = env.step(np.zeros(6, int))
        for info in infos:
            assert not info or {"episode", "terminal_observation"} <= set(info)
    assert sb3_vec_env._NO_INFO == {}
