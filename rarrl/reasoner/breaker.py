"""Stops asking a language model that does not answer, and stands between every backend and the robot."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from numbers import Integral, Real
from typing import Any

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.clock import Clock, SteadyClock
from rarrl.plugins import USER_ERRORS, one_line
from rarrl.reasoner.base import MAX_GOAL_CHARS, Answer, Reasoner, Request, Withdrawable
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.reasoner.prompt import readable
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary
from rarrl.secrets import hide_secrets
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.plan import Step
from rarrl.types import CallStatus, Role

logger = logging.getLogger(__name__)

FAILURES = frozenset({CallStatus.TIMEOUT, CallStatus.BACKEND_DOWN, CallStatus.INVALID})
"""What counts against a backend. A cap that was reached and a plan that was refused do not: it works."""
MAX_WHY_CHARS = 200
"""Characters of a failure's words, and of one belief, that a model is told."""
MAX_BELIEFS = 60
"""Beliefs that a model is told: about 500 tokens, a quarter of the context that models have by default."""


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
        self.clock = clock or SteadyClock()
        self._limit = failures
        self._cool_down_s = cool_down_s
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._state = BreakerState.CLOSED
        self._opened_at = 0.0

    @property
    def state(self) -> BreakerState:
        """The state now."""
        return self._state

    @property
    def failures(self) -> int:
        """Failed calls in a row."""
        return self._in_a_row

    @property
    def reopens_in_s(self) -> float:
        """Seconds until a call may probe; 0 where calls may go through."""
        if self._state is not BreakerState.OPEN:
            return 0.0
        return max(self._opened_at + self._cool_down_s - self.clock.now(), 0.0)

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
                self._opened_at = self.clock.now()
                self._move(BreakerState.OPEN)

    def forget(self) -> None:
        """Nothing came of a call that was allowed: if it was the probe, the next call is."""
        with self._lock:
            if self._state is BreakerState.HALF_OPEN:
                self._move(BreakerState.OPEN)

    def _move(self, state: BreakerState) -> None:
        if state is not self._state:
            logger.info("language model: circuit breaker %s -> %s", self._state.value, state.value)
        self._state = state


