"""The summary of hand-made grids, and of a wall that a camera sees."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.perception.obstacles import OPTICAL_TO_BASE, Body, height_slice, level_camera, summarize
from rarrl.types import VoxelGrid, VoxelState

BODY = Body(width_m=0.6, low_m=0.1, high_m=1.0)
CAMERA = level_camera(0.5)
ORIGIN = (-1.6, -1.6, 0.0)


def grid_of(state: np.ndarray) -> VoxelGrid:
    probability = np.select([state == 2, state == 1], [0.9, 0.05], 0.5).astype(np.float32)
    return VoxelGrid(state, probability, ORIGIN, 0.1, "cam", 3.0)


def room(wall_slab: int | None = 20) -> np.ndarray:
    """Free up to a wall that fills slab `wall_slab` (z 2.0..2.1 m), unknown behind it."""
    state = np.full((32, 32, 32), VoxelState.FREE, dtype=np.uint8)
    if wall_slab is not None:
        state[:, :, wall_slab] = VoxelState.OCCUPIED
        state[:, :, wall_slab + 1 :] = VoxelState.UNKNOWN
    return state


def summary(state: np.ndarray, speed: float = 0.5, lookahead_m: float = 3.0):
    return summarize(grid_of(state), CAMERA, BODY, speed, lookahead_m, math.pi / 2)


def test_axes_of_the_base_frame():
    # REP 103: optical z is ahead (x), optical x is to the right (-y), optical y is down (-z)
    np.testing.assert_array_equal(OPTICAL_TO_BASE @ [1, 2, 3], [3, -1, -2])
    assert np.linalg.det(OPTICAL_TO_BASE) == pytest.approx(1.0)


def test_a_wall_ahead():
    found = summary(room())
    middle = len(found.bearings) // 2
    assert found.bearings[middle] == pytest.approx(0.0)
    assert found.nearest_m[middle] == pytest.approx(2.0, abs=0.06)
    assert found.clear_m[middle] == pytest.approx(2.0, abs=0.11)
    assert found.free_path_width_m == 0.0  # not clear as far as the lookahead
    assert found.time_to_contact_s == pytest.approx(2.0 / 0.5, abs=0.01)
    assert summary(room(), lookahead_m=1.5).time_to_contact_s == math.inf
    assert summary(room(), lookahead_m=1.5).free_path_width_m == pytest.approx(3.2)
    assert found.stamp_s == 3.0


def test_a_slice_shows_each_column_from_above():
    state = np.zeros((32, 32, 32), dtype=np.uint8)
    state[26, 12:16, 10] = VoxelState.FREE
    state[26, 14, 10] = VoxelState.OCCUPIED  # one occupied voxel outweighs the free ones of its column
    state[3, 14, 20] = VoxelState.FREE
    state[8, 30, 12] = VoxelState.OCCUPIED  # below the band: the ground
    places = height_slice(grid_of(state), CAMERA, BODY)
    assert places.state.shape == (32, 32) and places.present.all() and places.cell == 0.1
    assert places.origin == pytest.approx((0.0, -1.6))
    found = {tuple(map(int, at)): int(places.state[tuple(at)]) for at in np.argwhere(places.state)}
    assert found == {(10, 5): VoxelState.OCCUPIED, (20, 28): VoxelState.FREE}


def test_a_slice_above_the_cube_has_no_places():
    places = height_slice(grid_of(room()), CAMERA, Body(low_m=50.0, high_m=51.0))
    assert places.state.shape == (0, 0)


def test_left_and_right():
    state = room(None)
    state[26, 14, 10] = VoxelState.OCCUPIED  # x 1.05 (right), z 1.05; y -0.15: 0.65 m above the ground
    found = summary(state)
    right = np.argmin(np.abs(found.bearings + math.pi / 4))
    assert found.bearings[right] < 0
    assert found.nearest_m[right] == pytest.approx(math.hypot(1.05, 1.05) - 0.05, abs=0.01)
    assert np.isinf(found.nearest_m[found.bearings > 0]).all()


@pytest.mark.parametrize(("row", "hit"), [(22, False), (18, True), (14, True), (8, False)])
def test_only_the_robots_height_counts(row, hit):
    # row j spans y -1.6 + 0.1 j: 0.65 (below the ground), 0.25, -0.15 and -0.75 m; heights -0.15, 0.25, 0.65, 1.25 m
    state = room(None)
    state[16, row, 10] = VoxelState.OCCUPIED
    assert np.isfinite(summary(state).nearest_m).any() == hit


def test_a_gap_in_a_wall_has_a_width():
    state = room(None)
    state[:, :, 20] = VoxelState.OCCUPIED
    state[11:19, :, 20] = VoxelState.FREE  # x -0.5..0.3
    assert summary(state).free_path_width_m == pytest.approx(0.8)
    state[16, :, 20] = VoxelState.OCCUPIED  # a pole in the middle of the way, just right of the axis
    assert summary(state).time_to_contact_s == pytest.approx(4.0)


def test_unknown_is_never_clear():
    nothing = summary(np.zeros((32, 32, 32), dtype=np.uint8))
    assert (nothing.clear_m == 0).all() and np.isinf(nothing.nearest_m).all()
    assert (nothing.free_path_width_m, nothing.time_to_contact_s) == (0.0, 0.0)
    standing = summary(np.zeros((32, 32, 32), dtype=np.uint8), speed=0.0)
    assert standing.time_to_contact_s == 0.0
    state = room(None)
    state[:, :, 12] = VoxelState.UNKNOWN  # a gap in what was seen
    found = summary(state)
    assert found.clear_m.max() < 1.9
    assert found.time_to_contact_s == pytest.approx(1.2 / 0.5)


def test_the_blind_zone_is_not_an_obstacle():
    state = room()
    state[:, :, :4] = VoxelState.UNKNOWN
    assert summary(state).time_to_contact_s == pytest.approx(4.0)


def test_what_lies_beside_the_field_of_view_does_not_block():
    """A camera of 60 degrees never sees the corridor's sides near the robot."""
    state = room()
    x, z = (np.arange(32) + 0.5) * 0.1 - 1.6, (np.arange(32) + 0.5) * 0.1
    beside = np.abs(x)[:, None] > z[None] * math.tan(math.pi / 6)
    state[np.repeat(beside[:, None], 32, axis=1)] = VoxelState.UNKNOWN
    found = summarize(grid_of(state), CAMERA, BODY, 0.5, 1.5, math.pi / 3)
    assert found.time_to_contact_s == math.inf
    assert 1.0 < found.free_path_width_m < 2 * 1.5 * math.tan(math.pi / 6) + 0.1
    assert (found.clear_m > 1.5).all()
    wide = summarize(grid_of(state), CAMERA, BODY, 0.5, 1.5, math.pi)  # a camera that should have seen it
    assert wide.time_to_contact_s < math.inf


