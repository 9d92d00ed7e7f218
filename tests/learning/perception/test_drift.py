"""A drifted picture is that of a camera that has really turned, and its obstacles are wrong by what geometry says."""

import math

import numpy as np
import pytest

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.voxels import PRESETS
from rarrl.types import StereoPair
from rarrl_learning.perception.drift import SECTORS, Turn, distance_error, drifted, least_error, obstacle_distances
from rarrl_learning.perception.synthetic import SynthConfig, render_pair


@pytest.fixture(scope="module")
def scene():
    return render_pair(3, 0, SynthConfig(640, 480, kinds=("indoor",), misrectification_px=0.0))


@pytest.mark.parametrize(
    ("turn", "column", "row"),
    [
        (Turn(pitch_deg=0.5), 0.0, -1.0),  # a camera that looks down sees things higher
        (Turn(yaw_deg=0.5), 1.0, 0.0),  # one that looks to the left sees them further right
        (Turn(rows_px=math.radians(0.5) * 1.0), 0.0, 1.0),
    ],
)
def test_what_is_in_the_middle_moves_by_the_angle_times_the_focal_length(scene, turn, column, row):
    rig = scene.rig
    spot = np.zeros((rig.height, rig.width), np.uint8)
    u, v = round(rig.cx), round(rig.cy)
    spot[v - 3 : v + 4, u - 3 : u + 4] = 255
    if turn.rows_px:
        turn = Turn(rows_px=turn.rows_px * rig.fy)
    seen = drifted(StereoPair(spot, spot), rig, turn).right.astype(float)
    at_v, at_u = (float((seen.sum(axis=1 - k) * np.arange(seen.shape[k])).sum() / seen.sum()) for k in (0, 1))
    px = math.radians(0.5) * rig.fx
    assert (at_u - u, at_v - v) == pytest.approx((column * px, row * px), abs=0.1)


def test_what_is_below_the_middle_moves_to_the_right_of_a_camera_that_rolls_clockwise(scene):
    rig = scene.rig
    spot = np.zeros((rig.height, rig.width), np.uint8)
    u, v = round(rig.cx), round(rig.cy) + 150
    spot[v - 3 : v + 4, u - 3 : u + 4] = 255
    seen = drifted(StereoPair(spot, spot), rig, Turn(roll_deg=1.0)).right.astype(float)
    at_u = float((seen.sum(axis=0) * np.arange(rig.width)).sum() / seen.sum())
    assert at_u - u == pytest.approx(150 * math.radians(1.0), abs=0.1)


def test_yaw_makes_distances_wrong_by_the_angle_times_the_distance_over_the_baseline(scene):
    detector = ClassicalDetector(scene.rig, PRESETS["indoor"])
    clean = obstacle_distances(detector, scene.pair)
    now = obstacle_distances(detector, drifted(scene.pair, scene.rig, Turn(yaw_deg=-0.2)))
    assert clean.shape == now.shape == (SECTORS,)
    expected = math.radians(0.2) * clean / scene.rig.baseline
    assert np.nanmedian((1 - now / clean) / expected) == pytest.approx(1.0, abs=0.5)
    assert 0.01 < distance_error(clean, now) < 0.05


def test_a_pair_that_is_refused_has_no_distances(scene):
    dark = StereoPair(scene.pair.left // 60, scene.pair.right // 60)
    assert obstacle_distances(ClassicalDetector(scene.rig, PRESETS["indoor"]), dark) is None


def test_distances_are_compared_where_both_are_known():
    assert distance_error(np.array([1.0, 2.0, math.nan]), np.array([1.1, math.nan, 1.0])) == pytest.approx(0.1)
    assert math.isnan(distance_error(np.array([math.nan]), np.array([1.0])))


def test_a_strip_with_two_surfaces_is_wrong_where_it_shows_neither():
    clean = [np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, math.nan])]
    assert least_error(clean, np.array([1.0, 3.0, 4.0])) == 0.0
    assert least_error(clean, np.array([1.2, 2.4, math.nan])) == pytest.approx(0.2)
    assert math.isnan(least_error(clean, np.full(3, math.nan)))
