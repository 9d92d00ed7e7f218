"""safety_gate_node in this process, over real topics: what leaves it, and what makes it stop."""

import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("trajectory_msgs", reason="trajectory_msgs is missing: it comes with rarrl[ros] or a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped, Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState, LaserScan
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from rarrl.errors import InputError
from rarrl.types import GateAction, GateReason
from rarrl_nodes import key_values
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.safety_gate_node import PAUSE_S, SafetyGateNode

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
KINDS = {
    "command": TwistStamped,
    "scan": LaserScan,
    "odom": Odometry,
    "joint_command": JointTrajectory,
    "joint_states": JointState,
}
ARM = "shoulder:-1:1:2, elbow:0:2:1"


class World:
    """All that stands around the gate: who commands, the detector, the base."""

    def __init__(self, ear, kind=TwistStamped):
        self.ear, self.heard, self.rows = ear, [], []
        self.x = 0.0
        self.pubs = {topic: ear.node.create_publisher(of, topic, RELIABLE) for topic, of in KINDS.items()}
        ear.node.create_subscription(kind, "cmd_vel", self.heard.append, 100)
        ear.node.create_subscription(JointTrajectory, "joint_trajectory", self.rows.append, 100)

    def connect(self, topics=("command", "scan", "odom")):
        assert self.ear.until(lambda: self.heard and all(self.pubs[t].get_subscription_count() for t in topics))
        return self

    def send(self, topic, msg, age_s=0.0):
        msg.header.stamp = (self.ear.node.get_clock().now() - Duration(seconds=age_s)).to_msg()
        self.pubs[topic].publish(msg)

    def command(self, v=0.2, omega=0.0, age_s=0.05, **others):
        msg = TwistStamped()
        msg.twist.linear.x, msg.twist.angular.z = v, omega
        for name, value in others.items():
            setattr(msg.twist.linear, name, value)
        self.send("command", msg, age_s)

    def see(self, metres=5.0, age_s=0.0, **changes):
        msg = LaserScan(angle_min=-0.58, angle_max=0.58, angle_increment=0.04, range_max=6.0, ranges=[metres] * 30)
        msg.header.frame_id = "base_link"
        for name, value in changes.items():
            setattr(msg, name, value)
        self.send("scan", msg, age_s)

    def odom(self, x=None, w=1.0):
        msg = Odometry()
        msg.pose.pose.position.x, msg.pose.pose.orientation.w = self.x if x is None else x, w
        self.send("odom", msg)

    def listen(self, seconds):
        self.ear.until(lambda: False, seconds)

    def drive(self, ticks=8, see=True, odom=True, command=True, metres=5.0, **asked):
        """Everything 20 times a second; what the gate said meanwhile."""
        before = len(self.heard)
        for _ in range(ticks):
            if odom:
                self.odom()
                self.listen(0.005)
            if see:
                self.see(metres)
                self.listen(0.005)
            if command:
                self.command(**asked)
            self.listen(0.045)
            self.x += 0.05 * self.speeds(self.heard)[-1] if self.heard else 0.0
        return self.heard[before:]

    def moves(self, speed=0.1, timeout_s=20.0, **world):
        """Everything well until the robot moves so fast, however busy the machine is; whether it does."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.speeds(self.drive(2, **world))[-1:] >= [speed]:
                return True
        return False

    def speeds(self, msgs):
        return [getattr(msg, "twist", msg).linear.x for msg in msgs]


@pytest.fixture
def world(ear, local_node):
    world = World(ear)
    world.gate = local_node(SafetyGateNode)
    return world.connect()


def reason(world):
    return world.gate._result.reason


def test_it_speaks_at_once_and_always_and_says_zero(world):
    assert world.ear.until(lambda: len(world.heard) >= 8) and set(world.speeds(world.heard)) == {0.0}
    assert world.heard[-1].header.frame_id == "base_link" and reason(world) == "no command"


def test_a_good_command_passes_and_speed_is_gained_gently(world):
    assert world.moves(0.2) and max(world.speeds(world.heard)) <= 0.2
    assert len({v for v in world.speeds(world.heard) if 0 < v < 0.2}) >= 3
    level, message, values = world.gate.diagnose()
    assert level == DiagnosticStatus.OK and message.startswith("PASS")
    assert values["commands"] > 3 and values["pass"] > 0 and values["foreign_messages"] == 0


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("command", "no command"),
        ("see", "no obstacle information"),
        ("odom", "no obstacle information"),
    ],
)
def test_without_any_of_the_three_it_stands(world, missing, why):
    assert set(world.speeds(world.drive(8, **{missing: False}))) == {0.0}
    assert reason(world) == why


@pytest.mark.parametrize(
    ("silent", "why"),
    [("command", "command too old"), ("see", "obstacle information too old"), ("odom", "pose too old")],
)
def test_silence_of_any_stops_it(world, silent, why):
    assert world.moves()
    late = world.drive(20, **{silent: False})
    assert world.speeds(late)[-1] == 0.0
    assert world.gate._counts[f"stop: {why}"] > 0


@pytest.mark.parametrize(
    "asked", [{"v": math.nan}, {"v": math.inf}, {"v": 5.0}, {"omega": 9.0}, {"y": 0.1}, {"z": math.nan}]
)
def test_a_command_that_is_no_command_stops_it_at_once(world, asked):
    assert world.moves()
    said = world.drive(3, **asked)
    assert world.speeds(said)[-1] == 0.0 and world.gate._result.reason.startswith("command")
    assert all(math.isfinite(msg.twist.angular.z) for msg in world.heard)


def test_commands_of_old_observations_never_pass(world):
    said = world.drive(10, age_s=0.6)
    assert set(world.speeds(said)) == {0.0} and reason(world) == "observation too old"
    world.command(age_s=-1.0)
    world.listen(0.1)
    assert world.gate.diagnose()[2]["dropped_command_future"] == 1


def test_a_wall_ahead_stops_it(world):
    assert set(world.speeds(world.drive(10, metres=0.15))) == {0.0} and reason(world) == "blocked"


def test_bad_messages_are_dropped_and_counted_and_it_lives_on(world):
    for changes in ({"angle_increment": 0.0}, {"range_max": math.nan}, {"ranges": []}, {"angle_min": math.inf}):
        world.see(**changes)
        world.listen(0.03)
    world.odom(w=math.nan)
    world.odom(w=0.0)
    world.listen(0.05)
    values = world.gate.diagnose()[2]
    assert values["dropped_scan_bad"] == 4 and values["dropped_odom_bad"] == 2
    assert world.moves()


@pytest.mark.parametrize("metres", [math.nan, 0.01])
def test_a_scan_that_tells_nothing_is_a_wall_until_the_next_good_one(world, metres):
    assert world.moves()
    assert world.speeds(world.drive(10, metres=metres))[-1] == 0.0 and reason(world) == "blocked"
    assert world.moves()


def test_a_jump_of_the_odometry_stops_it_until_it_is_activated_anew(world):
    assert world.moves()
    world.odom(x=3.0)
    world.listen(0.1)
    assert reason(world) == "odometry jumped: activate the gate again"
    assert world.speeds(world.drive(5))[-1] == 0.0
    world.gate.trigger_deactivate()
    world.gate.trigger_activate()
    assert world.moves()


def test_another_publisher_on_its_topic_stops_it(world):
    rival = world.ear.node.create_publisher(TwistStamped, "cmd_vel", RELIABLE)
    assert world.moves()  # one that is there but silent only shows in the diagnostics
    assert world.gate.diagnose()[2]["publishers_of_cmd_vel"] == 2
    msg = TwistStamped()
    msg.twist.linear.x = 0.3
    rival.publish(msg)
    world.listen(0.15)
    assert reason(world) == "another publisher on our topics"
    level, _, values = world.gate.diagnose()
    assert level == DiagnosticStatus.ERROR and values["foreign_messages"] == 1
    world.ear.node.destroy_publisher(rival)


def test_a_stop_of_the_supervisor_holds_until_it_says_otherwise(world):
    modes = world.ear.node.create_publisher(DiagnosticArray, "mode", LATCHED)
    assert world.moves()
    modes.publish(mode("stop", "stop: no executive"))
    assert world.ear.until(lambda: reason(world) == "the supervisor says stop", 2.0)
    world.listen(0.3)
    assert set(world.speeds(world.heard[-3:])) == {0.0}
    assert world.gate._result.detail == "stop: no executive"
    for name in ("act only", "best rule", "hold", "normal"):
        modes.publish(mode("stop", "stop: again"))
        modes.publish(mode(name, name))
        assert world.moves(), name
    world.ear.node.destroy_publisher(modes)


def test_who_begins_to_listen_hears_a_zero_first(world):
    assert world.moves()
    world.gate.trigger_deactivate()
    world.listen(0.3)  # what is still on its way
    world.heard.clear()
    world.gate.trigger_activate()
    assert world.moves()
    speeds = world.speeds(world.heard)
    first = next(k for k, speed in enumerate(speeds) if speed)
    assert first >= 3 and set(speeds[:first]) == {0.0}


def mode(name, text):
    return key_values.array("supervisor_node: mode", {"schema": "1", "mode": name}, Time(), message=text)


def test_deactivated_it_says_zero_once_more_and_then_nothing(world):
    assert world.moves()
    world.gate.trigger_deactivate()
    world.listen(0.1)
    count = len(world.heard)
    assert world.heard[-1].twist.linear.x == 0.0
    assert world.drive(4) == [] and len(world.heard) == count
    world.gate.trigger_activate()
    assert world.drive(2, command=False)[-1].twist.linear.x == 0.0  # what was known before is forgotten
    assert reason(world) == "no command"


def test_cleaned_up_it_can_be_configured_again(world):
    for trigger in ("deactivate", "cleanup", "configure", "activate"):
        getattr(world.gate, f"trigger_{trigger}")()
    assert world.moves()


def test_an_error_while_it_judges_is_a_stop(world, monkeypatch):
    assert world.moves()
    monkeypatch.setattr(world.gate._timeline, "look", lambda *_: 1 / 0)
    world.listen(0.1)
    assert set(world.speeds(world.drive(5))) == {0.0} and reason(world) == "internal error"
    assert world.gate.diagnose()[2]["exceptions"] > 5  # in the callbacks too, and the node lives
    assert world.gate.diagnose()[0] == DiagnosticStatus.ERROR


def test_a_dry_run_judges_and_reports_but_sends_zero(ear, local_node):
    world = World(ear)
    world.gate = local_node(SafetyGateNode, dry_run=True)
    world.connect()

    def passes():
        world.drive(2)
        return world.gate.diagnose()[1].startswith("dry run: PASS")

    assert world.ear.until(passes, 20.0) and set(world.speeds(world.heard)) == {0.0}
    assert world.gate.diagnose()[2]["v"] == pytest.approx(0.2)


def test_a_plain_twist_where_the_base_wants_one(ear, local_node):
    world = World(ear, kind=Twist)
    world.gate = local_node(SafetyGateNode, twist_stamped=False)
    assert world.connect().moves(0.2) and world.gate._counts["foreign_messages"] == 0

    rival = ear.node.create_publisher(Twist, "cmd_vel", RELIABLE)
    assert ear.until(rival.get_subscription_count)
    rival.publish(world.heard[-1])  # equal to the gate's own, but for its number
    assert ear.until(lambda: reason(world) == "another publisher on our topics")


def test_without_odometry_the_assumed_room_goes_with_the_robot(ear, local_node):
    world = World(ear)
    world.gate = local_node(SafetyGateNode, gate__odometry=False)
    assert world.connect(("command", "scan")).moves(0.2, odom=False)


def test_lifecycle_services_reach_it(ear, local_node, namespace):
    world = World(ear)
    world.gate = local_node(SafetyGateNode, start=False, autostart=False)
    assert ear.change_state("safety_gate_node", Transition.TRANSITION_CONFIGURE)
    world.listen(0.2)
    assert world.heard == []  # not active: not a word
    assert ear.change_state("safety_gate_node", Transition.TRANSITION_ACTIVATE)
    assert ear.until(lambda: world.heard)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_its_last_word_is_zero(ear, process, number):
    child = process("safety_gate_node", {"autostart": True})
    world = World(ear).connect()
    assert world.moves()
    world.heard.clear()
    child.send_signal(number)
    assert child.wait(timeout=20) == 0, child.log.read_text()
    assert world.ear.until(lambda: world.heard and world.speeds(world.heard)[-1] == 0.0)


def test_its_last_word_waits_for_who_has_no_processor_just_then(ear, process):
    child = process("safety_gate_node", {"autostart": True})
    world = World(ear).connect()
    assert world.moves()
    world.heard.clear()
    # The ear cannot hear for longer than the gate takes to end; asleep, it cannot wake itself.
    pause = f"kill -STOP {os.getpid()}; kill -INT {child.pid}; sleep 1; kill -CONT {os.getpid()}"
    subprocess.run(["sh", "-c", pause], check=True)
    assert child.wait(timeout=20) == 0, child.log.read_text()
    assert ear.until(lambda: world.heard and world.speeds(world.heard)[-1] == 0.0), world.speeds(world.heard)


@pytest.mark.parametrize("settings", [{"gate__decel_mps2": 5.0}, {"gate__joints": "a:1:0:1"}])
def test_contradicting_settings_do_not_configure(local_node, settings):
    with pytest.raises(InputError, match="config: gate"):
        local_node(SafetyGateNode, **settings)


def chunk(rows, dt=0.1, names=("shoulder", "elbow")):
    msg = JointTrajectory(joint_names=list(names))
    for k, row in enumerate(rows):
        at = Duration(seconds=dt * (k + 1)).to_msg()
        msg.points.append(JointTrajectoryPoint(positions=[float(x) for x in row], time_from_start=at))
    return msg


@pytest.fixture
def arm(ear, local_node):
    world = World(ear)
    world.gate = local_node(SafetyGateNode, gate__joints=ARM)
    return world.connect(("joint_command", "joint_states"))


def joints(world):
    world.send("joint_states", JointState(name=["elbow", "shoulder", "wheel"], position=[1.0, 0.0, 7.0]))
    world.listen(0.05)


def test_a_chunk_for_the_arm_is_cut_to_what_may_run_in_silence(arm):
    joints(arm)
    arm.send("joint_command", chunk([[0.01 * k, 1.0] for k in range(10)]), 0.1)
    assert arm.ear.until(lambda: arm.rows)
    assert arm.rows[0].joint_names == ["shoulder", "elbow"] and len(arm.rows[0].points) <= 3
    arm.listen(0.1)
    assert arm.gate._counts["foreign_messages"] == 0


@pytest.mark.parametrize(
    ("msg", "age_s"),
    [
        (chunk([[0.1, 1.0], [math.nan, 1.0]]), 0.0),
        (chunk([[5.0, 1.0]]), 0.0),
        (chunk([[0.1, 1.0]]), 2.0),
        (chunk([[0.1, 1.0]], names=("shoulder", "wrist")), 0.0),
        (chunk([[0.1]]), 0.0),
    ],
)
def test_a_bad_chunk_for_the_arm_goes_nowhere(arm, msg, age_s):
    joints(arm)
    arm.send("joint_command", msg, age_s)
    assert arm.ear.until(lambda: arm.gate._counts["joint_refused"] == 1)
    arm.listen(0.1)
    assert arm.rows == [] and arm.gate.diagnose()[2]["joint_refusal"]


def test_an_emergency_stop_of_the_deadman_holds_an_arm_until_its_commands_have_paused(arm):
    def asks(msg=None):
        """Chunks at 10 Hz for a second; whether one of them passed."""
        arm.rows.clear()
        for _ in range(10):
            joints(arm)
            arm.send("joint_command", msg or chunk([[0.01, 1.0]]))
            arm.listen(0.05)
        return bool(arm.rows)

    assert asks()
    deadman = arm.ear.node.create_publisher(Bool, "estop_latched", LATCHED)
    deadman.publish(Bool(data=True))
    assert arm.ear.until(lambda: arm.gate._estop_latched)
    assert not asks() and arm.gate.diagnose()[2]["joint_refusal"] == "emergency stop"
    arm.listen(PAUSE_S + 0.1)
    assert not asks(), "a pause while it is latched resets nothing"

    deadman.publish(Bool(data=False))
    assert arm.ear.until(lambda: not arm.gate._estop_latched)
    assert not asks(), "the arm does not go on by itself"
    arm.listen(PAUSE_S + 0.1)
    assert asks()
    deadman.publish(Bool(data=True))
    assert arm.ear.until(lambda: arm.gate._estop_latched)
    deadman.publish(Bool(data=False))
    assert arm.ear.until(lambda: not arm.gate._estop_latched)
    assert not asks() and not asks(JointTrajectory(joint_names=["shoulder", "elbow"])) and asks()


def sent(topic, **fields):
    """A message with these fields; `frame` and `child` are its frames."""
    msg = KINDS[topic]()
    if topic == "scan":
        msg = LaserScan(angle_min=-0.58, angle_max=0.58, angle_increment=0.04, range_max=6.0, ranges=[5.0] * 30)
        msg.header.frame_id = "base_link"
    if topic == "odom":
        msg.pose.pose.orientation.w = 1.0
        msg.child_frame_id = fields.pop("child", "")
    msg.header.frame_id = fields.pop("frame", msg.header.frame_id)
    for name, value in fields.items():
        part, _, axis = name.partition("_")
        setattr(getattr(msg.twist, part), axis, value)
    return msg


FRAMES = [
    ("scan", {"frame": "base_link"}, ""),
    ("scan", {"frame": "/base_scan"}, ""),
    ("scan", {"frame": "laser"}, "the scan is in frame 'laser', known: base_link, base_scan, stereo_scan"),
    ("scan", {"frame": "robot2/base_scan"}, "the scan is in frame 'robot2/base_scan'"),
    ("scan", {"frame": "stereo_scan"}, ""),
    ("scan", {"frame": ""}, "the scan names no frame"),
    ("odom", {"child": "base_footprint", "frame": "odom"}, ""),
    ("odom", {"child": ""}, ""),
    ("odom", {"child": "t265_pose_frame"}, "the odometry is of frame 't265_pose_frame'"),
    ("command", {"frame": "base_link"}, ""),
    ("command", {"frame": "map"}, "it is in frame 'map', needed: base_link or base_footprint"),
    ("command", {"linear_y": 1e-9}, ""),
    ("command", {"linear_y": 0.02}, "linear.y is 0.02 m/s, but the base only drives ahead and turns; up to 0.001"),
    ("command", {"angular_x": -0.5}, "angular.x is -0.5 rad/s"),
    ("command", {"linear_z": math.inf}, "linear.z is inf, which is not finite"),
]


@pytest.fixture
def silent_gate(ros, namespace):
    gate = SafetyGateNode(namespace=namespace)
    gate.autostart()
    yield gate
    gate.destroy_node()


@pytest.mark.parametrize(("topic", "fields", "why"), FRAMES)
def test_what_is_in_an_unknown_frame_or_for_another_base_is_a_stop_with_its_reason(silent_gate, topic, fields, why):
    receive = {"odom": silent_gate._on_odom, "scan": silent_gate._on_scan, "command": silent_gate._on_command}
    for stream in ("odom", "scan", "command"):
        msg = sent(stream, **(dict(fields) if stream == topic else {}))
        msg.header.stamp = silent_gate.get_clock().now().to_msg()
        receive[stream](msg)
    silent_gate._tick()
    result = silent_gate._result
    assert why in result.detail
    if why:
        expected = GateReason.COMMAND_UNFIT if topic == "command" else GateReason.WRONG_FRAME
        assert (result.action, result.reason) == (GateAction.STOP, expected)
    else:
        assert result.action in (GateAction.PASS, GateAction.LIMITED), result  # it has no command to move with


def test_odometry_that_changes_its_frame_is_a_stop(silent_gate):
    for frame in ("odom", "map"):
        msg = sent("odom", frame=frame)
        msg.header.stamp = silent_gate.get_clock().now().to_msg()
        silent_gate._on_odom(msg)
    silent_gate._tick()
    assert silent_gate._result.reason is GateReason.WRONG_FRAME
    assert "in frame 'map' after 'odom'" in silent_gate._result.detail


def test_tf_tells_where_a_lidar_is_and_until_then_the_robot_stands(ros, namespace, monkeypatch):
    """tf2_ros is not on PyPI: what stands in for it has the names, and the order of arguments, of Jazzy's."""
    known = {}

    class Buffer:
        def lookup_transform(self, target_frame, source_frame, time):
            if (target_frame, source_frame) not in known:
                raise TransformException(
                    f'"{source_frame}" passed to lookupTransform argument source_frame is\nunknown'
                )
            return known[target_frame, source_frame]

    class TransformListener:
        def __init__(self, buffer, node, *, spin_thread=False):
            pass

    class TransformException(Exception):  # noqa: N818
        pass

    tf2_ros = SimpleNamespace(Buffer=Buffer, TransformListener=TransformListener, TransformException=TransformException)
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2_ros)
    overrides = [Parameter("gate.sensor_from_tf", value=True)]
    gate = SafetyGateNode(namespace=namespace, parameter_overrides=overrides)
    gate.autostart()

    with pytest.raises(InputError, match="TF does not know 'laser' on 'base_link'"):
        gate._mount_of("laser")
    transform = TransformStamped()
    transform.transform.translation.x = -0.1
    transform.transform.rotation.z = 1.0  # turned by 180 degrees
    transform.transform.rotation.w = 0.0
    known["base_link", "laser"] = transform
    mount = gate._mount_of("/laser")
    assert (mount.x_m, abs(mount.yaw_rad), mount.flipped) == (-0.1, pytest.approx(math.pi), False)
    gate.destroy_node()


