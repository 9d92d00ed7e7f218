"""Thinking beside acting: what may go on while a language model is asked, and when its answer is of no use any more.

One question is open at a time. A robot stands still for it, or goes on beside it with what the answer cannot spoil.
The answer is merged when it comes, dropped where it is stale, and withdrawn (the backend is stopped) where the world
settles the question first. The rules are the tables `GOES_ON`, `ENDS_TASK`, `STOPPED_BY_ANSWER` and `SETTLED_BY`; what
can happen is the table `TRANSITIONS`, drawn by `diagram`. There is no clock, no thread and no robot in here.

How an executive uses it (`thinking` is its `Thinking`, a value that each call replaces):

    asked     thinking = thinking.ask(Question(decision.id, role, decision.beside, plan, failed, told))
    beside    a step may start where `thinking.allows(kind_of(...))`; then `thinking = thinking.start(kind)`. Nothing
              that may: `after(Happened.NOTHING_LEFT)`, it stands; something may again: `after(Happened.GOES_ON)`.
    then      after all that changes what the robot knows: `why = settled(thinking.question, Present(...))`; where there
              is a reason, `after(Happened.SETTLED)`, and the backend is told to stop (`Reasoner.cancel`).
    answer    look whether it is settled first; then `thinking, do = thinking.after(thinking.heard(decision, status))`.
              Only on Do.APPLY it takes effect. A call that is over is paid for, with what it has taken. Before another
              question, a withdrawn one that has not said so is closed: it is answered with `unanswered(...)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import Enum

from rarrl.reasoner.base import Answer
from rarrl.types import CallStatus, Decision, Role


class Kind(str, Enum):
    """What a step does to the world, as far as thinking beside it goes."""

    WAITS = "waits"  # for a door, for a person: nothing changes by it
    MOVES = "moves"  # the robot itself, and nothing else
    LOOKS = "looks"  # finds out
    AGAIN = "tries again"  # the step that failed, where it can be undone: its success settles the question
    CHANGES = "changes"  # a thing, in a way that can be undone
    FINAL = "cannot be undone"


def kind_of(
    irreversible: float, *, moves: bool = False, looks: bool = False, waits: bool = False, again: bool = False
) -> Kind:
    """The kind of a step. irreversible: share of its failures that cannot be undone, 0 to 1, as in `StepView`: above 0
    it counts as one that cannot, whatever else it does. again: it is the step that the question was asked for.

    >>> kind_of(0.0, moves=True).value, kind_of(0.5, moves=True).value, kind_of(0.0).value
    ('moves', 'cannot be undone', 'changes')
    """
    if irreversible > 0.0:
        return Kind.FINAL
    if waits:
        return Kind.WAITS
    if moves:
        return Kind.MOVES
    if looks:
        return Kind.LOOKS
    return Kind.AGAIN if again else Kind.CHANGES


_HARMLESS = frozenset({Kind.WAITS, Kind.MOVES, Kind.LOOKS})

GOES_ON: dict[Role, frozenset[Kind]] = {
    # Its plan may leave out, or reverse, whatever else changes a thing; or call for more than this.
    Role.PLANNER: _HARMLESS | {Kind.AGAIN},
    # It judges the plan that is under way: a fault costs undoing a step.
    Role.VERIFIER: _HARMLESS | {Kind.AGAIN, Kind.CHANGES},
}
"""Role that was asked -> kinds of steps that may start beside it. FINAL is in none."""

ENDS_TASK: frozenset[Role] = frozenset({Role.VERIFIER})
"""Roles beside which the task ends when the plan in force is done: the verdict comes too late. A planner is waited for,
because another plan may say that there is more to do."""

STOPPED_BY_ANSWER: frozenset[Kind] = frozenset({Kind.WAITS, Kind.MOVES})
"""Kinds of steps under way that are stopped where the merged answer does not begin with them; others finish first."""


@dataclass(frozen=True)
class Question:
    """What was asked, and what it rests on.

    decision: id of the THINK. plan: in force when it was asked. failed: the step whose failure it was asked for, None
    where none had failed. told: beliefs that it was told. Plans, steps and beliefs are any values that compare."""

    decision: int
    role: Role
    beside: bool
    plan: Hashable = None
    failed: Hashable = None
    told: frozenset[Hashable] = frozenset()


ANY_QUESTION = Question(0, Role.PLANNER, beside=True)
"""Stands for one that may be asked: less may go on beside it than beside any other."""


@dataclass(frozen=True)
class Present:
    """What is the case now.

    running: whether the task is under way, neither paused nor over. plan: in force; done: all of its rows are done.
    succeeded: steps that have succeeded since the question was asked. contradicted: what the world has contradicted
    since then of what was believed."""

    running: bool
    plan: Hashable = None
    done: bool = False
    succeeded: frozenset[Hashable] = frozenset()
    contradicted: frozenset[Hashable] = frozenset()


_BOTH = frozenset(Role)

SETTLED_BY: dict[str, tuple[frozenset[Role], Callable[[Question, Present], bool]]] = {
    "the task is paused or over": (_BOTH, lambda question, now: not now.running),
    "another plan is in force": (_BOTH, lambda question, now: now.plan != question.plan),
    "the step that failed has succeeded": (
        _BOTH,
        lambda question, now: question.failed is not None and question.failed in now.succeeded,
    ),
    "the plan is done": (frozenset({Role.VERIFIER}), lambda question, now: now.done),
    "the world contradicts what it was told": (_BOTH, lambda question, now: bool(question.told & now.contradicted)),
}
"""Reason -> roles, and when their question is settled. The answer to a question that is settled is stale."""


def may_go_on(question: Question, kind: Kind) -> bool:
    """Whether a step of `kind` may start while `question` is open."""
    return question.beside and kind in GOES_ON[question.role]


def settled(question: Question, now: Present) -> str:
    """Why nobody needs the answer to `question` any more, in words; "" where somebody does."""
    for why, (roles, holds) in SETTLED_BY.items():
        if question.role in roles and holds(question, now):
            return why
    return ""


class Stage(str, Enum):
    """How the one question stands."""

    NONE = "none"  # nothing is asked
    STANDING = "standing"  # asked; the robot stands for it, because the decision said so
    BESIDE = "beside"  # asked; a permitted step runs, or may start
    WAITING = "waiting"  # asked beside, and nothing is left that may go on: the robot stands
    WITHDRAWN = "withdrawn"  # nobody needs it; its backend was told to stop, and has not said yet what was spent


class Happened(str, Enum):
    """What happens to the question."""

    ASKED = "asked"  # to stand for it
    ASKED_BESIDE = "asked beside"
    STEP_STARTED = "step started"  # one that `may_go_on`
    NOTHING_LEFT = "nothing left"  # that may go on
    GOES_ON = "goes on"  # something may go on again
    ANSWERED = "answered"  # in time, whether or not the model knew an answer
    STALE = "stale answer"  # to another question
    TIMED_OUT = "timed out"
    BACKEND_LOST = "backend lost"
    SETTLED = "settled"  # by the world, by a person, or with the task
    RESTARTED = "restarted"  # the robot's process


class Do(str, Enum):
    """What is to be done about it."""

    ASK = "ask"
    ACT = "act"  # the step may start
    STAND = "stand"
    APPLY = "apply"  # the answer takes effect, and is paid for
    DROP = "drop"  # the answer has no effect; if it is to this question, the call is paid for
    CLOSE = "close"  # there will be no answer; what the call took is paid for
    WITHDRAW = "withdraw"  # stop the backend
    FORGET = "forget"  # nothing is known of the call any more
    NOTHING = "nothing"


TRANSITIONS: dict[tuple[Stage, Happened], tuple[Stage, Do]] = {
    (Stage.NONE, Happened.ASKED): (Stage.STANDING, Do.ASK),
    (Stage.NONE, Happened.ASKED_BESIDE): (Stage.BESIDE, Do.ASK),
    (Stage.NONE, Happened.STEP_STARTED): (Stage.NONE, Do.ACT),
    (Stage.NONE, Happened.STALE): (Stage.NONE, Do.DROP),
    (Stage.NONE, Happened.RESTARTED): (Stage.NONE, Do.NOTHING),
    (Stage.STANDING, Happened.ANSWERED): (Stage.NONE, Do.APPLY),
    (Stage.STANDING, Happened.STALE): (Stage.STANDING, Do.DROP),
    (Stage.STANDING, Happened.TIMED_OUT): (Stage.NONE, Do.CLOSE),
    (Stage.STANDING, Happened.BACKEND_LOST): (Stage.NONE, Do.CLOSE),
    (Stage.STANDING, Happened.SETTLED): (Stage.WITHDRAWN, Do.WITHDRAW),
    (Stage.STANDING, Happened.RESTARTED): (Stage.NONE, Do.FORGET),
    (Stage.BESIDE, Happened.STEP_STARTED): (Stage.BESIDE, Do.ACT),
    (Stage.BESIDE, Happened.NOTHING_LEFT): (Stage.WAITING, Do.STAND),
    (Stage.BESIDE, Happened.ANSWERED): (Stage.NONE, Do.APPLY),
    (Stage.BESIDE, Happened.STALE): (Stage.BESIDE, Do.DROP),
    (Stage.BESIDE, Happened.TIMED_OUT): (Stage.NONE, Do.CLOSE),
    (Stage.BESIDE, Happened.BACKEND_LOST): (Stage.NONE, Do.CLOSE),
    (Stage.BESIDE, Happened.SETTLED): (Stage.WITHDRAWN, Do.WITHDRAW),
    (Stage.BESIDE, Happened.RESTARTED): (Stage.NONE, Do.FORGET),
    (Stage.WAITING, Happened.GOES_ON): (Stage.BESIDE, Do.ACT),
    (Stage.WAITING, Happened.ANSWERED): (Stage.NONE, Do.APPLY),
    (Stage.WAITING, Happened.STALE): (Stage.WAITING, Do.DROP),
    (Stage.WAITING, Happened.TIMED_OUT): (Stage.NONE, Do.CLOSE),
    (Stage.WAITING, Happened.BACKEND_LOST): (Stage.NONE, Do.CLOSE),
    (Stage.WAITING, Happened.SETTLED): (Stage.WITHDRAWN, Do.WITHDRAW),
    (Stage.WAITING, Happened.RESTARTED): (Stage.NONE, Do.FORGET),
    (Stage.WITHDRAWN, Happened.STEP_STARTED): (Stage.WITHDRAWN, Do.ACT),
    (Stage.WITHDRAWN, Happened.ANSWERED): (Stage.NONE, Do.DROP),
    (Stage.WITHDRAWN, Happened.STALE): (Stage.WITHDRAWN, Do.DROP),
    (Stage.WITHDRAWN, Happened.TIMED_OUT): (Stage.NONE, Do.CLOSE),
    (Stage.WITHDRAWN, Happened.BACKEND_LOST): (Stage.NONE, Do.CLOSE),
    (Stage.WITHDRAWN, Happened.RESTARTED): (Stage.NONE, Do.FORGET),
}
"""(stage, what happened) -> (next stage, what to do). What is not here cannot happen: it is a fault of the caller."""

OPEN = frozenset({Stage.STANDING, Stage.BESIDE, Stage.WAITING})
"""Stages in which an answer is awaited."""


@dataclass(frozen=True)
class Thinking:
    """The one question of a robot, and how it stands. A new value for each change."""

    stage: Stage = Stage.NONE
    question: Question | None = None

    @property
    def open(self) -> Question | None:
        """The question whose answer is awaited."""
        return self.question if self.stage in OPEN else None

    def allows(self, kind: Kind) -> bool:
        """Whether a step of `kind` may start now."""
        return self.open is None or may_go_on(self.open, kind)

    def ask(self, question: Question) -> Thinking:
        """Opens `question`. Raises: ValueError where another one is open."""
        asked, _ = self.after(Happened.ASKED_BESIDE if question.beside else Happened.ASKED)
        return replace(asked, question=question)

    def start(self, kind: Kind) -> Thinking:
        """A step of `kind` starts. Raises: ValueError where it may not."""
        if not self.allows(kind):
            raise ValueError(f"Thinking: a step that {kind.value} may not start while {self.stage.value}")
        return self.after(Happened.STEP_STARTED)[0]

    def heard(self, decision: int, status: CallStatus) -> Happened:
        """What it is that an answer to the THINK with the id `decision` has come."""
        if self.question is None or decision != self.question.decision:
            return Happened.STALE
        ends = {CallStatus.TIMEOUT: Happened.TIMED_OUT, CallStatus.BACKEND_DOWN: Happened.BACKEND_LOST}
        return ends.get(status, Happened.ANSWERED)

    def after(self, happened: Happened) -> tuple[Thinking, Do]:
        """How the question stands after `happened`, and what is to be done. Raises: ValueError where that cannot be."""
        try:
            stage, do = TRANSITIONS[self.stage, happened]
        except KeyError:
            allowed = ", ".join(other.value for at, other in TRANSITIONS if at is self.stage)
            raise ValueError(
                f"Thinking: {happened.value!r} cannot happen while {self.stage.value} (allowed: {allowed})"
            ) from None
        return Thinking(stage, None if stage is Stage.NONE else self.question), do


@dataclass(frozen=True)
class Tally:
    """What became of questions. asked: all; beside: those that the robot went on beside. applied: answers that took
    effect; dropped: stale ones, which had none. withdrawn: calls that were to be stopped; tokens_saved: what they would
    have read and written besides, as far as known."""

    asked: int = 0
    beside: int = 0
    applied: int = 0
    dropped: int = 0
    withdrawn: int = 0
    tokens_saved: float = 0.0

    def plus(self, **counts: float) -> Tally:
        """With `counts` added."""
        return replace(self, **{name: getattr(self, name) + more for name, more in counts.items()})

    def of_dropped(self, answer: Answer) -> Tally:
        """With an answer that has no effect: it is stale, or says what a call had spent until it was withdrawn."""
        return self.plus(
            dropped=answer.status is CallStatus.OK,
            withdrawn=answer.status is CallStatus.WITHDRAWN,
            tokens_saved=answer.tokens_saved,
        )


def tokens_at(seconds: float, answer: Answer) -> float:
    """Tokens that a call which came to `answer` had read and written `seconds` after it began: the prompt at once, as a
    server charges it, then words at an even pace from the first to the last."""
    first_s = answer.ttft_s if math.isfinite(answer.ttft_s) else 0.0
    writing_s = answer.seconds - first_s
    share = 1.0 if writing_s <= 0.0 else min(max((seconds - first_s) / writing_s, 0.0), 1.0)
    return answer.tokens_in + share * answer.tokens_out


def withdrawn(answer: Answer, seconds: float) -> Answer:
    """What a call that would have come to `answer` has come to where it is withdrawn after `seconds`."""
    spent = min(round(tokens_at(seconds, answer)), answer.tokens)
    read = min(spent, answer.tokens_in)
    return replace(
        answer,
        status=CallStatus.WITHDRAWN,
        seconds=seconds,
        tokens_in=read,
        tokens_out=spent - read,
        plan=None,
        verdict=None,
        where={},
        why="withdrawn",
        tokens_saved=answer.tokens - spent,
    )


@dataclass(frozen=True)
class CallBeside:
    """A call beside acting in one process, whose answer is known before its seconds have passed on the clock.

    answer: as the reasoner gave it. began_s: the clock's time. deadline_s: seconds that the call may take."""

    answer: Answer
    began_s: float
    deadline_s: float

    @property
    def seconds(self) -> float:
        """What the call takes."""
        return min(self.answer.seconds, self.deadline_s)

    def left_s(self, now_s: float) -> float:
        """Seconds until the answer comes; 0 where it is there."""
        left_s = self.seconds - (now_s - self.began_s)
        return left_s if left_s > 1e-9 else 0.0

    def at(self, now_s: float) -> Answer:
        """The answer where it has come by `now_s`; else what the call has come to when it is withdrawn then."""
        answer = self.answer
        if self.left_s(now_s) <= 0.0:
            late = answer.seconds > self.deadline_s and answer.status is CallStatus.OK
            return replace(answer, status=CallStatus.TIMEOUT, plan=None, verdict=None) if late else answer
        return withdrawn(answer, now_s - self.began_s)


def unanswered(decision: Decision, seconds: float, status: CallStatus = CallStatus.WITHDRAWN) -> Answer:
    """What stands for the answer to `decision`, a THINK, that does not come any more after `seconds`."""
    role = decision.action.role
    assert role is not None
    return Answer(decision.id, role, decision.action.level, status, seconds, "none", why=status.value.lower())


def diagram() -> str:
    """`TRANSITIONS` as a Mermaid state diagram; arrows between the same two stages share a line."""
    arrows: dict[tuple[Stage, Stage], list[str]] = {}
    for (stage, happened), (after, do) in TRANSITIONS.items():
        arrows.setdefault((stage, after), []).append(f"{happened.value} / {do.value}")
    lines = ["stateDiagram-v2", f"    [*] --> {Stage.NONE.value}"]
    lines += [f"    {a.value} --> {b.value}: {'<br>'.join(texts)}" for (a, b), texts in arrows.items()]
    return "\n".join(lines)
