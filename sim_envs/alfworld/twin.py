"""A fast twin of ALFWorld's games: the same text as TextWorld's, for the same commands, in a thousandth of the time.

It knows the one PDDL domain and the one grammar of alfworld 0.4 (`alfred.pddl`, `alfred.twl2`), with what the planner
under TextWorld makes of them: a command that would change nothing is none, and things can be examined in the hand
alone. Tests and `benchmarks/alfworld_twin.py` compare it with TextWorld, command by command."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from rarrl.errors import InputError
from rarrl.strict_json import short

from .games import Game
from .pddl import holds, read_problem
from .text import NOTHING

HELP = """\
Available commands:
  look:                             look around your current location
  inventory:                        check your current inventory
  go to (receptacle):               move to a receptacle
  open (receptacle):                open a receptacle
  close (receptacle):               close a receptacle
  take (object) from (receptacle):  take an object from a receptacle
  move (object) to (receptacle):  place an object in or on a receptacle
  examine (something):              examine a receptacle or an object
  use (object):                     use an object
  heat (object) with (receptacle):  heat an object using a receptacle
  clean (object) with (receptacle): clean an object using a receptacle
  cool (object) with (receptacle):  cool an object using a receptacle
  slice (object) with (object):     slice an object using a sharp object
"""
TREATMENTS = {
    "clean": ("cleanable", ("sinktype", "sinkbasintype"), "isclean", ""),
    "heat": ("heatable", ("microwavetype",), "ishot", "iscool"),
    "cool": ("coolable", ("fridgetype",), "iscool", "ishot"),
}
"""Command -> what the thing must be, types of receptacles that do it, what it becomes, what it is no more."""
ADJECTIVES = (
    ({"isclean", "ishot", "issliced"}, "This is a hot and clean sliced"),
    ({"isclean", "iscool", "issliced"}, "This is a cool and clean sliced"),
    ({"isclean", "issliced"}, "This is a clean sliced"),
    ({"ishot", "issliced"}, "This is a hot sliced"),
    ({"iscool", "issliced"}, "This is a cool sliced"),
    ({"isclean", "ishot"}, "This is a hot and clean"),
    ({"isclean", "iscool"}, "This is a cool and clean"),
    ({"ishot"}, "This is a hot"),
    ({"isclean"}, "This is a clean"),
    ({"iscool"}, "This is a cold"),
)
"""What a thing is -> what is said of it when it is examined; the first that fits."""
_CHANGING = (*("opened", "inreceptacle", "objectatlocation", "holds", "isclean", "ishot", "iscool"), "issliced",
             "istoggled", "atlocation")  # fmt: skip
_COMMANDS = re.compile(
    r"(?P<verb>look|inventory|help)|go to (?P<to>.+)|(?P<one>open|close|examine|use) (?P<what>.+)"
    r"|take (?P<taken>.+) from (?P<source>.+)|move (?P<moved>.+) to (?P<target>.+)"
    r"|(?P<two>heat|clean|cool|slice) (?P<thing>.+) with (?P<tool>.+)"
)


class Twin:
    """A game that is played by text alone.

    Args:
        game: to be played.

    Raises: InputError where its problem is none."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._start = read_problem(game.problem, f"ALFWorld: game {game.name}")
        facts = self._start.facts
        self._names = names_of(each for rows in facts.values() for row in rows for each in row)
        self._ids = {name: each for each, name in self._names.items()}
        self._places = self._pairs("receptacleatlocation")
        self._place_types = self._pairs("receptacletype")
        self._types = self._pairs("objecttype")
        openable = facts.get("openable", ())
        if any(len(row) != 1 for row in openable):
            raise InputError(f"ALFWorld: game {game.name}: openable is of one thing each; get the game again")
        self._openable = {place for (place,) in openable}
        spoken = {*self._places, *self._pairs("holds").values()}
        for predicate in ("inreceptacle", "objectatlocation", "inreceptacleobject"):
            spoken |= self._pairs(predicate).keys()
        for each in sorted(spoken - self._names.keys()):
            raise InputError(f"ALFWorld: game {game.name}: {short(each)} is no id (Class_bar_...); get the game again")
        agents = tuple(self._pairs("atlocation"))
        if len(agents) != 1 or not self._places:
            raise InputError(f"ALFWorld: game {game.name}: its problem has no agent, or no receptacles; get it again")
        self._agent = agents[0]
        try:
            holds(self._start.goal, facts)
        except ValueError as error:
            raise InputError(f"ALFWorld: game {game.name}: {error}; get the game again") from None
        self.reset()

    def _pairs(self, predicate: str) -> dict[str, str]:
        """The first argument of each fact -> the second, sorted. Raises: InputError for a fact of another form."""
        rows = sorted(self._start.facts.get(predicate, ()))
        if any(len(row) != 2 for row in rows):
            raise InputError(f"ALFWorld: game {self._game.name}: {predicate} is of two things each; get the game again")
        return {row[0]: row[1] for row in rows}

    def reset(self) -> str:
        """Begins anew; returns the opening text."""
        self._facts = {predicate: set(rows) for predicate, rows in self._start.facts.items()}
        for predicate in _CHANGING:
            self._facts.setdefault(predicate, set())
        self._left: set[tuple[str, str]] = set()  # (thing, receptacle): it was there and was taken away
        around = listed(f"a {self._names[place]}" for place in self._places)
        here = self._places_here()
        look = (
            self._look() if here else f"You are in the middle of a room. Looking quickly around you, you see {around}."
        )
        return f"-= Welcome to TextWorld, ALFRED! =-\n\n{look}\n\nYour task is to: {self._game.goal}"

    @property
    def won(self) -> bool:
        """Whether the task is done."""
        return holds(self._start.goal, self._facts)

    def step(self, command: str) -> str:
        """What the world answers to a command."""
        said = _COMMANDS.fullmatch(command.strip())
        if said is None:
            return NOTHING
        words = {key: value for key, value in said.groupdict().items() if value is not None}
        match words:
            case {"verb": "look"}:
                return self._look()
            case {"verb": "inventory"}:
                return self._inventory()
            case {"verb": "help"}:
                return HELP
            case {"to": place}:
                return self._go(self._ids.get(place, ""))
            case {"one": verb, "what": what}:
                return getattr(self, f"_{verb}")(self._ids.get(what, ""))
            case {"taken": thing, "source": place}:
                return self._take(self._ids.get(thing, ""), self._ids.get(place, ""))
            case {"moved": thing, "target": place}:
                return self._move(self._ids.get(thing, ""), self._ids.get(place, ""))
            case {"two": "slice", "thing": thing, "tool": tool}:
                return self._slice(self._ids.get(thing, ""), self._ids.get(tool, ""))
            case {"two": verb, "thing": thing, "tool": tool}:
                return self._treat(verb, self._ids.get(thing, ""), self._ids.get(tool, ""))
        return NOTHING

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that the game knows of, also of what cannot be reached: for tests."""
        return tuple(self._ids)

    def possible(self) -> tuple[str, ...]:
        """All commands at which something would happen, sorted, as TextWorld's `admissible_commands`."""
        here, location = self._places_here(), self._at
        held = [self._names[thing] for _, thing in self._facts["holds"]]
        near = [self._names[thing] for thing, where in self._facts["objectatlocation"] if where == location]
        tried = ["look", "inventory", "help", *(f"go to {self._names[place]}" for place in self._places)]
        for place in (self._names[each] for each in here):
            tried += [f"{verb} {place}" for verb in ("open", "close", "examine")]
            tried += [f"{verb} {thing} with {place}" for verb in TREATMENTS for thing in held]
            tried += [f"move {thing} to {place}" for thing in held]
        for thing, place in self._facts["inreceptacle"]:
            if place in here:
                tried += [f"take {self._names[thing]} from {self._names[place]}", f"use {self._names[thing]}"]
        tried += [f"examine {thing}" for thing in held] + [f"slice {a} with {b}" for a in near for b in held]
        return tuple(sorted({command for command in tried if self._would(command)}))

    def _would(self, command: str) -> bool:
        """Whether something would happen."""
        facts, left = {predicate: set(self._facts[predicate]) for predicate in _CHANGING}, set(self._left)
        happened = self.step(command) != NOTHING
        self._facts.update(facts)
        self._left = left
        return happened

    # What is said

    def _look(self) -> str:
        here = self._places_here()
        if not here:  # the grammar lists the receptacles of where the robot stands: none
            return "You are in the middle of a room. Looking quickly around you, you see nothing."
        beside = [
            f"a {self._names[thing]}"
            for thing, location in sorted(self._facts["objectatlocation"])
            for place in here
            if location == self._at and (thing, place) in self._left
        ]
        return (
            f"You are facing the {listed(self._names[place] for place in here)}. Next to it, you see {listed(beside)}."
        )

    def _inventory(self) -> str:
        held = sorted(thing for _, thing in self._facts["holds"])
        if not held:
            return "You are not carrying anything."
        return f"You are carrying: {listed(f'a {self._names[thing]}' for thing in held)}."

    def _seen(self, place: str) -> str:
        """What is said of a receptacle where the robot stands."""
        name = self._names[place]
        things = sorted(thing for thing, where in self._facts["inreceptacle"] if where == place)
        inside = listed(f"a {self._names[thing]}" for thing in things)
        if place not in self._openable:
            return f"On the {name}, you see {inside}."
        return f"The {name} is open. In it, you see {inside}." if self._is_open(place) else f"The {name} is closed."

    # What can be done

    def _go(self, place: str) -> str:
        location = self._places.get(place)
        if location is None or location == self._at:
            return NOTHING
        self._facts["atlocation"] = {(self._agent, location)}
        return f"You arrive at {self._names[place]}. {self._seen(place)}"

    def _open(self, place: str) -> str:
        if not self._is_here(place) or self._is_open(place):
            return NOTHING
        self._facts["opened"].add((place,))
        return f"You open the {self._names[place]}. {self._seen(place)}"

    def _close(self, place: str) -> str:
        if not self._is_here(place) or (place,) not in self._facts["opened"]:
            return NOTHING
        self._facts["opened"].remove((place,))
        return f"You close the {self._names[place]}."

    def _take(self, thing: str, place: str) -> str:
        can = self._is_here(place) and self._is_open(place) and not self._facts["holds"]
        if not can or (thing, place) not in self._facts["inreceptacle"] or not self._is(thing, "pickupable"):
            return NOTHING
        self._facts["inreceptacle"].remove((thing, place))
        self._facts["objectatlocation"].discard((thing, self._at))
        self._facts["holds"] = {(self._agent, thing)}
        self._left.add((thing, place))
        return f"You pick up the {self._names[thing]} from the {self._names[place]}."

    def _move(self, thing: str, place: str) -> str:
        can = self._is_here(place) and self._is_open(place) and self._holds(thing)
        fits = (self._place_types.get(place, ""), self._types.get(thing, "")) in self._facts.get("cancontain", ())
        if not can or not fits:
            return NOTHING
        self._facts["holds"] = set()
        self._facts["inreceptacle"].add((thing, place))
        self._facts["objectatlocation"].add((thing, self._at))
        self._left.discard((thing, place))
        return f"You move the {self._names[thing]} to the {self._names[place]}."

    def _use(self, thing: str) -> str:
        here = any((thing, place) in self._facts["inreceptacle"] for place in self._places_here())
        if not here or not self._is(thing, "toggleable"):
            return NOTHING
        self._facts["istoggled"].add((thing,))
        return f"You turn on the {self._names[thing]}."

    def _treat(self, verb: str, thing: str, place: str) -> str:
        ability, types, becomes, ends = TREATMENTS[verb]
        can = self._is_here(place) and self._place_types.get(place) in types
        if not can or not self._holds(thing) or not self._is(thing, ability):
            return NOTHING
        self._facts[becomes].add((thing,))
        if ends:
            self._facts[ends].discard((thing,))
        return f"You {verb} the {self._names[thing]} using the {self._names[place]}."

    def _slice(self, thing: str, knife: str) -> str:
        here = (thing, self._at) in self._facts["objectatlocation"]
        sharp = self._types.get(knife) in ("knifetype", "butterknifetype")
        if not here or not sharp or not self._holds(knife) or not self._is(thing, "sliceable"):
            return NOTHING
        self._facts["issliced"].add((thing,))
        return f"You sliced the {self._names[thing]} with the {self._names[knife]}."

    def _examine(self, what: str) -> str:
        if self._is_here(what):
            return self._seen(what)
        if not self._holds(what):
            return NOTHING
        name = self._names[what]
        if self._is(what, "isreceptacleobject"):
            inner = sorted(thing for thing, outer in self._facts.get("inreceptacleobject", ()) if outer == what)
            inside = listed(f"a {self._names[thing]}" for thing in inner)
            return f"This is a normal {name}. In it, you see {inside}."
        is_now = {each for each in _STATES if self._is(what, each)}
        for needed, words in ADJECTIVES:
            if needed <= is_now:
                return f"{words} {name}."
        if self._is(what, "sliceable") and "issliced" in is_now:
            return f"This is a sliced {name}."
        return f"There's nothing special about {name}."

    # What is so

    @property
    def _at(self) -> str:
        ((_, location),) = self._facts["atlocation"]
        return location

    def _places_here(self) -> list[str]:
        at = self._at
        return [place for place, location in self._places.items() if location == at]

    def _is_here(self, place: str) -> bool:
        return bool(place) and self._places.get(place) == self._at

    def _is_open(self, place: str) -> bool:
        return place not in self._openable or (place,) in self._facts["opened"]

    def _holds(self, thing: str) -> bool:
        return (self._agent, thing) in self._facts["holds"]

    def _is(self, thing: str, predicate: str) -> bool:
        return (thing,) in self._facts.get(predicate, ())


_STATES = ("isclean", "ishot", "iscool", "issliced")


def listed(names: Iterable[str]) -> str:
    """As the grammar lists: with ", and " before the last one, "nothing" for none."""
    found = list(names)
    if len(found) > 1:
        found[-1] = f"and {found[-1]}"
    return ", ".join(found) or "nothing"


def names_of(ids: Iterable[str]) -> dict[str, str]:
    """Id -> name, as ALFWorld's `AlfredDemangler` gives them: the class, and a number that counts down as ids go up."""
    found = sorted({each for each in ids if "_bar_" in each})
    classes = {each: each.partition("_bar_")[0] + ("basin" if "basin" in each else "") for each in found}
    left = Counter(classes.values())
    names = {}
    for each in found:
        names[each] = f"{classes[each]} {left[classes[each]]}"
        left[classes[each]] -= 1
    return names