class GuardedReasoner:
    """A backend behind the circuit breaker and the plan checker: the only form in which a robot gets one.

    A goal that is too long, or holds no word, is refused before a model sees it. An answer to another decision is
    dropped. A plan that the rules refuse is taken out of the answer (status REFUSED). A backend that raises counts as
    BACKEND_DOWN, and an answer that is not well formed as INVALID: `ask` itself never raises. The backend is told the
    names that the operator's policy allows (`Request.vocabulary`). A call that was withdrawn is neither a failure nor a
    success; what it has saved is known once other calls of its kind have been answered.

    policy: the operator's of ALFRED's robot; a request with a domain brings its own. Raises: InputError for a name that
    the robot does not know."""

    def __init__(
        self, backend: Reasoner, policy: OperatorPolicy | None = None, breaker: CircuitBreaker | None = None
    ) -> None:
        self.backend = backend
        self.breaker = breaker or CircuitBreaker()
        self._domain = ALFRED_DOMAIN.under(policy) if policy is not None else ALFRED_DOMAIN
        self._vocabulary = Vocabulary(self._domain) if policy is not None else ALFRED
        self._lock = threading.Lock()
        self._under_way: dict[int, Request] = {}  # by id(): equal requests are different calls
        self._withdrawn: set[int] = set()  # ids of decisions
        self._usual: dict[tuple[Role, int], tuple[int, float]] = {}  # calls that were answered, and their mean tokens

    @property
    def name(self) -> str:
        """The backend's; that of its class, where a user's backend cannot say it."""
        try:
            name = self.backend.name
        except USER_ERRORS:
            return type(self.backend).__name__
        return hide_secrets(name) if isinstance(name, str) else type(self.backend).__name__

    @property
    def down(self) -> str:
        """Why a call would not be answered now, as far as that is known; "" where it may be."""
        if self.breaker.reopens_in_s > 0.0:
            return f"{self.name} failed {self.breaker.failures} times in a row; it is asked again after a while"
        try:
            why = getattr(self.backend, "down", "")
        except USER_ERRORS as error:
            why = one_line(error)
        return hide_secrets(why)[:MAX_WHY_CHARS] if isinstance(why, str) else ""

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        if len(request.goal) > MAX_GOAL_CHARS:
            why = f"a goal of {len(request.goal)} characters (allowed: {MAX_GOAL_CHARS})"
            return self._unasked(request, CallStatus.REFUSED, why)
        if not any(c.isalnum() for c in request.goal):
            why = 'the goal holds no word; say what to do, such as "put a hot mug on the table"'
            return self._unasked(request, CallStatus.REFUSED, why)
        if not self.breaker.allow():
            why = f"circuit breaker open, next try in {self.breaker.reopens_in_s:.1f} s"
            return self._unasked(request, CallStatus.BACKEND_DOWN, why)

        with self._lock:
            self._under_way[id(request)] = request
            current = {each.decision for each in self._under_way.values()}
            self._withdrawn = {each for each in self._withdrawn if each in current or each > request.decision}
            early = request.decision in self._withdrawn
        answer = self._unasked(request, CallStatus.WITHDRAWN, "withdrawn") if early else self._asked(request)
        counts = self._ends(request)
        with self._lock:
            withdrawn = request.decision in self._withdrawn
            self._withdrawn.discard(request.decision)
        if withdrawn:
            answer = self._without_use(answer)
        if counts and answer.status is CallStatus.WITHDRAWN:
            self.breaker.forget()
        elif counts:
            self.breaker.record(answer.status not in FAILURES)
            self._learn(answer)
        return judged(answer, self._rules(request))

    def cancel(self, decision: int) -> bool:
        """See `Withdrawable.cancel`. A backend that cannot stop answers later, and its answer is WITHDRAWN all the
        same. A call that has not begun yet does not begin."""
        with self._lock:
            under_way = any(request.decision == decision for request in self._under_way.values())
            self._withdrawn.add(decision)
        if not under_way or not isinstance(self.backend, Withdrawable):
            return False
        try:
            return bool(self.backend.cancel(decision))
        except USER_ERRORS as error:
            logger.warning("language model %s: cancel failed (%s)", self.name, hide_secrets(one_line(error)))
            return False

    def _learn(self, answer: Answer) -> None:
        """Takes in how many tokens a call takes that is answered."""
        if answer.status is CallStatus.OK:
            with self._lock:
                calls, mean = self._usual.get((answer.role, answer.level), (0, 0.0))
                self._usual[answer.role, answer.level] = calls + 1, mean + (answer.tokens - mean) / (calls + 1)

    def _without_use(self, answer: Answer) -> Answer:
        """What a call that was withdrawn has come to."""
        with self._lock:
            _, usual = self._usual.get((answer.role, answer.level), (0, 0.0))
        stopped = answer.status is not CallStatus.OK
        return replace(
            answer,
            status=CallStatus.WITHDRAWN,
            plan=None,
            verdict=None,
            where={},
            why="withdrawn",
            tokens_saved=max(round(usual) - answer.tokens, 0) if stopped else 0,
        )

    def _rules(self, request: Request) -> Callable[[Plan], str]:
        """Why a plan may not be carried out, by the robot that it is for and by what its operator forbids."""
        return (request.domain or self._domain).check

    def give_up(self, request: Request) -> Answer:
        """The answer TIMEOUT to a call that another thread still waits for in `ask`.

        The call counts as a failure at once; what its backend answers later on no longer counts."""
        if self._ends(request):
            self.breaker.record(False)
        why = f"the backend did not answer within its deadline of {request.deadline_s:.1f} s"
        return self._unasked(request, CallStatus.TIMEOUT, why, request.deadline_s)

    def _asked(self, request: Request) -> Answer:
        """The backend's answer, or what stands for one that is none."""
        started = self.breaker.clock.now()
        status = CallStatus.BACKEND_DOWN
        try:
            answer = self.backend.ask(self._completed(request))
            status = CallStatus.INVALID
            why = malformed(answer, request)
        except USER_ERRORS as error:
            why = one_line(error)

        if why:
            return self._unasked(request, status, why, max(self.breaker.clock.now() - started, 0.0))
        if answer.decision != request.decision:
            why = f"an answer to decision {answer.decision} was dropped"
            return self._unasked(request, CallStatus.BACKEND_DOWN, why)

        # A user's backend may repeat what a server or a library said about a key.
        return replace(
            answer,
            backend=hide_secrets(answer.backend),
            text=hide_secrets(answer.text),
            why=hide_secrets(answer.why),
        )

    def _completed(self, request: Request) -> Request:
        """`request` with the words of the failure cleaned, and what a backend is told of the rules."""
        return replace(
            request,
            vocabulary=self._vocabulary,
            rules=self._rules(request),
            why=readable(request.why, MAX_WHY_CHARS),
            beliefs=tuple(readable(each, MAX_WHY_CHARS) for each in request.beliefs[:MAX_BELIEFS]),
        )

    def _ends(self, request: Request) -> bool:
        """Takes a call out of those under way; False where it was given up, or has ended already."""
        with self._lock:
            return self._under_way.pop(id(request), None) is not None

    def _unasked(self, request: Request, status: CallStatus, why: str, seconds: float = 0.0) -> Answer:
        return Answer(request.decision, request.role, request.level, status, seconds, self.name, why=hide_secrets(why))

    def close(self) -> None:
        """Closes the backend; that it cannot be closed is logged in one line."""
        try:
            self.backend.close()
        except USER_ERRORS as error:
            logger.warning("language model %s: close failed (%s)", self.name, hide_secrets(one_line(error)))


