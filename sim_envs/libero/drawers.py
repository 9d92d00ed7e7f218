"""The scripted expert for drawers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arm import Arm
from .expert import Hand

LEAN_RAD = 1.2  # of the hand, from pointing down, at a handle
GRIP_M = 0.004  # of the grip site before the handle's middle: the tips just clear the drawer
FREE_M = 0.08  # before the handle the hand may turn
STEP_M = 0.04  # of the way ahead, of a hand that pulls or lets go
SHUT_M = 0.012  # between fingers that hold nothing, at most; a handle is .016 thick
OPEN_M = 0.15  # out, a drawer is open


class Pull(Hand):
    """A drawer open: the hand leans to the cabinet, fingers above and below the handle, and draws it out.

    It comes from the front, since the handle of the drawer above is in the way of a hand that points down."""

    def __init__(self, base: Any, arm: Arm, model: Any, data: Any, region: str) -> None:
        super().__init__(base, arm, model, data)
        self.thing = region
        joint = model.joint(base.object_sites_dict[region].joints[0])
        self._slide = int(joint.qposadr[0])
        self._sign = 1.0 if abs(joint.range[1]) > abs(joint.range[0]) else -1.0
        self._out = self._sign * np.array(data.xaxis[joint.id])  # the way in which it opens, in the world
        self.points = -np.sin(LEAN_RAD) * self._out - np.array([0, 0, np.cos(LEAN_RAD)])

        boxes = np.flatnonzero((model.geom_bodyid == joint.bodyid[0]) & (model.geom_group == 0))
        self._handle = int(boxes[np.argmax(model.geom_pos[boxes] @ (self._sign * joint.axis))])

    @property
    def opened(self) -> float:
        """Metres that the drawer is out."""
        return float(self._sign * self._data.qpos[self._slide])

    def reaches(self) -> tuple[np.ndarray, np.ndarray]:
        """From the hand to the handle, and to where that is in the end: (3,) each, metres, in the world."""
        left = self._left()
        return left, left + self._out * (OPEN_M - self.opened)

    def action(self) -> np.ndarray:
        """(7,); see `PickAndPlace.action`."""
        hand = self._arm.place
        left = self._left()
        before = float(-left @ self._out)
        aside = float(np.linalg.norm(left + before * self._out))
        askew = float(np.arccos(np.clip(self._arm.frame[:, 2] @ self.points, -1, 1)))
        grip = hand + left + GRIP_M * self._out

        opening = self._opening()
        around = aside < 0.02 and before < GRIP_M + 0.012
        if around and SHUT_M < opening < 0.03:
            return self._towards(hand + STEP_M * self._out, None, 1.0)
        if around and SHUT_M < opening < 0.07:  # it is closing: go on
            return self._towards(grip, None, 1.0)
        if aside < 0.008 and askew < 0.12:
            return self._towards(grip, None, 1.0 if opening > SHUT_M and before < GRIP_M + 0.006 else -1.0)
        if aside > 0.02 and before < FREE_M - 0.03:
            return self._towards(hand + STEP_M * self._out, None, -1.0)
        return self._towards(hand + left + FREE_M * self._out, None, -1.0)

    def _left(self) -> np.ndarray:
        """(3,) from the hand to the handle."""
        return np.asarray(self._data.geom_xpos[self._handle] - self._arm.place)
