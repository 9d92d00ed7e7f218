"""The robot on one screen: what it does when all is well, and that every fault is a stop."""

from types import SimpleNamespace

import numpy as np
import pytest

from rarrl.config import GateConfig
from rarrl.policy.actor import Actor
from rarrl.policy.base import ActionChunk
from rarrl.poses import pose_matrix
from rarrl.range_scan import RangeScan
from rarrl.robot import Robot, RobotObservation
from rarrl.safety.base_gate import BaseGate
from rarrl.types import GateReason, StereoPair

DT = 0.1
CONFIG = GateConfig(rate_hz=10.0, sensor_x_m=0.2)
ACTIONS = ("linear_x_m_s", "angular_z_rad_s", "interact")
IMAGE = np.zeros((4, 4, 3), np.uint8)


def spec_of(actions):
    return SimpleNamespace(
        action_names=actions, proprio_names=("speed_m_s",), horizon=8, cameras=("front",), image_size=len(IMAGE)
    )


class Policy:
    """Wants to go ahead at `v`; remembers what it was asked."""

    spec = spec_of(ACTIONS)

    def __init__(self):
        self.v, self.asked, self.error = 0.3, [], None

    def infer(self, observation, stop=None):
        if self.error:
            raise self.error
        self.asked.append(observation)
        return ActionChunk(np.tile(np.float32([self.v, 0.0, 0.0]), (8, 1)), DT, observation.observed_at)

    def reset(self):
        """Nothing is kept."""


class Sensor:
    """Sees a wall straight ahead."""

    def __init__(self, robot):
        self.robot, self.wall, self.error = robot, 10.0, None

    def read(self, pair, T_odom_base=None):
        if self.error:
            raise self.error
        ahead = self.wall - T_odom_base[0, 3] - CONFIG.sensor_x_m
        return SimpleNamespace(scan=RangeScan(-0.6, 0.04, np.full(31, max(ahead, 0.0)), 6.0))


class World:
    """A robot whose base does what it gets, ten times a second."""

    def __init__(self, actions=ACTIONS):
        self.policy = Policy()
        self.policy.spec = spec_of(actions)
        self.sensor = Sensor(self)
        self.robot = Robot(
            self.sensor, lambda: self.subgoal, self.policy, Actor(self.policy.spec, DT, 0.4), BaseGate(CONFIG)
        )
        self.now, self.x, self.v = 50.0, 0.0, 0.0
        self.subgoal = "go"

    def tick(self, subgoal="go", pair=True, pose=None, **changes):
        self.now += DT
        self.subgoal = subgoal
        seen = {"pair": StereoPair(IMAGE, IMAGE), "images": IMAGE[None], "proprio": np.zeros(1, np.float32)}
        seen = {**(seen if pair else {}), **changes}
        T = pose_matrix(self.x, 0.0, 0.0) if pose is None else pose
        tick = self.robot.tick(RobotObservation(self.now, T, self.v, **seen))
        self.v = tick.result.v
        self.x += DT * self.v
        return tick

    def run(self, ticks, **how):
        return [self.tick(**how) for _ in range(ticks)]


def test_it_observes_acts_and_drives():
    world = World()
    ticks = world.run(20)
    assert ticks[-1].result.v == pytest.approx(0.3) and ticks[-1].error is None
    assert ticks[-1].reading.scan.ranges[0] > 5.0 and ticks[-1].act.row is not None
    asked = world.policy.asked[-1]
    assert asked.instruction == "go" and asked.observed_at == world.now


def test_it_stops_before_a_wall():
    world = World()
    world.sensor.wall = 1.5
    ticks = world.run(100)
    assert world.x > 0.3 and world.robot.actor.recovery.count > 0  # it came near, stood, and backed off
    assert max(tick.result.v for tick in ticks) == pytest.approx(0.3)
    assert world.x + CONFIG.front_m + CONFIG.margin_m <= 1.5 + 1e-6
    assert GateReason.BLOCKED in {tick.result.reason for tick in ticks}


