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
    ANY_QUESTION,
    ENDS_TASK,
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
    may_go_on,
    settled,
    withdrawn,
)
from rarrl.types import Action, ActStatus, CallStatus, Decision, LlmCall, Role, StateSummary

from ...alfred.executive import Attempt, EpisodeInfo
from ..executor import Event
from ..world import DT, Row
from .drivers import NEVER, STOPPED
from .executive import HouseholdExecutive


@dataclass(frozen=True)
class _Call:
    """A call under way, and what will have come of it at the world's step `due`; begun: the step at which it began."""

    action: Action
    answer: Answer
    outcome: LlmCall
    begun: int
    due: int


class BesideExecutive(HouseholdExecutive):
    """As `HouseholdExecutive`, and it can go on beside a question (`rarrl.decision_loop.GoesOn`).

    Asking a planner, the robot looks at once at what is left of the plan in force by what it believes now, as it does
    with the plan that is answered, and goes on from there.

    Two ways to play: `EpisodeRunner` asks, and looks for the answer between attempts. Or `ask`, which keeps the
    question itself: `act` goes on beside it, a drive stops where the answer comes and leads elsewhere, and where
    nothing may go on the robot stands until it is there. A call is then open only where another `act` may go on.

    Attributes:
        thinking: how the question of `ask` stands
        calls: of `ask`, those that are over, the oldest first; who records them takes them out
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
        self._question: Question | None = None
        self._failed: Row | None = None  # the row of the last attempt, where it failed
        # Rows that ended so since the question was asked.
        self._succeeded: frozenset[Row] = frozenset()
        self._missed: frozenset[Row] = frozenset()
        self._ahead: tuple[Any, bool] = ((), False)  # of a moment: whether it can go on
        return super().begin(number)

    # What may go on

    @property
    def summary(self) -> StateSummary:
        """See `HouseholdExecutive`."""
        return replace(super().summary, thinking=self._question is not None, can_go_on=self.can_go_on)

    @property
    def can_go_on(self) -> bool:
        """Whether a step may be taken beside the open question, or would be beside a planner if one were asked now."""
        if self.done:
            return False
        if self._question is not None:
            kind = self.next_kind
            return kind is not None and may_go_on(self._question, kind)
        moment = (self.env.world.steps, self.env.executor.index, self.plan, self._acts)
        if self._ahead[0] != moment:
            rows = self._left().rows
            may = bool(rows) and may_go_on(ANY_QUESTION, self._kind(rows[0], self._failed)) and self._is_known(rows[0])
            self._ahead = moment, may
        return self._ahead[1]

    @property
    def next_kind(self) -> Kind | None:
        """See `GoesOn`. What has failed beside the question is not tried again, nor what begins nowhere."""
        row, asked = self.env.executor.row, self._question
        if row is None or (asked is not None and row in self._missed) or not self._is_known(row):
            return None
        return self._kind(row, self._failed if asked is None else asked.failed)

    @staticmethod
    def _kind(row: Row, failed: object) -> Kind:
        return kind_of(STEP_VIEWS[row[0]].irreversible, moves=row[0] == "GotoLocation", again=row == failed)

    # Played by somebody who keeps the question

    def question(self, decision: Decision) -> Question:
        """See `GoesOn`."""
        return self._asks(decision.id, decision.action, decision.beside)

    def _asks(self, decision: int, action: Action, beside: bool) -> Question:
        assert action.role is not None
        self._succeeded = self._missed = frozenset()
        self._question = Question(decision, action.role, beside, self.plan, self._failed)
        if action.role is Role.PLANNER:
            self._follow(self._left())
        return self._question

    def present(self) -> Present:
        """See `GoesOn`."""
        return Present(not self.done, self.plan, self.env.executor.row is None, self._succeeded)

    def take_beside(self, action: Action, answer: Answer, stood_s: float) -> LlmCall:
        """See `GoesOn`."""
        begun = self.env.world.steps
        self._pass(stood_s)
        self.stood_s += (self.env.world.steps - begun) * DT
        return self._take(self._call(action, answer), action, answer)

    def _take(self, call: LlmCall, action: Action, answer: Answer) -> LlmCall:
        """The end of a question, and of what holds only beside it."""
        asked, self._question = self._question, None
        self._spend(call)
        if call.status is CallStatus.OK and not self.done:
            self.stale_applied += asked is not None and bool(settled(asked, self.present()))
            self._heed(action, answer)
        if not self.done:
            self._end()
        return call

    # Played with `ask`

    def take(self, action: Action, answer: Answer) -> LlmCall:
        """See `HouseholdExecutive`: the robot stands for it."""
        if self._question is not None:
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
        if self._question is not None:
            raise RuntimeError("a question is open already; act() until it is answered")
        self._check_open()
        outcome = self._call(action, answer)
        if outcome.status is CallStatus.BUDGET:
            self.calls.append(outcome)
            return

        self.thinking = self.thinking.ask(self._asks(decision, action, beside=True))
        self.tally = self.tally.plus(asked=1, beside=1)
        now = self.env.world.steps
        self._open = _Call(action, answer, outcome, now, now + math.ceil(outcome.seconds / DT - 1e-9))
        self._hear()

    def act(self) -> Attempt:
        """See `HouseholdExecutive`. An attempt that an answer stopped is a success by which nothing is done."""
        attempt = super().act()
        assert self.event is not None
        event = self.event
        stopped = event.reason == STOPPED
        if not stopped:
            self._learn(event)
        self._hear()
        return replace(attempt, status=ActStatus.SUCCESS, subgoal_done=False) if stopped else attempt

    def _learn(self, event: Event) -> None:
        """What the end of an attempt means for questions."""
        if event.status is ActStatus.SUCCESS:
            self._failed = None
            self._succeeded |= {event.row}
        else:
            self._failed = event.row
            self._missed |= {event.row}

    def _attempt(self) -> Event:
        """An attempt beside a question; one that an answer may stop goes on where the answer leaves it as it is."""
        kind = None if self._open is None else self.next_kind
        if self._open is None or kind is None:
            return super()._attempt()
        row = self.env.executor.row
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
            assert self._question is not None
            if settled(self._question, self.present()):
                self._withdraw(self._open)
            elif self.env.world.steps >= self._open.due:
                self._answered(self._open, self._question)
            elif self.can_go_on:
                if self.thinking.stage is Stage.WAITING:
                    self.thinking = self.thinking.after(Happened.GOES_ON)[0]
                return
            else:
                if self.thinking.stage is Stage.BESIDE:
                    self.thinking = self.thinking.after(Happened.NOTHING_LEFT)[0]
                self._stand()
                self.stood_s += DT
                self._end()

    def _answered(self, call: _Call, question: Question) -> None:
        """The call is over: its answer takes effect."""
        self.thinking, do = self.thinking.after(self.thinking.heard(question.decision, call.outcome.status))
        self._open = None
        self.tally = self.tally.plus(applied=do is Do.APPLY and call.outcome.status is CallStatus.OK)
        self.calls.append(self._take(call.outcome, call.action, call.answer))

    def _withdraw(self, call: _Call) -> None:
        """The call is stopped, and paid for as far as it went; the answer of one that was just over is dropped."""
        seconds = (self.env.world.steps - call.begun) * DT
        over = seconds >= call.outcome.seconds
        spent = call.answer if over else withdrawn(call.answer, seconds)
        self.thinking = self.thinking.after(Happened.SETTLED)[0].after(Happened.ANSWERED)[0]
        self._open = None
        self.tally = self.tally.of_dropped(spent)
        seconds, tokens = min(seconds, call.outcome.seconds), min(float(spent.tokens), call.outcome.tokens)
        outcome = LlmCall(call.action, CallStatus.WITHDRAWN, seconds, tokens)
        self.calls.append(self._take(outcome, call.action, spent))

    def _end(self) -> None:
        """See `HouseholdExecutive`. A plan of which nothing is left does not end the task beside a planner."""
        super()._end()
        waits = self._question is not None and self._question.role not in ENDS_TASK
        if waits and self.row is None and not self.env.is_done:
            self.done = self.env.is_late
