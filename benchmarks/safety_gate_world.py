"""A robot among things that stand or move, seen by one camera, for benchmarks/safety_gate.py. Kinematic, no physics.

The robot is what config/default.yaml says of it; its base answers late and gains and loses speed as fast as told there.
Its camera looks ahead, 69 degrees wide, 15 times a second, 60 ms late, +-2 cm; odometry drifts by 2 %. Who drives wants
to reach a place in a straight line, sees nothing, and tries something else for a while when it does not get on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rarrl.config import GateConfig
from rarrl.range_scan import RangeScan
from rarrl.safety.free_space import FreeSpace, Pose
from rarrl.safety.gate import SafetyGate, Surroundings
from rarrl.types import GateAction, RobotCommand

STEP_S = 0.01  # seconds of a step of the simulation; the periods and delays below are in steps
CONTROL_STEPS = 5  # 20 Hz
ODOM_STEPS = 2  # 50 Hz
SCAN_STEPS = 7  # 14 Hz
SCAN_LATE = 6  # from the image to the scan
BASE_LATE = 10  # of GateConfig.latency_s = 0.15 s; the rest is the time between two commands
OBSERVED_S = 0.2  # before the command
FIELD_RAD = 1.2  # field of view of the scan
SECTORS = 31  # of the scan
RAYS = 9  # in each sector, so that thin things between two bearings are seen
RANGE_M = 6.0
ROOM_M = 4.0  # half a side
MOVER_MPS = 0.5  # top speed of things that move
SHY_M = 0.5  # things that move keep away so far from the robot; whether the robot does is the question
DRIFT = 0.02  # share by which odometry may misjudge speeds, either way


@dataclass
class World:
    """Discs in a square room. discs: (n, 3) x, y, radius; the last `movers` of them walk to `goals`."""

    discs: np.ndarray
    movers: int
    rng: np.random.Generator
    goals: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.goals = self.rng.uniform(-ROOM_M, ROOM_M, (self.movers, 2))

    @classmethod
    def draw(cls, rng: np.random.Generator, standing: int, movers: int) -> World:
        """The robot starts in the middle, with the room around it that its settings vouch for."""
        discs: list[tuple[float, float, float]] = []
        while len(discs) < standing + movers:
            x, y = rng.uniform(-ROOM_M, ROOM_M, 2)
            r = rng.uniform(0.03, 0.3) if len(discs) < standing else 0.25
            if math.hypot(x, y) > 1.1 + r:
                discs.append((x, y, r))
        return cls(np.array(discs), movers, rng)

    def walk(self, robot: Pose, config: GateConfig) -> None:
        """One step of those that move. They stop short of the robot, wherever it goes."""
        for i in range(self.movers):
            disc = self.discs[len(self.discs) - self.movers + i]
            way = self.goals[i] - disc[:2]
            distance = float(np.hypot(*way))
            if distance < 0.1:
                self.goals[i] = self.rng.uniform(-ROOM_M, ROOM_M, 2)
                continue
            there = np.array([*(disc[:2] + way / distance * MOVER_MPS * STEP_S), disc[2]])
            before, after = clearances(robot, config, np.stack([disc, there]))
            if after > SHY_M or after > before:
                disc[:] = there
            elif self.rng.random() < 0.02:
                self.goals[i] = self.rng.uniform(-ROOM_M, ROOM_M, 2)

    def ranges(self, sensor: Pose) -> np.ndarray:
        """(SECTORS,) how far each wedge is free: the least of some rays."""
        bearings = sensor[2] + FIELD_RAD * ((np.arange(SECTORS * RAYS) + 0.5) / (SECTORS * RAYS) - 0.5)
        ux = np.cos(bearings)[:, None]
        uy = np.sin(bearings)[:, None]
        dx = self.discs[:, 0] - sensor[0]
        dy = self.discs[:, 1] - sensor[1]
        r = self.discs[:, 2]
        along = ux * dx + uy * dy
        aside = np.abs(ux * dy - uy * dx)
        half = np.sqrt(np.maximum(r * r - aside * aside, 0.0))
        hit = np.where((aside < r) & (along > 0), along - half, np.inf).min(axis=1)

        with np.errstate(divide="ignore", invalid="ignore"):
            walls = np.minimum(
                *(((ROOM_M * np.sign(u[:, 0]) - s) / u[:, 0]) for u, s in ((ux, sensor[0]), (uy, sensor[1])))
            )

        return np.minimum(hit, walls).reshape(SECTORS, RAYS).min(axis=1)


def clearances(robot: Pose, config: GateConfig, discs: np.ndarray) -> np.ndarray:
    """(n,) distances between the footprint and discs ((n, 3) x, y, radius), metres; below 0: they overlap."""
    c, s = math.cos(robot[2]), math.sin(robot[2])
    dx = discs[:, 0] - robot[0]
    dy = discs[:, 1] - robot[1]
    x, y = c * dx + s * dy, c * dy - s * dx
    ahead = np.maximum(np.maximum(x - config.front_m, -config.rear_m - x), 0.0)
    gaps: np.ndarray = np.hypot(ahead, np.maximum(np.abs(y) - config.half_width_m, 0.0)) - discs[:, 2]
    return gaps


def wall_clearance(robot: Pose, config: GateConfig) -> float:
    """The least distance between the footprint's corners and the walls."""
    c, s = math.cos(robot[2]), math.sin(robot[2])
    corners = [(x, y) for x in (config.front_m, -config.rear_m) for y in (config.half_width_m, -config.half_width_m)]
    return min(ROOM_M - max(abs(robot[0] + c * x - s * y), abs(robot[1] + s * x + c * y)) for x, y in corners)


