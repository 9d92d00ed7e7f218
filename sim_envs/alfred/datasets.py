"""Where the environments get their plans and their language models from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from rarrl.alfred import AlfredPlan, load_statistics, read_alfred, sample_plans
from rarrl.latency.profile import LatencyProfile, content_sha256, load_profile
from rarrl.latency.replay import ReplayTable

from .core import CATEGORIES
from .recorded_core import Recordings

TRAINING_PROFILES = (
    "groq-70b",
    "gpt4o-mini-anchor",
    "anyscale-70b",
    "together-70b",
    "bedrock-70b",
    "replicate-70b",
)
HELD_OUT_PROFILES = ("fireworks-70b", "perplexity-70b")
RECORDED = "recorded"
"""Stands for the shipped recordings: to learn from the first, to be judged on the second."""
RECORDED_TRAINING, RECORDED_EVALUATION = "rarrl-planner-development", "rarrl-planner-valid-seen"
DRAWN_PLANS = 4000  # from the shipped statistics, where no data set is given


def load_plans(alfred: Path | None, split: str | None, seed: int = 0) -> tuple[list[AlfredPlan], str]:
    """ALFRED's plans from the user's data set, else drawn from the shipped statistics; and their data hash."""
    if alfred is None:
        statistics = load_statistics()
        return list(sample_plans(statistics, DRAWN_PLANS, seed)), f"statistics of {statistics.header.data_sha256}"
    data = read_alfred(alfred, split)
    return list(data.plans), data.sha256


def load_tables(profiles: Sequence[str]) -> list[ReplayTable]:
    """The replay tables of the named profiles."""
    return [_table(name) for name in profiles]


@lru_cache(maxsize=32)
def _table(profile: str) -> ReplayTable:
    return ReplayTable.from_profile(load_profile(profile))


def holds_answers(profile: str) -> bool:
    """Whether a profile has recorded answers beside its latencies."""
    return _profile(profile).recorded


def load_recordings(profile: str, categories: Sequence[str] = CATEGORIES) -> Recordings:
    """The recorded answers of a profile, by name or path. Raises: InputError where it holds none."""
    return Recordings.from_profile(_profile(profile), categories)


def recordings_hash(profile: str) -> str:
    """sha256 of what the profile measured (`content_sha256`): names it in the cards of what learned from it."""
    return content_sha256(_profile(profile))


@lru_cache(maxsize=8)
def _profile(profile: str) -> LatencyProfile:
    return load_profile(profile)
