"""How a skill ended, in one vocabulary for all robots, and how the codes of their actions are read.

The ready-made tables follow the definitions of these versions:

    nav2                    nav2_msgs 1.3.13 (Jazzy), 1.4.2 (Kilted), 1.5.1 (Lyrical), whose codes agree with each other
                            https://github.com/ros-navigation/navigation2/tree/lyrical/nav2_msgs/action
                            1.1.20 (Humble) has no codes: goal_status
    moveit                  moveit_msgs 2.6.0
                            https://github.com/moveit/moveit_msgs/blob/ros2/msg/MoveItErrorCodes.msg
    follow_joint_trajectory, gripper_close, gripper_open
                            control_msgs 6.8.0
                            https://github.com/ros-controls/control_msgs/tree/master/control_msgs/action
    openral                 OpenRAL 0.1.0, ExecuteRskill and the exceptions of openral_core
                            https://github.com/OpenRAL/openral/blob/main/packages/msgs/action/ExecuteRskill.action
    dimos                   dimos 0.0.14b1, SkillResult
                            https://github.com/dimensionalOS/dimos/blob/main/dimos/agents/skill_result.py
    pyrobosim               pyrobosim 5.0.1, ExecutionStatus
    trigger                 std_srvs, Trigger and SetBool
    goal_status             action_msgs/GoalStatus, by the names of its constants

A server that gave up for its own time has ended: that is FAILED. TIMEOUT is when it may still be at work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.errors import InputError
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
    TIMEOUT = "timeout"  # no result in time; it may still be at work, unknown until it comes
    UNAVAILABLE = "unavailable"  # no server, or it does not answer
    LOST = "lost"  # cannot be undone: the task cannot succeed any more

    @property
    def is_final(self) -> bool:
        """Whether the skill is known to run no longer. After TIMEOUT it may still be at work."""
        return self is not Outcome.TIMEOUT

    @property
    def tells_of_skill(self) -> bool:
        """Whether the skill was tried and has ended: what else happens tells of the world or of the server."""
        return self in (Outcome.SUCCESS, Outcome.FAILED, Outcome.LOST)


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
        default="",
        description="a ready-made table: nav2, nav2_follow_object, moveit, follow_joint_trajectory, gripper_close, "
        "gripper_open, openral, dimos, pyrobosim, trigger, goal_status",
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
    timeout: tuple[Code, ...] = Field(default=(), description="codes of what may still be at work: nobody waits for it")
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

    def lists(self, code: Code) -> bool:
        """Whether a list holds `code`."""
        return any(_holds(getattr(self.resolved, name), code) for name in _LISTS)

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
    """Whether `code` is among `codes`. 1 and True are different codes; of a text, what stands before its first colon is
    compared, in small letters."""
    if isinstance(code, str):
        word = code.partition(":")[0].strip().lower()
        return any(isinstance(each, str) and each.lower() == word for each in codes)
    return any(each == code and isinstance(each, bool) == isinstance(code, bool) for each in codes)


READY_MADE: dict[str, OutcomeMap] = {}
"""Name -> the codes of a well-known system; `OutcomeMap.like` names one."""
READY_MADE["goal_status"] = OutcomeMap(success=("SUCCEEDED", True), failed=("ABORTED", False), cancelled=("CANCELED",))
READY_MADE["trigger"] = OutcomeMap(field="success", why="message", success=(True,), failed=(False,))

# Nav2 numbers its actions in hundreds, so one table serves all of them but FollowObject, which shares DockRobot's. Its
# servers leave 0 (NONE) also where a goal was cancelled or aborted: 0 is success only if the goal has SUCCEEDED. 1 and
# 2 are of behaviour trees: a server below was not active, or did not answer.
READY_MADE["nav2"] = OutcomeMap(
    field="error_code",
    why="error_msg",
    success=(0,),
    refused=(
        *(101, 103),  # FollowPath: no such controller, a path that is none
        *(201, 301, 309),  # ComputePath...: no such planner; no poses to go through
        *(402, 407),  # routes: no graph, an edge scorer used wrongly
        *(501, 505),  # SmoothPath: no such smoother, a path that is none
        602,  # FollowWaypoints: no waypoints
        *(713, 724),  # BackUp, DriveOnHeading: the command makes no sense
        *(901, 902),  # DockRobot, UndockRobot: no such dock, or no dock of this type
        *(9001, 9101),  # Navigate...: the behaviour tree that was asked for cannot be loaded
    ),
    unplannable=(
        *(203, 204, 205, 206, 208),  # ComputePathToPose: outside of the map, occupied, no path
        *(303, 304, 305, 306, 308),  # ComputePathThroughPoses: the same
        *(403, 405),  # routes: no node near, no route
    ),
    unavailable=(1, 2),
)
READY_MADE["nav2_follow_object"] = OutcomeMap(field="error_code", why="error_msg", success=(0,), unavailable=(1, 2))

READY_MADE["moveit"] = OutcomeMap(
    field="error_code.val",
    why="error_code.message",
    success=(1,),
    refused=(-15, -16, -17, -18, -19, -28),  # names of groups, links and things, and goals that are none
    unplannable=(
        *(-1, -2, -31),  # no plan, a plan that breaks its rules, no inverse kinematics
        *(-10, -11, -26),  # the arm starts in a collision, or outside of its limits
        *(-12, -13, -14, -27),  # the goal does
    ),
    cancelled=(-7,),
    unavailable=(-22, -25, -29),  # no collision checks, nobody answers, crashed
)

READY_MADE["follow_joint_trajectory"] = OutcomeMap(
    field="error_code", why="error_string", success=(0,), refused=(-1, -2, -3), failed=(-4, -5, -6)
)
# GripperCommand says what the fingers did. Told to close, they stall on a thing; that they reached the goal means that
# nothing is between them. The controller must allow stalling, or it aborts such goals.
READY_MADE["gripper_close"] = OutcomeMap(field="stalled", success=(True,), failed=(False,))
READY_MADE["gripper_open"] = OutcomeMap(field="reached_goal", success=(True,), failed=(False,))

READY_MADE["openral"] = OutcomeMap(
    field="failure_reason",
    why="failure_reason",
    success=("",),
    refused=("ROSConfigError", "ROSCapabilityMismatch", "ROSObjectNotInMemory"),
    unplannable=("ROSPlanningError",),
    cancelled=("cancelled",),
    unavailable=("safety_estop", "ROSDispatchUnavailable"),  # an emergency stop lasts until a person ends it
)
READY_MADE["dimos"] = OutcomeMap(
    field="error_code",
    why="message",
    success=("",),
    refused=(
        *("ROBOT_NOT_FOUND", "INVALID_INPUT", "INVALID_STATE", "NOT_CONFIGURED"),
        *("NO_PRIOR_POSE", "OBJECT_NOT_DETECTED"),
    ),
    unplannable=("IK_FAILED", "PLANNING_FAILED", "COLLISION_AT_START"),
    timeout=("EXECUTION_TIMEOUT",),  # it has stopped waiting; the arm goes on
    unavailable=("WORLD_MONITOR_UNAVAILABLE",),
)
READY_MADE["pyrobosim"] = OutcomeMap(
    field="execution_result.status",
    why="execution_result.message",
    success=(0,),
    refused=(1, 5),
    unplannable=(2,),
    failed=(3, 4),
    cancelled=(6,),
    lost_why=("[Bb]attery depleted", "[Oo]ut of battery"),
)

MAX_FIELDS = 200
"""Values of one result that are kept: a path or a picture must not fill the memory."""


def flat_fields(value: object) -> dict[str, object]:
    """Numbers, truth values, texts and lists of a result, dotted name -> value; of a list its first 200 entries.

    >>> flat_fields({"hand": {"stalled": True}, "seen": [{"class": "mug"}]})
    {'hand.stalled': True, 'seen': [{'class': 'mug'}]}
    """
    found: dict[str, object] = {}
    for name, each in _leaves(value, "", 8):
        found[name] = each
        if len(found) == MAX_FIELDS:
            break
    return found


def _leaves(value: object, name: str, depth: int) -> Iterator[tuple[str, object]]:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping) and depth:
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}" if name else str(key), depth - 1)
    elif name and isinstance(value, (list, tuple)):
        yield name, list(value[:MAX_FIELDS])
    elif name and (value is None or isinstance(value, (bool, int, float, str))):
        yield name, value


def result_of(returned: object, table: OutcomeMap, seconds: float = 0.0) -> SkillResult:
    """What a Python callable that runs a skill has returned.

    It may return nothing (success, where the map names no `field`), True or False, a code, a code and a text, an
    `Outcome`, a `SkillResult`, or a mapping or dataclass that holds the fields which the map names.

    >>> result_of((2, "no path"), OutcomeMap(success=(0,), unplannable=(2,))).outcome
    <Outcome.UNPLANNABLE: 'unplannable'>
    """
    if isinstance(returned, SkillResult):
        return returned
    if isinstance(returned, Outcome):
        return SkillResult(returned, seconds=seconds)

    table = table.resolved
    fields = flat_fields(returned)
    if fields:
        name = table.field or "success"
        if name not in fields:
            held = ", ".join(list(fields)[:8])
            return SkillResult(
                Outcome.FAILED, f"the result has no field {name} (it has {held})", seconds, fields=fields
            )
        code, why = fields[name], str(fields.get(table.why or "message") or "")
    elif isinstance(returned, tuple) and len(returned) == 2:
        code, why = returned[0], str(returned[1] or "")
    else:
        code, why = returned, ""
        if returned is None and table.field:
            return SkillResult(Outcome.FAILED, f"it returned nothing, and {table.field} was expected", seconds)
        if returned is None:
            return SkillResult(Outcome.SUCCESS, seconds=seconds)

    outcome = _outcome_of(code, why, table)
    if outcome is None:
        why = f"{short(code)} is no code (allowed: a number, a text, True or False)"
    return SkillResult(outcome or Outcome.FAILED, " ".join(why.split())[:500], seconds, fields=fields or None)


def _outcome_of(code: object, why: str, table: OutcomeMap) -> Outcome | None:
    """None where `code` is none."""
    if isinstance(code, Outcome):
        return code
    if isinstance(code, Enum):
        read = [_outcome_of(each, why, table) for each in (code.value, code.name)]
        return next((each for each in read if each not in (None, Outcome.FAILED)), Outcome.FAILED)
    if code is None:
        code = ""
    if isinstance(code, bool) and not any(isinstance(c, bool) for name in _LISTS for c in getattr(table, name)):
        table = OutcomeMap(success=(True,), lost_why=table.lost_why)
    return table.read(code, why) if isinstance(code, (bool, int, str)) else None


def result_of_error(error: BaseException, seconds: float = 0.0) -> SkillResult:
    """What it means that a Python callable which runs a skill has raised `error`: bad arguments (`InputError`) are
    refused, a lost connection is unavailable, all else has failed.

    >>> result_of_error(ConnectionRefusedError("port 9090")).outcome
    <Outcome.UNAVAILABLE: 'unavailable'>
    """
    kinds: dict[type[BaseException], Outcome] = {
        InputError: Outcome.REFUSED,
        ConnectionError: Outcome.UNAVAILABLE,
        ImportError: Outcome.UNAVAILABLE,
        CancelledError: Outcome.CANCELLED,
        KeyboardInterrupt: Outcome.CANCELLED,
    }
    outcome = next((found for kind, found in kinds.items() if isinstance(error, kind)), Outcome.FAILED)
    words = " ".join(str(error).split())[:400]
    why = words if isinstance(error, InputError) else f"{type(error).__name__}: {words}".rstrip(": ")
    return SkillResult(outcome, why, seconds)
