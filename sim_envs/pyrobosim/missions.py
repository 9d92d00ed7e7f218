"""Missions for pyrobosim's robot: the four goals of the ROSCon 2024 deliberation workshop, each in six variants.

A mission is data: a sentence, a world, what must be true at the end, and a seed from which all of it is drawn. Training
and test missions differ in their seeds and, where the sentence is vague, in its wording."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from rarrl.errors import InputError

from .robot import DOORS, WORKSHOP_THINGS, PyrobosimRobot, Setup, Truth

GOALS = (1, 2, 3, 4)
VARIANTS = ("plain", "hidden", "vague", "doors", "battery", "failures")
"""plain: as the workshop begins, everything known.  hidden: things lie where they were drawn, and must be found.
vague: the sentence names no thing.  doors: shut at random, and unknown.  battery: low, and emptied by driving.
failures: skills fail as often as in the workshop."""
TRAIN_SEEDS = range(1_000_000)
TEST_SEEDS = range(1_000_000, 2_000_000)

USUAL_PLACES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "bread": {"pantry": 0.75, "fridge": 0.10, "desk": 0.10, "table": 0.05},
        "snacks": {"pantry": 0.70, "desk": 0.15, "fridge": 0.10, "table": 0.05},
        "soda": {"fridge": 0.70, "desk": 0.15, "pantry": 0.10, "table": 0.05},
        "butter": {"fridge": 0.80, "pantry": 0.10, "table": 0.05, "desk": 0.05},
        "waste": {"bin": 0.50, "desk": 0.35, "table": 0.15},
    }
)
"""Where a thing of a class lies in `hidden` missions, and how often: what anybody would guess, which is often wrong.
A thing that the goal asks for is never drawn at the place where the goal wants it."""

WORKSHOP_SHUT_DOORS = (
    "hall_closet_dining",
    "hall_dining_trash",
    "hall_kitchen_trash",
    "hall_kitchen_office",
    "hall_closet_trash",
    "hall_closet_office",
)
"""In the workshop's second to fourth problem."""
WORKSHOP_SHUT = {
    1: frozenset[str](),
    2: frozenset((*WORKSHOP_SHUT_DOORS, "fridge", "dumpster")),
    3: frozenset((*WORKSHOP_SHUT_DOORS, "fridge", "pantry", "dumpster")),
    4: frozenset((*WORKSHOP_SHUT_DOORS, "fridge", "pantry", "dumpster")),
}
"""Goal -> what its problem in the workshop begins with."""
WORKSHOP_SUCCESS = {"navigate": 0.9, "pick": 0.5, "place": 0.5, "open": 0.75, "close": 0.75, "detect": 0.8}
"""Probabilities of the workshop's third and fourth problem."""
WORKSHOP_BATTERY_USE = {"navigate": 0.5, "pick": 5.0, "place": 5.0, "open": 8.0, "close": 8.0}
"""Percent each, for navigate percent per metre: of the workshop's fourth problem, which begins with a full battery."""
LOW_BATTERY = (30.0, 32.0)
"""Percent, in `battery` missions: less than any goal takes, and enough to reach the charger first."""
LOW_BATTERY_USE = {"navigate": 4.5}
"""Percent per metre, in `battery` missions: a full battery drives 22 m."""
DOOR_IS_SHUT = 0.5
"""Probability of each door, in `doors` missions."""
HORIZON_S = {1: 100.0, 2: 350.0, 3: 300.0, 4: 700.0}
"""Goal -> simulated seconds until a mission counts as failed: four to six times what the oracle needs in
`plain`, so that searching and failing are affordable."""
PATIENCE = {"failures": 2.0, "battery": 1.5, "doors": 1.5}
"""Variant -> how many times the horizon is longer, 1 where absent."""


@dataclass(frozen=True)
class Ends:
    """So many things, each of any of these classes, lie at a place in the end."""

    things: tuple[str, ...]
    place: str
    count: int = 1


@dataclass(frozen=True)
class Goal:
    """What the workshop's own tests ask for: where things end, and what must be shut."""

    ends: tuple[Ends, ...]
    shut: tuple[str, ...] = ()

    def met(self, truth: Truth) -> bool:
        """Whether nothing is left to do."""
        return not self.open_points(truth)

    def open_points(self, truth: Truth) -> list[str]:
        """What is not yet so, in words."""
        points = []
        for end in self.ends:
            there = sum(thing in end.things and place == end.place for thing, place in truth.things)
            if there < end.count:
                points.append(f"{end.count - there} more {' or '.join(end.things)} at {end.place}")
        return points + [f"{place} shut" for place in self.shut if place not in truth.shut]


