"""A robot in a home that thinks beside acting: it drives on while the language model is asked.

`rarrl.thinking` says what may go on beside a question, when its answer has become stale, and when it is withdrawn. Here
are the steps of a home: what they are, when one is stopped, and what calls cost that are stopped themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from rarrl.alfred import STEP_VIEWS
from rarrl.reasoner.base import Answer
from rarrl.thinking import (
    STOPPED_BY_ANSWER,
    Do,
    Happened,
    Kind,
    Present,
    Question,
    Stage,
    Tally,
    Thinking,
    kind_of,
    settled,
    tokens_at,
)
from rarrl.types import Action, ActStatus, CallStatus, LlmCall, Role, StateSummary

from ...alfred.executive import Attempt, EpisodeInfo
from ..executor import Event
from ..world import DT, Row
from .drivers import NEVER, STOPPED
from .executive import HouseholdExecutive

_PLANNER = Question(0, Role.PLANNER, beside=True)
"""The question that `can_go_on` is about where none is open: less may go on beside it than beside any other."""


@dataclass(frozen=True)
class _Call:
    """A call under way, and what will have come of it at the world's step `due`; begun: the step at which it began."""

    action: Action
    answer: Answer
    outcome: LlmCall
    begun: int
    due: int


class BesideExecutive(HouseholdExecutive):
    """As `HouseholdExecutive`; `ask` is a call beside acting, during which `act` goes on.

    Asking a planner, the robot looks at once at what is left of the plan in force by what it believes now, as it does
    with the plan that is answered. It drives on from there; where nothing may go on, it stands until the answer is
    there. So a call is open after `ask` or `act` only where another `act` may go on.

    Attributes:
        thinking: how the question stands
        calls: those that are over and were made beside, the oldest first; who records them takes them out
        tally: of the mission's questions
        stood_s: seconds of this mission in which the robot stood for a call
        stale_applied: answers that took effect though they were settled: none, or there is a bug
    """

    def begin(self, number: int) -> EpisodeInfo:
        """See `HouseholdExecutive`."""
        self.thinking = Thinking()
        self.calls: list[LlmCall] = []
        self.tally = Tally()
        self.stood_s = 0.0
        self.stale_applied = 0
        self._open: _Call | None = None
        self._failed: Row | None = None  # the row of the last attempt, where it failed
        # Rows that ended so since the question was asked.
        self._succeeded: frozenset[Row] = frozenset()
        self._missed: frozenset[Row] = frozenset()
        self._ahead: tuple[Any, bool] = ((), False)  # of a moment: whether it can go on
        return super().begin(number)

    @property
    def summary(self) -> StateSummary:
        """See `HouseholdExecutive`."""
        return replace(super().summary, thinking=self.thinking.open is not None, can_go_on=self.can_go_on)

    @property
    def can_go_on(self) -> bool:
        """Whether a step may be taken beside the open question, or would be beside a planner if one were asked now."""
        if self.done:
            return False
        if self.thinking.open is not None:
            return self._allows(self.env.executor.row)
        moment = (self.env.world.steps, self.env.executor.index, self.plan, self._acts)
        if self._ahead[0] != moment:
            rows = self._left().rows
            asked = Thinking(Stage.BESIDE, _PLANNER)
            may = bool(rows) and asked.allows(self._kind(rows[0], self._failed)) and self._is_known(rows[0])
            self._ahead = moment, may
        return self._ahead[1]

    def take(self, action: Action, answer: Answer) -> LlmCall:
        """See `HouseholdExecutive`: the robot stands for it."""
        if self.thinking.open is not None:
            raise RuntimeError("a question is open already; act() until it is answered")
        begun = self.env.world.steps
        call = super().take(action, answer)
        self.stood_s += (self.env.world.steps - begun) * DT
        if call.status is not CallStatus.BUDGET:
            self.tally = self.tally.plus(asked=1, applied=call.status is CallStatus.OK)
        return call

    def ask(self, action: Action, answer: Answer, decision: int = 0) -> None:
        """A call beside acting, which will have come to `answer` when its seconds have passed. decision: its id.

        Raises: ValueError for ACT, or an answer to something else; RuntimeError when the mission is over, or another
            question is open."""
        outcome = self._call(action, answer)
        if outcome.status is CallStatus.BUDGET:
            self.calls.append(outcome)
            return
        assert action.role is not None
        if self.thinking.open is not None:
            raise RuntimeError("a question is open already; act() until it is answered")

        failed = self._failed
        self.thinking = self.thinking.ask(Question(decision, action.role, True, self.plan, failed))
        self.tally = self.tally.plus(asked=1, beside=1)
        self._succeeded = self._missed = frozenset()
        now = self.env.world.steps
        self._open = _Call(action, answer, outcome, now, now + math.ceil(outcome.seconds / DT - 1e-9))
        if action.role is Role.PLANNER:
            self._follow(self._left())
        self._hear()

    def act(self) -> Attempt:
        """See `HouseholdExecutive`. An attempt that an answer stopped is a success by which nothing is done."""
        attempt = super().act()
        assert self.event is not None
        event = self.event
        stopped = event.reason == STOPPED
        if not stopped:
            failed = event.status is not ActStatus.SUCCESS
            self._failed = event.row if failed else None
            self._succeeded |= frozenset() if failed else {event.row}
            self._missed |= {event.row} if failed else frozenset()
        self._hear()
        return replace(attempt, status=ActStatus.SUCCESS, subgoal_done=False) if stopped else attempt

    def _attempt(self) -> Event:
        """An attempt beside a question; one that an answer may stop goes on where the answer leaves it as it is."""
        row = self.env.executor.row
        if self._open is None or not self._is_known(row):
            return super()._attempt()
        assert row is not None and self.thinking.question is not None
        kind = self._kind(row, self.thinking.question.failed)
        self.thinking = self.thinking.start(kind)
        event = self.driver.attempt(self.env, self._open.due if kind in STOPPED_BY_ANSWER else NEVER)
        if event.reason != STOPPED:
            return event
        self._hear()
        goes_on = not self.done and self.env.executor.row == row
        return super()._attempt() if goes_on else event

    def _hear(self) -> None:
        """What the moment means for the open question: settled, answered, or to be waited for, standing."""
        while self._open is not None:
            assert self.thinking.open is not None
            if settled(self.thinking.open, self._present()):
                self._withdraw(self._open)
            elif self.env.world.steps >= self._open.due:
                self._answered(self._open)
            elif self._allows(self.env.executor.row):
                if self.thinking.stage is Stage.WAITING:
                    self.thinking = self.thinking.after(Happened.GOES_ON)[0]
                return
            else:
                if self.thinking.stage is Stage.BESIDE:
                    self.thinking = self.thinking.after(Happened.NOTHING_LEFT)[0]
                self._stand()
                self.stood_s += DT
                self._end()

    def _answered(self, call: _Call) -> None:
        """The call is over: its answer takes effect."""
        assert self.thinking.question is not None
        question = self.thinking.question
        self.thinking, do = self.thinking.after(self.thinking.heard(question.decision, call.outcome.status))
        self._close(call.outcome)
        if do is Do.APPLY and call.outcome.status is CallStatus.OK:
            self.stale_applied += bool(settled(question, self._present()))
            self.tally = self.tally.plus(applied=1)
            self._heed(call.action, call.answer)
        if not self.done:
            self._end()

    def _withdraw(self, call: _Call) -> None:
        """The call is stopped, and paid for as far as it went; one that was just over is dropped."""
        seconds = min((self.env.world.steps - call.begun) * DT, call.outcome.seconds)
        tokens = min(tokens_at(seconds, call.answer), call.outcome.tokens)
        dropped = seconds >= call.outcome.seconds
        self.thinking = self.thinking.after(Happened.SETTLED)[0].after(Happened.ANSWERED)[0]
        saved = call.outcome.tokens - tokens
        self.tally = self.tally.plus(dropped=1) if dropped else self.tally.plus(withdrawn=1, tokens_saved=saved)
        self._close(LlmCall(call.action, CallStatus.WITHDRAWN, seconds, tokens))

    def _close(self, outcome: LlmCall) -> None:
        self._open = None
        self._spend(outcome)
        self.calls.append(outcome)

    def _present(self) -> Present:
        return Present(not self.done, self.plan, self.env.executor.row is None, self._succeeded)

    def _allows(self, row: Row | None) -> bool:
        """Whether an attempt at `row` may begin beside the open question. What failed beside it is not tried again."""
        question = self.thinking.question
        assert question is not None
        if row is None or row in self._missed:
            return False
        return self.thinking.allows(self._kind(row, question.failed)) and self._is_known(row)

    @staticmethod
    def _kind(row: Row, failed: Row | None) -> Kind:
        return kind_of(STEP_VIEWS[row[0]].irreversible, moves=row[0] == "GotoLocation", again=row == failed)

    def _end(self) -> None:
        """See `HouseholdExecutive`. A plan of which nothing is left is not called done beside a planner."""
        super()._end()
        question = self.thinking.open
        if question is not None and question.role is Role.PLANNER and self.row is None and not self.env.is_done:
            self.done = self.env.is_late
