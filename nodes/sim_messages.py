"""The simulated robot's sensor data as messages."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, JointState

from rarrl.perception.camera_input import camera_pose
from rarrl.perception.rig import CameraRig
from rarrl.poses import pose_matrix
from rarrl_sim_envs.household.robot.proprioception import PROPRIO_NAMES
from rarrl_sim_envs.household.scene import BASELINE_M, PITCH_RAD
from rarrl_sim_envs.household.world import HEAD_M

LEFT_FRAME = "left_eye"  # optical frame of the left camera, which both stereo images are rectified into
BASE_FRAME = "base_link"
ODOM_FRAME = "odom"

T_BASE_CAMERA = pose_matrix(0.0, BASELINE_M / 2, 0.0) @ camera_pose(HEAD_M, PITCH_RAD)
"""(4, 4): takes points of the left camera's optical frame to the base's. The base lies between the two cameras."""


def image_message(picture: np.ndarray, encoding: str, stamp: Time, frame: str = LEFT_FRAME) -> Image:
    """An image message.

    Args:
        picture: (height, width, 3) uint8.
        encoding: what its channels are, bgr8 or rgb8.
    """
    height, width, _ = picture.shape
    msg = Image(height=height, width=width, encoding=encoding, step=3 * width)
    msg.header.stamp = stamp
    msg.header.frame_id = frame

    # rclpy takes an array as it is; it would check any other sequence element by element, which is slow for an image.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(picture).data)
    msg.data = data
    return msg


def info_messages(rig: CameraRig, stamp: Time) -> tuple[CameraInfo, CameraInfo]:
    """Calibration of the left and the right camera, whose images are rectified."""
    infos = []
    for shift, cx in ((0.0, rig.cx), (-rig.fx * rig.baseline, rig.cx + rig.doffs)):
        info = CameraInfo(width=rig.width, height=rig.height, distortion_model="plumb_bob", d=[0.0] * 5)
        info.header.stamp = stamp
        info.header.frame_id = LEFT_FRAME
        info.k = [rig.fx, 0.0, cx, 0.0, rig.fy, rig.cy, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [rig.fx, 0.0, cx, shift, 0.0, rig.fy, rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        infos.append(info)

    return infos[0], infos[1]


def odom_message(pose: tuple[float, float, float], speed: tuple[float, float], stamp: Time) -> Odometry:
    """Odometry of the base.

    Args:
        pose: x, y (m) and heading (rad) in the frame of the home, which is published as ODOM_FRAME.
        speed: v (m/s) and omega (rad/s) in the frame of the base.
    """
    x, y, heading = pose
    v, omega = speed

    msg = Odometry(child_frame_id=BASE_FRAME)
    msg.header.stamp = stamp
    msg.header.frame_id = ODOM_FRAME
    msg.pose.pose.position.x = x
    msg.pose.pose.position.y = y
    msg.pose.pose.orientation.z = math.sin(heading / 2)
    msg.pose.pose.orientation.w = math.cos(heading / 2)
    msg.twist.twist.linear.x = v
    msg.twist.twist.angular.z = omega
    return msg


def proprio_message(values: np.ndarray, stamp: Time) -> JointState:
    """The policy's proprioception as joint positions.

    Args:
        values: in the order of `PROPRIO_NAMES`.
    """
    msg = JointState(name=list(PROPRIO_NAMES), position=values.astype(float).tolist())
    msg.header.stamp = stamp
    msg.header.frame_id = BASE_FRAME
    return msg
