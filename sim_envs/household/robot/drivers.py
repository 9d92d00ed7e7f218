"""Carries out one attempt at a sub-goal in a `HouseholdEnv`: by the scripted expert, or as a robot does it, with a
stereo camera, a policy and the safety gate. docs/explanation/household.md says what is measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rarrl.config import GateConfig, PolicyConfig
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import Detector, ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.perception.opencv_matchers import CountDetector
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import GridSpec, grid_spec
from rarrl.policy.actor import Actor
from rarrl.policy.base import Policy
from rarrl.policy.recovery import Recovery
from rarrl.poses import pose_matrix
from rarrl.range_scan import RangeScan
from rarrl.robot import RangeSensor, Robot, RobotObservation, RobotTick
from rarrl.safety.base_gate import BaseGate
from rarrl.types import ActStatus, GateAction, GateReason, GateResult, RobotCommand, StereoPair

from ..env import HouseholdEnv
from ..executor import Event, sentence
from ..expert import Expert
from ..home import ROBOT_M, distances
from ..scene import BASELINE_M, PITCH_RAD
from ..world import DT, FIELD_RAD, HEAD_M, PERSON_M, RANGE_M, SECTORS, STANDING, Row, World
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
    sensor_y_m=BASELINE_M / 2,  # scans are the left camera's
    blind_m=0.29,  # what is at least 0.4 m high (the lowest furniture) is seen from there on
    assumed_clear_m=1.0,
)
"""Of the base in `world.py`, and of the stereo head on it."""
BODY = Body(2 * ROBOT_M, 0.1, 1.5)
"""What must not be hit: as wide as the base, from above the floor's noise (0.1 m) to the tray (1.5 m)."""
PRESET = "near"
"""The detector's cube: rooms are small, and chairs' legs thin."""
LOOK_STEPS = 3
"""Steps of 0.1 s from picture to picture: 3.3 Hz, within the gate's limit of age (0.35 s)."""
INTERACT_STEPS = 2
"""Steps of 0.1 s in a row for which a policy must want to interact: one alone may be a slip."""
STOPPED = "stopped"
"""Reason of an attempt that ended because it was to take no longer."""
NEVER = 1 << 62
"""A step that no world comes to."""
LOST_S = 0.5
"""Seconds. A sub-goal whose place or thing is not known has failed after so long."""
ACTING = PolicyConfig()
"""How the policy's chunks become commands: as vla_policy_node does it by default. Against rows taken by index it did as
many of 22 sub-goals (20), and 4 of 7 missions as before, which took 4 % longer."""


class Driver(Protocol):
    """Carries out attempts; `begin` at the start of each mission."""

    def begin(self, env: HouseholdEnv) -> None:
        """A new mission has begun."""

    def attempt(self, env: HouseholdEnv, until: int = NEVER) -> Event:
        """Steps `env` until the sub-goal that is on has succeeded or failed, or the time of the mission is up.

        until: the world's step at which it breaks off, with the reason STOPPED."""


class Recorder(Protocol):
    """Is called with each step."""

    def step(
        self,
        world: World,
        gate_result: GateResult,
        scan: RangeScan | None,
        picture: np.ndarray | None,
        row: Row | None,
    ) -> None:
        """After a step. picture: the left camera's, (height, width, 3) BGR, where one was taken before it."""


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


@dataclass(frozen=True)
class ExactReading:
    """What the twin knows to be free."""

    scan: RangeScan


class ExactSensor:
    """The twin's ray-cast: a detector that is always right. Its scans start at the middle of the base."""

    def __init__(self, env: HouseholdEnv) -> None:
        self._env = env

    def read(self, pair: StereoPair | None = None, T_odom_base: np.ndarray | None = None) -> ExactReading:
        """The world as it is, whatever the cameras show."""
        width = FIELD_RAD / SECTORS
        return ExactReading(RangeScan((width - FIELD_RAD) / 2, width, self._env.world.scan(), RANGE_M))


@dataclass(frozen=True)
class HomeSensor:
    """How a robot in a home finds obstacles. make: a sensor for the home that was just reset. gate: settings of the
    gate that goes by its scans."""

    make: Callable[[HouseholdEnv], RangeSensor]
    gate: GateConfig = GATE


def stereo_sensor(make_detector: Callable[[CameraRig, GridSpec], Detector]) -> HomeSensor:
    """A detector on the rendered pair, mounted and set as stereo_voxel_node has it in `nodes/sim_graph.py`."""

    def make(env: HouseholdEnv) -> ObstacleSensor:
        detector = make_detector(env.scene.rig, grid_spec(PRESET))
        return ObstacleSensor(detector, camera_pose(HEAD_M, PITCH_RAD), BODY, SECTORS)

    return HomeSensor(make)


