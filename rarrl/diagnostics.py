"""Numbers for /diagnostics on the steady clock: rates, latencies, and how long a node has been silent."""

from __future__ import annotations

from collections import deque

WINDOW = 1000
"""Events that are kept: at 20 Hz the last 50 s, enough for a 99 % quantile."""


class Latencies:
    """When the last events happened and how long each took."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._times: deque[float] = deque(maxlen=WINDOW)

    def add(self, now: float, seconds: float) -> None:
        """Records an event at `now` (steady clock) that took `seconds`."""
        self._times.append(now)
        self._seconds.append(seconds)

    def rate(self, now: float, over_s: float = 5.0) -> float:
        """Returns the events per second within the last `over_s` seconds."""
        return sum(now - t <= over_s for t in self._times) / over_s

    def quantile_ms(self, q: float) -> float:
        """Returns the `q` quantile of the last WINDOW durations in milliseconds, 0 if there are none.

        >>> latencies = Latencies()
        >>> for seconds in (0.004, 0.001, 0.002):
        ...     latencies.add(0.0, seconds)
        >>> latencies.quantile_ms(0.5), latencies.quantile_ms(0.99)
        (2.0, 4.0)
        """
        ordered = sorted(self._seconds)
        return 1e3 * ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Heartbeat:
    """Watches whether a node has been heard lately. who: its name, which begins the complaint."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._heard: float | None = None

    def hear(self, now: float) -> None:
        """Records a message from `who` at `now` (steady clock)."""
        self._heard = now

    def silent_s(self, now: float) -> float | None:
        """Returns the seconds since the last message, None if there was none."""
        return None if self._heard is None else now - self._heard

    def complaint(self, now: float, timeout_s: float) -> str:
        """Returns one line about a silence longer than `timeout_s` seconds, "" if all is well.

        >>> watch = Heartbeat("replay_node")
        >>> watch.complaint(10.0, 5.0)
        'replay_node not heard yet'
        >>> watch.hear(10.0)
        >>> watch.complaint(12.0, 5.0), watch.complaint(17.0, 5.0)
        ('', 'replay_node silent for 7 s')
        """
        silent = self.silent_s(now)
        if silent is None:
            return f"{self.who} not heard yet"
        return f"{self.who} silent for {silent:.0f} s" if silent > timeout_s else ""
