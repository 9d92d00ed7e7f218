"""pyrobosim's robot in its ROSCon 2024 workshop world, in process: the same seed and skills give the same outcomes.

pyrobosim runs by wall time. While a skill runs here, the name `time` of its three modules that wait is a clock that
only counts, numpy's global generator is this robot's own, and pyrobosim's loggers are silent; all of this is put back
before `run` returns. Skills of several robots in one process take turns."""

import copy
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rarrl.errors import InputError

from .road_map import RoadMap, RoadMapPlanner

WORLD = "roscon_2024_workshop_world.yaml"
"""In the folder `data` of pyrobosim's wheel."""
WAITING_MODULES = ("pyrobosim.core.robot", "pyrobosim.navigation.execution", "pyrobosim.planning.actions")
"""Those that call `time.sleep` while a skill runs."""
LOGGERS = ("pyrobosim", "robot", "roscon_2024_world")
"""They print a line or two per skill, and get a handler of their own where the program has set up none."""
DOORS = {
    "hall_dining_office": ("dining", "office"),
    "hall_closet_dining": ("dining", "closet"),
    "hall_dining_trash": ("dining", "trash"),
    "hall_dining_kitchen": ("dining", "kitchen"),
    "hall_kitchen_trash": ("kitchen", "trash"),
    "hall_kitchen_office": ("kitchen", "office"),
    "hall_closet_trash": ("closet", "trash"),
    "hall_closet_office": ("closet", "office"),
}
"""pyrobosim's name of each hallway -> the rooms that it joins, in the order of its two poses. It also knows the name
with the rooms swapped."""
PLACES = {
    "table": "dining",
    "desk": "office",
    "fridge": "kitchen",
    "pantry": "kitchen",
    "bin": "office",
    "dumpster": "trash",
    "charger": "closet",
}
"""Where things can lie -> its room. All of them can be opened and shut."""
ROOMS = ("dining", "kitchen", "trash", "closet", "office")
THINGS = ("bread", "snacks", "soda", "butter", "waste")
SKILLS = ("navigate", "pick", "place", "open", "close", "detect")
WORKSHOP_THINGS = (
    ("bread", "pantry"),
    ("snacks", "pantry"),
    ("soda", "fridge"),
    ("butter", "fridge"),
    ("waste", "desk"),
    ("waste", "bin"),
)
SKILL_SECONDS = {"pick": 5.0, "place": 4.0, "open": 6.0, "close": 4.0, "detect": 2.0}
"""Simulated seconds that a skill takes whether it succeeds or fails: a guess at what a mobile arm takes, since with
pyrobosim's own default of 0 failing would be free. Driving goes at 1 m/s."""
STEP_S = 0.25
"""Simulated seconds from one pose of a drive to the next, to which its time is rounded up. pyrobosim's own 0.1 takes
2.5 times the CPU time, all of it for poses between."""
SUCCESS, PRECONDITION_FAILURE, PLANNING_FAILURE, EXECUTION_FAILURE = range(4)
"""pyrobosim's ExecutionStatus, as far as this file makes use of it."""

_TURN = threading.RLock()
_ROAD_MAPS: list[RoadMap] = []


@dataclass(frozen=True)
class Setup:
    """How the world is when a mission begins.

    things: (class, place) of each.  shut: places and doors.
    hidden: the robot knows only things that it has detected.  known_states: it knows from the beginning what is shut.
    success: skill -> probability, 1 where absent.
    battery: percent.  battery_use: skill -> percent, for navigate per metre.
    lie_rate: how often a pick, place or open that was possible is reported as done though nothing happened.
    slip_rate: how often a thing slips out of the gripper as the robot drives off; it stays where it was picked up."""

    things: tuple[tuple[str, str], ...] = WORKSHOP_THINGS
    shut: frozenset[str] = frozenset()
    hidden: bool = False
    known_states: bool = True
    success: Mapping[str, float] = field(default_factory=dict)
    battery_use: Mapping[str, float] = field(default_factory=dict)
    battery: float = 100.0
    lie_rate: float = 0.0
    slip_rate: float = 0.0


