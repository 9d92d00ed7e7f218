"""The home from above, as a picture: what `render` of the environment without cameras shows."""

from __future__ import annotations

import math

import numpy as np

from .home import ROBOT_M
from .people import PERSON_M
from .world import World

FLOOR = (245, 245, 245)
FURNITURE = (190, 180, 165)
WALL = (70, 70, 70)
DOOR = (150, 90, 40)
THING = (230, 160, 0)
PERSON = (90, 90, 200)
ROBOT = (200, 40, 40)
"""RGB."""
THING_PX = 2  # px, radius of a thing's dot: seen, and smaller than a piece of furniture


def from_above(world: World, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB: rooms, a shut door, furniture, things, people, and the robot with its heading."""
    import cv2

    size = world.home.size
    scale = min(width / size[0], height / size[1])  # px per metre
    left, below = (width - size[0] * scale) / 2, (height - size[1] * scale) / 2  # px
    picture = np.full((height, width, 3), FLOOR, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round(left + x * scale), height - 1 - round(below + y * scale)

    def box(sides: tuple[float, float, float, float], colour: tuple[int, int, int]) -> None:
        cv2.rectangle(picture, at(*sides[:2]), at(*sides[2:]), colour, cv2.FILLED)

    for wall in world.home.walls:
        box(wall, WALL)

    if not world.door_open:
        box(world.home.door, DOOR)

    for place in world.home.places.values():
        box(place.box, FURNITURE)

    for thing in world.things:
        cv2.circle(picture, at(thing.x, thing.y), THING_PX, THING, cv2.FILLED)

    for person in world.people:
        cv2.circle(picture, at(person.x, person.y), round(PERSON_M * scale), PERSON, cv2.FILLED)

    nose = at(world.x + ROBOT_M * math.cos(world.heading), world.y + ROBOT_M * math.sin(world.heading))
    cv2.circle(picture, at(world.x, world.y), round(ROBOT_M * scale), ROBOT, cv2.FILLED)
    cv2.line(picture, at(world.x, world.y), nose, FLOOR, 2)
    return picture
