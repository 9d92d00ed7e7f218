"""Plays policies on the same episodes and compares them, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.baselines import OrchestratorPolicy

Floats = NDArray[np.float64]


class Core(Protocol):
    """The vectorised decision process (see sim_envs.alfred_core.AlfredReplayCore)."""

    n: int
    alive: NDArray[np.bool_]

    def begin(self, where: NDArray[np.int64], params: Any) -> None: ...
    def situation(self) -> Any: ...
    def step(self, actions: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> Any: ...


@dataclass(frozen=True)
class Episodes:
    """What n episodes came to; arrays (n,). `seconds`, `tokens`, `calls` are the language model's."""

    success: NDArray[np.bool_]
    seconds: Floats
    tokens: Floats
    calls: Floats
    misses: Floats
    acts: Floats
    lost: NDArray[np.bool_]
    calls_after_shock: Floats


def rollout(core: Core, params: Any, policy: OrchestratorPolicy) -> Episodes:
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
        mask = situation.action_mask()
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
    return Episodes(success=success, lost=lost, **total)
