"""Budgets and episodes under which policies are tuned and compared, in mean planner-1 calls of the profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rarrl.latency.replay import ReplayTable
from rarrl_sim_envs.alfred.core import EpisodeBank, EpisodeParams
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler, seeds

CONDITIONS: dict[str, EpisodeConfig] = {
    "unbound": EpisodeConfig(budget_calls=(200.0, 200.0), token_ratio=(2.0, 2.0)),
    "binding": EpisodeConfig(budget_calls=(3.0, 10.0), token_ratio=(0.8, 1.6)),
    "comfortable": EpisodeConfig(budget_calls=(12.0, 24.0), token_ratio=(1.0, 1.6)),
    "shock": EpisodeConfig(budget_calls=(12.0, 24.0), token_ratio=(1.0, 1.6), shock_share=1.0),
}
"""unbound: everything can be paid for; binding: a few calls for the whole task; shock: a comfortable budget, cut
to 40 % of what is left somewhere between a quarter and three quarters of the task."""
SKILLSET_CONDITIONS: dict[str, EpisodeConfig] = {
    "binding": CONDITIONS["binding"],
    "answers": EpisodeConfig(budget_calls=(1.0, 6.0), token_ratio=(0.8, 1.6)),
}
"""For random skill sets. answers: robots keep plans, of which a few calls tell all that there is to know."""
AMPLE_TOKENS = 1e6
"""Recorded answers are bounded in seconds alone; tokens are counted."""


def recorded_conditions(table: ReplayTable) -> dict[str, EpisodeConfig]:
    """The conditions of an evaluation on recorded answers; budgets scale with what this model's calls take.

    unbound: everything can be paid for; binding: from one mean planner-1 call to two of each kind."""
    once = float(table.costs.mean_s.sum() / table.costs.mean_s[0])
    return {
        "unbound": EpisodeConfig(budget_calls=(1000.0 * once, 1000.0 * once), token_budget=AMPLE_TOKENS),
        "binding": EpisodeConfig(budget_calls=(1.0, 2.0 * once), token_budget=AMPLE_TOKENS),
    }


def recorded_training(table: ReplayTable) -> EpisodeConfig:
    """As TRAINING, with the budgets of recorded answers: from half a planner-1 call to many of each kind."""
    once = float(table.costs.mean_s.sum() / table.costs.mean_s[0])
    return replace(TRAINING, budget_calls=(0.5, 20.0 * once), token_budget=AMPLE_TOKENS)


def with_tokens(config: EpisodeConfig, tables: Sequence[ReplayTable]) -> EpisodeConfig:
    """`config`, with AMPLE_TOKENS where answers of these models were judged: a model that is shown examples reads
    several times as much at level 2, which a budget in tokens of level 1 would all but forbid."""
    judged = any(table.judged[0].any() for table in tables)
    return replace(config, token_budget=AMPLE_TOKENS) if judged else config


TASKS_PER_NAVIGATION = 3  # each plan counts three times as its own task for once as its Navigation part


def priced(config: EpisodeConfig, price: float) -> EpisodeConfig:
    """`config` with thinking priced at `price` points of success per mean planner-1 call."""
    return replace(config, call_price=(price, price))


def every_episode(bank: EpisodeBank, replicas: int) -> np.ndarray:
    """Rows of `bank` for an evaluation: `replicas` of each Navigation row, three times as many of the others."""
    navigation = np.flatnonzero(bank.category == 0)
    tasks = np.flatnonzero(bank.category != 0)
    return np.concatenate([np.tile(tasks, TASKS_PER_NAVIGATION * replicas), np.tile(navigation, replicas)])


def fixed_episodes(sampler: EpisodeSampler, rows: np.ndarray, seed: int) -> EpisodeParams:
    """The episodes of `rows`, the same for every policy (common random numbers)."""
    return sampler.draw(seeds(seed, len(rows)), rows)
