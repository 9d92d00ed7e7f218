import numpy as np
import pytest

from rarrl.perception.change import change_near, has_changed
from rarrl.types import VoxelGrid, VoxelState

T = np.eye(4)
"""The grid's frame is the base frame here."""


def grid(*occupied, size=16, refusal="", origin=(0.0, -0.4, 0.0)):
    state = np.full((size,) * 3, VoxelState.FREE, np.uint8)
    probability = np.full(state.shape, 0.1, np.float32)
    for each in occupied:
        state[each] = VoxelState.OCCUPIED
        probability[each] = 0.9
    return VoxelGrid(state, probability, origin, 0.05, "camera", refusal=refusal)


COLUMN = [(10, 8, k) for k in range(10, 15)]
"""Voxels from 0.5 to 0.75 m above the floor, at (0.525, 0.025)."""


def test_what_was_put_down_is_seen_where_it_stands_and_nowhere_else():
    before, after = grid(), grid(*COLUMN)
    assert change_near(before, after, T, 0.525, 0.025) == pytest.approx(5 * 0.8, abs=1e-4)
    assert has_changed(before, after, T, 0.525, 0.025) is True
    assert has_changed(after, before, T, 0.525, 0.025) is True
    assert has_changed(before, after, T, 0.2, 0.3) is False


def test_the_floor_does_not_count():
    assert has_changed(grid(), grid(*[(10, 8, k) for k in (0, 1)]), T, 0.525, 0.025) is False


@pytest.mark.parametrize(
    ("before", "after", "spot"),
    [
        (grid(), grid(), (5.0, 0.0)),
        (grid(refusal="dark"), grid(), (0.5, 0.0)),
        (grid(), grid(refusal="dark"), (0.5, 0.0)),
        (grid(), grid(size=8), (0.5, 0.0)),
        (grid(), grid(origin=(0.1, 0.0, 0.0)), (0.5, 0.0)),
    ],
)
def test_what_cannot_be_told(before, after, spot):
    assert has_changed(before, after, T, *spot) is None
