"""Corners are found where they are, in columns and rows, to a fraction of a pixel."""

import numpy as np
import pytest

from rarrl.perception.corner_matches import MOST_ROWS, match_points
from rarrl_learning.perception.drift import Turn, drifted
from rarrl_learning.perception.synthetic import SynthConfig, render_pair


@pytest.fixture(scope="module")
def scene():
    return render_pair(3, 0, SynthConfig(640, 480, kinds=("indoor",), misrectification_px=0.0))


def test_they_lie_at_the_true_disparity_and_in_one_row(scene):
    corners, found = match_points(scene.pair.left, scene.pair.right, scene.rig)
    assert len(corners) == len(found) > 100 and corners.dtype == found.dtype == np.float32
    truth = scene.disparity[corners[:, 1].astype(int), corners[:, 0].astype(int)]
    error = (corners - found)[:, 0] - truth
    assert np.nanmedian(np.abs(error)) < 0.5 and np.median(np.abs(corners - found)[:, 1]) < 0.2


@pytest.mark.parametrize("rows", [0.25, 3.0, -12.0, 20.0])
def test_rows_that_are_off_are_followed(scene, rows):
    off = drifted(scene.pair, scene.rig, Turn(rows_px=rows))
    corners, found = match_points(off.left, off.right, scene.rig)
    assert len(corners) > 75 and np.median((found - corners)[:, 1]) == pytest.approx(rows, abs=0.1)


def test_of_other_pictures_few_match(scene):
    other = render_pair(4, 0, SynthConfig(640, 480, kinds=("indoor",))).pair.right
    corners, found = match_points(scene.pair.left, other, scene.rig)
    assert len(corners) < 75 and np.abs(found - corners)[:, 1].max(initial=0.0) < 16 + MOST_ROWS


def test_a_bare_picture_has_none(scene):
    bare = np.full((480, 640), 128, np.uint8)
    assert match_points(bare, bare, scene.rig)[0].shape == (0, 2)
