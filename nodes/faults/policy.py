"""An action policy that answers nonsense, and what reaches the base: `rarrl.robot.Robot` whole, by a fake clock.

A trial drives for a second on good chunks, then each chunk is spoiled for a second, then they are good again. stop_s:
until the last tick in which the robot was asked to move; from there on it holds, and the gate slows the base down at
`gate.decel_mps2`. Unsafe is an output that is no number, beyond a limit, or faster gained than the gate allows
(`nan_published` of the first kind), and one that gains speed while the robot holds; `stale_applied` are commands that
rest on an observation that is too old, or older than the one before."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from rarrl.config import GateConfig, PolicyConfig
from rarrl.policy.actor import ANGULAR_Z, LINEAR_X, Actor
from rarrl.policy.base import ActionChunk, InterfaceSpec, Observation
from rarrl.poses import pose_matrix
from rarrl.range_scan import RangeScan
from rarrl.robot import Robot, RobotObservation
from rarrl.safety.base_gate import BaseGate
from rarrl.types import StereoPair

from .gate import STOP_S
from .row import Row, Trial

DT = 0.1
CONFIG = GateConfig(rate_hz=1 / DT, sensor_x_m=0.2)
TICKS = 10
"""Of each third of a trial: a second."""
LIMIT_S = PolicyConfig().max_observation_age_s
"""No command rests on an older observation."""
IMAGE = np.zeros((4, 4, 3), np.uint8)
SPEC = InterfaceSpec(
    cameras=("front",),
    image_size=len(IMAGE),
    proprio_names=("speed_m_s",),
    proprio_mean=(0.0,),
    proprio_scale=(1.0,),
    action_names=(LINEAR_X, ANGULAR_Z),
    action_low=(-0.2, -1.0),
    action_high=(0.5, 1.0),
    horizon=8,
    control_hz=1 / DT,
)
Spoil = Callable[[np.random.Generator, ActionChunk, list[ActionChunk]], ActionChunk]
"""From a good chunk, and those before it, to the one that the policy answers. May raise."""


@dataclass
class Policy:
    """Wants to drive in a bow; spoils its chunks while `spoil` is set."""

    rng: np.random.Generator
    spec: Any = SPEC
    spoil: Spoil | None = None
    given: list[ActionChunk] = field(default_factory=list)

    def infer(self, observation: Observation, stop: object = None) -> ActionChunk:
        """A chunk for what is seen now."""
        row = np.array([self.rng.uniform(0.2, 0.4), self.rng.uniform(-0.3, 0.3)], np.float32)
        chunk = ActionChunk(np.tile(row, (SPEC.horizon, 1)), DT, observation.observed_at)
        if self.spoil is not None:
            chunk = self.spoil(self.rng, chunk, list(self.given))
        self.given.append(chunk)
        return chunk

    def reset(self) -> None:
        """Nothing is kept."""


class Base:
    """A robot whose base does what it gets, in the open."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.policy = Policy(rng)
        sensor: Any = SimpleNamespace(read=lambda pair, pose=None: SimpleNamespace(scan=_open()))
        actor = Actor(SPEC, DT, LIMIT_S)
        self.robot = Robot(sensor, lambda: "go", self.policy, actor, BaseGate(CONFIG))
        self.now = 50.0
        self.pose = [0.0, 0.0, 0.0]
        self.v = self.omega = 0.0
        self.newest = -math.inf

    def tick(self) -> tuple[bool, bool, bool, bool]:
        """One tick; whether the robot is asked to move, the output is unsafe, is no number, rests on something old."""
        self.now += DT
        self.pose[2] += self.omega * DT
        self.pose[0] += self.v * math.cos(self.pose[2]) * DT
        self.pose[1] += self.v * math.sin(self.pose[2]) * DT
        seen = RobotObservation(
            self.now,
            pose_matrix(*self.pose),
            self.v,
            pair=StereoPair(IMAGE, IMAGE),
            images=IMAGE[None],
            proprio=np.zeros(1, np.float32),
        )
        tick = self.robot.tick(seen)
        v, omega = tick.result.v, tick.result.omega

        nan = not math.isfinite(v + omega)
        unsafe = (
            nan
            or not -CONFIG.max_reverse_mps - 1e-9 <= v <= CONFIG.max_speed_mps + 1e-9
            or abs(omega) > CONFIG.max_turn_radps + 1e-9
            or abs(v) > abs(self.v) + CONFIG.accel_mps2 * DT + 1e-9
            or abs(omega) > abs(self.omega) + CONFIG.turn_accel_radps2 * DT + 1e-9
        )
        asked = tick.act.row is not None and tick.error is None
        unsafe |= not asked and (abs(v) > abs(self.v) or abs(omega) > abs(self.omega))
        rests_on = tick.act.observed_at
        old = asked and (self.now - rests_on > LIMIT_S + 1e-9 or rests_on < self.newest)
        if tick.act.row is not None:
            self.newest = max(self.newest, rests_on)
        self.v, self.omega = (0.0, 0.0) if nan else (v, omega)
        return asked, unsafe, nan, old


def _open() -> RangeScan:
    return RangeScan(-math.pi + math.pi / 90, math.pi / 45, np.full(90, 5.0), 6.0)


