"""The whole robot in one loop: obstacles, sub-goal, policy, gate, ten times a second (`rarrl.robot.Robot`).

Needs: rarrl alone. Run: python examples/robot_loop.py
You see: a base that the policy of own_policy.py drives towards a wall. The gate stops it; when the sub-goal is taken
away, the robot holds. On a robot, `Range` is an `ObstacleSensor` over your stereo pair, and the ROS nodes run the same
stages, each in a process of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
from own_policy import MyPolicy  # beside this file: drives at 0.2 m/s towards the brighter side

from rarrl import StereoPair
from rarrl.config import GateConfig
from rarrl.policy.actor import Actor
from rarrl.range_scan import RangeScan
from rarrl.robot import Robot, RobotObservation
from rarrl.safety.base_gate import BaseGate

DT = 0.1  # seconds per tick: the policy's rate
WALL_M = 2.0  # x of the wall, from where the base starts
GATE = GateConfig(rate_hz=1 / DT, front_m=0.3, sensor_x_m=0.2, assumed_clear_m=1.0)


@dataclass(frozen=True)
class Reading:
    scan: RangeScan


class Range:
    """Stands in for the stereo detector: measures the wall exactly, over a field of 120 degrees."""

    def read(self, pair: StereoPair, T_odom_base: np.ndarray | None = None) -> Reading:
        assert T_odom_base is not None
        bearings = np.radians(np.arange(-60.0, 61.0, 2.0))
        ranges = (WALL_M - T_odom_base[0, 3] - GATE.sensor_x_m) / np.cos(bearings)
        return Reading(RangeScan(bearings[0], math.radians(2.0), ranges, range_max=5.0))


def main() -> None:
    subgoal = "go to the wall"  # on a robot: of the plan that the orchestrator's last decision acts on
    policy = MyPolicy()
    actor = Actor(policy.spec, DT, max_age_s=0.5)
    robot = Robot(Range(), lambda: subgoal, policy, actor, BaseGate(GATE))
    picture = np.zeros((64, 64, 3), np.uint8)
    T_odom_base = np.eye(4)
    speed_mps = 0.0

    for k in range(120):
        now = k * DT  # on a robot: time.monotonic()
        pair = StereoPair(picture, picture, now)
        proprio = np.array([speed_mps], np.float32)
        seen = RobotObservation(now, T_odom_base.copy(), speed_mps, False, pair, picture[None], proprio)
        tick = robot.tick(seen)
        speed_mps = tick.result.v
        T_odom_base[0, 3] += speed_mps * DT  # the simulated base does as it is told
        if k % 20 == 0:
            said = f"{tick.result.action.value} {tick.result.reason}".strip()
            print(f"{seen.now:4.1f} s  x {T_odom_base[0, 3]:.2f} m  {speed_mps:.2f} m/s  {said}")
        if k == 80:
            subgoal = ""  # nothing to do: hold

    print(f"the front stands {WALL_M - T_odom_base[0, 3] - GATE.front_m:.2f} m before the wall; row: {tick.act.row}")


if __name__ == "__main__":
    main()
