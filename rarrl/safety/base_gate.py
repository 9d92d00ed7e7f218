"""The gate of a mobile base with what it goes by: the map of free space, the newest scan, and how old both are.

odometry -> map follows the robot      scan -> map learns what is free      command + map + ages -> what may move it
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rarrl.config import GateConfig
from rarrl.frames import Mount
from rarrl.poses import PoseBuffer, yaw_of
from rarrl.range_scan import RangeScan
from rarrl.safety.gate import SafetyGate, Surroundings
from rarrl.types import GateReason, GateResult, RobotCommand

AT_HOME = (0.0, 0.0, 0.0)
"""Where a robot without odometry always is: the map moves with it."""


class BaseGate:
    """Judges commands for a base. A new one for each activation: making it vouches for the room around the base.

    With `config.odometry` the base moves through its map; before the first pose nothing is known and nothing passes.
    Without, each scan begins a new map, in which only that scan and the room around the base count as free.

    `taken_s`, `now_s`: seconds of the steady clock, by which ages count. `stamp_s`: seconds of the clock that stamps
    poses and scans, by which a scan finds the place it was taken at.

    Raises: InputError for settings that contradict one another.

    scan_s, pose_s: when the newest scan and pose that were used were taken, steady clock; None before the first. lost:
    whether the odometry jumped, after which only another BaseGate moves the base."""

    def __init__(self, config: GateConfig) -> None:
        self.config = config
        self.gate = SafetyGate(config)
        self.scan_s: float | None = None
        self.pose_s: float | None = None
        self.lost = False
        self._mount = mount_of(config)
        self._map = self.gate.free_space()
        self._poses = PoseBuffer()
        self._vouched = False

    def on_odometry(self, T_odom_base: np.ndarray, stamp_s: float, taken_s: float) -> None:
        """The base is at `T_odom_base`, (4, 4), finite. A pose that it cannot have reached by itself is a jump.

        Of no use, and ignored, without `config.odometry`."""
        if not self.config.odometry:
            return
        self._poses.add(stamp_s, T_odom_base)

        pose = (float(T_odom_base[0, 3]), float(T_odom_base[1, 3]), yaw_of(T_odom_base))
        if not self._map.move(pose):
            self.lost = True
        self.pose_s = taken_s

        if not self._vouched:
            self._map.vouch(self.config.assumed_clear_m)
            self._vouched = True

    def on_scan(self, scan: RangeScan, stamp_s: float, taken_s: float, mount: Mount | None = None) -> bool:
        """Takes in what `scan` shows; False, and it is ignored, where it is not known where the base was then.

        Its `blind_m` is the configuration's, whatever the sensor says. mount: where its sensor is on the base; None:
        where the configuration says."""
        c = self.config
        mount = mount or self._mount
        scan = replace(scan.seen_upside_down() if mount.flipped else scan, blind_m=c.blind_m)

        if not c.odometry:
            self._map.move(AT_HOME)
            self._map.forget()
            self._map.vouch(c.assumed_clear_m)
            self._map.see(scan, (mount.x_m, mount.y_m, mount.yaw_rad))
            self.scan_s = taken_s
            self.pose_s = taken_s
            return True

        pose = self._poses.at(stamp_s)
        if pose is None or not self._vouched:
            return False
        x, y = (pose @ [mount.x_m, mount.y_m, 0.0, 1.0])[:2]
        self._map.see(scan, (float(x), float(y), yaw_of(pose) + mount.yaw_rad))
        self.scan_s = taken_s
        return True

    def check(
        self, command: RobotCommand | None, now_s: float, veto: GateReason | None = None, why: str = ""
    ) -> GateResult:
        """What may be sent to the base now. veto: why it must stand, whatever was asked; why: the detail of that. Never
        raises."""
        if veto is None and self.lost:
            veto = GateReason.ODOMETRY_JUMPED

        around = None
        if self.scan_s is not None and self.pose_s is not None:
            around = Surroundings(self._map, self.scan_s, self.pose_s)
        return self.gate.check(command, around, now_s, veto, why)


def mount_of(config: GateConfig) -> Mount:
    """Where the configuration says that the scan's sensor is on the base."""
    return Mount(config.sensor_x_m, config.sensor_y_m, math.radians(config.sensor_yaw_deg), config.sensor_flipped)
