"""Drives a robot of somebody else's simulator, MiniWorld, by its own pictures: detector, policy, gate.

Needs: the extra miniworld. Run: python examples/somebody_elses_simulator.py
You see: the policy of own_policy.py drives a base across a room that is drawn by MiniWorld. The detector finds the wall
in its stereo pairs, and the gate stops the base short of it. Yours needs what the adapter in `rarrl_sim_envs.miniworld`
offers: a rig, pairs, poses, where the camera is mounted, and a base that takes velocities.
"""

import cv2
import numpy as np
from own_policy import MyPolicy  # beside this file: drives at 0.2 m/s towards the brighter side

from rarrl.build import make_detector
from rarrl.config import GateConfig
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.policy.actor import Actor
from rarrl.robot import Robot, RobotObservation
from rarrl.safety.base_gate import BaseGate
from rarrl_sim_envs.miniworld.robot import MiniWorldRobot

DT = 0.1  # seconds per tick: the policy's rate
SIDE_PX = 64  # of the policy's pictures
LOWEST_M = 0.3  # height of the lowest thing in these rooms
START = (8.0, -5.0, 0.0)  # x, y, yaw: 2 m before a wall


def gate_config(base: MiniWorldRobot, sensor: ObstacleSensor) -> GateConfig:
    """The gate's settings follow from the base and from how its camera is mounted."""
    return GateConfig(
        rate_hz=1 / DT,
        latency_s=DT,
        radius_m=base.radius_m,
        margin_m=0.2,  # MiniWorld's boxes reach 0.17 m beyond what it draws
        sensor_x_m=float(base.camera_mount[0, 3]),
        sensor_y_m=float(base.camera_mount[1, 3]),
        blind_m=sensor.blind_m(LOWEST_M),
        assumed_clear_m=1.2,
    )


def main() -> None:
    base = MiniWorldRobot("OneRoom")
    base.place(*START)
    sensor = ObstacleSensor(make_detector(base.rig), base.camera_mount, Body(2 * base.radius_m, 0.1, 1.5), sectors=31)
    policy = MyPolicy()
    actor = Actor(policy.spec, DT, max_age_s=0.5)
    robot = Robot(sensor, lambda: "cross the room", policy, actor, BaseGate(gate_config(base, sensor)))
    speed_mps = 0.0

    for k in range(90):
        now = k * DT  # on a robot: time.monotonic()
        pair = base.pair(now)
        picture = cv2.resize(pair.left, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)[None]
        proprio = np.array([speed_mps], np.float32)
        tick = robot.tick(RobotObservation(now, base.pose, speed_mps, False, pair, picture, proprio))

        speed_mps = tick.result.v
        base.drive(tick.result.v, tick.result.omega, DT)
        assert not base.touched, "the base ran into something"
        if k % 10 == 0 and tick.reading is not None:
            ahead = tick.reading.scan.reach(np.array(0.0))
            said = f"{tick.result.action.value} {tick.result.reason}".strip()
            print(f"{now:4.1f} s  x {base.pose[0, 3]:.2f} m  free ahead {ahead:.1f} m  {speed_mps:.2f} m/s  {said}")

    gap = float(base.clearance(base.pose[None, :2, 3])[0]) - base.radius_m
    print(f"touched nothing; the base stands {gap:.2f} m before the nearest wall or thing")
    base.close()


if __name__ == "__main__":
    main()
