"""Missions of ALFRED's seven types: drawing one, judging it by goal conditions, and what is left to do.

The conditions are ALFRED's (Shridhar et al., CVPR 2020, `env/tasks.py` of its code), written for this world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS, TASK_TYPES, AlfredPlan, GoalParameters, read_alfred
from rarrl.alfred_plans import KNIVES, LAMPS, TREATABLE
from rarrl.errors import InputError

from .catalogue import APPLIANCES, FURNITURE, HABITS, NAMES, OBJECTS, SENTENCES
from .home import Home, draw_home
from .world import Row, Thing, World

TREATMENTS = {
    "pick_clean_then_place_in_recep": "CleanObject",
    "pick_heat_then_place_in_recep": "HeatObject",
    "pick_cool_then_place_in_recep": "CoolObject",
}
"""Task type -> verb of its treatment."""
INTO = {"bowl": "apple fork spoon keychain pencil egg tomato", "box": "keychain watch cd pen creditcard"} | {
    "cup": "fork spoon butterknife pen pencil",
    "mug": "fork spoon butterknife pen pencil",
    "pan": "egg potato tomato apple spatula",
    "plate": "apple bread egg fork potato tomato spoon",
    "pot": "apple egg potato tomato ladle",
}
"""Movable receptacle -> what goes into it."""
DISTRACTORS = 6  # other things in the home, at most
SLICED_SHARE = 0.2  # of the template tasks whose object can be sliced
OWN_SHARE = 0.5  # of the missions are goals of rarrl/data/household_tasks.jsonl; the others are drawn from templates
MISSION_TRIES = 500  # tasks drawn before a sub-goal counts as one that the type does not have


@dataclass(frozen=True)
class HouseholdTask:
    """What is asked. parameters: class names, "" where the type has none. goal: the sentence."""

    task_type: str
    parameters: GoalParameters
    goal: str


@dataclass(frozen=True)
class Mission:
    """A task in a home. things: where everything is at the start, the task's own first."""

    task: HouseholdTask
    home: Home
    things: tuple[Thing, ...]
    task_things: int  # how many of `things` are the task's

    def world(self, seed: int, people: int, disturbance: float) -> World:
        """The mission's world at its start; the mission itself stays as it is."""
        things = [Thing(t.name, t.on) for t in self.things]
        own = tuple(range(self.task_things))
        return World(self.home, things, seed, people, disturbance, own, self.task.parameters.place)


def draw_task(rng: np.random.Generator, task_type: str | None = None) -> HouseholdTask:
    """A task of a type (None: any, all equally often), half of them of our own list, half from templates.

    Raises: InputError for an unknown type."""
    if task_type is not None and task_type not in TASK_TYPES:
        raise InputError(f"household: no task type {task_type!r} (allowed: {', '.join(TASK_TYPES)})")

    task_type = task_type or TASK_TYPES[int(rng.integers(len(TASK_TYPES)))]
    if rng.random() < OWN_SHARE:
        plans = [plan for plan in _own_plans() if plan.task_type == task_type]
        plan = plans[int(rng.integers(len(plans)))]
        words = plan.annotations[int(rng.integers(len(plan.annotations)))]
        assert plan.parameters is not None, "the shipped tasks have parameters"
        return HouseholdTask(task_type, plan.parameters, words.goal)
    return _from_template(rng, task_type)


@lru_cache(maxsize=1)
def goal_sentences() -> tuple[str, ...]:
    """Every sentence that a mission's goal can be made of: the templates, the names that fill them, our own list."""
    own = [words.goal for plan in _own_plans() for words in plan.annotations]
    templates = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    names = {NAMES.get(thing, thing) for thing in (*FURNITURE, *OBJECTS)}
    return (*own, *templates, *(f"{form}{name}{end}" for name in names for form in ("in ", "on ") for end in ("", "s")))


@lru_cache(maxsize=1)
def _own_plans() -> tuple[AlfredPlan, ...]:
    return read_alfred(HOUSEHOLD_TASKS).plans


def _from_template(rng: np.random.Generator, task_type: str) -> HouseholdTask:
    """A task of a type, with a sentence of the catalogue."""
    movable = ""
    lamp = ""
    place = ""
    sliced = False

    if task_type in TREATMENTS:
        thing = _pick(rng, sorted(TREATABLE[TREATMENTS[task_type]]))
    elif task_type == "pick_and_place_with_movable_recep":
        movable = _pick(rng, sorted(INTO))
        thing = _pick(rng, INTO[movable].split())
    else:
        thing = _pick(rng, [name for names, _ in HABITS for name in names])

    if task_type == "look_at_obj_in_light":
        lamp = _pick(rng, LAMPS)
    else:
        appliance = APPLIANCES.get(TREATMENTS.get(task_type, ""), "")
        place = _pick(rng, [name for name in likely_places(movable or thing) if name != appliance])
        can_be = thing in TREATABLE["SliceObject"] and task_type != "pick_two_obj_and_place"
        sliced = can_be and bool(rng.random() < SLICED_SHARE)

    inside = bool(place) and FURNITURE[place].is_hollow
    where = f"{'in' if inside else 'on'} the {_words(place)}"
    words = {"object": _words(thing), "place": where, "movable": _words(movable), "lamp": _words(lamp)}
    if sliced:
        words["object"] = f"sliced {words['object']}"
    sentence = _pick(rng, SENTENCES[task_type]).format(**words)
    return HouseholdTask(task_type, GoalParameters(thing, place, movable, lamp, sliced), sentence)