@dataclass(frozen=True)
class PyrobosimResult:
    """status, name: pyrobosim's ExecutionStatus.  message: its own words, "" on success.  seconds: simulated."""

    status: int
    name: str
    message: str
    seconds: float


@dataclass(frozen=True)
class Truth:
    """What a judge knows.  things: (class, place) of each, sorted; a place is "gripper" while it is held."""

    things: tuple[tuple[str, str], ...]
    shut: frozenset[str]
    where: str
    holding: str | None
    battery: float


class CountingClock:
    """Stands in for the module `time`: sleeping takes no wall time, and all of the simulated time."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        """Seconds since the robot was made."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Moves the clock."""
        self.now += seconds


class PyrobosimRobot:
    """Six skills by name and arguments, as a foreign robot offers them, and what the robot itself knows.

    `navigate(place)` to a place, door or room; at the charger this charges.
    `pick(thing)` takes one of this class, if it knows one where it stands.
    `place(place)`, `open(place)`, `close(place)` act where it stands. The argument may be left out, and must name that
    place otherwise (pyrobosim ignores it: told to open the fridge, it opens the pantry that it stands at).
    `detect(thing)` looks for a class, or with "" for anything, where it stands."""

    def __init__(self, setup: Setup | None = None, seed: int = 0) -> None:
        self.setup = setup or Setup()
        _check(self.setup)
        self.clock = CountingClock()
        self._chance = np.random.default_rng(seed)  # for lies and slips
        self._random = np.random.RandomState(seed).get_state(legacy=True)  # for all that pyrobosim draws

        with self._turn():
            self._world = _load(self.setup, seed)
            (self._robot,) = self._world.robots
            self.road_map = _road_map(self._world)
            self._robot.set_path_planner(RoadMapPlanner(self.road_map, self._world, self.clock))
        self._held: Any = None  # what its driver believes to be in the gripper
        self._picked_from: tuple[Any, Any] = (None, None)  # where that lay: place and pose
        self._seen: dict[Any, str] = {}
        if not self.setup.hidden:
            self._seen = {thing: _place_of(thing) for thing in self._world.objects}
        self._states: dict[str, bool] = {}
        if self.setup.known_states:
            self._states = {name: name not in self.setup.shut for name in (*PLACES, *DOORS)}

    # ---- what the robot knows

    @property
    def seconds(self) -> float:
        """Simulated seconds since the mission began."""
        return round(self.clock.now, 3)

    @property
    def battery(self) -> float:
        """Percent. At 0 every skill is refused, and nothing can change that."""
        return round(float(self._robot.battery_level), 3)

    @property
    def where(self) -> str:
        """The place, door or room where the robot stands."""
        location = self._robot.location
        return str(location.parent.name if location.name not in (*ROOMS, *DOORS) else location.name)

    @property
    def holding(self) -> str | None:
        """Class of the thing in the gripper, as its driver reports it."""
        return None if self._held is None else str(self._held.category)

    @property
    def pose(self) -> tuple[float, float, float]:
        """x, y in metres, yaw in radians."""
        pose = self._robot.get_pose()
        return float(pose.x), float(pose.y), float(pose.get_yaw())

    def detections(self) -> list[tuple[str, str]]:
        """(class, place) of all that the robot knows by having seen or put it there, sorted. It may be out of date."""
        return sorted((str(thing.category), place) for thing, place in self._seen.items())

    def open_states(self) -> dict[str, bool]:
        """Place or door -> whether it is open, of those of which the robot knows it: it stood there, or was told."""
        return dict(self._states)

    def truth(self) -> Truth:
        """For judges alone."""
        held = self._robot.manipulated_object
        entities = (*self._world.locations, *self._world.hallways)
        return Truth(
            things=tuple(sorted((str(thing.category), _place_of(thing)) for thing in self._world.objects)),
            shut=frozenset(entity.name for entity in entities if not entity.is_open),
            where=self.where,
            holding=None if held is None else str(held.category),
            battery=self.battery,
        )

    # ---- what it does

    def run(self, skill: str, arguments: Mapping[str, str] | None = None) -> PyrobosimResult:
        """Runs a skill to its end. `arguments`: `place` or `thing`. A refusal is an answer, never an exception."""
        arguments = arguments or {}
        began = self.clock.now
        with self._turn():
            status, name, message = self._refusal(skill, arguments) or self._execute(skill, arguments)
        return PyrobosimResult(status, name, message, round(self.clock.now - began, 3))

    def _refusal(self, skill: str, arguments: Mapping[str, str]) -> tuple[int, str, str] | None:
        """pyrobosim's answer where it would do something else than was meant: an empty name means anything to it."""
        place, thing = arguments.get("place", ""), arguments.get("thing", "")
        entity = self._world.get_entity_by_name(place)
        if skill == "navigate" and entity not in (*self._world.rooms, *self._world.hallways, *self._world.locations):
            return PLANNING_FAILURE, "PLANNING_FAILURE", "Failed to plan a path."

        message = None
        if skill == "pick" and thing not in THINGS:
            message = f"Found no object {thing} to pick."
        if skill in ("place", "open", "close") and place and (entity is None or entity.name != self.where):
            message = f"Robot is at {self.where}, not at {place}. Cannot {skill}."
        return (PRECONDITION_FAILURE, "PRECONDITION_FAILURE", message) if message else None

    def _execute(self, skill: str, arguments: Mapping[str, str]) -> tuple[int, str, str]:
        from pyrobosim.planning.actions import TaskAction

        robot = self._robot
        if (
            skill == "navigate"
            and robot.manipulated_object is not None
            and self._chance.random() < self.setup.slip_rate
        ):
            self._slip()
        spots = {thing: thing.pose for thing in self._world.objects}
        in_gripper = robot.manipulated_object or self._held
        lies = skill in ("pick", "place", "open") and self._chance.random() < self.setup.lie_rate

        action = TaskAction(skill, object=arguments.get("thing"), target_location=arguments.get("place"))
        with ExitStack() as stack:
            if lies:  # it goes wrong where it was possible at all, and success is reported
                stack.enter_context(_swapped(robot.action_execution_options[skill], "success_probability", -1.0))
            result = robot.execute_action(action)
        status, name, message = int(result.status), str(result.status.name), str(result.message or "")
        if lies and status == EXECUTION_FAILURE:
            status, name, message = SUCCESS, "SUCCESS", ""

        if self.where in (*PLACES, *DOORS):  # it sees what it stands at, but believes its driver
            self._states[self.where] = (lies and skill == "open") or bool(robot.location.is_open)
        if skill == "pick" and status == SUCCESS:
            self._held = robot.manipulated_object or self._first_seen(arguments["thing"])
            self._picked_from = (robot.location, spots.get(self._held))
            self._seen.pop(self._held, None)
        elif skill == "place" and status == SUCCESS:
            self._seen[in_gripper], self._held = self.where, None
        elif skill == "detect" and (status == SUCCESS or "Failed to detect" in message):
            here = robot.location.children
            self._seen = {t: place for t, place in self._seen.items() if place != self.where or t in here}
            self._seen |= dict.fromkeys(here, self.where)
        elif skill in ("pick", "place", "open", "close") and status == PRECONDITION_FAILURE:
            self._held = robot.manipulated_object  # such a refusal tells its driver what is in the gripper
            self._seen.pop(self._held, None)
        return status, name, message

    def _slip(self) -> None:
        from pyrobosim.core.types import set_parent

        thing, (place, pose) = self._robot.manipulated_object, self._picked_from
        set_parent(thing, place)
        thing.set_pose(pose)
        thing.create_polygons()
        self._robot.manipulated_object = None

    def _first_seen(self, thing: str) -> Any:
        """A thing of this class where the robot stands. pyrobosim takes the nearest; only a lie needs to name one."""
        return next((t for t, place in self._seen.items() if (t.category, place) == (thing, self.where)), None)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """In here pyrobosim runs by this robot's clock and random numbers, and says nothing."""
        with _TURN, ExitStack() as stack:
            for module in WAITING_MODULES:
                stack.enter_context(_swapped(import_module(module), "time", self.clock))
            for name in LOGGERS:
                stack.enter_context(_swapped(logging.getLogger(name), "disabled", True))
            theirs = np.random.get_state(legacy=True)
            np.random.set_state(self._random)
            try:
                yield
            finally:
                self._random = np.random.get_state(legacy=True)
                np.random.set_state(theirs)


