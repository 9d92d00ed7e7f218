"""The robot on one screen: observe -> obstacles -> orchestrate -> act -> gate.

The same stages run in the ROS nodes, each in a process of its own: `ObstacleSensor` in stereo_voxel_node,
`DecisionSession` in orchestrator_node, `Actor` in vla_policy_node, `BaseGate` in safety_gate_node. `Robot` runs them in
one thread, for simulation and tests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rarrl.policy.actor import BASE_ACTIONS, INTERACT, Actor, ActorCommand
from rarrl.policy.base import Interface, Observation, Policy
from rarrl.range_scan import RangeScan
from rarrl.safety.base_gate import BaseGate
from rarrl.safety.gate import planar
from rarrl.types import GateReason, GateResult, RobotCommand, StereoPair

logger = logging.getLogger(__name__)

Orchestrate = Callable[[], str]
"""Returns the sub-goal in force in words: of the plan that the orchestrator's last decision acts on; "" while the robot
thinks, or has none. Decisions fall between attempts at sub-goals, not in each tick (`rarrl.decision_loop`)."""


class RangeReading(Protocol):
    """What a sensor sees: `rarrl.perception.obstacle_sensor.ObstacleReading`, or a simulation's exact one."""

    @property
    def scan(self) -> RangeScan: ...


class RangeSensor(Protocol):
    """Finds obstacles: `rarrl.perception.obstacle_sensor.ObstacleSensor`, or a simulation's exact one."""

    def read(self, pair: StereoPair, T_odom_base: np.ndarray | None = None) -> RangeReading:
        """See `ObstacleSensor.read`."""


@dataclass(frozen=True, eq=False)
class RobotObservation:
    """What the robot senses in one tick.

    now: seconds, the steady clock; everything here was taken then. T_odom_base: (4, 4), where the base is. speed_mps:
    of the base, measured. busy: the hand is acting. pair: of the stereo cameras; None where no new one has come.
    images: (cameras, height, width, 3) uint8 RGB and proprio: (p,) float32 for the policy; None as well."""

    now: float
    T_odom_base: np.ndarray
    speed_mps: float = 0.0
    busy: bool = False
    pair: StereoPair | None = None
    images: np.ndarray | None = None
    proprio: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class RobotTick:
    """What came of one tick. reading: of the pair that came in it, None without one. act: what the policy asked for.
    result: what the base gets. error: what went wrong in a stage; the base stands then."""

    reading: RangeReading | None
    act: ActorCommand
    result: GateResult
    error: Exception | None = None


class Robot:
    """A base that a policy drives towards sub-goals. Make a new one, or new stages, for each activation.

    Args:
        sensor: finds obstacles in stereo pairs; None: a robot that sees none, whose gate must not need them
        orchestrate: tells the sub-goal in force; "": hold
        policy: answers at once; its rows are commands of a base
        actor: keeps its answers
        gate: has the last word

    Raises: ValueError for a policy whose actions are not those of a base, TypeError for an `orchestrate` that cannot be
    called."""

    def __init__(
        self, sensor: RangeSensor | None, orchestrate: Orchestrate, policy: Policy, actor: Actor, gate: BaseGate
    ) -> None:
        if not callable(orchestrate):
            raise TypeError(
                f"Robot: orchestrate must be a function (no arguments) that returns the sub-goal, got {orchestrate!r}"
            )
        if not actor.drives:
            given = ", ".join(policy.spec.action_names) or "none"
            allowed = ", ".join(sorted(BASE_ACTIONS))
            raise ValueError(
                f"Robot: the policy's actions are not those of a base: {given} (allowed: at least one of {allowed}; "
                f"{INTERACT} besides)"
            )
        self.sensor = sensor
        self.orchestrate = orchestrate
        self.policy = policy
        self.actor = actor
        self.gate = gate

    def tick(self, seen: RobotObservation) -> RobotTick:
        """One control tick. Never raises: an error in any stage is a stop."""
        try:
            reading = self._find_obstacles(seen)
            subgoal = self.orchestrate()
            act = self._act(seen, subgoal)
            result = self.gate.check(command_of(act, seen.now), seen.now)
            return RobotTick(reading, act, result)
        except Exception as error:  # whatever it is, the robot stands
            logger.exception("the robot stands: an error in a stage")
            result = self.gate.check(None, seen.now, GateReason.INTERNAL_ERROR)
            return RobotTick(None, self.actor.hold(seen.now), result, error)

    def _find_obstacles(self, seen: RobotObservation) -> RangeReading | None:
        if np.shape(seen.T_odom_base) != (4, 4):
            raise ValueError(f"Robot: T_odom_base must be a (4, 4) matrix, got shape {np.shape(seen.T_odom_base)}")
        self.gate.on_odometry(seen.T_odom_base, seen.now, seen.now)
        if self.sensor is None or seen.pair is None:
            return None

        reading = self.sensor.read(seen.pair, seen.T_odom_base)
        self.gate.on_scan(reading.scan, seen.now, seen.now)
        return reading

    def _act(self, seen: RobotObservation, subgoal: str) -> ActorCommand:
        self.actor.follow(subgoal)
        if seen.images is not None and seen.proprio is not None and self.actor.wants_chunk(seen.now):
            observation = Observation(seen.images, seen.proprio, subgoal, seen.now)
            _check_fit(observation, self.policy.spec)
            self.actor.asked()
            chunk = self.policy.infer(observation)
            self.actor.take(chunk, subgoal, seen.now)
        return self.actor.tick(seen.now, seen.speed_mps, seen.busy)


def _check_fit(observation: Observation, spec: Interface) -> None:
    """Raises: ValueError where the pictures or the proprioception are not those of `spec`."""
    images = observation.images
    wanted = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    if images.shape != wanted or images.dtype != np.uint8:
        raise ValueError(f"Robot: images must be {wanted} uint8, got {images.shape} {images.dtype}")

    count = len(spec.proprio_names)
    if observation.proprio.shape != (count,):
        names = ", ".join(spec.proprio_names)
        raise ValueError(f"Robot: proprio must be ({count},) numbers ({names}), got shape {observation.proprio.shape}")


def command_of(act: ActorCommand, now: float) -> RobotCommand:
    """What the gate is asked for at `now`. It refuses a motion to the side: no base here can do that."""
    motion = act.motion
    v, omega, fault = planar((motion.linear_x, motion.linear_y, 0.0), (0.0, 0.0, motion.angular_z))
    return RobotCommand(v, omega, act.observed_at, now, fault)