def test_a_sensor_ahead_of_the_axis_needs_a_frame_of_its_own(ros, namespace):
    gate = SafetyGateNode(namespace=namespace, parameter_overrides=[Parameter("gate.sensor_x_m", value=0.2)])
    gate.autostart()
    for frame in ("base_link", "/base_footprint"):
        with pytest.raises(InputError, match=r"counts from the rotation axis, but gate\.sensor_x_m"):
            gate._mount_of(frame)
    assert gate._mount_of("stereo_scan") is None  # where the settings say
    gate.destroy_node()


def test_without_tf2_ros_the_setting_that_needs_it_is_refused(ros, namespace, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    gate = SafetyGateNode(namespace=namespace, parameter_overrides=[Parameter("gate.sensor_from_tf", value=True)])
    with pytest.raises(InputError, match=r"gate.sensor_from_tf: tf2_ros cannot be loaded"):
        gate.autostart()
    gate.destroy_node()


def test_joint_states_of_arm_and_gripper_apart_let_the_arm_move(ros, namespace):
    """Their stamps need not rise from one publisher to the other, and efforts alone say nothing of positions."""
    gate = SafetyGateNode(namespace=namespace, parameter_overrides=[Parameter("gate.joints", value=ARM)])
    gate.autostart()
    clock = gate.get_clock().now()
    parts = (
        ({"name": ["shoulder", "elbow"], "position": [0.0, 1.0]}, 0.02),
        ({"name": ["gripper"], "position": [0.5]}, 0.05),
        ({"name": ["shoulder", "elbow"], "position": [0.0, 1.0]}, 0.01),
        ({"name": ["shoulder", "elbow"], "effort": [3.0, 4.0]}, 0.0),
    )
    for fields, age_s in parts:
        msg = JointState(**fields)
        msg.header.stamp = (clock - Duration(seconds=age_s)).to_msg()
        gate._on_joint_states(msg)

    chunk = JointTrajectory(joint_names=["shoulder", "elbow"])
    chunk.header.stamp = clock.to_msg()
    chunk.points = [JointTrajectoryPoint(positions=[0.01, 1.0], time_from_start=Duration(seconds=0.1).to_msg())]
    gate._on_joint_command(chunk)
    assert gate._joint_reason == "" and not gate._counts["joint_states_bad"]

    msg = JointState(name=["elbow"], position=[math.nan])
    msg.header.stamp = gate.get_clock().now().to_msg()
    gate._on_joint_states(msg)
    chunk.header.stamp = gate.get_clock().now().to_msg()  # the same stamp again may count as an older one
    gate._on_joint_command(chunk)
    assert gate._joint_reason == "no joint state of elbow"
    gate.destroy_node()
