"""The benchmark's control of its arm, as robosuite 1.4.0's `OSC_POSE` does it, on MuJoCo alone.

robosuite runs the whole forward dynamics three times in each of a control step's 25 physics steps, and looks names up
in between. Here each runs once: `mj_step1`, torques, `mj_step2`. The same actions lead to the same place within .6 mm
(`tests/sim_envs/libero/test_arm.py`), at a sixth of the time. Operational space control: Khatib 1987, "A unified
approach for motion and force control of robot manipulators".
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 25
"""Physics steps of 2 ms in a control step."""
REACH_M = 0.05
"""What an action of 1 asks for, along an axis."""
TURN_RAD = 0.5
"""What a rotation of 1 asks for, about an axis of the world."""
STIFFNESS = 150.0  # 1/s^2, of place and heading; critically damped
NULL_STIFFNESS = 10.0  # 1/s^2, of the joints, in what the hand does not feel
GRIPPER_SPEED = 0.01  # of the fingers' command, -1 to 1, in a physics step


class Arm:
    """Moves robosuite's arm by its actions. `reset` after each reset of robosuite.

    Its state beside MuJoCo's is `goal_place`, `goal_frame` and `fingers`; see `state`."""

    def __init__(self, mujoco: Any, model: Any, data: Any, robot: Any) -> None:
        """robot: robosuite's, of which names and limits are taken."""
        self._mujoco = mujoco
        self._model = model
        self._data = data
        self._robot = robot
        self.site = int(robot.eef_site_id)
        self.joints = np.array(robot._ref_joint_pos_indexes)
        self.finger_joints = np.array(robot._ref_gripper_joint_pos_indexes)
        self._v = np.array(robot._ref_joint_vel_indexes)
        self._motors = np.array(robot._ref_joint_actuator_indexes)
        self._grips = np.array(robot._ref_joint_gripper_actuator_indexes)
        low, high = model.actuator_ctrlrange[self._motors].T
        self._limits = low.copy(), high.copy()
        low, high = model.actuator_ctrlrange[self._grips].T
        self._grip_middle, self._grip_half = (low + high) / 2, (high - low) / 2
        self._jacobian = np.zeros((6, model.nv))
        self._mass = np.zeros((model.nv, model.nv))
        self._rest = np.zeros(len(self.joints))
        self.goal_place = np.zeros(3)
        self.goal_frame = np.eye(3)
        self.fingers = np.zeros(2)

    def reset(self) -> None:
        """Takes over what robosuite's reset has left: the pose to hold, and the joints to prefer."""
        controller = self._robot.controller
        self._rest = np.array(controller.initial_joint)
        self.goal_place = np.array(controller.goal_pos)
        self.goal_frame = np.array(controller.goal_ori)
        self.fingers = np.zeros(2)  # as in a gripper that was just made

    @property
    def state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `_undone` puts back."""
        return self.goal_place.copy(), self.goal_frame.copy(), self.fingers.copy()

    @state.setter
    def state(self, state: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        self.goal_place, self.goal_frame, self.fingers = (part.copy() for part in state)

    @property
    def place(self) -> np.ndarray:
        """(3,) the grip site, metres, in the world."""
        return np.asarray(self._data.site_xpos[self.site])

    @property
    def frame(self) -> np.ndarray:
        """(3, 3) its rotation."""
        return np.asarray(self._data.site_xmat[self.site]).reshape(3, 3)

    def step(self, action: np.ndarray) -> None:
        """One control step of 50 ms. action: (7,) displacement, rotation vector, gripper by its sign, in [-1, 1]."""
        mujoco, model, data = self._mujoco, self._model, self._data
        for i in range(STEPS):
            mujoco.mj_step1(model, data)
            if i == 0:
                self._aim(np.clip(action[:6], -1.0, 1.0))
            data.ctrl[self._motors] = np.clip(self._torques(), *self._limits)
            self.fingers = np.clip(self.fingers + np.array([-1.0, 1.0]) * GRIPPER_SPEED * np.sign(action[6]), -1, 1)
            data.ctrl[self._grips] = self._grip_middle + self._grip_half * self.fingers
            mujoco.mj_step2(model, data)

    def _aim(self, action: np.ndarray) -> None:
        self.goal_place = self.place + REACH_M * action[:3]
        turn = TURN_RAD * action[3:]
        if turn.any():
            self.goal_frame = _rotation(turn) @ self.frame

    def _torques(self) -> np.ndarray:
        """(7,) Nm: a spring to the goal as the hand feels it, gravity, and a soft pull to the preferred joints."""
        data = self._data
        self._mujoco.mj_jacSite(self._model, data, self._jacobian[:3], self._jacobian[3:], self.site)
        self._mujoco.mj_fullM(self._model, self._mass, data.qM)
        jacobian = self._jacobian[:, self._v]
        mass = self._mass[np.ix_(self._v, self._v)]
        q, v = data.qpos[self.joints], data.qvel[self._v]

        away = np.concatenate((self.goal_place - self.place, _between(self.goal_frame, self.frame)))
        pull = STIFFNESS * away - 2 * STIFFNESS**0.5 * (jacobian @ v)
        mobility = jacobian @ np.linalg.solve(mass, jacobian.T)
        force = np.concatenate(
            (np.linalg.solve(mobility[:3, :3], pull[:3]), np.linalg.solve(mobility[3:, 3:], pull[3:]))
        )
        prefer = NULL_STIFFNESS * (self._rest - q) - 2 * NULL_STIFFNESS**0.5 * v
        force -= np.linalg.solve(mobility, jacobian @ prefer)
        return np.asarray(jacobian.T @ force + data.qfrc_bias[self._v] + mass @ prefer)


def _between(goal: np.ndarray, now: np.ndarray) -> np.ndarray:
    """(3,) the turn that is left, its sine along its axis: half the sum of the axes' cross products."""
    twist = goal @ now.T
    return 0.5 * np.array([twist[2, 1] - twist[1, 2], twist[0, 2] - twist[2, 0], twist[1, 0] - twist[0, 1]])


def _rotation(turn: np.ndarray) -> np.ndarray:
    """(3, 3) of a rotation vector in radians (Rodrigues)."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))