@contextmanager
def _swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    theirs = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, theirs)


def _load(setup: Setup, seed: int) -> Any:
    """pyrobosim's world with this setup, without sensors and their threads."""
    import pyrobosim
    from pyrobosim.core import WorldYamlLoader

    folder = Path(pyrobosim.__file__).parent / "data"
    data = copy.deepcopy(_world_file())
    for hall, name in zip(data["hallways"], DOORS, strict=True):
        hall["is_open"] = name not in setup.shut
    for place in data["locations"]:
        place["is_open"] = place["name"] not in setup.shut
    data["objects"] = [{"category": thing, "parent": place} for thing, place in setup.things]

    (robot,) = data["robots"]
    del robot["sensors"], robot["path_planner"]
    robot["path_executor"]["dt"] = STEP_S
    robot |= {
        "start_sensor_threads": False,
        "partial_obs_objects": setup.hidden,
        "initial_battery_level": setup.battery,
        "action_execution_options": {
            skill: {
                "delay": SKILL_SECONDS.get(skill, 0.0),
                "success_probability": setup.success.get(skill, 1.0),
                "battery_usage": setup.battery_use.get(skill, 0.0),
                "rng_seed": len(SKILLS) * seed + row,
            }
            for row, skill in enumerate(SKILLS)
        },
    }
    world = WorldYamlLoader().from_yaml(data, folder)
    if len(world.objects) < len(setup.things):
        raise InputError("setup: too many things at one place: pyrobosim found no room for all of them")
    return world