def _sgbm(rig: CameraRig, spec: GridSpec) -> CountDetector:
    return CountDetector("colour", rig, spec, 5)


CLASSICAL = stereo_sensor(ClassicalDetector)
"""Our detector."""
SGBM = stereo_sensor(_sgbm)
"""OpenCV's SGBM in colour, with voxels that are occupied from 5 points on."""
EXACT = HomeSensor(ExactSensor, GATE.model_copy(update={"sensor_y_m": 0.0}))
"""The world as it is."""


class OpenGate(BaseGate):
    """Lets every command through: what robots would do without the gate, for comparison in simulation."""

    def check(
        self, command: RobotCommand | None, now_s: float, veto: GateReason | None = None, why: str = ""
    ) -> GateResult:
        """The command as it is; zero where there is none."""
        if command is None:
            return GateResult.stop(veto or GateReason.NO_COMMAND)
        return GateResult(command.v, command.omega, GateAction.PASS)


def make_gate(sensor: HomeSensor | None) -> BaseGate:
    """The gate of a robot with this sensor; one that lets everything through where there is none."""
    return OpenGate(GATE) if sensor is None else BaseGate(sensor.gate)


class HomeGate:
    """A gate that goes by exact scans, for drivers that choose speeds themselves. gated: False lets all through."""

    def __init__(self, gated: bool = True) -> None:
        self._gated = gated

    def begin(self, env: HouseholdEnv) -> None:
        """The gate is activated while the base stands at the start of a mission."""
        self._gate = make_gate(EXACT if self._gated else None)
        self._sensor = ExactSensor(env)

    def look(self, world: World) -> None:
        """Takes a scan in, where the gate goes by scans."""
        if not self._gated:
            return
        now = world.steps * DT
        self._gate.on_odometry(pose_of(world), now, now)
        self._gate.on_scan(self._sensor.read().scan, now, now)

    def check(self, world: World, v: float, omega: float) -> GateResult:
        """What the base gets of `v` (m/s) and `omega` (rad/s)."""
        now = world.steps * DT
        self._gate.on_odometry(pose_of(world), now, now)
        return self._gate.check(RobotCommand(v, omega, now, now), now)


def pose_of(world: World) -> np.ndarray:
    """(4, 4): where the base is in its home; the odometry here is exact."""
    return pose_matrix(world.x, world.y, world.heading)


class InteractDebounce:
    """From a policy's wish to interact to the start of an interaction: the wish must last, the base must stand, and
    nothing be under way."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new sub-goal is on."""
        self._wanted = 0  # steps in a row
        self._begun = False

    def update(self, world: World, wish: float) -> tuple[bool, bool]:
        """(the base must stand, the interaction begins now). wish: above 0.5 is one."""
        self._wanted = self._wanted + 1 if wish > 0.5 else 0
        wants = self._wanted >= INTERACT_STEPS
        self._begun = wants and not world.busy and abs(world.v) < STANDING and not self._begun
        return wants, self._begun


class ExpertDriver:
    """The scripted expert, which goes by the robot's memory and sees people and doors as they are. gated: whether its
    speeds pass the safety gate."""

    def __init__(self, gated: bool = False) -> None:
        self._expert = Expert()
        self._gate = HomeGate(gated)
        self._recovery = Recovery()

    def begin(self, env: HouseholdEnv) -> None:
        """See `Driver`."""
        self._expert.reset()
        self._gate.begin(env)

    def attempt(self, env: HouseholdEnv, until: int = NEVER) -> Event:
        """See `Driver`."""
        row = env.executor.row
        assert row is not None, "an attempt needs a sub-goal that is on"
        self._recovery.reset()

        while True:
            action = self._expert.act(env.world, row, env.memory)
            v, omega = self._recovery.update(float(action[0]), float(action[1]), env.world.v, env.world.steps * DT)
            self._gate.look(env.world)
            result = self._gate.check(env.world, v, omega)
            _, done, late, info = env.advance(np.array([result.v, result.omega, action[2]]))
            if event := ended(env, row, info["event"], done or late, until):
                return event


