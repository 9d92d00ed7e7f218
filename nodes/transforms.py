"""Where frames are to one another, by TF. tf2_ros comes with a ROS installation, and not from PyPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rarrl.errors import InputError
from rarrl.frames import matrix_of, plain

if TYPE_CHECKING:
    from rclpy.node import Node


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
        from rclpy.time import Time

        try:
            transform = self._buffer.lookup_transform(plain(target), plain(source), Time()).transform
        except self._unknown as error:
            raise InputError(
                f"TF does not know {source[:60]!r} on {target!r}: {' '.join(str(error).split())[:150]}"
            ) from None
        t, q = transform.translation, transform.rotation
        try:
            return matrix_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
        except ValueError as error:
            raise InputError(f"TF from {source[:60]!r} to {target!r}: {error}") from None
