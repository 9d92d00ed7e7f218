"""A scripted expert: it knows the whole world, drives by A* and pure pursuit, waits for people, and interacts.

It shows that the missions can be done, and its runs are demonstrations to learn from.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from .catalogue import APPLIANCES
from .executor import Memory
from .home import CELL_M, ROBOT_M, STAND_M, Home, Point, cell
from .world import DT, MAX_ACCEL, MAX_OMEGA, MAX_V, MIN_V, PERSON_M, STANDING, Row, World, advance, wrap

CLEAR_M = ROBOT_M + 0.1  # from the middle of the base to anything
WIDE_M = 0.6  # nearer to furniture costs more
LOOKAHEAD_M = 0.35
PATIENCE = 20  # steps that a person may be in the way before another way is tried; twice that: before it backs off
EASY_M, EASY_RAD = 0.7, 0.42  # well within REACH_M, REACH_RAD
RETREAT, PAUSE = 35, 15  # steps of backing off in all, and of those at the end that it stands and lets people pass

Pose = tuple[float, float, float]


class Expert:
    """`act(world, row)` once a step. Holds the way in mind: `reset` it between missions."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the way."""
        self._goal: Pose | None = None
        self._door_open = True
        self._path = np.zeros((0, 2))
        self._waited = self._retreat = 0
        self._pressed = False

    def act(self, world: World, row: Row | None, memory: Memory | None = None) -> np.ndarray:
        """(3,) float32: v, omega, interact (1: begin) towards the sub-goal `row`, or the stop that None means. memory:
        it goes by where things are believed to be; None: by where they are."""
        if row is None or world.busy or self._pressed:
            self._pressed = False
            return _action(0.0, 0.0)
        verb = row[0]
        goal = target_pose(world, row, memory)
        if verb == "GotoLocation" and not world.door_open and world.home.room(goal[0]) != world.home.room(world.x):
            command = self._to_door(world)
        elif (
            verb != "GotoLocation"
            and abs(world.v) < STANDING
            # Not at the edge of what can be reached: who learns from it may miss that. Refused even there: only a new
            # plan helps.
            and ((not world.refusal(row) and _is_well_placed(world, row, memory)) or _is_there(world, goal))
        ):
            command = (0.0, 0.0, 1.0)
        else:
            command = (*self._drive(world, goal), 0.0)
        self._pressed = command[2] > 0
        return _action(*command)

    def _to_door(self, world: World) -> tuple[float, float, float]:
        """Up to the shut door between the rooms, and opens it."""
        door = world.home.door
        middle = (door[0] + door[2]) / 2, (door[1] + door[3]) / 2
        side = 0.75 if world.home.room(world.x) else -0.75
        heading = math.pi if side > 0 else 0.0
        if world.v < STANDING and not world.refusal(("GotoLocation", "door")):
            return 0.0, 0.0, 1.0
        return (*self._drive(world, (middle[0] + side, middle[1], heading)), 0.0)

    def _drive(self, world: World, goal: Pose) -> tuple[float, float]:
        """(v, omega) along the way to a pose, and then its heading."""
        if self._goal is None or math.dist(self._goal, goal) > 0.02 or self._door_open != world.door_open:
            self._goal, self._door_open = goal, world.door_open
            self._path = find_path(world, goal)
            self._waited = 0
        if self._retreat:
            return self._back_off(world)
        away = math.hypot(goal[0] - world.x, goal[1] - world.y)
        if away < 0.06 or (away < 0.12 and abs(world.v) < 0.02):
            return 0.0, _turn(wrap(goal[2] - world.heading))
        aim = self._aim(world)
        error = world.bearing(*aim)
        if abs(error) > 0.7:
            return 0.0, _turn(error)
        v = min(MAX_V * max(0.0, 1 - abs(error) / 0.9), math.sqrt(2 * 0.5 * MAX_ACCEL * max(away - 0.03, 0.0)) + 0.02)
        allowed = self._free_speed(world, v)
        if allowed < 0.1:
            self._waited += 1
            if self._waited % PATIENCE == 0:
                around = find_path(world, goal, around_people=True)
                self._path = around if len(around) else find_path(world, goal)
            if self._waited > 2 * PATIENCE:
                self._waited, self._retreat = 0, RETREAT
        else:
            self._waited = max(self._waited - 1, 0)
        return min(v, allowed), 2.5 * error

    def _back_off(self, world: World) -> tuple[float, float]:
        """Straight back where that is free: two who wait for each other would wait for ever."""
        self._retreat -= 1
        x, y = world.x - 0.2 * math.cos(world.heading), world.y - 0.2 * math.sin(world.heading)
        return (MIN_V if self._retreat > PAUSE and not world.touches(x, y) else 0.0), 0.0

    def _aim(self, world: World) -> tuple[float, float]:
        """The point of the path LOOKAHEAD_M ahead; drops what is behind."""
        if not len(self._path):
            return self._goal[:2] if self._goal else (world.x, world.y)
        gaps = np.hypot(self._path[:, 0] - world.x, self._path[:, 1] - world.y)
        nearest = int(gaps.argmin())
        beyond = np.flatnonzero(gaps[nearest:] >= LOOKAHEAD_M)
        index = nearest + int(beyond[0]) if len(beyond) else len(self._path) - 1
        return float(self._path[index, 0]), float(self._path[index, 1])

    def _free_speed(self, world: World, v: float) -> float:
        """How fast it may go ahead for people, and for what it would touch within its stopping distance."""
        allowed = v
        for person in world.people:
            x, y = person.x + 0.5 * person.vx, person.y + 0.5 * person.vy
            for px, py in ((person.x, person.y), (x, y)):
                gap = math.hypot(px - world.x, py - world.y) - ROBOT_M - PERSON_M
                if gap < 1.0 and abs(world.bearing(px, py)) < 1.2:
                    allowed = min(allowed, max(0.0, 0.9 * (gap - 0.15)))
        pose: Pose = (world.x, world.y, world.heading)
        speed = max(world.v, min(allowed, world.v + MAX_ACCEL * DT))
        while speed > 0 and allowed > 0:
            pose = advance(*pose, speed, world.omega)
            speed -= MAX_ACCEL * DT
            if world.touches(pose[0], pose[1]):
                return 0.0
        return allowed


