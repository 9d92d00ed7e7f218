"""People who walk about in the home: from spot to spot within a room, out of the way of the robot and of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .home import CELL_M, Home
from .motion import DT

PERSON_M = 0.25  # m, radius of a person
SLOWEST, FASTEST = 0.4, 0.9  # m/s, a leisurely walk at home
APART_M = 1.5  # m; people begin at least so far from the robot
DOORWAY_M = 0.7  # m from the door that people keep, on either side: in it they and a robot would wait for each other
SPARE_M = 0.1  # m between a person and furniture, at the spots where one begins
ARRIVED_M = 0.05  # m from the goal that count as there
ROBOT_NEAR_M = 0.85  # m between middles at which a person gives way to the robot
PERSON_NEAR_M = 0.6  # m, to another person
BODY_M = PERSON_M + 0.3  # m between middles below which a stride would touch
PAUSE_SHARE = 0.3  # of the goals are preceded by a pause
PAUSE_STEPS = (5, 30)  # 0.5 to 3 s
GIVE_WAY_STEPS = 5  # 0.5 s; the shortest wait of a person who met somebody
GOAL_TRIES = 4  # random spots tried for a straight, free path before the person stays


@dataclass
class Person:
    """Walks from spot to spot within a room, and waits when the robot is close ahead. World frame, metres, m/s."""

    x: float
    y: float
    speed: float  # m/s when walking
    goal: tuple[float, float]
    waits: int = 0  # steps
    vx: float = 0.0  # m/s, now
    vy: float = 0.0


def new_person(rng: np.random.Generator, home: Home, robot: tuple[float, float]) -> Person | None:
    """Somebody at a random free spot, not near the robot at (x, y); None where there is no such spot."""
    grid = home.clearance(True)
    spots = (np.argwhere(grid > PERSON_M + SPARE_M) + 0.5) * CELL_M
    spots = spots[[(span := _stretch(home, x))[0] <= x <= span[1] for x in spots[:, 0]]]
    far = spots[np.hypot(spots[:, 0] - robot[0], spots[:, 1] - robot[1]) > APART_M]
    if not len(far):
        return None

    x, y = map(float, far[int(rng.integers(len(far)))])
    return Person(x, y, float(rng.uniform(SLOWEST, FASTEST)), (x, y))


def walk(
    person: Person, rng: np.random.Generator, home: Home, robot: tuple[float, float], people: Sequence[Person]
) -> None:
    """Moves a person by one step of DT. people: all of them, this one too."""
    person.vx = 0.0
    person.vy = 0.0
    if person.waits:
        person.waits -= 1
        return

    dx = person.goal[0] - person.x
    dy = person.goal[1] - person.y
    left = math.hypot(dx, dy)
    if left < ARRIVED_M:
        _choose_goal(person, rng, home)
        return

    ux, uy = dx / left, dy / left
    stride = min(person.speed * DT, left)
    x = person.x + stride * ux
    y = person.y + stride * uy
    bodies = [(*robot, ROBOT_NEAR_M), *((p.x, p.y, PERSON_NEAR_M) for p in people if p is not person)]
    for bx, by, near in bodies:  # in the way: close and within 60 degrees of ahead, or it would be touched
        apart = math.hypot(bx - person.x, by - person.y)
        ahead = (bx - person.x) * ux + (by - person.y) * uy
        if (apart < near and ahead > 0.5 * apart) or math.hypot(bx - x, by - y) < min(apart, BODY_M):
            _choose_goal(person, rng, home)  # somewhere else, after a moment
            person.waits = max(person.waits, GIVE_WAY_STEPS)
            return

    person.x = x
    person.y = y
    person.vx = stride / DT * ux
    person.vy = stride / DT * uy


def _stretch(home: Home, x: float) -> tuple[float, float]:
    """(low, high) x, metres, where people walk in the room at x: not near the doorway."""
    return (home.door[2] + DOORWAY_M, home.size[0]) if home.room(x) else (0.0, home.door[0] - DOORWAY_M)


def _choose_goal(person: Person, rng: np.random.Generator, home: Home) -> None:
    """A spot in the same room to which the straight path is free; now and then a pause first."""
    grid = home.clearance(True)
    if rng.random() < PAUSE_SHARE:
        person.waits = int(rng.integers(*PAUSE_STEPS))

    low, high = _stretch(home, person.x)
    for _ in range(GOAL_TRIES):
        x = float(rng.uniform(low, high))
        y = float(rng.uniform(0, home.size[1]))
        n = int(math.hypot(x - person.x, y - person.y) / CELL_M) + 2
        path = np.linspace((person.x, person.y), (x, y), n)
        cells = np.minimum((path / CELL_M).astype(int), np.array(grid.shape) - 1)
        if grid[cells[:, 0], cells[:, 1]].min() > PERSON_M + 0.05:
            person.goal = (x, y)
            return

    person.goal = (person.x, person.y)
    person.waits = max(person.waits, GIVE_WAY_STEPS)
