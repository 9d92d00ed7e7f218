"""Rounds each row with several importances and keeps the candidate that changes the actions least.

ggml minimises a sum over the weights of importance times squared error. No such sum tells what a row of errors does
together, as the curvature does; but which of several roundings does least, the curvature can say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rarrl.llama import ggml

from .curvature import cost_terms

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the importance: between all alike and as measured
# More candidates: the middle power times exp(SPREAD * normal), weight by weight.
VARIED = 8  # candidates
SPREAD = 0.5  # sigma of ln(importance)


def quantize(
    kind: str, weights: np.ndarray, importance: np.ndarray, curvature: np.ndarray, seed: int = 0
) -> np.ndarray:
    """As `ggml.quantize`; of each row's versions the one with the least e H e, e the row's error.

    Args:
        importance: (rows, columns), see `ggml.quantize`
        curvature: H, (columns, columns), symmetric, not negative
    """
    kept = np.empty((len(weights), ggml.row_bytes(kind, weights.shape[1])), np.uint8)
    lowest = np.full(len(weights), np.inf)
    for version in _versions(importance, seed):
        blocks = ggml.quantize(kind, weights, version)
        error = ggml.dequantize(kind, blocks, weights.shape[1]) - weights
        costs = cost_terms(error, curvature).sum(1)
        better = costs < lowest
        kept[better] = blocks[better]
        lowest[better] = costs[better]

    return kept


def _versions(importance: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    importance = importance / max(float(importance.mean()), 1e-30)
    for power in POWERS:
        yield importance**power
    middle = importance ** POWERS[len(POWERS) // 2]
    for _ in range(VARIED):
        yield middle * np.exp(SPREAD * rng.standard_normal(importance.shape, np.float32))
