"""Plans of any robot: skills with arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One skill with its arguments, in the order of the skill's parameters."""

    skill: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.skill}({', '.join(self.arguments)})"


@dataclass(frozen=True)
class Plan:
    """Steps in order. A plan may leave out what prepares a step (`rarrl.skills.search` finds it where needs and gives
    are known)."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.steps))

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[str]]) -> Plan:
        """Makes a plan from `rows` of a skill and its arguments.

        >>> str(Plan.from_rows([["pick", "soda"], ["place", "soda", "desk"]]))
        'pick(soda); place(soda, desk)'
        """
        return cls(tuple(Step(str(skill), tuple(map(str, arguments))) for skill, *arguments in rows))

    def to_rows(self) -> list[list[str]]:
        """Returns `[[skill, argument, ...], ...]`."""
        return [[step.skill, *step.arguments] for step in self.steps]
