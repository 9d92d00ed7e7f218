"""What the hand can do: when an interaction is refused, how long it takes, and what it changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rarrl.alfred_plans import CONTAINERS, KNIVES, LAMPS

from .catalogue import APPLIANCES
from .disturbances import slips
from .motion import DT, STANDING

if TYPE_CHECKING:
    from .world import World

Row = tuple[str, ...]
"""A sub-goal as in ALFRED: (verb, class name, ...), e.g. ("PutObject", "mug", "shelf")."""

REACH_M = 0.8  # m from the middle of the base to what the hand gets to: a short arm on a base of 0.25 m radius
REACH_RAD = 0.6  # rad to either side of straight ahead
FRONT_REACH_M = 0.6  # m from a place's front edge, from which its whole width is in reach
DOOR_REACH_M = 1.2  # m to the middle of the door between the rooms, which is pushed open, not gripped

SECONDS = {"GotoLocation": 0.5, "PickupObject": 0.5, "PutObject": 0.5, "SliceObject": 1.0, "ToggleObject": 0.3}
"""How long an interaction takes, s; chosen, not measured."""
TREATMENT_S = 2.0  # s, washing, heating or cooling; ALFRED does them at once
OPENING_S = 0.5  # s, a door or lid

# Reasons of outcomes that other parts ask for.
OPENED = "opened"  # it opened a door: neither success nor failure
OUT_OF_REACH = "out of reach"  # no such thing, or not that place, before the base
NOT_IN_HAND = "not in the hand"  # or something else is
_OPEN_DOOR = "OpenDoor"  # begins the pending row while a door is being opened; no verb of ALFRED


@dataclass(frozen=True)
class InteractionOutcome:
    """How an interaction ended. reason: "" when it did what was asked."""

    row: Row
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return not self.reason


def refusal(world: World, row: Row) -> str:
    """Why the interaction of a sub-goal cannot be done now; "" where it can. A shut door in the way does not count: the
    interaction then opens it, and must be asked for again."""
    verb, *names = row
    if abs(world.v) >= STANDING:
        return "moving"

    holds = world.things[world.held].name if world.held >= 0 else ""
    if verb == "GotoLocation":
        return "" if shut_door(world, row) else "nothing to open"
    if verb == "PickupObject":
        return "hand full" if holds else _missing(world, names[0])
    if verb == "SliceObject":
        return _missing(world, names[0]) if holds in KNIVES else "no knife"
    if verb == "ToggleObject":
        return "" if names[0] in LAMPS and world.at(names[0]) else OUT_OF_REACH

    if names[0] and holds != names[0]:
        return NOT_IN_HAND
    if verb in APPLIANCES:
        return ("" if holds else NOT_IN_HAND) if world.at(APPLIANCES[verb]) else OUT_OF_REACH
    if verb == "PutObject":
        return _refusal_to_put(world, names[1])
    return f"unknown verb {verb}"


def _refusal_to_put(world: World, target: str) -> str:
    if target in world.home.places:
        if not world.at(target):
            return OUT_OF_REACH
        return "" if world.free_slots(world.home.places[target]) else "full"
    return _missing(world, target) if target in CONTAINERS else OUT_OF_REACH


def _missing(world: World, name: str) -> str:
    return "" if world.find(name) >= 0 else OUT_OF_REACH


def shut_door(world: World, row: Row) -> str:
    """The shut door that is in the way of an interaction: a place's name, "door" between the rooms, or ""."""
    verb, *names = row
    if verb == "GotoLocation":
        return _shut_room_door(world)

    if verb in APPLIANCES:
        name = APPLIANCES[verb]
    elif verb == "PutObject" and names[1] in world.home.places:
        name = names[1]
    elif verb == "ToggleObject":
        return ""
    else:
        index = world.find(names[-1])
        name = world.place_of(index) if index >= 0 else ""
    return name if name in world.shut else ""


def _shut_room_door(world: World) -> str:
    door = world.home.door
    x = (door[0] + door[2]) / 2
    y = (door[1] + door[3]) / 2
    near = not world.door_open and math.hypot(x - world.x, y - world.y) < DOOR_REACH_M
    return "door" if near and abs(world.bearing(x, y)) <= REACH_RAD else ""


def begin(world: World, row: Row) -> tuple[Row | None, int]:
    """Begins an interaction, or the opening of the door that is in its way: what is pending, and for how many steps. A
    refused one ends at once (`world.outcome`)."""
    reason = refusal(world, row)
    if reason:
        world.outcome = InteractionOutcome(row, reason)
        return None, 0

    door = shut_door(world, row)
    if door:
        return (_OPEN_DOOR, door, *row), round(OPENING_S / DT)
    return row, round(SECONDS.get(row[0], TREATMENT_S) / DT)


def finish(world: World, row: Row) -> None:
    """Ends what `begin` made pending: changes the world, or says why it failed after all."""
    if row[0] == _OPEN_DOOR:
        world.open(row[1])
        world.outcome = InteractionOutcome(row[2:], OPENED)
    elif reason := refusal(world, row) or shut_door(world, row):
        world.outcome = InteractionOutcome(row, reason)  # the world has changed since it began
    elif row[0] == "PickupObject" and slips(world):
        world.disturbed.append(f"slipped: {row[1]}")
        world.outcome = InteractionOutcome(row, "slipped")
    else:
        apply(world, row)
        world.outcome = InteractionOutcome(row)


def apply(world: World, row: Row) -> None:
    """The effect of an interaction, whatever `refusal` says; of a thing out of reach the first of its class."""
    verb, *names = row
    if verb == "PickupObject":
        world.take(_named(world, names[0]))
    elif verb == "PutObject":
        index = world.held
        world.held = -1
        if names[1] in world.home.places:
            world.put_on(index, world.home.places[names[1]])
        else:
            world.put_into(index, _named(world, names[1]))
    elif verb == "SliceObject":
        world.things[_named(world, names[0])].sliced = True
    elif verb == "ToggleObject":
        world.lit ^= {names[0]}
    elif verb in APPLIANCES:
        thing = world.things[world.held]
        thing.clean |= verb == "CleanObject"
        if verb != "CleanObject":
            thing.hot = verb == "HeatObject"
            thing.cold = verb == "CoolObject"


def _named(world: World, name: str) -> int:
    """The nearest thing of a class in reach, else the first of its class that is not in the hand."""
    found = world.find(name)
    if found >= 0:
        return found
    return next(i for i, thing in enumerate(world.things) if thing.name == name and world.root(i) != world.held)
