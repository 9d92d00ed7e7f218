"""A base that is stuck backs off a little, and comes again from where it sees more."""

from __future__ import annotations

STUCK_S = 4.0
"""Seconds for which a base is asked to move and does not move ahead or back: turning half round takes less."""
BACK_S = 1.5
"""Seconds that it backs off: 0.3 m, from where a camera sees the floor that was below its view."""
BACK_MPS = -0.2
"""m/s, backwards: where no camera looks, slowly."""
TINY_MPS = 0.02
"""m/s. Being asked for less is not being asked to move."""
TINY_RADPS = 0.1
"""rad/s. The same for turns."""
MOVING_MPS = 0.03
"""m/s. Measured speed above which a base does move: wheel odometry of one that stands shows less."""


class Recovery:
    """Stands between a policy's commands and the gate; as the back-up behaviour of Nav2. Times: seconds of one clock.

    What blocks may be a place that was not seen yet, or one where a person stood: seen from further back it is
    free. The gate judges this movement like any other."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another sub-goal, or none."""
        self._since_s: float | None = None  # it has been asked to move, and has not moved, since
        self._back_until_s = float("-inf")
        self.count = 0

    def update(self, v: float, omega: float, measured_v: float, now_s: float) -> tuple[float, float]:
        """What to ask the gate for now: (v, omega), or backwards. measured_v: m/s, of the base."""
        if now_s < self._back_until_s:
            return BACK_MPS, 0.0
        asked = abs(v) > TINY_MPS or abs(omega) > TINY_RADPS
        if not asked or abs(measured_v) > MOVING_MPS:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > STUCK_S:
            self._since_s = None
            self._back_until_s = now_s + BACK_S
            self.count += 1
            return BACK_MPS, 0.0
        return v, omega
