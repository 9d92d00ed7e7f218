"""Carries out one attempt at a sub-goal in a `HouseholdEnv`: by the scripted expert, or as a robot does it, with eyes,
a policy and the safety gate. docs/HOUSEHOLD.md tells what is measured."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rarrl.config import GateConfig
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacles import Body, height_slice, summarize_slice
from rarrl.perception.opencv_matchers import CountDetector
from rarrl.perception.voxels import grid_spec
from rarrl.policy.base import Observation, Policy
from rarrl.policy.recovery import Recovery
from rarrl.safety.free_space import RangeScan
from rarrl.safety.gate import SafetyGate, Surroundings
from rarrl.types import ActStatus, GateAction, GateResult, RobotCommand, StereoPair

from ..env import HouseholdEnv
from ..executor import Event, sentence
from ..expert import Expert
from ..home import ROBOT_M, distances
from ..world import DT, FIELD_RAD, PERSON_M, RANGE_M, SECTORS, STANDING, Row, World
from .proprioception import MapProprioception, picture

GATE = GateConfig(
    rate_hz=1 / DT,
    max_command_age_s=0.2,
    max_obstacle_age_s=0.35,
    max_speed_mps=0.6,
    max_reverse_mps=0.2,
    max_turn_radps=1.5,
    accel_mps2=1.2,
    decel_mps2=0.9,
    brake_mps2=1.2,
    turn_accel_radps2=6.0,
    turn_brake_radps2=6.0,
    latency_s=0.1,
    radius_m=ROBOT_M,
    look_radps=0.8,
    margin_m=0.02,
    memory_m=20.0,
    sensor_x_m=0.0,
    sensor_y_m=0.0,
    blind_m=0.29,  # what is at least 0.4 m high (the lowest furniture) is seen from there on
    assumed_clear_m=1.0,
)
"""Of the base in `world.py`. The head's 12 cm between the eyes are within the margin."""
BODY = Body(2 * ROBOT_M, 0.1, 1.5)
PRESET = "near"
LOOK_STEPS = 3  # from picture to picture: 3.3 Hz, within the gate's limit of age
PRESS_STEPS = 2  # steps in a row that a policy must want to interact
LOST_S = 0.5  # a sub-goal whose place or thing is not known has failed after so long


class Driver(Protocol):
    """Carries out attempts; `begin` at the start of each mission."""

    def begin(self, env: HouseholdEnv) -> None:
        """A new mission has begun."""

    def attempt(self, env: HouseholdEnv) -> Event:
        """Steps `env` until the sub-goal that is on has succeeded or failed, or the time of the mission is up."""


class Recorder(Protocol):
    """Hears of each step."""

    def step(
        self,
        world: World,
        gate_result: GateResult,
        scan: RangeScan | None,
        picture: np.ndarray | None,
        row: Row | None,
    ) -> None:
        """After a step. picture: the left eye's, (height, width, 3) BGR, where one was taken before it."""


@dataclass
class DriveStatistics:
    """What a mission's drive came to. steps: of 0.1 s. least_clear_m: from the base's edge to the nearest thing or
    person while it moved. stops: how often the gate stopped it for an obstacle. late: steps whose computing took longer
    than 0.1 s on the clock."""

    steps: int = 0
    least_clear_m: float = math.inf
    stops: int = 0
    late: int = 0
    compute_s: float = 0.0


class Eyes(Protocol):
    """What tells how far each bearing is seen to be free."""

    def begin(self, env: HouseholdEnv) -> None: ...
    def scan(self, env: HouseholdEnv, pair: StereoPair | None) -> RangeScan: ...


class ExactEyes:
    """The twin's ray-cast: a detector that is always right."""

    def begin(self, env: HouseholdEnv) -> None:
        """Nothing to prepare."""

    def scan(self, env: HouseholdEnv, pair: StereoPair | None) -> RangeScan:
        """Of the world as it is."""
        width = FIELD_RAD / SECTORS
        return RangeScan((width - FIELD_RAD) / 2, width, env.world.scan(), RANGE_M, GATE.blind_m)


