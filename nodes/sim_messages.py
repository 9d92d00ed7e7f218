"""What the simulated robot senses, as messages."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, JointState

from rarrl.perception.rig import CameraRig
from rarrl_sim_envs.household.robot.proprioception import PROPRIO_NAMES

LEFT_FRAME, BASE_FRAME, ODOM_FRAME = "left_eye", "base_link", "odom"


def image_message(picture: np.ndarray, encoding: str, stamp: Time, frame: str = LEFT_FRAME) -> Image:
    """(height, width, 3) uint8 as it is; encoding: bgr8 or rgb8."""
    height, width, _ = picture.shape
    msg = Image(height=height, width=width, encoding=encoding, step=3 * width)
    msg.header.stamp, msg.header.frame_id = stamp, frame
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(picture).data)
    msg.data = data
    return msg


def info_messages(rig: CameraRig, stamp: Time) -> tuple[CameraInfo, CameraInfo]:
    """Of the left and the right eye, whose pictures are rectified."""
    infos = []
    for shift, cx in ((0.0, rig.cx), (-rig.fx * rig.baseline, rig.cx + rig.doffs)):
        info = CameraInfo(width=rig.width, height=rig.height, distortion_model="plumb_bob", d=[0.0] * 5)
        info.header.stamp, info.header.frame_id = stamp, LEFT_FRAME
        info.k = [rig.fx, 0.0, cx, 0.0, rig.fy, rig.cy, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [rig.fx, 0.0, cx, shift, 0.0, rig.fy, rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        infos.append(info)
    return infos[0], infos[1]


def odom_message(pose: tuple[float, float, float], speed: tuple[float, float], stamp: Time) -> Odometry:
    """pose: x, y (m) and heading (rad) in the home's frame. speed: v (m/s) and omega (rad/s)."""
    msg = Odometry(child_frame_id=BASE_FRAME)
    msg.header.stamp, msg.header.frame_id = stamp, ODOM_FRAME
    msg.pose.pose.position.x, msg.pose.pose.position.y, heading = pose
    msg.pose.pose.orientation.z, msg.pose.pose.orientation.w = math.sin(heading / 2), math.cos(heading / 2)
    msg.twist.twist.linear.x, msg.twist.twist.angular.z = speed
    return msg


def proprio_message(values: np.ndarray, stamp: Time) -> JointState:
    """values: by `PROPRIO_NAMES`."""
    msg = JointState(name=list(PROPRIO_NAMES), position=values.astype(float).tolist())
    msg.header.stamp, msg.header.frame_id = stamp, BASE_FRAME
    return msg
