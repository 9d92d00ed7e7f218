"""safety_gate_node: what every command has to pass. Thin over `rarrl.safety.base_gate`; docs/explanation/safety.md.

One thread. It publishes when a command comes and at its own rate, on the steady clock, even when all others are
silent."""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState, LaserScan
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from rarrl.diagnostics import Announcer, Latencies
from rarrl.errors import InputError
from rarrl.frames import Mount, base_frames, foreign, frames_of, plain
from rarrl.safety.base_gate import BaseGate, mount_of
from rarrl.safety.gate import JointResult
from rarrl.safety.joint_states import JointStates
from rarrl.safety.timeline import Timeline
from rarrl.supervision.modes import Mode
from rarrl.types import GateAction, GateReason, GateResult, RobotCommand

from .key_values import values_of
from .lifecycle import LATCHED, LATEST, RarrlNode, now, run_node
from .loopback import Shared
from .own_messages import OwnMessages
from .params import GATE_SPECS, GateNodeConfig, read_config
from .readings import nanoseconds, pose_of, range_scan_of, seconds, speeds_of
from .spinning import informed
from .transforms import Transforms

FEW = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
PARTS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Of joint states and scans, which several nodes publish: with a depth of 1 one message would displace the other."""
FOREIGN_PUBLISHER_S = 1.0
"""Seconds for which a foreign message on our topics stops the robot: longer than any publisher's period."""
WRONG_FRAME_S = 1.0
"""Seconds for which a message in a frame that we do not know stops the robot, with other messages in between or not."""
TOLD_S = 1.0
"""Seconds that a stop has to last to be told on the console: those in passing are in the diagnostics."""
MAX_SOURCES = 100
"""Publishers of joint states, known by their joints, and of scans, by frame and angles, whose stamps are told apart; no
robot has more parts."""
MAX_POINTS = 1000
"""Rows of a joint command; more is a garbled message."""
OWN_CHUNKS = 1000
"""Joint commands of ours that are remembered, to know them when they are heard."""
PAUSE_S = 1.0
"""Seconds without joint commands after which an arm may move again, once an emergency stop was reset."""
ACK_S = 2.0
"""Seconds that the last zero may take to arrive: as long as whoever hears it may be without a processor. A publisher
that goes before takes its message along; the wait ends as soon as it was heard."""
STOP = Mode.STOP.label
ZERO_S = 0.3
"""Seconds of zero for those who begin to listen: several messages, one of which arrives."""
STREAMS = ("command", "joint_command", "scan", "odom", "joint_states")
DROPS = ("bad", "old", "future", "out_of_order", "no_pose", "frame")


