"""Where episodes come from: a seed gives a plan, a language model, a budget and the disturbances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rarrl.config import Config
from rarrl.errors import InputError
from rarrl.latency.replay import ReplayTable

from .core import EpisodeBank, EpisodeParams, uniform

STREAMS = PLAN, TABLE, TIME, TOKENS, PRICE, SCALE, SCALED, JITTER, SHOCK, SHOCK_AT = tuple(range(100, 110))
"""Streams of `core.uniform` that an episode is drawn from, apart from those of its steps (0 to 6)."""
SEED_STREAM = 99  # from which `seeds` draws the episodes of a run


@dataclass(frozen=True)
class EpisodeConfig:
    """The distribution of episodes; a pair is a range from which each episode draws.

    Budgets are absolute where `time_budget_s` and `token_budget` are given; otherwise `budget_calls` counts
    mean planner-1 calls of the episode's language model, and tokens follow with a factor `token_ratio`.
    Likewise `cost_weight` (lambda, points of success per second) or else `call_price` (points per mean
    planner-1 call, drawn log-uniformly).
    """

    time_budget_s: float | None = None
    token_budget: float | None = None
    budget_calls: tuple[float, float] = (1.0, 100.0)
    token_ratio: tuple[float, float] = (0.7, 2.0)
    cost_weight: float | None = None
    call_price: tuple[float, float] = (0.0003, 0.06)
    latency_scale: tuple[float, float] = (1.0, 1.0)
    latency_jitter: tuple[float, float] = (0.0, 0.0)
    disturbed_share: float = 1.0  # share of episodes that latency_scale and latency_jitter apply to
    shock_share: float = 0.0
    navigation_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("time_budget_s", "token_budget", "cost_weight"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < math.inf:
                raise InputError(f"EpisodeConfig.{name} must be finite and >= 0 (or None), got {value}")
        for name in ("disturbed_share", "shock_share", "navigation_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"EpisodeConfig.{name} must be 0..1, got {getattr(self, name)}")
        for name in ("budget_calls", "token_ratio", "call_price", "latency_scale", "latency_jitter"):
            low, high = getattr(self, name)
            # all but the jitter are drawn log-uniformly: a range cannot start at 0
            if not 0.0 <= low <= high < math.inf or (low == 0.0 < high and name != "latency_jitter"):
                raise InputError(f"EpisodeConfig.{name} must be a range 0 < low <= high, got ({low}, {high})")


def configured(config: Config, shock: bool) -> EpisodeConfig:
    """The episodes of a user's configuration. `shock`: the budget is cut in the middle of each."""
    orchestrator = config.orchestrator
    scale = config.replay.latency_scale
    return EpisodeConfig(
        time_budget_s=orchestrator.time_budget_s,
        token_budget=orchestrator.token_budget,
        cost_weight=orchestrator.cost_weight,
        latency_scale=(scale, scale),
        shock_share=1.0 if shock else 0.0,
    )


TRAINING = EpisodeConfig(latency_scale=(0.5, 4.0), latency_jitter=(0.0, 0.8), disturbed_share=0.5, shock_share=0.25)
"""What the shipped orchestrator is trained on: any budget and price; disturbed latencies in half of the episodes,
shocks in a quarter."""


class EpisodeSampler:
    """Draws `EpisodeParams` from seeds; the same seed always gives the same episode."""

    def __init__(self, bank: EpisodeBank, tables: Sequence[ReplayTable], config: EpisodeConfig) -> None:
        self.bank = bank
        self.config = config
        self._navigation = np.flatnonzero(bank.category == 0)
        self._tasks = np.flatnonzero(bank.category != 0)
        self._mean_s = np.array([t.costs.mean_s[0] for t in tables])
        self._tokens = np.array([t.costs.mean_tokens[0] for t in tables])

    def _rows(self, draw: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows of the bank for draws in [0, 1), the share of Navigation as configured."""
        share = self.config.navigation_share
        if not len(self._navigation) or not len(self._tasks):
            pool = self._navigation if len(self._navigation) else self._tasks
            return pool[(draw * len(pool)).astype(np.int64)]

        navigation = draw < share
        inside = np.where(navigation, draw / max(share, 1e-12), (draw - share) / max(1.0 - share, 1e-12))
        return np.where(
            navigation,
            self._navigation[np.minimum((inside * len(self._navigation)).astype(np.int64), len(self._navigation) - 1)],
            self._tasks[np.clip((inside * len(self._tasks)).astype(np.int64), 0, len(self._tasks) - 1)],
        )

    def draw(self, seed: NDArray[np.uint64], row: NDArray[np.int64] | None = None) -> EpisodeParams:
        """The episodes of `seed` (m,); `row` (m,) fixes their rows of the bank."""
        c = self.config
        m = len(seed)
        draws = dict(zip(STREAMS, uniform(seed, STREAMS, 0), strict=True))

        def between(stream: int, span: tuple[float, float]) -> NDArray[np.float64]:
            low, high = span  # log-uniform
            return np.full(m, low) if low == high else low * (high / low) ** draws[stream]

        # The task, and what it may cost.
        table = (draws[TABLE] * len(self._mean_s)).astype(np.int64)
        rows = self._rows(draws[PLAN]) if row is None else row
        calls = between(TIME, c.budget_calls)
        time_s = calls * self._mean_s[table] if c.time_budget_s is None else np.full(m, c.time_budget_s)
        tokens = (
            calls * self._tokens[table] * between(TOKENS, c.token_ratio)
            if c.token_budget is None
            else np.full(m, c.token_budget)
        )
        weight = between(PRICE, c.call_price) / self._mean_s[table]

        # What disturbs it; a shock falls in the middle half of the pieces.
        jitter_low, jitter_high = c.latency_jitter
        disturbed = draws[SCALED] < c.disturbed_share
        middle = np.floor(self.bank.pieces[rows] * (0.25 + 0.5 * draws[SHOCK_AT])).astype(np.int64)
        return EpisodeParams(
            row=rows,
            seed=seed,
            table=table,
            time_s=time_s,
            tokens=tokens,
            cost_weight=weight if c.cost_weight is None else np.full(m, c.cost_weight),
            latency_scale=np.where(disturbed, between(SCALE, c.latency_scale), 1.0),
            jitter=np.where(disturbed, jitter_low + (jitter_high - jitter_low) * draws[JITTER], 0.0),
            shock_at=np.where(draws[SHOCK] < c.shock_share, middle, -1),
        )


def seeds(base: int, count: int, start: int = 0) -> NDArray[np.uint64]:
    """`count` episode seeds of the run `base`."""
    spread = uniform(np.full(count, base, np.uint64), SEED_STREAM, np.arange(start, start + count))
    return (spread * (1 << 53)).astype(np.uint64)
