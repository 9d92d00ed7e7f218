"""Names of frames, and where a sensor is on the base."""

import doctest
import math

import numpy as np
import pytest

from rarrl import frames
from rarrl.errors import InputError
from rarrl.frames import Mount, base_frames, foreign, frames_of, matrix_of, quaternion_of
from rarrl.poses import pose_matrix

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(frames).failed == 0


@pytest.mark.parametrize(
    ("frame", "is_foreign"),
    [
        ("base_link", False),
        ("/base_link", False),
        ("base_footprint", False),
        ("", False),
        ("laser", True),
        ("Base_Link", True),
        ("base_link2", True),
        ("robot1/base_link", True),
        ("map", True),
    ],
)
def test_which_frames_are_the_bases(frame, is_foreign):
    assert foreign(frame, base_frames("base_link")) is is_foreign


def test_a_setting_names_several_frames():
    assert frames_of(" a,, /b ,c") == ("a", "b", "c") and frames_of("") == ()


@pytest.mark.parametrize("yaw", [0.0, math.pi / 2, math.pi, -2.0])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_matrix_becomes_a_mount(yaw, flipped):
    made = Mount.from_matrix(pose_matrix(0.2, -0.1, yaw) @ (FLIP if flipped else np.eye(4)))
    assert (made.x_m, made.y_m, made.flipped) == (pytest.approx(0.2), pytest.approx(-0.1), flipped)
    assert math.remainder(made.yaw_rad - yaw, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(made.matrix, pose_matrix(0.2, -0.1, yaw), atol=1e-9)


@pytest.mark.parametrize("tilt_deg", [10.0, 90.0, 170.0])
def test_a_tilted_sensor_has_no_place_in_the_plane(tilt_deg):
    c, s = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))
    T = np.eye(4)
    T[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    with pytest.raises(InputError, match="tilted by"):
        Mount.from_matrix(T)


def test_a_transform_of_no_use_is_refused():
    assert matrix_of((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))[:3, 3].tolist() == [1.0, 2.0, 3.0]
    for position, quaternion in (((math.nan, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)), ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))):
        with pytest.raises(ValueError, match="not finite, or its quaternion"):
            matrix_of(position, quaternion)


@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_and_its_quaternion_go_back_and_forth(seed):
    axis = np.random.default_rng(seed).normal(size=4)
    half_turns = [(1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.6, 0.8, 0.0)]
    for quaternion in (*half_turns, tuple(axis / np.linalg.norm(axis))):
        T = matrix_of((1.0, 2.0, 3.0), quaternion)
        np.testing.assert_allclose(matrix_of((1.0, 2.0, 3.0), quaternion_of(T)), T, atol=1e-9)
