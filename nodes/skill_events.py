"""What a skill runner is told and what it tells, as plain values: who uses them needs neither rclpy nor a robot."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import Parameter, Skill
from rarrl.skills.world import World


def new_uuid() -> str:
    """A fresh identity of a goal, 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Spot:
    """A place or door as an argument: `{place}` is its name, `{place.pose}` x, y and yaw in metres and rad, and
    `{place.x}`, `{place.y}`, `{place.yaw}` are numbers. None where the world file gives no pose.

    values: the robot's own numbers and words for it, `{place.stop}`; a thing that has such is a spot without a pose."""

    name: str
    room: str = ""
    frame: str = ""
    pose: tuple[float, float, float] | None = None
    values: Mapping[str, bool | int | float | str] = field(default_factory=dict, hash=False)

    @property
    def x(self) -> float | None:
        return self.pose[0] if self.pose else None

    @property
    def y(self) -> float | None:
        return self.pose[1] if self.pose else None

    @property
    def yaw(self) -> float | None:
        return self.pose[2] if self.pose else None


def argument(value: str, parameter: Parameter, world: World) -> Any:
    """What stands for one argument of a step in a goal: a number, a Spot, or the text.

    >>> argument("3", Parameter(kinds=("number",)), World())
    3
    """
    if "number" in parameter.kinds:
        try:
            return int(value)
        except ValueError:
            return float(value)
    thing = world.things.get(value)
    if thing is not None and thing.values:
        return Spot(value, values=thing.values)
    spot = world.places.get(value) or world.doors.get(value)
    if spot is None:
        return value
    return Spot(value, world.room_of(value), world.frame, spot.pose, spot.values)


@dataclass(frozen=True)
class SkillRun:
    """One execution of a skill.

    Attributes:
        arguments: parameter -> a text, a number, a pose, or something with parts, as `ros_types.fill` takes them.
        uuid: of the goal, 32 hexadecimal digits. Written down before the goal is sent, it finds the goal again.
        ran_s: seconds that it has run already, where a new process takes it up.
        accepted: whether the earlier process had heard that its server has it.
        sent_ago_s: seconds since the earlier process has sent it, or was about to.
    """

    skill: Skill
    arguments: Mapping[str, Any] = field(default_factory=dict)
    uuid: str = field(default_factory=new_uuid)
    ran_s: float = 0.0
    accepted: bool = True
    sent_ago_s: float = 0.0

    @classmethod
    def of(
        cls,
        domain: Domain,
        step: Step,
        uuid: str = "",
        ran_s: float = 0.0,
        accepted: bool = True,
        sent_ago_s: float = 0.0,
    ) -> SkillRun:
        """The run of one step of a plan that `domain` has checked."""
        skill = domain.skill(step)
        arguments = {
            name: argument(value, skill.parameters[name], domain.world)
            for name, value in domain.arguments(step).items()
        }
        return cls(skill, arguments, uuid or new_uuid(), ran_s, accepted, sent_ago_s)


@dataclass(frozen=True)
class Event:
    """Base of what is told about the run `uuid`.

    Each run ends with exactly one of Unavailable, Rejected, Finished and Lost. After a Lost that is not `settled` the
    goal may still be at work: its server takes nothing new until a Finished (`late`) or Settled follows."""

    uuid: str


@dataclass(frozen=True)
class Unavailable(Event):
    """Nothing was sent: there is no server."""

    why: str


@dataclass(frozen=True)
class Rejected(Event):
    """The skill does not run. sent: the server has rejected it; else it was never sent.

    outcome: REFUSED where the same goal would be rejected again, UNAVAILABLE where its server has another goal,
    CANCELLED where it was cancelled before it was sent."""

    why: str
    sent: bool
    outcome: Outcome = Outcome.REFUSED


@dataclass(frozen=True)
class Sending(Event):
    """The server was found, and the goal leaves when this was heard."""


@dataclass(frozen=True)
class Accepted(Event):
    """The server has taken the goal. adopted: a new process has found it at work."""

    adopted: bool = False


@dataclass(frozen=True)
class Feedback(Event):
    """Progress, as far as the server tells; None where it does not. distance_left: m. seconds_left: its estimate.
    fields: the whole feedback as nested dicts and lists."""

    distance_left: float | None = None
    recoveries: int | None = None
    seconds_left: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CancelRefused(Event):
    """The server goes on although it was asked to stop. The run goes on too, with its deadlines."""

    why: str


@dataclass(frozen=True)
class Finished(Event):
    """A result came.

    Attributes:
        outcome: what `outcome` of the skill makes of it. A goal that was aborted is never a success, whatever its
            result says: a server that aborts leaves the fields at 0.
        status: of the goal, such as SUCCEEDED; a service or topic that answered has SUCCEEDED.
        code: what the field of `outcome` holds; the status where it names no field.
        names: constants of the result's type that have this value.
        why: the field `why` of `outcome`.
        fields: the whole result as nested dicts and lists.
        overdue: it came after `timeout_s`, when a cancel had been sent.
        late: it came after the run was given up as Lost.
    """

    outcome: Outcome
    status: str
    code: Any = None
    names: tuple[str, ...] = ()
    why: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    overdue: bool = False
    late: bool = False


@dataclass(frozen=True)
class Lost(Event):
    """No result in time. settled: the goal does not run any more; its server, or what knew the goal, is gone."""

    why: str
    settled: bool


@dataclass(frozen=True)
class Settled(Event):
    """After a Lost: the goal does not run any more, and its server takes the next one."""

    why: str


@dataclass(frozen=True)
class Ignored(Event):
    """Something came that nobody waits for, such as a second result. uuid: "" where it is of no known run."""

    why: str


def outcome_of(event: Event) -> Outcome | None:
    """The outcome of the run that `event` ends; None where it goes on, or had ended before."""
    if isinstance(event, (Finished, Rejected)):
        return event.outcome
    if isinstance(event, Unavailable):
        return Outcome.UNAVAILABLE
    if isinstance(event, Lost):
        return Outcome.UNAVAILABLE if event.settled else Outcome.TIMEOUT
    return None
