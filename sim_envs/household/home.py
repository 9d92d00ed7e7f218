"""Two furnished rooms with a door between them, drawn from a seed; and how far from everything each spot is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from rarrl.errors import InputError

from .catalogue import FURNITURE

WALL_M = 0.1  # m, thickness of a wall
WALL_HEIGHT_M = 2.4  # m
DOOR_M = 1.1  # m, width of the door: the base (0.5 m) passes without care
ROBOT_M = 0.25  # m, radius of the base
FRONT_M = 0.95  # m kept free in front of each piece: where the base stands (STAND_M), with its radius and room to turn
EDGE_M = 0.12  # m that things stand behind the front edge
STAND_M = 0.5  # m from the front edge to where the base stands to use a piece
CELL_M = 0.1  # m, side of a cell of the map: a home has about 90 x 50, quick enough to plan a path in any step

GAP_M = 0.05  # m between two pieces, and between a piece and the wall at its side
BACK_M = 0.02  # m between a piece's back and the wall
SLOT_M = 0.2  # m of front a slot takes
END_M = 0.12  # m from either end of the front to the outermost slot: the half width of the largest thing
DOORWAY_M = 0.9  # m on either side of the door that stay free of furniture
SPARE_M = 0.1  # m more than its radius that the base has on the paths of a home that counts as reachable
START_M = 0.35  # m more than its radius that it has where it starts

PIECE_TRIES = 60  # random places for a piece before it is left out
HOME_TRIES = 200  # homes drawn before the required furniture counts as too much

_FACINGS = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Unit vectors from a piece's back to its front: away from one of the four walls."""

Point = tuple[float, float]
"""x, y; metres."""
Rectangle = tuple[float, float, float, float]
"""x low, y low, x high, y high; metres."""


@dataclass(frozen=True)
class Place:
    """A piece of furniture. World frame, metres.

    box: its footprint. facing: unit vector from its back to its front. slots: (x, y) of the spots where things stand on
    it, along its front."""

    name: str
    box: Rectangle
    facing: tuple[int, int]
    slots: tuple[Point, ...]

    @property
    def front(self) -> Point:
        """The middle of its front edge."""
        (x0, y0, x1, y1), (fx, fy) = self.box, self.facing
        return (x0 + x1) / 2 + fx * (x1 - x0) / 2, (y0 + y1) / 2 + fy * (y1 - y0) / 2

    @property
    def width(self) -> float:
        """Of the front, metres."""
        x0, y0, x1, y1 = self.box
        return y1 - y0 if self.facing[0] else x1 - x0

    @property
    def opens(self) -> bool:
        """Whether it has a door, behind which things cannot be seen or reached."""
        return FURNITURE[self.name].opens

    def stand(self, point: Point | None = None) -> tuple[float, float, float]:
        """The pose (x, y, heading) before `point` on it, or before its middle."""
        px, py = point or self.front
        fx, fy = self.facing
        ax, ay = self.front
        along = (px - ax) * -fy + (py - ay) * fx
        return ax - fy * along + fx * STAND_M, ay + fx * along + fy * STAND_M, math.atan2(-fy, -fx)


