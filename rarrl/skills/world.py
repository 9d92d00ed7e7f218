"""`world.yaml`: the rooms, places, doors and things that a robot knows of, and what people call them."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.plugins import did_you_mean
from rarrl.skills.facts import Condition, State, locates
from rarrl.skills.skill_set import KINDS, NAME
from rarrl.strict_json import short, validated
from rarrl.strict_yaml import read_yaml

WORLD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""A room, place, door or thing, as in tool_box: 1 to 40 letters, digits, - and _."""


Value = bool | int | float | str
"""What a robot may call a place or thing by."""
PARTS = ("name", "room", "frame", "pose", "x", "y", "yaw")
"""What a goal can take of any place: `{to.x}`."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _values() -> Any:
    return Field(
        default={},
        description="the robot's own numbers and words for it, such as {stop: 3}, which a goal takes as {to.stop}",
    )


class Room(_Part):
    """A room."""

    aliases: tuple[str, ...] = Field(default=(), description="other names that people use")


class Place(_Part):
    """A place where the robot can stand and things can be. pose: in `World.frame`, metres and radians."""

    room: str = Field(default="", description="the room that it is in")
    aliases: tuple[str, ...] = Field(default=(), description="other names that people use")
    pose: tuple[float, float, float] | None = Field(default=None, description="[x, y, yaw] in metres and radians")
    opens: bool = Field(default=False, description="whether it has to be open before something is taken out or put in")
    open: bool = Field(default=True, description="whether it is believed to be open at the start")
    charger: bool = Field(default=False, description="whether the robot charges here")
    holds: bool = Field(default=True, description="whether things can be here")
    groups: tuple[str, ...] = Field(default=(), description="groups that it belongs to, such as soft")
    values: dict[str, Value] = _values()


class Door(_Part):
    """A passage between two rooms, which may be shut."""

    between: tuple[str, str] = Field(description="[room, room]")
    aliases: tuple[str, ...] = Field(default=(), description="other names that people use")
    pose: tuple[float, float, float] | None = Field(default=None, description="[x, y, yaw] in metres and radians")
    open: bool = Field(default=True, description="whether it is believed to be open at the start")
    values: dict[str, Value] = _values()

    def beyond(self, room: str) -> str:
        """The room on the other side of the door from `room`."""
        return self.between[1] if self.between[0] == room else self.between[0]


class Thing(_Part):
    """A class of things."""

    aliases: tuple[str, ...] = Field(default=(), description="other names that people use")
    at: tuple[str, ...] = Field(default=(), description="places where one is known to be at the start")
    usual: dict[str, float] = Field(default={}, description="place -> how likely such a thing is there, above 0 to 1")
    groups: tuple[str, ...] = Field(default=(), description="groups that it belongs to, such as drink")
    portable: bool = Field(default=True, description="whether the robot can carry it; false for such as a fixed lamp")
    holds: bool = Field(
        default=False, description="whether things can be in or on it, also while it is carried, as in a cup"
    )
    values: dict[str, Value] = _values()


class Battery(_Part):
    """When the robot goes to its charger before it goes on with a task."""

    field: str = Field(default="", description="field of results or feedback that holds the level; empty: not watched")
    full: float = Field(default=100.0, gt=0.0, description="the level of a full battery, in the field's unit")
    low: float = Field(
        default=30.0, ge=0.0, description="below this level the robot charges first, in the field's unit"
    )


class Confirmed(_Part):
    """What a person has to say yes to before any skill handles it, goes there, or brings both together: names, groups
    (<knives>), or pairs [thing, place] of them."""

    always: tuple[str | tuple[str, str], ...] = Field(default=(), description="each time")
    unasked: tuple[str | tuple[str, str], ...] = Field(
        default=(), description="where the instruction does not name it, of a pair both together"
    )

    @property
    def entries(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(always or unasked, a name or group, or two of them), those of each time first."""
        both = (("always", self.always), ("unasked", self.unasked))
        return tuple((when, (e,) if isinstance(e, str) else e) for when, entries in both for e in entries)