@dataclass
class Driver:
    """Straight to a goal, blindly; something else for a while after a second without progress."""

    rng: np.random.Generator
    goal: np.ndarray = field(default_factory=lambda: np.zeros(2))
    other: tuple[float, float] = (0.0, 0.0)
    other_until: float = -1.0
    stuck_since: float = 0.0

    def drive(self, robot: Pose, moving: bool, now: float) -> tuple[float, float]:
        """v and omega."""
        if moving:
            self.stuck_since = now
        way = self.goal - robot[:2]
        if np.hypot(*way) < 0.4:
            self.goal = self.rng.uniform(-ROOM_M, ROOM_M, 2)
        if now - self.stuck_since > 1.0:
            self.goal = self.rng.uniform(-ROOM_M, ROOM_M, 2)
            self.other = (float(self.rng.choice([-0.1, 0.0, 0.3])), float(self.rng.uniform(-1, 1)))
            self.other_until = now + self.rng.uniform(0.5, 3.0)
            self.stuck_since = now

        if now < self.other_until:
            return self.other

        turn = math.remainder(math.atan2(way[1], way[0]) - robot[2], 2 * math.pi)
        return (0.5 if abs(turn) < 1.0 else 0.0), min(max(1.5 * turn, -1.0), 1.0)


@dataclass(frozen=True)
class DriveStatistics:
    """What came of one ride. hit: what the robot ran into: "disc", "wall", "mover" or "", nothing; behind: that stood
    outside the camera's view. way_m: how far it came. least_m: how near it came to anything. stops: how often the gate
    said zero."""

    hit: str
    behind: bool
    way_m: float
    least_m: float
    stops: int


