"""The gate of a mobile base with what it goes by: the map of free space, the newest scan, and how old both are.

odometry -> map follows the robot      scan -> map learns what is free      command + map + ages -> what may move it
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.frames import Mount
from rarrl.poses import PoseBuffer, yaw_of
from rarrl.range_scan import RangeScan
from rarrl.safety.free_space import Pose
from rarrl.safety.gate import SafetyGate, Surroundings
from rarrl.types import GateReason, GateResult, RobotCommand

AT_HOME = (0.0, 0.0, 0.0)
"""Where a robot without odometry always is: the map moves with it."""
DRIVING_MPS = 0.03
"""m/s. A base that is sent faster than this moves, and its odometry shows it."""
STANDS_S = 0.5
"""Seconds, beside `latency_s`, after which it must have moved: motors start sooner, and at 10 Hz five poses come."""
MOVED_M = 0.003
"""Metres. Less is noise of an odometry that stands; the slowest drive above covers 15 mm meanwhile."""
SAME_RAD = 0.1
"""Radians by which a sensor's field of view may change from scan to scan: motors turn unevenly, and counts follow."""
MAX_SOURCES = 32
"""Sensors, or segments of a circle that come one by one, whose scans are kept apart: twelve are the most we know of."""


class BaseGate:
    """Judges commands for a base. A new one for each activation: making it vouches for the room around the base.

    With `config.odometry` the base moves through its map; before the first pose nothing is known and nothing passes.
    Without, each scan begins a new map, in which only that scan and the room around the base count as free.

    dry_run: what passes is not sent to the base, so its pose may stand while it should drive; else that is a stop.

    `taken_s`, `now_s`: seconds of the steady clock, by which ages count. `stamp_s`: seconds of the clock that stamps
    poses and scans, by which a scan finds the place it was taken at.

    Raises: InputError for settings that contradict one another.

    Scans may come from several sensors, told apart by frame and field of view. One that was heard once must not fall
    silent: nobody looks where it looked.

    pose_s: when the newest pose that was used was taken, steady clock; None before the first. lost: whether the
    odometry jumped, after which only another BaseGate moves the base."""

    def __init__(self, config: GateConfig, dry_run: bool = False) -> None:
        self.config = config
        self._dry_run = dry_run
        self._watch = _OdometryWatch(config.latency_s + STANDS_S)
        self.gate = SafetyGate(config)
        self.pose_s: float | None = None
        self.lost = False
        self._mount = mount_of(config)
        self._sources: list[_Source] = []
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
        self._watch.at(pose[0], pose[1], taken_s)
        self.pose_s = taken_s

        if not self._vouched:
            self._map.vouch(self.config.assumed_clear_m, taken_s)
            self._vouched = True

    @property
    def scan_s(self) -> float | None:
        """When the newest scan that was used was taken, steady clock, of the sensor that is silent for longest; None
        before the first."""
        return min((source.taken_s for source in self._sources), default=None)

    def on_scan(
        self, scan: RangeScan, stamp_s: float, taken_s: float, mount: Mount | None = None, frame: str = ""
    ) -> bool:
        """Takes in what `scan` shows; False, and it is ignored, where it is not known where the base was then.

        Its `blind_m` is the configuration's, whatever the sensor says. mount: where its sensor is on the base; None:
        where the configuration says. frame: of the sensor.

        Raises: InputError for a scan of one sensor more than are kept apart."""
        c = self.config
        mount = mount or self._mount
        source = next((known for known in self._sources if known.sends(frame, scan)), None)
        if source is None:
            source = _Source(frame, scan.angle_min, scan.field)
            if len(self._sources) >= MAX_SOURCES:
                raise InputError(
                    f"scans differ in frame or field of view in more than {MAX_SOURCES} ways; the last: {source}"
                )
        scan = replace(scan.seen_upside_down() if mount.flipped else scan, blind_m=c.blind_m)

        if not c.odometry:
            self._map.move(AT_HOME)
            self._map.forget()
            self._map.vouch(c.assumed_clear_m, taken_s)
            self._heard(source, scan, (mount.x_m, mount.y_m, mount.yaw_rad), taken_s)
            for each in self._sources:
                self._map.see(*each.newest, each, each.taken_s)
            self.pose_s = self.scan_s
            return True

        pose = self._poses.at(stamp_s)
        if pose is None or not self._vouched:
            return False
        x, y = (pose @ [mount.x_m, mount.y_m, 0.0, 1.0])[:2]
        self._heard(source, scan, (float(x), float(y), yaw_of(pose) + mount.yaw_rad), taken_s)
        self._map.see(*source.newest, source, taken_s)
        return True

    def _heard(self, source: _Source, scan: RangeScan, sensor: Pose, taken_s: float) -> None:
        source.newest = scan, sensor
        source.taken_s = taken_s
        if source not in self._sources:
            self._sources.append(source)

    def _silent(self, now_s: float) -> str:
        """Which of several sensors is silent, "" where none is, or all are."""
        limit_s = self.config.max_obstacle_age_s
        silent = [source for source in self._sources if not now_s - source.taken_s <= limit_s]  # NaN too
        if not silent or len(silent) == len(self._sources):
            return ""
        return f"nothing for {now_s - silent[0].taken_s:.2f} s of the sensor with {silent[0]}"

    def check(
        self, command: RobotCommand | None, now_s: float, veto: GateReason | None = None, why: str = ""
    ) -> GateResult:
        """What may be sent to the base now. veto: why it must stand, whatever was asked; why: the detail of that. Never
        raises."""
        if veto is None and self.lost:
            veto = GateReason.ODOMETRY_JUMPED
        if veto is None and (silent := self._silent(now_s)):
            veto = GateReason.OBSTACLES_TOO_OLD
            why = silent
        if self._watch.stands(self._asked(command, now_s)) and veto is None:
            veto = GateReason.ODOMETRY_STANDS

        around = None
        if self.scan_s is not None and self.pose_s is not None:
            around = Surroundings(self._map, self.scan_s, self.pose_s)
        result = self.gate.check(command, around, now_s, veto, why)
        if not self._dry_run:
            self._watch.sent(result.v, now_s)
        return result

    def _asked(self, command: RobotCommand | None, now_s: float) -> float:
        """The speed, m/s, of a command that still counts; else 0."""
        fresh = command is not None and now_s - command.heard_s <= self.config.max_command_age_s
        return command.v if command is not None and fresh else 0.0


