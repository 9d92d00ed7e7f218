"""`rarrl bench orchestrator`: speed of the environment, of training, of one decision, and of the import.

Ratios are taken in one run, contenders in turn: the machines are noisy, and slow phases then hit both alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.build import make_orchestrator
from rarrl.orchestrator.features import FEATURE_LIMIT
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Budget
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES, load_plans, load_tables
from rarrl_sim_envs.alfred.env import AlfredReplayEnv, AlfredReplayVectorEnv
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeSampler
from rarrl_sim_envs.alfred.executive import AlfredExecutive

from .evaluate import EpisodeSet
from .scenarios import CONDITIONS, priced
from .train import TrainConfig, train
from .train_alfred import N_ENVS

VECTOR_ENVS = 256  # episodes side by side in our vector environment
DUMMY_ENVS = 8  # environments in SB3's DummyVecEnv
ROUNDS = 7  # of each measurement, after one that warms up; odd, so that the median is one of them
DUMMY_PPO_STEPS = 150_000  # environment steps of SB3's own set-up, which is far slower
OUR_PPO_STEPS = 3_000_000  # environment steps of ours
# What a robot's decision node imports; it must not pull in torch.
IMPORTS = "import rarrl.types, rarrl.config, rarrl.orchestrator.orchestrator, rarrl.orchestrator.registry"


def _spread(values: list[float], unit: str) -> Figure:
    return Figure(float(np.median(values)), unit, len(values), min(values), max(values))


def _environment(seed: int, rounds: int = ROUNDS) -> tuple[Figure, dict[str, Any]]:
    """Steps per second of the vector env against SB3's DummyVecEnv over single envs, random actions."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    rng = np.random.default_rng(seed)
    vector = AlfredReplayVectorEnv(VECTOR_ENVS)
    dummy = DummyVecEnv([AlfredReplayEnv for _ in range(DUMMY_ENVS)])
    vector.reset(seed=seed)
    dummy.seed(seed)
    dummy.reset()

    rates: dict[str, list[float]] = {"vector": [], "dummy": []}
    for index in range(rounds + 1):
        for name, env, n, steps in (("vector", vector, VECTOR_ENVS, 400), ("dummy", dummy, DUMMY_ENVS, 120)):
            actions = rng.integers(0, 5, (steps, n))
            started = time.perf_counter()
            for row in actions:
                env.step(row)
            if index:  # the first round warms up
                rates[name].append(steps * n / (time.perf_counter() - started))

    ratios = [v / d for v, d in zip(rates["vector"], rates["dummy"], strict=True)]
    return _spread(ratios, "times, min to max of rounds"), {
        "vector_steps_per_s": round(float(np.median(rates["vector"]))),
        "dummy_steps_per_s": round(float(np.median(rates["dummy"]))),
        "vector_envs": VECTOR_ENVS,
        "dummy_envs": DUMMY_ENVS,
        "observation_limit": FEATURE_LIMIT,
    }


