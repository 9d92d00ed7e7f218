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

# Paths
CLEAR_M = ROBOT_M + 0.1  # m from the middle of the base to anything: a cell of the map to spare
WIDE_M = 0.6  # m; nearer to furniture a path costs more, up to PRICE_NEAR times
PRICE_NEAR = 6.0  # added to the price 1 of a metre, at CLEAR_M from furniture
PRICE_TIGHT = 30.0  # of a metre nearer than CLEAR_M, allowed at either end alone: the base must get away, or there
NEAR_PEOPLE_M = 2.0  # m from the base within which a path around people goes around them
MOVED_GOAL_M = 0.02  # m; a goal that moved so far needs another path

# Driving
LOOKAHEAD_M = 0.35  # m along the path, to the point that pure pursuit aims at
THERE_M = 0.06  # m from the goal: then only the heading is corrected
NEARLY_THERE_M = 0.12  # m, the same for a base that stands; and what `_is_there` asks for
BRAKING = 0.5 * MAX_ACCEL  # m/s^2 towards the goal: gentle, so that it does not overshoot
TURN_RAD = 0.7  # rad of error above which the base turns on the spot
SLOW_RAD = 0.9  # rad of error at which the speed would be zero
STEER_GAIN = 2.5  # rad/s per rad of error, on the move
TURN_GAIN = 3.0  # rad/s per rad of error, on the spot

# Among people
BLOCKED_M_S = 0.1  # m/s; an allowed speed below it counts as waiting
PATIENCE = 20  # steps that a person may be in the way before another path is tried; twice that: before it backs off
RETREAT = 35  # steps of backing off in all
PAUSE = 15  # of those, the ones at the end in which it stands and lets people pass
BACK_M = 0.2  # m behind the base that must be free to back off
PERSON_AHEAD_S = 0.5  # s that a person is predicted ahead
PERSON_GAP_M = 1.0  # m between base and person below which it goes slower
PERSON_RAD = 1.2  # rad to either side within which people slow it

# Interacting: well within REACH_M and REACH_RAD, so that a policy that learns from it may be a little off
EASY_M = 0.7  # m, of REACH_M = 0.8
EASY_RAD = 0.42  # rad, of REACH_RAD = 0.6
BESIDE_M = (0.5, 0.65)  # m from a thing on the floor, where the base stands

Pose = tuple[float, float, float]
"""x, y, metres, and heading, rad, in the world frame."""


