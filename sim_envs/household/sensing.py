"""What a robot in the home perceives without images: range readings, visible things, an exact obstacle summary."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rarrl.types import ObstacleSummary

from .people import PERSON_M

if TYPE_CHECKING:
    from .world import World

HEAD_M = 1.1  # m, the stereo head above the floor: it sees over tables, not over shelves and fridges
FIELD_RAD = math.radians(75.0)  # horizontal field of view of the head
RANGE_M = 4.0  # m; what is farther counts as free, and things there are not seen
SECTORS = 31  # of the field of view: 2.4 degrees each, as the detector's summary has them
BODY_WIDTH_M = 0.6  # m: the base (0.5 m) and a margin
LOOKAHEAD_M = 2.0  # m; how far ahead the free width is measured
IN_FRONT_M = 0.25  # m; a surface this little in front of a thing does not hide it: it is what the thing stands on


def scan(world: World) -> np.ndarray:
    """(SECTORS,) metres, at most RANGE_M, from the base to the first footprint or person, right to left: a ray in the
    middle of each sector of the field of view. What is thinner than a sector can be missed."""
    cos, sin = math.cos(world.heading), math.sin(world.heading)
    turned = _rays()[1] @ np.array([[cos, sin], [-sin, cos]])
    furniture = cast(world.x, world.y, turned, world.solid_boxes)
    return np.minimum(np.minimum(furniture, _cast_people(world, turned)), RANGE_M)


def summary(world: World, stamp_s: float) -> ObstacleSummary:
    """The `scan` in the form of a detector that is always right."""
    bearings, directions = _rays()
    free = scan(world)
    hit = free < RANGE_M
    nearest = np.where(hit, free, np.inf)
    x = free * directions[:, 0]
    y = free * directions[:, 1]

    lane = hit & (np.abs(y) <= BODY_WIDTH_M / 2)
    ahead = float(x[lane].min()) if lane.any() else math.inf

    near = hit & (x < LOOKAHEAD_M)
    left = float(y[near & (y > 0)].min(initial=LOOKAHEAD_M))
    right = float(-y[near & (y <= 0)].max(initial=-LOOKAHEAD_M))
    width = left + right if ahead >= LOOKAHEAD_M else 0.0

    speed = max(world.v, 0.0)
    contact_s = math.inf if ahead >= LOOKAHEAD_M else (ahead / speed if speed else math.inf)
    return ObstacleSummary(bearings, nearest, free, width, contact_s, stamp_s)


def visible(world: World) -> list[int]:
    """Indices of the things in the field of view, within RANGE_M, with nothing taller than the head in between."""
    near = [
        i
        for i, thing in enumerate(world.things)
        if not world.hidden(i)
        and math.hypot(thing.x - world.x, thing.y - world.y) <= RANGE_M
        and (world.root(i) == world.held or abs(world.bearing(thing.x, thing.y)) <= FIELD_RAD / 2)
    ]
    if not near:
        return []

    points = np.array([(world.things[i].x, world.things[i].y) for i in near])
    rays = points - (world.x, world.y)
    reach = np.hypot(rays[:, 0], rays[:, 1])
    hits = cast(world.x, world.y, rays / np.maximum(reach, 1e-9)[:, None], world.tall_boxes)
    return [i for i, far, hit in zip(near, reach, hits, strict=True) if hit > far - IN_FRONT_M]


def cast(x: float, y: float, directions: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) metres along each of `directions` ((n, 2), unit) to the first of `boxes` ((m, 4)); inf where none is. Slabs
    (Kay and Kajiya, SIGGRAPH 1986)."""
    inverse_x, inverse_y = (1.0 / np.where(np.abs(d) < 1e-9, 1e-9, d) for d in directions.T)
    x_low = (boxes[:, 0, None] - x) * inverse_x
    x_high = (boxes[:, 2, None] - x) * inverse_x
    y_low = (boxes[:, 1, None] - y) * inverse_y
    y_high = (boxes[:, 3, None] - y) * inverse_y

    enter = np.maximum(np.minimum(x_low, x_high), np.minimum(y_low, y_high))
    leave = np.minimum(np.maximum(x_low, x_high), np.maximum(y_low, y_high))
    enter[(enter > leave) | (leave <= 0)] = np.inf
    return np.maximum(enter.min(axis=0), 0.0)


def _cast_people(world: World, directions: np.ndarray) -> np.ndarray:
    """As `cast`, to the first person: a disc of PERSON_M."""
    far = np.full(len(directions), np.inf)
    for person in world.people:
        dx = person.x - world.x
        dy = person.y - world.y
        if dx * dx + dy * dy > (RANGE_M + PERSON_M) ** 2:
            continue
        along = directions[:, 0] * dx + directions[:, 1] * dy
        inside = PERSON_M**2 - (dx * dx + dy * dy - along**2)
        hit = (inside >= 0) & (along > 0)
        far[hit] = np.minimum(far[hit], np.maximum(along[hit] - np.sqrt(inside[hit]), 0.0))
    return far


@lru_cache(maxsize=1)
def _rays() -> tuple[np.ndarray, np.ndarray]:
    """(SECTORS,) bearings, rad, and (SECTORS, 2) directions in the base frame (x ahead, y left)."""
    bearings = ((np.arange(SECTORS) + 0.5) / SECTORS - 0.5) * FIELD_RAD
    return bearings, np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
