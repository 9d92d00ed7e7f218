"""A robot's skills in its world: which names an argument may be, and whether a plan may be carried out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean
from rarrl.skills.plan import SkillPlan, Step
from rarrl.skills.skill_set import Parameter, Skill, SkillSet, load_skills
from rarrl.skills.world import World, load_world
from rarrl.strict_json import short

MAX_STEPS = 24
"""Steps of the longest plan that is accepted by default: two for each of a dozen sub-goals."""


@dataclass(frozen=True)
class Limits:
    """What the operator forbids on this robot, whatever a file or a model says.

    forbidden: names of skills, things, places and doors that no step may use. pairs: (thing, place) that must not
    meet. max_steps: of a plan."""

    forbidden: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()
    max_steps: int = MAX_STEPS


@dataclass(frozen=True, eq=False)
class Domain:
    """Skills and world together. Prompt, grammar, plan checker and report are derived from one such value.

    Raises: InputError where the two files do not fit together."""

    skills: SkillSet
    world: World
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        kinds = {"thing", "place", "door", "room", "number", "text", *self.world.groups}
        for name, skill in self.skills.skills.items():
            for parameter, spec in skill.parameters.items():
                for kind in spec.kinds:
                    if kind not in kinds:
                        raise InputError(
                            f"skills: skill {name}, parameter {parameter}: {short(kind)} is no kind (allowed: "
                            f"{', '.join(sorted(kinds))}){did_you_mean(kind, kinds)}"
                        )
            for condition in (*skill.conditions, *skill.effects):
                for word in condition.words:
                    if word.startswith("<") and word[1:-1] not in self.world.groups:
                        raise InputError(
                            f"skills: skill {name}: `{condition}` speaks of the group {word[1:-1]}, which world.yaml "
                            f"does not have{did_you_mean(word[1:-1], self.world.groups)}"
                        )
        for example in self.skills.examples:
            fault = self.check(SkillPlan.from_rows(example.plan)) if example.plan else ""
            if fault:
                raise InputError(f"skills: example {short(example.say)}: {fault}")

    def values(self, parameter: Parameter) -> tuple[str, ...]:
        """The names that an argument may be; () where any number or text may stand."""
        if parameter.one_of:
            return parameter.one_of
        found: dict[str, None] = {}
        for kind in parameter.kinds:
            if kind in ("number", "text"):
                return ()
            found |= dict.fromkeys(self.world.names(kind))
        return tuple(found)

    @cached_property
    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Name of a room, place, door or thing -> what people call it, the name first."""
        parts = (self.world.rooms, self.world.places, self.world.doors, self.world.things)
        return {name: (name.replace("_", " "), *each.aliases) for part in parts for name, each in part.items()}

    @cached_property
    def plans_by_itself(self) -> bool:
        """Whether needs and gives are given, so that the robot can plan without a model."""
        return any(skill.gives for skill in self.skills.skills.values())

    def skill(self, step: Step) -> Skill:
        """Raises: KeyError."""
        return self.skills.skills[step.skill]

    def arguments(self, step: Step) -> dict[str, str]:
        """Parameter -> argument."""
        return self.skills.arguments(step.skill, step.arguments)

    def check(self, plan: SkillPlan) -> str:
        """Why `plan` may not be carried out, in one line that a model can mend it by; "" where it may."""
        if not 1 <= len(plan.steps) <= self.limits.max_steps:
            return f"{len(plan.steps)} steps (allowed: 1 to {self.limits.max_steps})"
        for number, step in enumerate(plan.steps, start=1):
            fault = self.check_step(step)
            if fault:
                return f"step {number}, {str(step)[:80]}: {fault}"
        return ""

    def check_step(self, step: Step) -> str:
        """Why a step may not be carried out; "" where it may."""
        skill = self.skills.skills.get(step.skill)
        if skill is None:
            return (
                f"{short(step.skill)} is no skill (allowed: {', '.join(self.skills.skills)})"
                f"{did_you_mean(step.skill, self.skills.skills)}"
            )
        if len(step.arguments) != len(skill.parameters):
            wanted = ", ".join(skill.parameters) or "none"
            return f"{len(step.arguments)} arguments (allowed: {len(skill.parameters)}: {wanted})"
        for value, (name, parameter) in zip(step.arguments, skill.parameters.items(), strict=True):
            fault = self._check_value(value, parameter)
            if fault:
                return f"{name}: {fault}"
        return self._forbidden(step)

    def _check_value(self, value: str, parameter: Parameter) -> str:
        allowed = self.values(parameter)
        if not allowed and parameter.kinds == ("text",):
            return "" if 0 < len(value) <= 200 else "a text of 1 to 200 characters is allowed"
        if "number" in parameter.kinds and not allowed:
            try:
                number = float(value)
            except ValueError:
                return f"{short(value)} is no number"
            inside = parameter.minimum <= number <= parameter.maximum  # false for NaN
            return "" if inside else f"{value} is not allowed (allowed: {parameter.minimum:g} to {parameter.maximum:g})"
        if value not in allowed:
            return f"{short(value)} is unknown (allowed: {', '.join(allowed)[:300]}){did_you_mean(value, allowed)}"
        return ""

    def _forbidden(self, step: Step) -> str:
        banned = next((name for name in (step.skill, *step.arguments) if name in self.limits.forbidden), None)
        if banned is not None:
            return f"the operator forbids {banned}"
        for thing, place in self.limits.pairs:
            if thing in step.arguments and place in step.arguments:
                return f"the operator forbids {thing} and {place} together"
        return ""


def load_domain(skills: Path, world: Path, limits: Limits | None = None) -> Domain:
    """Reads both files. Raises: InputError, one line."""
    return Domain(load_skills(skills), load_world(world), limits or Limits())


def names_in(plan: Iterable[Step]) -> frozenset[str]:
    """All arguments of steps."""
    return frozenset(value for step in plan for value in step.arguments)
