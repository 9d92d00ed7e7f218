"""How much of the variance of a time each cause explains, in runs that combine all causes with one another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TOGETHER = "together"
"""What causes explain only jointly: a busy core costs a slow model more."""
LEFT = "left"
"""What differs between runs in which all causes are alike."""


@dataclass(frozen=True)
class Spread:
    """Of one time, milliseconds.

    shares: of the variance, by cause, then TOGETHER and LEFT; they add up to 1, and are all 0 where nothing varies.
    range_ms: of each cause, between the means of its fastest and its slowest level."""

    mean: float
    sd: float
    p50: float
    p99: float
    n: int
    shares: Mapping[str, float]
    range_ms: Mapping[str, float]

    @property
    def tail(self) -> float:
        """The 99 % quantile over the median."""
        return self.p99 / self.p50 if self.p50 > 0 else 1.0


def spread(ms: np.ndarray, causes: Sequence[str]) -> Spread:
    """Analysis of variance of a balanced design: every level of each cause is combined with every level of all others,
    equally often, so that what the causes explain alone adds up.

    ms: (levels of the first cause, ..., levels of the last one, repetitions). causes: their names, in that order.

    Raises: ValueError where the axes are not those, or no run was repeated.

    >>> ms = np.array([[10.0, 10.0], [30.0, 30.0]])  # two pictures, each twice
    >>> spread(ms, ["data"]).shares
    {'data': 1.0, 'together': 0.0, 'left': 0.0}
    """
    if ms.ndim != len(causes) + 1 or ms.shape[-1] < 2:
        raise ValueError(f"needs {len(causes)} axes and at least 2 repetitions, got {ms.shape}")

    mean = ms.mean()
    total = float(np.square(ms - mean).sum())
    cells = ms.mean(axis=-1)
    between = float(np.square(cells - mean).sum()) * ms.shape[-1]

    alone = {}
    range_ms = {}
    for axis, cause in enumerate(causes):
        levels = ms.mean(axis=tuple(i for i in range(ms.ndim) if i != axis))
        alone[cause] = float(np.square(levels - mean).sum()) * ms.size / len(levels)
        range_ms[cause] = float(levels.max() - levels.min())

    explained = {**alone, TOGETHER: max(0.0, between - sum(alone.values())), LEFT: max(0.0, total - between)}
    shares = {cause: part / total if total > 0 else 0.0 for cause, part in explained.items()}
    p50, p99 = np.quantile(ms, (0.5, 0.99))
    return Spread(float(mean), float(ms.std()), float(p50), float(p99), ms.size, shares, range_ms)


def runs(levels: Mapping[str, int], repetitions: int, outer: str, seed: int) -> list[tuple[tuple[int, ...], int]]:
    """The order of the runs: (level of each cause, repetition). All runs of one level of `outer`, which is costly to
    change, come together within a repetition; the others at random, so that what drifts falls on all alike."""
    rng = np.random.default_rng(seed)
    at = list(levels).index(outer)
    order = []
    for repetition in range(repetitions):
        cells = list(itertools.product(*map(range, levels.values())))
        ranks = rng.permutation(len(cells))
        outers = rng.permutation(levels[outer])
        shuffled = sorted(zip(cells, ranks, strict=True), key=lambda one: (outers[one[0][at]], one[1]))
        order += [(cell, repetition) for cell, _ in shuffled]
    return order
