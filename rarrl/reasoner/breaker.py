"""Stops asking a language model that does not answer, and stands between every backend and the robot."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from enum import Enum

from rarrl.clock import Clock, SteadyClock
from rarrl.reasoner.base import MAX_GOAL_CHARS, Answer, Reasoner, Request
from rarrl.reasoner.checker import OperatorPolicy, check
from rarrl.types import CallStatus, Role

logger = logging.getLogger(__name__)

FAILURES = frozenset({CallStatus.TIMEOUT, CallStatus.BACKEND_DOWN, CallStatus.INVALID})
"""What counts against a backend. A cap that was reached and a plan that was refused do not: it works."""


class BreakerState(str, Enum):
    """closed: calls go through; open: none does; half open: one call goes through and decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class CircuitBreaker:
    """Opens after `failures` failed calls in a row; after `cool_down_s` lets one call probe: it closes or opens again.

    Safe to share between threads."""

    def __init__(self, failures: int = 3, cool_down_s: float = 10.0, clock: Clock | None = None) -> None:
        if failures < 1 or not cool_down_s > 0.0:
            raise ValueError(f"CircuitBreaker needs failures >= 1 and cool_down_s > 0, got {failures}, {cool_down_s}")
        self._limit, self._cool_down_s, self._clock = failures, cool_down_s, clock or SteadyClock()
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._state = BreakerState.CLOSED
        self._opened_at = 0.0

    @property
    def state(self) -> BreakerState:
        """The state now."""
        return self._state

    @property
    def reopens_in_s(self) -> float:
        """Seconds until a call may probe; 0 where calls may go through."""
        if self._state is not BreakerState.OPEN:
            return 0.0
        return max(self._opened_at + self._cool_down_s - self._clock.now(), 0.0)

    def allow(self) -> bool:
        """Whether a call may go through now. True in the half-open state means: this call is the probe, `record` it."""
        with self._lock:
            if self._state is BreakerState.OPEN and self.reopens_in_s == 0.0:
                self._move(BreakerState.HALF_OPEN)
                return True
            return self._state is BreakerState.CLOSED

    def record(self, ok: bool) -> None:
        """What came of a call that was allowed."""
        with self._lock:
            self._in_a_row = 0 if ok else self._in_a_row + 1
            if ok:
                self._move(BreakerState.CLOSED)
            elif self._state is BreakerState.HALF_OPEN or self._in_a_row >= self._limit:
                self._opened_at = self._clock.now()
                self._move(BreakerState.OPEN)

    def _move(self, state: BreakerState) -> None:
        if state is not self._state:
            logger.info("language model: circuit breaker %s -> %s", self._state.value, state.value)
        self._state = state


class GuardedReasoner:
    """A backend behind the circuit breaker and the plan checker: the only form in which a robot gets one.

    A goal that is too long is refused before a model sees it, an answer to another decision is dropped, and a plan that
    the rules refuse is taken out of the answer (status REFUSED)."""

    def __init__(
        self, backend: Reasoner, policy: OperatorPolicy | None = None, breaker: CircuitBreaker | None = None
    ) -> None:
        self.backend = backend
        self.breaker = breaker or CircuitBreaker()
        self._policy = policy or OperatorPolicy()

    @property
    def name(self) -> str:
        """The backend's."""
        return self.backend.name

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        if len(request.goal) > MAX_GOAL_CHARS:
            why = f"a goal of {len(request.goal)} characters (allowed: {MAX_GOAL_CHARS})"
            return self._unasked(request, CallStatus.REFUSED, why)
        if not self.breaker.allow():
            why = f"circuit breaker open, next try in {self.breaker.reopens_in_s:.1f} s"
            return self._unasked(request, CallStatus.BACKEND_DOWN, why)
        answer = self.backend.ask(request)
        if answer.decision != request.decision:
            answer = self._unasked(
                request, CallStatus.BACKEND_DOWN, f"an answer to decision {answer.decision} was dropped"
            )
        self.breaker.record(answer.status not in FAILURES)
        return judged(answer, self._policy)

    def _unasked(self, request: Request, status: CallStatus, why: str) -> Answer:
        return Answer(request.decision, request.role, request.level, status, 0.0, self.name, why=why)

    def close(self) -> None:
        """Closes the backend."""
        self.backend.close()


def judged(answer: Answer, policy: OperatorPolicy) -> Answer:
    """`answer` as the rules leave it: REFUSED and without its plan where `check` finds a reason."""
    if answer.role is not Role.PLANNER or answer.plan is None:
        return answer
    why = check(answer.plan, policy)
    return replace(answer, status=CallStatus.REFUSED, plan=None, why=f"plan refused: {why}") if why else answer
