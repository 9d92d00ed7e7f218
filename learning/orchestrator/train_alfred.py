"""Trains the orchestrator on ALFRED replay or on recorded answers: builds the environment and runs `train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rarrl.alfred import AlfredPlan
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, N_FEATURES
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES, load_recordings, load_tables
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.alfred.recorded_core import RecordedCore

from .scenarios import recorded_training
from .train import Progress, TrainConfig, train

N_ENVS = 1024  # episodes side by side: a rollout of 32 steps then fills four minibatches of 8192


def train_orchestrator(
    config: TrainConfig,
    folder: Path,
    plans: Sequence[AlfredPlan],
    profiles: Sequence[str] = TRAINING_PROFILES,
    progress: Progress | None = None,
    episodes: EpisodeConfig = TRAINING,
) -> LearnedPolicy:
    """Trains one policy on `plans` and `profiles`; see `rarrl_learning.orchestrator.train.train`.

    episodes: budgets, prices and disturbances that it meets."""
    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

    bank = EpisodeBank.from_plans(plans)
    tables = load_tables(profiles)
    core = AlfredReplayCore(bank, tables, N_ENVS, hard=config.hard)
    sampler = EpisodeSampler(bank, tables, episodes)
    env = AlfredReplayVecEnv(core, sampler, config.seed, config.hidden_of(N_FEATURES), config.allowed)
    return train(env, config, folder, progress)


def train_on_recordings(
    config: TrainConfig, folder: Path, profile: str, progress: Progress | None = None
) -> LearnedPolicy:
    """Trains one policy on the recorded answers of `profile` (name or path)."""
    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

    recordings = load_recordings(profile)
    core = RecordedCore(recordings, N_ENVS, hard=config.hard)
    sampler = EpisodeSampler(recordings.bank, [recordings.table], recorded_training(recordings.table))
    hidden = config.hidden_of(len(ALL_FEATURE_NAMES))
    return train(AlfredReplayVecEnv(core, sampler, config.seed, hidden, config.allowed), config, folder, progress)