def _action(v: float, omega: float, interact: float = 0.0) -> np.ndarray:
    return np.array([v, omega, interact], dtype=np.float32)


def _is_there(world: World, goal: Pose) -> bool:
    return math.dist((world.x, world.y), goal[:2]) < 0.12 and abs(wrap(goal[2] - world.heading)) < 0.1


def _is_well_placed(world: World, row: Row, memory: Memory | None) -> bool:
    """Whether the base stands well within reach of what a sub-goal is about."""
    found = find_target(world, row, memory)
    if found is None:
        return False
    (_, _, heading), (tx, ty) = found
    if (tx, ty) in {place.front for place in world.home.places.values()}:
        ahead = (world.x - tx) * -math.cos(heading) + (world.y - ty) * -math.sin(heading)
        return ahead <= STAND_M + 0.07 and abs(wrap(heading - world.heading)) <= EASY_RAD
    return math.dist((world.x, world.y), (tx, ty)) <= EASY_M and abs(world.bearing(tx, ty)) <= EASY_RAD


def _turn(error: float) -> float:
    return min(max(3.0 * error, -MAX_OMEGA), MAX_OMEGA)


def target_pose(world: World, row: Row, memory: Memory | None = None) -> Pose:
    """Where the base stands best for a sub-goal; where it is, for one whose place or thing is not known."""
    target = find_target(world, row, memory)
    return (world.x, world.y, world.heading) if target is None else target[0]


def find_target(world: World, row: Row, memory: Memory | None = None) -> tuple[Pose, Point] | None:
    """Where the base stands best for a sub-goal, and what it is about, (x, y) metres. memory: as the robot believes;
    None: as it is. None where there is no such place, or no thing of that class is known."""
    verb, *names = row
    places = world.home.places
    name = APPLIANCES.get(verb, names[-1])
    if name in places:
        return places[name].stand(), places[name].front
    spots = {i: (t.x, t.y) for i, t in enumerate(world.things)} if memory is None else memory.spots
    things = [i for i, t in enumerate(world.things) if t.name == name and world.root(i) != world.held and i in spots]
    if not things:
        return None
    here = {i: world.at(place) if (place := _place(world, i, memory)) else world.in_reach(*spots[i]) for i in things}
    index = min(things, key=lambda i: (not here[i], math.dist((world.x, world.y), spots[i])))
    place = _place(world, index, memory)
    return places[place].stand(spots[index]) if place else _beside(world.home, world, spots[index]), spots[index]


