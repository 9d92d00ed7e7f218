"""The state of a home and its rules, without pictures: what moves, what may be done, what goes wrong. Numpy alone.

Kinematic: the base is a disc that follows its speeds exactly (arcs) within limits of acceleration and stops at what it
touches, which counts as a collision. Things do not fall or roll: a thing is in a slot of a place, inside another thing,
in the hand or on the floor, where it can be driven over. World frame: metres, the home's corner at (0, 0); headings in
rad, counterclockwise from x.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rarrl.reasoner.checker import CONTAINERS, KNIVES
from rarrl.reasoner.prompt import LAMPS
from rarrl.types import ObstacleSummary

from .catalogue import APPLIANCES, FURNITURE, OBJECTS
from .home import CELL_M, ROBOT_M, Home, Place, cell, distances

DT = 0.1  # seconds of a step
MAX_V, MIN_V, MAX_OMEGA = 0.6, -0.2, 1.5
MAX_ACCEL, MAX_ALPHA = 1.2, 6.0  # m/s^2, rad/s^2
STANDING = 0.1  # m/s; slower counts as standing
REACH_M, REACH_RAD = 0.8, 0.6  # of the hand, from the middle of the base
FRONT_REACH_M = 0.6  # from a place's front edge
PERSON_M = 0.25
TRAY_M = 0.12  # what is held is so far ahead of the middle of the base
HEAD_M, FIELD_RAD = 1.1, math.radians(75.0)  # the stereo head
RANGE_M, SECTORS = 4.0, 31
BODY_WIDTH_M, LOOKAHEAD_M = 0.6, 2.0
SECONDS = {"GotoLocation": 0.5, "PickupObject": 0.5, "PutObject": 0.5, "SliceObject": 1.0, "ToggleObject": 0.3}
TREATMENT_S = 2.0  # washing, heating, cooling
OPENING_S = 0.5
# With `disturbance` 1: shares of the missions, of the grasps, and per second of carrying.
P_MOVED, P_DOOR, P_SHUT, P_SLIP, DROPS_PER_S = 0.4, 0.3, 0.3, 0.1, 0.005

Row = tuple[str, ...]
"""A sub-goal as in ALFRED: (verb, class name, ...), e.g. ("PutObject", "mug", "shelf")."""


@dataclass
class Thing:
    """A thing that can be carried. on: the place that holds it; inside: index of the thing that does, or -1; with
    neither, and not in the hand, it lies on the floor. (x, y) is where it is, whatever holds it."""

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


@dataclass
class Person:
    """Walks from spot to spot within a room, waits when the robot is close ahead."""

    x: float
    y: float
    speed: float  # m/s when walking
    goal: tuple[float, float]
    waits: int = 0  # steps
    vx: float = 0.0  # m/s, now
    vy: float = 0.0


@dataclass(frozen=True)
class InteractionOutcome:
    """How an interaction ended. reason: "" when it did what was asked."""

    row: Row
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did."""
        return not self.reason


