"""Where an arm's joints are, from joint states that may come in parts: each with its own time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MAX_JOINTS = 1000
"""Joints that are remembered; more is a garbled publisher, not an arm."""


class JointStates:
    """The newest position of each joint, by name. An arm, its gripper and its base may each publish their own.

    >>> states = JointStates()
    >>> states.update(["shoulder", "elbow"], [0.0, 1.0], 10.0), states.update(["gripper"], [0.5], 10.2)
    ('', '')
    >>> states.of(["elbow", "gripper"])
    ({'elbow': 1.0, 'gripper': 0.5}, 10.0)
    """

    def __init__(self) -> None:
        self._joints: dict[str, tuple[float, float]] = {}  # name -> position (NaN: not known), when it was taken

    def update(self, names: Sequence[str], positions: Sequence[float], taken_s: float) -> str:
        """Takes a message in; says what is wrong with it, "" if nothing is.

        A message without any position, such as one of efforts alone, changes nothing. Where positions do not go with
        the names, or a name occurs twice, these joints are not known any more; where a position is not finite, that
        joint is not, until a later message tells it. What is older than the newest of a joint changes nothing."""
        if not len(positions):
            return ""
        if len(names) != len(positions) or len(set(names)) < len(names):
            for name in names:
                self._take(name, math.nan, taken_s)
            twice = next((name for name in names if list(names).count(name) > 1), "")
            return f"joint {twice} occurs twice" if twice else f"{len(names)} names and {len(positions)} positions"

        for name, position in zip(names, positions, strict=True):
            self._take(name, float(position), taken_s)
        return ""

    def _take(self, name: str, position: float, taken_s: float) -> None:
        """What is not finite keeps its time too: no older position may come back after it."""
        if name not in self._joints and len(self._joints) >= MAX_JOINTS:
            return
        if taken_s >= self._joints.get(name, (0.0, -math.inf))[1]:
            self._joints[name] = (position, taken_s)

    def of(self, names: Iterable[str]) -> tuple[dict[str, float], float]:
        """The positions of those of `names` that are known, and when the oldest of them was taken; minus infinity where
        none is known."""
        unknown = (math.nan, -math.inf)
        known = {name: (at, s) for name in names for at, s in [self._joints.get(name, unknown)] if math.isfinite(at)}
        oldest = min((taken for _, taken in known.values()), default=-math.inf)
        return {name: position for name, (position, _) in known.items()}, oldest
