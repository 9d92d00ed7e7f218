"""What a robot's skills have done so far: counted on the robot, kept in a file, and shown to the orchestrator.

The maker's word is the prior of a Beta per skill (`rarrl.types.StepView`: failures, worth so many attempts); what the
robot counts is added to it. Within a skill, each class of arguments (a bottle, the kitchen) has counts of its own, with
the skill's as its prior: a new class starts out as the skill is, and shows in a few attempts where it differs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.errors import InputError
from rarrl.files import write_json_atomic
from rarrl.plugins import did_you_mean
from rarrl.skills.skill_set import SkillSet
from rarrl.strict_json import read_json, short, validated
from rarrl.types import MAX_STEP_NAME, StateSummary, StepView

logger = logging.getLogger(__name__)

FILE_NAME = "skill_statistics.json"
"""Name of the file in a robot's folder."""
MEMORY = 200.0
"""Attempts of a class that are remembered: older ones fade, so that a worn gripper is noticed."""
CLASS_WEIGHT = 6.0
"""Attempts that all of a skill's classes together tell of one of them, at most."""
PRIOR_FAILURES = 2.0
"""Failures that the maker's word on what cannot be undone is worth."""
PRIOR_DURATIONS = 2.0
"""Attempts that the maker's word on the duration is worth."""
MAX_SKILLS = 500
"""Skills in a file; a robot has a few dozen, so more is a wrong file."""
MAX_CLASSES = 1000
"""Classes of a skill that are counted apart; what comes later is counted for the skill alone."""
MAX_DAMAGED = 10
"""Damaged files that are kept; the newest takes the place of the last."""
_WHAT = "skill statistics"
"""How messages about a file begin."""
_OTHERS = "*"
"""The class of attempts without a class of their own."""


class Counts(BaseModel):
    """What attempts came to. They are no whole numbers, because old ones fade."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    attempts: float = Field(ge=0.0, le=1e6, description="0 to 1e6")
    failures: float = Field(ge=0.0, le=1e6, description="0 to 1e6")
    lost: float = Field(ge=0.0, le=1e6, description="0 to 1e6")
    seconds: float = Field(ge=0.0, le=1e9, description="seconds of all attempts, 0 to 1e9")

    @model_validator(mode="after")
    def _consistent(self) -> Counts:
        if not self.lost <= self.failures <= self.attempts:
            raise ValueError(
                f"lost {self.lost}, failures {self.failures}, attempts {self.attempts} cannot be; allowed: each at "
                "most the next"
            )
        return self

    def plus(self, other: Counts) -> Counts:
        """The sum of both."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields})

    def faded(self) -> Counts:
        """The same shares, worth MEMORY attempts at most."""
        factor = min(1.0, MEMORY / max(self.attempts, 1.0))
        return self if factor == 1.0 else Counts(**{k: v * factor for k, v in self.model_dump().items()})


NOTHING = Counts(attempts=0.0, failures=0.0, lost=0.0, seconds=0.0)
"""Counts of what was never tried."""


