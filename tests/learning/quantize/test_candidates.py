"""The best of several roundings of a row: never worse than any, by the curvature."""

import numpy as np
import pytest

from rarrl.llama import ggml
from rarrl_learning.quantize import candidates

from .test_compensate import costs, problem

pytest.importorskip("llama_cpp")


@pytest.mark.parametrize("kind", ["Q2_K", "Q4_K", "Q8_0"])
def test_no_row_is_worse_than_by_its_importance_alone(kind):
    weights, importance, curvature = problem()
    blocks = candidates.quantize(kind, weights, importance, curvature)
    assert blocks.shape == (len(weights), ggml.row_bytes(kind, 512)) and blocks.dtype == np.uint8
    found = costs(kind, blocks, weights, curvature)
    for given in (importance, np.ones_like(importance)):
        alone = costs(kind, ggml.quantize(kind, weights, given), weights, curvature)
        assert (found <= alone * (1 + 1e-4)).all()
    if kind != "Q8_0":
        assert found.sum() < 0.9 * costs(kind, ggml.quantize(kind, weights, importance), weights, curvature).sum()


def test_the_same_again():
    weights, importance, curvature = problem()
    twice = [candidates.quantize("Q2_K", weights, importance, curvature) for _ in range(2)]
    assert np.array_equal(*twice)


def test_frames_that_showed_nothing_are_no_failure():
    weights, importance, _ = problem()
    blocks = candidates.quantize("Q4_K", weights, 0 * importance, np.zeros((512, 512), np.float32))
    assert np.abs(ggml.dequantize("Q4_K", blocks, 512) - weights).max() < 0.02