class PolicyDriver:
    """Drives a `rarrl.robot.Robot`: pictures, the map and words go to a policy; the gate has the last word.

    Pictures come every LOOK_STEPS steps. The policy answers within the step; on a robot it takes its time, which
    `rarrl run --sim` measures.

    Args:
        policy: rows of (linear_x_m_s, angular_z_rad_s, interact) at 10 Hz
        sensor: whose scans the gate goes by; None: no gate
        recorder: is called with each step; None: none

    statistics: what the mission's drive came to so far."""

    def __init__(self, policy: Policy, sensor: HomeSensor | None, recorder: Recorder | None = None) -> None:
        self.recorder = recorder
        self.statistics = DriveStatistics()
        self._policy = policy
        self._sensor = sensor
        self._proprioception = MapProprioception()
        self._debounce = InteractDebounce()
        self._subgoal = ""

    def begin(self, env: HouseholdEnv) -> None:
        """See `Driver`."""
        self._policy.reset()
        self._proprioception.reset()
        sensor = None if self._sensor is None else self._sensor.make(env)
        actor = Actor(self._policy.spec, DT, ACTING.max_observation_age_s, ACTING.blend_rows, ACTING.replan_share)
        self.robot = Robot(sensor, lambda: self._subgoal, self._policy, actor, make_gate(self._sensor))
        self.statistics = DriveStatistics()
        self._last_scan: RangeScan | None = None
        self._stopped = False

    def attempt(self, env: HouseholdEnv, until: int = NEVER) -> Event:
        """See `Driver`."""
        row = env.executor.row
        assert row is not None, "an attempt needs a sub-goal that is on"
        begun = env.world.steps
        known = self._proprioception.knows(env.world, env.memory, row)
        self._subgoal = sentence(row) if known else ""
        self._debounce.reset()
        self.robot.actor.follow("")  # nothing of the attempt before

        while True:
            started = time.perf_counter()
            looks = (env.world.steps - begun) % LOOK_STEPS == 0
            seen = self._observe(env, row, looks)
            tick = self.robot.tick(seen)
            if tick.error is not None:  # a robot would stand; here it is a bug to be seen
                raise tick.error

            stands, interacts = self._debounce.update(env.world, float(tick.act.interact))
            v, omega = (0.0, 0.0) if stands else (tick.result.v, tick.result.omega)
            _, done, late, info = env.advance(np.array([v, omega, float(interacts)]))

            self._count(env.world, tick.result, time.perf_counter() - started)
            self._record(env.world, tick, seen, row)
            event = info["event"]
            if event is None and not known and (env.world.steps - begun) * DT >= LOST_S:
                event = Event(row, ActStatus.FAILURE, "not known")
            if event := ended(env, row, event, done or late, until):
                return event

    def _observe(self, env: HouseholdEnv, row: Row, looks: bool) -> RobotObservation:
        """What the robot senses now. looks: with new pictures."""
        world = env.world
        now = world.steps * DT
        if not looks:
            return RobotObservation(now, pose_of(world), world.v, world.busy)

        pair = env.pair()
        proprio = self._proprioception.proprio(world, env.memory, row)
        return RobotObservation(now, pose_of(world), world.v, world.busy, pair, picture(pair.left)[None], proprio)

    def _record(self, world: World, tick: RobotTick, seen: RobotObservation, row: Row) -> None:
        if tick.reading is not None:
            self._last_scan = tick.reading.scan
        if self.recorder is not None:
            image = None if seen.pair is None else seen.pair.left
            self.recorder.step(world, tick.result, self._last_scan, image, row)

    def _count(self, world: World, result: GateResult, seconds: float) -> None:
        counted = self.statistics
        counted.steps += 1
        counted.compute_s += seconds
        counted.late += seconds > DT

        stopped = result.action is GateAction.STOP and result.reason.of_obstacle
        counted.stops += stopped and not self._stopped
        self._stopped = stopped

        if abs(world.v) > 0.01:
            counted.least_clear_m = min(counted.least_clear_m, clearance(world))


def clearance(world: World) -> float:
    """Metres from the base's edge to the nearest footprint or person."""
    boxes = world.home.boxes if world.door_open else np.vstack([world.home.boxes, world.home.door])
    things = float(distances(np.array([[world.x, world.y]]), boxes).min()) - ROBOT_M
    people = [math.hypot(p.x - world.x, p.y - world.y) - ROBOT_M - PERSON_M for p in world.people]
    return min([things, *people])


def ended(env: HouseholdEnv, row: Row, event: Event | None, over: bool, until: int = NEVER) -> Event | None:
    """The attempt's end: its event; where the mission is over without one, success or "too late"; where the step
    `until` has come, STOPPED."""
    if event is None and over:
        done = env.is_done
        return Event(row, ActStatus.SUCCESS if done else ActStatus.FAILURE, "" if done else "too late")
    if event is None and env.world.steps >= until:
        return Event(row, ActStatus.FAILURE, STOPPED)
    return event
