"""A scripted expert for LIBERO's pick-and-place: it sees the simulator's state, and follows one rule set.

It remembers nothing but how high its thing lay at the start. So it can say what to do in the states of any other actor,
and its steps can be tried out and undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arm import REACH_M, TURN_RAD, Arm

GAIN = 1.6  # of the way that is left, what a step asks for
FINGER_BELOW_M = 0.013  # finger tips below the grip site
PALM_ABOVE_M = 0.032  # the palm above it
STILL_M_S = 0.02  # fingers slower than this have closed
RIMMED = ("bowl", "plate", "ramekin")
"""Wider than the gripper opens: held by the rim."""


class Hand:
    """What all experts share: how the hand goes somewhere, and where things are.

    points: (3,) where its fingers point on the way, in the world."""

    def __init__(self, base: Any, arm: Arm, model: Any, data: Any) -> None:
        """base: robosuite's environment."""
        self._base, self._arm, self._model, self._data = base, arm, model, data
        self.points = np.array([0.0, 0.0, -1.0])
        self._shapes: dict[str, np.ndarray] = {}
        robot = base.robots[0]
        self._fingers_q = np.array(robot._ref_gripper_joint_pos_indexes)
        self._fingers_v = np.array(robot._ref_gripper_joint_vel_indexes)
        self._pads = [model.geom(f"gripper0_finger{i}_pad_collision").id for i in (1, 2)]
        # A thing in the grip may touch a finger beside its pad (the ketchup's neck does).
        self._fingers = [[pad, model.geom(f"gripper0_finger{i + 1}_collision").id] for i, pad in enumerate(self._pads)]

    def begin(self) -> None:
        """To be called at the start of an episode."""

    def _towards(self, target: np.ndarray, angle: float | None, grip: float, slow: float = 1.0) -> np.ndarray:
        """Straight to `target`, the fingers' line, seen from above, at `angle` where one is given."""
        action = np.zeros(7)
        action[:3] = GAIN * (target - self._arm.place) / REACH_M
        action[3:6] = np.cross(self._arm.frame[:, 2], self.points) / TURN_RAD
        if angle is not None:
            action[5] += self._turn(angle) / TURN_RAD
        action[:6] = np.clip(action[:6], -slow, slow)
        action[6] = grip
        return action

    def _turn(self, angle: float) -> float:
        """Radians from the line through the fingers to a line at `angle`, the short way."""
        line = self._data.geom_xpos[self._pads[0]] - self._data.geom_xpos[self._pads[1]]
        return float((angle - np.arctan2(line[1], line[0]) + np.pi / 2) % np.pi - np.pi / 2)

    def _opening(self) -> float:
        """Metres between the fingers."""
        return float(np.abs(self._data.qpos[self._fingers_q]).sum())

    def _points(self, name: str) -> np.ndarray:
        """(n, 3) points of a thing's surface in the world."""
        body = self._base.obj_body_id[name]
        if name not in self._shapes:
            self._shapes[name] = self._shape(body)
        return self._shapes[name] @ self._data.xmat[body].reshape(3, 3).T + self._data.xpos[body]

    def _shape(self, body: int) -> np.ndarray:
        """(n, 3) points of a thing's surface in the frame of its body."""
        model, data = self._model, self._data
        found = []
        for geom in np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == 1) & (model.geom_dataid >= 0)):
            mesh = model.geom_dataid[geom]
            first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            world = model.mesh_vert[first : first + count] @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
            found.append((world - data.xpos[body]) @ data.xmat[body].reshape(3, 3))
        points = np.concatenate(found)
        return points[:: max(1, len(points) // 3000)]

    def _body(self, name: str) -> np.ndarray:
        """(3,) a thing's own place, by which the benchmark judges."""
        return np.asarray(self._data.xpos[self._base.obj_body_id[name]])

    def _site(self, name: str) -> np.ndarray:
        """(3,) the middle of a region."""
        return np.asarray(self._data.site(name).xpos)


class PickAndPlace(Hand):
    """The expert for goals `in` and `on`: one thing into or onto another."""

    def __init__(self, base: Any, arm: Arm, model: Any, data: Any, goal: Sequence[str]) -> None:
        """base: robosuite's environment. goal: relation, thing, and the thing or site that it is for."""
        super().__init__(base, arm, model, data)
        self.relation, self.thing, self.goal = goal
        self._rimmed = any(word in self.thing for word in RIMMED)

        began = [fact for fact in base.parsed_problem["initial_state"] if fact[1] == self.thing]
        self._in_drawer = "cabinet" in began[0][2] and began[0][2].endswith("top_region")
        self._touching = np.zeros(model.ngeom, bool)
        self._touching[[model.geom(name).id for name in base.get_object(self.thing).contact_geoms]] = True
        self._floor = 0.0

    def begin(self) -> None:
        """See `Hand.begin`: where the thing lies now is where it lay."""
        self._floor = float(self._points(self.thing)[:, 2].min())

    def reaches(self) -> tuple[np.ndarray, np.ndarray]:
        """From the hand to the thing, and to where it is to go: (3,) each, metres, in the world."""
        points = self._points(self.thing)
        place, _, rest = self._goal()
        middle = (points.min(0) + points.max(0)) / 2
        return middle - self._arm.place, np.append(place, rest) - self._arm.place

    def action(self) -> np.ndarray:
        """(7,) displacement, rotation, gripper (1 closes), each in [-1, 1]."""
        hand = self._arm.place.copy()
        points = self._points(self.thing)
        low, high = points[:, 2].min(), points[:, 2].max()
        goal, clear, rest = self._goal()
        left_to_goal = goal - self._body(self.thing)[:2]
        away = float(np.linalg.norm(left_to_goal))
        if self._held():
            return self._carry(hand, low, clear, rest, left_to_goal, away)
        if away < 0.03 and low > rest - 0.03 and not self._rimmed:  # let go of: up and out
            return self._towards(np.array([*hand[:2], hand[2] + 0.1]), None, -1.0)
        return self._grip(hand, points, low, high)

    def _carry(
        self, hand: np.ndarray, low: float, clear: float, rest: float, left: np.ndarray, away: float
    ) -> np.ndarray:
        """First up, then across, then down. low: of the thing's underside; left: to the goal, away: its length."""
        safe = max(clear, self._floor + (0.08 if self._in_drawer else 0.04))
        target = hand.copy()
        if away > 0.015:
            target[2] = hand[2] + safe + 0.03 - low
            if low >= safe:
                target[:2] += left
            return self._towards(target, None, 1.0)
        target[:2] += left
        target[2] = hand[2] + rest - low
        return self._towards(target, None, -1.0 if low - rest < 0.008 else 1.0, slow=0.6)

    def _grip(self, hand: np.ndarray, points: np.ndarray, low: float, high: float) -> np.ndarray:
        """Over the thing, down, close."""
        grip, angle = self._grasp(points, low, high)
        left = grip - hand
        turn = self._turn(angle)
        line = np.array([np.cos(angle), np.sin(angle)])
        along, aside = abs(left[:2] @ line), abs(left[0] * line[1] - left[1] * line[0])
        closing = 0.004 < self._opening() < 0.072  # light things slide a little before both fingers touch
        if along < (0.035 if closing else 0.006) and max(aside, abs(left[2])) < (0.015 if closing else 0.008):
            if closing:
                return self._towards(grip - (left[:2] @ line) * np.append(line, 0), angle, 1.0)
            if abs(turn) < 0.08:
                return self._towards(grip, angle, 1.0)
        if np.linalg.norm(left[:2]) > 0.008 or abs(turn) > 0.1:
            above = max(grip[2] + 0.04, high + FINGER_BELOW_M + 0.02)
            far = np.linalg.norm(left[:2]) > 0.03
            target = np.array([*grip[:2], above + (0.04 if far else 0)])
            if far and hand[2] < above - 0.01:
                target[:2] = hand[:2]
            return self._towards(target, angle, -1.0)
        return self._towards(grip, angle, -1.0)

    def _grasp(self, points: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float]:
        """Where the grip site should be, and the direction of the line through the fingers."""
        if self._rimmed:
            middle = (points.min(0) + points.max(0)) / 2
            z = max(high - 0.012, low + FINGER_BELOW_M + 0.003)
            if self._in_drawer:  # along the drawer, where there is room for the outer finger
                return np.array([points[:, 0].min() + 0.018, middle[1], z]), 0.0
            return np.array([middle[0], points[:, 1].max() - 0.003, z]), np.pi / 2
        z = max(low + FINGER_BELOW_M + 0.003, (low + high) / 2, high - PALM_ABOVE_M)
        slice_ = points[np.abs(points[:, 2] - z) < 0.02][:, :2]
        angles = np.deg2rad(np.arange(0, 180, 10))
        widths = np.ptp(slice_ @ np.array([np.cos(angles), np.sin(angles)]), axis=0)
        # Fingers lie along y at the start; a narrow grip is worth some turning.
        best = int(np.argmin(widths + 0.012 * np.abs(angles - np.pi / 2)))
        middle = (slice_.min(0) + slice_.max(0)) / 2
        return np.array([*middle, z]), float(angles[best])

    def _held(self) -> bool:
        """Both fingers touch the thing, and have stopped."""
        if np.abs(self._data.qvel[self._fingers_v]).max() >= STILL_M_S:
            return False
        pairs = self._data.contact.geom
        touched = pairs[self._touching[pairs].any(axis=1)]
        return all(np.isin(touched, finger).any() for finger in self._fingers)

    def _goal(self) -> tuple[np.ndarray, float, float]:
        """Place (x, y), the height to cross at, the height of the thing's underside when it is let go of."""
        if self.goal in self._base.object_sites_dict:
            site = self._data.site(self.goal)
            size = np.abs(site.xmat.reshape(3, 3) @ self._base.object_sites_dict[self.goal].size)
            if self.relation == "in":
                return site.xpos[:2], site.xpos[2] + size[2] + 0.02, site.xpos[2] - 0.02
            return site.xpos[:2], site.xpos[2] + 0.03, site.xpos[2] + 0.004
        place = self._body(self.goal)
        top = self._points(self.goal)[:, 2].max()
        return place[:2], top + 0.03, top if "bowl" in self.goal else place[2] + 0.006
