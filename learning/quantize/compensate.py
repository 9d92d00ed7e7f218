"""Rounds a matrix block by block and lets the columns to come compensate the errors (GPTQ, for ggml's blocks).

GPTQ (Frantar et al. 2023, arXiv 2210.17323) rounds a matrix column by column and moves each error into the columns that
are still to come, by the curvature of what the layer is for. ggml rounds a whole block of a row at once, so here a
block is rounded again and again: each time a few more of its columns are held at their rounded values, and the rest of
the row is moved. ggml may round the held columns a little differently; each row keeps the best of its versions."""

from __future__ import annotations

import numpy as np

from rarrl.llama import ggml

from .curvature import cost_terms

STEP = 64
"""Columns held at a time. With 32 the types of more than two bits gain more, and those of two bits lose by it."""
DAMPING = 0.02  # of the mean curvature, added to each column's own: frames never show every direction


def quantize(kind: str, weights: np.ndarray, importance: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """As `ggml.quantize`, with a small sum over rows of e H e, e the row's error, instead of small errors.

    Args:
        importance: (rows, columns), see `ggml.quantize`
        curvature: H, (columns, columns), symmetric, not negative
    """
    columns = weights.shape[1]
    width = ggml.block_size(kind)
    mean = float(np.trace(curvature)) / columns
    damped = curvature + (DAMPING * mean if mean > 0 else 1.0) * np.eye(columns)
    inverse = np.linalg.inv(damped)

    values = weights.astype(np.float64)
    parts = []
    for first in range(0, columns, width):
        last = first + width
        # What an error of the columns up to here costs when the rest makes good what it can: a Schur complement.
        cost = np.linalg.inv(inverse[:last, :last])
        best, lowest = np.empty(0), np.full(len(weights), np.inf)
        kept = np.empty((0, 0), np.uint8)
        found = values[:, first:last]
        for held in range(first, last, STEP):
            target = found.copy()
            if held:
                errors = np.concatenate((values[:, :first], found), axis=1)[:, :held] - weights[:, :held]
                moved = np.linalg.solve(damped[held:, held:], damped[held:, :held] @ errors.T).T
                target[:, held - first :] = (weights[:, held:] - moved)[:, : last - held]
            blocks = ggml.quantize(kind, target.astype(np.float32), importance[:, first:last])
            found = ggml.dequantize(kind, blocks, width).astype(np.float64)
            error = np.concatenate((values[:, :first], found), axis=1) - weights[:, :last]
            costs = cost_terms(error, cost).sum(1)
            better = costs < lowest
            if held == first:
                best = found.copy()
                kept = blocks
            best[better] = found[better]
            kept[better] = blocks[better]
            lowest[better] = costs[better]

        values[:, first:last] = best
        parts.append(kept)

    return np.concatenate(parts, axis=1)