class Expert:
    """`act(world, row)` once a step. Keeps its path in mind: `reset` it between missions."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the path."""
        self._goal: Pose | None = None
        self._door_open = True
        self._path = np.zeros((0, 2))
        self._waited = 0  # steps behind people, less those driven since
        self._retreat = 0  # steps of backing off that are left
        self._pressed = False

    def act(self, world: World, row: Row | None, memory: Memory | None = None) -> np.ndarray:
        """(3,) float32: v (m/s), omega (rad/s), interact (1: begin) towards the sub-goal `row`; a stop for None.

        memory: it goes by where things are believed to be; None: by where they are."""
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
            # Not at the edge of what can be reached, which a policy that learns from it may miss. Where it is refused
            # even at the best place, only a new plan helps.
            and ((not world.refusal(row) and _is_well_placed(world, row, memory)) or _is_there(world, goal))
        ):
            command = (0.0, 0.0, 1.0)
        else:
            command = (*self._drive(world, goal), 0.0)

        self._pressed = command[2] > 0
        return _action(*command)

    def _to_door(self, world: World) -> tuple[float, float, float]:
        """Up to the shut door between the rooms, and opens it: (v, omega, interact)."""
        door = world.home.door
        middle = ((door[0] + door[2]) / 2, (door[1] + door[3]) / 2)
        side = 0.75 if world.home.room(world.x) else -0.75  # m, within reach of the door
        heading = math.pi if side > 0 else 0.0
        if world.v < STANDING and not world.refusal(("GotoLocation", "door")):
            return 0.0, 0.0, 1.0
        return (*self._drive(world, (middle[0] + side, middle[1], heading)), 0.0)

    def _drive(self, world: World, goal: Pose) -> tuple[float, float]:
        """(v, omega) along the path to a pose, and then to its heading."""
        if self._goal is None or math.dist(self._goal, goal) > MOVED_GOAL_M or self._door_open != world.door_open:
            self._goal = goal
            self._door_open = world.door_open
            self._path = find_path(world, goal)
            self._waited = 0
        if self._retreat:
            return self._back_off(world)

        away = math.hypot(goal[0] - world.x, goal[1] - world.y)
        if away < THERE_M or (away < NEARLY_THERE_M and abs(world.v) < 0.02):
            return 0.0, _turn(wrap(goal[2] - world.heading))
        error = world.bearing(*self._aim(world))
        if abs(error) > TURN_RAD:
            return 0.0, _turn(error)

        steering = MAX_V * max(0.0, 1 - abs(error) / SLOW_RAD)
        braking = math.sqrt(2 * BRAKING * max(away - 0.03, 0.0)) + 0.02
        v = min(steering, braking)
        allowed = self._free_speed(world, v)
        self._count_waiting(world, goal, allowed)
        return min(v, allowed), STEER_GAIN * error

    def _count_waiting(self, world: World, goal: Pose, allowed: float) -> None:
        """Tries another path, then backs off, where people are in the way for long."""
        if allowed >= BLOCKED_M_S:
            self._waited = max(self._waited - 1, 0)
            return

        self._waited += 1
        if self._waited % PATIENCE == 0:
            around = find_path(world, goal, around_people=True)
            self._path = around if len(around) else find_path(world, goal)
        if self._waited > 2 * PATIENCE:
            self._waited = 0
            self._retreat = RETREAT

    def _back_off(self, world: World) -> tuple[float, float]:
        """Straight back where that is free: two who wait for each other would wait for ever."""
        self._retreat -= 1
        x = world.x - BACK_M * math.cos(world.heading)
        y = world.y - BACK_M * math.sin(world.heading)
        backs = self._retreat > PAUSE and not world.touches(x, y)
        return (MIN_V if backs else 0.0), 0.0

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
        """How fast, m/s, it may go ahead for people, and for what it would touch within its stopping distance."""
        allowed = v
        for person in world.people:
            soon = (person.x + PERSON_AHEAD_S * person.vx, person.y + PERSON_AHEAD_S * person.vy)
            for px, py in ((person.x, person.y), soon):
                gap = math.hypot(px - world.x, py - world.y) - ROBOT_M - PERSON_M
                if gap < PERSON_GAP_M and abs(world.bearing(px, py)) < PERSON_RAD:
                    allowed = min(allowed, max(0.0, 0.9 * (gap - 0.15)))  # stands at a gap of 0.15 m

        pose: Pose = (world.x, world.y, world.heading)
        speed = max(world.v, min(allowed, world.v + MAX_ACCEL * DT))
        while speed > 0 and allowed > 0:
            pose = advance(*pose, speed, world.omega)
            speed -= MAX_ACCEL * DT
            if world.touches(pose[0], pose[1]):
                return 0.0
        return allowed


def _action(v: float, omega: float, interact: float = 0.0) -> np.ndarray:
    """As the environment takes it."""
    return np.array([v, omega, interact], dtype=np.float32)


def _is_there(world: World, goal: Pose) -> bool:
    """Whether the base stands at a pose, to within what driving reaches."""
    return math.dist((world.x, world.y), goal[:2]) < NEARLY_THERE_M and abs(wrap(goal[2] - world.heading)) < 0.1


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
    """rad/s on the spot, for an error of the heading, rad."""
    return min(max(TURN_GAIN * error, -MAX_OMEGA), MAX_OMEGA)


def target_pose(world: World, row: Row, memory: Memory | None = None) -> Pose:
    """Where the base stands best for a sub-goal; where it is now, for one whose place or thing is not known."""
    target = find_target(world, row, memory)
    return (world.x, world.y, world.heading) if target is None else target[0]


def find_target(world: World, row: Row, memory: Memory | None = None) -> tuple[Pose, Point] | None:
    """Where the base stands best for a sub-goal, and the point that it is about, (x, y) metres. memory: as the robot
    believes things to be; None: as they are. None where there is no such place, or no thing of that class is known."""
    verb, *names = row
    places = world.home.places
    name = APPLIANCES.get(verb, names[-1])
    if name in places:
        return places[name].stand(), places[name].front

    spots = {i: (t.x, t.y) for i, t in enumerate(world.things)} if memory is None else memory.spots
    things = [i for i, t in enumerate(world.things) if t.name == name and world.root(i) != world.held and i in spots]
    if not things:
        return None

    # The one within reach, else the nearest.
    here = {i: world.at(place) if (place := _place(world, i, memory)) else world.in_reach(*spots[i]) for i in things}
    index = min(things, key=lambda i: (not here[i], math.dist((world.x, world.y), spots[i])))
    place = _place(world, index, memory)
    pose = places[place].stand(spots[index]) if place else _beside(world.home, world, spots[index])
    return pose, spots[index]