class _OdometryWatch:
    """Whether the pose stands while the base is sent to drive: dead odometry, or a base that is held.

    It stands until it is not asked to go there any more: a base that is held is free to go back."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._direction = 0  # that the base is sent in: 1 ahead, -1 back, 0 neither
        self._sent_s = math.inf  # since when
        self._place = (math.inf, math.inf)  # that the pose has not left
        self._moved_s = -math.inf  # since when
        self._stands = 0  # the direction in which nothing moved; 0: none

    def sent(self, v: float, now_s: float) -> None:
        direction = _direction(v)
        if direction != self._direction:
            self._direction = direction
            self._sent_s = now_s

    def at(self, x: float, y: float, taken_s: float) -> None:
        if not math.hypot(x - self._place[0], y - self._place[1]) <= MOVED_M:
            self._place = (x, y)
            self._moved_s = taken_s
            self._stands = 0
        elif self._direction and taken_s - max(self._sent_s, self._moved_s) > self._limit_s:
            self._stands = self._direction

    def stands(self, asked_v: float) -> bool:
        """Whether the base must not move. asked_v: m/s, of the command; 0 where there is none."""
        if _direction(asked_v) != self._stands:
            self._stands = 0
        return self._stands != 0


def _direction(v: float) -> int:
    """1 ahead, -1 back, 0 where that is slow, or not finite."""
    return int(v >= DRIVING_MPS) - int(v <= -DRIVING_MPS)


@dataclass(eq=False)
class _Source:
    """A sensor that scans come from. start, width: its field of view, rad, when it was first heard."""

    frame: str
    start: float
    width: float
    taken_s: float = -math.inf
    newest: tuple[RangeScan, Pose] = field(init=False)

    def sends(self, frame: str, scan: RangeScan) -> bool:
        """Whether a scan is this sensor's. A full circle may begin anywhere."""
        if frame != self.frame or abs(scan.field - self.width) > SAME_RAD:
            return False
        circle = self.width > 2 * math.pi - SAME_RAD
        return circle or abs(math.remainder(scan.angle_min - self.start, 2 * math.pi)) <= SAME_RAD

    def __str__(self) -> str:
        first, last = (math.degrees(bearing) for bearing in (self.start, self.start + self.width))
        return f"frame {self.frame[:60]!r} and bearings from {first:.0f} to {last:.0f} degrees"


def mount_of(config: GateConfig) -> Mount:
    """Where the configuration says that the scan's sensor is on the base."""
    return Mount(config.sensor_x_m, config.sensor_y_m, math.radians(config.sensor_yaw_deg), config.sensor_flipped)