@dataclass(frozen=True)
class Home:
    """Two rooms side by side along x, with a door between them. World frame, metres.

    size: (x, y) of the inside, the corner at (0, 0). places: by class name, one of each. walls: with the outer ones.
    door: footprint of the door's leaf, which blocks the doorway when shut. start: the robot's first pose, (x, y,
    heading)."""

    size: Point
    places: dict[str, Place]
    walls: tuple[Rectangle, ...]
    door: Rectangle
    start: tuple[float, float, float]
    _clearance: dict[bool, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def boxes(self) -> np.ndarray:
        """(n, 4): walls, then furniture; without the door."""
        return np.array([*self.walls, *(place.box for place in self.places.values())])

    def room(self, x: float) -> int:
        """0: the room at low x; 1: the other one."""
        return int(x > (self.door[0] + self.door[2]) / 2)

    def clearance(self, door_open: bool) -> np.ndarray:
        """(nx, ny): metres from the middle of each cell of CELL_M to the nearest footprint; 0 inside of one."""
        if door_open not in self._clearance:
            nx, ny = (math.ceil(side / CELL_M) for side in self.size)
            centres = np.stack(np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"), axis=-1) + 0.5
            boxes = self.boxes if door_open else np.vstack([self.boxes, self.door])
            self._clearance[door_open] = distances(centres.reshape(-1, 2) * CELL_M, boxes).min(axis=1).reshape(nx, ny)
        return self._clearance[door_open]


def distances(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n, m) metres from each of `points` ((n, 2)) to each of `boxes` ((m, 4)); 0 inside."""
    away = np.maximum(boxes[:, :2] - points[:, None], points[:, None] - boxes[:, 2:])
    np.maximum(away, 0.0, out=away)
    return np.hypot(away[..., 0], away[..., 1])


def cell(grid: np.ndarray, x: float, y: float) -> tuple[int, int]:
    """The cell of a grid that holds (x, y); the nearest one for a point outside."""
    return min(max(int(x / CELL_M), 0), grid.shape[0] - 1), min(max(int(y / CELL_M), 0), grid.shape[1] - 1)


def draw_home(rng: np.random.Generator, required: Sequence[str], pieces: int = 12) -> Home:
    """Rooms that hold every class in `required` and others, `pieces` in all where there is room; the robot can reach
    the front of each.

    Raises: InputError for a class that is no furniture, or more than fit in."""
    unknown = sorted(set(required) - set(FURNITURE))
    if unknown:
        raise InputError(f"household: no furniture {', '.join(unknown)} (allowed: {', '.join(FURNITURE)})")
    for _ in range(HOME_TRIES):
        home = _attempt(rng, tuple(dict.fromkeys(required)), pieces)
        if home is not None:
            return home
    raise InputError(f"household: {len(set(required))} pieces of furniture do not fit into two rooms; ask for fewer")


def _attempt(rng: np.random.Generator, required: tuple[str, ...], pieces: int) -> Home | None:
    """A home, or None where a required piece does not fit or the robot cannot reach a piece."""
    length = float(rng.uniform(8.4, 9.6))
    width = float(rng.uniform(4.4, 5.2))
    middle = length / 2 + float(rng.uniform(-0.3, 0.3))
    low = float(rng.uniform(1.0, width - 1.0 - DOOR_M))

    t = WALL_M / 2
    door = (middle - t, low, middle + t, low + DOOR_M)
    walls = (
        (-WALL_M, -WALL_M, length + WALL_M, 0.0),
        (-WALL_M, width, length + WALL_M, width + WALL_M),
        (-WALL_M, 0.0, 0.0, width),
        (length, 0.0, length + WALL_M, width),
        (middle - t, 0.0, middle + t, low),
        (middle - t, low + DOOR_M, middle + t, width),
    )

    rooms = ((0.0, 0.0, middle - t, width), (middle + t, 0.0, length, width))
    doorway = (door[0] - DOORWAY_M, door[1] - 0.1, door[2] + DOORWAY_M, door[3] + 0.1)
    others = [name for name in FURNITURE if name not in required]
    wanted = [*required, *rng.permutation(others)[: max(0, pieces - len(required))]]
    wanted.sort(key=lambda name: -FURNITURE[name].width * FURNITURE[name].depth)  # the large ones first

    places: dict[str, Place] = {}
    fronts: list[Rectangle] = []
    for name in wanted:
        found = _put_down(rng, str(name), rooms, [p.box for p in places.values()], fronts, doorway)
        if found is not None:
            places[str(name)] = found
            fronts.append(_front(found))
        elif name in required:
            return None

    home = Home((length, width), places, walls, door, (0.0, 0.0, 0.0))
    start = _reachable_start(rng, home)
    return None if start is None else replace(home, start=start)


def _put_down(
    rng: np.random.Generator,
    name: str,
    rooms: tuple[Rectangle, Rectangle],
    taken: list[Rectangle],
    fronts: list[Rectangle],
    doorway: Rectangle,
) -> Place | None:
    """A piece at a random place along a wall of a random room; None where none of the tries is free. taken: footprints
    so far. fronts: the floor before them."""
    kind = FURNITURE[name]
    for _ in range(PIECE_TRIES):
        x0, y0, x1, y1 = rooms[int(rng.integers(2))]
        facing = _FACINGS[int(rng.integers(4))]
        w, d = (kind.depth, kind.width) if facing[0] else (kind.width, kind.depth)
        across_x = float(rng.uniform(x0 + GAP_M, x1 - w - GAP_M))
        across_y = float(rng.uniform(y0 + GAP_M, y1 - d - GAP_M))
        x = {1: x0 + BACK_M, -1: x1 - w - BACK_M, 0: across_x}[facing[0]]
        y = {1: y0 + BACK_M, -1: y1 - d - BACK_M, 0: across_y}[facing[1]]

        place = Place(name, (x, y, x + w, y + d), facing, ())
        front = _front(place)
        inside = x0 <= front[0] and y0 <= front[1] and front[2] <= x1 and front[3] <= y1
        around = _grown(place.box, GAP_M)
        blocked = any(_overlap(around, other) for other in (*taken, *fronts, doorway))
        if inside and not blocked and not any(_overlap(front, other) for other in taken):
            return Place(name, place.box, facing, _slots(place))
    return None


def _slots(place: Place) -> tuple[Point, ...]:
    """Spots for things along its front, EDGE_M behind the edge; three at least."""
    (ax, ay), (fx, fy) = place.front, place.facing
    n = max(3, int((place.width - 0.1) / SLOT_M))
    along = np.linspace(-1, 1, n) * _reach(place)
    return tuple((float(ax - fx * EDGE_M - fy * s), float(ay - fy * EDGE_M + fx * s)) for s in along)


def _reach(place: Place) -> float:
    """Metres from the middle of the front to its outermost slots."""
    return place.width / 2 - END_M


def _front(place: Place) -> Rectangle:
    """The floor that must stay free before it, wide enough for the robot."""
    (ax, ay), (fx, fy) = place.front, place.facing
    half = _reach(place) + ROBOT_M + 0.12
    bx = ax + fx * FRONT_M
    by = ay + fy * FRONT_M
    return (
        min(ax, bx) - abs(fy) * half,
        min(ay, by) - abs(fx) * half,
        max(ax, bx) + abs(fy) * half,
        max(ay, by) + abs(fx) * half,
    )


def _grown(box: Rectangle, by: float) -> Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _reachable_start(rng: np.random.Generator, home: Home) -> tuple[float, float, float] | None:
    """A free pose from which a base with some room to spare reaches the front of every piece; None: there is none."""
    free = home.clearance(True) > ROBOT_M + SPARE_M
    spots = np.argwhere(home.clearance(True) > ROBOT_M + START_M)
    if not len(spots):
        return None

    first = tuple(map(int, spots[int(rng.integers(len(spots)))]))
    _, parts = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
    reached = parts == parts[first]

    stands = (place.stand(p) for place in home.places.values() for p in itertools.chain([None], place.slots))
    if not all(reached[cell(free, x, y)] for x, y, _ in stands):
        return None

    x, y = (CELL_M * (index + 0.5) for index in first)
    return x, y, float(rng.uniform(-math.pi, math.pi))