def _place(world: World, index: int, memory: Memory | None) -> str:
    """The place that a thing is on; "" for the floor."""
    place = world.place_of(index) if memory is None else memory.known[index]
    return place if place in world.home.places else ""


def _beside(home: Home, world: World, point: tuple[float, float]) -> Pose:
    """A free pose half a metre from a point on the floor, facing it; the nearest of a ring, with room to drive."""
    grid = home.clearance(world.door_open)
    ring = [
        (point[0] + r * math.cos(a), point[1] + r * math.sin(a)) for r in BESIDE_M for a in np.arange(16) * math.pi / 8
    ]
    size = home.size
    room = home.room(point[0])
    inside = [p for p in ring if 0 < p[0] < size[0] and 0 < p[1] < size[1] and home.room(p[0]) == room]
    free = [p for p in inside if grid[cell(grid, *p)] > CLEAR_M + 0.05] or inside
    x, y = min(free, key=lambda p: math.dist(p, (world.x, world.y)))
    return x, y, math.atan2(point[1] - y, point[0] - x)


def find_path(world: World, goal: Pose, around_people: bool = False) -> np.ndarray:
    """(n, 2) points, metres, a cell apart, from the base to `goal`: the cheapest path where being near to things costs
    more (A*; Hart, Nilsson and Raphael, 1968). Through a shut door, which `GotoLocation` opens. (0, 2) where no path is
    free.

    around_people: takes people near the base as furniture."""
    grid = world.home.clearance(True)
    if around_people:
        grid = grid.copy()
        xs = (np.arange(grid.shape[0]) + 0.5) * CELL_M
        ys = (np.arange(grid.shape[1]) + 0.5) * CELL_M
        for person in world.people:
            if math.hypot(person.x - world.x, person.y - world.y) < NEAR_PEOPLE_M:
                away = np.hypot(xs[:, None] - person.x, ys - person.y) - PERSON_M
                np.minimum(grid, away, out=grid)

    cells = _a_star(grid, cell(grid, world.x, world.y), cell(grid, goal[0], goal[1]))
    if not cells:
        return np.zeros((0, 2))

    points = (np.array(cells) + 0.5) * CELL_M
    points[-1] = goal[:2]
    return points


def _a_star(grid: np.ndarray, start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells of the cheapest path from `start` to `end`; empty where there is none. grid: metres from each cell to
    the nearest footprint."""
    price = _prices(grid, (start, end))
    width = grid.shape[1]
    prices = price.ravel().tolist()  # a list: single numbers are several times as fast as an array's
    steps = [(a * width + b, a, b, math.hypot(a, b)) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    first = start[0] * width + start[1]
    last = end[0] * width + end[1]

    cost = {first: 0.0}
    parent = {first: -1}
    closed = set()
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
                cost[to] = price_to
                parent[to] = at
                heapq.heappush(queue, (price_to + math.hypot(end[0] - i - a, end[1] - j - b), to))
    if last not in parent:
        return []

    found = [last]
    while parent[found[-1]] >= 0:
        found.append(parent[found[-1]])
    return [divmod(at, width) for at in reversed(found)]


def _prices(grid: np.ndarray, ends: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """What a cell's length of path costs in each cell of `grid`; inf where the base does not go."""
    price = 1.0 + PRICE_NEAR * np.clip((WIDE_M - grid) / (WIDE_M - CLEAR_M), 0.0, 1.0) ** 2
    price[grid < CLEAR_M] = np.inf
    for i, j in ends:
        around = (slice(max(i - 2, 0), i + 3), slice(max(j - 2, 0), j + 3))
        near = price[around]
        near[np.isinf(near) & (grid[around] > ROBOT_M)] = PRICE_TIGHT
        price[i, j] = min(price[i, j], PRICE_TIGHT)
    return price
