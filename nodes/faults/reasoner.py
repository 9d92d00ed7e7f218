"""Language models that hang, lie, die and answer late: behind real processes and sockets, through the real backends.

A trial is one call. Unsafe is a plan that belongs to another goal (`stale_applied`), or that comes without status OK;
`exceptions` are those out of the backend's `ask`, `overruns` answers more than OVERRUN_S after the deadline, or above
the token cap and not said to be. detect_s: until `ask` says that nothing came of the call."""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rarrl.clock import ManualClock
from rarrl.errors import RarrlError
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.breaker import CircuitBreaker, GuardedReasoner
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.openai import OpenAiReasoner
from rarrl.reasoner.process import WorkerSettings
from rarrl.reasoner.replayed import ReplayedCall, ReplayedReasoner
from rarrl.types import CallStatus, Role
from rarrl_learning.reasoner.faults import GARBAGE, LATE_S, FaultyServer

from .row import Row, Trial

OVERRUN_S = 0.1
"""An answer later than this after its deadline counts as an overrun."""
DEADLINE_S = 0.3
"""Shorter than `LATE_S`, so that late answers miss it."""
BACK_S = 30.0
"""Seconds in which a model that is well again must have answered."""
_THINGS = ("mug", "cup", "plate", "bowl", "pen", "book", "vase", "egg", "apple", "spoon")
# One goal each, in turn: an answer that names the object of an earlier goal is stale.


class Counted:
    """Passes calls on to `backend` and counts the exceptions that it lets out: the guard before it would hide them."""

    def __init__(self, backend: Reasoner) -> None:
        self._backend = backend
        self.name = backend.name
        self.exceptions = 0

    def ask(self, request: Request) -> Answer:
        """See `Reasoner`."""
        try:
            return self._backend.ask(request)
        except Exception:  # what is counted here
            self.exceptions += 1
            raise

    def close(self) -> None:
        """See `Reasoner`."""
        self._backend.close()


def calls(make: Callable[[], Reasoner], trials: int) -> list[Trial]:
    """Asks for one object after another. Every second call gives the late answer of the one before time to arrive."""
    backend = Counted(make())
    reasoner = GuardedReasoner(backend, breaker=CircuitBreaker(failures=10**9))
    try:
        return [_call(reasoner, backend, number) for number in range(trials)]
    finally:
        reasoner.close()


def _call(reasoner: Reasoner, backend: Counted, number: int) -> Trial:
    thing = _THINGS[number % len(_THINGS)]
    request = _request(number, thing, DEADLINE_S if number % 2 == 0 else DEADLINE_S + LATE_S)
    before = backend.exceptions
    started = time.monotonic()
    answer = reasoner.ask(request)
    seconds = time.monotonic() - started

    too_long = answer.tokens_out > request.max_new_tokens and answer.status is not CallStatus.BUDGET
    stale = answer.plan is not None and any(thing not in step.arguments for step in answer.plan.steps)
    ok = answer.status is CallStatus.OK
    counts = {
        "exceptions": backend.exceptions - before,
        "stale_applied": int(stale),
        "overruns": int(seconds > request.deadline_s + OVERRUN_S or too_long),
        answer.status.value: 1,
    }
    return Trial(None if ok else seconds, unsafe=int(stale or (answer.plan is not None and not ok)), counts=counts)


def _request(number: int, thing: str, deadline_s: float) -> Request:
    return Request(number, Role.PLANNER, 1, f"put a {thing} on the desk", deadline_s)


def faulty_worker(kind: str) -> LlamaReasoner:
    """A model of this computer whose process has this fault; "" is healthy."""
    return LlamaReasoner(WorkerSettings(Path("faulty"), module=("rarrl_learning.reasoner.faults", kind)))


def workers(*kinds: str) -> Callable[[int, int], list[Trial]]:
    """Each of the kinds of `rarrl_learning.reasoner.faults.WORKER_FAULTS`, as often as the others."""

    def play(trials: int, seed: int) -> list[Trial]:
        each = math.ceil(trials / len(kinds))
        return [trial for kind in kinds for trial in calls(lambda kind=kind: faulty_worker(kind), each)]  # type: ignore[misc]

    return play


def servers(*kinds: str) -> Callable[[int, int], list[Trial]]:
    """The same of `SERVER_FAULTS`."""

    def play(trials: int, seed: int) -> list[Trial]:
        found = []
        for kind in kinds:
            with FaultyServer(kind) as server:
                found += calls(lambda url=server.url: OpenAiReasoner(url, "m"), math.ceil(trials / len(kinds)))  # type: ignore[misc]
        return found

    return play


def replayed(trials: int, seed: int) -> list[Trial]:
    """Calls of a latency profile that end badly."""
    ends = (("timeout", 5.0), ("length", 0.01), ("error", 0.01), ("stop", 5.0), ("no plan", 0.01))
    found = []
    for finish, seconds in ends:
        call = ReplayedCall(0.01, seconds, 10, 20, finish)
        make = lambda call=call: ReplayedReasoner("profile:faulty", lambda _: call, clock=ManualClock())  # noqa: E731
        found += calls(make, math.ceil(trials / len(ends)))
    return found