WASTE_AWAY = Goal((Ends(("waste",), "dumpster", 2),), ("dumpster",))
BREAD_AND_BUTTER = Goal((Ends(("bread",), "table"), Ends(("butter",), "table")), ("fridge", "pantry"))
SNACKS = Goal((Ends(("snacks",), "table"),))
DRINK = Goal((Ends(("soda",), "desk"),))
FOOD = Goal((Ends(("snacks", "bread"), "table"),))
"""Any of the two will do."""
BOTH = Goal(WASTE_AWAY.ends + BREAD_AND_BUTTER.ends, WASTE_AWAY.shut + BREAD_AND_BUTTER.shut)

NAMED: dict[int, tuple[str, Goal]] = {
    1: ("Put the snacks on the table.", SNACKS),
    2: ("Throw all the waste into the dumpster, and shut the dumpster.", WASTE_AWAY),
    3: ("Bring bread and butter to the table. The fridge and the pantry must be shut in the end.", BREAD_AND_BUTTER),
    4: (
        "Bring bread and butter to the table and throw all the waste into the dumpster. "
        "The fridge, the pantry and the dumpster must be shut in the end. Do not run out of battery.",
        BOTH,
    ),
}
"""Goal -> the sentence that names its things."""
VAGUE_TRAIN: dict[int, dict[Goal, tuple[str, ...]]] = {
    1: {
        SNACKS: (
            "Something to nibble for the dining table, please.",
            "Put something crunchy out on the table for the guests.",
        ),
        DRINK: (
            "Something to drink on the desk, please.",
            "I am thirsty, and I sit at the desk.",
        ),
        FOOD: ("Put something to eat on the table that needs no cooling.",),
    },
    2: {
        WASTE_AWAY: (
            "Tidy the rubbish away and shut the lid.",
            "The office is full of litter. It belongs into the big container, which must be closed afterwards.",
            "Take the trash out, all of it, and close the container behind you.",
        ),
    },
    3: {
        BREAD_AND_BUTTER: (
            "On the table I want a slice and something to spread on it. Shut the fridge and the pantry.",
            "Lay the table for toast: the loaf and the yellow spread. Leave nothing open in the kitchen.",
            "We want to make sandwiches at the table, with nothing but a spread. Fridge and pantry stay shut.",
        ),
    },
    4: {
        BOTH: (
            "Lay the table for toast, the loaf and the yellow spread, and take all the trash out. "
            "Fridge, pantry and dumpster must be closed in the end. Mind your battery.",
            "First the rubbish goes where it belongs, then I want a slice and something to spread on it at the table. "
            "Close the fridge, the pantry and the big container. Do not stop half way with an empty battery.",
        ),
    },
}
"""Goal -> what satisfies a sentence -> sentences that name no class of a thing."""
VAGUE_TEST: dict[int, dict[Goal, tuple[str, ...]]] = {
    1: {
        SNACKS: (
            "A bite for the people who are waiting at the table, something out of a bag.",
            "Film night! Put the usual salty stuff on the table.",
        ),
        DRINK: (
            "Whoever works at the desk would like a cold beverage.",
            "Bring me a can of something fizzy, I am at the desk.",
        ),
        FOOD: ("Anything that fills the stomach, on the table, but nothing that one only spreads.",),
    },
    2: {
        WASTE_AWAY: (
            "Get rid of everything that people threw away, and put the lid on.",
            "Collect the garbage from wherever it lies around and dump it. Do not leave the thing open, it smells.",
            "Cleaning day: all the junk goes into the skip, then close it.",
        ),
    },
    3: {
        BREAD_AND_BUTTER: (
            "Breakfast is at the table: something baked and the dairy product that goes on it. "
            "Doors of the cold and the dry store closed afterwards, please.",
            "I would like to smear something on a fresh slice, so put both on the table, "
            "and close the fridge and the pantry.",
            "Set out the two basics of a sandwich on the table. Nothing in the kitchen may stay open.",
        ),
    },
    4: {
        BOTH: (
            "Set out the two basics of a sandwich on the table and get rid of everything that people threw away. "
            "Nothing with a door or a lid may stay open, and keep an eye on your battery.",
            "Cleaning day and breakfast: all the junk into the skip, something baked and what one spreads on it onto "
            "the table. Fridge, pantry and skip closed at the end. Charge in time.",
        ),
    },
}
"""Other words for the same, which no training mission uses."""


