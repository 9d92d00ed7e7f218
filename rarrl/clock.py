"""Time is an argument: core code takes a `Clock`, so that tests and replays drive it by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """A steady clock: its seconds never jump, unlike those of the wall clock."""

    def now(self) -> float:
        """Returns the seconds since an arbitrary origin."""
        ...

    def sleep(self, seconds: float) -> None:
        """Lets `seconds` pass; returns at once if they are 0 or negative."""
        ...


class SteadyClock:
    """The machine's monotonic clock; `speed` > 1 makes simulated time pass faster than real time."""

    def __init__(self, speed: float = 1.0) -> None:
        if not speed > 0.0:
            raise ValueError(f"SteadyClock.speed must be > 0, got {speed}")
        self.speed = speed

    def now(self) -> float:
        return time.monotonic() * self.speed

    def sleep(self, seconds: float) -> None:
        if seconds > 0.0:
            time.sleep(seconds / self.speed)


class ManualClock:
    """A clock that moves only by `advance` and `sleep`, for tests and replays."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now = start_s

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.advance(max(seconds, 0.0))

    def advance(self, seconds: float) -> None:
        """Moves the clock forward by `seconds`. Raises: ValueError if they are negative."""
        if seconds < 0.0:
            raise ValueError(f"a steady clock never runs back: advance({seconds})")
        self._now += seconds