class World(_Part):
    """All of `world.yaml`."""

    frame: str = Field(default="map", description="TF frame of the poses")
    start: str = Field(default="", description="place or room where the robot is at the start; empty: unknown")
    hands: int = Field(default=1, ge=0, le=20, description="how many things it can carry, 0 to 20")
    facts: tuple[str, ...] = Field(default=(), description="further facts that hold at the start")
    battery: Battery = Field(default=Battery(), description="when the robot goes to its charger first")
    rooms: dict[str, Room] = Field(default={}, description="name -> room")
    places: dict[str, Place] = Field(default={}, description="name -> place")
    doors: dict[str, Door] = Field(default={}, description="name -> door")
    things: dict[str, Thing] = Field(default={}, description="class -> what is known of it")
    forbidden_pairs: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="[thing, place] that must not meet, as names or groups (<knives>), also where the thing is in "
        "another one; an operator's policy that gives pairs replaces them",
    )
    confirm: Confirmed = Field(default=Confirmed(), description="what a person has to say yes to")

    @model_validator(mode="before")
    @classmethod
    def _bare_keys(cls, value: object) -> object:
        """`charger:` with nothing behind it is a place of which nothing more is said."""
        if isinstance(value, dict):
            return {
                key: {name: {} if each is None else each for name, each in part.items()}
                if isinstance(part, dict)
                else part
                for key, part in value.items()
            }
        return value

    @model_validator(mode="after")
    def _fits(self) -> World:
        names: dict[str, str] = {}
        for kind in ("rooms", "places", "doors", "things"):
            for name in getattr(self, kind):
                if not WORLD_NAME.fullmatch(name):
                    raise ValueError(f"{kind}: {short(name)} is no name (allowed: 1 to 40 letters, digits, - and _)")
                if name in names:
                    raise ValueError(f"{kind}: {short(name)} is among {names[name]} too; take another name")
                names[name] = kind

        for name, place in self.places.items():
            if place.room:
                _known(place.room, self.rooms, f"places.{name}.room")
        for name, door in self.doors.items():
            for room in door.between:
                _known(room, self.rooms, f"doors.{name}.between")
        for name, thing in self.things.items():
            for at in (*thing.at, *thing.usual):
                _known(at, self.names("place") + self.names("receptacle"), f"things.{name}")
            for at, likely in thing.usual.items():
                if not 0.0 < likely <= 1.0:
                    raise ValueError(f"things.{name}.usual.{at}: {likely} is not allowed (allowed: above 0 to 1)")
        for kind in ("places", "things"):
            for name, each in getattr(self, kind).items():
                for group in each.groups:
                    if group in KINDS or group in names or not NAME.fullmatch(group):
                        raise ValueError(f"{kind}.{name}.groups: {short(group)} cannot name a group; take another name")
        for kind in ("places", "doors", "things"):
            for name, each in getattr(self, kind).items():
                for word in each.values:
                    if word in PARTS or word in type(each).model_fields or not NAME.fullmatch(word):
                        raise ValueError(f"{kind}.{name}.values: {short(word)} cannot name a value; take another name")
        for pair in self.forbidden_pairs:
            for name in pair:
                _known(name, [*names, *(f"<{group}>" for group in self.groups)], "forbidden_pairs")
        for when, entry in self.confirm.entries:
            for name in entry:
                _known(name, [*names, *(f"<{group}>" for group in self.groups)], f"confirm.{when}")
        for fact in self.facts:
            Condition.parse(fact)
        for kind in ("places", "doors"):
            for name, each in getattr(self, kind).items():
                if not all(map(math.isfinite, each.pose or ())):
                    raise ValueError(f"{kind}.{name}.pose: {list(each.pose)} is not allowed (allowed: finite numbers)")
        if self.start:
            _known(self.start, {**self.places, **self.rooms}, "start")
        return self

    @cached_property
    def named(self) -> dict[str, Room | Place | Door | Thing]:
        """All rooms, places, doors and things by name."""
        return {**self.rooms, **self.places, **self.doors, **self.things}

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group -> the things and places in it."""
        found: dict[str, list[str]] = {}
        both: dict[str, Thing | Place] = {**self.things, **self.places}
        for name, each in both.items():
            for group in each.groups:
                found.setdefault(group, []).append(name)
        return {group: tuple(names) for group, names in found.items()}

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, ...]]:
        both: dict[str, Thing | Place] = {**self.places, **self.things}
        return self.groups | {
            "thing": tuple(self.things),
            "place": tuple(self.places),
            "door": tuple(self.doors),
            "room": tuple(self.rooms),
            "portable": tuple(name for name, thing in self.things.items() if thing.portable),
            "receptacle": tuple(name for name, each in both.items() if each.holds),
        }

    def names(self, kind: str) -> tuple[str, ...]:
        """What an argument of `kind` may be: thing, portable, receptacle, place, door, room, or a group.

        Raises: KeyError."""
        return self._kinds[kind]

    def members(self, word: str) -> tuple[str, ...]:
        """The names that a word of a condition or pair stands for: `<knives>` for a group. Raises: KeyError."""
        return self.groups[word[1:-1]] if word.startswith("<") else (word,)

    def extended(self, things: Mapping[str, Thing], places: Mapping[str, Place]) -> World:
        """The same with more things and places. A place that is to be a thing as well becomes a thing that holds
        others, and so does a thing that is to be a place. Raises: ValueError."""
        all_things, all_places = dict(self.things), dict(self.places)
        for name, thing in things.items():
            place = all_places.pop(name, None)
            if place is not None:
                all_things[name] = Thing(aliases=place.aliases, groups=place.groups, holds=True, values=place.values)
            all_things.setdefault(name, thing)
        for name, place in places.items():
            if name in all_things:
                all_things[name] = all_things[name].model_copy(update={"holds": True})
            else:
                all_places.setdefault(name, place)
        fields = {name: getattr(self, name) for name in World.model_fields}
        return World(**(fields | {"things": all_things, "places": all_places}))

    def room_of(self, name: str) -> str:
        """The room of a place; "" where none is known."""
        place = self.places.get(name)
        return place.room if place is not None else ""

    def distance_m(self, start: str, end: str) -> float:
        """Straight metres between two places, doors or rooms, from their middle; 0 where a pose is not given."""
        a, b = (self._pose(name) for name in (start, end))
        if a is None or b is None:
            return 0.0
        return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)

    def _pose(self, name: str) -> tuple[float, float, float] | None:
        found = self.places.get(name) or self.doors.get(name)
        return found.pose if found is not None else self._middles.get(name)

    @cached_property
    def _middles(self) -> dict[str, tuple[float, float, float]]:
        """Room -> the mean of the poses in it and at its doors, where one is given."""
        found = {}
        for name in self.rooms:
            poses = [place.pose for place in self.places.values() if place.room == name and place.pose is not None]
            poses += [door.pose for door in self.doors.values() if name in door.between and door.pose is not None]
            if poses:
                found[name] = (sum(p[0] for p in poses) / len(poses), sum(p[1] for p in poses) / len(poses), 0.0)
        return found

    def start_state(self) -> State:
        """What is the case at the start, as far as the file says."""
        located: dict[tuple[str, str], int] = {}
        for name, thing in self.things.items():
            for place in thing.at:
                located[name, place] = located.get((name, place), 0) + 1
        flags = {tuple(fact.split()) for fact in self.facts}
        flags |= {("open", name) for name, place in self.places.items() if place.opens and place.open}
        flags |= {("open", name) for name, door in self.doors.items() if door.open}
        return State(
            at=self.start if self.start in self.places else "",
            room=self.start if self.start in self.rooms else self.room_of(self.start),
            located=frozenset((thing, place, n) for (thing, place), n in located.items()),
            flags=frozenset(flags),
        )

    def is_open(self, name: str, state: State) -> bool:
        """Whether a place or door is open; what cannot be shut always is."""
        place = self.places.get(name)
        if name not in self.doors and (place is None or not place.opens):
            return True
        return ("open", name) in state.flags

    def holds(self, need: Condition, state: State) -> bool:
        """Whether a condition, its arguments filled in, holds."""
        return self._holds(need, state) != need.negated

    def _holds(self, need: Condition, state: State) -> bool:
        words = need.words
        if words == ("hand_empty",):
            return len(state.held) < max(self.hands, 1)
        if words[0] == "holding":
            return any(thing in state.held for thing in self.members(words[1]))
        if words[0] == "at" and len(words) == 2:
            if words[1].startswith("{"):
                return bool(state.at) and state.at in state.places_of(words[1][1:-7])
            return state.at == words[1]
        if words[0] == "reachable":
            return any(self.is_reachable(target, state) for target in state.meant(words[1]))
        if words[0] == "open":
            targets = state.meant(words[1])
            if words[1].startswith("{") and state.at in targets:  # of several, the one where the robot stands
                targets = (state.at,)
            return any(self.is_open(target, state) for target in targets)
        if locates(words):
            inside = state.within(words[2])
            return any(thing in inside for thing in self.members(words[0]))
        return any((*words[:-1], last) in state.flags for last in self.members(words[-1]))

    def reachable_rooms(self, state: State) -> frozenset[str]:
        """Rooms that the robot gets to through open doors; all of them where it does not know its own."""
        if not state.room:
            return frozenset(self.rooms)
        seen, queue = {state.room}, deque([state.room])
        while queue:
            room = queue.popleft()
            for name, door in self.doors.items():
                if room in door.between and ("open", name) in state.flags:
                    other = door.beyond(room)
                    if other not in seen:
                        seen.add(other)
                        queue.append(other)
        return frozenset(seen)

    def room_at(self, name: str, before: State) -> str:
        """The room of a robot that has come to a place or a door: of a door, the side that it came from."""
        room = self.room_of(name)
        door = self.doors.get(name)
        if room or door is None or before.room in door.between:
            return room or before.room
        reachable = self.reachable_rooms(before)
        return next((each for each in door.between if each in reachable), before.room)

    def is_reachable(self, name: str, state: State) -> bool:
        """Whether the robot can drive to a place, door or room. A shut door can be reached from both sides."""
        if not self.rooms or name == state.at:
            return True
        rooms = self.reachable_rooms(state)
        if name in self.doors:
            return bool(rooms & set(self.doors[name].between))
        room = name if name in self.rooms else self.room_of(name)
        return not room or room in rooms


def load_world(path: Path) -> World:
    """Reads a `world.yaml`. Raises: InputError, one line that says what, where, what is allowed."""
    return validated(World, read_yaml(path, "world") or {}, "world", str(path), {})


def _known(name: str, known: Iterable[str], where: str) -> None:
    known = list(dict.fromkeys(known))
    if name not in known:
        raise ValueError(
            f"{where}: {short(name)} is unknown (allowed: {', '.join(known)[:200]}){did_you_mean(name, known)}"
        )
