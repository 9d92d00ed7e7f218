"""ALFRED's robot, and its expert plans without GotoLocation: when two are the same, and what a data set's rows mean.

Where an object happens to lie cannot be known from the goal, so two plans are the same if they are the same without
GotoLocation, and the robot adds those steps as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rarrl.alfred import AlfredPlan
from rarrl.skills.domain import load_robot
from rarrl.skills.plan import Plan, Step

ALFRED_DOMAIN = load_robot("alfred")
"""ALFRED's skills and classes (Shridhar et al., CVPR 2020), which the simulated home has too."""
VERBS = tuple(ALFRED_DOMAIN.offered)
"""What a plan may do: ALFRED's high-level actions except GotoLocation."""
MAX_STEPS = ALFRED_DOMAIN.max_steps
"""Steps of the longest plan that is accepted; ALFRED's longest has 8 without GotoLocation."""
OBJECTS = ALFRED_DOMAIN.world.names("portable")
"""Classes that ALFRED's expert plans pick up."""
PLACES = tuple(sorted(ALFRED_DOMAIN.world.names("receptacle")))
"""Classes on or in which they put it."""
LAMPS = ALFRED_DOMAIN.world.groups["lamps"]
"""Classes that they toggle."""
CONTAINERS = frozenset(OBJECTS) & frozenset(PLACES)
"""Objects that hold others while they are carried."""
KNIVES = frozenset(ALFRED_DOMAIN.world.groups["knives"])
"""Classes with which the robot may slice."""
TREATABLE = {
    verb: frozenset(ALFRED_DOMAIN.offered[verb][0])
    for verb in ("HeatObject", "CoolObject", "CleanObject", "SliceObject")
}
"""Verb -> the classes that ALFRED's experts treat so."""
WALKS = ("GotoLocation", "NoOp")
"""Steps of ALFRED's rows that a plan leaves out."""


def alfred_plan(rows: Iterable[Sequence[str]]) -> Plan:
    """Makes a plan from `rows` of a verb and its arguments, as in ALFRED. GotoLocation and NoOp are dropped.

    Raises: ValueError for an unknown verb. The arguments are not judged here, but in `rarrl.skills.check`.

    >>> str(alfred_plan([["GotoLocation", "desk"], ["PickupObject", "mug"], ["PutObject", "mug", "shelf"]]))
    'PickupObject(mug); PutObject(mug, shelf)'
    """
    plan = Plan.from_rows(row for row in rows if row[0] not in WALKS)
    for step in plan.steps:
        if step.skill not in VERBS:
            raise ValueError(f"plan: unknown verb {step.skill[:40]!r} (allowed: {', '.join(VERBS)})")
    return plan


def expert_plan(source: AlfredPlan) -> Plan:
    """Returns the expert's plan without GotoLocation. The few arguments that the data set leaves empty are filled with
    the object in the hand."""
    steps = []
    held = ""
    for verb, arguments in zip(source.subgoals, source.arguments, strict=True):
        if verb.name in WALKS:
            continue
        if verb.name == "PickupObject":
            held = arguments[0]
        steps.append(Step(verb.name, tuple(argument or held for argument in arguments)))

    return Plan(tuple(steps))


def normal_form(plan: Plan) -> Plan:
    """Removes from a plan what no goal specifies: which knife slices, and where it is left.

    Two plans with the same normal form are equally right.

    >>> rows = [["PickupObject", "butterknife"], ["SliceObject", "egg"], ["PutObject", "butterknife", "shelf"]]
    >>> str(normal_form(Plan.from_rows(rows)))
    'PickupObject(knife); SliceObject(egg); PutObject(knife, )'
    """
    if not any(step.skill == "SliceObject" for step in plan.steps):
        return plan

    steps = []
    for step in plan.steps:
        if step.arguments[0] in KNIVES:
            step = Step(step.skill, ("knife", "")[: len(step.arguments)])
        steps.append(step)

    return Plan(tuple(steps))


def same_plan(plan: Plan, expert: Plan) -> bool:
    """Returns whether `plan` is right: the expert's step by step, except for what no goal specifies (`normal_form`)."""
    return normal_form(plan) == normal_form(expert)


def same_steps(plan: Plan, expert: Plan) -> int:
    """Counts how many of the expert's steps `plan` begins with, compared as in `same_plan`."""
    ours = normal_form(plan).steps
    theirs = normal_form(expert).steps
    pairs = zip(ours, theirs, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