class World:
    """A home in motion. things: of one or more of `OBJECTS`; those with `on` are put into a free slot of that place.

    task_things: indices that someone may carry elsewhere. people: how many walk about. disturbance: scales how often
    things go wrong; 0: never. The same seed gives the same luck.

    Attributes: x, y, heading, v, omega: of the base. held: index of the thing in the hand, or -1. shut: places whose
    door is closed. lit: lamps that are on. collisions: contacts so far; contact: what the base touches now, "", "wall",
    "person" or a place's name. steps: done so far. outcome: of the interaction that ended in the last step. disturbed:
    what went wrong in the last step, for people to read."""

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
        self.home, self.things = home, things
        self.x, self.y, self.heading = home.start
        self.v = self.omega = 0.0
        self.held = -1
        self.door_open = True
        self.shut = {name for name, place in home.places.items() if place.opens}
        self.lit: set[str] = set()
        self.collisions, self.contact, self.steps = 0, "", 0
        self.outcome: InteractionOutcome | None = None
        self.disturbed: list[str] = []
        self._pending: Row | None = None
        self._busy = 0
        self._level, self._goal_place, self._task_things = disturbance, goal_place, task_things
        self._luck = np.random.default_rng([seed, 1])
        self._crowd = np.random.default_rng([seed, 2])
        for index, thing in enumerate(things):
            if thing.on:
                self.put_on(index, home.places[thing.on])
        self._schedule = self._draw_schedule()
        tall = np.array([True] * len(home.walls) + [FURNITURE[name].tall > HEAD_M for name in home.places])
        self._solid = {True: home.boxes, False: np.vstack([home.boxes, home.door])}
        self._tall = {True: home.boxes[tall], False: np.vstack([home.boxes[tall], home.door])}
        self.people = [person for _ in range(people) if (person := self._new_person()) is not None]

    def copy(self) -> World:
        """A world of its own that goes on from here with the same luck; the home is shared."""
        other = copy.copy(self)
        other.things, other.people = [replace(t) for t in self.things], [replace(p) for p in self.people]
        other.shut, other.lit, other.disturbed = set(self.shut), set(self.lit), list(self.disturbed)
        other._schedule = list(self._schedule)
        other._luck, other._crowd = copy.deepcopy(self._luck), copy.deepcopy(self._crowd)
        return other

    # What a robot may ask

    def free_slots(self, place: Place) -> list[int]:
        """Slots of `place` that hold nothing."""
        taken = {t.slot for t in self.things if t.on == place.name}
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

    def at(self, name: str) -> bool:
        """Whether the base stands before a place and faces it, near enough to use it."""
        place = self.home.places.get(name)
        if place is None:
            return False
        (ax, ay), (fx, fy) = place.front, place.facing
        dx, dy = self.x - ax, self.y - ay
        ahead, along = dx * fx + dy * fy, -dx * fy + dy * fx
        facing = -(math.cos(self.heading) * fx + math.sin(self.heading) * fy)
        return 0 < ahead <= FRONT_REACH_M and abs(along) <= place.width / 2 + 0.1 and facing >= math.cos(REACH_RAD)

    def in_reach(self, x: float, y: float) -> bool:
        """Whether the hand gets to a point."""
        return math.hypot(x - self.x, y - self.y) <= REACH_M and abs(self.bearing(x, y)) <= REACH_RAD

    def bearing(self, x: float, y: float) -> float:
        """Of a point from the base, rad, left positive, -pi to pi."""
        return wrap(math.atan2(y - self.y, x - self.x) - self.heading)

    def find(self, name: str) -> int:
        """The nearest thing of a class that the hand gets to, else -1; behind closed doors too."""
        near = [
            (math.hypot(t.x - self.x, t.y - self.y), i)
            for i, t in enumerate(self.things)
            if t.name == name and self.root(i) != self.held and self.in_reach(t.x, t.y)
        ]
        return min(near)[1] if near else -1

    def arrived(self, name: str) -> bool:
        """Whether the base stands where a place, or a thing, of this class can be used."""
        return self.v < STANDING and (self.at(name) or (name in OBJECTS and self.find(name) >= 0))

    def seen(self) -> list[int]:
        """Things in the field of view, within RANGE_M, with nothing taller than the head between."""
        near = [
            i
            for i, t in enumerate(self.things)
            if not self.hidden(i)
            and math.hypot(t.x - self.x, t.y - self.y) <= RANGE_M
            and (self.root(i) == self.held or abs(self.bearing(t.x, t.y)) <= FIELD_RAD / 2)
        ]
        if not near:
            return []
        points = np.array([(self.things[i].x, self.things[i].y) for i in near])
        rays = points - (self.x, self.y)
        reach = np.hypot(rays[:, 0], rays[:, 1])
        hits = _cast(self.x, self.y, rays / np.maximum(reach, 1e-9)[:, None], self._tall[self.door_open])
        return [i for i, far, hit in zip(near, reach, hits, strict=True) if hit > far - 0.25]

    def scan(self) -> np.ndarray:
        """(SECTORS,) metres, at most RANGE_M, from the base to the first footprint or person, right to left: a ray in
        the middle of each sector of the field of view. What is thinner than a sector can be missed."""
        c, s = math.cos(self.heading), math.sin(self.heading)
        turned = _rays()[1] @ np.array([[c, s], [-s, c]])
        far = np.minimum(_cast(self.x, self.y, turned, self._boxes()), self._cast_people(turned))
        return np.minimum(far, RANGE_M)

    def summary(self, stamp_s: float = 0.0) -> ObstacleSummary:
        """The `scan` in the form of a detector that is always right."""
        bearings, directions = _rays()
        far = self.scan()
        nearest = np.where(far < RANGE_M, far, np.inf)
        x, y = far * directions[:, 0], far * directions[:, 1]
        hit = far < RANGE_M
        lane = hit & (np.abs(y) <= BODY_WIDTH_M / 2)
        ahead = float(x[lane].min()) if lane.any() else math.inf
        near = hit & (x < LOOKAHEAD_M)
        left = float(y[near & (y > 0)].min(initial=LOOKAHEAD_M))
        right = float(-y[near & (y <= 0)].max(initial=-LOOKAHEAD_M))
        width = left + right if ahead >= LOOKAHEAD_M else 0.0
        speed = max(self.v, 0.0)
        contact = math.inf if ahead >= LOOKAHEAD_M else (ahead / speed if speed else math.inf)
        return ObstacleSummary(bearings, nearest, far, width, contact, stamp_s)

    # Time

    def step(self, v: float, omega: float, use: Row | None = None) -> None:
        """DT seconds. v, omega: speeds asked, m/s and rad/s, clipped to the limits. use: the sub-goal whose interaction
        begins now; the base stands still until it has ended (`outcome`). A refused one ends at once."""
        self.steps += 1
        self.outcome, self.disturbed = None, []
        if self._busy:
            v = omega = 0.0
        self._drive(v, omega)
        for person in self.people:
            self._walk(person)
        self._go_wrong()
        if self._busy:
            self._busy -= 1
            if not self._busy and self._pending is not None:
                self._finish(self._pending)
        elif use is not None:
            self._begin(use)

    @property
    def busy(self) -> bool:
        """Whether an interaction is under way."""
        return self._busy > 0

    def _drive(self, v: float, omega: float) -> None:
        v, omega = min(max(v, MIN_V), MAX_V), min(max(omega, -MAX_OMEGA), MAX_OMEGA)
        self.v += min(max(v - self.v, -MAX_ACCEL * DT), MAX_ACCEL * DT)
        self.omega += min(max(omega - self.omega, -MAX_ALPHA * DT), MAX_ALPHA * DT)
        x, y, heading = advance(self.x, self.y, self.heading, self.v, self.omega)
        if self.v:
            touched = self.touches(x, y)
            if touched:
                self.collisions += not self.contact
                x, y = self._until_contact()
                self.v = 0.0
            self.contact = touched
            self.x, self.y = x, y
        self.heading = heading
        if self.held >= 0:
            self._carry()

    def _until_contact(self) -> tuple[float, float]:
        """As far as this step goes before it touches, to a millimetre."""
        free, dt = (self.x, self.y), 0.0
        for half in (DT / 2**n for n in range(1, 7)):
            x, y, _ = advance(self.x, self.y, self.heading, self.v, self.omega, dt + half)
            if not self.touches(x, y):
                free, dt = (x, y), dt + half
        return free

    def _carry(self) -> None:
        thing = self.things[self.held]
        thing.x, thing.y = self.x + TRAY_M * math.cos(self.heading), self.y + TRAY_M * math.sin(self.heading)
        self._take_along(self.held)

    def _take_along(self, index: int) -> None:
        """What is inside of a thing is where the thing is."""
        for inner, thing in enumerate(self.things):
            if thing.inside == index:
                thing.x, thing.y = self.things[index].x, self.things[index].y
                self._take_along(inner)

    def touches(self, x: float, y: float) -> str:
        """What a base at (x, y) would touch: "", "wall", "door", "person" or a place's name."""
        for person in self.people:
            if math.hypot(person.x - x, person.y - y) < ROBOT_M + PERSON_M:
                return "person"
        grid = self.home.clearance(self.door_open)
        if grid[cell(grid, x, y)] > ROBOT_M + CELL_M:  # half a cell's diagonal is less
            return ""
        away = distances(np.array([[x, y]]), self._boxes())[0]
        nearest = int(away.argmin())
        if away[nearest] >= ROBOT_M:
            return ""
        n = len(self.home.walls)
        names = list(self.home.places)
        return "wall" if nearest < n else (names[nearest - n] if nearest < n + len(names) else "door")

    def _boxes(self) -> np.ndarray:
        return self._solid[self.door_open]

    def _cast_people(self, directions: np.ndarray) -> np.ndarray:
        far = np.full(len(directions), np.inf)
        for person in self.people:
            dx, dy = person.x - self.x, person.y - self.y
            if dx * dx + dy * dy > (RANGE_M + PERSON_M) ** 2:
                continue
            along = directions[:, 0] * dx + directions[:, 1] * dy
            inside = PERSON_M**2 - (dx * dx + dy * dy - along**2)
            hit = (inside >= 0) & (along > 0)
            far[hit] = np.minimum(far[hit], np.maximum(along[hit] - np.sqrt(inside[hit]), 0.0))
        return far

    # People

    def _new_person(self) -> Person | None:
        grid = self.home.clearance(True)
        spots = (np.argwhere(grid > PERSON_M + 0.1) + 0.5) * CELL_M
        spots = spots[[(span := self._stretch(x))[0] <= x <= span[1] for x in spots[:, 0]]]
        far = spots[np.hypot(spots[:, 0] - self.x, spots[:, 1] - self.y) > 1.5]
        if not len(far):
            return None
        x, y = map(float, far[int(self._crowd.integers(len(far)))])
        return Person(x, y, float(self._crowd.uniform(0.4, 0.9)), (x, y))

    def _stretch(self, x: float) -> tuple[float, float]:
        """Where people walk in the room at x: not in the doorway, where they and a robot would wait for each other."""
        home = self.home
        return (home.door[2] + 0.7, home.size[0]) if home.room(x) else (0.0, home.door[0] - 0.7)

    def _walk(self, person: Person) -> None:
        person.vx = person.vy = 0.0
        if person.waits:
            person.waits -= 1
            return
        dx, dy = person.goal[0] - person.x, person.goal[1] - person.y
        left = math.hypot(dx, dy)
        if left < 0.05:
            self._choose_goal(person)
            return
        ux, uy = dx / left, dy / left
        stride = min(person.speed * DT, left)
        x, y = person.x + stride * ux, person.y + stride * uy
        bodies = [(self.x, self.y, 0.85), *((p.x, p.y, 0.6) for p in self.people if p is not person)]
        for bx, by, near in bodies:  # in the way: close and within 60 degrees of ahead, or it would be touched
            apart = math.hypot(bx - person.x, by - person.y)
            ahead = (bx - person.x) * ux + (by - person.y) * uy
            if (apart < near and ahead > 0.5 * apart) or math.hypot(bx - x, by - y) < min(apart, PERSON_M + 0.3):
                self._choose_goal(person)  # somewhere else, after a moment
                person.waits = max(person.waits, 5)
                return
        person.x, person.y = x, y
        person.vx, person.vy = stride / DT * ux, stride / DT * uy

    def _choose_goal(self, person: Person) -> None:
        """A spot in the same room to which the straight way is free; now and then a pause first."""
        grid = self.home.clearance(True)
        if self._crowd.random() < 0.3:
            person.waits = int(self._crowd.integers(5, 30))
        low, high = self._stretch(person.x)
        for _ in range(4):
            x, y = float(self._crowd.uniform(low, high)), float(self._crowd.uniform(0, self.home.size[1]))
            n = int(math.hypot(x - person.x, y - person.y) / CELL_M) + 2
            way = np.linspace((person.x, person.y), (x, y), n)
            cells = np.minimum((way / CELL_M).astype(int), np.array(grid.shape) - 1)
            if grid[cells[:, 0], cells[:, 1]].min() > PERSON_M + 0.05:
                person.goal = (x, y)
                return
        person.goal = (person.x, person.y)
        person.waits = max(person.waits, 5)

    # Interactions

    def refusal(self, row: Row) -> str:
        """Why the interaction of a sub-goal cannot be done now; "" where it can. A shut door in the way does not count:
        the interaction then opens it, and must be asked for again."""
        verb, *names = row
        if abs(self.v) >= STANDING:
            return "moving"
        holds = self.things[self.held].name if self.held >= 0 else ""
        if verb == "GotoLocation":
            return "" if self._shut_at(row) else "nothing to open"
        if verb == "PickupObject":
            return "hand full" if holds else self._missing(names[0])
        if verb == "SliceObject":
            return self._missing(names[0]) if holds in KNIVES else "no knife"
        if verb == "ToggleObject":
            return "" if names[0] in LAMPS and self.at(names[0]) else "out of reach"
        if names[0] and holds != names[0]:
            return "not in the hand"
        if verb in APPLIANCES:
            return ("" if holds else "not in the hand") if self.at(APPLIANCES[verb]) else "out of reach"
        if verb == "PutObject":
            if names[1] in self.home.places:
                place = self.home.places[names[1]]
                return ("" if self.free_slots(place) else "full") if self.at(names[1]) else "out of reach"
            return self._missing(names[1]) if names[1] in CONTAINERS else "out of reach"
        return f"unknown verb {verb}"

    def _missing(self, name: str) -> str:
        return "" if self.find(name) >= 0 else "out of reach"

    def _shut_at(self, row: Row) -> str:
        """The shut door that is in the way of an interaction: a place's name, "door" between the rooms, or ""."""
        verb, *names = row
        if verb == "GotoLocation":
            x, y = (self.home.door[0] + self.home.door[2]) / 2, (self.home.door[1] + self.home.door[3]) / 2
            near = not self.door_open and math.hypot(x - self.x, y - self.y) < 1.2
            return "door" if near and abs(self.bearing(x, y)) <= REACH_RAD else ""
        if verb in APPLIANCES:
            name = APPLIANCES[verb]
        elif verb == "PutObject" and names[1] in self.home.places:
            name = names[1]
        elif verb == "ToggleObject":
            return ""
        else:
            index = self.find(names[-1])
            name = self.place_of(index) if index >= 0 else ""
        return name if name in self.shut else ""

    def _begin(self, row: Row) -> None:
        reason = self.refusal(row)
        if reason:
            self.outcome = InteractionOutcome(row, reason)
            return
        self._pending = ("OpenDoor", self._shut_at(row), *row) if self._shut_at(row) else row
        self._busy = round((OPENING_S if self._pending is not row else SECONDS.get(row[0], TREATMENT_S)) / DT)

    def _finish(self, row: Row) -> None:
        self._pending = None
        if row[0] == "OpenDoor":
            self.open(row[1])
            self.outcome = InteractionOutcome(row[2:], "opened")
        elif (reason := self.refusal(row)) or (reason := self._shut_at(row)):
            self.outcome = InteractionOutcome(row, reason)  # it changed under the hand
        elif row[0] == "PickupObject" and self._luck.random() < P_SLIP * self._level:
            self.disturbed.append(f"slipped: {row[1]}")
            self.outcome = InteractionOutcome(row, "slipped")
        else:
            self.apply(row)
            self.outcome = InteractionOutcome(row)

    def teleport(self, x: float, y: float, heading: float) -> None:
        """Puts the base, at rest, elsewhere, with what it holds; people begin anew, away from it."""
        self.x, self.y, self.heading = x, y, heading
        self.v = self.omega = 0.0
        if self.held >= 0:
            self._carry()
        self.people = [p for _ in range(len(self.people)) if (p := self._new_person()) is not None]

    def open(self, name: str) -> None:
        """Opens a place, or the "door" between the rooms."""
        if name == "door":
            self.door_open = True
        else:
            self.shut.discard(name)

    def apply(self, row: Row) -> None:
        """The effect of an interaction, whatever `refusal` says; of a thing out of reach the first of its class."""
        verb, *names = row
        if verb == "PickupObject":
            self.take(self._named(names[0]))
        elif verb == "PutObject":
            index, self.held = self.held, -1
            if names[1] in self.home.places:
                self.put_on(index, self.home.places[names[1]])
            else:
                self.put_into(index, self._named(names[1]))
        elif verb == "SliceObject":
            self.things[self._named(names[0])].sliced = True
        elif verb == "ToggleObject":
            self.lit ^= {names[0]}
        elif verb in APPLIANCES:
            thing = self.things[self.held]
            thing.clean |= verb == "CleanObject"
            if verb != "CleanObject":
                thing.hot, thing.cold = verb == "HeatObject", verb == "CoolObject"

    def _named(self, name: str) -> int:
        found = self.find(name)
        if found >= 0:
            return found
        return next(i for i, t in enumerate(self.things) if t.name == name and self.root(i) != self.held)

    def take(self, index: int) -> None:
        """Into the hand, with what is inside of it."""
        thing = self.things[index]
        thing.on, thing.slot, thing.inside = "", -1, -1
        self.held = index
        self._carry()

    def put_on(self, index: int, place: Place) -> None:
        """Into the free slot of a place that is nearest to the base. Raises: ValueError where there is none."""
        free = self.free_slots(place)
        if not free:
            raise ValueError(f"{place.name} is full ({len(place.slots)} things)")
        slot = min(free, key=lambda s: math.hypot(place.slots[s][0] - self.x, place.slots[s][1] - self.y))
        thing = self.things[index]
        thing.on, thing.slot, thing.inside = place.name, slot, -1
        thing.x, thing.y = place.slots[slot]
        self._take_along(index)

    def put_into(self, index: int, container: int) -> None:
        """Into another thing."""
        thing = self.things[index]
        thing.on, thing.slot, thing.inside = "", -1, container
        thing.x, thing.y = self.things[container].x, self.things[container].y
        self._take_along(index)

    # What goes wrong

    def _draw_schedule(self) -> list[tuple[int, str]]:
        """(step, what) of the disturbances of this mission."""
        kinds = (("moved", P_MOVED), ("door", P_DOOR), ("shut", P_SHUT))
        draws = self._luck.random(len(kinds))
        times = self._luck.integers((10, 20, 100), (100, 300, 300))  # things are moved before they are in the hand
        return [
            (int(at), kind)
            for (kind, share), draw, at in zip(kinds, draws, times, strict=True)
            if draw < share * self._level
        ]

    def _go_wrong(self) -> None:
        if self.held >= 0 and self._level and self._luck.random() < DROPS_PER_S * DT * self._level and not self._busy:
            self._drop()
        for entry in [e for e in self._schedule if e[0] <= self.steps]:
            if getattr(self, f"_happen_{entry[1]}")():  # else later, when it can
                self._schedule.remove(entry)

    def _drop(self) -> None:
        thing = self.things[self.held]
        grid = self.home.clearance(self.door_open)
        x, y = self.x + 0.4 * math.cos(self.heading), self.y + 0.4 * math.sin(self.heading)
        thing.x, thing.y = (x, y) if grid[cell(grid, x, y)] > 0.1 else (self.x, self.y)
        self._take_along(self.held)
        self.held = -1
        self.disturbed.append(f"dropped: {thing.name}")

    def _happen_moved(self) -> bool:
        """Someone carries a thing of the task elsewhere; not from under the robot's eyes, not what is done already."""
        loose = [
            i
            for i in self._task_things
            if self.root(i) != self.held
            and self.things[i].on not in ("", self._goal_place)
            and math.hypot(self.things[i].x - self.x, self.things[i].y - self.y) > 1.5
        ]
        if not loose:
            return False
        index = loose[int(self._luck.integers(len(loose)))]
        places = [
            p
            for n, p in sorted(self.home.places.items())
            if n not in (self.things[index].on, self._goal_place, *LAMPS) and not p.opens and self.free_slots(p)
        ]
        if not places:
            return False
        place = places[int(self._luck.integers(len(places)))]
        self.disturbed.append(f"moved: {self.things[index].name} to {place.name}")
        self.put_on(index, place)
        return True

    def _happen_door(self) -> bool:
        """The door between the rooms falls shut, when nobody is in it."""
        bodies = np.array([(self.x, self.y), *((p.x, p.y) for p in self.people)])
        if distances(bodies, np.array([self.home.door])).min() < ROBOT_M + 0.1:
            return False
        self.door_open = False
        self.disturbed.append("shut: door")
        return True

    def _happen_shut(self) -> bool:
        """A piece of furniture that was opened falls shut again."""
        opened = sorted(n for n, p in self.home.places.items() if p.opens and n not in self.shut)
        if not opened:
            return False
        name = opened[int(self._luck.integers(len(opened)))]
        self.shut.add(name)
        self.disturbed.append(f"shut: {name}")
        return True


