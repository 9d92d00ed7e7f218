"""Which of several presets a loop runs with, so that it keeps its rate while the clock, the load or the scene changes.

Frequency scaling and other programs change how long a loop takes by a factor that is the same for all presets, so the
durations of the one in use tell what each of the others would take ("All-in-One", arXiv 2212.05122, switches a pruned
network along with the frequency in this way). Down is decided in three loops, up only after a time of calm that grows
with every attempt that failed: that bounds how often it switches.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

LOOPS = 3
"""Loops whose median decides: one that was interrupted, or looked at the calibration too, switches nothing."""
LATE = 0.95
"""Share of the period that a loop may take. Above it, the next one begins late."""
EASY = 0.75
"""Share of the period that a better preset may be expected to take; what is between this and LATE is the hysteresis."""
CALM_S = 3.0
"""Seconds for which a better preset must have been expected to be in time."""
MAX_CALM_S = 48.0
"""Seconds that this grows to, doubled with each attempt that failed within RELAPSE_S."""
RELAPSE_S = 10.0
"""Seconds. A better preset that is late sooner than that was a failed attempt; in time for so long, a success."""
GAP_S = 1.0
"""Seconds without a loop after which what was measured before counts no more."""


class RateKeeper:
    """Chooses among presets, of which the first is the best and the last the quickest.

    At most two switches per CALM_S in the long run, beside the way down to the quickest.

    Args:
        target_hz: loops per second, above 0.
        costs: of a loop of each preset, in any unit, falling.

    Attributes:
        preset: index of the one to run with; at first the best one.
        switches: how often it has changed.

    Raises: ValueError for a rate or costs that are none."""

    def __init__(self, target_hz: float, costs: Sequence[float]) -> None:
        if not target_hz > 0:
            raise ValueError(f"target_hz must be above 0, got {target_hz}")
        if not costs or not all(a > b for a, b in zip(costs, [*costs[1:], 0.0], strict=True)):
            raise ValueError(f"costs must fall from the first preset to the last and be above 0, got {list(costs)}")

        self.period_s = 1.0 / target_hz
        self.preset = 0
        self.switches = 0
        self._costs = tuple(costs)
        self._recent: deque[float] = deque(maxlen=LOOPS)  # seconds per unit of cost
        self._last_s = -float("inf")
        self._calm_s = CALM_S
        self._easy_since: float | None = None
        self._rose_s: float | None = None  # when a better preset was last taken up, until it has lasted

    def took(self, now_s: float, loop_s: float) -> bool:
        """Hears that a loop ended at `now_s` (steady clock) after `loop_s` seconds of wall time; whether the preset is
        another one from now on.

        >>> keeper = RateKeeper(10.0, [1.0, 0.5])
        >>> [keeper.took(0.2 * n, 0.15) for n in range(3)], keeper.preset
        ([False, False, True], 1)
        """
        if now_s - loop_s - self._last_s > GAP_S:
            self._forget()
        self._last_s = now_s
        self._recent.append(loop_s / self._costs[self.preset])
        if self._rose_s is not None and now_s - self._rose_s > RELAPSE_S:
            self._rose_s = None
            self._calm_s = CALM_S
        if len(self._recent) < LOOPS:
            return False

        if self.expected_s(self.preset) > LATE * self.period_s:
            return self._fall()
        return self._rise(now_s)

    def expected_s(self, preset: int) -> float:
        """Seconds that a loop of `preset` would take now; NaN while too little is known."""
        return statistics.median(self._recent) * self._costs[preset] if self._recent else float("nan")

    def _fall(self) -> bool:
        """To the best preset that is in time, else to the quickest."""
        slower = range(self.preset + 1, len(self._costs))
        if not slower:
            return False

        in_time = (i for i in slower if self.expected_s(i) <= LATE * self.period_s)
        if self._rose_s is not None:
            self._calm_s = min(2 * self._calm_s, MAX_CALM_S)
        self._rose_s = None
        return self._switch(next(in_time, slower[-1]))

    def _rise(self, now_s: float) -> bool:
        """To the next better preset, once it has been expected to be in time for long enough."""
        if not self.preset or self.expected_s(self.preset - 1) > EASY * self.period_s:
            self._easy_since = None
            return False

        if self._easy_since is None:
            self._easy_since = now_s
        if now_s - self._easy_since < self._calm_s:
            return False

        self._rose_s = now_s
        return self._switch(self.preset - 1)

    def _switch(self, preset: int) -> bool:
        self.preset = preset
        self.switches += 1
        self._forget()
        return True

    def _forget(self) -> None:
        self._recent.clear()
        self._easy_since = None