@dataclass(frozen=True)
class Mission:
    """A sentence for a robot in a world. `setup`, `goal` and `seed` are for the simulator and the judge alone."""

    number: int
    variant: str
    seed: int
    instruction: str
    goal: Goal
    setup: Setup
    horizon_s: float

    @cached_property
    def name(self) -> str:
        """Such as `3-hidden-1000004`."""
        return f"{self.number}-{self.variant}-{self.seed}"

    def robot(self) -> PyrobosimRobot:
        """The robot at the beginning of the mission."""
        return PyrobosimRobot(self.setup, self.seed)

    def strays(self, truth: Truth) -> list[tuple[str, str]]:
        """(class, place) of things that nobody asked for and that are not where they were: no success counts them."""
        wanted = {thing for end in self.goal.ends for thing in end.things}
        left = [thing for thing in self.setup.things if thing[0] not in wanted]
        return sorted(thing for thing in truth.things if thing[0] not in wanted and thing not in left)


def mission(number: int, variant: str, seed: int) -> Mission:
    """The mission of a goal (1 to 4), a variant and a seed of `TRAIN_SEEDS` or `TEST_SEEDS`: always the same one."""
    if number not in GOALS or variant not in VARIANTS:
        raise InputError(f"no mission {number}-{variant}; goals are 1 to 4, variants {', '.join(VARIANTS)}")
    if seed not in TRAIN_SEEDS and seed not in TEST_SEEDS:
        raise InputError(f"seed {seed} is outside of 0 to {TRAIN_SEEDS.stop - 1} (training) and {TEST_SEEDS.start} to "
                         f"{TEST_SEEDS.stop - 1} (test)")  # fmt: skip

    rng = np.random.default_rng([seed, number, VARIANTS.index(variant)])
    instruction, goal = NAMED[number]
    if variant == "vague":
        by_goal = (VAGUE_TEST if seed in TEST_SEEDS else VAGUE_TRAIN)[number]
        sentences = [(sentence, goal) for goal, sentences in by_goal.items() for sentence in sentences]
        instruction, goal = sentences[rng.integers(len(sentences))]

    shut = WORKSHOP_SHUT[number]
    if variant == "doors":
        doors = [door for door in DOORS if rng.random() < DOOR_IS_SHUT]
        shut = frozenset((*doors, "fridge", "pantry", "dumpster"))

    battery, battery_use = 100.0, WORKSHOP_BATTERY_USE if number == 4 else {}
    if variant == "battery":
        battery, battery_use = round(float(rng.uniform(*LOW_BATTERY)), 1), LOW_BATTERY_USE

    setup = Setup(
        things=_draw_things(goal, rng) if variant == "hidden" else WORKSHOP_THINGS,
        shut=shut,
        hidden=variant == "hidden",
        known_states=variant not in ("hidden", "doors"),
        success=WORKSHOP_SUCCESS if variant == "failures" else {},
        battery=battery,
        battery_use=battery_use,
    )
    horizon_s = HORIZON_S[number] * PATIENCE.get(variant, 1.0)
    return Mission(number, variant, seed, instruction, goal, setup, horizon_s)


def missions_to_test(n: int = 30) -> Iterator[Mission]:
    """The first n test missions of every goal and variant."""
    return (mission(number, variant, seed) for number in GOALS for variant in VARIANTS for seed in TEST_SEEDS[:n])


def _draw_things(goal: Goal, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    things: list[tuple[str, str]] = []
    for thing, _ in WORKSHOP_THINGS:
        wanted_at = {end.place for end in goal.ends if thing in end.things}
        full = {"bin"} & {place for _, place in things}  # two things may not fit into it
        places = {place: weight for place, weight in USUAL_PLACES[thing].items() if place not in wanted_at | full}
        weights = np.array(list(places.values()))
        things.append((thing, str(rng.choice(list(places), p=weights / weights.sum()))))
    return tuple(things)