class SafetyGateNode(RarrlNode):
    """Topics, parameters, and what it does with bad input: docs/explanation/safety.md."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("safety_gate_node", "commands", GATE_SPECS, GateNodeConfig, **kwargs)

    def load(self) -> None:
        self._config = config = read_config(self).gate
        self._dry_run = bool(self.setting("dry_run"))
        self._stamped = bool(self.setting("twist_stamped"))
        self._frame = str(self.setting("base_frame"))
        self._base_frames = base_frames(self._frame)
        self._estop_latched = False
        self._supervisor_stop = ""  # why the supervisor says stop
        self._has_listeners = False
        self._listened_s = -math.inf  # since when
        self._scan_frames = frames_of(config.scan_frames)
        self._transforms = Transforms(self, "gate.sensor_from_tf") if config.sensor_from_tf else None
        self._forget()

        out = QoSProfile(depth=1, deadline=Duration(seconds=max(0.1, 4 / config.rate_hz)))
        kind = TwistStamped if self._stamped else Twist
        self._twist_pub = self.create_lifecycle_publisher(kind, "cmd_vel", out)

        def make(of: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> Subscription:
            return self.create_subscription(of, topic, self._guarded(callback), qos)

        self._command_sub = make(TwistStamped, "command", self._on_command, LATEST)
        make(LaserScan, "scan", self._on_scan, PARTS)
        self.create_subscription(kind, "cmd_vel", informed(self._on_own_twist), FEW)
        if config.odometry:
            make(Odometry, "odom", self._on_odom, FEW)
        self._joint_pub = None
        if self._base.gate.joints:
            self._joint_pub = self.create_lifecycle_publisher(JointTrajectory, "joint_trajectory", 1)
            make(JointTrajectory, "joint_command", self._on_joint_command, LATEST)
            make(JointState, "joint_states", self._on_joint_states, PARTS)
            make(JointTrajectory, "joint_trajectory", self._on_own_joints, FEW)
            make(Bool, "estop_latched", self._on_estop_latched, LATCHED)
        make(DiagnosticArray, "mode", self._on_mode, LATCHED)
        self.create_timer(1 / config.rate_hz, self._tick, clock=self.steady)

    def _forget(self) -> None:
        self._base = BaseGate(self._config, self._dry_run)
        self._timeline = Timeline()
        self._command: RobotCommand | None = None
        self._joints = JointStates()
        self._joint_sources: dict[tuple[str, ...], float] = {}  # joints of a message -> when the newest was taken
        self._scan_sources: dict[tuple[str, float, float], float] = {}  # frame, angles -> when its newest was taken
        self._last = dict.fromkeys(STREAMS, -math.inf)  # when the newest message of each was taken
        self._wrong_frames: dict[str, tuple[float, str]] = {}  # stream -> when it was heard, and what was wrong
        self._odom_frame = ""
        self._silence = ""
        self._last_drop = ""
        self._without_reading = 0.0
        self._own = OwnMessages()
        self._own_chunks: deque[Hashable] = deque(maxlen=OWN_CHUNKS)
        self._arm_held = self._estop_latched
        self._joint_command_s = -math.inf
        self._foreign_s = -math.inf
        self._answered_s = -math.inf
        self._result = GateResult.stop(GateReason.NO_COMMAND)
        self._joint_reason = ""
        self._latencies = Latencies()
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        self._forget()
        self._has_listeners = False  # they hear a zero first
        self._announcer = Announcer(settle_s=TOLD_S)
        topic = self._twist_pub.topic_name
        self.get_logger().info(
            f"dry run: commands are judged and reported, and {topic} carries zero; dry_run:=false lets the robot drive"
            if self._dry_run
            else f"commands that pass go to {topic}"
        )
        self._tick()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._last_words()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._last_words()
        self.active = False
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        self._last_words()
        super().destroy_node()

    def _last_words(self) -> None:
        """Zero, once more: from here on the deadman stands guard, or the base's own."""
        if self.active:
            self._publish(0.0, 0.0)

    def unload(self) -> None:
        """Nothing goes before the last zero has arrived."""
        if hasattr(self, "_twist_pub"):  # not where `load` failed early
            self._twist_pub.wait_for_all_acked(Duration(seconds=ACK_S))
            del self._twist_pub

    # What comes in

    def _guarded(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """A message on which `callback` fails is a message that did not come: the silence stops the robot."""

        def guarded(msg: Any) -> None:
            try:
                callback(msg)
            except Exception as error:
                self._fault(error)

        return guarded

    def _fault(self, error: Exception) -> None:
        self._counts["exceptions"] += 1
        self.get_logger().error(f"{type(error).__name__}: {error}"[:300], throttle_duration_sec=10.0)

    def _taken(self, stream: str, stamp: Time) -> float | None:
        """When a message's content was taken, steady clock; None, and counted, where it is not to be used."""
        time = now()
        self._timeline.look(self.get_clock().now().nanoseconds / 1e9, time)
        taken = self._timeline.taken(nanoseconds(stamp) / 1e9, time, self._last[stream])
        if math.isinf(taken):
            self._drop(stream, "future")
            return None
        if taken < self._last[stream]:
            self._drop(stream, "out_of_order")
            return None
        self._last[stream] = taken
        return taken

    def _taken_from(self, source: Any, newest: dict[Any, float], stream: str, stamp: Time) -> float | None:
        """`_taken` where several publish a stream, whose stamps rise for each alone.

        newest: source -> when its newest message was taken."""
        if source not in newest and len(newest) >= MAX_SOURCES:
            newest.clear()
        self._last[stream] = newest.get(source, -math.inf)
        taken = self._taken(stream, stamp)
        if taken is not None:
            newest[source] = taken
        return taken

    def _drop(self, stream: str, why: str, what: str = "") -> None:
        self._counts[f"{stream}_{why}"] += 1
        self._last_drop = f"{stream} {why}: {what}"[:300] if what else self._last_drop

    def _refuse_frame(self, stream: str, what: str) -> None:
        """A message in a frame that is not known stops the robot: what it says may be about another place."""
        self._wrong_frames[stream] = (now(), what)
        self._drop(stream, "frame", what)

    def _wrong_frame(self, time: float) -> str:
        """What the robot stands for, "" if every frame is known."""
        return next((what for at, what in self._wrong_frames.values() if time - at < WRONG_FRAME_S), "")

    def _on_command(self, msg: TwistStamped) -> None:
        if not self.active:
            return
        came = now()
        taken = self._taken("command", msg.header.stamp)
        if taken is None:
            return
        self._counts["commands"] += 1
        v, omega, fault = speeds_of(msg)
        if foreign(msg.header.frame_id, self._base_frames):
            fault = f"it is in frame {msg.header.frame_id[:60]!r}, needed: {' or '.join(self._base_frames)}"
        self._command = RobotCommand(v, omega, taken, came, fault)

        if came - self._answered_s >= 0.5 / self._config.rate_hz:  # a flood must not take the whole processor
            self._answered_s = came
            self._tick()
            self._latencies.add(came, now() - came)

    def _on_scan(self, msg: LaserScan) -> None:
        """Several sensors may publish these: their stamps need not rise from one to another."""
        if not self.active:
            return
        source = (msg.header.frame_id, round(msg.angle_min, 1), round(msg.angle_max, 1))
        taken = self._taken_from(source, self._scan_sources, "scan", msg.header.stamp)
        if taken is None:
            return
        if now() - taken > self._config.max_obstacle_age_s:
            self._drop("scan", "old")
            return
        try:
            scan = range_scan_of(msg)
        except ValueError as error:
            self._drop("scan", "bad", str(error))
            return
        try:
            mount = self._mount_of(msg.header.frame_id)
        except InputError as error:
            self._refuse_frame("scan", str(error))
            return
        self._without_reading = scan.without_reading
        try:
            used = self._base.on_scan(scan, seconds(msg.header.stamp), taken, mount, plain(msg.header.frame_id))
        except InputError as error:
            self._refuse_frame("scan", str(error))
            return
        if not used:
            self._drop("scan", "no_pose", f"no odometry within 0.1 s of a scan of {now() - taken:.2f} s ago")

    def _mount_of(self, frame: str) -> Mount | None:
        """Where the sensor with this frame is on the base; None: where the settings say.

        Raises: InputError, one line, where that is not known."""
        if not frame:
            raise InputError("the scan names no frame: set frame_id in the lidar's driver")
        if self._transforms is not None:
            return Mount.from_matrix(self._transforms.matrix(self._frame, frame))
        if plain(frame) in self._base_frames and mount_of(self._config) != Mount():
            raise InputError(
                f"the scan is in frame {frame[:60]!r}, which counts from the rotation axis, but gate.sensor_x_m, "
                "sensor_y_m, sensor_yaw_deg or sensor_flipped puts its sensor elsewhere: name the sensor's own frame "
                "in the lidar's driver and in gate.scan_frames, or leave these settings at 0"
            )
        if plain(frame) not in self._scan_frames:
            raise InputError(
                f"the scan is in frame {frame[:60]!r}, known: {', '.join(self._scan_frames)}; name it in "
                "gate.scan_frames, with its place in gate.sensor_x_m, sensor_y_m, sensor_yaw_deg and sensor_flipped"
            )
        return None

    def _on_odom(self, msg: Odometry) -> None:
        if not self.active or (taken := self._taken("odom", msg.header.stamp)) is None:
            return
        if now() - taken > self._config.max_obstacle_age_s:
            self._drop("odom", "old")
            return
        try:
            pose = pose_of(msg)
        except ValueError as error:
            self._drop("odom", "bad", str(error))
            return
        if foreign(msg.child_frame_id, self._base_frames):
            known = " or ".join(self._base_frames)
            self._refuse_frame("odom", f"the odometry is of frame {msg.child_frame_id[:60]!r}, needed: {known}")
            return
        self._odom_frame = self._odom_frame or msg.header.frame_id
        if foreign(msg.header.frame_id, (plain(self._odom_frame),)):
            frames = f"in frame {msg.header.frame_id[:60]!r} after {self._odom_frame[:60]!r}"
            self._refuse_frame("odom", f"the odometry is {frames}: let one node alone publish it")
            return
        self._base.on_odometry(pose, seconds(msg.header.stamp), taken)

    def _on_mode(self, msg: DiagnosticArray) -> None:
        """The supervisor's mode. Its last word counts, also while it is being restarted."""
        values = values_of(msg)
        self._supervisor_stop = (msg.status[0].message or "no reason")[:200] if values.get("mode") == STOP else ""
        if self._supervisor_stop:
            self._tick()

    # What goes out

    def _tick(self) -> None:
        """Judges what is known now, and says so."""
        if not self.active:
            return
        time = now()
        try:
            self._timeline.look(self.get_clock().now().nanoseconds / 1e9, time)
            wrong_frame = self._wrong_frame(time)
            veto = GateReason.WRONG_FRAME if wrong_frame else None
            if self._supervisor_stop:
                veto = GateReason.SUPERVISOR
            if time - self._foreign_s < FOREIGN_PUBLISHER_S:
                veto = GateReason.OTHER_PUBLISHER
            command = None if self._says_zero_first(time) else self._command
            result = self._base.check(command, time, veto, wrong_frame or self._supervisor_stop)
        except Exception as error:  # whatever it is, the robot stands
            self._fault(error)
            result = self._base.check(None, time, GateReason.INTERNAL_ERROR)

        self._result = result
        stopped = result.action is GateAction.STOP
        self.announce(not stopped, self._said(result) if stopped else f"{self._dry_words()}moving is allowed")
        self._counts[result.action.value.lower()] += 1
        if result.action is GateAction.STOP:
            self._counts[f"stop: {result.reason}"] += 1

        if self._dry_run:
            self._publish(0.0, 0.0)
        else:
            self._publish(result.v, result.omega)

    def _says_zero_first(self, time: float) -> bool:
        """Whether somebody has just begun to listen: a deadman that was started, or hears a gate that was, lets nothing
        pass before a zero, and the gate would take the base that stands for one that is held."""
        others = self._twist_pub.get_subscription_count() > 1  # the gate hears itself
        if others and not self._has_listeners:
            self._listened_s = time
        self._has_listeners = others
        return time - self._listened_s < ZERO_S

    def _publish(self, v: float, omega: float) -> None:
        twist = Twist()
        twist.linear.x = v
        twist.angular.z = omega
        msg = twist
        if self._stamped:
            msg = TwistStamped(twist=twist)
            msg.header.stamp = self.stamp()
            msg.header.frame_id = self._frame
        self._own.sent(msg)
        self._twist_pub.publish(msg)

    def _on_own_twist(self, msg: Twist | TwistStamped, info: Any) -> None:
        if self.active and not self._own.holds(msg, info):
            self._hear_foreign()

    def _on_own_joints(self, msg: JointTrajectory) -> None:
        if self.active and _joint_key(msg) not in self._own_chunks:
            self._hear_foreign()

    def _hear_foreign(self) -> None:
        self._foreign_s = now()
        self._counts["foreign_messages"] += 1
        self.get_logger().error("another node publishes on our topics: stop", throttle_duration_sec=10.0)

    # Arms

    def _on_estop_latched(self, msg: Bool) -> None:
        """The base's commands end in the deadman, which has latched the stop; those of an arm end here."""
        self._estop_latched = msg.data
        self._arm_held = self._arm_held or msg.data

    def _arm_rests(self, pauses: bool, came: float) -> bool:
        """Whether an arm must get nothing: while the emergency stop is latched, and then until its commands paused.

        pauses: whether this command asks to hold."""
        silent_s = came - self._joint_command_s
        self._joint_command_s = came
        if not self._estop_latched and (pauses or silent_s >= PAUSE_S):
            self._arm_held = False
        return self._arm_held

    def _on_joint_states(self, msg: JointState) -> None:
        """Several nodes may publish these, each for its own joints: their stamps need not rise from one to another."""
        if not self.active:
            return
        taken = self._taken_from(tuple(msg.name), self._joint_sources, "joint_states", msg.header.stamp)
        if taken is None:
            return
        if wrong := self._joints.update(msg.name, msg.position, taken):
            self._drop("joint_states", "bad", wrong)

    def _on_joint_command(self, msg: JointTrajectory) -> None:
        if not self.active:
            return
        came = now()
        taken = self._taken("joint_command", msg.header.stamp)
        if taken is None:
            return
        self._counts["joint_commands"] += 1
        rests = self._arm_rests(not msg.points, came)
        if not msg.points:  # hold: an arm that gets nothing more stands at the end of its last row
            return

        result = JointResult(None, None, str(GateReason.OTHER_PUBLISHER))
        if rests:
            result = JointResult(None, None, "emergency stop")
        elif self._supervisor_stop:
            result = JointResult(None, None, str(GateReason.SUPERVISOR))
        elif came - self._foreign_s >= FOREIGN_PUBLISHER_S:
            result = self._judge_joints(msg, taken, came)
        self._joint_reason = result.reason

        if result.positions is None or result.times is None:
            self._counts["joint_refused"] += 1
        elif not self._dry_run and self._joint_pub is not None:
            out = JointTrajectory(joint_names=[j.name for j in self._base.gate.joints])  # stamp 0: from now on
            for row, at in zip(result.positions, result.times, strict=True):
                out.points.append(
                    JointTrajectoryPoint(positions=row.tolist(), time_from_start=Duration(seconds=float(at)).to_msg())
                )
            self._own_chunks.append(_joint_key(out))
            self._joint_pub.publish(out)

    def _judge_joints(self, msg: JointTrajectory, taken: float, came: float) -> JointResult:
        points = msg.points
        if not 0 < len(points) <= MAX_POINTS or any(len(p.positions) != len(msg.joint_names) for p in points):
            return JointResult(None, None, "rows and joints do not go together")
        measured, measured_s = self._joints.of(joint.name for joint in self._base.gate.joints)
        return self._base.gate.check_joints(
            list(msg.joint_names),
            np.array([p.positions for p in points]),
            np.array([p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in points]),
            measured,
            measured_s,
            taken,
            came,
            now(),
        )

    def _dry_words(self) -> str:
        return "dry run: " if self._dry_run else ""

    def _said(self, result: GateResult) -> str:
        """For people: what became of the command, and why."""
        detail = result.detail or self._silence
        reason = f"{result.reason}: {detail}" if result.reason and detail else f"{result.reason}{detail}"
        return self._dry_words() + " ".join(filter(None, (result.action.value, reason)))

    def _why_silent(self, reason: GateReason) -> str:
        """What is missing on which topic, where something was never heard."""
        if reason is GateReason.NO_COMMAND:
            return self.why_silent("command", TwistStamped)
        if reason is GateReason.NO_OBSTACLES_KNOWN:
            if self._config.odometry and self._base.pose_s is None:
                return self._last_drop or self.why_silent("odom", Odometry)
            return self._last_drop or self.why_silent("scan", LaserScan)
        return ""

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        time = now()
        result = self._result
        stopped = result.action is GateAction.STOP
        level = DiagnosticStatus.WARN if stopped else DiagnosticStatus.OK
        if result.reason in (GateReason.INTERNAL_ERROR, GateReason.OTHER_PUBLISHER):
            level = DiagnosticStatus.ERROR
        self._silence = self._why_silent(result.reason)
        message = self._said(result)

        commanding = self.count_publishers(self._command_sub.topic_name)
        if commanding > 1:
            level = max(level, DiagnosticStatus.WARN)
            message += f" ({commanding} publishers on command)"

        heard_s = None if self._command is None else self._command.heard_s
        ages = {"command": heard_s, "scan": self._base.scan_s, "odom": self._base.pose_s}
        return (
            level,
            message,
            {
                "v": result.v,
                "omega": result.omega,
                **{f"{name}_age_s": "none" if at is None else round(time - at, 3) for name, at in ages.items()},
                "joint_refusal": self._joint_reason,
                "scan_without_reading": round(self._without_reading, 3),
                "last_drop": self._last_drop,
                "publishers_of_command": commanding,
                "publishers_of_cmd_vel": self.count_publishers(self._twist_pub.topic_name),
                "foreign_messages": self._counts["foreign_messages"],
                "exceptions": self._counts["exceptions"],
                "clock_jumps": self._timeline.jumps,
                "latency_p50_ms": round(self._latencies.quantile_ms(0.5), 3),
                "latency_p99_ms": round(self._latencies.quantile_ms(0.99), 3),
                **{name: self._counts[name] for name in ("commands", "pass", "limited", "stop")},
                **{name: count for name, count in sorted(self._counts.items()) if ": " in name},
                **{
                    f"dropped_{stream}_{why}": count
                    for stream in STREAMS
                    for why in DROPS
                    if (count := self._counts[f"{stream}_{why}"])
                },
            },
        )


def _joint_key(msg: JointTrajectory) -> Hashable:
    return tuple(tuple(p.positions) for p in msg.points)


def main() -> int:
    """Entry point of the executable `safety_gate_node`."""
    return run_node(SafetyGateNode, Shared.NOTHING)


if __name__ == "__main__":
    sys.exit(main())
