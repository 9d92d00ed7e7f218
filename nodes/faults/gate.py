"""Attempts to break the invariants 1 to 4 of docs/explanation/safety.md, in this process and by fake clocks.

Each is judged by an oracle that knows how the attempt was made, not by the gate's own words: `unsafe` is what came out
and should not have, `false_stops` good commands that did not pass although what came before them was good too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rarrl.config import GateConfig
from rarrl.range_scan import RangeScan
from rarrl.safety.free_space import FreeSpace
from rarrl.safety.gate import SafetyGate, Surroundings
from rarrl.safety.timeline import Timeline
from rarrl.types import RobotCommand

from .row import Row, Trial

CONFIG = GateConfig(sensor_x_m=0.2)
TICK = 1 / CONFIG.rate_hz
FIELD = 1.2  # rad, field of view of the scan
SECTORS = 31  # of the scan
FAR = 6.0  # m, its range
STOP_S = 0.5  # seconds after which the base must be at rest when its inputs go silent or bad
TOUCH_M = 0.01  # a fifth of a cell of the gate's map: the oracle's footprint is smaller by so much


def scan_of(ranges: np.ndarray) -> RangeScan:
    return RangeScan(-FIELD / 2 + FIELD / SECTORS / 2, FIELD / SECTORS, ranges, FAR)


def open_space(gate: SafetyGate, ranges: np.ndarray | None = None) -> FreeSpace:
    """A map around a robot that stands at the origin, after one scan."""
    free = gate.free_space()
    free.move((0.0, 0.0, 0.0))
    free.vouch(CONFIG.assumed_clear_m)
    free.see(scan_of(np.full(SECTORS, 5.0) if ranges is None else ranges), (CONFIG.sensor_x_m, CONFIG.sensor_y_m, 0.0))
    return free


class Moving:
    """A gate whose robot moves already, in a wide open space."""

    def __init__(self, free: FreeSpace, v: float, omega: float, ticks: int) -> None:
        self.gate = SafetyGate(CONFIG)
        self.free = free
        self.now = 100.0
        for _ in range(ticks):
            self.now += TICK
            self.last = self.gate.check(self.command(v, omega), self.around(), self.now)
        self.now += TICK

    def command(self, v: float, omega: float) -> RobotCommand:
        return RobotCommand(v, omega, self.now - 0.1, self.now)

    def around(self, age: float = 0.0) -> Surroundings:
        return Surroundings(self.free, self.now - age, self.now)


Attempt = Callable[[np.random.Generator, FreeSpace], Trial]


def judged(unsafe: bool, refused: bool = False, nan: bool = False, outputs: int = 1) -> Trial:
    """What came of an attempt. refused: a good command. nan: what came out is no number."""
    counts = {"false_stops": int(refused), "nan_published": int(nan)}
    return Trial(outputs=outputs, unsafe=int(unsafe), counts=counts)


def too_old(rng: np.random.Generator, free: FreeSpace) -> Trial:
    """Invariant 1: an observation or a command of some age, while the wall clock is set by some jump."""
    robot = Moving(free, 0.3, 0.0, 8)
    limit = CONFIG.max_observation_age_s
    stale = rng.random() < 0.5
    age = float(rng.uniform(limit + 1e-3, 6.0) if stale else rng.uniform(0.0, 0.6 * limit))
    jump = float(rng.choice([0.0, 0.0, 0.3, -0.3, 2.0, -2.0, 3600.0, -3600.0, rng.normal(0, 2)]))
    jumped = robot.now - float(rng.uniform(0.0, 1.0))
    wall = 1e6 + float(rng.uniform(0, 1e6))

    def clock(at: float) -> float:
        return wall + at + (jump if at >= jumped else 0.0)

    line = Timeline()
    for k in range(40, -1, -1):  # the node looks at each tick
        at = robot.now - k * TICK - 0.001
        line.look(clock(at), at)
    line.look(clock(robot.now), robot.now)
    observed = robot.now - age
    last = observed - float(rng.choice([TICK, 0.2, 5.0]))  # one publisher's messages come in order
    taken = line.taken(clock(observed), robot.now, last)
    heard = robot.now
    late = not stale and rng.random() < 0.3
    if late:
        heard -= float(rng.uniform(CONFIG.max_command_age_s + 1e-3, 3.0))
    command = RobotCommand(0.3, 0.0, taken, heard)
    used = taken >= last and not math.isinf(taken)  # else the node drops it
    result = robot.gate.check(command if used else None, robot.around(), robot.now)
    moves = result.v != 0.0 or result.omega != 0.0

    bad = stale or late
    trial = judged(bad and moves, not bad and not moves and observed - last < 1.0)
    return replace(trial, counts={**trial.counts, "stale_applied": trial.unsafe})


NASTY = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 1e6, 0.5000001, 0.6000001, -0.2000001, 1.2000001)


def not_a_command(rng: np.random.Generator, free: FreeSpace) -> Trial:
    """Invariant 2: numbers that are none, or out of limits."""
    before = rng.uniform(-0.1, 0.5), rng.uniform(-1, 1)
    robot = Moving(free, *before, ticks=int(rng.integers(0, 12)))
    sent = (robot.last.v, robot.last.omega) if hasattr(robot, "last") else (0.0, 0.0)
    v, omega = (float(rng.choice(NASTY)) if rng.random() < 0.4 else float(rng.normal(0, scale)) for scale in (0.4, 0.8))
    result = robot.gate.check(robot.command(v, omega), robot.around(), robot.now)
    slack = CONFIG.clamp_margin * CONFIG.max_speed_mps
    bad = not (
        -CONFIG.max_reverse_mps - slack <= v <= CONFIG.max_speed_mps + slack
        and abs(omega) <= CONFIG.max_turn_radps * (1 + CONFIG.clamp_margin)
    )
    moves = result.v != 0.0 or result.omega != 0.0
    eps = 1e-9
    nan = not (math.isfinite(result.v) and math.isfinite(result.omega))
    unsafe = (
        nan
        or not -CONFIG.max_reverse_mps - eps <= result.v <= CONFIG.max_speed_mps + eps
        or abs(result.omega) > CONFIG.max_turn_radps + eps
        or abs(result.v) > abs(sent[0]) + CONFIG.accel_mps2 * TICK + eps
        or abs(result.omega) > abs(sent[1]) + CONFIG.turn_accel_radps2 * TICK + eps
        or (bad and moves)
    )
    still = abs(v) < 0.01 and abs(omega) < 0.01

    return judged(unsafe, not bad and not still and result.reason.of_command, nan)


def unseen(rng: np.random.Generator, _: FreeSpace) -> Trial:
    """Invariant 3: little, old or no information. What moves must be able to stop where was seen, or vouched for.

    The oracle knows the scan's wedges; it does not use the gate's map."""
    ranges = rng.uniform(0.0, 3.0, SECTORS) if rng.random() < 0.5 else np.full(SECTORS, rng.uniform(0.2, 5.0))
    ranges[rng.random(SECTORS) < rng.choice([0.0, 0.1, 0.5])] = rng.choice([math.nan, 0.0, -1.0, math.inf])
    robot = Moving(open_space(SafetyGate(CONFIG), ranges), 0.0, 0.0, 1)
    kind = rng.choice(["seen", "none", "old", "forgotten", "pose old"])
    around: Surroundings | None = robot.around()
    v, omega = float(rng.uniform(-0.1, 0.5)), float(rng.uniform(-1, 1))
    unsafe = False
    outputs = int(rng.integers(1, 16))
    if kind == "forgotten":
        robot.free.forget()
    for _tick in range(outputs):  # the robot does not move from its place: the worst is its last speed
        robot.now += TICK
        around = robot.around(age=0.0 if kind != "old" else float(rng.uniform(0.401, 5.0)))
        if kind == "pose old":
            around = Surroundings(robot.free, robot.now, robot.now - float(rng.uniform(0.401, 5.0)))
        result = robot.gate.check(robot.command(v, omega), None if kind == "none" else around, robot.now)
        if result.v or result.omega:
            unsafe |= kind != "seen" or leaves_what_was_seen(result.v, result.omega, ranges)

    return judged(unsafe, outputs=outputs)


def leaves_what_was_seen(v: float, omega: float, ranges: np.ndarray) -> bool:
    """Whether the footprint, while the robot stops from (v, omega) on its arc, touches what no wedge shows as free."""
    c = CONFIG
    front = c.front_m - TOUCH_M
    rear = c.rear_m - TOUCH_M
    half = c.half_width_m - TOUCH_M
    rate = min(c.brake_mps2 / max(abs(v), 1e-12), c.turn_brake_radps2 / max(abs(omega), 1e-12))
    until = c.latency_s + 1 / (2 * rate)
    side = np.linspace(-1, 1, 41)
    along = (front + rear) / 2 * side + (front - rear) / 2
    xs = np.concatenate([along, along, np.full(41, front), np.full(41, -rear)])
    ys = np.concatenate([np.full(41, half), np.full(41, -half), half * side, half * side])

    x = y = yaw = 0.0
    n = 60
    for _ in range(n):  # small steps along the arc
        yaw += omega * until / n / 2
        x, y = x + v * until / n * math.cos(yaw), y + v * until / n * math.sin(yaw)
        yaw += omega * until / n / 2
        px = x + math.cos(yaw) * xs - math.sin(yaw) * ys
        py = y + math.sin(yaw) * xs + math.cos(yaw) * ys
        here = (px <= c.front_m) & (px >= -c.rear_m) & (np.abs(py) <= c.half_width_m)
        dx = px - c.sensor_x_m
        dy = py - c.sensor_y_m
        wedge = np.floor((np.arctan2(dy, dx) + FIELD / 2) / (FIELD / SECTORS)).astype(int)
        in_view = (wedge >= 0) & (wedge < SECTORS)
        reach = np.nan_to_num(np.minimum(ranges, FAR), nan=0.0)[np.clip(wedge, 0, SECTORS - 1)]
        seen = np.where(in_view, np.hypot(dx, dy) < reach, np.hypot(px, py) < c.assumed_clear_m + c.cell_m)
        if (~seen & ~here).any():
            return True

    return False


def silence(rng: np.random.Generator, free: FreeSpace) -> Trial:
    """Invariant 4: one of the three falls silent; the gate's own ticks come early and late."""
    robot = Moving(free, 0.3, 0.0, 10)
    which = rng.choice(["command", "scan", "odom"])
    at = {"command": robot.now, "scan": robot.now, "odom": robot.now}

    end = last = robot.now
    noticed: float | None = None
    refused = False
    outputs = 0
    while robot.now - end < 1.0:
        robot.now += float(rng.uniform(0.02, 0.09))
        for stream in at:
            if stream != which:
                at[stream] = robot.now - float(rng.uniform(0.0, 0.1))
        command = RobotCommand(0.3, 0.0, at["command"] - 0.1, at["command"])
        result = robot.gate.check(command, Surroundings(free, at["scan"], at["odom"]), robot.now)
        outputs += 1
        if result.v or result.omega:
            last = robot.now
        elif noticed is None:
            noticed = robot.now
        refused |= robot.now - end < 0.2 and result.v == 0.0

    moved = last - end > STOP_S - 0.09  # what is sent then holds until the next tick
    detect_s = None if noticed is None else noticed - end
    return replace(judged(moved, refused, outputs=outputs), detect_s=detect_s, stop_s=last - end)


