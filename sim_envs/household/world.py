"""The state of a home and its rules, without images: what moves, what may be done, what goes wrong. Numpy alone.

Kinematic: the base is a disc that follows its speeds exactly (arcs) within limits of acceleration and stops at what it
touches, which counts as a collision. Things do not fall or roll: a thing is in a slot of a place, inside another thing,
in the hand or on the floor, where it can be driven over. World frame: metres, the home's corner at (0, 0); headings in
rad, counterclockwise from x.

`World` holds the state and lets time pass. The rules are beside it: `motion`, `people`, `sensing`, `interactions`,
`disturbances`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import numpy as np

from rarrl.types import ObstacleSummary

from . import disturbances, interactions, sensing
from .catalogue import FURNITURE, OBJECTS
from .home import CELL_M, ROBOT_M, Home, Place, cell, distances
from .interactions import FRONT_REACH_M, REACH_M, REACH_RAD, InteractionOutcome, Row
from .motion import DT, MAX_ACCEL, MAX_ALPHA, MAX_OMEGA, MAX_V, MIN_V, STANDING, advance, limited, wrap
from .people import PERSON_M, Person, new_person, walk
from .sensing import FIELD_RAD, HEAD_M, RANGE_M, SECTORS

__all__ = [
    "DT",
    "FIELD_RAD",
    "HEAD_M",
    "MAX_ACCEL",
    "MAX_ALPHA",
    "MAX_OMEGA",
    "MAX_V",
    "MIN_V",
    "PERSON_M",
    "RANGE_M",
    "REACH_M",
    "REACH_RAD",
    "SECTORS",
    "STANDING",
    "InteractionOutcome",
    "Person",
    "Row",
    "Thing",
    "World",
    "advance",
    "wrap",
]

TRAY_M = 0.12  # m ahead of the middle of the base, where the held thing is: on a tray above the front edge
FRONT_MARGIN_M = 0.1  # m beyond either end of a place's front, from which the place can still be used
CONTACT_HALVINGS = 6  # of a step's path, to find where it touches: 0.06 m / 2**6 is a millimetre


@dataclass
class Thing:
    """A thing that can be carried. on: the place that holds it; inside: index of the thing that does, or -1; with
    neither, and not in the hand, it lies on the floor. (x, y) is where it is, metres, whatever holds it."""

    name: str
    on: str = ""
    slot: int = -1
    inside: int = -1
    x: float = 0.0
    y: float = 0.0
    sliced: bool = False
    clean: bool = False
    hot: bool = False
    cold: bool = False


class World:
    """A home in motion.

    Args:
        home: rooms and furniture, shared and never changed
        things: of one or more of `OBJECTS`; those with `on` are put into a free slot of that place
        seed: of luck and people; the same seed gives the same ones
        people: how many walk about; fewer where there is no room
        disturbance: scales how often things go wrong; 0: never
        task_things: indices of things that somebody may carry elsewhere
        goal_place: where such a thing then neither comes from nor goes to

    Attributes:
        x, y, heading, v, omega: of the base; metres, rad, m/s, rad/s
        held: index of the thing in the hand, or -1
        door_open: whether the door between the rooms is open
        shut: places whose door is closed
        lit: lamps that are on
        collisions: contacts so far
        contact: what the base touches now: "", "wall", "door", "person" or a place's name
        steps: done so far, of DT each
        outcome: of the interaction that ended in the last step
        disturbed: what went wrong in the last step, for people to read
    """

    def __init__(
        self,
        home: Home,
        things: list[Thing],
        seed: int = 0,
        people: int = 2,
        disturbance: float = 1.0,
        task_things: tuple[int, ...] = (),
        goal_place: str = "",
    ) -> None:
        self.home = home
        self.things = things
        self.x, self.y, self.heading = home.start
        self.v = 0.0
        self.omega = 0.0
        self.held = -1

        self.door_open = True
        self.shut = {name for name, place in home.places.items() if place.opens}
        self.lit: set[str] = set()

        self.collisions = 0
        self.contact = ""
        self.steps = 0
        self.outcome: InteractionOutcome | None = None
        self.disturbed: list[str] = []
        self._pending: Row | None = None
        self._busy = 0  # steps until the pending interaction ends

        self._level = disturbance
        self._goal_place = goal_place
        self._task_things = task_things
        self._luck = np.random.default_rng([seed, 1])
        self._crowd = np.random.default_rng([seed, 2])
        for index, thing in enumerate(things):
            if thing.on:
                self.put_on(index, home.places[thing.on])
        self._schedule = disturbances.draw_schedule(self._luck, disturbance)

        tall = np.array([True] * len(home.walls) + [FURNITURE[name].tall > HEAD_M for name in home.places])
        self._solid = {True: home.boxes, False: np.vstack([home.boxes, home.door])}
        self._tall = {True: home.boxes[tall], False: np.vstack([home.boxes[tall], home.door])}
        self.people = self._new_people(people)

    def copy(self) -> World:
        """A world of its own that goes on from here with the same luck; the home is shared."""
        other = copy.copy(self)
        other.things = [replace(thing) for thing in self.things]
        other.people = [replace(person) for person in self.people]
        other.shut = set(self.shut)
        other.lit = set(self.lit)
        other.disturbed = list(self.disturbed)
        other._schedule = list(self._schedule)
        other._luck = copy.deepcopy(self._luck)
        other._crowd = copy.deepcopy(self._crowd)
        return other

    # Where things are

    def free_slots(self, place: Place) -> list[int]:
        """Slots of `place` that hold nothing."""
        taken = {thing.slot for thing in self.things if thing.on == place.name}
        return [slot for slot in range(len(place.slots)) if slot not in taken]

    def root(self, index: int) -> int:
        """The thing that carries thing `index`, in the end; itself where none does."""
        while self.things[index].inside >= 0:
            index = self.things[index].inside
        return index

    def place_of(self, index: int) -> str:
        """The place that holds a thing, also within another thing; "" for the floor or the hand."""
        return self.things[self.root(index)].on

    def hidden(self, index: int) -> bool:
        """Whether a closed door is before it."""
        return self.place_of(index) in self.shut

    # What the base and the hand get to

    def at(self, name: str) -> bool:
        """Whether the base stands before a place and faces it, near enough to use it."""
        place = self.home.places.get(name)
        if place is None:
            return False

        (ax, ay), (fx, fy) = place.front, place.facing
        dx = self.x - ax
        dy = self.y - ay
        ahead = dx * fx + dy * fy
        along = -dx * fy + dy * fx
        facing = -(math.cos(self.heading) * fx + math.sin(self.heading) * fy)
        is_near = 0 < ahead <= FRONT_REACH_M and abs(along) <= place.width / 2 + FRONT_MARGIN_M
        return is_near and facing >= math.cos(REACH_RAD)

    def in_reach(self, x: float, y: float) -> bool:
        """Whether the hand gets to a point."""
        return math.hypot(x - self.x, y - self.y) <= REACH_M and abs(self.bearing(x, y)) <= REACH_RAD

    def bearing(self, x: float, y: float) -> float:
        """Of a point from the base, rad, left positive, -pi to pi."""
        return wrap(math.atan2(y - self.y, x - self.x) - self.heading)

    def find(self, name: str) -> int:
        """The nearest thing of a class that the hand gets to, else -1; behind closed doors too."""
        near = [
            (math.hypot(thing.x - self.x, thing.y - self.y), i)
            for i, thing in enumerate(self.things)
            if thing.name == name and self.root(i) != self.held and self.in_reach(thing.x, thing.y)
        ]
        return min(near)[1] if near else -1

    def arrived(self, name: str) -> bool:
        """Whether the base stands where a place, or a thing, of this class can be used."""
        return self.v < STANDING and (self.at(name) or (name in OBJECTS and self.find(name) >= 0))

    # What the robot perceives; see `sensing`

    def seen(self) -> list[int]:
        """Things in the field of view, within RANGE_M, with nothing taller than the head in between."""
        return sensing.visible(self)

    def scan(self) -> np.ndarray:
        """(SECTORS,) metres to the first footprint or person, at most RANGE_M, right to left."""
        return sensing.scan(self)

    def summary(self, stamp_s: float = 0.0) -> ObstacleSummary:
        """The `scan` in the form of a detector that is always right."""
        return sensing.summary(self, stamp_s)

    @property
    def solid_boxes(self) -> np.ndarray:
        """(n, 4) footprints that the base cannot enter: walls, furniture, and the door when it is shut."""
        return self._solid[self.door_open]

    @property
    def tall_boxes(self) -> np.ndarray:
        """(n, 4) those of them that are taller than the head."""
        return self._tall[self.door_open]

    # Time

    def step(self, v: float, omega: float, use: Row | None = None) -> None:
        """DT seconds. v, omega: speeds commanded, m/s and rad/s, clipped to the limits. use: the sub-goal whose
        interaction begins now; the base stands still until it has ended (`outcome`). A refused one ends at once."""
        self.steps += 1
        self.outcome = None
        self.disturbed = []

        if self._busy:
            v = 0.0
            omega = 0.0
        self._drive(v, omega)
        for person in self.people:
            walk(person, self._crowd, self.home, (self.x, self.y), self.people)
        disturbances.step(self)

        if self._busy:
            self._busy -= 1
            if not self._busy and self._pending is not None:
                pending = self._pending
                self._pending = None
                interactions.finish(self, pending)
        elif use is not None:
            self._pending, self._busy = interactions.begin(self, use)

    def skip(self, steps: int) -> None:
        """`steps` steps in which nobody moves and no interaction ends, all at once; what goes wrong by chance goes
        wrong."""
        if steps > 0:
            disturbances.skip(self, steps)

    @property
    def busy(self) -> bool:
        """Whether an interaction is under way."""
        return self._busy > 0

    def _drive(self, v: float, omega: float) -> None:
        self.v, self.omega = limited(v, omega, self.v, self.omega)
        x, y, heading = advance(self.x, self.y, self.heading, self.v, self.omega)
        if self.v:
            touched = self.touches(x, y)
            if touched:
                self.collisions += not self.contact
                x, y = self._until_contact()
                self.v = 0.0
            self.contact = touched
            self.x = x
            self.y = y
        self.heading = heading
        if self.held >= 0:
            self._carry()

    def _until_contact(self) -> tuple[float, float]:
        """Where the base comes to in this step before it touches, to a millimetre."""
        free = (self.x, self.y)
        dt = 0.0
        for half in (DT / 2**n for n in range(1, CONTACT_HALVINGS + 1)):
            x, y, _ = advance(self.x, self.y, self.heading, self.v, self.omega, dt + half)
            if not self.touches(x, y):
                free = (x, y)
                dt += half
        return free

    def touches(self, x: float, y: float) -> str:
        """What a base at (x, y) would touch: "", "wall", "door", "person" or a place's name."""
        for person in self.people:
            if math.hypot(person.x - x, person.y - y) < ROBOT_M + PERSON_M:
                return "person"

        grid = self.home.clearance(self.door_open)
        if grid[cell(grid, x, y)] > ROBOT_M + CELL_M:  # half a cell's diagonal is less
            return ""

        away = distances(np.array([[x, y]]), self.solid_boxes)[0]
        nearest = int(away.argmin())
        if away[nearest] >= ROBOT_M:
            return ""
        names = ["wall"] * len(self.home.walls) + list(self.home.places) + ["door"]
        return names[nearest]

    # Interactions; see `interactions`

    def refusal(self, row: Row) -> str:
        """Why the interaction of a sub-goal cannot be done now; "" where it can."""
        return interactions.refusal(self, row)

    def apply(self, row: Row) -> None:
        """The effect of an interaction, whatever `refusal` says; of a thing out of reach the first of its class."""
        interactions.apply(self, row)

    def open(self, name: str) -> None:
        """Opens a place, or the "door" between the rooms."""
        if name == "door":
            self.door_open = True
        else:
            self.shut.discard(name)

    def take(self, index: int) -> None:
        """Into the hand, with what is inside of it."""
        thing = self.things[index]
        thing.on = ""
        thing.slot = -1
        thing.inside = -1
        self.held = index
        self._carry()

    def put_on(self, index: int, place: Place) -> None:
        """Into the free slot of a place that is nearest to the base. Raises: ValueError where there is none."""
        free = self.free_slots(place)
        if not free:
            raise ValueError(f"{place.name} is full ({len(place.slots)} things)")

        slot = min(free, key=lambda s: math.hypot(place.slots[s][0] - self.x, place.slots[s][1] - self.y))
        thing = self.things[index]
        thing.on = place.name
        thing.slot = slot
        thing.inside = -1
        thing.x, thing.y = place.slots[slot]
        self.move_contents(index)

    def put_into(self, index: int, container: int) -> None:
        """Into another thing."""
        thing = self.things[index]
        thing.on = ""
        thing.slot = -1
        thing.inside = container
        thing.x = self.things[container].x
        thing.y = self.things[container].y
        self.move_contents(index)

    def move_contents(self, index: int) -> None:
        """Brings what is inside of a thing to where the thing is."""
        for inner, thing in enumerate(self.things):
            if thing.inside == index:
                thing.x = self.things[index].x
                thing.y = self.things[index].y
                self.move_contents(inner)

    def _carry(self) -> None:
        """Brings what is held to where the hand is."""
        thing = self.things[self.held]
        thing.x = self.x + TRAY_M * math.cos(self.heading)
        thing.y = self.y + TRAY_M * math.sin(self.heading)
        self.move_contents(self.held)

    def teleport(self, x: float, y: float, heading: float) -> None:
        """Puts the base elsewhere, at rest, with what it holds; people are placed again, away from it."""
        self.x = x
        self.y = y
        self.heading = heading
        self.v = 0.0
        self.omega = 0.0
        if self.held >= 0:
            self._carry()
        self.people = self._new_people(len(self.people))

    def _new_people(self, count: int) -> list[Person]:
        found = (new_person(self._crowd, self.home, (self.x, self.y)) for _ in range(count))
        return [person for person in found if person is not None]
