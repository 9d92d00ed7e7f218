"""Calls side by side to a server that may say that it is busy: no more under way than it bears, none before it is due.

The limit follows TCP's rule (additive increase, multiplicative decrease; Chiu and Jain 1989): a call that was answered
raises it a little, a refusal halves it once for a burst of them. `Retry-After` holds every call back, not only the one
that was told. A call that was refused is made again, and what it waited is no part of its latency."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from rarrl.errors import RarrlError
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.openai import OpenAiReasoner

LEAST_PAUSE_S = 0.05
"""Seconds for which a refusal that says "now" holds calls back."""
MOST_REFUSALS = 50
"""Times that one call is made again, after which a server has no place for us."""
LOOK_S = 0.2
"""Seconds after which a call that waits for its turn looks again."""


class Pace:
    """When the next call may begin. Times in seconds, on any clock that does not go back.

    most: calls under way at once, at most; the limit begins there."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.under_way = 0
        self.not_before = 0.0

    def may_begin(self, now: float) -> bool:
        """Whether one more call may."""
        return now >= self.not_before and self.under_way < int(self.limit)

    def begins(self) -> None:
        """One more is under way."""
        self.under_way += 1

    def ends(self, now: float, refused_s: float | None = None) -> None:
        """One is over. refused_s: the server was busy, and asked to come back after so long; None: it was not."""
        self.under_way -= 1
        if refused_s is None:
            self.limit = min(self.limit + 1.0 / self.limit, float(self.most))
            return
        if now >= self.not_before:  # those of the same burst count once
            self.limit = max(self.limit / 2.0, 1.0)
        self.not_before = max(self.not_before, now + max(refused_s, LEAST_PAUSE_S))


class PacedReasoner:
    """Several reasoners of one server as one that many threads may ask.

    Each has connections, and what it has learnt of the server, of its own; each is asked `first` once before what it
    answers counts. Close it after use, also to end calls that wait."""

    def __init__(
        self, reasoners: Sequence[Reasoner], first: Request, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = reasoners[0].name
        self.pace = Pace(len(reasoners))
        self.refusals = 0
        self._reasoners = reasoners
        self._first = first
        self._clock = clock
        self._closed = threading.Event()
        self._turn = threading.Condition()
        self._free: queue.SimpleQueue[_Line] = queue.SimpleQueue()
        for reasoner in reasoners:
            self._free.put(_Line(reasoner))

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`; waits for its turn first. Raises: RarrlError where the server stays busy, or after
        `close`."""
        line = self._free.get()
        try:
            if not line.ready:
                self._made(line, self._first)
                line.ready = True
            return self._made(line, request)
        finally:
            self._free.put(line)

    def _made(self, line: _Line, request: Request) -> Answer:
        for _ in range(MOST_REFUSALS):
            self._wait()
            line.told.clear()
            try:
                answer = line.reasoner.ask(request)
            finally:
                with self._turn:
                    refused_s = max(line.told, default=None)
                    self.refusals += refused_s is not None
                    self.pace.ends(self._clock(), refused_s)
                    self._turn.notify_all()
            if refused_s is None:
                return answer
        raise RarrlError(
            f"{self.name} was too busy {MOST_REFUSALS} times in a row; ask for less at once (--concurrency), or later"
        )

    def _wait(self) -> None:
        """Until one more call may begin."""
        with self._turn:
            while not self._closed.is_set() and not self.pace.may_begin(self._clock()):
                self._turn.wait(min(max(self.pace.not_before - self._clock(), 0.001), LOOK_S))
            if self._closed.is_set():
                raise RarrlError(f"{self.name} was closed")
            self.pace.begins()

    def close(self) -> None:
        """See `Reasoner`."""
        self._closed.set()
        with self._turn:
            self._turn.notify_all()
        for reasoner in self._reasoners:
            reasoner.close()


class _Line:
    """A reasoner, and what its server said of being busy during the call. ready: it has been asked once."""

    def __init__(self, reasoner: Reasoner) -> None:
        self.reasoner = reasoner
        self.ready = False
        self.told: list[float] = []
        backend = reasoner.backend if isinstance(reasoner, GuardedReasoner) else reasoner
        if isinstance(backend, OpenAiReasoner):
            backend.on_busy = self.told.append
