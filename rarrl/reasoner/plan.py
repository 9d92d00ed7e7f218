"""Plans: sub-goals with arguments, as a language model writes them and a robot carries them out.

A plan leaves out GotoLocation: where an object happens to lie cannot be known from the goal, so two plans are the
same when they are the same without those steps, and the robot puts them in as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rarrl.types import SubgoalType

VERBS = tuple(kind.name for kind in SubgoalType if kind is not SubgoalType.GotoLocation)
"""What a plan may do: ALFRED's high-level actions (Shridhar et al., CVPR 2020) but for GotoLocation."""
MAX_STEPS = 12
"""No plan is longer (ALFRED's longest has 8 steps without GotoLocation)."""


@dataclass(frozen=True)
class PlanStep:
    """One sub-goal. arguments: ALFRED's class names, lower case; of PutObject (object, receptacle), else (object,)."""

    verb: SubgoalType
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verb.name}({', '.join(self.arguments)})"


@dataclass(frozen=True)
class Plan:
    """The steps of a task in their order, without GotoLocation."""

    steps: tuple[PlanStep, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.steps))

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[str]]) -> Plan:
        """The plan in `rows` of a verb and its arguments, as in ALFRED; GotoLocation and NoOp are dropped.

        Raises: ValueError for an unknown verb. The arguments are not judged: see `rarrl.reasoner.checker`.

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
        """`[[verb, argument, ...], ...]`, as in ALFRED."""
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
    """A verifier's answer. fault: None where the plan is ok. p_ok: the model's probability of ok, NaN if unknown."""

    ok: bool
    fault: Fault | None = None
    p_ok: float = float("nan")