@cache
def _world_file() -> Any:
    import pyrobosim

    return yaml.safe_load((Path(pyrobosim.__file__).parent / "data" / WORLD).read_text("utf-8"))


def _road_map(world: Any) -> RoadMap:
    """One for all: rooms, doors and places are the same in every setup."""
    if not _ROAD_MAPS:
        _ROAD_MAPS.append(RoadMap(world))
    return _ROAD_MAPS[0]


def _place_of(thing: Any) -> str:
    """`fridge` for what lies in pyrobosim's `fridge_storage`; "gripper" for what the robot holds."""
    return "gripper" if thing.parent.parent is None else str(thing.parent.parent.name)


def _check(setup: Setup) -> None:
    """Raises InputError for names that the world does not have and for shares outside of 0 to 1."""
    for thing, place in setup.things:
        if thing not in THINGS or place not in PLACES:
            raise InputError(
                f"setup: {thing!r} cannot be at {place!r}; things are {', '.join(THINGS)}, places {', '.join(PLACES)}"
            )
    unknown = sorted(setup.shut - set(DOORS) - set(PLACES))
    unknown += sorted((set(setup.success) | set(setup.battery_use)) - set(SKILLS))
    if unknown:
        raise InputError(
            f"setup: {unknown[0]!r} is none of the doors {', '.join(DOORS)}, the places {', '.join(PLACES)}, "
            f"or the skills {', '.join(SKILLS)}"
        )
    shares = {"lie_rate": setup.lie_rate, "slip_rate": setup.slip_rate, "battery / 100": setup.battery / 100}
    shares |= {f"success[{skill}]": share for skill, share in setup.success.items()}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"setup: {name} is {share}; it must be from 0 to 1")
