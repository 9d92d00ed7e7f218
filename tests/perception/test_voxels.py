"""Voxels: where points go, what is seen through, what stays unknown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import (
    PRESETS,
    GridSpec,
    Voters,
    Voxelizer,
    coarsen,
    grid_spec,
    pool,
    pyramid,
    truth_voxels,
)
from rarrl.types import VoxelGrid, VoxelState

SPEC = GridSpec.cube(3.2, 0.1)  # x and y -1.6..1.6, z 0..3.2; 32 voxels a side
RIG = CameraRig(fx=100.0, fy=100.0, cx=64.0, cy=48.0, baseline=0.2, width=128, height=96)


def empty_disparity() -> np.ndarray:
    return np.full((96, 128), np.nan, dtype=np.float32)


def test_presets_are_the_published_cubes():
    # StereoVoxelNet (arXiv 2209.08459): x +-16, y -31..1, z 0..32 m of 0.5 m voxels
    assert PRESETS["outdoor"] == GridSpec((-16.0, -31.0, 0.0), 0.5, 64)
    assert PRESETS["indoor"] == GridSpec((-3.2, -3.2, 0.0), 0.1, 64)
    with pytest.raises(InputError, match="allowed: outdoor, indoor"):
        grid_spec("space")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: GridSpec((0.0, 0.0, 0.0), 0.0), "voxel_size"),
        (lambda: GridSpec((0.0, float("nan"), 0.0), 0.1), "origin"),
        (lambda: GridSpec((0.0, 0.0, 0.0), 0.1, 60), "size"),
        (lambda: GridSpec((0.0, 0.0, 0.0), 0.1, 136), "size"),
        (lambda: GridSpec((0.0, 0.0, -64.0), 0.1), "behind"),
        (lambda: GridSpec.cube(3.25, 0.1), "whole number"),
    ],
)
def test_impossible_cubes_are_refused_by_name(make, named):
    with pytest.raises(InputError, match=named):
        make()


def test_a_pixel_hits_its_voxel():
    disparity = empty_disparity()
    disparity[48 + 10, 64 + 50] = 20 / 1.05  # z 1.05, x 0.525, y 0.105
    hits = Voxelizer(RIG, SPEC).hits(disparity)
    assert hits.sum() == 1
    assert hits[21, 17, 10] == 1


def test_pixels_beside_beyond_and_behind_the_cube_hit_nothing():
    disparity = empty_disparity()
    disparity[0, :] = 20 / 3.3  # beyond z 3.2
    disparity[1, :] = 0.0
    disparity[2, :] = -5.0
    assert Voxelizer(RIG, GridSpec((5.0, 5.0, 0.0), 0.1, 32)).hits(np.full((96, 128), 10.0, np.float32)).sum() == 0
    assert Voxelizer(RIG, SPEC).hits(disparity).sum() == 0


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), doffs=st.floats(-5, 30))
def test_voxel_round_trip(seed, doffs):
    """The centre of the voxel that a pixel hits lies within half a voxel of the pixel's point."""
    rig = CameraRig(fx=100.0, fy=100.0, cx=64.0, cy=48.0, baseline=0.2, width=128, height=96, doffs=doffs)
    rng = np.random.default_rng(seed)
    disparity = empty_disparity()
    disparity[rng.integers(0, 96), rng.integers(0, 128)] = rng.uniform(7, 60) - doffs
    voxelizer = Voxelizer(rig, SPEC)
    hit = voxelizer.hits(disparity) > 0
    point = rig.points(disparity)[0]
    if not hit.any():
        assert (np.abs(point[:2]) >= 1.6 - 1e-5).any()
        return
    grid = voxelizer.grid(np.where(hit, 2, 0).astype(np.uint8), np.full(hit.shape, 0.5, np.float32), 0.0)
    np.testing.assert_allclose(grid.centres(grid.occupied), [point], atol=0.05 + 1e-5)


def test_votes_are_weighted_hits():
    disparity = np.full((96, 128), 10.0, np.float32)
    voxelizer = Voxelizer(RIG, SPEC)
    np.testing.assert_allclose(
        voxelizer.votes(Voters(disparity, np.full(disparity.shape, 0.25))), 0.25 * voxelizer.hits(disparity)
    )


def test_votes_of_every_fourth_pixel_are_those_of_the_pixels_themselves():
    voxelizer, sparse = Voxelizer(RIG, SPEC), empty_disparity()
    given = np.random.default_rng(0).uniform(7, 60, (24, 32)).astype(np.float32)
    sparse[2::4, 2::4] = given
    np.testing.assert_array_equal(voxelizer.votes(Voters(given, np.ones_like(given), (4, 4))), voxelizer.hits(sparse))


def test_certainty_falls_with_distance():
    voxelizer = Voxelizer(RIG, SPEC)
    certain = voxelizer.certainty(np.array([40.0, 20.0, 10.0, 7.0], np.float32), np.float32(0.25))
    assert (np.diff(certain) < 0).all() and certain[0] == pytest.approx(1.0, abs=0.01)
    # at 2 m, half a voxel is 0.05 m = 0.25 px = one sigma: 68 %
    assert certain[2] == pytest.approx(0.68, abs=0.03)
    assert voxelizer.certainty(np.array([np.nan], np.float32), np.float32(0.25)) == 0.0