class StereoEyes:
    """A detector on the rendered pair: ours, or OpenCV's SGBM in colour whose voxels are occupied from 5 points on."""

    def __init__(self, sgbm: bool = False) -> None:
        self._sgbm = sgbm

    def begin(self, env: HouseholdEnv) -> None:
        """A detector for the scene's camera."""
        self._rig = env.scene.rig
        spec = grid_spec(PRESET)
        self._detector: ClassicalDetector | CountDetector = (
            CountDetector("colour", self._rig, spec, 5) if self._sgbm else ClassicalDetector(self._rig, spec)
        )

    def scan(self, env: HouseholdEnv, pair: StereoPair | None) -> RangeScan:
        """How far it sees to be free."""
        from ..scene import T_BASE_LEFT

        grid = self._detector.detect(env.pair() if pair is None else pair)
        places = height_slice(grid, T_BASE_LEFT, BODY)
        seen = summarize_slice(places, BODY, 0.0, 2.0, self._rig.field_rad, SECTORS)
        width = float(seen.bearings[1] - seen.bearings[0])
        return RangeScan(float(seen.bearings[0]), width, seen.clear_m, grid_spec(PRESET).z_far, GATE.blind_m)


class Gated:
    """The gate in one process: commands of a step in, what the base gets out. eyes: None: no gate."""

    def __init__(self, eyes: Eyes | None) -> None:
        self.eyes = eyes
        self.last_scan: RangeScan | None = None

    def begin(self, env: HouseholdEnv) -> None:
        """The gate is activated while the base stands at the start of a mission."""
        self._gate = SafetyGate(GATE)
        self._free = self._gate.free_space()
        self._move(env.world)
        self._free.vouch(GATE.assumed_clear_m)
        self._seen_s = -math.inf
        if self.eyes is not None:
            self.eyes.begin(env)

    def look(self, env: HouseholdEnv, pair: StereoPair | None = None) -> None:
        """Takes a scan in."""
        if self.eyes is None:
            return
        self._move(env.world)
        self.last_scan = self.eyes.scan(env, pair)
        self._free.see(self.last_scan, (env.world.x, env.world.y, env.world.heading))
        self._seen_s = env.world.steps * DT

    def check(self, world: World, v: float, omega: float) -> GateResult:
        """What the base gets."""
        if self.eyes is None:
            return GateResult(v, omega, GateAction.PASS)
        now = world.steps * DT
        self._move(world)
        command = RobotCommand(v, omega, now, now)
        return self._gate.check(command, Surroundings(self._free, self._seen_s, now), now)

    def _move(self, world: World) -> None:
        self._free.move((world.x, world.y, world.heading))


class InteractDebounce:
    """From a policy's wish to interact to presses: it must last, the base must stand, and nothing be under way."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new sub-goal is on."""
        self._wanted, self._down = 0, False

    def update(self, world: World, wish: float) -> tuple[bool, bool]:
        """(the base must stand, press now)."""
        self._wanted = self._wanted + 1 if wish > 0.5 else 0
        wants = self._wanted >= PRESS_STEPS
        self._down = wants and not world.busy and abs(world.v) < STANDING and not self._down
        return wants, self._down


class ExpertDriver:
    """The scripted expert, which goes by the robot's memory and sees people and doors as they are."""

    def __init__(self, eyes: Eyes | None = None) -> None:
        self._expert, self._gated, self._recovery = Expert(), Gated(eyes), Recovery()

    def begin(self, env: HouseholdEnv) -> None:
        """See `Driver`."""
        self._expert.reset()
        self._gated.begin(env)

    def attempt(self, env: HouseholdEnv) -> Event:
        """See `Driver`."""
        row = env.executor.row
        assert row is not None, "an attempt needs a sub-goal that is on"
        self._recovery.reset()
        while True:
            action = self._expert.act(env.world, row, env.memory)
            v, omega = self._recovery.update(float(action[0]), float(action[1]), env.world.v, env.world.steps * DT)
            self._gated.look(env)
            result = self._gated.check(env.world, v, omega)
            _, done, late, info = env.advance(np.array([result.v, result.omega, action[2]]))
            if event := ended(env, row, info["event"], done or late):
                return event