def test_standing_still_touches_nothing():
    assert summary(room(), speed=0.0).time_to_contact_s == math.inf


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_an_obstacle_more_never_makes_the_way_freer(seed):
    rng = np.random.default_rng(seed)
    state = room(None)
    state[rng.random(state.shape) < 0.01] = VoxelState.UNKNOWN
    before = summary(state)
    for index in rng.integers(0, 32, (5, 3)):
        state[tuple(index)] = VoxelState.OCCUPIED
    after = summary(state)
    assert (after.nearest_m <= before.nearest_m).all()
    assert (after.clear_m <= before.clear_m).all()
    assert after.free_path_width_m <= before.free_path_width_m
    assert after.time_to_contact_s <= before.time_to_contact_s
    assert (after.clear_m <= after.nearest_m + 1e-9).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"T_base_camera": np.eye(3)}, "T_base_camera"),
        ({"T_base_camera": 2 * np.eye(4)}, "rotation"),
        ({"T_base_camera": np.diag([1.0, 1.0, -1.0, 1.0])}, "rotation"),
        ({"speed": -1.0}, "speed"),
        ({"speed": math.nan}, "speed"),
        ({"lookahead_m": 0.0}, "lookahead_m"),
        ({"sectors": 0}, "sectors"),
        ({"field_rad": 4.0}, "field_rad"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, named):
    good = {"T_base_camera": CAMERA, "speed": 0.5, "lookahead_m": 2.0, "sectors": 5, "field_rad": 1.0}
    with pytest.raises(ValueError, match=named):
        summarize(grid_of(room()), body=BODY, **(good | change))
    with pytest.raises(ValueError, match="Body"):
        Body(low_m=2.0, high_m=1.0)