def test_without_a_subgoal_it_stands_and_asks_nothing():
    world = World()
    assert {tick.result.v for tick in world.run(5, subgoal="")} == {0.0} and not world.policy.asked
    world.run(10)
    assert world.v > 0.1
    ticks = world.run(8, subgoal="")
    assert ticks[0].act.row is None and world.v == 0.0


def test_pictures_may_be_rare_but_not_missing():
    world = World()
    for k in range(30):
        world.tick(pair=k % 3 == 0)
    assert world.v == pytest.approx(0.3)
    ticks = world.run(8, pair=False)
    assert world.v == 0.0 and ticks[-1].reading is None and ticks[-1].act.row is None


@pytest.mark.parametrize("stage", ["sensor", "policy", "actor", "odometry"])
def test_an_error_in_any_stage_is_a_stop_and_is_reported(stage, monkeypatch):
    world = World()
    world.run(10)
    assert world.v > 0.1
    how = {}
    if stage == "odometry":
        how["pose"] = np.full((4, 4), np.nan)
    elif stage == "actor":
        monkeypatch.setattr(world.robot.actor, "tick", lambda *_: 1 / 0)
    else:
        getattr(world, stage).error = RuntimeError("because")
    ticks = world.run(3, **how)
    assert all(tick.error is not None and tick.reading is None for tick in ticks)
    assert {(tick.result.v, tick.result.reason) for tick in ticks} == {(0.0, GateReason.INTERNAL_ERROR)}
    assert ticks[-1].act.row is None


def test_an_answer_that_is_not_finite_never_reaches_the_base():
    world = World()
    world.policy.v = np.nan
    ticks = world.run(10)
    assert {tick.result.v for tick in ticks} == {0.0} and world.robot.actor.broker.refused["not_finite"] > 0


def test_a_jump_of_the_odometry_stops_it_for_good():
    world = World()
    world.run(10)
    world.x += 5.0
    assert {(t.result.v, t.result.reason) for t in world.run(5)} == {(0.0, GateReason.ODOMETRY_JUMPED)}


def test_a_motion_aside_is_refused():
    world = World(("linear_x_m_s", "linear_y_m_s", "angular_z_rad_s"))
    world.policy.infer = lambda seen, stop=None: ActionChunk(np.full((8, 3), 0.1, np.float32), DT, seen.observed_at)
    result = world.tick().result
    assert result.reason is GateReason.COMMAND_UNFIT and result.detail.startswith("linear.y is 0.1 m/s")


def test_a_policy_of_an_arm_drives_no_base():
    with pytest.raises(ValueError, match="not those of a base") as error:
        World(("shoulder", "elbow"))
    assert "shoulder, elbow (allowed: at least one of angular_z_rad_s, linear_x_m_s, linear_y_m_s; interact" in str(
        error.value
    )


def test_a_subgoal_instead_of_a_function_is_refused():
    robot = World().robot
    with pytest.raises(TypeError, match=r"Robot: orchestrate must be a function .* got 'go'"):
        Robot(None, "go", robot.policy, robot.actor, robot.gate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pose": np.eye(3)}, "T_odom_base must be a (4, 4) matrix, got shape (3, 3)"),
        ({"images": IMAGE}, "images must be (1, 4, 4, 3) uint8, got (4, 4, 3) uint8"),
        ({"images": np.zeros((1, 8, 8, 3), np.uint8)}, "images must be (1, 4, 4, 3) uint8, got (1, 8, 8, 3) uint8"),
        ({"images": np.zeros((1, 4, 4, 3))}, "images must be (1, 4, 4, 3) uint8, got (1, 4, 4, 3) float64"),
        ({"proprio": np.zeros(2)}, "proprio must be (1,) numbers (speed_m_s), got shape (2,)"),
    ],
)
def test_what_does_not_fit_is_a_stop_that_says_so(changes, message):
    world = World()
    ticks = world.run(3, **changes)
    assert {str(tick.error) for tick in ticks} == {f"Robot: {message}"} and not world.policy.asked
    assert {(tick.result.v, tick.result.reason) for tick in ticks} == {(0.0, GateReason.INTERNAL_ERROR)}


def test_a_robot_without_a_sensor_never_moves_behind_a_gate():
    world = World()
    world.robot.sensor = None
    assert {tick.result.v for tick in world.run(10)} == {0.0}
