"""From stamps of the ROS clock, which may be set while the robot drives, to the steady clock."""

from __future__ import annotations

JUMP_S = 0.1
"""Seconds. A larger change between two looks is a clock that was set; less is drift, or a simulation's own pace."""
SKEW_S = 0.05
"""Seconds that a stamp may be ahead of now: clocks of two processes are read one after the other."""


class Timeline:
    """When things happened, on the steady clock, by their stamps.

    Ages count from stamps, never from arrival: a message that was held up is as old as it is. Once judged, a time does
    not move when the clock is set. A stamp written before a jump and read after it is taken by the clock of its time.
    Where both readings are possible the older one holds, unless what came later was heard already (messages of one
    publisher arrive in order)."""

    def __init__(self) -> None:
        self._offset: float | None = None  # ROS minus steady
        self._before = 0.0  # the same before the last jump
        self._jumped: tuple[float, float] | None = None  # between which two looks that was, steady
        self._looked = 0.0
        self.jumps = 0

    def look(self, ros_s: float, now_s: float) -> None:
        """Both clocks at one moment, seconds; often, so that jumps are seen when they happen."""
        offset = ros_s - now_s
        if self._offset is not None and abs(offset - self._offset) > JUMP_S:
            self._before = self._offset
            self._jumped = (self._looked, now_s)
            self.jumps += 1
        self._offset = offset
        self._looked = now_s

    def taken(self, stamp_s: float, now_s: float, last_s: float = float("-inf")) -> float:
        """When, on the steady clock, `stamp_s` (ROS) was; `look` first. last_s: the latest taken of this publisher.

        A time after now is a stamp of the future: infinity."""
        if self._offset is None:
            raise ValueError("Timeline.taken: look at the clocks first")
        taken = stamp_s - self._offset
        if self._jumped is not None:
            older = stamp_s - self._before
            doubtful = taken < self._jumped[0] or taken > now_s + SKEW_S or older > last_s
            if older < self._jumped[1] and doubtful:
                taken = older
        return float("inf") if taken > now_s + SKEW_S else min(taken, now_s)
