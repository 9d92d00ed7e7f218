"""Where frames are to one another, by TF. tf2_ros comes with a ROS installation, and not from PyPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy.time
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped

from rarrl.errors import InputError
from rarrl.frames import matrix_of, plain, quaternion_of

if TYPE_CHECKING:
    from rclpy.node import Node

    from .lifecycle import RarrlNode

TF_DEPTH = 100
"""Messages of /tf that are kept for a slow reader, as tf2_ros does."""


class Transforms:
    """Listens to /tf and /tf_static for a node, which ends that when it is unloaded.

    Args:
        setting: the parameter that asks for TF, named where TF is not to be had

    Raises: InputError where tf2_ros is not installed."""

    def __init__(self, node: Node, setting: str) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise InputError(
                f"config: {setting}: tf2_ros cannot be loaded ({error}): install ros-$ROS_DISTRO-tf2-ros-py and source "
                "the ROS installation, or set this to false and give the sensor's place as settings"
            ) from None
        self._buffer: Any = tf2_ros.Buffer()
        self._listener: Any = tf2_ros.TransformListener(self._buffer, node)
        self._unknown = tf2_ros.TransformException

    def matrix(self, target: str, source: str) -> np.ndarray:
        """(4, 4): takes points of the frame `source` to `target`, as TF last knew it.

        Raises: InputError, one line, where TF does not know it."""
        try:
            newest = rclpy.time.Time()
            transform = self._buffer.lookup_transform(plain(target), plain(source), newest).transform
        except self._unknown as error:
            raise InputError(
                f"TF does not know {source[:60]!r} on {target!r}: {' '.join(str(error).split())[:150]}"
            ) from None
        t, q = transform.translation, transform.rotation
        try:
            return matrix_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
        except ValueError as error:
            raise InputError(f"TF from {source[:60]!r} to {target!r}: {error}") from None


class TransformSender:
    """Publishes transforms on /tf and /tf_static; does nothing where tf2_msgs is not installed.

    Viewers such as rviz and Foxglove, and Nav2, need them to place scans and voxels."""

    def __init__(self, node: RarrlNode) -> None:
        from .lifecycle import LATCHED

        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            node.get_logger().info("tf2_msgs is not installed: no transforms are published")
            return
        self._kind = TFMessage
        self._moving = node.create_publisher(TFMessage, "/tf", TF_DEPTH)
        self._fixed = node.create_publisher(TFMessage, "/tf_static", LATCHED)

    def send(self, transform: TransformStamped, fixed: bool = False) -> None:
        """fixed: it never changes, and whoever comes later gets it too."""
        if hasattr(self, "_kind"):
            (self._fixed if fixed else self._moving).publish(self._kind(transforms=[transform]))


def transform_message(parent: str, child: str, T: np.ndarray, stamp: Time) -> TransformStamped:
    """Where `child` is in `parent`; T: (4, 4), takes points of the child's frame to the parent's."""
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id = parent
    msg.header.stamp = stamp
    t, q = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = map(float, T[:3, 3])
    q.x, q.y, q.z, q.w = quaternion_of(T)
    return msg
