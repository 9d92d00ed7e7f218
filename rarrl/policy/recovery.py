"""A base that does not get on backs off a little, and comes again from where it sees more."""

from __future__ import annotations

STUCK_S = 4.0  # asked to move, and not moving ahead or back; turning half round takes less
BACK_S, BACK_MPS = 1.5, -0.2
TINY_M_S, TINY_RAD_S, MOVING_M_S = 0.02, 0.1, 0.03


class Recovery:
    """Stands between a policy's commands and the gate; as the back-up behaviour of Nav2. Times: seconds of one clock.

    What blocks may be a place that nobody has looked at, or one where somebody stood: seen from further back it is
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
        asked = abs(v) > TINY_M_S or abs(omega) > TINY_RAD_S
        if not asked or abs(measured_v) > MOVING_M_S:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > STUCK_S:
            self._since_s, self._back_until_s = None, now_s + BACK_S
            self.count += 1
            return BACK_MPS, 0.0
        return v, omega
