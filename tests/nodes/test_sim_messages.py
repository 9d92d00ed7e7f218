"""The simulated robot's sensor data as messages: encodings, calibration, pose."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time

from rarrl.perception.rig import CameraRig
from rarrl_nodes.sim_messages import image_message, info_messages, odom_message, proprio_message
from rarrl_nodes.stereo_messages import image_of, rig_of
from rarrl_sim_envs.household.robot.proprioception import PROPRIO_NAMES

STAMP = Time(sec=3, nanosec=5)
RIG = CameraRig(fx=100.0, fy=110.0, cx=48.0, cy=32.0, baseline=0.12, doffs=1.5, width=96, height=64)


def test_an_image_keeps_its_pixels_also_where_the_array_is_a_view():
    picture = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    for view in (picture, picture[:, ::2], picture[..., ::-1]):
        msg = image_message(view, "bgr8", STAMP)
        assert (msg.height, msg.width, msg.step, msg.header.stamp) == (64, view.shape[1], 3 * view.shape[1], STAMP)
        assert np.array_equal(image_of(msg), view)


def test_the_encoding_says_what_the_channels_are():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    assert image_of(image_message(red, "rgb8", STAMP))[0, 0].tolist() == [0, 0, 255]  # the reader's order is BGR


def test_calibration_is_read_back_as_the_same_rig():
    left, right = info_messages(RIG, STAMP)
    assert left.header.frame_id == right.header.frame_id  # rectified: both are in the left camera's frame
    read = rig_of(left, right)
    for name in ("fx", "fy", "cx", "cy", "baseline", "doffs", "width", "height"):
        assert getattr(read, name) == pytest.approx(getattr(RIG, name)), name


@pytest.mark.parametrize("heading", [0.0, math.pi / 2, -2.5])
def test_odometry_holds_pose_and_velocity(heading):
    msg = odom_message((1.0, -2.0, heading), (0.3, -0.4), STAMP)
    q = msg.pose.pose.orientation
    assert (msg.pose.pose.position.x, msg.pose.pose.position.y) == (1.0, -2.0)
    assert 2 * math.atan2(q.z, q.w) == pytest.approx(heading)
    assert q.x == q.y == 0.0
    assert (msg.twist.twist.linear.x, msg.twist.twist.angular.z) == (0.3, -0.4)
    assert (msg.header.frame_id, msg.child_frame_id) == ("odom", "base_link")


def test_proprioception_is_named():
    values = np.linspace(-1, 1, len(PROPRIO_NAMES), dtype=np.float32)
    msg = proprio_message(values, STAMP)
    assert msg.name == list(PROPRIO_NAMES)
    assert list(msg.position) == pytest.approx(values.tolist())