def worker_killed(trials: int, seed: int) -> list[Trial]:
    """kill -9 of a healthy model's process, between two calls."""
    reasoner = faulty_worker("")
    found = []
    try:
        for number in range(trials):
            if _until_ok(reasoner, number) is None or (pid := reasoner.worker.pid) is None:
                raise RarrlError("faults: the stand-in for a language model does not answer")
            os.kill(pid, signal.SIGKILL)
            found.append(Trial(recover_s=_until_ok(reasoner, number)))
    finally:
        reasoner.close()
    return found


def server_back(trials: int, seed: int) -> list[Trial]:
    """A server that fails until the circuit breaker opens, and is well again then."""
    kinds = ("HTTP 500", "closes halfway", "not HTTP")
    found = []
    for number in range(trials):
        with FaultyServer(kinds[number % len(kinds)]) as server:
            breaker = CircuitBreaker(failures=3, cool_down_s=0.2)
            reasoner = GuardedReasoner(OpenAiReasoner(server.url, "m"), breaker=breaker)
            begun = time.monotonic()
            asked = Counter(reasoner.ask(_request(n, "mug", 1.0)).status for n in range(6))
            detect_s = time.monotonic() - begun
            server.kind = ""
            recover_s = _until_ok(reasoner, number)
            reasoner.close()
        found.append(Trial(detect_s, recover_s=recover_s, unsafe=asked[CallStatus.OK]))
    return found


def _until_ok(reasoner: Reasoner, number: int) -> float | None:
    """Seconds until a call is answered; None where none is."""
    begun = time.monotonic()
    while time.monotonic() - begun < BACK_S:
        if reasoner.ask(_request(number, "mug", 5.0)).status is CallStatus.OK:
            return time.monotonic() - begun
        time.sleep(0.01)
    return None


LINES = ("no line end", "garbage line", "odd failure", "a list", "NaN numbers", "text for numbers", "too many tokens")
ENVELOPES = ("not HTTP", "wrong envelope", "NaN numbers", "text for numbers", "too many tokens", "redirect")
NO_USE = "TIMEOUT at the deadline, no plan"


def rows() -> tuple[Row, ...]:
    """Faults of a model's process, of a server, and of a profile; and two that it comes back from."""

    def row(
        name: str, fault: str, kinds: Sequence[str], expected: str, play: Callable[..., list[Trial]], calls: int
    ) -> Row:
        limits = {"detect_s": 1.0}
        injected = ", ".join(kinds)
        quick = len(kinds) * (2 if "L6" in name else 1)
        return Row(name, "reasoner", fault, injected, expected, "in-process", play, calls, quick, limits=limits)

    stuck = ("hang", "half-open TCP", "slow drip", "slow headers", "endless stream")
    down = ("HTTP 500", "HTTP 503", "HTTP 401", "closes halfway")
    text = tuple(GARBAGE)
    invalid = "INVALID, no plan, no exception"
    return (
        row("L1-worker", "the model's process hangs", ("hang",), NO_USE, workers("hang"), 10),
        row("L1-server", "the server never ends an answer", stuck, NO_USE, servers(*stuck), 30),
        row("L2-profile", "calls that end badly", ("timeout", "cap", "error"), "as it ended", replayed, 100),
        row("L4-worker-text", "the model writes garbage", text, invalid, workers(*text), 40),
        row("L4-worker-line", "its process writes garbage", LINES, invalid, workers(*LINES), 28),
        row("L4-server-text", "the served model writes garbage", text, invalid, servers(*text), 60),
        row("L4-server-reply", "the server writes garbage", ENVELOPES, invalid, servers(*ENVELOPES), 36),
        row("L5-worker-dies", "its process dies at each call", ("abort",), "BACKEND_DOWN", workers("dies"), 6),
        row("L5-server-refuses", "nobody listens", ("refused",), "BACKEND_DOWN", servers("connection refused"), 20),
        row("L5-server-fails", "the server fails", down, "BACKEND_DOWN", servers(*down), 40),
        row("L6-worker", "answers after the deadline, or to an earlier call", ("late", "earlier id"),
            "dropped by its number", workers("late", "earlier id"), 20),
        row("L6-server", "answers 0.5 s late", ("late",), "dropped at the deadline", servers("late"), 20),
        Row("L5-worker-killed", "reasoner", "the model's process is killed", "SIGKILL", "the next call is answered",
            "in-process", worker_killed, 10, 2, recovers=True),
        Row("L5-server-back", "reasoner", "a server that failed is well again", "5xx, cut replies, then good ones",
            "the breaker lets one call probe, and closes", "in-process", server_back, 12, 3, recovers=True),
    )  # fmt: skip
