"""Names of coordinate frames: which of them belong to the robot's base, and where a sensor is mounted on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rarrl.errors import InputError
from rarrl.poses import pose_matrix, yaw_of

MAX_TILT_RAD = math.radians(5)
"""Radians by which a planar sensor may be tilted: at 3 m its beams are 0.26 m too high or too low then."""
BASES = ("base_link", "base_footprint")
"""Names of the base's frame in REP 105 and REP 120. Seen from above both are at one place."""


def plain(frame: str) -> str:
    """A frame's name as tf2 has it: ROS 1 began names with a slash.

    >>> plain("/base_link")
    'base_link'
    """
    return frame.removeprefix("/")


def frames_of(text: str) -> tuple[str, ...]:
    """The names in a setting, separated by commas.

    >>> frames_of("base_link, /base_scan")
    ('base_link', 'base_scan')
    """
    return tuple(plain(name.strip()) for name in text.split(",") if name.strip())


def base_frames(base: str) -> tuple[str, ...]:
    """Frames that are the base's, seen from above.

    >>> base_frames("robot1/base_link")
    ('robot1/base_link', 'robot1/base_footprint')
    """
    base = plain(base)
    prefix, slash, _ = base.rpartition("/")
    return tuple(dict.fromkeys((base, *(f"{prefix}{slash}{name}" for name in BASES))))


def foreign(frame: str, known: Iterable[str]) -> bool:
    """Whether a message names a frame that is none of `known`. One without a name is not foreign."""
    return bool(frame) and plain(frame) not in known


@dataclass(frozen=True)
class Mount:
    """Where a planar sensor is on the base. x_m ahead of its axis of rotation, y_m to its left; yaw_rad: where the
    sensor's x axis points, left is positive. flipped: it is mounted upside down, so its z axis points down."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0
    flipped: bool = False

    @classmethod
    def from_matrix(cls, T_base_sensor: np.ndarray) -> Mount:
        """Of a (4, 4) matrix that takes points of the sensor's frame to the base's.

        Raises: InputError where the sensor's plane is not level: its beams would not stay at one height."""
        up = float(np.clip(T_base_sensor[2, 2], -1.0, 1.0))
        tilt = math.acos(abs(up))
        if not tilt <= MAX_TILT_RAD:
            raise InputError(
                f"the sensor is tilted by {math.degrees(tilt):.0f} degrees; a planar scan needs at most "
                f"{math.degrees(MAX_TILT_RAD):.0f}"
            )
        return cls(float(T_base_sensor[0, 3]), float(T_base_sensor[1, 3]), yaw_of(T_base_sensor), up < 0)

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4): takes points of the level, upright frame at the sensor to the base's."""
        return pose_matrix(self.x_m, self.y_m, self.yaw_rad)


def matrix_of(position: tuple[float, float, float], quaternion: tuple[float, float, float, float]) -> np.ndarray:
    """(4, 4) of a position, metres, and a quaternion (x, y, z, w).

    Raises: ValueError where one of them is not finite, or the quaternion's length is not 1."""
    norm = float(np.linalg.norm(quaternion))
    if not (np.isfinite(position).all() and abs(norm - 1) < 1e-2):
        raise ValueError("the pose is not finite, or its quaternion not of length 1")

    x, y, z, w = np.array(quaternion) / norm
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = position
    return T


def quaternion_of(T: np.ndarray) -> tuple[float, float, float, float]:
    """(x, y, z, w) of the rotation in a (4, 4) rigid transform, w at least 0.

    The eigenvector that fits best (Bar-Itzhack 2000): unlike the usual formulas it has no special cases."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = T[:3, :3]
    K = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(K)[1][:, -1] * 1.0
    sign = -1.0 if w < 0 else 1.0
    return float(sign * x), float(sign * y), float(sign * z), float(sign * w)
