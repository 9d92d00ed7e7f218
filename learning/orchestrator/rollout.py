"""Rollouts of policies on fixed episodes, and bootstrap intervals over ALFRED plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.beside import thinks_beside
from rarrl.orchestrator.rules import OrchestratorPolicy

Floats = NDArray[np.float64]


class Core(Protocol):
    """The vectorised decision process (see sim_envs.alfred_core.AlfredReplayCore)."""

    n: int
    alive: NDArray[np.bool_]

    def begin(self, where: NDArray[np.int64], params: Any) -> None: ...
    def situation(self) -> Any: ...
    def step(self, actions: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> Any: ...


@dataclass(frozen=True)
class RolloutResult:
    """What n episodes came to; arrays (n,). `seconds`, `tokens`, `calls` are the language model's."""

    success: NDArray[np.bool_]
    seconds: Floats
    tokens: Floats
    calls: Floats
    misses: Floats
    acts: Floats
    lost: NDArray[np.bool_]
    calls_after_shock: Floats


def rollout(core: Core, params: Any, policy: OrchestratorPolicy) -> RolloutResult:
    """Plays the `core.n` episodes of `params` to their end with `policy`."""
    n = core.n
    core.begin(np.arange(n), params)
    names = ("seconds", "tokens", "calls", "misses", "acts", "calls_after_shock")
    total: dict[str, Floats] = {name: np.zeros(n) for name in names}
    success, lost, shocked = (np.zeros(n, dtype=bool) for _ in range(3))
    peek = getattr(policy, "peek", None)
    if peek is not None:
        peek(core)
    while core.alive.any():
        alive = core.alive.copy()
        situation = core.situation()
        mask = situation.choice_mask() if thinks_beside(policy) else situation.action_mask()
        r = core.step(policy.act(situation, mask), mask)
        called = alive & (r.act_status < 0)
        total["seconds"] += r.seconds
        total["tokens"] += r.tokens
        total["calls"] += called
        total["calls_after_shock"] += called & shocked
        total["misses"] += r.deadline_miss
        total["acts"] += alive & ~called
        success |= r.success
        lost |= r.act_status == 2
        shocked |= r.shocked

    return RolloutResult(success=success, lost=lost, **total)


def interval(samples: Floats) -> tuple[float, float]:
    """The central 95 % of `samples`."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Clusters:
    """Bootstrap over whole ALFRED plans: the episodes of one plan are not independent of one another.

    `weights` (draws, plans): how often each plan is in each draw. `plan` (n,): the plan of each episode."""

    plan: NDArray[np.int64]
    weights: Floats

    @classmethod
    def make(cls, plan: NDArray[np.int64], draws: int = 1000, seed: int = 0) -> Clusters:
        """`plan` (n,): any labels."""
        _, labels = np.unique(plan, return_inverse=True)
        count = int(labels.max()) + 1
        rng = np.random.default_rng(seed)
        return cls(labels, rng.multinomial(count, np.full(count, 1.0 / count), size=draws).astype(np.float64))

    def means(self, values: Floats) -> Floats:
        """Bootstrapped means (draws,) of `values`: (n,), or (runs, n) with runs (training seeds) drawn too."""
        values = np.atleast_2d(np.asarray(values, dtype=np.float64))
        count = self.weights.shape[1]
        episodes = np.bincount(self.plan, minlength=count)
        sums = np.stack([np.bincount(self.plan, weights=row, minlength=count) for row in values])
        runs = len(values)
        picks = np.random.default_rng(1).integers(0, runs, size=(len(self.weights), runs))
        chosen = sums[picks].mean(axis=1)  # (draws, plans)
        return np.asarray((self.weights * chosen).sum(axis=1) / (self.weights @ episodes))


def matched(seconds: Floats, limit: float) -> int:
    """The index of the operating point that spends most without spending more than `limit`; the cheapest if none."""
    affordable = np.flatnonzero(seconds <= limit)
    return int(affordable[seconds[affordable].argmax()] if len(affordable) else seconds.argmin())
