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
        self._joints: dict[str, tuple[float, float]] = {}  # name -> position, when it was taken

    def update(self, names: Sequence[str], positions: Sequence[float], taken_s: float) -> str:
        """Takes a message in; says what is wrong with it, "" if nothing is.

        A message without any position, such as one of efforts alone, changes nothing. Where positions do not go with
        the names, or a name occurs twice, these joints are not known any more; where a position is not finite, that
        joint is not. A joint that has a later position already keeps it."""
        if not len(positions):
            return ""
        if len(names) != len(positions) or len(set(names)) < len(names):
            for name in names:
                self._joints.pop(name, None)
            twice = next((name for name in names if list(names).count(name) > 1), "")
            return f"joint {twice} occurs twice" if twice else f"{len(names)} names and {len(positions)} positions"

        for name, position in zip(names, positions, strict=True):
            if taken_s < self._joints.get(name, (0.0, -math.inf))[1]:
                continue
            if not math.isfinite(position):
                self._joints.pop(name, None)
            elif name in self._joints or len(self._joints) < MAX_JOINTS:
                self._joints[name] = (float(position), taken_s)
        return ""

    def of(self, names: Iterable[str]) -> tuple[dict[str, float], float]:
        """The positions of those of `names` that are known, and when the oldest of them was taken; minus infinity where
        none is known."""
        known = {name: self._joints[name] for name in names if name in self._joints}
        oldest = min((taken for _, taken in known.values()), default=-math.inf)
        return {name: position for name, (position, _) in known.items()}, oldest
