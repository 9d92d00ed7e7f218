"""Puts the safety gate in front of the motors of any differential-drive base: scan, odometry, command in; command out.

Needs: rarrl alone. Run: python examples/gate_on_your_base.py
You see: a base that is asked to drive at 0.4 m/s towards a wall 2 m ahead. The gate slows it down, stops it short of
the wall, and says why. On your base, replace the three lines that simulate it by your driver.
docs/explanation/safety.md says what is promised, and what is not.
"""

import math

import numpy as np

from rarrl.config import GateConfig
from rarrl.range_scan import RangeScan
from rarrl.safety.base_gate import BaseGate
from rarrl.types import GateReason, RobotCommand

WALL_M = 2.0  # x of the wall
FRONT_M = 0.3  # from the wheels' axis to the front of the base
TICK_S = 0.05  # 20 commands a second, the gate's own rate
SENSOR_M = 0.2  # the range sensor is so far ahead of the wheels' axis


def scan_of_wall(x: float) -> RangeScan:
    """What a range sensor with a field of 120 degrees measures, with the base at `x`, heading towards the wall."""
    bearings = np.radians(np.arange(-60.0, 61.0, 2.0))
    ranges = (WALL_M - x - SENSOR_M) / np.cos(bearings)
    return RangeScan(bearings[0], math.radians(2.0), ranges, range_max=5.0)


def main() -> None:
    gate = BaseGate(GateConfig(front_m=FRONT_M, sensor_x_m=SENSOR_M, assumed_clear_m=1.0))
    x = 0.0
    said = None

    for tick in range(200):
        now = tick * TICK_S  # seconds of a steady clock; on a robot: time.monotonic()
        T_odom_base = np.eye(4)
        T_odom_base[0, 3] = x
        gate.on_odometry(T_odom_base, stamp_s=now, taken_s=now)
        gate.on_scan(scan_of_wall(x), stamp_s=now, taken_s=now)

        wish = RobotCommand(v=0.4, omega=0.0, observed_s=now, heard_s=now)
        safe = gate.check(wish, now)

        if (safe.action, safe.reason) != said:
            said = (safe.action, safe.reason)
            print(f"{now:4.1f} s  x {x:.2f} m  {safe.action.value} {safe.v:.2f} m/s  {safe.reason}  {safe.detail}")
        if safe.reason is GateReason.BLOCKED:
            break
        x += safe.v * TICK_S  # the simulated base does as it is told

    print(f"the front stands {WALL_M - x - FRONT_M:.2f} m before the wall: {safe.reason}")
    stale = gate.check(wish, now + 1.0)
    print(f"a second without news: {stale.action.value}, {stale.reason}")


if __name__ == "__main__":
    main()
