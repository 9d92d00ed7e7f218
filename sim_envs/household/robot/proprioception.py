"""What the robot's map and memory say about the current sub-goal: the proprioception of the household's policy.

A robot that works in a home has a map of its furniture, knows its own pose on it, and remembers where things lay. Three
kinds of numbers come from these, all in the base frame (x ahead, y left, metres): two points on the path, the pose to
stand at, and the point to reach. The map knows neither people nor shut doors, and the memory may be wrong: the policy
must see that in its image.
"""

from __future__ import annotations

import math

import numpy as np

from ..executor import Memory
from ..expert import Pose, find_path, find_target
from ..world import Row, World, wrap

CAMERA = "head"  # what the policy calls its only image
IMAGE_SIZE = 64  # px, both sides: the left image, 320 x 240, shrunk without keeping its aspect ratio
ACTION_NAMES = ("linear_x_m_s", "angular_z_rad_s", "interact")
"""What the policy commands; interact above 0.5 begins the interaction of the current sub-goal."""
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
"""Points of the path at ROUTE_M and AHEAD_M, the pose to stand at, the point to reach; then the robot's own state."""
ROUTE_M = 0.4  # m along the path from the base, of the first point: about the expert's own lookahead
AHEAD_M = 1.0  # m, of the second point: around the next corner
LIMIT_M = 2.0  # m; a point that is farther is given at this distance, in its direction
ASTRAY_M = 0.5  # m from the path, at which it is planned again
MOVED_M = 0.1  # m; a base that did not move so far in PATIENT_STEPS tries a path around people
PATIENT_STEPS = 25  # 2.5 s
MOVED_GOAL_M = 0.02  # m; a goal that moved so far needs another path
AT_GOAL_M = 0.3  # m from the goal, where standing still is no sign of being blocked


class MapProprioception:
    """Keeps the path to the sub-goal's place; `reset` it between missions."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the path."""
        self._goal: Pose | None = None
        self._path = np.zeros((0, 2))
        self._since = 0  # the world's step at which the base was at `_at`
        self._at = (math.inf, math.inf)

    def knows(self, world: World, memory: Memory, row: Row) -> bool:
        """Whether the robot has a place to go to for a sub-goal."""
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
        route, ahead, stand, use = (_in_base_frame(world, *point) for point in points)
        turn = wrap(goal[2] - world.heading)
        return np.array([*route, *ahead, *stand, math.cos(turn), math.sin(turn), *use, *own], np.float32)

    def _follow(self, world: World, goal: Pose) -> None:
        """Plans another path where the goal has moved, the base has left the path, or people are in the way."""
        here = (world.x, world.y)
        if self._goal is None or math.dist(self._goal[:2], goal[:2]) > MOVED_GOAL_M:
            self._plan(world, goal)
        elif world.busy or math.dist(here, self._at) > MOVED_M or math.dist(here, goal[:2]) < AT_GOAL_M:
            self._since = world.steps
            self._at = here
            if len(self._path) and np.hypot(*(self._path - here).T).min() > ASTRAY_M:
                self._plan(world, goal)
        elif world.steps - self._since > PATIENT_STEPS:
            self._plan(world, goal, around_people=True)

    def _plan(self, world: World, goal: Pose, around_people: bool = False) -> None:
        path = find_path(world, goal, around_people)
        self._path = path if len(path) else find_path(world, goal)
        self._goal = goal
        self._since = world.steps
        self._at = (world.x, world.y)

    def _ahead(self, world: World, distance: float) -> tuple[float, float]:
        """The point of the path `distance` metres from the base, or its end."""
        if not len(self._path):
            return self._goal[:2] if self._goal else (world.x, world.y)

        gaps = np.hypot(self._path[:, 0] - world.x, self._path[:, 1] - world.y)
        nearest = int(gaps.argmin())
        beyond = np.flatnonzero(gaps[nearest:] >= distance)
        x, y = self._path[nearest + int(beyond[0]) if len(beyond) else len(self._path) - 1]
        return float(x), float(y)


def _in_base_frame(world: World, x: float, y: float) -> tuple[float, float]:
    """A point of the world in the base frame, at most LIMIT_M away."""
    near = min(math.hypot(x - world.x, y - world.y), LIMIT_M)
    bearing = world.bearing(x, y)
    return near * math.cos(bearing), near * math.sin(bearing)


def picture(left: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8 RGB, as the policy takes it, of the left image (height, width, 3) uint8 BGR."""
    import cv2

    small = cv2.resize(left, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1])
