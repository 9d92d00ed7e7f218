"""deadman_node over real topics: what passes, what makes it say zero, and that it says so when the gate is gone."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

from rarrl.errors import InputError
from rarrl_nodes.deadman_node import LATCHED, DeadmanNode

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
LOSSY = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Robot:
    """What stands around the deadman: the gate above, the base below, and a person."""

    def __init__(self, ear, kind=TwistStamped):
        self.ear, self.kind, self.heard = ear, kind, []
        self.gate = ear.node.create_publisher(kind, "cmd_vel_gated", 1)
        self.latched = []
        ear.node.create_subscription(kind, "cmd_vel", self.heard.append, 100)
        ear.node.create_subscription(Bool, "estop_latched", lambda msg: self.latched.append(msg.data), LATCHED)
        assert ear.until(lambda: self.heard and self.latched and self.gate.get_subscription_count(), 20.0)

    def command(self, v=0.2, omega=0.0, age_s=0.0, publisher=None):
        msg = self.kind()
        twist = getattr(msg, "twist", msg)
        twist.linear.x, twist.angular.z = v, omega
        if msg is not twist:
            msg.header.stamp = (self.ear.node.get_clock().now() - Duration(seconds=age_s)).to_msg()
            msg.header.frame_id = "from_the_gate"
        (publisher or self.gate).publish(msg)

    @property
    def speeds(self):
        return [getattr(msg, "twist", msg).linear.x for msg in self.heard]

    def drives(self, v=0.2, **asked):
        """Zero, then commands at 20 Hz, until one arrives at the base; whether it does."""
        end = time.monotonic() + 10.0
        while time.monotonic() < end:
            self.command(0.0)
            self.ear.until(lambda: False, 0.05)
            for _ in range(4):
                self.command(v, **asked)
                self.ear.until(lambda: False, 0.05)
                if self.speeds[-1] == v:
                    return True
        return False

    def stands(self, seconds=0.5, v=0.2, **asked):
        """Commands at 20 Hz; whether the base hears nothing but zero."""
        self.heard.clear()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.command(v, **asked)
            self.ear.until(lambda: False, 0.05)
        return bool(self.heard) and set(self.speeds) == {0.0}

    def says(self, text, level=None):
        """Whether the diagnostics come to say so."""
        found = lambda: any(  # noqa: E731
            text in s.message and (level is None or s.level == level)
            for s in self.ear.statuses("deadman_node: commands")
        )
        return self.ear.until(found)


@pytest.fixture
def robot(ear, local_node):
    node = local_node(DeadmanNode, start=False)
    robot = Robot(ear)
    robot.node = node
    return robot


def test_it_says_zero_at_once_and_nothing_passes_before_a_zero(robot):
    assert robot.stands() and robot.says("HELD: not started")
    assert robot.heard[-1].header.frame_id == "base_link"
    assert robot.drives() and robot.heard[-1].header.frame_id == "from_the_gate"
    assert robot.ear.until(lambda: robot.ear.statuses("deadman_node: commands")[-1].level == DiagnosticStatus.OK)
    assert robot.latched == [False]


def test_silence_is_zero_at_a_fixed_rate_and_a_short_one_goes_on(robot):
    assert robot.drives()
    robot.heard.clear()
    assert robot.ear.until(lambda: robot.speeds[-4:] == [0.0] * 4)
    robot.command()
    assert robot.ear.until(lambda: robot.speeds[-1] == 0.2)
    assert robot.says("SILENT", DiagnosticStatus.ERROR)


def test_after_a_long_silence_it_stands_until_zero(robot):
    assert robot.drives()
    assert robot.says("HELD: no commands for long") and robot.stands() and robot.drives()


@pytest.mark.parametrize("asked", [{"age_s": 0.5}, {"age_s": 3600.0}, {"age_s": -5.0}, {"v": math.nan}])
def test_old_commands_and_those_that_are_none_do_not_pass(robot, asked):
    assert robot.drives()
    robot.ear.until(lambda: robot.speeds[-1] == 0.0)
    assert robot.stands(**asked)
    assert not any(math.isnan(v) for v in robot.speeds)


def test_emergency_stop_by_topic_and_reset(robot):
    button = robot.ear.node.create_publisher(Bool, "estop", LOSSY)
    assert robot.drives() and robot.ear.until(button.get_subscription_count)
    button.publish(Bool(data=True))
    assert robot.ear.until(lambda: robot.latched == [False, True]) and robot.stands()
    assert "still pressed" in robot.ear.call("deadman_node/reset").message
    button.publish(Bool(data=False))
    assert robot.stands(1.2)

    robot.command()
    refused = robot.ear.call("deadman_node/reset")
    if not refused.success:  # on a machine so busy that the command is old by now, the reset is allowed
        assert "commands still ask for motion" in refused.message
        assert robot.stands()
        robot.ear.until(lambda: False, 0.3)
        assert robot.ear.call("deadman_node/reset").success
    assert robot.latched[-1] is False or robot.ear.until(lambda: robot.latched[-1] is False)
    assert robot.stands() and robot.drives()


def test_emergency_stop_by_service_and_enable(robot):
    assert robot.drives()
    assert robot.ear.call("deadman_node/estop").message == "ESTOP: emergency stop: asked for"
    assert not robot.ear.call("deadman_node/enable").success and robot.stands()
    robot.ear.until(lambda: False, 0.3)
    assert robot.ear.call("deadman_node/reset").success
    assert "no commands are heard" in robot.ear.call("deadman_node/enable").message


def test_a_button_that_was_pressed_before_it_came_stops_it_where_it_is_latched(ear, local_node):
    button = ear.node.create_publisher(Bool, "estop", LATCHED)
    button.publish(Bool(data=True))
    local_node(DeadmanNode, start=False)
    robot = Robot(ear)
    assert ear.until(lambda: True in robot.latched) and robot.stands()


def test_another_publisher_below_or_above_it_holds_it(robot):
    for topic, words in (("cmd_vel", "another publisher on cmd_vel"), ("cmd_vel_gated", "of the gate's commands")):
        rival = robot.ear.node.create_publisher(TwistStamped, topic, RELIABLE)
        assert robot.ear.until(rival.get_subscription_count) and robot.drives()
        robot.command(0.0 if topic == "cmd_vel" else 0.4, publisher=rival)
        assert robot.says(words)
        robot.ear.until(lambda: False, 0.05)
        assert robot.stands() and 0.4 not in robot.speeds and robot.drives()
        robot.ear.node.destroy_publisher(rival)


def test_an_error_inside_is_an_emergency_stop(robot, monkeypatch):
    assert robot.drives()
    monkeypatch.setattr(robot.node._timeline, "look", lambda *_: 1 / 0)
    assert robot.says("ESTOP: emergency stop: internal error: ZeroDivisionError") and robot.stands()


def test_a_plain_twist_where_the_base_wants_one(ear, local_node):
    local_node(DeadmanNode, start=False, twist_stamped=False)
    robot = Robot(ear, Twist)
    assert robot.drives()
    rival = ear.node.create_publisher(Twist, "cmd_vel", RELIABLE)
    assert ear.until(rival.get_subscription_count)
    robot.command(publisher=rival)  # as the deadman's own last ones, but for its number
    assert robot.says("another publisher on cmd_vel")


@pytest.mark.parametrize("setting", [{"deadman.rate_hz": 1.0}, {"deadman.restart": "never"}, {"deadman.max_age": 1.0}])
def test_settings_that_are_not_allowed_are_refused(ros, namespace, setting):
    overrides = [Parameter(name, value=value) for name, value in setting.items()]
    with pytest.raises(InputError, match=next(iter(setting)).rpartition(".")[2]):
        DeadmanNode(namespace=namespace, parameter_overrides=overrides)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_its_last_word_is_zero(ear, process, number):
    child = process("deadman_node", {"deadman.resume_s": 0.5})
    robot = Robot(ear)
    assert robot.drives()
    child.send_signal(number)
    assert ear.until(lambda: child.poll() is not None) and child.returncode == 0, child.log.read_text()
    assert ear.until(lambda: robot.speeds[-1] == 0.0) and "Traceback" not in child.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_gate_that_is_killed_or_frozen_is_zero_soon(ear, process, namespace, number):
    process("deadman_node", {"deadman.resume_s": 0.5})
    robot = Robot(ear)
    gate = subprocess.Popen(
        [sys.executable, "-c", GATE, namespace], env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True
    )
    try:
        assert ear.until(lambda: 0.2 in robot.speeds, 20.0)
        gate.send_signal(number)
        assert ear.until(lambda: robot.speeds[-3:] == [0.0] * 3)
    finally:
        os.killpg(gate.pid, signal.SIGKILL)
        gate.wait()


GATE = """
import sys, time, rclpy
from geometry_msgs.msg import TwistStamped
rclpy.init()
node = rclpy.create_node("gate", namespace=sys.argv[1])
publisher = node.create_publisher(TwistStamped, "cmd_vel_gated", 1)
v = 0.0
while True:
    msg = TwistStamped()
    msg.header.stamp = node.get_clock().now().to_msg()
    msg.twist.linear.x = v
    publisher.publish(msg)
    if publisher.get_subscription_count():
        v = 0.2 if v else 1e-9
    time.sleep(0.05)
"""


def test_its_process_does_not_listen_in_shared_memory(ear, process):
    process("deadman_node", {"deadman.resume_s": 0.5})
    robot = Robot(ear)
    assert robot.drives()
    since = time.monotonic()
    ear.until(lambda: time.monotonic() > since + 2.5, 5.0)  # it looks each second
    said = [v.value for s in ear.statuses("deadman_node: commands") for v in s.values if v.key == "shared_memory"]
    assert len(said) > 2 and set(said) == {"False"}


def test_its_process_imports_no_more_than_it_needs():
    code = "import json, sys, rarrl_nodes.deadman_node; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = set(json.loads(run.stdout.splitlines()[-1]))
    ours = {name for name in modules if name.split(".")[0].startswith("rarrl")}
    assert not {"cv2", "torch", "matplotlib", "gymnasium", "rclpy.lifecycle", "rarrl.safety.gate"} & modules
    assert len(ours) <= 27, sorted(ours)
