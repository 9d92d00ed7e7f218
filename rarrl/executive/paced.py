"""The newest of what comes faster than it can be acted on: a flood costs as little as a trickle."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Paced(Generic[T]):
    """Gives out what was offered, at most once in `period_s`; of what comes in between the newest alone.

    Attributes:
        dropped: how many a newer one has taken the place of.

    >>> paced = Paced[str](0.2)
    >>> paced.offer("a"), paced.due(10.0), paced.offer("b"), paced.offer("c"), paced.due(10.1), paced.due(10.2)
    (None, 'a', None, None, None, 'c')
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._waiting: T | None = None
        self._next_s = float("-inf")
        self.dropped = 0

    def offer(self, value: T) -> None:
        """What is to be given out when it is due."""
        self.dropped += self._waiting is not None
        self._waiting = value

    def due(self, now_s: float) -> T | None:
        """What is due now, if anything. now_s: seconds, the steady clock."""
        if self._waiting is None or now_s < self._next_s:
            return None
        value, self._waiting = self._waiting, None
        self._next_s = now_s + self._period_s
        return value