class _File(BaseModel):
    """The file: counts per skill and class."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = Field(description="1")
    skills: dict[str, dict[str, Counts]] = Field(
        max_length=MAX_SKILLS, description=f"at most {MAX_SKILLS} skills: class -> attempts, failures, lost, seconds"
    )

    @model_validator(mode="after")
    def _limits(self) -> _File:
        for skill, classes in self.skills.items():
            if len(classes) > MAX_CLASSES + 1:
                raise ValueError(f"skill {short(skill)} has {len(classes)} classes; allowed: {MAX_CLASSES}")
            for name in (skill, *classes):
                if not 1 <= len(name) <= MAX_STEP_NAME or not name.isprintable():
                    raise ValueError(f"name {short(name)} is not allowed (1 to {MAX_STEP_NAME} printable characters)")
        return self


@dataclass(frozen=True)
class Tried:
    """A step that stands in a plan: its skill, and the class of its arguments, "" where it has none."""

    skill: str
    argument_class: str = ""


def priors_of(skills: SkillSet) -> dict[str, StepView]:
    """What the skill file says of each skill, before anything was tried."""
    return {
        name: StepView(
            name,
            failures=1.0 - skill.prior.success,
            attempts=skill.prior.weight,
            irreversible=skill.irreversible_share,
            seconds=skill.expected_s,
            looks=skill.looks,
        )
        for name, skill in skills.skills.items()
    }


class SkillStatistics:
    """Counts per skill and argument class, and what is to be expected after them.

    Args:
        priors: what is known of each skill before it was tried, by name (`priors_of`; ALFRED's: `STEP_VIEWS`).
        path: the file that `save` writes; what it holds already is taken in. A damaged one is set aside under another
            name, with a warning, and counting begins anew. None: nothing is kept.
    """

    def __init__(self, priors: Mapping[str, StepView], path: Path | None = None) -> None:
        self._priors = dict(priors)
        self._path = path
        self._counts: dict[str, dict[str, Counts]] = {}
        if path is not None and path.exists():
            self._counts = _read(path)
            for name in self._counts.keys() - self._priors.keys():
                logger.warning(
                    "%s: %s counts skill %s, which the robot does not have%s; kept as it is",
                    _WHAT,
                    path,
                    short(name),
                    did_you_mean(name, tuple(self._priors)),
                )

    def record(self, tried: Tried, success: bool, lost: bool = False, seconds: float | None = None) -> None:
        """Folds in an attempt that was made and ended. One that was refused, had no way, was cancelled or has no result
        yet tells of the world or of the server, not of the skill: leave it out.

        seconds: what it took; None: as long as expected. Raises: InputError for a skill that the robot has not."""
        expected = self._prior(tried.skill).seconds
        took = expected if seconds is None or math.isnan(seconds) else min(max(seconds, 0.0), 1e6)
        failed = 1.0 - float(success)
        one = Counts(attempts=1.0, failures=failed, lost=failed * lost, seconds=took)
        classes = self._counts.setdefault(tried.skill, {})
        name = _class_name(tried.argument_class)
        if name not in classes and len(classes) >= MAX_CLASSES:
            name = _OTHERS
        classes[name] = classes.get(name, NOTHING).plus(one).faded()

    def view(self, tried: Tried) -> StepView:
        """What is to be expected of the step. Raises: InputError for a skill that the robot has not."""
        prior = self._prior(tried.skill)
        classes = self._counts.get(tried.skill, {})
        total = NOTHING
        for counts in classes.values():
            total = total.plus(counts)

        own = classes.get(_class_name(tried.argument_class), NOTHING)
        skill = _posterior(prior, total, PRIOR_FAILURES, PRIOR_DURATIONS)
        if len(classes) <= 1 and own.attempts == total.attempts:  # all that was counted is of this class
            return skill
        weight = min(skill.attempts, CLASS_WEIGHT)
        share = weight / skill.attempts
        start = StepView(tried.skill, skill.failures, weight, skill.irreversible, skill.seconds, skill.looks)
        return _posterior(start, own, PRIOR_FAILURES + share * total.failures, PRIOR_DURATIONS + share * total.attempts)

    def summary(
        self,
        plan: Sequence[Tried],
        index: int,
        attempts: int,
        horizon: int,
        retries_left: int = 0,
        contradicted: int = 0,
    ) -> StateSummary:
        """The plan as the orchestrator sees it. index: of the step at hand. attempts: made in this task so far;
        horizon: those that it may need. The rest as in `StateSummary`.

        Raises: InputError for a skill that the robot has not; ValueError as `StateSummary`."""
        steps = tuple(self.view(tried) for tried in plan)
        return StateSummary(steps, index, attempts, max(horizon, 1), retries_left, contradicted)

    def save(self) -> None:
        """Writes the file, whole or not at all. Raises: OSError."""
        if self._path is not None:
            skills = {
                skill: {name: counts.model_dump() for name, counts in classes.items()}
                for skill, classes in self._counts.items()
            }
            write_json_atomic(self._path, {"schema_version": 1, "skills": skills})

    def _prior(self, skill: str) -> StepView:
        if skill not in self._priors:
            known = tuple(self._priors)
            raise InputError(
                f"{_WHAT}: skill {short(skill)} is unknown (allowed: {', '.join(known)}){did_you_mean(skill, known)}"
            )
        return self._priors[skill]


def _posterior(prior: StepView, counts: Counts, failures_worth: float, durations_worth: float) -> StepView:
    attempts = prior.attempts + counts.attempts
    return StepView(
        prior.name,
        failures=min((prior.failures * prior.attempts + counts.failures) / attempts, 1.0),
        attempts=attempts,
        irreversible=min((prior.irreversible * failures_worth + counts.lost) / (failures_worth + counts.failures), 1.0),
        seconds=(prior.seconds * durations_worth + counts.seconds) / (durations_worth + counts.attempts),
        looks=prior.looks,
    )


def _class_name(argument_class: str) -> str:
    """As it stands in the file."""
    name = "".join(c for c in argument_class if c.isprintable())[:MAX_STEP_NAME]
    return name or _OTHERS


def _read(path: Path) -> dict[str, dict[str, Counts]]:
    """What the file holds; a damaged one is set aside."""
    try:
        document = validated(_File, read_json(path, _WHAT), _WHAT, str(path), {})
    except InputError as error:
        names = [path.with_name(f"{path.stem}.damaged{number or ''}{path.suffix}") for number in range(MAX_DAMAGED)]
        aside = next((name for name in names if not name.exists()), names[-1])
        try:
            path.replace(aside)
            logger.warning("%s; set aside as %s, counting begins anew", error, aside)
        except OSError as trouble:  # a folder that may not be written
            logger.warning("%s; it cannot be set aside (%s), counting begins anew", error, trouble.strerror)
        return {}
    return {skill: dict(classes) for skill, classes in document.skills.items()}
