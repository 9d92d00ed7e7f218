"""How long this process waits for a core, against how long it computes: what a busy computer costs it, without a probe.

Linux counts for every thread the nanoseconds on a core and those ready to run but waiting for one
(`/proc/PID/task/TID/schedstat`, Documentation/scheduler/sched-stats.rst). Two programs that are alike wait alike: what
this process has just met, a language model beside it will meet in its next call. The computer's load average and its
pressure (`/proc/pressure/cpu`) tell less: they count programs that yield to this one, too.
"""

from __future__ import annotations

import time
from pathlib import Path

TASKS = Path("/proc/self/task")
OWN_S = 0.05
"""Seconds on a core over which the share is taken: with less, a single time slice decides."""
READ_EVERY_S = 0.05
"""Seconds between two readings, at least: reading takes about 10 microseconds a thread."""


class OwnShare:
    """`slowdown()`: (computing + waiting) / computing of this process lately; 1 where it has a core whenever it wants.

    tasks: the folder of its threads. Where Linux does not count, or is none, the slowdown is 1."""

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks = tasks
        self._last = self._read()
        self._read_at = time.monotonic()
        self._slowdown = 1.0

    def slowdown(self) -> float:
        """At least 1."""
        if time.monotonic() - self._read_at < READ_EVERY_S:
            return self._slowdown
        self._read_at = time.monotonic()
        ran, waited = self._read()
        ran_s, waited_s = ran - self._last[0], waited - self._last[1]
        if ran_s < 0.0 or waited_s < 0.0:  # a thread has ended, and its counts with it
            self._last = ran, waited
        elif ran_s >= OWN_S:
            self._last = ran, waited
            self._slowdown = 1.0 + waited_s / ran_s
        return self._slowdown

    def _read(self) -> tuple[float, float]:
        """Seconds that all threads ran, and waited."""
        ran = waited = 0
        for file in self._tasks.glob("*/schedstat"):
            try:
                words = file.read_text("ascii").split()
                ran, waited = ran + int(words[0]), waited + int(words[1])
            except (OSError, ValueError, IndexError):  # it has just ended
                continue
        return 1e-9 * ran, 1e-9 * waited
