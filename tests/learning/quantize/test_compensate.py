"""Compensation within rows: the error that matters falls, and the blocks stay ggml's."""

import numpy as np
import pytest

from rarrl.llama import ggml
from rarrl_learning.quantize import compensate

pytest.importorskip("llama_cpp")


def problem(columns=512, rows=12, seed=0):
    """Weights, and the curvature of inputs of which many are nearly alike."""
    rng = np.random.default_rng(seed)
    weights = 0.05 * rng.standard_normal((rows, columns)).astype(np.float32)
    x = rng.standard_normal((2000, 40)) @ rng.standard_normal((40, columns)) + 0.3 * rng.standard_normal(
        (2000, columns)
    )
    curvature = (x.T @ x / len(x)).astype(np.float32)
    return weights, np.tile(np.diag(curvature), (rows, 1)), curvature


def costs(kind, blocks, weights, curvature):
    e = (ggml.dequantize(kind, blocks, weights.shape[1]) - weights).astype(np.float64)
    return ((e @ curvature) * e).sum(1)


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q8_0"])
def test_errors_that_matter_fall(kind):
    weights, importance, curvature = problem()
    blocks = compensate.quantize(kind, weights, importance, curvature)
    plain = ggml.quantize(kind, weights, importance)
    assert blocks.shape == plain.shape and blocks.dtype == np.uint8
    assert costs(kind, blocks, weights, curvature).sum() < 0.5 * costs(kind, plain, weights, curvature).sum()


def test_one_block_is_never_worse_than_without():
    weights, importance, curvature = problem(columns=256, seed=1)
    blocks = compensate.quantize("Q2_K", weights, importance, curvature)
    damped = curvature + compensate.DAMPING * np.trace(curvature) / 256 * np.eye(256)
    plain = ggml.quantize("Q2_K", weights, importance)
    assert (costs("Q2_K", blocks, weights, damped) <= costs("Q2_K", plain, weights, damped) * (1 + 1e-6)).all()


def test_frames_that_showed_nothing_are_no_failure():
    weights, importance, _ = problem()
    blocks = compensate.quantize("Q4_K", weights, 0 * importance, np.zeros((512, 512), np.float32))
    assert np.abs(ggml.dequantize("Q4_K", blocks, 512) - weights).max() < 0.02
