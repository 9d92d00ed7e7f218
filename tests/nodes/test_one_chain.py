"""What the nodes make of messages, and what `Robot.tick` makes of the same observations: the same commands.

No graph runs here: the nodes' conversions and stages are called in their order, so that time stands still between."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("sensor_msgs", reason="sensor_msgs is missing: it comes with rarrl[ros] or a ROS 2")
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image, LaserScan

from rarrl.config import GateConfig, PolicyConfig
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.perception.voxels import grid_spec
from rarrl.policy.actor import Actor
from rarrl.policy.base import ActionChunk, Observation
from rarrl.poses import pose_matrix
from rarrl.robot import Robot, RobotObservation
from rarrl.safety.base_gate import BaseGate
from rarrl.types import RobotCommand, StereoPair
from rarrl_learning.perception.synthetic import SynthConfig, render_pair
from rarrl_nodes.readings import nanoseconds, pose_of, range_scan_of, seconds, speeds_of
from rarrl_nodes.stereo_messages import image_of, rig_of, scan_of

DT = 0.1
BEGIN_S = 1_000_000.0  # the stamps' clock; the steady one starts at 0
GATE = GateConfig(rate_hz=1 / DT, sensor_x_m=0.1, sensor_y_m=0.06, radius_m=0.28, look_radps=0.8, blind_m=0.2)
CAMERA_HEIGHT_M, CAMERA_PITCH_RAD = 0.6, 0.2
BODY = Body(low_m=0.15, high_m=1.5)
ACTING = PolicyConfig()


class Policy:
    """Speeds by the number of the observation; turns on the spot at times, wants to interact at the end."""

    spec = SimpleNamespace(
        action_names=("linear_x_m_s", "angular_z_rad_s", "interact"),
        proprio_names=("speed_m_s", "busy"),
        horizon=8,
        cameras=("front",),
        image_size=4,
    )

    def infer(self, observation, stop=None):
        k = round(observation.observed_at / DT)
        row = (0.4 * (k % 7 != 3), 0.4 * math.sin(k), float(k > 20))
        rows = np.tile(np.float32(row), (8, 1))
        rows[:, 1] += np.arange(8, dtype=np.float32) / 50
        return ActionChunk(rows, DT, observation.observed_at)

    def reset(self):
        """Nothing is kept."""


@pytest.fixture(scope="module")
def scene():
    return render_pair(3, 0, SynthConfig(width=320, height=240, kinds=("indoor",), misrectification_px=0.0))


@pytest.fixture(scope="module")
def recorded(scene):
    """24 ticks: where the base was, how fast, and every third time a pair; the eighth pair is dark."""
    rng = np.random.default_rng(5)
    x = y = yaw = 0.0
    ticks = []
    for k in range(24):
        v, omega = 0.25 + 0.1 * rng.random(), 0.3 * rng.normal()
        x, y, yaw = x + DT * v * math.cos(yaw), y + DT * v * math.sin(yaw), yaw + DT * omega
        pair = None
        if k % 3 == 0:
            noise = rng.integers(0, 3, scene.pair.left.shape, np.uint8)
            left, right = scene.pair.left // 2 + noise, scene.pair.right // 2 + noise
            pair = (left, right) if k != 21 else (np.zeros_like(left), np.zeros_like(right))
        ticks.append(((x, y, yaw), v, 10 <= k < 12, pair))
    return ticks


def robot_commands(recorded, scene):
    """Robot.tick on values."""
    detector = ClassicalDetector(scene.rig, grid_spec("indoor"))
    sensor = ObstacleSensor(detector, camera_pose(CAMERA_HEIGHT_M, CAMERA_PITCH_RAD), BODY, sectors=31)
    policy = Policy()
    actor = Actor(policy.spec, DT, ACTING.max_observation_age_s, ACTING.blend_rows, ACTING.replan_share)
    subgoals = iter(["", *["go"] * (len(recorded) - 1)])
    robot = Robot(sensor, lambda: next(subgoals), policy, actor, BaseGate(GATE))

    ticks = []
    for k, (pose, v, busy, pair) in enumerate(recorded):
        now = DT * k
        seen = RobotObservation(now, pose_matrix(*pose), v, busy)
        if pair is not None:
            images, proprio = np.zeros((1, 4, 4, 3), np.uint8), np.array([v, busy], np.float32)
            seen = RobotObservation(now, pose_matrix(*pose), v, busy, StereoPair(*pair, now), images, proprio)
        tick = robot.tick(seen)
        assert tick.error is None
        ticks.append((tick.act.motion, tick.act.interact, tick.result))
    return ticks


def over_the_wire(msg):
    """As it arrives: numbers as wide as the message has them."""
    return deserialize_message(serialize_message(msg), type(msg))


def stamp_of(now):
    ns = round(1e9 * (BEGIN_S + now))
    return Time(sec=ns // 10**9, nanosec=ns % 10**9)


def image_message(image, now):
    msg = Image(height=image.shape[0], width=image.shape[1], encoding="bgr8", step=image[0].nbytes)
    msg.header.stamp = stamp_of(now)
    msg.data.frombytes(image.tobytes())
    return msg


def info_message(rig, shift, cx):
    info = CameraInfo(width=rig.width, height=rig.height)
    info.p = [rig.fx, 0.0, cx, shift, 0.0, rig.fy, rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def odometry_message(pose, now):
    msg = Odometry()
    msg.header.stamp = stamp_of(now)
    msg.pose.pose.position.x, msg.pose.pose.position.y = pose[0], pose[1]
    msg.pose.pose.orientation.z, msg.pose.pose.orientation.w = math.sin(pose[2] / 2), math.cos(pose[2] / 2)
    return msg


def node_commands(recorded, scene):
    """The stages of the three nodes, with messages between them as the nodes write and read them."""
    rig = scene.rig
    left = info_message(rig, 0.0, rig.cx)
    right = info_message(rig, -rig.fx * rig.baseline, rig.cx + rig.doffs)
    detector = ClassicalDetector(rig_of(over_the_wire(left), over_the_wire(right)), grid_spec("indoor"))
    sensor = ObstacleSensor(detector, camera_pose(CAMERA_HEIGHT_M, CAMERA_PITCH_RAD), BODY, sectors=31)
    policy = Policy()
    actor = Actor(policy.spec, DT, ACTING.max_observation_age_s, ACTING.blend_rows, ACTING.replan_share)
    gate = BaseGate(GATE)

    ticks = []
    for k, (pose, v, busy, pair) in enumerate(recorded):
        now = DT * k
        odometry = over_the_wire(odometry_message(pose, now))
        gate.on_odometry(pose_of(odometry), seconds(odometry.header.stamp), now)
        if pair is not None:  # stereo_voxel_node, then safety_gate_node
            messages = [over_the_wire(image_message(image, now)) for image in pair]
            reading = sensor.read(StereoPair(*map(image_of, messages), seconds(messages[0].header.stamp)))
            scan = over_the_wire(scan_of(reading.scan, messages[0].header.stamp, "stereo_scan"))
            assert isinstance(scan, LaserScan) and gate.on_scan(range_scan_of(scan), seconds(scan.header.stamp), now)

        actor.follow("go" if k > 0 else "")  # vla_policy_node
        if pair is not None and actor.wants_chunk(now):
            actor.asked()
            seen = Observation(np.zeros((1, 4, 4, 3), np.uint8), np.array([v, busy], np.float32), "go", now)
            actor.take(policy.infer(seen), "go", now)
        act = actor.tick(now, v, busy)
        msg = TwistStamped()
        msg.header.stamp = stamp_of(act.observed_at)
        msg.twist.linear.x, msg.twist.angular.z = act.motion.linear_x, act.motion.angular_z
        msg = over_the_wire(msg)

        observed_s = nanoseconds(msg.header.stamp) / 1e9 - BEGIN_S  # safety_gate_node
        v, omega, fault = speeds_of(msg)
        result = gate.check(RobotCommand(v, omega, observed_s, now, fault), now)
        ticks.append((act.motion, act.interact, result))
    return ticks


def test_the_nodes_stages_and_the_robots_tick_give_the_same_commands(recorded, scene):
    ours, theirs = robot_commands(recorded, scene), node_commands(recorded, scene)
    assert [(motion, interact) for motion, interact, _ in ours] == [(m, i) for m, i, _ in theirs]
    assert [result.reason for *_, result in ours] == [result.reason for *_, result in theirs]
    np.testing.assert_allclose(
        [(result.v, result.omega) for *_, result in ours], [(r.v, r.omega) for *_, r in theirs], atol=1e-6
    )
    moved = [result.v for *_, result in ours]
    assert sum(v > 0.05 for v in moved) >= 5 and moved[0] == 0.0  # not only zeros were compared
    assert len({result.reason for *_, result in ours}) >= 3 and any(interact for _, interact, _ in ours)