def played(attempt: Attempt) -> Callable[[int, int], list[Trial]]:
    """Plays an attempt many times in one open space."""

    def play(trials: int, seed: int) -> list[Trial]:
        rng = np.random.default_rng(seed)
        free = open_space(SafetyGate(CONFIG))
        return [attempt(rng, free) for _ in range(trials)]

    return play


def rows() -> tuple[Row, ...]:
    """A row for each of the four invariants."""

    def row(name: str, fault: str, injected: str, attempt: Attempt, **more: object) -> Row:
        expected = "zero for what is bad, and what is good passes"
        return Row(name, "gate", fault, injected, expected, "in-process", played(attempt), 3000, 300, **more)  # type: ignore[arg-type]

    return (
        row(
            "C3-gate", "old observations and commands, wall clock set", "stamps to 6 s old, clock jumps to 1 h", too_old
        ),
        row(
            "P2-gate",
            "commands that are no numbers, out of limits, or jump",
            "drawn v and omega, some nasty",
            not_a_command,
        ),
        row("C7-gate", "places that no scan shows as free", "scans with holes; maps old, forgotten, or none", unseen),
        row(
            "C1-gate",
            "one of command, scan and odometry falls silent",
            "no more of it; ticks early and late",
            silence,
            stops=True,
            limits={"stop_s": STOP_S, "detect_s": STOP_S},
        ),
    )
