"""What the robot's map and memory tell of the sub-goal that is on: the proprioception of the household's policy.

A robot that works in a home has a map of its furniture, knows where it is on it, and remembers where things lay. Out of
these come three kinds of numbers, all in the base frame (x ahead, y left, metres): two points on the way, where to
stand, and what is to be used. The map knows neither people nor shut doors, and memory may be wrong: that the
policy must see.
"""

from __future__ import annotations

import math

import numpy as np

from ..executor import Memory
from ..expert import Pose, find_path, find_target
from ..world import Row, World, wrap

CAMERA = "head"
IMAGE_SIZE = 64  # the left eye's picture, squashed
ACTION_NAMES = ("linear_x_m_s", "angular_z_rad_s", "interact")
PROPRIO_NAMES = (
    "route_x_m",
    "route_y_m",
    "ahead_x_m",
    "ahead_y_m",
    "stand_x_m",
    "stand_y_m",
    "stand_cos",
    "stand_sin",
    "target_x_m",
    "target_y_m",
    "speed_m_s",
    "turning_rad_s",
    "holds",
    "busy",
)
ROUTE_M, AHEAD_M = 0.4, 1.0  # along the way, from the base
LIMIT_M = 2.0  # what is further is told as so far, in its direction
ASTRAY_M = 0.5  # from the way: it is planned anew
PATIENT_STEPS, MOVED_M = 25, 0.1  # who did not move by so much in so many steps tries a way around people


class MapProprioception:
    """Keeps the way to the sub-goal's place; `reset` it between missions."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the way."""
        self._goal: Pose | None = None
        self._path = np.zeros((0, 2))
        self._since, self._at = 0, (math.inf, math.inf)

    def knows(self, world: World, memory: Memory, row: Row) -> bool:
        """Whether the robot has any idea where to go for a sub-goal."""
        return find_target(world, row, memory) is not None

    def proprio(self, world: World, memory: Memory, row: Row | None) -> np.ndarray:
        """(14,) float32, named by PROPRIO_NAMES; for None, or where nothing is known, the place where the base is."""
        found = find_target(world, row, memory) if row is not None else None
        own = (world.v, world.omega, world.held >= 0, world.busy)
        if found is None:
            return np.array([0, 0, 0, 0, 0, 0, 1, 0, 0, 0, *own], np.float32)
        goal, target = found
        self._follow(world, goal)
        points = (self._ahead(world, ROUTE_M), self._ahead(world, AHEAD_M), goal[:2], target)
        route, ahead, stand, use = (_seen_from(world, *point) for point in points)
        turn = wrap(goal[2] - world.heading)
        return np.array([*route, *ahead, *stand, math.cos(turn), math.sin(turn), *use, *own], np.float32)

    def _follow(self, world: World, goal: Pose) -> None:
        here = (world.x, world.y)
        if self._goal is None or math.dist(self._goal[:2], goal[:2]) > 0.02:
            self._plan(world, goal)
        elif world.busy or math.dist(here, self._at) > MOVED_M or math.dist(here, goal[:2]) < 0.3:
            self._since, self._at = world.steps, here
            if len(self._path) and np.hypot(*(self._path - here).T).min() > ASTRAY_M:
                self._plan(world, goal)
        elif world.steps - self._since > PATIENT_STEPS:
            self._plan(world, goal, around_people=True)

    def _plan(self, world: World, goal: Pose, around_people: bool = False) -> None:
        path = find_path(world, goal, around_people)
        self._path = path if len(path) else find_path(world, goal)
        self._goal, self._since, self._at = goal, world.steps, (world.x, world.y)

    def _ahead(self, world: World, distance: float) -> tuple[float, float]:
        """The point of the way so far ahead, or its end."""
        if not len(self._path):
            return self._goal[:2] if self._goal else (world.x, world.y)
        gaps = np.hypot(self._path[:, 0] - world.x, self._path[:, 1] - world.y)
        nearest = int(gaps.argmin())
        beyond = np.flatnonzero(gaps[nearest:] >= distance)
        x, y = self._path[nearest + int(beyond[0]) if len(beyond) else len(self._path) - 1]
        return float(x), float(y)


def _seen_from(world: World, x: float, y: float) -> tuple[float, float]:
    """A point in the base frame, at most LIMIT_M away."""
    far = math.hypot(x - world.x, y - world.y)
    bearing, near = world.bearing(x, y), min(far, LIMIT_M)
    return near * math.cos(bearing), near * math.sin(bearing)


def picture(left: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8 RGB of the left eye's picture (height, width, 3) BGR."""
    import cv2

    small = cv2.resize(left, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1])
