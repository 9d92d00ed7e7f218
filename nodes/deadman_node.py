"""deadman_node: the last that a velocity command passes; says zero when the gate is silent. Thin over
`rarrl.safety.deadman`; docs/explanation/safety.md.

One thread, and as little in the process as its parameters allow. It has no lifecycle: there is no state in which it
says nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from rarrl.diagnostics import Announcer
from rarrl.errors import InputError
from rarrl.safety.deadman import Deadman, DeadmanState
from rarrl.safety.timeline import Timeline
from rarrl.supervision.events import Life

from .arguments import ros_words, wants_help
from .heartbeat import Heart
from .loopback import Shared, told, uses_shared_memory
from .own_messages import OwnMessages, number_of
from .params import DEADMAN_SPECS, DeadmanNodeConfig, declare, read_config
from .spinning import SPIN_S, informed, make_executor

LATEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
FEW = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
SURE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ESTOP = "estop"
ACK_S = 2.0
"""Seconds that the last zero may take to arrive, as in the gate; then the base's own time limit stops it."""
TOLD_S = 1.0
"""Seconds that a state has to last to be told on the console; diagnostics tell each change at once."""


class DeadmanNode(Node):
    """Lets the gate's commands through to the base while they are fresh, and says zero else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("deadman_node", **kwargs)
        declare(self, DEADMAN_SPECS, DeadmanNodeConfig)
        config = read_config(self).deadman
        self._stamped = bool(self.get_parameter("twist_stamped").value)
        self._frame = str(self.get_parameter("base_frame").value)

        self._scheduling = "ordinary"
        self._shared_memory = False
        self._timeline = Timeline()
        self._deadman = Deadman(config, now())
        self._announcer = Announcer(settle_s=TOLD_S)
        self._counts: Counter[str] = Counter()
        self._own = OwnMessages()
        self._told: str | None = None
        self._told_latched: bool | None = None
        self._hears_latched = False

        kind = TwistStamped if self._stamped else Twist
        out = QoSProfile(depth=1, deadline=Duration(seconds=config.max_silence_s + 2 / config.rate_hz))
        self._twist_pub = self.create_publisher(kind, "cmd_vel", out)
        self._latched_pub = self.create_publisher(Bool, "estop_latched", LATCHED)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", 10)

        def hear(of: type, topic: str, callback: Callable[..., None], qos: QoSProfile) -> Any:
            return self.create_subscription(of, topic, informed(self._guarded(callback)), qos)

        self._gate_sub = hear(kind, "cmd_vel_gated", self._on_command, LATEST)
        hear(kind, "cmd_vel", self._on_own, FEW)
        self._estop_sub = hear(Bool, ESTOP, self._on_estop, SURE)
        hear(Bool, ESTOP, self._on_estop, FEW)  # of publishers that may lose messages too

        for name, answer in (("estop", self._stop), ("reset", self._reset), ("enable", self._enable)):
            self.create_service(Trigger, f"~/{name}", self._answered(name, answer))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / config.rate_hz, self._tick, clock=steady)
        self._silence = self.create_timer(config.max_silence_s, self._tick, clock=steady)  # from the last command on
        self.create_timer(1.0, self._each_second, clock=steady)
        Heart(self, lambda: (Life.ACTIVE, "", False, {}))
        self._each_second()
        self._tick()

    # What comes in

    def _guarded(self, callback: Callable[..., None]) -> Callable[[Any, Any], None]:
        """Whatever goes wrong in here stops the robot, until someone has looked at it."""

        def guarded(msg: Any, info: Any) -> None:
            try:
                callback(msg, info)
            except Exception as error:
                self._fault(error)

        return guarded

    def _fault(self, error: Exception) -> None:
        self._counts["exceptions"] += 1
        self.get_logger().error(f"{type(error).__name__}: {error}"[:300], throttle_duration_sec=10.0)
        self._deadman.stop(f"internal error: {type(error).__name__}")

    def _on_command(self, msg: Twist | TwistStamped, info: Any) -> None:
        came = now()
        taken = came
        if isinstance(msg, TwistStamped):
            self._timeline.look(self.get_clock().now().nanoseconds / 1e9, came)
            stamp = msg.header.stamp
            taken = self._timeline.taken(stamp.sec + stamp.nanosec / 1e9, came, self._deadman.taken_s)

        self._counts["commands"] += 1
        twist = msg.twist if isinstance(msg, TwistStamped) else msg
        speeds = [getattr(part, axis) for part in (twist.linear, twist.angular) for axis in "xyz"]
        if self._deadman.command(speeds, taken, came, number_of(info)):
            self._silence.reset()
            self._counts["passed"] += 1
            self._publish(msg)
        elif self._deadman.zero:
            self._publish_zero()
        self._tell()

    def _on_own(self, msg: Twist | TwistStamped, info: Any) -> None:
        if not self._own.holds(msg, info):
            self._counts["foreign_messages"] += 1
            self.get_logger().error("another node publishes on cmd_vel: stop", throttle_duration_sec=10.0)
            self._deadman.foreign("cmd_vel", now())
            self._publish_zero()
            self._tell()

    def _on_estop(self, msg: Bool, _: Any) -> None:
        self._deadman.button(msg.data, now())
        if self._deadman.latched:
            self._publish_zero()
        self._tell()

    # What a person says

    def _answered(self, name: str, answer: Callable[[], str]) -> Callable[[Any, Any], Any]:
        """A service that says in its response, and in the log, what came of it."""

        def answered(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            refusal = answer()
            response.success = not refusal
            response.message = refusal or self._said()
            self.get_logger().info(f"{name}: {'refused: ' if refusal else ''}{response.message}")
            self._tell()
            return response

        return answered

    def _stop(self) -> str:
        self._deadman.stop("asked for")
        self._publish_zero()
        return ""

    def _reset(self) -> str:
        return self._deadman.reset(now())

    def _enable(self) -> str:
        return self._deadman.enable(now())

    # What goes out

    def _tick(self) -> None:
        try:
            time = now()
            self._timeline.look(self.get_clock().now().nanoseconds / 1e9, time)
            self._deadman.look(time)
        except Exception as error:
            self._fault(error)
        if self._deadman.zero:
            self._publish_zero()
        self._tell()

    def _publish_zero(self) -> None:
        if not self._stamped:
            self._publish(Twist())
            return
        msg = TwistStamped()
        msg.header.stamp = self.get_clock().now().to_msg()
        msg.header.frame_id = self._frame
        self._publish(msg)

    def _publish(self, msg: Twist | TwistStamped) -> None:
        self._own.sent(msg)
        self._twist_pub.publish(msg)

    def take_precedence(self) -> None:
        """Puts all threads of this process before ordinary ones, where that is asked for and allowed."""
        priority = self._deadman.config.realtime_priority
        if not priority:
            return
        try:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
            self._scheduling = f"SCHED_FIFO {priority}"
        except OSError as error:
            self._scheduling = f"ordinary ({error.strerror}: give the user rtprio in /etc/security/limits.conf)"

    def last_words(self) -> None:
        """Zero, once more: from here on the base's own time limit stands guard."""
        self._publish_zero()
        self._twist_pub.wait_for_all_acked(Duration(seconds=ACK_S))  # a publisher that goes takes it along

    def _tell(self) -> None:
        """What is new, at once: a state that stops the robot, or that it may move again."""
        told = "" if not self._deadman.zero else self._said()
        if told != self._told:
            self._told = told
            self._publish_diagnostics()
        if self._deadman.latched is not self._told_latched:
            self._told_latched = self._deadman.latched
            self._latched_pub.publish(Bool(data=self._told_latched))

        if line := self._announcer.judge(now(), not self._deadman.zero, self._said()):
            if self._deadman.zero:  # rclpy takes a line of code that logs for one severity, and raises at another
                self.get_logger().warning(line)
            else:
                self.get_logger().info(line)

    def _each_second(self) -> None:
        self._shared_memory = uses_shared_memory()
        self._publish_diagnostics()
        if self._hears_latched:
            return
        publishers = self.get_publishers_info_by_topic(self._estop_sub.topic_name)
        if any(one.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL for one in publishers):
            # Only now: a publisher that does not latch would not be matched with this one, and warn of it.
            self._hears_latched = True
            self.create_subscription(Bool, ESTOP, informed(self._guarded(self._on_estop)), LATCHED)

    def _publish_diagnostics(self) -> None:
        deadman = self._deadman
        level = DiagnosticStatus.WARN if deadman.zero else DiagnosticStatus.OK
        if deadman.latched or deadman.state is DeadmanState.SILENT or self._counts["exceptions"]:
            level = DiagnosticStatus.ERROR
        values = {
            "state": deadman.state,
            "reason": deadman.reason,
            **{name: self._counts[name] for name in ("commands", "passed", "foreign_messages", "exceptions")},
            **{f"refused: {why}": count for why, count in sorted(deadman.refused.items())},
            "publishers_of_cmd_vel_gated": self.count_publishers(self._gate_sub.topic_name),
            "publishers_of_cmd_vel": self.count_publishers(self._twist_pub.topic_name),
            "clock_jumps": self._timeline.jumps,
            "scheduling": self._scheduling,
            "shared_memory": self._shared_memory,
        }
        status = DiagnosticStatus(level=level, name="deadman_node: commands", message=self._said())
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        msg = DiagnosticArray(status=[status])
        msg.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_pub.publish(msg)

    def _said(self) -> str:
        return f"{self._deadman.state}: {self._deadman.reason}" if self._deadman.reason else str(self._deadman.state)


def now() -> float:
    """The steady clock, seconds."""
    return time.monotonic()


def main() -> int:
    """Entry point of the executable `deadman_node`.

    Returns: the exit status: 0 after SIGINT or SIGTERM; 2 for bad input."""
    ended = False

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True

    node: DeadmanNode | None = None
    try:
        if wants_help(sys.argv, (DeadmanNode.__doc__ or "").partition("\n")[0]):
            return 0
        with told(os.environ, Shared.NOTHING):
            try:
                rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            except RuntimeError as error:  # a -p option or a parameter file that ROS cannot read
                raise InputError(ros_words(error)) from None
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, end)
            node = DeadmanNode()
        node.take_precedence()
        executor = make_executor()
        executor.add_node(node)
        while not ended:  # the node's own timer ends each wait soon
            executor.spin_once(timeout_sec=SPIN_S)
        return 0
    except ExternalShutdownException:
        return 0
    except (InputError, ParameterException) as error:
        print(f"rarrl: {error}", file=sys.stderr)
        return 2
    finally:
        if node is not None:
            node.last_words()
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
