"""The measures, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl_learning.perception.metrics import Reliability, chamfer, dilate, iou, within_one


def cube(*voxels: tuple[int, int, int], n: int = 8) -> np.ndarray:
    mask = np.zeros((n, n, n), dtype=bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


def test_iou_by_hand():
    a, b = cube((0, 0, 0), (1, 0, 0), (2, 0, 0)), cube((1, 0, 0), (2, 0, 0), (3, 0, 0))
    assert iou(a, b) == (2 + 1) / (4 + 1)
    assert iou(cube(), cube()) == 1.0
    assert iou(a, cube()) == 1 / 4


def test_dilation_has_27_voxels():
    assert dilate(cube((4, 4, 4))).sum() == 27
    assert dilate(cube((0, 0, 0))).sum() == 8  # does not wrap around


def test_precision_and_recall_within_one_voxel():
    truth = cube((2, 2, 2), (6, 6, 6))
    predicted = cube((3, 3, 3), (2, 2, 4), (2, 2, 3))
    precision, recall = within_one(predicted, truth)
    assert precision == pytest.approx(2 / 3)  # (2, 2, 4) is two away
    assert recall == 0.5
    assert within_one(cube(), truth) == (1.0, 0.0)
    assert within_one(predicted, cube()) == (0.0, 1.0)


def test_chamfer_by_hand():
    a, b = cube((0, 0, 0)), cube((3, 4, 0), (0, 0, 1))
    # a to b: 1; b to a: (25 + 1) / 2; in voxels of 0.5 m
    assert chamfer(a, b, 0.5) == pytest.approx(0.25 * (1 + 13))
    assert chamfer(a, a, 0.5) == chamfer(cube(), cube(), 0.5) == 0.0
    assert chamfer(a, cube(), 0.5) == 0.25 * 2 * 3 * 64


@given(seed=st.integers(0, 200))
def test_chamfer_against_all_pairs(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 6, 6, 6)) < 0.05
    if not (a.any() and b.any()):
        return
    squared = ((np.argwhere(a)[:, None] - np.argwhere(b)[None]) ** 2).sum(axis=2)
    assert chamfer(a, b, 1.0) == pytest.approx(squared.min(axis=1).mean() + squared.min(axis=0).mean())
    assert chamfer(a, b, 1.0) == pytest.approx(chamfer(b, a, 1.0))


def test_reliability_by_hand():
    r = Reliability.of(np.array([0.05, 0.05, 0.95, 1.0]), np.array([False, True, True, True]))
    assert r.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    # |.05 - .5| of half the voxels, |.975 - 1| of the other half
    assert r.ece == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)
    assert (r + r).ece == pytest.approx(r.ece)
    assert (r + r).count.sum() == 8
    assert Reliability.of(np.array([]), np.array([], dtype=bool)).ece == 0.0