def _pick(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _words(name: str) -> str:
    return NAMES.get(name, name)


def likely_places(thing: str) -> tuple[str, ...]:
    """Where things of this class are found."""
    return next(places for names, places in HABITS if thing in names)


def asks_for(task: HouseholdTask, verb: str) -> bool:
    """Whether a plan for the task has a sub-goal of this verb."""
    light = task.task_type == "look_at_obj_in_light"
    special = {"ToggleObject": light, "PutObject": not light or task.parameters.sliced}
    special["SliceObject"] = task.parameters.sliced
    special |= {treatment: TREATMENTS.get(task.task_type) == treatment for treatment in TREATMENTS.values()}
    return special.get(verb, True)


def draw_mission(rng: np.random.Generator, task_type: str | None = None, verb: str = "GotoLocation") -> Mission:
    """A task, and a home in which it can be done. verb: of a sub-goal that its plan must have.

    Raises: InputError for an unknown type, or one whose tasks have no such sub-goal."""
    for _ in range(MISSION_TRIES):
        task = draw_task(rng, task_type)
        if asks_for(task, verb):
            return _furnish(rng, task)
    raise InputError(f"household: no task of type {task_type} has a sub-goal {verb}; leave the type away")


def _furnish(rng: np.random.Generator, task: HouseholdTask) -> Mission:
    """A home with the task's places and things, and others that are none of its business."""
    p = task.parameters
    appliance = APPLIANCES.get(TREATMENTS.get(task.task_type, ""), "")
    names = [p.object] * (2 if task.task_type == "pick_two_obj_and_place" else 1)
    names += [p.movable] if p.movable else []
    names += [_pick(rng, sorted(KNIVES))] if p.sliced and p.object not in KNIVES else []

    # Nothing is where it belongs, or where it is treated, already.
    things = []
    for name in names:
        elsewhere = [n for n in likely_places(name) if n not in (p.place, appliance)]
        things.append(Thing(name, _pick(rng, elsewhere)))

    required = [t.on for t in things] + [p.place, p.lamp, appliance]
    home = draw_home(rng, [*filter(None, required), "countertop"])

    others = sorted({name for names, _ in HABITS for name in names} - set(names))
    for name in rng.permutation(others)[:DISTRACTORS]:
        held = [t.on for t in things]
        free = [
            n
            for n in likely_places(str(name))
            if n in home.places and n != p.place and len(home.places[n].slots) - held.count(n) > 1
        ]
        if free:
            things.append(Thing(str(name), _pick(rng, free)))
    return Mission(task, home, tuple(things), len(names))


def conditions(world: World, task: HouseholdTask) -> tuple[int, int]:
    """(met, all) of ALFRED's goal conditions; the task is done when all are met.

    Placing: the object is in the place. Two: so are two of them. Treatments: an object is in the place, one is treated,
    and one is both. Movable: the object is in the place (within the movable too), the movable is, and the object is in
    the movable. Light: the object is in the hand, the lamp is on. Sliced: besides, an object is sliced (for two: two
    are), and only sliced ones count for the rest."""
    p = task.parameters
    of_class = [i for i, t in enumerate(world.things) if t.name == p.object]
    ones = [i for i in of_class if world.things[i].sliced or not p.sliced]
    placed = {i for i in ones if p.place and world.place_of(i) == p.place}

    if task.task_type == "pick_two_obj_and_place":
        total = 4 if p.sliced else 2
        return min(len(placed), 2) + (min(len(ones), 2) if p.sliced else 0), total

    met = [bool(ones)] if p.sliced else []
    if task.task_type == "look_at_obj_in_light":
        met += [world.held in ones, p.lamp in world.lit]
    elif task.task_type == "pick_and_place_with_movable_recep":
        movables = {i for i, t in enumerate(world.things) if t.name == p.movable}
        there = {i for i in movables if world.place_of(i) == p.place}
        met += [bool(placed), bool(there), any(world.things[i].inside in movables for i in ones)]
    elif task.task_type in TREATMENTS:
        treated = {i for i in ones if is_treated(world.things[i], TREATMENTS[task.task_type])}
        met += [bool(placed), bool(treated), bool(placed & treated)]
    else:
        met += [bool(placed)]
    return sum(met), len(met)


def is_treated(thing: Thing, verb: str) -> bool:
    """Whether a thing is clean, hot or cold as `verb` makes it."""
    return {"CleanObject": thing.clean, "HeatObject": thing.hot, "CoolObject": thing.cold}[verb]


def remaining_plan(world: World, task: HouseholdTask) -> list[Row]:
    """The sub-goals that lead from the world as it is, all of it known, to the goal; empty where it is reached."""
    done, total = conditions(world, task)
    return [] if done == total else _Planner(world, task).rows()


class _Planner:
    """Writes rows while it keeps in mind what they will have changed: `hand` is the thing held by then, or -1."""

    def __init__(self, world: World, task: HouseholdTask) -> None:
        self.world = world
        self.task = task
        self.p = task.parameters
        self.hand = world.held
        self.plan: list[Row] = []

    def rows(self) -> list[Row]:
        p = self.p
        kind = self.task.task_type
        ones = [i for i, t in enumerate(self.world.things) if t.name == p.object]
        if kind == "pick_two_obj_and_place":
            for index in sorted(ones, key=lambda i: (self._done(i), i != self.hand))[: 2 - self._count(ones)]:
                self._move(index)
            return self.plan

        target = max(ones, key=lambda i: (self.world.things[i].sliced, i == self.hand))
        if p.sliced and not self.world.things[target].sliced:
            self._slice(target)

        if kind == "look_at_obj_in_light":
            self._fetch(target)
            if p.lamp not in self.world.lit:
                self._go(p.lamp, ("ToggleObject", p.lamp))
        elif kind == "pick_and_place_with_movable_recep":
            self._move_in(target)
        else:
            verb = TREATMENTS.get(kind)
            if verb and not is_treated(self.world.things[target], verb):
                self._fetch(target)
                self._go(APPLIANCES[verb], (verb, p.object))
            self._move(target)
        return self.plan

    def _go(self, name: str, *rows: Row) -> None:
        """To a place, if the plan is not there yet, and `rows` there."""
        if next((row[1] for row in reversed(self.plan) if row[0] == "GotoLocation"), "") != name:
            self.plan.append(("GotoLocation", name))
        self.plan += rows

    def _done(self, index: int) -> bool:
        """Whether a thing is where it belongs."""
        return self.world.place_of(index) == self.p.place

    def _count(self, ones: list[int]) -> int:
        return sum(map(self._done, ones))

    def _where(self, index: int) -> str:
        """What to go to for a thing: the place that holds it, or the outermost thing on the floor."""
        return self.world.place_of(index) or self.world.things[self.world.root(index)].name

    def _fetch(self, index: int) -> None:
        """A thing into the hand, which is emptied first."""
        if self.hand == index:
            return
        self._empty_hand()
        name = self.world.things[index].name
        self._go(self._where(index), ("PickupObject", name))
        self.hand = index

    def _move(self, index: int) -> None:
        """A thing to where it belongs."""
        self._fetch(index)
        self._go(self.p.place, ("PutObject", self.world.things[index].name, self.p.place))
        self.hand = -1

    def _move_in(self, target: int) -> None:
        """The object into the movable, the movable to its place."""
        world = self.world
        p = self.p
        movable = next(i for i, t in enumerate(world.things) if t.name == p.movable)
        if world.things[target].inside != movable:
            if self.hand == movable:
                self._empty_hand()
                movable_at = self.plan[-1][-1]
            else:
                movable_at = self._where(movable)
            self._fetch(target)
            self._go(movable_at, ("PutObject", p.object, p.movable), ("PickupObject", p.movable))
            self.hand = movable

        self._move(movable)

    def _slice(self, target: int) -> None:
        """A knife through the object, wherever it lies, and the knife out of the hand again."""
        world = self.world
        where = self._where(target)
        if self.hand == target:
            self._empty_hand()
            where = self.plan[-1][-1]

        knives = [i for i, t in enumerate(world.things) if t.name in KNIVES and i != target]
        knife = self.hand if self.hand in knives else knives[0]
        self._fetch(knife)
        self._go(where, ("SliceObject", self.p.object))
        self._empty_hand()

    def _empty_hand(self) -> None:
        """What is held goes to a free place other than the goal's: the countertop where that has room."""
        if self.hand < 0:
            return

        places = self.world.home.places
        names = [n for n in places if FURNITURE[n].is_surface and n != self.p.place]
        free = [n for n in sorted(names, key=lambda n: n != "countertop") if len(self.world.free_slots(places[n])) > 1]
        name = self.world.things[self.hand].name
        self._go(free[0], ("PutObject", name, free[0]))
        self.hand = -1
