"""The gymnasium faces of the core: contracts, agreement with the core, bad arguments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from rarrl.errors import InputError
from rarrl.orchestrator.features import FEATURE_NAMES
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import load_plans, load_tables
from rarrl_sim_envs.alfred.env import AlfredReplayEnv, AlfredReplayVectorEnv
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds

ID = "rarrl_sim_envs:rarrl/AlfredReplay-v0"
SHORT: dict[str, Any] = {"budget_calls": (2.0, 6.0), "shock_share": 0.5, "latency_jitter": (0.3, 0.3)}


@pytest.fixture(scope="module")
def bank() -> EpisodeBank:
    return EpisodeBank.from_plans(load_plans(None, None)[0])


@pytest.mark.parametrize("arguments", [{}, {"mode": "hard", "category": "Navigation", "profile": "groq-70b", **SHORT}])
@pytest.mark.filterwarnings("error", "default::pytest.PytestUnraisableExceptionWarning")  # others' garbage
def test_gymnasium_contract(arguments: dict[str, Any]) -> None:
    check_env(gym.make(ID, **arguments).unwrapped)


@pytest.mark.filterwarnings("error", "default::pytest.PytestUnraisableExceptionWarning")  # others' garbage
def test_stable_baselines_contract() -> None:
    env_checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env_checker.check_env(AlfredReplayEnv())


def test_make_in_a_plain_script(tmp_path: Path) -> None:
    """As a user would: nothing imported before, any folder."""
    script = f"""