def wrap(angle: float) -> float:
    """To -pi..pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def advance(x: float, y: float, heading: float, v: float, omega: float, dt: float = DT) -> tuple[float, float, float]:
    """A pose `dt` seconds later at constant speeds: an arc, exactly."""
    turned = heading + omega * dt
    if abs(omega) < 1e-6:
        return x + v * dt * math.cos(heading), y + v * dt * math.sin(heading), wrap(turned)
    r = v / omega
    return x + r * (math.sin(turned) - math.sin(heading)), y - r * (math.cos(turned) - math.cos(heading)), wrap(turned)


@lru_cache(maxsize=1)
def _rays() -> tuple[np.ndarray, np.ndarray]:
    """(SECTORS,) bearings and (SECTORS, 2) directions in the base frame."""
    bearings = ((np.arange(SECTORS) + 0.5) / SECTORS - 0.5) * FIELD_RAD
    return bearings, np.stack([np.cos(bearings), np.sin(bearings)], axis=1)


def _cast(x: float, y: float, directions: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) metres along each of `directions` ((n, 2), unit) to the first of `boxes` ((m, 4)); inf where none is. Slabs
    (Kay and Kajiya, SIGGRAPH 1986)."""
    inverse_x, inverse_y = (1.0 / np.where(np.abs(d) < 1e-9, 1e-9, d) for d in directions.T)
    x0, x1 = (boxes[:, 0, None] - x) * inverse_x, (boxes[:, 2, None] - x) * inverse_x
    y0, y1 = (boxes[:, 1, None] - y) * inverse_y, (boxes[:, 3, None] - y) * inverse_y
    enter = np.maximum(np.minimum(x0, x1), np.minimum(y0, y1))
    leave = np.minimum(np.maximum(x0, x1), np.maximum(y0, y1))
    enter[(enter > leave) | (leave <= 0)] = np.inf
    return np.maximum(enter.min(axis=0), 0.0)
