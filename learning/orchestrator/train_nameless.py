"""Trains the orchestrator that knows no names: on random skill sets and on ALFRED, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rarrl.alfred import AlfredPlan
from rarrl.orchestrator.features import NAMELESS_FEATURE_NAMES
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import RECORDED_TRAINING, TRAINING_PROFILES, load_recordings, load_tables
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeSampler
from rarrl_sim_envs.alfred.recorded_core import RecordedCore
from rarrl_sim_envs.random_skills.core import RandomSkillsCore, random_bank
from rarrl_sim_envs.random_skills.planned_core import PlannedSkillsCore
from rarrl_sim_envs.random_skills.ranges import TRAINING_SETS

from .scenarios import recorded_training, with_tokens
from .train import Progress, TrainConfig, train

# Episodes side by side in each world; together as many as in `train_alfred`.
ALFRED_ENVS = 320
RECORDED_ENVS = 160
SKILLS_ENVS = 352
PLANNED_ENVS = 192
NAMELESS_LAYERS = (64, 64)  # as of the policies that know names: a decision costs the same
DRAWN_PLANS = 20_000  # random plans: the skills behind them differ in each episode


def train_nameless(
    config: TrainConfig,
    folder: Path,
    plans: Sequence[AlfredPlan],
    profiles: Sequence[str] = TRAINING_PROFILES,
    progress: Progress | None = None,
) -> LearnedPolicy:
    """Trains one policy on random skill sets, with and without plans that are kept, on ALFRED's `plans` and on the
    shipped recording of development goals; see `rarrl_learning.orchestrator.train.train`."""
    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv, SideBySideVecEnv

    tables = load_tables(profiles)
    alfred, skills = EpisodeBank.from_plans(plans), random_bank(TRAINING_SETS, DRAWN_PLANS, config.seed)
    recordings = load_recordings(RECORDED_TRAINING)
    answers = [recordings.table]
    planned = with_tokens(TRAINING, tables)
    worlds = (
        (AlfredReplayCore(alfred, tables, ALFRED_ENVS), EpisodeSampler(alfred, tables, TRAINING)),
        (
            RecordedCore(recordings, RECORDED_ENVS),
            EpisodeSampler(recordings.bank, answers, recorded_training(recordings.table)),
        ),
        (RandomSkillsCore(skills, tables, SKILLS_ENVS), EpisodeSampler(skills, tables, TRAINING)),
        (PlannedSkillsCore(skills, tables, PLANNED_ENVS), EpisodeSampler(skills, tables, planned)),
    )
    hidden = config.hidden_of(len(NAMELESS_FEATURE_NAMES))
    env = SideBySideVecEnv(
        [
            AlfredReplayVecEnv(core, sampler, config.seed * len(worlds) + number, hidden, config.allowed, nameless=True)
            for number, (core, sampler) in enumerate(worlds)
        ]
    )
    return train(env, config, folder, progress)
