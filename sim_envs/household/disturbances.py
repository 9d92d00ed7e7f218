"""What goes wrong in the home: grasps that slip, things dropped or carried elsewhere, doors that fall shut.

All of it is drawn from the world's own generator, so that a seed fixes it. The shares are chosen, not measured in
people's homes: at `disturbance` 1 a mission meets one on average, slips and drops aside. The functions here are part of
`World` and use its private state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from rarrl.alfred_plans import LAMPS

from .home import ROBOT_M, cell, distances
from .motion import DT

if TYPE_CHECKING:
    from .world import World

# With `disturbance` 1:
P_MOVED = 0.4  # share of the missions in which somebody carries a thing of the task elsewhere
P_DOOR = 0.3  # ... the door between the rooms falls shut
P_SHUT = 0.3  # ... a piece of furniture that was opened falls shut again
P_SLIP = 0.1  # share of the grasps
DROPS_PER_S = 0.005  # per second of carrying: one in 200 s

EARLIEST, LATEST = (10, 20, 100), (100, 300, 300)
"""Steps between which each of the three scheduled disturbances is drawn. Things are moved early, before they are in the
hand; furniture falls shut late, after it was opened."""

UNSEEN_M = 1.5  # m from the robot, at least, of a thing that is carried elsewhere: not in front of its cameras
DROP_M = 0.4  # m ahead of the middle of the base, where a dropped thing lies: within reach


class Scheduled(Enum):
    """A disturbance that happens at most once in a mission."""

    MOVED = "moved"
    DOOR = "door"
    SHUT = "shut"


Schedule = list[tuple[int, Scheduled]]
"""(step from which it happens as soon as it can, what)."""


def draw_schedule(luck: np.random.Generator, level: float) -> Schedule:
    """The disturbances of a mission. level: scales their shares."""
    shares = {Scheduled.MOVED: P_MOVED, Scheduled.DOOR: P_DOOR, Scheduled.SHUT: P_SHUT}
    draws = luck.random(len(shares))
    steps = luck.integers(EARLIEST, LATEST)
    return [
        (int(step), kind)
        for (kind, share), draw, step in zip(shares.items(), draws, steps, strict=True)
        if draw < share * level
    ]


def step(world: World) -> None:
    """What goes wrong in this step."""
    level = world._level
    if world.held >= 0 and level and world._luck.random() < DROPS_PER_S * DT * level and not world.busy:
        drop(world)
    _catch_up(world, world.steps)


def skip(world: World, steps: int) -> None:
    """What goes wrong in `steps` steps in which nobody moves, all at once; `world.steps` is then so many later."""
    end = world.steps + steps
    if world.held >= 0 and world._level and not world.busy:
        dropped_at = world.steps + int(world._luck.geometric(DROPS_PER_S * DT * world._level))
        if dropped_at <= end:
            drop(world)
    _catch_up(world, end)
    world.steps = end


def slips(world: World) -> bool:
    """Whether this grasp fails."""
    return bool(world._luck.random() < P_SLIP * world._level)


def drop(world: World) -> None:
    """What is held falls to the floor ahead of the base, or under it where there is no room."""
    thing = world.things[world.held]
    grid = world.home.clearance(world.door_open)
    x = world.x + DROP_M * math.cos(world.heading)
    y = world.y + DROP_M * math.sin(world.heading)
    is_free = grid[cell(grid, x, y)] > 0.1
    thing.x, thing.y = (x, y) if is_free else (world.x, world.y)
    world.move_contents(world.held)
    world.held = -1
    world.disturbed.append(f"dropped: {thing.name}")


def _catch_up(world: World, end: int) -> None:
    """The scheduled disturbances up to step `end`; one that cannot happen yet stays."""
    for entry in [entry for entry in world._schedule if entry[0] <= end]:
        if _HAPPENS[entry[1]](world):
            world._schedule.remove(entry)


def _move_thing(world: World) -> bool:
    """Somebody carries a thing of the task elsewhere; not in front of the robot, not what is where it belongs."""
    loose = [
        i
        for i in world._task_things
        if world.root(i) != world.held
        and world.things[i].on not in ("", world._goal_place)
        and math.hypot(world.things[i].x - world.x, world.things[i].y - world.y) > UNSEEN_M
    ]
    if not loose:
        return False

    index = loose[int(world._luck.integers(len(loose)))]
    excluded = (world.things[index].on, world._goal_place, *LAMPS)
    places = [
        place
        for name, place in sorted(world.home.places.items())
        if name not in excluded and not place.opens and world.free_slots(place)
    ]
    if not places:
        return False

    place = places[int(world._luck.integers(len(places)))]
    world.disturbed.append(f"moved: {world.things[index].name} to {place.name}")
    world.put_on(index, place)
    return True


def _shut_door(world: World) -> bool:
    """The door between the rooms falls shut, when nobody is in it."""
    bodies = np.array([(world.x, world.y), *((p.x, p.y) for p in world.people)])
    if distances(bodies, np.array([world.home.door])).min() < ROBOT_M + 0.1:
        return False

    world.door_open = False
    world.disturbed.append("shut: door")
    return True


def _shut_furniture(world: World) -> bool:
    """A piece of furniture that was opened falls shut again."""
    opened = sorted(name for name, place in world.home.places.items() if place.opens and name not in world.shut)
    if not opened:
        return False

    name = opened[int(world._luck.integers(len(opened)))]
    world.shut.add(name)
    world.disturbed.append(f"shut: {name}")
    return True


_HAPPENS: dict[Scheduled, Callable[[World], bool]] = {
    Scheduled.MOVED: _move_thing,
    Scheduled.DOOR: _shut_door,
    Scheduled.SHUT: _shut_furniture,
}
"""What a scheduled disturbance does; False where it cannot happen now."""
