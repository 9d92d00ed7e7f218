"""The gate: a command goes in, what may move the robot comes out. docs/explanation/safety.md says what is promised.

No learning, no ROS, no clock of its own: all times are seconds on the steady clock, given by the caller. Whatever is
missing, old, not finite or unexpected ends in zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rarrl.config import GateConfig
from rarrl.errors import InputError
from rarrl.safety.free_space import FreeSpace
from rarrl.types import GateAction, GateReason, GateResult, RobotCommand

TINY = 1e-6
"""m/s and rad/s. Less than that is zero: rounding of a command that was computed, not asked for."""
ROUND_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1)
"""Of the speed that was asked for, tried in turn by a round base: each costs a test of the whole arc."""
LOOK_S = 3.0
"""Seconds. No look takes longer: half a turn at 1 rad/s does not."""
NO_LOOK = (0.0, -math.inf)
STANDSTILL = 0.01
"""Share of a command. Less than that is not worth moving: bases do not follow a few mm/s."""
MAX_CELLS = 400
"""From the robot to the end of the map: beyond that a check takes longer than a tick of 20 Hz."""
OTHER_AXES = 0.001
"""m/s and rad/s. So little on an axis that the base lacks is left out: rounding of a turned vector, not a wish."""
EARLY_S = 0.05
"""Seconds that what came may be ahead of now: callers read the clock one after the other."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known around the robot. free: moved to where it is. seen_s: when the newest scan was taken; posed_s: when
    the robot was at that place (without odometry: seen_s)."""

    free: FreeSpace
    seen_s: float
    posed_s: float


@dataclass(frozen=True)
class Joint:
    """An arm's joint: its range (rad) and its speed (rad/s)."""

    name: str
    low: float
    high: float
    speed: float


@dataclass(frozen=True, eq=False)
class JointResult:
    """Rows that an arm may run: positions (n, joints) in the order of the configuration, at times (n,), seconds from
    now. Both None where they are refused; reason says why."""

    positions: np.ndarray | None
    times: np.ndarray | None
    reason: str = ""


