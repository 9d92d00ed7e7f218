"""The log of a run, `events.jsonl`: one JSON object per line, written by the replays and read by the report.

Times `t`, `t0`, `t1` are simulated seconds since the run's start. The first line is `run`; then follow, per episode,
`episode`, its `act`, `think` and `shock` lines in order, and `end`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.alfred import step_view
from rarrl.errors import InputError, RarrlError
from rarrl.files import read_file
from rarrl.strict_json import check_regular_file, parse_json, short, validated
from rarrl.types import PlanStatus, StateSummary, StepView

FILE_NAME = "events.jsonl"
"""Name of the log in a run's folder."""
MAX_LINE_BYTES = 1 << 20
"""Bytes of one line; ours have a few hundred, so a longer one is not from a log of ours."""
_WHAT = "events"
"""How messages about a log begin."""
_SECONDS = "seconds, 0 to 1e9"
"""What a time may be, for messages."""
_COUNT = "integer 0 to 1000000000"
"""What a count may be, for messages."""


def _seconds() -> Any:
    return Field(ge=0.0, le=1e9, description=_SECONDS)


def _count() -> Any:
    return Field(ge=0, le=10**9, description=_COUNT)


def _count_or_none() -> Any:
    return Field(default=None, ge=0, le=10**9, description=f"{_COUNT}; absent: 0")


def _text() -> Any:
    return Field(max_length=10_000, description="text of at most 10000 characters")


Facts = Annotated[tuple[float, float, float, float, bool], Field(strict=False)]
"""failures, attempts, irreversible, seconds and looks of a `rarrl.types.StepView`."""


