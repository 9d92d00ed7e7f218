"""How a skill ended, in one vocabulary for all robots, and how the codes of their actions are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.plugins import did_you_mean
from rarrl.strict_json import short

Code = int | str | bool
"""What a result says: a number, the name of a constant or of a goal's status, or a truth value."""


class Outcome(str, Enum):
    """How one execution of a skill ended, and with it what the executive may do next."""

    SUCCESS = "success"  # done, as far as the robot can tell: see `rarrl.executive.certainty`
    FAILED = "failed"  # tried and not done; the same may work the next time
    REFUSED = (
        "refused"  # not tried: a precondition does not hold, or the arguments are none; what it rested on is false
    )
    UNPLANNABLE = "unplannable"  # not tried: no way there; not again before beliefs change
    CANCELLED = "cancelled"  # ended because somebody asked for it
    TIMEOUT = "timeout"  # no result in time; unknown until it comes
    UNAVAILABLE = "unavailable"  # no server, or it does not answer
    LOST = "lost"  # cannot be undone: the task cannot succeed any more

    @property
    def is_final(self) -> bool:
        """Whether the skill is known to run no longer. After TIMEOUT it may still be at work."""
        return self is not Outcome.TIMEOUT


@dataclass(frozen=True)
class SkillResult:
    """What came of one execution of a skill.

    why: one line, the robot's own words. seconds: from sending to the result, of the robot's clock. certainty:
    probability that the skill's effects are there, given the signals that came with it; NaN where nobody has judged
    it. fields: what the result said besides, dotted name -> value."""

    outcome: Outcome
    why: str = ""
    seconds: float = 0.0
    certainty: float = float("nan")
    fields: Mapping[str, object] | None = None


class OutcomeMap(BaseModel):
    """How the codes of a result are read. The lists hold codes; one that is in no list counts as failed.

    Without `field` the status of the action goal is read: SUCCEEDED, ABORTED, CANCELED, or true and false of a
    service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    like: str = Field(
        default="", description="a ready-made table: nav2, openral, dimos, pyrobosim, trigger, goal_status"
    )
    field: str = Field(
        default="", description="field of the result that holds the code, dotted: execution_result.status"
    )
    why: str = Field(default="", description="field of the result that says why in words")
    success: tuple[Code, ...] = Field(default=(), description="codes of what is done")
    failed: tuple[Code, ...] = Field(default=(), description="codes of what was tried and may work the next time")
    refused: tuple[Code, ...] = Field(default=(), description="codes of what was not tried: a precondition is false")
    unplannable: tuple[Code, ...] = Field(default=(), description="codes of what has no way there")
    cancelled: tuple[Code, ...] = Field(default=(), description="codes of what somebody has cancelled")
    timeout: tuple[Code, ...] = Field(default=(), description="codes of what the server gave up for its time")
    unavailable: tuple[Code, ...] = Field(default=(), description="codes of a server that is not ready")
    lost: tuple[Code, ...] = Field(default=(), description="codes of what nothing can repair")
    lost_why: tuple[str, ...] = Field(default=(), description="texts in `why` that mean lost, as regular expressions")

    @model_validator(mode="after")
    def _consistent(self) -> OutcomeMap:
        if self.like and self.like not in READY_MADE:
            raise ValueError(
                f"like: {short(self.like)} is unknown (allowed: {', '.join(READY_MADE)})"
                f"{did_you_mean(self.like, READY_MADE)}"
            )
        seen: dict[Code, str] = {}
        for name in _LISTS:
            for code in getattr(self, name):
                if code in seen:
                    raise ValueError(f"code {short(code)} stands in {seen[code]} and in {name}; keep one")
                seen[code] = name
        for text in self.lost_why:
            try:
                re.compile(text)
            except re.error as error:
                raise ValueError(f"lost_why: {short(text)} is no regular expression ({error})") from None
        return self

    @property
    def resolved(self) -> OutcomeMap:
        """The map with what it takes over from its ready-made table; its own lists come first."""
        if not self.like and (self.success or self.field):
            return self
        base, own = READY_MADE[self.like or "goal_status"], {code for name in _LISTS for code in getattr(self, name)}
        lists = {name: (*getattr(self, name), *(c for c in getattr(base, name) if c not in own)) for name in _LISTS}
        return OutcomeMap(
            field=self.field or base.field,
            why=self.why or base.why,
            lost_why=(*base.lost_why, *self.lost_why),
            **lists,
        )

    def read(self, code: Code, why: str = "") -> Outcome:
        """What a result with `code`, and the words `why`, means.

        >>> OutcomeMap(success=(0,), refused=(1, 5)).read(5)
        <Outcome.REFUSED: 'refused'>
        """
        table = self.resolved
        found = next((Outcome(name) for name in _LISTS if _holds(getattr(table, name), code)), Outcome.FAILED)
        if found is not Outcome.SUCCESS and any(re.search(text, why) for text in table.lost_why):
            return Outcome.LOST
        return found


_LISTS = ("success", "failed", "refused", "unplannable", "cancelled", "timeout", "unavailable", "lost")


def _holds(codes: tuple[Code, ...], code: Code) -> bool:
    """Whether `code` is among `codes`. 1 and True are different codes; texts are compared in small letters."""
    if isinstance(code, str):
        return any(isinstance(each, str) and each.lower() == code.lower() for each in codes)
    return any(each == code and isinstance(each, bool) == isinstance(code, bool) for each in codes)


READY_MADE: dict[str, OutcomeMap] = {}
"""Name -> the codes of a well-known system; `OutcomeMap.like` names one."""
READY_MADE["goal_status"] = OutcomeMap(success=("SUCCEEDED", True), failed=("ABORTED", False), cancelled=("CANCELED",))
READY_MADE["trigger"] = OutcomeMap(field="success", why="message", success=(True,), failed=(False,))
READY_MADE["pyrobosim"] = OutcomeMap(
    field="execution_result.status",
    why="execution_result.message",
    success=(0,),
    refused=(1, 5),
    unplannable=(2,),
    failed=(3, 4),
    cancelled=(6,),
    lost_why=("[Bb]attery depleted",),
)
