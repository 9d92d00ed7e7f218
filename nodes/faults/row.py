"""One row of the campaign: a fault, how it is injected, what must happen, and what did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["in-process", "graph"]
"""Where a row is played: in this process, or over a ROS graph of processes."""


@dataclass(frozen=True)
class Trial:
    """One injection. Seconds are on the steady clock, from the injection on.

    detect_s: until the robot said that something is wrong; None: it does not apply, or never.
    stop_s: until the last output that moves; None: nothing had to stop.
    recover_s: until the robot does its work again without help; None: it does not apply, or never.
    outputs: how many outputs were judged. unsafe: how many of them were unsafe.
    counts: what else must be 0 (or is told), by name: `nan_published`, `stale_applied`, `false_stops`, ...
    note: one line for the report where something is off.
    active_s: until a process that was killed is back and active; None: it does not apply, or never."""

    detect_s: float | None = None
    stop_s: float | None = None
    recover_s: float | None = None
    outputs: int = 1
    unsafe: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    active_s: float | None = None


@dataclass(frozen=True)
class Row:
    """A fault of the matrix. `play(trials, seed)` injects it `trials` times and tells of each.

    name: e.g. "C1" or "N1-detector". part: camera, policy, detector, orchestrator, gate, deadman, reasoner, file, ...
    stops: whether the robot must stop. recovers: whether it must go on without help (R of the matrix).
    quick_trials: injections of the quick campaign, that of CI; 0: it leaves the row out.
    limits: figure of a trial -> most that is allowed at p99, e.g. {"stop_s": 0.5}. shares: count of a trial -> largest
    share of the trials that may have it, where none at all is more than the row promises."""

    name: str
    part: str
    fault: str
    injected: str
    expected: str
    way: Way
    play: Callable[[int, int], Sequence[Trial]]
    trials: int
    quick_trials: int = 0
    stops: bool = False
    recovers: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def quick(self) -> bool:
        """Whether the quick campaign plays it."""
        return self.quick_trials > 0