def ride(seed: int, config: GateConfig, seconds: float, standing: int, movers: int, gated: bool) -> DriveStatistics:
    """One ride through a world of its own; it ends at the first collision."""
    rng = np.random.default_rng(seed)
    world = World.draw(rng, standing, movers)
    driver = Driver(np.random.default_rng(seed + 10**6))
    gate = SafetyGate(config)
    free: FreeSpace = gate.free_space()
    x = y = yaw = v = omega = 0.0
    odom = [0.0, 0.0, 0.0]
    skew = 1 + rng.uniform(-DRIFT, DRIFT, 2)
    sent: list[tuple[float, float]] = []
    odoms: list[Pose] = []
    seen: list[tuple[int, RangeScan, Pose]] = []
    taken = -math.inf
    vouched = False

    stops = 0
    way = 0.0
    least = math.inf
    command = (0.0, 0.0)
    for k in range(round(seconds / STEP_S)):
        now = k * STEP_S
        robot: Pose = (x, y, yaw)
        if k % ODOM_STEPS == 0:
            odoms.append((odom[0], odom[1], odom[2]))
        if k % SCAN_STEPS == 0:
            c, s = math.cos(yaw), math.sin(yaw)
            ranges = world.ranges((x + c * config.sensor_x_m, y + s * config.sensor_x_m, yaw))
            ranges = ranges + rng.uniform(-0.02, 0.02, SECTORS)
            ranges[ranges >= RANGE_M] = math.inf
            first = -FIELD_RAD / 2 + FIELD_RAD / SECTORS / 2
            seen.append((k, RangeScan(first, FIELD_RAD / SECTORS, ranges, RANGE_M), odoms[-1]))

        if seen and k >= seen[0][0] + SCAN_LATE:
            at, scan, pose = seen.pop(0)
            free.move(odoms[-1])
            if not vouched:
                free.vouch(config.assumed_clear_m, now)
                vouched = True
            c, s = math.cos(pose[2]), math.sin(pose[2])
            taken = at * STEP_S
            sensor = (pose[0] + c * config.sensor_x_m, pose[1] + s * config.sensor_x_m, pose[2])
            free.see(scan, sensor, at_s=taken)

        if k % CONTROL_STEPS == 0:
            wish = driver.drive(robot, abs(v) + abs(omega) > 0.02, now)
            if gated:
                free.move(odoms[-1])
                around = Surroundings(free, taken, now - now % (ODOM_STEPS * STEP_S)) if vouched else None
                result = gate.check(RobotCommand(*wish, now - OBSERVED_S, now), around, now)
                stops += result.action is GateAction.STOP
                command = (result.v, result.omega)
            else:
                command = wish

        sent.append(command)
        target = sent[k - BASE_LATE] if k >= BASE_LATE else (0.0, 0.0)
        v = _follow(v, target[0], 2 * config.accel_mps2, config.brake_mps2)
        omega = _follow(omega, target[1], 2 * config.turn_accel_radps2, config.turn_brake_radps2)
        x, y = x + v * math.cos(yaw) * STEP_S, y + v * math.sin(yaw) * STEP_S
        yaw += omega * STEP_S
        odom[0] += skew[0] * v * math.cos(odom[2]) * STEP_S
        odom[1] += skew[0] * v * math.sin(odom[2]) * STEP_S
        odom[2] += skew[1] * omega * STEP_S
        way += abs(v) * STEP_S
        world.walk((x, y, yaw), config)
        gaps = np.append(clearances((x, y, yaw), config, world.discs), wall_clearance((x, y, yaw), config))
        nearest = int(np.argmin(gaps))
        least = min(least, float(gaps[nearest]))
        if gaps[nearest] < 0:
            kind = "wall" if nearest == standing + movers else "mover" if nearest >= standing else "disc"
            behind = False
            if kind != "wall":
                dx = world.discs[nearest, 0] - x
                dy = world.discs[nearest, 1] - y
                behind = abs(math.remainder(math.atan2(dy, dx) - yaw, 2 * math.pi)) > FIELD_RAD / 2
            return DriveStatistics(kind, behind, way, least, stops)

    return DriveStatistics("", False, way, least, stops)


def _follow(now: float, target: float, gain: float, loss: float) -> float:
    step = STEP_S * (gain if now * target >= 0 and abs(target) > abs(now) else loss)
    return min(max(target, now - step), now + step)