def played(spoil: Spoil, useful: bool) -> Callable[[int, int], list[Trial]]:
    """Plays a fault. useful: what is left of the chunks may move the base."""

    def play(trials: int, seed: int) -> list[Trial]:
        return [_trial(np.random.default_rng([seed, k]), spoil, useful) for k in range(trials)]

    return play


def _trial(rng: np.random.Generator, spoil: Spoil, useful: bool) -> Trial:
    base = Base(rng)
    found = [base.tick() for _ in range(TICKS)]
    base.policy.spoil = spoil
    begun = base.now
    last = zero = None
    for _ in range(TICKS):
        found.append(base.tick())
        asked = found[-1][0]
        last = base.now - begun if asked else last
        zero = base.now - begun if not asked and zero is None else zero
    base.policy.spoil = None
    back = None
    again = base.now
    for _ in range(TICKS):
        found.append(base.tick())
        if found[-1][0] and back is None:
            back = base.now - again

    counts = {"nan_published": sum(f[2] for f in found), "stale_applied": sum(f[3] for f in found)}
    unsafe = sum(f[1] or f[3] for f in found)
    if useful:
        return Trial(None, None, back, len(found), unsafe, counts)
    return Trial(zero, last or 0.0, back, len(found), unsafe + int((last or 0.0) > STOP_S), counts)


# The faults


def with_actions(change: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Spoil:
    """Changes the rows."""
    return lambda rng, chunk, before: replace(chunk, actions=change(rng, chunk.actions.copy()))


def not_finite(rng: np.random.Generator, actions: np.ndarray) -> np.ndarray:
    """One or more numbers that are none, in the first row or the last."""
    rows, columns = actions.shape
    for _ in range(int(rng.integers(1, 4))):
        actions[rng.integers(rows), rng.integers(columns)] = rng.choice([math.nan, math.inf, -math.inf])
    return actions


def far_beyond(rng: np.random.Generator, actions: np.ndarray) -> np.ndarray:
    """Ten to a million times too much; degrees for radians."""
    return actions * np.float32(rng.choice([10.0, -10.0, 180 / math.pi, 1e6])) + np.float32(rng.choice([2.0, -2.0]))


def wrong_shape(rng: np.random.Generator, actions: np.ndarray) -> np.ndarray:
    """Rows or columns too many or too few, or none at all."""
    rows, columns = actions.shape
    shapes = [(rows + 1, columns), (rows - 1, columns), (rows, columns + 1), (rows, 1), (0, columns), (columns, rows)]
    shape = shapes[rng.integers(len(shapes))]
    return np.full(shape, 0.3, np.float32)


def jumps(rng: np.random.Generator, actions: np.ndarray) -> np.ndarray:
    """From limit to limit in each row."""
    sign = np.where(np.arange(len(actions)) % 2, 1.0, -1.0)[:, None]
    return np.float32(sign * [0.5, 1.0] + rng.normal(0, 0.01, actions.shape))


def late(rng: np.random.Generator, chunk: ActionChunk, before: list[ActionChunk]) -> ActionChunk:
    """Of an observation of 0.6 to 3 s ago."""
    return replace(chunk, observed_at=chunk.observed_at - float(rng.uniform(0.6, 3.0)))


def again(rng: np.random.Generator, chunk: ActionChunk, before: list[ActionChunk]) -> ActionChunk:
    """One of the chunks that it gave before, once more."""
    return before[int(rng.integers(len(before)))]


def ahead(rng: np.random.Generator, chunk: ActionChunk, before: list[ActionChunk]) -> ActionChunk:
    """Of an observation that is yet to come."""
    return replace(chunk, observed_at=chunk.observed_at + float(rng.uniform(0.2, 5.0)))


def raises(rng: np.random.Generator, chunk: ActionChunk, before: list[ActionChunk]) -> ActionChunk:
    """A mistake of its own, or no chunk at all."""
    if rng.random() < 0.5:
        raise RuntimeError("the policy failed")
    return None  # type: ignore[return-value]


def rows() -> tuple[Row, ...]:
    """A row for each kind of nonsense."""

    def row(name: str, fault: str, spoil: Spoil, useful: bool = False) -> Row:
        expected = "limits of speed and gain hold" if useful else "no row of it is used: hold within 0.5 s"
        limits = {} if useful else {"stop_s": STOP_S, "detect_s": 1.0}
        injected = (spoil.__doc__ or "drawn rows").rstrip(".")
        play = played(spoil, useful)
        return Row(name, "policy", fault, injected, expected, "in-process", play, 100, 10, not useful, True, limits)

    return (
        row("P1-policy", "chunks with numbers that are none", named(with_actions(not_finite), not_finite)),
        row("P2-policy-range", "actions far out of range", named(with_actions(far_beyond), far_beyond), useful=True),
        row("P2-policy-shape", "chunks of a wrong shape", named(with_actions(wrong_shape), wrong_shape)),
        row("P2-policy-jumps", "actions that jump", named(with_actions(jumps), jumps), useful=True),
        row("P3-late", "chunks that come late", late),
        row("P3-again", "chunks that come twice, or out of order", again),
        row("P3-ahead", "chunks with a time to come", ahead),
        row("P3-raises", "a policy that raises or answers nothing", raises),
    )


def named(spoil: Spoil, of: Callable[..., object]) -> Spoil:
    """`spoil` with the docstring of `of`."""
    spoil.__doc__ = of.__doc__
    return spoil
