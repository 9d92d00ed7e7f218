"""The perception value objects refuse what they cannot mean, and cannot be written to."""

import math

import numpy as np
import pytest

from rarrl.types import ObstacleSummary, StereoPair, VoxelGrid, VoxelState

IMAGE = np.zeros((4, 6), dtype=np.uint8)


@pytest.mark.parametrize(
    ("left", "right", "stamp_s", "named"),
    [
        (IMAGE.astype(float), IMAGE, 0.0, "left"),
        (IMAGE, None, 0.0, "right"),
        (IMAGE, IMAGE[:3], 0.0, "alike"),
        (np.zeros((4, 6, 4), np.uint8), IMAGE, 0.0, "left"),
        (IMAGE[:0], IMAGE[:0], 0.0, "left"),
        (IMAGE, IMAGE, math.nan, "stamp_s"),
    ],
)
def test_pairs_that_are_none(left, right, stamp_s, named):
    with pytest.raises(ValueError, match=named):
        StereoPair(left, right, stamp_s)


def grid(state=None, probability=None, origin=(0.0, 0.0, 0.0), voxel_size=0.5) -> VoxelGrid:
    state = np.zeros((2, 2, 2), np.uint8) if state is None else state
    probability = np.full(state.shape, 0.5, np.float32) if probability is None else probability
    return VoxelGrid(state, probability, origin, voxel_size, "cam")


@pytest.mark.parametrize(
    "change",
    [
        {"state": np.full((2, 2, 2), 3, np.uint8)},
        {"state": np.zeros((2, 2), np.uint8)},
        {"probability": np.full((2, 2, 2), np.nan, np.float32)},
        {"probability": np.full((2, 2, 2), 1.1, np.float32)},
        {"probability": np.zeros((2, 2, 3), np.float32)},
        {"voxel_size": 0.0},
        {"origin": (0.0, math.inf, 0.0)},
    ],
)
def test_grids_that_are_none(change):
    with pytest.raises(ValueError, match="VoxelGrid"):
        grid(**change)


def test_a_grid_is_a_copy_that_nobody_writes_to():
    state = np.zeros((2, 2, 2), np.uint8)
    made = grid(state)
    state[:] = VoxelState.OCCUPIED
    assert made.unknown.all() and not made.occupied.any() and not made.free.any()
    with pytest.raises(ValueError, match="read-only"):
        made.state[0, 0, 0] = 1


def test_centres_by_hand():
    state = np.zeros((2, 2, 2), np.uint8)
    state[1, 0, 1] = VoxelState.OCCUPIED
    made = grid(state, origin=(-1.0, 2.0, 0.0))
    assert made.centres(made.occupied).tolist() == [[-0.25, 2.25, 0.75]]


def test_summaries_that_are_none():
    good = {"bearings": np.zeros(2), "nearest_m": np.full(2, np.inf), "clear_m": np.zeros(2)}
    assert not ObstacleSummary(**good, free_path_width_m=0.0, time_to_contact_s=math.inf).nearest_m.flags.writeable
    with pytest.raises(ValueError, match="clear_m"):
        ObstacleSummary(**(good | {"clear_m": np.full(2, np.nan)}), free_path_width_m=0.0, time_to_contact_s=0.0)
    with pytest.raises(ValueError, match="time_to_contact_s"):
        ObstacleSummary(**good, free_path_width_m=0.0, time_to_contact_s=math.nan)
