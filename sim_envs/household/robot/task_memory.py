"""What a robot remembers of a mission besides where things are: what it has done itself, and where it has looked."""

from __future__ import annotations

import math

from rarrl.alfred_plans import LAMPS
from rarrl.skills.plan import Step
from rarrl.types import ActStatus

from ..catalogue import APPLIANCES, FURNITURE
from ..env import HouseholdEnv
from ..executor import Event
from ..home import Place
from ..interactions import OUT_OF_REACH
from ..tasks import likely_places
from .remaining_plan import Found

_UNDOES = {"HeatObject": "CoolObject", "CoolObject": "HeatObject"}
"""Treatment -> the one whose effect it ends."""


class TaskMemory:
    """Begins with a mission of `env`; `note` after each attempt.

    Attributes:
        steps: sub-goals that succeeded, without GotoLocation
        lit: lamps that it switched on
        met: classes of furniture and things in this home, sorted
    """

    def __init__(self, env: HouseholdEnv) -> None:
        self._env = env
        self.steps: list[Step] = []
        self.lit: set[str] = set()
        self.met = tuple(sorted({*env.world.home.places, *(t.name for t in env.world.things)}))
        self._done: dict[int, set[str]] = {}  # thing -> verbs of what it did to it
        self._put: dict[int, str] = {}  # thing -> where it put it: a place, or the class of what holds it
        self._hand = -1  # index of the thing in the hand, or -1
        self._lost: dict[int, int] = {}  # thing -> step of the world since which its place is not known
        self._looked: dict[str, int] = {}  # place -> step at which it was last looked at from near

    def note(self, event: Event, begun: int) -> None:
        """After an attempt. begun: the world's step at its start."""
        world = self._env.world
        known = self._env.memory.known
        if event.status is not ActStatus.SUCCESS:
            self._miss(event)
        elif event.row[0] != "GotoLocation":
            self.steps.append(Step(event.row[0], event.row[1:]))
            self._do(event.row[0], event.row[1:])

        for index in range(len(world.things)):
            if index in known:
                self._lost.pop(index, None)
            else:
                self._lost.setdefault(index, begun)
        for name in world.home.places:
            if name not in world.shut and world.at(name):
                self._looked[name] = world.steps

    def _miss(self, event: Event) -> None:
        """A thing that the hand does not find where it was believed to be, behind a shut door too, is not there."""
        world = self._env.world
        memory = self._env.memory
        if event.row[0] not in ("PickupObject", "SliceObject", "PutObject"):
            return

        self._looked |= {name: world.steps for name in world.home.places if world.at(name)}
        if event.reason == OUT_OF_REACH:
            for index, spot in list(memory.spots.items()):
                if world.things[index].name == event.row[-1] and world.in_reach(*spot):
                    del memory.known[index], memory.spots[index]

    def _do(self, verb: str, names: tuple[str, ...]) -> None:
        """Notes the effect of a sub-goal that succeeded."""
        world = self._env.world
        if verb == "PickupObject":
            self._hand = world.held
            self._put.pop(self._hand, None)
        elif verb == "PutObject":
            self._put[self._hand] = names[1]
            self._env.memory.note(world, self._hand)
        elif verb == "SliceObject":
            self._done.setdefault(world.find(names[0]), set()).add(verb)
        elif verb == "ToggleObject":
            self.lit ^= {names[0]}
        elif verb in APPLIANCES:
            done = self._done.setdefault(self._hand, set())
            done.discard(_UNDOES.get(verb, ""))
            done.add(verb)

    def things(self) -> list[Found]:
        """What it knows of each thing."""
        known = self._env.memory.known
        return [
            Found(i, thing.name, known.get(i, ""), self._still(i), frozenset(self._done.get(i, ())))
            for i, thing in enumerate(self._env.world.things)
        ]

    def _still(self, index: int) -> str:
        """Where it put a thing, if it was not seen elsewhere since."""
        put = self._put.get(index, "")
        believed = self._env.memory.known.get(index, "")
        return put if put == believed or put not in FURNITURE else ""

    def here(self) -> frozenset[str]:
        """What it stands before: places, and classes of what it believes to lie on the floor within reach."""
        world = self._env.world
        memory = self._env.memory
        floor = {name for i, name in memory.known.items() if name not in FURNITURE and world.in_reach(*memory.spots[i])}
        return frozenset(floor | {name for name in world.home.places if world.at(name)})

    def has_put(self, name: str) -> bool:
        """Whether it has put a thing of a class somewhere, and believes it to be there."""
        return any(thing.name == name and self._still(i) for i, thing in enumerate(self._env.world.things))

    def look(self, name: str) -> str:
        """Where to look for a thing of a class.

        Of the places not looked at since it was lost: open ones before those that must be opened, then those where such
        things are usual, then the nearest. All of them again when none is left. Never where the robot has put one of
        the class itself."""
        world = self._env.world
        since = min((step for i, step in self._lost.items() if world.things[i].name == name), default=0)
        usual = likely_places(name)
        own = {self._still(i) for i, thing in enumerate(world.things) if thing.name == name}
        places = [place for n, place in world.home.places.items() if n not in LAMPS and n not in own]
        left = [place for place in places if self._looked.get(place.name, -1) < since] or places

        def order(place: Place) -> tuple[bool, bool, float]:
            away = math.hypot(place.front[0] - world.x, place.front[1] - world.y)
            return place.opens, place.name not in usual, away

        return min(left, key=order).name

    def spare(self, goals: set[str]) -> str:
        """The nearest surface with room, by what it knows, that is none of `goals`; the countertop where none is."""
        world = self._env.world
        known = list(self._env.memory.known.values())
        free = [
            place
            for name, place in world.home.places.items()
            if FURNITURE[name].is_surface and name not in goals and len(place.slots) - known.count(name) > 1
        ]

        def away(place: Place) -> tuple[bool, float]:
            return not world.at(place.name), math.hypot(place.front[0] - world.x, place.front[1] - world.y)

        return min(free, key=away).name if free else "countertop"