class Event(BaseModel):
    """Base of all lines; `type` is the line's first key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RunEvent(Event):
    """The first line: what was played. source: over ROS (graph), or in one process. reasoner: the language model that
    was asked for real, None where the calls of the latency profile were replayed."""

    type: Literal["run"] = "run"
    schema_: Literal[1] = Field(default=1, alias="schema", description="1")
    policy: str = _text()
    profile: str = _text()
    seed: int = _count()
    mode: Literal["soft"] = Field(default="soft", description="soft")
    speed: float = Field(gt=0.0, le=1e9, description="number above 0: simulated seconds per real second")
    date: str = _text()
    source: Literal["graph", "in_process"] = Field(description="graph, in_process")
    cost_weight: float | None = Field(
        default=None, ge=0.0, le=1.0, description="0 to 1: price of thinking, 1/s; absent: not known"
    )
    reasoner: str | None = Field(
        default=None, max_length=10_000, description="text: the language model that was asked; absent: none was"
    )
    costs: Literal["online", "static"] | None = Field(
        default=None, description="online, static: of live or slower calls; absent: the profile was replayed as it is"
    )


class EpisodeEvent(Event):
    """An episode begins. subgoals: its whole plan. horizon: the number of attempts that are allowed."""

    type: Literal["episode"] = "episode"
    episode: int = _count()
    category: str = _text()
    task_type: str = _text()
    goal: str = _text()
    subgoals: tuple[str, ...] = Field(
        strict=False, min_length=1, max_length=10_000, description="list of names of steps"
    )
    facts: tuple[Facts, ...] | None = Field(
        default=None, strict=False, description="list of [failures, attempts, irreversible, seconds, looks]"
    )
    time_budget_s: float = _seconds()
    token_budget: float = Field(ge=0.0, le=1e12, description="tokens, 0 to 1e12")
    horizon: int = _count()
    t: float = _seconds()

    @model_validator(mode="after")
    def _known(self) -> EpisodeEvent:
        steps_of(self.subgoals, self.facts)
        return self

    @property
    def steps(self) -> tuple[StepView, ...]:
        """The plan as the orchestrator saw it when the episode began."""
        return steps_of(self.subgoals, self.facts)


class KnownPlan(BaseModel):
    """The plan in force at a decision: its sub-goals, and what was known of it (`rarrl.types.PlanStatus`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    subgoals: tuple[str, ...] = Field(strict=False, min_length=1, max_length=10_000, description="list of sub-goals")
    facts: tuple[Facts, ...] | None = Field(
        default=None, strict=False, description="list of [failures, attempts, irreversible, seconds, looks]"
    )
    subgoal_index: int = _count()
    source: int = Field(ge=0, le=2, description="0, 1, 2")
    confidence: float = Field(ge=0.0, le=1.0, description="0 to 1")
    similarity: float = Field(ge=0.0, le=1.0, description="0 to 1")
    verdict: int = Field(ge=-1, le=1, description="-1, 0, 1")
    verdict_level: int = Field(ge=0, le=2, description="0, 1, 2")
    p_ok: float = Field(ge=0.0, le=1.0, description="0 to 1")
    answered: tuple[bool, bool] = Field(strict=False, description="two of true, false")
    agreeing: int = _count()
    contradicted: bool = Field(description="true, false")
    words: int = _count()
    unknown: int = _count()

    @model_validator(mode="after")
    def _known(self) -> KnownPlan:
        steps_of(self.subgoals, self.facts)
        return self

    @classmethod
    def of(cls, summary: StateSummary, status: PlanStatus) -> KnownPlan:
        """Makes the entry for a robot at `summary` that knows `status`."""
        names = tuple(step.name for step in summary.subgoals)
        facts = facts_of(summary.subgoals)
        return cls(subgoals=names, facts=facts, subgoal_index=summary.subgoal_index, **vars(status))

    @property
    def steps(self) -> tuple[StepView, ...]:
        """The plan as the orchestrator saw it."""
        return steps_of(self.subgoals, self.facts)

    @property
    def status(self) -> PlanStatus:
        """The same without the sub-goals."""
        return PlanStatus(**{name: getattr(self, name) for name in PlanStatus.__dataclass_fields__})


class _Span(Event):
    # can_go_on: whether a step could have gone on beside a planner, or could beside the question that was open.
    episode: int = _count()
    decision: int = _count()
    t0: float = _seconds()
    t1: float = _seconds()
    plan: KnownPlan | None = Field(default=None, description="the plan in force, where plans are known; else absent")
    retries_left: int | None = _count_or_none()
    contradicted: int | None = _count_or_none()
    can_go_on: bool | None = Field(default=None, description="true; absent: no, or not known")

    @model_validator(mode="after")
    def _forward(self) -> _Span:
        if self.t1 < self.t0:
            raise ValueError(f"key t1: {self.t1} is not allowed (allowed: {self.t0}, the value of t0, or later)")
        return self


class ActEvent(_Span):
    """One execution attempt of sub-goal `subgoal`."""

    type: Literal["act"] = "act"
    subgoal: str = _text()
    subgoal_index: int = _count()
    status: Literal["SUCCESS", "FAILURE", "LOST"] = Field(description="SUCCESS, FAILURE, LOST")
    subgoal_done: bool = Field(description="true, false")
    why: str = _text()

    @model_validator(mode="after")
    def _known(self) -> ActEvent:
        steps_of((self.subgoal,), None)
        return self


class ThinkEvent(_Span):
    """One call of the language model.

    time_left_s, tokens_left: the budget after it. answer: the plan or the verdict, or why there is none; empty if calls
    are replayed from a profile. beside: the robot went on meanwhile, so that attempts may fall between t0 and t1; the
    line stands where the call ended. status WITHDRAWN: the world settled the question first, and the call was stopped,
    or its answer was dropped; tokens_saved: what it would have read and written besides, absent where not known."""

    type: Literal["think"] = "think"
    role: Literal["planner", "verifier"] = Field(description="planner, verifier")
    level: Literal[1, 2] = Field(description="1, 2")
    status: Literal["OK", "TIMEOUT", "BUDGET", "INVALID", "REFUSED", "BACKEND_DOWN", "WITHDRAWN"] = Field(
        description="OK, TIMEOUT, BUDGET, INVALID, REFUSED, BACKEND_DOWN, WITHDRAWN"
    )
    tokens: float = Field(ge=0.0, le=1e12, description="tokens, 0 to 1e12")
    time_left_s: float = _seconds()
    tokens_left: float = Field(ge=0.0, le=1e12, description="tokens, 0 to 1e12")
    why: str = _text()
    answer: str = Field(default="", max_length=10_000, description="text of at most 10000 characters")
    beside: bool | None = Field(default=None, description="true: the robot went on meanwhile; absent: it stood")
    tokens_saved: int | None = _count_or_none()


class ShockEvent(Event):
    """The budget was cut from outside. time_left_s, tokens_left: what is left of it."""

    type: Literal["shock"] = "shock"
    episode: int = _count()
    t: float = _seconds()
    time_left_s: float = _seconds()
    tokens_left: float = Field(ge=0.0, le=1e12, description="tokens, 0 to 1e12")


class EndEvent(Event):
    """An episode is over. calls, llm_seconds, tokens: of the language model. lost: the task cannot succeed any more."""

    type: Literal["end"] = "end"
    episode: int = _count()
    t: float = _seconds()
    success: bool = Field(description="true, false")
    lost: bool = Field(description="true, false")
    llm_seconds: float = _seconds()
    tokens: float = Field(ge=0.0, le=1e12, description="tokens, 0 to 1e12")
    calls: int = _count()
    acts: int = _count()
    deadline_misses: int = _count()


EVENTS: dict[str, type[Event]] = {
    "run": RunEvent,
    "episode": EpisodeEvent,
    "act": ActEvent,
    "think": ThinkEvent,
    "shock": ShockEvent,
    "end": EndEvent,
}
"""Value of `type` -> the model of such a line."""


@dataclass(frozen=True)
class EventLog:
    """A log that was read.

    events: all lines after the first. truncated: what is wrong with the last line, or None; a killed process leaves
    half a line, which is left out."""

    run: RunEvent
    events: tuple[Event, ...]
    truncated: str | None = None


class EventWriter:
    """Appends events to `folder`/events.jsonl.

    Each line is written at once, so that a reader can follow and a crash loses nothing. Call the writer with an event;
    use it in a `with` statement, or `close` it.

    Raises: InputError if the folder cannot be written or already holds a log."""

    def __init__(self, folder: Path, run: RunEvent) -> None:
        self.path = folder / FILE_NAME
        if self.path.exists():
            raise InputError(f"{_WHAT}: {self.path} exists already; choose another run folder")

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("x", encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{_WHAT}: cannot write {short(str(self.path))} ({error})") from None

        self(run)

    def __call__(self, event: Event) -> None:
        """Appends `event`. Raises: RarrlError if it cannot be written, as on a full disk."""
        try:
            self._stream.write(to_line(event))
            self._stream.flush()
        except OSError as error:
            raise RarrlError(f"{_WHAT}: cannot write {self.path} ({error.strerror})") from None

    def close(self) -> None:
        """Closes the file; a second time does nothing."""
        self._stream.close()

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def to_line(event: Event) -> str:
    """Returns `event` as one line of the file."""
    values = event.model_dump(by_alias=True, exclude_none=True)
    return json.dumps({"type": values.pop("type"), **values}, allow_nan=False, ensure_ascii=False) + "\n"


def read_events(path: Path) -> EventLog:
    """Reads the log `path` (the file, or the folder that holds `events.jsonl`).

    Raises: InputError, one line that names file, line and key."""
    path = path / FILE_NAME if path.is_dir() else path
    check_regular_file(path, _WHAT)
    lines = read_file(path, _WHAT).split(b"\n")
    last = lines.pop()  # b"" if the last line is whole
    events = [_parse(line, f"{path} line {number}") for number, line in enumerate(lines, start=1)]

    truncated = None
    if last:
        try:
            events.append(_parse(last, f"{path} line {len(lines) + 1}"))
        except InputError:
            truncated = f"{path} line {len(lines) + 1} is cut off (the run was killed while writing); it is left out"

    if not events or not isinstance(events[0], RunEvent):
        raise InputError(f"{_WHAT}: {path} line 1: expected the run's line, type run; this is not a whole log")

    _check_order(events[1:], path)
    return EventLog(events[0], tuple(events[1:]), truncated)


def _parse(line: bytes, where: str) -> Event:
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"{_WHAT}: {where}: {len(line)} bytes, at most {MAX_LINE_BYTES}; this is not a log of ours")

    value = parse_json(line, _WHAT, where)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in EVENTS:
        raise InputError(f"{_WHAT}: {where}: key type: {short(kind)} is not allowed (allowed: {', '.join(EVENTS)})")

    return validated(EVENTS[kind], value, _WHAT, where, {})


def _check_order(events: list[Event], path: Path) -> None:
    current: int | None = None  # the episode that has begun and not ended
    for number, event in enumerate(events, start=2):
        where = f"{_WHAT}: {path} line {number}"
        if isinstance(event, RunEvent):
            raise InputError(f"{where}: a second run begins; one log holds one run")

        if isinstance(event, EpisodeEvent):
            if current is not None:
                raise InputError(f"{where}: episode {event.episode} begins before episode {current} has its end")
            current = event.episode
        elif getattr(event, "episode", None) != current:
            raise InputError(
                f"{where}: key episode: {getattr(event, 'episode', None)} is not allowed (allowed: "
                f"{'none, no episode is under way' if current is None else current})"
            )
        elif isinstance(event, EndEvent):
            current = None


def facts_of(steps: tuple[StepView, ...]) -> tuple[Facts, ...] | None:
    """What a log keeps of `steps` beside their names; None where the names say it, as those of ALFRED's actions do."""
    if all(step == step_view(step.name) for step in steps):
        return None
    return tuple((s.failures, s.attempts, s.irreversible, s.seconds, s.looks) for s in steps)


def steps_of(names: tuple[str, ...], facts: tuple[Facts, ...] | None) -> tuple[StepView, ...]:
    """The inverse of `facts_of`. Raises: ValueError for a name or fact that a step cannot have."""
    try:
        if facts is None:
            return tuple(step_view(name) for name in names)
        return tuple(StepView(name, *values) for name, values in zip(names, facts, strict=True))
    except ValueError as error:
        raise ValueError(f"key subgoals: {error}") from None
