"""Plans: sub-goals with arguments, which a language model writes and a robot carries out.

A plan leaves out GotoLocation: where an object happens to lie cannot be known from the goal, so two plans are the
same if they are the same without those steps, and the robot adds them as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rarrl.alfred import AlfredPlan, SubgoalType

VERBS = tuple(kind.name for kind in SubgoalType if kind is not SubgoalType.GotoLocation)
"""What a plan may do: ALFRED's high-level actions (Shridhar et al., CVPR 2020) except GotoLocation."""
MAX_STEPS = 12
"""Steps of the longest plan that is accepted; ALFRED's longest has 8 without GotoLocation."""
KNIVES = frozenset(("knife", "butterknife"))
"""Classes with which the robot may slice."""


@dataclass(frozen=True)
class PlanStep:
    """One sub-goal. arguments: ALFRED's class names in lower case: (object, receptacle) for PutObject, else
    (object,)."""

    verb: SubgoalType
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verb.name}({', '.join(self.arguments)})"


@dataclass(frozen=True)
class Plan:
    """The steps of a task in order, without GotoLocation."""

    steps: tuple[PlanStep, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.steps))

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[str]]) -> Plan:
        """Makes a plan from `rows` of a verb and its arguments, as in ALFRED. GotoLocation and NoOp are dropped.

        Raises: ValueError for an unknown verb. The arguments are not judged here, but in `rarrl.reasoner.checker`.

        >>> str(Plan.from_rows([["GotoLocation", "desk"], ["PickupObject", "mug"], ["PutObject", "mug", "shelf"]]))
        'PickupObject(mug); PutObject(mug, shelf)'
        """
        steps = []
        for verb, *arguments in rows:
            if verb in ("GotoLocation", "NoOp"):
                continue
            if verb not in VERBS:
                raise ValueError(f"plan: unknown verb {verb[:40]!r} (allowed: {', '.join(VERBS)})")
            steps.append(PlanStep(SubgoalType[verb], tuple(arguments)))

        return cls(tuple(steps))

    def to_rows(self) -> list[list[str]]:
        """Returns `[[verb, argument, ...], ...]`, as in ALFRED."""
        return [[step.verb.name, *step.arguments] for step in self.steps]


class Fault(str, Enum):
    """What a verifier finds wrong with a plan."""

    OBJECT = "wrong object"
    PLACE = "wrong place"
    ORDER = "wrong order"
    MISSING = "missing step"
    EXTRA = "extra step"


@dataclass(frozen=True)
class Verdict:
    """A verifier's answer. fault: None if the plan is ok. p_ok: the model's probability of ok, NaN if unknown."""

    ok: bool
    fault: Fault | None = None
    p_ok: float = float("nan")


def expert_plan(source: AlfredPlan) -> Plan:
    """Returns the expert's plan without GotoLocation. The few arguments that the data set leaves empty are filled with
    the object in the hand."""
    steps = []
    held = ""
    for verb, arguments in zip(source.subgoals, source.arguments, strict=True):
        if verb is SubgoalType.GotoLocation:
            continue
        if verb is SubgoalType.PickupObject:
            held = arguments[0]
        steps.append(PlanStep(verb, tuple(argument or held for argument in arguments)))

    return Plan(tuple(steps))


def normal_form(plan: Plan) -> Plan:
    """Removes from a plan what no goal specifies: which knife slices, and where it is left.

    Two plans with the same normal form are equally right.

    >>> rows = [["PickupObject", "butterknife"], ["SliceObject", "egg"], ["PutObject", "butterknife", "shelf"]]
    >>> str(normal_form(Plan.from_rows(rows)))
    'PickupObject(knife); SliceObject(egg); PutObject(knife, )'
    """
    if not any(step.verb is SubgoalType.SliceObject for step in plan.steps):
        return plan

    steps = []
    for step in plan.steps:
        if step.arguments[0] in KNIVES:
            step = PlanStep(step.verb, ("knife", "")[: len(step.arguments)])
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
