"""Where the robot was when something was seen."""

import doctest
import math

import numpy as np
import pytest

from rarrl import poses as module
from rarrl.poses import PoseBuffer, pose_matrix, yaw_of


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(module).failed == 0


def pose(x, yaw=0.0):
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[0, 3] = x
    return T


def test_a_pose_between_two_is_interpolated_and_a_far_one_is_none():
    poses = PoseBuffer()
    assert poses.at(0.0) is None
    poses.add(10.0, pose(1.0, 0.0))
    poses.add(10.1, pose(1.2, 0.2))
    np.testing.assert_allclose(poses.at(10.05), pose(1.1, 0.1), atol=1e-9)
    np.testing.assert_allclose(poses.at(10.0), pose(1.0), atol=1e-9)
    np.testing.assert_array_equal(poses.at(10.15), pose(1.2, 0.2))  # nothing later yet: the last one
    assert poses.at(10.25) is None and poses.at(9.8) is None


def test_poses_of_before_are_forgotten_where_the_clock_was_set_back():
    poses = PoseBuffer()
    poses.add(10.0, pose(1.0))
    poses.add(3.0, pose(7.0))
    assert poses.at(10.0) is None
    np.testing.assert_array_equal(poses.at(3.0), pose(7.0))


@pytest.mark.parametrize("yaw", [0.0, 0.5, -3.0, 7.0])
def test_a_pose_in_the_plane_there_and_back(yaw):
    T = pose_matrix(1.0, -2.0, yaw)
    assert T[:2, 3].tolist() == [1.0, -2.0] and np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3))
    assert yaw_of(T) == pytest.approx(math.remainder(yaw, 2 * math.pi))
