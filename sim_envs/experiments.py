"""Training, tuning and evaluation of the orchestrator on AlfredReplay: puts core, environment and data together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from rarrl.latency.alfred import AlfredPlan, load_statistics, read_alfred, sample_plans
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.train import Progress, TrainConfig, train

from .alfred_core import AlfredReplayCore, EpisodeBank
from .episodes import TRAINING, EpisodeSampler

TRAINING_PROFILES = (
    "groq-70b",
    "gpt4o-mini-anchor",
    "anyscale-70b",
    "together-70b",
    "bedrock-70b",
    "replicate-70b",
)
HELD_OUT_PROFILES = ("fireworks-70b", "perplexity-70b")
N_ENVS = 1024
SYNTHETIC_PLANS = 4000


def load_plans(alfred: Path | None, split: str | None, seed: int = 0) -> tuple[list[AlfredPlan], str]:
    """ALFRED's plans from the user's data set, else drawn from the shipped statistics; and their data hash."""
    if alfred is None:
        statistics = load_statistics()
        return list(sample_plans(statistics, SYNTHETIC_PLANS, seed)), f"statistics of {statistics.header.data_sha256}"
    data = read_alfred(alfred, split)
    return list(data.plans), data.sha256


def load_tables(profiles: Sequence[str]) -> list[ReplayTable]:
    """The replay tables of the named profiles."""
    return [_table(name) for name in profiles]


@lru_cache(maxsize=32)
def _table(profile: str) -> ReplayTable:
    return ReplayTable.from_profile(load_profile(profile))


def train_orchestrator(
    config: TrainConfig,
    folder: Path,
    plans: Sequence[AlfredPlan],
    profiles: Sequence[str] = TRAINING_PROFILES,
    progress: Progress | None = None,
) -> LearnedPolicy:
    """Trains one policy on `plans` and `profiles`; see `rarrl.orchestrator.train.train`."""
    from .sb3 import AlfredReplayVecEnv

    bank, tables = EpisodeBank.from_plans(plans), load_tables(profiles)
    core = AlfredReplayCore(bank, tables, N_ENVS, hard=config.hard)
    sampler = EpisodeSampler(bank, tables, TRAINING)
    env = AlfredReplayVecEnv(core, sampler, config.seed, config.hidden, config.allowed)
    return train(env, config, folder, progress)