def _place(world: World, index: int, memory: Memory | None) -> str:
    """The place that a thing is on; "" for the floor."""
    place = world.place_of(index) if memory is None else memory.known[index]
    return place if place in world.home.places else ""


def _beside(home: Home, world: World, point: tuple[float, float]) -> Pose:
    """A free pose half a metre from a point on the floor, facing it; the nearest of a ring, with room to drive."""
    grid = home.clearance(world.door_open)
    ring = [
        (point[0] + r * math.cos(a), point[1] + r * math.sin(a))
        for r in (0.5, 0.65)
        for a in np.arange(16) * math.pi / 8
    ]
    size = home.size
    inside = [p for p in ring if 0 < p[0] < size[0] and 0 < p[1] < size[1] and home.room(p[0]) == home.room(point[0])]
    free = [p for p in inside if grid[cell(grid, *p)] > CLEAR_M + 0.05] or inside
    x, y = min(free, key=lambda p: math.dist(p, (world.x, world.y)))
    return x, y, math.atan2(point[1] - y, point[0] - x)


def find_path(world: World, goal: Pose, around_people: bool = False) -> np.ndarray:
    """(n, 2) points, a cell apart, from the base to `goal`: the cheapest way where being near to things costs more (A*;
    Hart, Nilsson and Raphael, 1968). Through a shut door, which `GotoLocation` opens. (0, 2) where no way is free.

    around_people: takes those near the base as furniture."""
    grid = world.home.clearance(True)
    if around_people:
        grid = grid.copy()
        nx, ny = grid.shape
        xs, ys = (np.arange(nx) + 0.5) * CELL_M, (np.arange(ny) + 0.5) * CELL_M
        for person in world.people:
            if math.hypot(person.x - world.x, person.y - world.y) < 2.0:
                away = np.hypot(xs[:, None] - person.x, ys - person.y) - PERSON_M
                np.minimum(grid, away, out=grid)
    start, end = cell(grid, world.x, world.y), cell(grid, goal[0], goal[1])
    cells = _a_star(grid, start, end)
    if not cells:
        return np.zeros((0, 2))
    points = (np.array(cells) + 0.5) * CELL_M
    points[-1] = goal[:2]
    return points


def _a_star(grid: np.ndarray, start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    price = 1.0 + 6.0 * np.clip((WIDE_M - grid) / (WIDE_M - CLEAR_M), 0.0, 1.0) ** 2
    price[grid < CLEAR_M] = np.inf
    for i, j in (start, end):  # a base that stands close to something must get away, or there
        near = price[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
        near[np.isinf(near) & (grid[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] > ROBOT_M)] = 30.0
        price[i, j] = min(price[i, j], 30.0)
    width = grid.shape[1]
    prices = price.ravel().tolist()
    steps = [(a * width + b, a, b, math.hypot(a, b)) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    first, last = start[0] * width + start[1], end[0] * width + end[1]
    cost, parent, closed = {first: 0.0}, {first: -1}, set()
    queue = [(0.0, first)]
    while queue:
        _, at = heapq.heappop(queue)
        if at == last:
            break
        if at in closed:
            continue
        closed.add(at)
        i, j = divmod(at, width)
        for offset, a, b, length in steps:
            if not (0 <= i + a < grid.shape[0] and 0 <= j + b < width):
                continue
            to = at + offset
            price_to = cost[at] + length * prices[to]
            if price_to < cost.get(to, math.inf):
                cost[to], parent[to] = price_to, at
                heapq.heappush(queue, (price_to + math.hypot(end[0] - i - a, end[1] - j - b), to))
    if last not in parent:
        return []
    found = [last]
    while parent[found[-1]] >= 0:
        found.append(parent[found[-1]])
    return [divmod(at, width) for at in reversed(found)]