def _learning(seed: int, dummy_steps: int, our_steps: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """PPO's steps per second, rollouts and updates; and the return that each then reaches on the same episodes."""
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

    torch.set_num_threads(1)
    plans, _ = load_plans(None, None, seed)
    bank = EpisodeBank.from_plans(plans)
    tables = load_tables(TRAINING_PROFILES)

    def single() -> AlfredReplayEnv:
        env = AlfredReplayEnv(profile=TRAINING_PROFILES)
        env._sampler = EpisodeSampler(env.core.bank, tables, TRAINING)
        return env

    dummy = MaskablePPO("MlpPolicy", DummyVecEnv([single for _ in range(DUMMY_ENVS)]), seed=seed, device="cpu")
    started = time.perf_counter()
    dummy.learn(dummy_steps)
    dummy_rate = dummy.num_timesteps / (time.perf_counter() - started)

    core = AlfredReplayCore(bank, tables, N_ENVS)

    env = AlfredReplayVecEnv(core, EpisodeSampler(bank, tables, TRAINING), seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        ours = train(env, TrainConfig(steps=our_steps, seed=seed), Path(folder))
        our_s = time.perf_counter() - started

    linear = [*dummy.policy.mlp_extractor.policy_net, dummy.policy.action_net]
    linear = [layer for layer in linear if isinstance(layer, torch.nn.Linear)]
    theirs = LearnedPolicy(
        "default",
        tuple(layer.weight.detach().numpy() for layer in linear),
        tuple(layer.bias.detach().numpy() for layer in linear),
        ours.hidden,
        ours.allowed,
    )

    episode_set = EpisodeSet.make(plans[:300], 2, seed)
    returns = {}
    for name, policy in (("ours", ours), ("default", theirs)):
        played = [episode_set.play(policy, p, priced(CONDITIONS["binding"], 0.01)) for p in TRAINING_PROFILES]
        weights = [0.01 / table.costs.mean_s[0] for table in tables]
        returns[name] = float(
            np.mean([e.success.mean() - w * e.seconds.mean() for e, w in zip(played, weights, strict=True)])
        )

    figures = {
        "ppo_speedup_vs_dummy": Figure(our_steps / our_s / dummy_rate, "times", 1),
        "ppo_return_ours": Figure(returns["ours"], "return", len(episode_set.rows)),
        "ppo_return_dummy": Figure(returns["default"], "return", len(episode_set.rows)),
        "ppo_seconds_ours": Figure(our_s, "s", 1),
        "ppo_seconds_dummy": Figure(dummy_steps / dummy_rate, "s", 1),
    }

    return figures, {"ours_steps_per_s": round(our_steps / our_s), "dummy_steps_per_s": round(dummy_rate)}


def _decide(seed: int, decisions: int = 5000) -> tuple[Figure, dict[str, Any]]:
    """Milliseconds of `Orchestrator.decide` along real episodes, features and network included."""
    plans, _ = load_plans(None, None, seed)
    profile = "gpt4o-mini-anchor"
    table = load_tables([profile])[0]
    executive = AlfredExecutive(EpisodeBank.from_plans(plans), table, CONDITIONS["comfortable"], seed)
    brain = make_orchestrator("learned", profile, cost_weight=0.005)

    times: list[float] = []
    number = 0
    while len(times) < decisions:
        info = executive.begin(number)
        number += 1
        brain.start(Budget.full(info.time_budget_s, info.token_budget))
        while not executive.done:
            summary = executive.summary
            started = time.perf_counter()
            decision = brain.decide(summary)
            times.append(1e3 * (time.perf_counter() - started))
            if decision.action == 0:
                attempt = executive.act()
                brain.record_act(attempt.status, attempt.subgoal_done)
            else:
                brain.record_call(executive.think(decision.action))

    p99 = float(np.percentile(times, 99))
    return Figure(p99, "ms", len(times)), {
        "decide_p50_ms": round(float(np.median(times)), 4),
        "decide_max_ms": round(max(times), 3),
    }


def _import(rounds: int = ROUNDS) -> Figure:
    """Seconds to import the core in a fresh interpreter, and that no torch came along."""
    code = (
        f"import time; t = time.perf_counter(); {IMPORTS}; t = time.perf_counter() - t; "
        "import sys; assert 'torch' not in sys.modules; print(t)"
    )

    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    times = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        times.append(float(done.stdout))
    return _spread(times, "s, min to max")


def bench_orchestrator(
    *,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl bench orchestrator",
    progress: Callable[[str, float], None] | None = None,
    dummy_steps: int = DUMMY_PPO_STEPS,
    our_steps: int = OUR_PPO_STEPS,
) -> dict[str, Any]:
    """Measures `env_speedup_vs_dummy`, `ppo_speedup_vs_dummy`, `decide_p99_ms`, `import_s`; see Results."""
    say = progress or (lambda what, share: None)
    figures: dict[str, Figure] = {}
    tables: dict[str, Any] = {}
    say("environment", 0.0)
    figures["env_speedup_vs_dummy"], tables["environment"] = _environment(seed)
    say("one decision", 0.15)
    figures["decide_p99_ms"], tables["decide"] = _decide(seed)
    say("import", 0.2)
    figures["import_s"] = _import()
    say("learning", 0.25)
    learning, tables["learning"] = _learning(seed, dummy_steps, our_steps)
    results = make_results(command, seed, {**figures, **learning}, tables)
    if json_path is not None:
        write_results(json_path, results)
    say("done", 1.0)
    return results
