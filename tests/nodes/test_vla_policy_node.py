"""vla_policy_node in this process, fed over real topics; the policy answers by hand but for one test."""

import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.policy.base import ActionChunk
from rarrl.policy.spec import PolicySpec
from rarrl.types import CallStatus
from rarrl.worker_process import CallFailedError

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("trajectory_msgs", reason="trajectory_msgs is missing: it comes with rarrl[ros] or a ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from rarrl_nodes import vla_policy_node
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.vla_policy_node import VlaPolicyNode

SPEC = PolicySpec(
    vocabulary=("go", "left", "right"),
    max_words=3,
    cameras=("top", "side"),
    image_size=64,
    proprio_names=("x", "y"),
    proprio_mean=(0.0, 0.0),
    proprio_scale=(1.0, 1.0),
    action_names=("vx", "vy"),
    action_low=(-1.0, -1.0),
    action_high=(1.0, 1.0),
    horizon=8,
    control_hz=80.0,
)
SETTINGS = {"policy.control_hz": 20.0, "policy.max_observation_age_s": 0.3, "policy.deadline_s": 0.2}


class HandPolicy:
    """Stands where the process stands: row i of the k-th chunk is (k, i) / 100, or what `answer` makes of it."""

    def __init__(self, settings):
        self.spec, self.restarts, self.pid, self.down = SPEC, 0, 7, ""
        self.asked, self.pings, self.closed = [], 0, False
        self.answer = lambda actions: actions

    def infer(self, observation, deadline):
        self.asked.append(observation)
        actions = np.stack([np.full(8, len(self.asked)), np.arange(8)], axis=1).astype(np.float32) / 100
        return ActionChunk(self.answer(actions), 1 / 80, observation.observed_at)

    def ping(self, deadline):
        self.pings += 1

    def close(self):
        self.closed = True


class Robot:
    """Publishes to the node under test and hears it."""

    def __init__(self, ear):
        self.ear = ear
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
        self.images = {name: ear.node.create_publisher(Image, f"{name}/image", qos) for name in SPEC.cameras}
        self.joints = ear.node.create_publisher(JointState, "proprio", qos)
        self.subgoal = ear.node.create_publisher(String, "subgoal", LATCHED)
        self.chunks, self.commands = [], []
        ear.node.create_subscription(JointTrajectory, "action_chunk", self.chunks.append, 100)
        ear.node.create_subscription(JointTrajectory, "joint_command", self.commands.append, 100)

    def connect(self):
        ends = (*self.images.values(), self.joints, self.subgoal)
        assert self.ear.until(lambda: all(p.get_subscription_count() for p in ends))
        return self

    def stamp(self, age_s=0.0):
        return (self.ear.node.get_clock().now() - Duration(seconds=age_s)).to_msg()

    def image(self, value=7, **changes):
        msg = Image(height=64, width=64, encoding="rgb8", step=192)
        msg.data.frombytes(np.full((64, 64, 3), (value, 0, 0), np.uint8).tobytes())
        msg.header.stamp = self.stamp()
        for name, changed in changes.items():
            setattr(msg, name, changed)
        return msg

    def send(self, age_s=0.0, position=(0.1, 0.2)):
        stamp = self.stamp(age_s)
        for publisher in self.images.values():
            msg = self.image()
            msg.header.stamp = stamp
            publisher.publish(msg)
        joints = JointState(name=["y", "x"], position=list(position))
        joints.header.stamp = stamp
        self.joints.publish(joints)
        return stamp

    def tell(self, text):
        self.subgoal.publish(String(data=text))

    def listen(self, seconds):
        self.ear.until(lambda: False, seconds)

    def drive(self, condition, seconds=10.0):
        """Sends observations at 20 Hz until `condition()`; whether it came to hold."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.send()
            self.ear.until(condition, 0.05)
        return condition()

    def acts(self):
        """Whether rows come, from now on."""
        start = len(self.commands)
        return self.drive(lambda: any(c.points for c in self.commands[start:]))


class Named:
    """Publishes proprioception under other names, at rest."""

    def __init__(self, publisher, names):
        self._publisher, self._names = publisher, names
        self.get_subscription_count = publisher.get_subscription_count

    def publish(self, msg):
        msg.name, msg.position = self._names, [0.0] * len(self._names)
        self._publisher.publish(msg)


@pytest.fixture
def robot(ear):
    return Robot(ear)


@pytest.fixture
def node(robot, local_node, monkeypatch):
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", HandPolicy)
    made = local_node(VlaPolicyNode, **SETTINGS)
    robot.connect()
    return made


def values(node):
    level, message, told = node.diagnose()
    return {"level": level, "message": message, **told}


def test_chunks_and_rows_carry_the_stamp_of_the_observation(node, robot):
    robot.tell("go left")
    stamp = robot.send()
    assert robot.ear.until(lambda: robot.chunks and any(c.points for c in robot.commands))
    chunk, row = robot.chunks[0], next(c for c in robot.commands if c.points)
    assert chunk.header.stamp == row.header.stamp == stamp
    assert chunk.joint_names == row.joint_names == ["vx", "vy"]
    assert [list(p.positions) for p in chunk.points] == [pytest.approx([0.01, i / 100]) for i in range(8)]
    after = [p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in chunk.points]
    assert after == pytest.approx([i / 20 for i in range(8)], abs=1e-6)
    assert len(row.points) == 1 and row.points[0].positions[0] == pytest.approx(0.01)
    assert row.points[0].time_from_start.nanosec == pytest.approx(5e7)
    asked = node._policy.asked[0]
    assert asked.instruction == "go left" and asked.proprio.tolist() == pytest.approx([0.2, 0.1])
    assert asked.images[1, 5, 5].tolist() == [7, 0, 0]  # RGB all the way


def test_a_policy_of_velocities_drives_a_base(robot, local_node, monkeypatch, ear):
    spec = SPEC.model_copy(update={"action_names": ("angular_z_rad_s", "linear_x_m_s")})
    monkeypatch.setattr(HandPolicy, "spec", property(lambda self: spec, lambda self, value: None), raising=False)
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", HandPolicy)
    heard = []
    ear.node.create_subscription(TwistStamped, "command", heard.append, 100)
    local_node(VlaPolicyNode, **SETTINGS)
    robot.connect()
    assert robot.ear.until(lambda: heard)
    robot.tell("go left")
    stamp = robot.send()
    assert robot.ear.until(lambda: any(c.twist.angular.z for c in heard))
    moving = next(c for c in heard if c.twist.angular.z)
    assert moving.header.stamp == stamp
    assert (moving.twist.angular.z, heard[0].twist.angular.z) == (pytest.approx(0.01), 0.0)
    robot.listen(0.6)
    last = heard[-1].twist
    assert (last.linear.x, last.angular.z) == (0.0, 0.0)


def test_who_wants_to_interact_stands(robot, local_node, monkeypatch, ear):
    spec = SPEC.model_copy(
        update={
            "action_names": ("linear_x_m_s", "angular_z_rad_s", "interact"),
            "action_low": (-1.0,) * 3,
            "action_high": (1.0,) * 3,
        }
    )
    monkeypatch.setattr(HandPolicy, "spec", property(lambda self: spec, lambda self, value: None), raising=False)
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", HandPolicy)
    commands, presses = [], []
    ear.node.create_subscription(TwistStamped, "command", commands.append, 100)
    ear.node.create_subscription(Bool, "interact", presses.append, 100)
    node = local_node(VlaPolicyNode, **SETTINGS)
    wish = 0.0
    node._policy.answer = lambda actions: np.tile(np.float32([0.3, 0.1, wish]), (8, 1))
    robot.connect()
    robot.tell("go left")
    assert robot.drive(lambda: presses and any(c.twist.linear.x for c in commands))
    assert not any(p.data for p in presses)
    wish = 1.0
    assert robot.drive(lambda: presses[-1].data)
    first = len(commands)
    assert robot.drive(lambda: len(commands) > first and commands[-1].header.stamp != commands[first].header.stamp)
    stands = [(c.twist.linear.x, c.twist.angular.z) for c in commands[first:]]
    assert set(stands) == {(0.0, 0.0)}
    robot.listen(0.6)  # nothing seen any more: the hand does not act either
    assert not presses[-1].data


def test_a_base_that_does_not_get_on_backs_off(robot, local_node, monkeypatch, ear):
    spec = SPEC.model_copy(
        update={"action_names": ("linear_x_m_s", "angular_z_rad_s"), "proprio_names": ("x", "speed_m_s")}
    )
    monkeypatch.setattr(HandPolicy, "spec", property(lambda self: spec, lambda self, value: None), raising=False)
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", HandPolicy)
    monkeypatch.setattr("rarrl.policy.recovery.STUCK_S", 0.5)
    heard = []
    ear.node.create_subscription(TwistStamped, "command", heard.append, 100)
    node = local_node(VlaPolicyNode, **SETTINGS)
    node._policy.answer = lambda actions: np.full((8, 2), 0.3, np.float32)
    robot.joints = Named(robot.joints, ["x", "speed_m_s"])
    robot.connect()
    robot.tell("go left")
    assert robot.drive(lambda: any(c.twist.linear.x == pytest.approx(0.3) for c in heard))
    assert robot.drive(lambda: heard[-1].twist.linear.x == pytest.approx(-0.2))
    assert heard[-1].twist.angular.z == 0.0 and heard[-1].header.stamp.sec > 0
    assert values(node)["recoveries"] == 1
    node._on_subgoal(String(data="go right"))
    assert robot.drive(lambda: heard[-1].twist.linear.x == pytest.approx(0.3))


def test_when_observations_cease_it_holds_in_time(node, robot):
    robot.tell("go left")
    assert robot.acts()
    robot.listen(0.5)
    first = len(robot.commands)
    robot.listen(0.3)
    held = robot.commands[first:]
    assert held and not any(c.points for c in held)  # told each tick
    assert values(node)["level"] == DiagnosticStatus.STALE
    assert robot.acts()


def test_without_a_subgoal_nothing_is_asked(node, robot):
    robot.drive(lambda: False, 0.4)
    assert not node._policy.asked and robot.commands and not any(c.points for c in robot.commands)
    assert values(node)["message"].startswith("holding: no subgoal (/test")


@pytest.mark.parametrize(("text", "says"), [("", "no subgoal"), ("fly away", "no word"), ("go " * 4, "1 to 3 words")])
def test_a_subgoal_that_cannot_be_followed_means_hold_at_once(node, robot, text, says):
    robot.tell("go left")
    assert robot.acts()
    robot.tell(text)
    assert robot.ear.until(lambda: says in values(node)["message"])
    first = len(robot.commands) + 1  # one may be on its way
    robot.drive(lambda: False, 0.3)
    assert not any(c.points for c in robot.commands[first:])
    robot.tell("go right")
    assert robot.acts()


def test_an_answer_to_an_earlier_subgoal_is_dropped(node, robot):
    gate = threading.Event()

    def wait(actions):
        assert gate.wait(10.0)
        return actions

    node._policy.answer = wait
    robot.tell("go left")
    assert robot.drive(lambda: node._policy.asked)
    robot.tell("go right")
    assert robot.ear.until(lambda: node._subgoal == "go right")
    gate.set()
    assert robot.drive(lambda: robot.chunks)
    assert values(node)["other_subgoal"] == 1
    assert node._policy.asked[-1].instruction == "go right"


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        (lambda actions: np.where(actions == actions.max(), np.nan, actions), "not_finite"),
        (lambda actions: actions[:5], "shape"),
        (lambda actions: actions[:, :1], "shape"),
    ],
)
def test_chunks_that_are_no_good_never_leave_it(node, robot, spoil, refused):
    node._policy.answer = spoil
    robot.tell("go left")
    assert robot.drive(lambda: values(node)[f"refused_{refused}"] >= 3)
    assert not robot.chunks and not any(c.points for c in robot.commands)
    node._policy.answer = lambda actions: actions
    assert robot.acts()


@pytest.mark.parametrize("dt", [math.nan, math.inf, 0.0, -0.1])
def test_a_chunk_whose_rows_take_no_time_is_refused(node, robot, dt):
    good = node._policy.infer
    node._policy.infer = lambda observation, deadline: replace(good(observation, deadline), dt=dt)
    robot.tell("go left")
    assert robot.drive(lambda: values(node)["worker_failures"] >= 2)
    assert f"dt = {dt:g}" in values(node)["message"]
    assert not robot.chunks and not any(c.points for c in robot.commands)
    node._policy.infer = good
    assert robot.acts()


def with_spec(monkeypatch, **changes):
    """A policy by hand whose spec is another one."""
    monkeypatch.setattr(
        HandPolicy, "spec", property(lambda self: SPEC.model_copy(update=changes), lambda self, value: None), False
    )
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", HandPolicy)


def test_a_policy_without_cameras_acts_on_its_joints_alone(robot, local_node, monkeypatch):
    with_spec(monkeypatch, cameras=())
    node = local_node(VlaPolicyNode, **SETTINGS)
    robot.images = {}
    robot.connect()
    robot.tell("go left")
    assert robot.acts()
    assert node._policy.asked[0].images.shape == (0, 64, 64, 3) and values(node)["exceptions"] == 0


def test_an_error_before_the_policy_is_asked_is_said_and_the_thread_goes_on(node, robot):
    latest = node._feed.latest

    def fail(instruction):
        raise RuntimeError("no such part")

    node._feed.latest = fail
    robot.tell("go left")
    assert robot.drive(lambda: values(node)["exceptions"] >= 2)
    assert values(node)["message"] == "holding: no fresh chunk (RuntimeError: no such part)"
    assert values(node)["exceptions"] < 50  # it waits between two attempts
    node._feed.latest = latest
    assert robot.acts()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"control_hz": 0.0}, "policy: control_hz: 0 is not allowed (allowed: 0.1 to 1000 Hz)"),
        ({"control_hz": math.nan}, "policy: control_hz: nan is not allowed (allowed: 0.1 to 1000 Hz)"),
        ({"control_hz": -5.0}, "policy: control_hz: -5 is not allowed (allowed: 0.1 to 1000 Hz)"),
        ({"control_hz": 1e9}, "policy: control_hz: 1e+09 is not allowed (allowed: 0.1 to 1000 Hz)"),
        ({"horizon": 0}, "policy: horizon must be a whole number of at least 1, got 0"),
        ({"cameras": ("top", "top")}, "policy: cameras: 'top' is there twice"),
        ({"action_low": (-1.0,)}, "policy: action_low must hold 2 numbers, one for each of action_names, got 1"),
        ({"cameras": ("left eye",)}, "policy: its cameras 'left eye' make no topics: Invalid topic name"),
    ],
)
def test_a_spec_that_nothing_can_be_controlled_by_is_one_line(local_node, monkeypatch, changes, says):
    with_spec(monkeypatch, **changes)
    with pytest.raises(InputError) as error:
        local_node(VlaPolicyNode)
    assert str(error.value).startswith(says) and "\n" not in str(error.value)


@pytest.mark.parametrize("status", [CallStatus.TIMEOUT, CallStatus.BACKEND_DOWN, None])
def test_failures_are_counted_then_held_then_over(node, robot, status):
    good = node._policy.answer

    def fail(actions):
        raise CallFailedError(status, "because") if status else RuntimeError("because")

    robot.tell("go left")
    assert robot.acts()
    node._policy.answer = fail
    counter = {CallStatus.TIMEOUT: "late", CallStatus.BACKEND_DOWN: "worker_failures", None: "exceptions"}[status]
    first = len(robot.commands)
    assert robot.drive(lambda: values(node)[counter] >= 1 and "because" in values(node)["message"])
    assert any(not c.points for c in robot.commands[first:]) or robot.ear.until(lambda: not robot.commands[-1].points)
    node._policy.answer = good
    assert robot.acts()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoding": "32FC1"}, "corrupt"),
        ({"encoding": "mono8", "step": 192}, "corrupt"),
        ({"step": 7}, "corrupt"),
        ({"data": b"\0" * 100}, "corrupt"),
        ({"height": 0, "width": 0, "step": 0, "data": b""}, "corrupt"),
        ({"height": 32, "width": 128, "step": 384}, "corrupt"),
        ({"height": 16384, "width": 16384, "step": 49152}, "corrupt"),
    ],
)
def test_bad_pictures_are_dropped_and_counted(node, robot, changes, reason):
    robot.tell("go left")
    robot.images["top"].publish(robot.image(**changes))
    assert robot.ear.until(lambda: values(node)[f"dropped_{reason}"] == 1)
    assert robot.acts()


def test_bad_stamps_and_joints_are_dropped_and_counted(node, robot):
    robot.tell("go left")
    robot.send(age_s=1.0)
    robot.send(age_s=-1.0)
    robot.send(position=(math.nan, 0.0))
    robot.send(position=(0.0,))
    assert robot.ear.until(lambda: values(node)["dropped_proprio"] == 2)
    told = values(node)
    assert (told["dropped_stale"], told["dropped_future"]) == (3, 3)
    assert not node._policy.asked
    assert robot.acts()


def test_an_idle_worker_is_asked_whether_it_is_there(node, robot):
    assert robot.ear.until(lambda: node._policy.pings >= 2)


def test_deactivated_it_is_silent_and_cleaned_up_it_lets_go(node, robot):
    robot.tell("go left")
    assert robot.acts()
    policy, name = node._policy, f"{node.get_namespace()}/vla_policy_node"
    assert robot.ear.change_state(name, Transition.TRANSITION_DEACTIVATE)
    robot.listen(0.1)
    count = len(robot.commands)
    robot.drive(lambda: False, 0.3)
    assert len(robot.commands) == count and not policy.closed
    assert robot.ear.change_state(name, Transition.TRANSITION_ACTIVATE)
    assert robot.acts()  # the subgoal still holds
    assert robot.ear.change_state(name, Transition.TRANSITION_DEACTIVATE)
    assert robot.ear.change_state(name, Transition.TRANSITION_CLEANUP)
    assert policy.closed
    assert robot.ear.change_state(name, Transition.TRANSITION_CONFIGURE)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"policy.deadline_s": 0.5, "policy.max_observation_age_s": 0.3}, "policy.deadline_s: 0.5 is not allowed"),
        ({"policy.control_hz": 1e-9}, "policy.control_hz: 1e-09 is not allowed"),
        ({"policy.blend_rows": -1}, "policy.blend_rows: -1 is not allowed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(local_node, monkeypatch, parameters, says):
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", HandPolicy)
    with pytest.raises(InputError, match=says):
        local_node(VlaPolicyNode, **parameters)


def test_a_folder_that_is_no_policy_fails_the_transition_and_not_the_node(local_node, ear, tmp_path):
    pytest.importorskip("llama_cpp")
    node = local_node(VlaPolicyNode, start=False, **{"policy.folder": str(tmp_path)})
    name = f"{node.get_namespace()}/vla_policy_node"
    assert not ear.change_state(name, Transition.TRANSITION_CONFIGURE)
    assert "card.json does not exist" in node.failure
    assert not ear.change_state(name, Transition.TRANSITION_CONFIGURE)


def test_the_shipped_policy_acts(local_node, ear):
    pytest.importorskip("llama_cpp")
    node = local_node(VlaPolicyNode, **{"policy.control_hz": 10.0})
    robot = Robot(ear).connect()
    robot.tell("open the drawer")

    def send():
        stamp = robot.send()
        joints = JointState(name=list(node._spec.proprio_names), position=[0.0, 0.6, 0.2, 1.0])
        joints.header.stamp = stamp
        robot.joints.publish(joints)

    end = time.monotonic() + 20.0
    while not any(c.points for c in robot.commands) and time.monotonic() < end:
        send()
        robot.listen(0.1)
    row = next(c for c in robot.commands if c.points)
    assert row.joint_names == ["dx", "dy", "dz", "gripper"] and np.abs(row.points[0].positions).max() <= 1.0