class PolicyDriver:
    """A robot: pictures, the map and words go to a policy; the gate has the last word on each of its commands.

    Args:
        policy: rows of (linear_x_m_s, angular_z_rad_s, interact) at 10 Hz
        eyes: whose scans the gate goes by; None: no gate
        recorder: hears of each step; None: nobody

    ride: what the mission's drive came to so far."""

    def __init__(self, policy: Policy, eyes: Eyes | None, recorder: Recorder | None = None) -> None:
        self._policy, self._gated, self.recorder = policy, Gated(eyes), recorder
        self._guide, self._press, self._recovery = MapProprioception(), InteractDebounce(), Recovery()
        self.ride = DriveStatistics()

    def begin(self, env: HouseholdEnv) -> None:
        """See `Driver`."""
        self._policy.reset()
        self._guide.reset()
        self._gated.begin(env)
        self._chunk = np.zeros((0, 3))
        self._stopped = False
        self.ride = DriveStatistics()

    def attempt(self, env: HouseholdEnv) -> Event:
        """See `Driver`."""
        row = env.executor.row
        assert row is not None, "an attempt needs a sub-goal that is on"
        self._press.reset()
        self._recovery.reset()
        begun, index = env.world.steps, 0
        known = self._guide.knows(env.world, env.memory, row)
        while True:
            started, image = time.perf_counter(), None
            if (env.world.steps - begun) % LOOK_STEPS == 0 and not (env.world.busy and index):
                image, index = self._look(env, row, known), 0
            v, omega, wish = self._chunk[min(index, len(self._chunk) - 1)]
            index += 1
            stands, press = self._press.update(env.world, wish if known else 0.0)
            if stands or not known or env.world.busy:
                v = omega = 0.0
            v, omega = self._recovery.update(float(v), float(omega), env.world.v, env.world.steps * DT)
            result = self._gated.check(env.world, v, omega)
            _, done, late, info = env.advance(np.array([result.v, result.omega, float(press)]))
            self._count(env.world, result, time.perf_counter() - started)
            if self.recorder is not None:
                self.recorder.step(env.world, result, self._gated.last_scan, image, row)
            event = info["event"]
            if event is None and not known and (env.world.steps - begun) * DT >= LOST_S:
                event = Event(row, ActStatus.FAILURE, "not known")
            if event := ended(env, row, event, done or late):
                return event

    def _look(self, env: HouseholdEnv, row: Row, known: bool) -> np.ndarray:
        """New pictures: a scan for the gate, a chunk of the policy. Returns the left one."""
        pair = env.pair()
        self._gated.look(env, pair)
        self._chunk = np.zeros((1, 3))
        if known:
            proprio = self._guide.proprio(env.world, env.memory, row)
            self._chunk = self._policy.infer(Observation(picture(pair.left)[None], proprio, sentence(row))).actions
        return pair.left

    def _count(self, world: World, result: GateResult, seconds: float) -> None:
        ride = self.ride
        ride.steps += 1
        ride.compute_s += seconds
        ride.late += seconds > DT
        stopped = result.action is GateAction.STOP and result.reason in ("blocked", "braking for an obstacle")
        ride.stops += stopped and not self._stopped
        self._stopped = stopped
        if abs(world.v) > 0.01:
            ride.least_clear_m = min(ride.least_clear_m, clearance(world))


def clearance(world: World) -> float:
    """Metres from the base's edge to the nearest footprint or person."""
    boxes = world.home.boxes if world.door_open else np.vstack([world.home.boxes, world.home.door])
    things = float(distances(np.array([[world.x, world.y]]), boxes).min()) - ROBOT_M
    people = [math.hypot(p.x - world.x, p.y - world.y) - ROBOT_M - PERSON_M for p in world.people]
    return min([things, *people])


def ended(env: HouseholdEnv, row: Row, event: Event | None, over: bool) -> Event | None:
    """The attempt's end: its event; where the mission is over without one, success or "too late"."""
    if event is None and over:
        done = env.is_done
        return Event(row, ActStatus.SUCCESS if done else ActStatus.FAILURE, "" if done else "too late")
    return event