class SafetyGate:
    """Judges commands one by one; remembers only how fast the robot may still be.

    Raises: InputError for settings that contradict one another."""

    def __init__(self, config: GateConfig) -> None:
        self.config = c = config
        if c.decel_mps2 > c.brake_mps2 or c.turn_accel_radps2 > c.turn_brake_radps2:
            raise InputError(
                "config: gate: decel_mps2 must not be above brake_mps2, nor turn_accel_radps2 above turn_brake_radps2: "
                "comfort asks for less than the brakes reach"
            )
        self.radius_m = c.radius_m or math.hypot(max(c.front_m, c.rear_m), c.half_width_m)
        stopping_m = c.max_speed_mps * (c.latency_s + c.max_obstacle_age_s) + c.max_speed_mps**2 / (2 * c.decel_mps2)
        self.reach_m = self.radius_m + c.margin_m + max(stopping_m, c.assumed_clear_m) + 2 * c.cell_m
        if self.reach_m > MAX_CELLS * c.cell_m:
            raise InputError(
                f"config: gate.cell_m: {c.cell_m} m is too fine for a map of {self.reach_m:.1f} m; "
                f"allowed here: at least {self.reach_m / MAX_CELLS:.2g}, or lower max_speed_mps"
            )
        self.joints = parse_joints(c.joints)
        self._v = self._omega = 0.0  # the robot moves at most so fast
        self._sent = (0.0, 0.0)
        self._checked_s = -math.inf
        self._look = NO_LOOK  # (yaw, until when): a place that blocks and is being looked at

    def free_space(self) -> FreeSpace:
        """An empty map of the size that this gate needs."""
        return FreeSpace(self.reach_m, self.config.memory_m, self.config.cell_m)

    def check(
        self,
        command: RobotCommand | None,
        around: Surroundings | None,
        now_s: float,
        veto: GateReason | None = None,
        why: str = "",
    ) -> GateResult:
        """What may be sent to the base now. veto: why it must stand, whatever was asked; why: the detail of that. Never
        raises: an error in here is a stop."""
        try:
            dt = min(max(now_s - self._checked_s, 0.0), 1 / self.config.rate_hz)
            self._settle(dt)

            result = GateResult.stop(veto, why) if veto else self._judge(command, around, now_s, dt)
            if not (math.isfinite(result.v) and math.isfinite(result.omega)):
                result = GateResult.stop(GateReason.INTERNAL_ERROR, f"the gate came to {result.v}, {result.omega}")
        except Exception as error:  # whatever it is, the robot stands
            result = GateResult.stop(GateReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}"[:200])
        self._checked_s = now_s
        self._sent = (result.v, result.omega)
        return result

    def _settle(self, dt: float) -> None:
        """How fast the robot may be: what it was sent, or what its brakes have left of what it was before."""
        c = self.config
        v, omega = self._sent
        self._v = _toward(self._v, v, c.brake_mps2 * dt)
        self._omega = _toward(self._omega, omega, c.turn_brake_radps2 * dt)

    def _judge(self, command: RobotCommand | None, around: Surroundings | None, now_s: float, dt: float) -> GateResult:
        if command is None:
            return GateResult.stop(GateReason.NO_COMMAND)
        if command.fault:
            return GateResult.stop(GateReason.COMMAND_UNFIT, command.fault)
        if not (math.isfinite(command.v) and math.isfinite(command.omega)):
            return GateResult.stop(GateReason.COMMAND_NOT_FINITE, f"v {command.v}, omega {command.omega}")
        if why := self._too_old(command.observed_s, command.heard_s, now_s):
            return GateResult.stop(*why)
        limited = self._limit(command.v, command.omega)
        if limited is None:
            return GateResult.stop(GateReason.COMMAND_OUT_OF_LIMITS, f"v {command.v:.3g}, omega {command.omega:.3g}")
        if around is None:
            return GateResult.stop(GateReason.NO_OBSTACLES_KNOWN)

        if self._v >= 0:  # backwards, it would take its own margin for a place where nobody can be, and creep on
            around.free.cover(self._stands_in, around.posed_s)
        for at, reason in (
            (around.seen_s, GateReason.OBSTACLES_TOO_OLD),
            (around.posed_s, GateReason.POSE_TOO_OLD),
        ):
            age = now_s - at
            if not -EARLY_S <= age <= self.config.max_obstacle_age_s:  # NaN too
                return GateResult.stop(reason, f"{age:.2f} s")

        return self._move(command, *self._gently(*limited, dt), around, now_s, dt)

    def _too_old(self, observed_s: float, heard_s: float, now_s: float) -> tuple[GateReason, str] | None:
        """Why a command is refused for its age, and the age; None where it is fresh."""
        c = self.config
        for at, limit, early, late in (
            (heard_s, c.max_command_age_s, GateReason.COMMAND_FROM_FUTURE, GateReason.COMMAND_TOO_OLD),
            (observed_s, c.max_observation_age_s, GateReason.OBSERVATION_FROM_FUTURE, GateReason.OBSERVATION_TOO_OLD),
        ):
            age = now_s - at
            if not age >= -EARLY_S:  # NaN too
                return early, f"{-age:.2f} s"
            if age > limit:
                return late, f"{age:.2f} s"
        return None

    def _limit(self, v: float, omega: float) -> tuple[float, float] | None:
        """Within the limits; None where the command lies so far beyond that it is not to be trusted."""
        c = self.config
        slack = c.clamp_margin * c.max_speed_mps
        turn = (1 + c.clamp_margin) * c.max_turn_radps
        if not (-c.max_reverse_mps - slack <= v <= c.max_speed_mps + slack and abs(omega) <= turn):
            return None
        return min(max(v, -c.max_reverse_mps), c.max_speed_mps), min(max(omega, -c.max_turn_radps), c.max_turn_radps)

    def _gently(self, v: float, omega: float, dt: float) -> tuple[float, float]:
        """No faster than the robot can follow in comfort."""
        c = self.config
        gain = c.accel_mps2 * dt
        loss = c.decel_mps2 * dt
        if self._v < 0:  # backwards, a larger v is slower
            gain, loss = loss, gain
        turn = c.turn_accel_radps2 * dt
        return (
            min(max(v, self._v - loss), self._v + gain),
            min(max(omega, self._omega - turn), self._omega + turn),
        )

    def _move(
        self, command: RobotCommand, v: float, omega: float, around: Surroundings, now_s: float, dt: float
    ) -> GateResult:
        """As much of (v, omega) as leaves room to stop on its arc."""
        if abs(v) < TINY and abs(omega) < TINY:
            if command.v or command.omega:
                return GateResult.limited(0.0, 0.0, GateReason.LIMITS)
            return GateResult(0.0, 0.0, GateAction.PASS)
        c = self.config
        delay = c.latency_s + max(now_s - around.posed_s, 0.0)  # driven already when the brakes begin
        if c.radius_m:
            return self._move_round(command, v, omega, around.free, delay, now_s, dt)

        comfort = self._rate(v, omega, c.decel_mps2, c.turn_accel_radps2)
        brake = self._rate(v, omega, c.brake_mps2, c.turn_brake_radps2)
        enough = delay + 1 / (2 * comfort)
        room, _ = self._room(v, omega, enough, around.free, now_s)
        share = _share(room, comfort, delay) if room < enough else 1.0

        # The robot cannot be slower than its brakes allow; it stays on this arc only where those suffice to end on it.
        least = max(
            (abs(now) - rate * dt) / abs(new) if new else 0.0  # comfort comes to 0 no sooner than the brakes
            for now, new, rate in ((self._v, v, c.brake_mps2), (self._omega, omega, c.turn_brake_radps2))
        )
        detail = f"free for {room * abs(v):.2f} m and {room * abs(omega):.2f} rad"
        if share < least:
            if _share(room, brake, delay) < least:
                return GateResult.stop(GateReason.BRAKING, detail)
            share = least
        if share < STANDSTILL:
            return GateResult.stop(GateReason.BLOCKED, detail)
        if share < 1.0:
            return GateResult.limited(share * v, share * omega, GateReason.OBSTACLE_NEAR, detail)
        if (v, omega) == (command.v, command.omega):
            return GateResult(v, omega, GateAction.PASS)
        return GateResult.limited(v, omega, GateReason.LIMITS, f"of v {command.v:.3g}, omega {command.omega:.3g}")

    def _move_round(
        self, command: RobotCommand, v: float, omega: float, free: FreeSpace, delay: float, now_s: float, dt: float
    ) -> GateResult:
        """The same for a round base, which may always turn: its distance to everything stays. Only v is given up. Where
        a place blocks that is not in view, the base turns to look at it, whatever turn is asked for meanwhile."""
        c = self.config
        if not (command.v > 0 or abs(command.omega) > TINY):
            self._look = NO_LOOK  # it is not asked to go anywhere
        if self._v <= TINY and now_s < self._look[1]:
            if not free.in_view(self._look[0] - free.yaw):
                return self._looking(free, dt)
            self._look = NO_LOOK
        room = blocked_by = 0.0
        for share in ROUND_SHARES:
            slow = share * v
            if abs(self._v) - abs(slow) > c.brake_mps2 * dt:  # it cannot be so slow so soon
                return GateResult.stop(GateReason.BRAKING, f"free for {room * abs(v):.2f} m")
            way_s = delay + abs(slow) / (2 * (c.decel_mps2 if abs(slow) >= abs(self._v) else c.brake_mps2))
            room, blocked_by = self._room(slow, omega, way_s, free, now_s)
            if room < way_s:
                continue
            if share < 1.0:
                return GateResult.limited(slow, omega, GateReason.OBSTACLE_NEAR, f"free for {room * slow:.2f} m")
            if (v, omega) == (command.v, command.omega):
                return GateResult(v, omega, GateAction.PASS)
            return GateResult.limited(v, omega, GateReason.LIMITS, f"of {command.v:.3g}, {command.omega:.3g}")
        if abs(self._v) > c.brake_mps2 * dt:
            return GateResult.stop(GateReason.BRAKING, "no room ahead")
        if abs(omega) < c.look_radps and command.v > 0 and not free.in_view(blocked_by):
            self._look = (free.yaw + blocked_by, now_s + LOOK_S)
            return self._looking(free, dt)
        if abs(omega) > TINY:
            return GateResult.limited(0.0, omega, GateReason.TURNING_ONLY, f"blocked at {blocked_by:.2f} rad")
        return GateResult.stop(GateReason.BLOCKED, f"at {blocked_by:.2f} rad")

    def _looking(self, free: FreeSpace, dt: float) -> GateResult:
        c = self.config
        bearing = math.remainder(self._look[0] - free.yaw, 2 * math.pi)
        turn = _toward(self._omega, math.copysign(c.look_radps, bearing), c.turn_accel_radps2 * dt)
        return GateResult.limited(0.0, turn, GateReason.LOOKING, f"at {bearing:.2f} rad")

    @staticmethod
    def _rate(v: float, omega: float, linear: float, angular: float) -> float:
        """Which share of (v, omega) the brakes take away each second, on the arc."""
        return min(linear / abs(v) if v else math.inf, angular / abs(omega) if omega else math.inf)

    def _stands_in(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether the robot, with its margin, stands in cells whose middles are at x, y (robot's frame)."""
        within: np.ndarray = self._gap(x, y) <= self.config.margin_m
        return within

    def _room(self, v: float, omega: float, seconds: float, free: FreeSpace, now_s: float) -> tuple[float, float]:
        """For how many of `seconds` the robot may move with (v, omega): its footprint leaves free space nowhere, and
        keeps the margin, or comes no nearer where it stands too near already. And the bearing, rad, of what ends it.

        Backwards it goes only where nobody can have come to within `memory_s`: what looks ahead sees nobody come."""
        c = self.config
        reach = abs(v) * seconds + self.radius_m + c.margin_m + 2 * c.cell_m
        since_s = now_s - c.memory_s if v < 0 else -math.inf
        cells = free.edges(self.radius_m + c.margin_m + 2 * c.cell_m, since_s)
        cells = cells[np.hypot(cells[:, 0], cells[:, 1]) <= reach]
        gap = self._gap(cells[:, 0], cells[:, 1])
        beside = gap > -c.cell_m / 2  # what is under the robot is the robot
        cells = cells[beside]
        gap = gap[beside]
        keep = np.minimum(gap, c.margin_m) - 1e-6
        steps = max(1, math.ceil((abs(v) + abs(omega) * self.radius_m) * seconds / (c.cell_m / 2)))
        u = seconds * np.arange(1, steps + 1)[:, None] / steps
        yaw = omega * u
        # sinc keeps the arc's formulas for a straight line too: no division by omega.
        chord = v * u * np.sinc(yaw / (2 * math.pi))
        dx = cells[:, 0] - chord * np.cos(yaw / 2)
        dy = cells[:, 1] - chord * np.sin(yaw / 2)
        gaps = self._gap(np.cos(yaw) * dx + np.sin(yaw) * dy, np.cos(yaw) * dy - np.sin(yaw) * dx)
        hits = gaps < keep
        hit = np.flatnonzero(hits.any(axis=1))
        if not len(hit):
            return seconds, 0.0
        x, y = cells[int(hits[hit[0]].argmax())]
        return float(u[hit[0] - 1, 0] if hit[0] else 0.0), math.atan2(y, x)

    def _gap(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """From the footprint to the near sides of cells whose middles are at x, y (robot's frame)."""
        c = self.config
        if c.radius_m:
            round_gap: np.ndarray = np.hypot(x, y) - c.radius_m - c.cell_m / 2
            return round_gap
        ahead = np.maximum(np.maximum(x - c.front_m, -c.rear_m - x), 0.0)
        gap: np.ndarray = np.hypot(ahead, np.maximum(np.abs(y) - c.half_width_m, 0.0)) - c.cell_m / 2
        return gap

    def check_joints(
        self,
        names: list[str],
        positions: np.ndarray,
        times: np.ndarray,
        measured: dict[str, float],
        measured_s: float,
        observed_s: float,
        heard_s: float,
        now_s: float,
    ) -> JointResult:
        """What of a chunk of joint positions may be sent to an arm now: only rows within `max_command_age_s`, so that
        an arm whose gate falls silent stands still by itself. Never raises.

        positions: (n, len(names)), rad. times: (n,), seconds, increasing. measured: where the joints were at
        measured_s, rad, by name."""
        try:
            return self._judge_joints(names, positions, times, measured, measured_s, observed_s, heard_s, now_s)
        except Exception as error:
            return JointResult(None, None, f"internal error: {type(error).__name__}: {error}"[:200])

    def _judge_joints(
        self,
        names: list[str],
        positions: np.ndarray,
        times: np.ndarray,
        measured: dict[str, float],
        measured_s: float,
        observed_s: float,
        heard_s: float,
        now_s: float,
    ) -> JointResult:
        def refuse(why: str) -> JointResult:
            return JointResult(None, None, why)

        c = self.config
        joints = self.joints
        if why := self._too_old(observed_s, heard_s, now_s):
            return refuse(": ".join(why))
        if not joints or sorted(names) != sorted(j.name for j in joints):
            return refuse(f"joints {', '.join(names)[:100]} are not those of gate.joints")
        if positions.shape != (len(times), len(names)) or not len(times):
            return refuse(f"rows of shape {positions.shape} for {len(times)} times and {len(names)} joints")
        if not (np.isfinite(positions).all() and np.isfinite(times).all()):  # also in rows that would not be sent
            return refuse("not finite")
        if times[0] < 0 or (np.diff(times) <= 0).any():
            return refuse("times that do not increase")
        if missing := [name for name in names if name not in measured]:
            return refuse(f"no joint state of {', '.join(missing)[:100]}")
        if not now_s - measured_s <= c.max_obstacle_age_s:
            return refuse(f"joint states too old: {now_s - measured_s:.2f} s, at most {c.max_obstacle_age_s} s")

        rows = positions[:, [names.index(j.name) for j in joints]].astype(np.float64)
        low, high, speed = (np.array([getattr(j, what) for j in joints]) for what in ("low", "high", "speed"))
        slack = c.clamp_margin * (high - low)
        if ((rows < low - slack) | (rows > high + slack)).any():
            return refuse("out of limits")

        rows = np.clip(rows, low, high)
        start = np.array([measured[j.name] for j in joints])
        steps = np.diff(np.vstack([start, rows]), axis=0)
        seconds = np.diff(np.concatenate([[-c.latency_s], np.maximum(times, 1 / c.rate_hz)]))
        if not (np.abs(steps) <= speed * np.maximum(seconds, 1e-9)[:, None] * (1 + c.clamp_margin)).all():
            return refuse("too fast")

        near = times <= c.max_command_age_s
        if not near[0]:
            return refuse("no row within max_command_age_s")
        return JointResult(rows[near], np.maximum(times[near], 1 / c.rate_hz))


def planar(linear: tuple[float, float, float], angular: tuple[float, float, float]) -> tuple[float, float, str]:
    """(v, omega) of a twist for a base that only drives ahead and turns, and what is wrong with it, "" if nothing is.

    >>> planar((0.2, 0.0, 0.0), (0.0, 0.0, 0.5))
    (0.2, 0.5, '')
    >>> planar((0.2, 0.02, 0.0), (0.0, 0.0, 0.5))[2]
    'linear.y is 0.02 m/s, but the base only drives ahead and turns; up to 0.001 is ignored'
    """
    v = linear[0]
    omega = angular[2]
    others = {"linear.y": linear[1], "linear.z": linear[2], "angular.x": angular[0], "angular.y": angular[1]}
    for name, value in others.items():
        if not math.isfinite(value):
            return v, omega, f"{name} is {value}, which is not finite"
        if abs(value) > OTHER_AXES:
            unit = "m/s" if name.startswith("linear") else "rad/s"
            only = f"but the base only drives ahead and turns; up to {OTHER_AXES} is ignored"
            return v, omega, f"{name} is {value:.3g} {unit}, {only}"
    return v, omega, ""


def parse_joints(text: str) -> tuple[Joint, ...]:
    """The joints of an arm. Raises: InputError.

    >>> parse_joints("shoulder:-1.5:1.5:2, elbow:0:2.5:2")[1]
    Joint(name='elbow', low=0.0, high=2.5, speed=2.0)
    """
    joints = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, *numbers = part.split(":")
        try:
            low, high, speed = map(float, numbers)
        except ValueError:
            low = high = speed = math.nan
        if not (name and -math.inf < low < high < math.inf and 0 < speed < math.inf):
            raise InputError(
                f"config: gate.joints: {part[:60]!r} is not allowed (allowed: name:low:high:speed, low below high, "
                "speed above 0)"
            )
        joints.append(Joint(name.strip(), low, high, speed))
    if len({j.name for j in joints}) < len(joints):
        raise InputError("config: gate.joints: a joint is given twice; keep one")
    return tuple(joints)


def _share(room: float, rate: float, delay: float) -> float:
    """The largest share of a command that stops within `room` (seconds of it): share * delay + share^2 / (2 rate)."""
    return rate * (math.sqrt(delay * delay + 2 * room / rate) - delay)


def _toward(now: float, sent: float, step: float) -> float:
    """Gains count at once, losses only as far as the brakes reach.

    >>> _toward(0.5, 0.0, 0.1), _toward(0.1, 0.4, 0.1), _toward(-0.3, 0.2, 0.1)
    (0.4, 0.4, -0.19999999999999998)
    """
    if sent * now >= 0 and abs(sent) >= abs(now):
        return sent
    return min(max(sent, now - step), now + step)