def test_a_wall_is_seen_through_up_to_itself_and_no_farther():
    wall = np.full((96, 128), 20 / 2.05, np.float32)  # in slab 20
    share = Voxelizer(RIG, SPEC).seen_through(wall)
    axis = share[16, 16]
    assert (axis[3:20] == 1.0).all()
    assert (axis[20:] == 0.0).all()
    assert (share[0, :, 5] == 0).all()  # x -1.55 at z 0.55: outside the image


def test_slabs_are_passed_over_only_where_nothing_changes():
    """Carving stops behind the last surface and keeps one table before the first: as if every slab were worked out."""
    disparity = np.full((96, 128), np.nan, np.float32)
    disparity[:, :50], disparity[40:, 50:] = 20 / 1.05, 20 / 2.55  # slabs 10 and 25
    together = Voxelizer(RIG, SPEC).seen_through(disparity)
    apart = [np.full((96, 128), np.nan, np.float32) for _ in range(2)]
    apart[0][:, :50], apart[1][40:, 50:] = disparity[:, :50], disparity[40:, 50:]
    # blocks 12 x 4 = 48 and 52 wide: column 50 lies in a block with both, which counts as near
    apart[1][40:, 50:52] = 20 / 1.05
    parts = [Voxelizer(RIG, SPEC).seen_through(a) for a in apart]
    np.testing.assert_allclose(together, parts[0] + parts[1], atol=1e-6)
    assert together[..., 5].any() and together[..., 20].any() and not together[..., 25:].any()


def test_nothing_seen_is_not_free():
    assert not Voxelizer(RIG, SPEC).seen_through(empty_disparity()).any()


def test_one_near_pixel_closes_its_block():
    disparity = np.full((96, 128), 20 / 3.0, np.float32)
    near = disparity.copy()
    near[49, 65] = 20 / 1.0
    before, after = (Voxelizer(RIG, SPEC).seen_through(d)[16, 16] for d in (disparity, near))
    assert after[25] < before[25] == 1.0
    assert after[5] == 1.0  # in front of the near pixel both rays pass


def test_footprints_hold_the_pixels():
    seen = np.zeros((96, 128), dtype=bool)
    seen[58, 114] = True
    held = Voxelizer(RIG, SPEC).footprints(seen)
    assert held[21, 17, 10]  # the pixel's ray passes x 0.525, y 0.105 at z 1.05
    assert not held[10, 17, 10]
    # one pixel is one ray: at most one voxel per slab but for those whose footprints end on the pixel
    assert held.sum(axis=(0, 1)).max() == 1


def test_truth_is_what_the_pixels_hit():
    disparity = np.full((96, 128), np.nan, np.float32)
    disparity[:, :64] = 20 / 2.05
    truth = truth_voxels(Voxelizer(RIG, SPEC), disparity)
    assert truth.occupied[:, :, 20].any() and not truth.occupied[17:].any()
    assert not truth.observed[17:].any()  # the right half has no truth
    assert (truth.observed | ~truth.occupied).all()


def make_grid(state: np.ndarray) -> VoxelGrid:
    probability = np.select([state == 2, state == 1], [0.9, 0.1], 0.5).astype(np.float32)
    return VoxelGrid(state, probability, (0.0, 0.0, 0.0), 0.1, "cam", 1.5)


def test_coarse_levels():
    state = np.ones((64, 64, 64), dtype=np.uint8)
    state[0, 0, 0] = VoxelState.OCCUPIED
    state[63, 63, 63] = VoxelState.UNKNOWN
    levels = pyramid(make_grid(state))
    assert [level.state.shape[0] for level in levels] == [8, 16, 32, 64]
    coarse = levels[0]
    assert coarse.voxel_size == pytest.approx(0.8)
    assert coarse.state[0, 0, 0] == VoxelState.OCCUPIED
    assert coarse.state[7, 7, 7] == VoxelState.UNKNOWN  # never free by omission
    assert np.count_nonzero(coarse.state == VoxelState.FREE) == 8**3 - 2
    assert coarse.probability[0, 0, 0] == np.float32(0.9)
    assert (coarse.frame, coarse.stamp_s) == ("cam", 1.5)


@given(seed=st.integers(0, 100))
def test_pooling_keeps_every_obstacle(seed):
    state = np.random.default_rng(seed).integers(0, 3, (8, 8, 8)).astype(np.uint8)
    coarse = coarsen(make_grid(state), 2)
    for i, j, k in np.argwhere(state == VoxelState.OCCUPIED):
        assert coarse.state[i // 2, j // 2, k // 2] == VoxelState.OCCUPIED
    with pytest.raises(ValueError, match="factor"):
        pool(state, 3)


def test_holes_do_not_count_as_near_where_disparities_are_negative():
    rig = CameraRig(fx=100.0, fy=100.0, cx=64.0, cy=48.0, baseline=0.2, width=128, height=96, doffs=30.0)
    wall = np.full((96, 128), 20 / 2.05 - 30.0, np.float32)  # about -20 px
    wall[::4, ::4] = np.nan
    share = Voxelizer(rig, SPEC).seen_through(wall)[16, 16]
    np.testing.assert_allclose(share[3:20], 15 / 16)
    assert not share[20:].any()
