"""Left and right images of one moment, found by their stamps; whatever finds no partner is counted."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
SIDES = ("left", "right")
MAX_WAITING = 8
"""Items of one side that may wait for the other: half a second at 15 Hz, longer than any image is late."""


@dataclass(frozen=True)
class Matched(Generic[T]):
    """Two items whose stamps differ by no more than the slop."""

    left_ns: int
    left: T
    right_ns: int
    right: T


class PairMatcher(Generic[T]):
    """An approximate-time matcher. slop_ns: by how much the stamps of a pair may differ; keep it below half the time
    between two frames. waiting: how many items of one side may wait for the other.

    Pairs come out with stamps that rise on both sides. `drops` counts what was given up: `out_of_order` (not later
    than the one before on its side), `unmatched` (no partner within the slop), `overflow` (the other side is silent).
    `gap_ns`: how near to one another two stamps came since the last pair; None where the other side is silent.

    >>> matcher = PairMatcher(slop_ns=10)
    >>> matcher.push("left", 100, "a"), matcher.push("right", 300, "b"), dict(matcher.drops)
    (None, None, {'unmatched': 1})
    >>> matcher.push("left", 305, "c")
    Matched(left_ns=305, left='c', right_ns=300, right='b')
    """

    def __init__(self, slop_ns: int, waiting: int = MAX_WAITING) -> None:
        if slop_ns < 0 or waiting < 1:
            raise ValueError(f"slop_ns must be >= 0 and waiting >= 1, got {slop_ns} and {waiting}")
        self.slop_ns = slop_ns
        self.drops: Counter[str] = Counter()
        self.gap_ns: int | None = None
        self._waiting: dict[str, deque[tuple[int, T]]] = {side: deque() for side in SIDES}
        self._bound = waiting
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        """How many items wait for a partner."""
        return sum(map(len, self._waiting.values()))

    def reset(self) -> None:
        """Forgets what waits and how far the stamps were: after a jump of the clock. Counters stay."""
        for queue in self._waiting.values():
            queue.clear()
        self._last.clear()
        self.gap_ns = None

    def push(self, side: str, stamp_ns: int, item: T) -> Matched[T] | None:
        """Takes an item of `side` (left or right); the pair that it completes, if any."""
        last = self._last.get(side)
        if last is not None and stamp_ns <= last:
            self.drops["out_of_order"] += 1
            return None
        self._last[side] = stamp_ns
        queue = self._waiting[side]
        queue.append((stamp_ns, item))
        if len(queue) > self._bound:
            queue.popleft()
            self.drops["overflow"] += 1
        return self._match()

    def _match(self) -> Matched[T] | None:
        left = self._waiting["left"]
        right = self._waiting["right"]
        while left and right:
            gap = abs(left[0][0] - right[0][0])
            older = left if left[0][0] < right[0][0] else right
            newer = right if older is left else left
            # A later frame of the older side may be nearer to the newer one.
            closer = len(older) > 1 and abs(older[1][0] - newer[0][0]) < gap
            if gap > self.slop_ns or closer:
                older.popleft()
                self.drops["unmatched"] += 1
                self.gap_ns = gap if self.gap_ns is None else min(gap, self.gap_ns)
                continue
            self.gap_ns = None
            (left_ns, a), (right_ns, b) = left.popleft(), right.popleft()
            return Matched(left_ns, a, right_ns, b)
        return None
