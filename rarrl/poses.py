"""Poses of the robot in time, and the same in the plane."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

MAX_POSES = 200
"""Poses that are kept: four seconds of odometry at 50 Hz, longer than any image or scan is on its way."""
MAX_POSE_AGE_S = 0.1
"""Seconds. A pose further from an image in time does not say where it was taken: at 0.5 m/s that is one voxel."""


class PoseBuffer:
    """Where the robot was when an image was taken, from poses that come at other times.

    >>> poses = PoseBuffer()
    >>> poses.add(1.0, np.eye(4))
    >>> poses.at(1.3) is None
    True
    """

    def __init__(self) -> None:
        self._poses: deque[tuple[float, np.ndarray]] = deque(maxlen=MAX_POSES)

    def add(self, stamp_s: float, T: np.ndarray) -> None:
        """A (4, 4) rigid pose at a time; one that is not later than the last replaces all (a clock was set back)."""
        if self._poses and stamp_s <= self._poses[-1][0]:
            self._poses.clear()
        self._poses.append((stamp_s, T))

    def at(self, stamp_s: float) -> np.ndarray | None:
        """The pose between its two neighbours, or the only near one; None where none is within MAX_POSE_AGE_S."""
        near = [(t, T) for t, T in self._poses if abs(t - stamp_s) <= MAX_POSE_AGE_S]
        before = next(((t, T) for t, T in reversed(near) if t <= stamp_s), None)
        after = next(((t, T) for t, T in near if t > stamp_s), None)
        if before is None or after is None:
            found = before or after
            return None if found is None else found[1]
        share = (stamp_s - before[0]) / (after[0] - before[0])
        T = (1 - share) * before[1] + share * after[1]
        u, _, vt = np.linalg.svd(T[:3, :3])  # back to a rotation; the two are close
        T[:3, :3] = u @ vt
        return T


def pose_matrix(x: float, y: float, yaw: float) -> np.ndarray:
    """(4, 4): takes points of the robot's frame to the frame of the odometry. x, y: metres; yaw: rad.

    >>> (pose_matrix(1.0, 2.0, math.pi / 2) @ [1, 0, 0, 1]).round(6).tolist()
    [1.0, 3.0, 0.0, 1.0]
    """
    cosine = math.cos(yaw)
    sine = math.sin(yaw)

    T = np.eye(4)
    T[:2, :2] = [[cosine, -sine], [sine, cosine]]
    T[:2, 3] = x, y
    return T


def yaw_of(T: np.ndarray) -> float:
    """Rad, -pi to pi: where the x axis of a (4, 4) pose points, seen from above."""
    return math.atan2(T[1, 0], T[0, 0])