def malformed(answer: Any, request: Request) -> str:
    """Why a user's backend's `answer` is not a well-formed one, as "Type: text"; "" where it is.

    That it is for the same decision is not judged here."""
    if not isinstance(answer, Answer):
        return f"TypeError: the backend returned a {type(answer).__name__}, not an Answer"

    kinds: tuple[tuple[tuple[str, ...], Any], ...] = (
        (("decision", "level", "tokens_in", "tokens_out"), Integral),
        (("seconds", "ttft_s", "confidence"), Real),
        (("backend", "text", "why"), str),
        (("role",), Role),
        (("status",), CallStatus),
        (("plan",), (Plan, type(None))),
        (("verdict",), (Verdict, type(None))),
    )
    for names, kind in kinds:
        for name in names:
            value = getattr(answer, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                return f"TypeError: Answer.{name} is a {type(value).__name__}"

    if not 0.0 <= answer.seconds < math.inf or min(answer.tokens_in, answer.tokens_out) < 0:
        return "ValueError: Answer.seconds and tokens must be finite and at least 0"
    if (answer.role, answer.level) != (request.role, request.level):
        return f"ValueError: an answer of {answer.role.value} level {answer.level} to another request"

    wanted = answer.plan if request.role is Role.PLANNER else answer.verdict
    if (answer.status is CallStatus.OK) != (wanted is not None):
        return f"ValueError: an answer {answer.status.value} {'without a' if wanted is None else 'with its'} result"
    if answer.plan is not None and not _is_plan(answer.plan):
        return "TypeError: Answer.plan is not made of Step(text, tuple of text)"
    if not _are_shares(answer.where):
        return "TypeError: Answer.where is no table: thing -> ((place, share from 0 to 1), ...)"
    if answer.verdict is not None and not _is_verdict(answer.verdict):
        return "TypeError: Answer.verdict is not made of (bool, Fault or None, number)"
    return ""


def _is_plan(plan: Plan) -> bool:
    return isinstance(plan.steps, tuple) and all(
        isinstance(step, Step)
        and isinstance(step.skill, str)
        and isinstance(step.arguments, tuple)
        and all(isinstance(argument, str) for argument in step.arguments)
        for step in plan.steps
    )


def _are_shares(where: Any) -> bool:
    return isinstance(where, Mapping) and all(
        isinstance(thing, str)
        and isinstance(shares, tuple)
        and all(isinstance(place, str) and 0.0 <= share <= 1.0 for place, share in shares)
        for thing, shares in where.items()
    )


def _is_verdict(verdict: Verdict) -> bool:
    fault = verdict.fault
    return (
        isinstance(verdict.ok, bool) and (fault is None or isinstance(fault, Fault)) and isinstance(verdict.p_ok, Real)
    )


def judged(answer: Answer, rules: Callable[[Plan], str]) -> Answer:
    """`answer` as the rules leave it: REFUSED and without its plan where they find a reason."""
    if answer.role is not Role.PLANNER or answer.plan is None:
        return answer
    why = rules(answer.plan)
    return replace(answer, status=CallStatus.REFUSED, plan=None, why=f"plan refused: {why}") if why else answer
