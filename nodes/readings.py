"""What sensor and command messages say, as plain values. Needs no ROS: a bag's messages have the same fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rarrl.frames import matrix_of
from rarrl.range_scan import RangeScan
from rarrl.safety.gate import planar

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import TwistStamped
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import LaserScan


def nanoseconds(stamp: Time) -> int:
    """A stamp as one number."""
    return int(stamp.sec * 10**9 + stamp.nanosec)


def seconds(stamp: Time) -> float:
    """A stamp in seconds; of today's dates exact to a quarter of a microsecond."""
    return nanoseconds(stamp) / 1e9


def speeds_of(msg: TwistStamped) -> tuple[float, float, str]:
    """(v, omega) of a base's command, and why it cannot be meant for this base, "" if it can."""
    linear = msg.twist.linear
    angular = msg.twist.angular
    return planar((linear.x, linear.y, linear.z), (angular.x, angular.y, angular.z))


def range_scan_of(msg: LaserScan) -> RangeScan:
    """The scan that a message holds. Raises: ValueError, one line, where its numbers make no scan."""
    ranges = np.asarray(msg.ranges, dtype=np.float32)  # as the message has them
    return RangeScan.from_readings(
        msg.angle_min, msg.angle_max, msg.angle_increment, ranges, msg.range_min, msg.range_max
    )


def pose_of(msg: Odometry) -> np.ndarray:
    """(4, 4): takes points of the robot's frame to the frame of the odometry.

    Raises: ValueError for a pose that is not finite or not a rotation."""
    p = msg.pose.pose.position
    q = msg.pose.pose.orientation
    try:
        return matrix_of((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
    except ValueError as error:
        raise ValueError(f"odometry: {error}") from None