import gymnasium
from gymnasium.utils.env_checker import check_env
env = gymnasium.make("{ID}", profile="groq-70b", time_budget_s=20.0)
check_env(env.unwrapped)
observation, info = env.reset(seed=1)
vector = gymnasium.make_vec("{ID}", num_envs=3, vectorization_mode="vector_entry_point", category="Inspection")
assert vector.reset(seed=1)[0].shape == (3, *observation.shape)
print(info["action_mask"].tolist())
"""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[True, True, True, True, True]\n"), done.stderr


def test_single_env_is_the_core(bank: EpisodeBank) -> None:
    env = AlfredReplayEnv(**SHORT)
    tables = load_tables(["gpt4o-mini-anchor"])
    core, rng = AlfredReplayCore(bank, tables, 1), np.random.default_rng(0)
    for episode in range(20):
        observation, info = env.reset(seed=episode)
        seed = np_random(episode)[0].integers(0, 2**63, size=1, dtype=np.uint64)
        core.begin(np.zeros(1, int), EpisodeSampler(bank, tables, EpisodeConfig(**SHORT)).draw(seed))
        done = False
        while not done:
            assert np.array_equal(observation, core.observe()[0])
            assert np.array_equal(info["action_mask"], core.situation().action_mask()[:, 0])
            action = rng.integers(0, 5)
            observation, reward, done, truncated, info = env.step(action)
            r = core.step(np.array([action]))
            assert (reward, done, truncated) == (r.reward[0], r.done[0], False)
            assert (info["seconds"], info["tokens"]) == (r.seconds[0], r.tokens[0])
            assert (info["time_s"], info["tokens_left"]) == (core.time_s[0], core.tokens[0])
        assert info["is_success"] == r.success[0]


def test_reset_without_seed_goes_on_to_another_episode_and_repeats_by_seed() -> None:
    env = AlfredReplayEnv()
    runs = []
    for _ in range(2):
        runs.append([env.reset(seed=3)[0], env.reset()[0], env.reset()[0]])
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1]) and not np.array_equal(runs[0][1], runs[0][2])


def test_vector_env_is_one_core_per_environment(bank: EpisodeBank) -> None:
    n, config = 5, {"profile": ["groq-70b", "replicate-70b"], **SHORT}
    env = AlfredReplayVectorEnv(n, **config)
    tables = load_tables(config["profile"])
    sampler = EpisodeSampler(bank, tables, EpisodeConfig(**SHORT))
    cores = [AlfredReplayCore(bank, tables, 1) for _ in range(n)]
    base, following = int(np_random(11)[0].integers(0, 2**63)), 0

    def begin(i: int) -> None:
        nonlocal following
        cores[i].begin(np.zeros(1, int), sampler.draw(seeds(base, 1, following)))
        following += 1

    observations, info = env.reset(seed=11)
    for i in range(n):
        begin(i)
    rng = np.random.default_rng(0)
    for _ in range(150):
        for i, core in enumerate(cores):
            assert np.array_equal(observations[i], core.observe()[0])
            assert np.array_equal(info["action_mask"][i], core.situation().action_mask()[:, 0])
        actions = rng.integers(0, 5, n)
        observations, rewards, terminated, truncated, info = env.step(actions)
        assert observations in env.observation_space and not truncated.any()
        for i, core in enumerate(cores):
            if not core.alive[0]:  # next-step autoreset
                begin(i)
                assert (rewards[i], terminated[i]) == (0.0, False)
                continue
            r = core.step(actions[i : i + 1])
            assert (rewards[i], terminated[i], info["is_success"][i]) == (r.reward[0], r.done[0], r.success[0])
    assert following > 2 * n


def test_vector_env_under_gymnasium_s_own_wrapper() -> None:
    env = RecordEpisodeStatistics(gym.make_vec(ID, num_envs=4, vectorization_mode="vector_entry_point", **SHORT))
    env.reset(seed=0)
    returns, length = [], 0
    for _ in range(120):
        *_, info = env.step(env.action_space.sample())
        if "episode" in info:
            ended = info["_episode"]
            returns += info["episode"]["r"][ended].tolist()
            length += int(info["episode"]["l"][ended].sum())
    assert len(returns) > 8 and all(-1.0 < r <= 1.0 for r in returns) and length <= 4 * 120


def test_vector_reset_repeats_by_seed_and_goes_on_without() -> None:
    env = AlfredReplayVectorEnv(3)
    first, second, again = env.reset(seed=[4, 5, 6])[0], env.reset()[0], env.reset(seed=4)[0]
    assert np.array_equal(first, again) and not np.array_equal(first, second)


def test_render_says_what_was_done() -> None:
    env = AlfredReplayEnv(render_mode="ansi", time_budget_s=20.0, token_budget=5000.0)
    env.reset(seed=0)
    assert env.render() == "start"
    env.step(1)
    assert env.render().startswith("THINK(planner, 1): answered; ") and env.render().endswith("tokens left")
    env.step(0)
    assert env.render().startswith("ACT: ")


def test_mistakes_of_the_caller() -> None:
    env = AlfredReplayEnv(category="Navigation")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    for action in (5, -1, 0.5):
        with pytest.raises(ValueError, match=r"action must be 0\.\.4"):
            env.step(action)
    while not env.step(0)[2]:
        pass
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "strict"}, "mode must be 'soft' or 'hard', got 'strict'"),
        ({"category": "Cooking"}, "category must be 'all' or one of Navigation, Inspection, Delivery, got 'Cooking'"),
        ({"profile": "gpt5"}, "gpt5"),
        ({"alfred": "/nowhere"}, "/nowhere"),
        ({"time_budget_s": -1.0}, "time_budget_s"),
        ({"token_budget": float("nan")}, "token_budget"),
        ({"cost_weight": float("inf")}, "cost_weight"),
        ({"latency_jitter": (0.5, 0.1)}, "latency_jitter"),
        ({"budget_calls": (0.0, 3.0)}, "budget_calls"),
        ({"shock_share": 1.5}, "shock_share"),
    ],
)
@pytest.mark.parametrize("make", [AlfredReplayEnv, AlfredReplayVectorEnv])
def test_bad_arguments_are_one_clear_line(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        make(**arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_other_bad_arguments() -> None:
    with pytest.raises(TypeError, match="shock_chance"):
        AlfredReplayEnv(shock_chance=1.0)
    with pytest.raises(ValueError, match="num_envs must be >= 1, got 0"):
        AlfredReplayVectorEnv(0)


def test_the_observations_have_names():
    env = gym.make("rarrl/AlfredReplay-v0").unwrapped
    many = gym.make_vec("rarrl/AlfredReplay-v0", num_envs=2)
    assert env.feature_names == many.feature_names == FEATURE_NAMES
    assert env.observation_space.shape == (len(env.feature_names),)
