"""Scripted experts for what is not picked up: a plate that is pushed, a knob that is turned."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arm import Arm
from .expert import FINGER_BELOW_M, Hand

AHEAD_M = 0.02  # of the plate's middle, where the fingers come down
PRESS_M = 0.004  # of the tips above the plate's underside: they rest on it
RIM_M = 0.08  # within it the hand is in the plate
CLEAR_M = 0.12  # above the table: over everything that stands there


class Push(Hand):
    """A plate to a region of the table: closed fingers press on it from above and take it along.

    Behind it there is no room: the cabinet."""

    def __init__(self, base: Any, arm: Arm, model: Any, data: Any, thing: str, region: str) -> None:
        super().__init__(base, arm, model, data)
        self.thing, self._region = thing, region

    def reaches(self) -> tuple[np.ndarray, np.ndarray]:
        """From the hand to the thing, and to where it is to go: (3,) each, metres, in the world."""
        return self._body(self.thing) - self._arm.place, self._site(self._region) - self._arm.place

    def action(self) -> np.ndarray:
        """(7,); see `PickAndPlace.action`."""
        hand = self._arm.place
        points = self._points(self.thing)
        middle = (points.min(0) + points.max(0)) / 2
        way = self._site(self._region)[:2] - self._body(self.thing)[:2]
        left = float(np.linalg.norm(way))
        line = way / max(left, 1e-6)
        ready = middle[:2] + line * AHEAD_M
        low = points[:, 2].min() + FINGER_BELOW_M + PRESS_M
        away = float(np.linalg.norm(hand[:2] - ready))

        if hand[2] < low + 0.03 and np.linalg.norm(hand[:2] - middle[:2]) < RIM_M:
            if hand[2] > low + 0.012:
                return self._towards(np.array([*hand[:2], low - 0.02]), np.pi / 2, 1.0)
            onward = 0.045 * min(1.0, left / 0.03)
            return self._towards(np.array([*(hand[:2] + line * onward), low - 0.012]), np.pi / 2, 1.0)
        far = away > 0.02
        height = low + CLEAR_M if far else low - 0.02
        over = hand[2] > low + CLEAR_M / 2 or not far
        return self._towards(np.array([*(ready if over else hand[:2]), height]), np.pi / 2, 1.0)


class Turn(Hand):
    """A knob on: fingers on both sides of its ridge, closed, turned."""

    def __init__(self, base: Any, arm: Arm, model: Any, data: Any, thing: str) -> None:
        super().__init__(base, arm, model, data)
        self.thing = thing
        joint = base.get_object(thing).joints[0]
        self._body_id = int(model.jnt_bodyid[model.joint(joint).id])

    def reaches(self) -> tuple[np.ndarray, np.ndarray]:
        """From the hand to the knob, twice: (3,) each, metres, in the world."""
        away = self._data.xpos[self._body_id] - self._arm.place
        return away, away

    def action(self) -> np.ndarray:
        """(7,); see `PickAndPlace.action`."""
        hand = self._arm.place
        knob = self._data.xpos[self._body_id]
        x_axis = self._data.xmat[self._body_id].reshape(3, 3)[:, 0]
        across = float(np.arctan2(x_axis[1], x_axis[0]))  # the ridge lies along the knob's own y
        turn = self._turn(across)
        grip = np.array([*knob[:2], knob[2] + 0.028])
        away = np.linalg.norm(grip[:2] - hand[:2])
        if away < 0.02 and hand[2] < grip[2] + 0.008 and (abs(turn) < 0.15 or self._opening() < 0.06):
            closed = self._opening() < 0.045
            action = self._towards(grip, None, 1.0)
            action[5] = 0.5 if closed else 0.0
            return action
        down = away < (0.02 if hand[2] < grip[2] + 0.05 else 0.012) and abs(turn) < 0.15
        return self._towards(grip if down else grip + np.array([0, 0, 0.04]), across, -1.0)
