"""The rivals do what their users expect of them."""

import doctest

import numpy as np
import pytest

from rarrl.perception import opencv_matchers
from rarrl.perception.opencv_matchers import RIVALS, CountDetector, Matcher, colour, disparity_range, gray
from rarrl.perception.voxels import PRESETS, truth_voxels
from rarrl.types import StereoPair, VoxelState


def test_disparity_range_grows_with_the_image():
    assert [disparity_range(w) for w in (880, 741, 463, 64)] == [192, 160, 96, 16]


def shifted_pair(shift: int) -> StereoPair:
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 255, (96, 256 + shift, 3), dtype=np.uint8)
    return StereoPair(np.ascontiguousarray(wide[:, :256]), np.ascontiguousarray(wide[:, shift:]))


@pytest.mark.parametrize("kind", RIVALS)
def test_a_shifted_image_has_that_disparity(kind):
    found = Matcher(kind, 64).disparity(shifted_pair(12))
    assert found.dtype == np.float32 and found.shape == (96, 256)
    inner = found[20:-20, 90:-20]
    assert np.nanmedian(inner) == pytest.approx(12.0, abs=0.26)
    assert np.mean(~np.isnan(inner)) > 0.9


@pytest.mark.parametrize("kind", RIVALS)
def test_with_doffs_disparities_below_zero_are_found_too(kind):
    pair = shifted_pair(12)
    found = Matcher(kind, 64, start=-32).disparity(StereoPair(pair.right, pair.left))
    assert np.nanmedian(found[20:-20, 90:-60]) == pytest.approx(-12.0, abs=0.26)


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(opencv_matchers).failed == 0


@pytest.mark.parametrize("kind", ["colour", "gray", "bm"])
def test_padding_shows_the_left_border(kind):
    found = Matcher(kind, 64).disparity(shifted_pair(12))
    assert np.mean(np.abs(found[20:-20, 20:60] - 12) < 1) > 0.8  # unpadded, OpenCV leaves 64 columns empty


def test_counts_only_take_voxels_away(indoor_pair):
    spec = PRESETS["indoor"]
    few, many = (CountDetector("gray", indoor_pair.rig, spec, n) for n in (1, 8))
    one, eight = few.detect(indoor_pair.pair), many.detect(indoor_pair.pair)
    assert (one.occupied | ~eight.occupied).all()
    assert one.occupied.sum() > eight.occupied.sum() > 0
    np.testing.assert_array_equal(one.occupied, few.occupied(indoor_pair.pair))
    assert one.stamp_s == indoor_pair.pair.stamp_s and one.frame == indoor_pair.rig.frame
    assert set(np.unique(one.state)) == {VoxelState.UNKNOWN, VoxelState.FREE, VoxelState.OCCUPIED}
    with pytest.raises(ValueError, match="min_points"):
        CountDetector("gray", indoor_pair.rig, spec, 0)


def test_free_voxels_are_free(indoor_pair):
    detector = CountDetector("gray", indoor_pair.rig, PRESETS["indoor"], 5)
    grid = detector.detect(indoor_pair.pair)
    truth = truth_voxels(detector.voxelizer, indoor_pair.disparity)
    assert np.mean(truth.occupied[grid.free]) < 0.02


def test_gray_and_colour_accept_both():
    grey = np.zeros((64, 64), np.uint8)
    assert colour(grey).shape == (64, 64, 3) and gray(colour(grey)).shape == (64, 64)


def test_another_size_is_refused(indoor_pair, rig):
    with pytest.raises(ValueError, match="96 x 128"):
        CountDetector("bm", rig, PRESETS["indoor"]).detect(indoor_pair.pair)
