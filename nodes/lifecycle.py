"""What all our nodes share: how a process starts, spins and ends, and its 1 Hz diagnostics."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from rarrl.config import FieldSpec, Section
from rarrl.errors import InputError, RarrlError

from . import params
from .conversions import array

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""The last message reaches those who come later."""


class RarrlNode(LifecycleNode):
    """A lifecycle node with parameters from the models, diagnostics and an end.

    `failure`: why a transition failed or the node has to stop, in one line (`error`, as it was raised). `ended`: done
    when the process should be. Subclasses fill in `load`, `start` and `diagnose`."""

    def __init__(self, name: str, task: str, specs: tuple[FieldSpec, ...], model: type[Section], **kwargs) -> None:
        super().__init__(name, **kwargs)
        params.declare(self, specs, model)
        self.failure = ""
        self.error: RarrlError | None = None
        self.ended: Future = Future()
        self.active = False
        self._starting = False
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._task = f"{name}: {task}"
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=self.steady)

    def setting(self, name: str) -> object:
        """The present value of the parameter `name`."""
        return self.get_parameter(name).value

    def stamp(self):
        """The node's time, for a header."""
        return self.get_clock().now().to_msg()

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        """Level, message and values of this second; called while active."""
        raise NotImplementedError

    def load(self) -> None:
        """Configures: loads files, creates publishers, subscriptions and services. Raises: RarrlError, one line."""
        raise NotImplementedError

    def start(self) -> None:
        """What follows activation."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._try(self.load, super().on_configure, state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = True
        result = self._try(lambda: None, super().on_activate, state)
        if result is TransitionCallbackReturn.SUCCESS:
            result = self._try(self.start, lambda _: result, state)
        self.active = result is TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        return super().on_deactivate(state)

    def autostart(self) -> None:
        """Configures and activates, where the parameter says so. Raises: RarrlError where that fails."""
        if not self.setting("autostart"):
            return
        self._starting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not TransitionCallbackReturn.SUCCESS:
                raise self.error or RarrlError(f"{self.get_name()} cannot start: see its log")
        self._starting = False

    def _try(
        self,
        ours: Callable[[], None],
        theirs: Callable[[LifecycleState], TransitionCallbackReturn],
        state: LifecycleState,
    ) -> TransitionCallbackReturn:
        """`ours`, then `theirs`. A bad file fails the transition with one line; rclpy would swallow other errors."""
        try:
            ours()
        except RarrlError as error:
            self.failure, self.error = str(error), error
            if not self._starting:  # the process is about to end with this line
                self.get_logger().error(self.failure)
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.failure = traceback.format_exc()
            self.get_logger().fatal(self.failure)
            raise
        self.failure = ""
        return theirs(state)

    def _publish_diagnostics(self) -> None:
        if self.active:
            level, message, values = self.diagnose()
        else:
            level, message, values = DiagnosticStatus.WARN, self.failure or "not active", {}
        self._diagnostics.publish(array(self._task, values, self.stamp(), level, message))


def now() -> float:
    """The steady clock, seconds."""
    return time.monotonic()


def _end_at_a_signal(node: RarrlNode) -> None:
    """SIGINT and SIGTERM let the callback under way finish: an exception in the midst of rclpy's C code comes out of it
    as a failure of that code."""

    def end(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # the second one would find the future's lock held
            signal.signal(number, signal.SIG_IGN)
        if not node.ended.done():
            node.ended.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def run_node(make: Callable[[], RarrlNode], last_words: bool = False) -> int:
    """Starts, spins and ends a node. The exit status: 0 after its end or SIGINT or SIGTERM, 2 bad input, 1 failure.

    last_words: the node can still publish when a signal ends it (rclpy's own handlers cut it off before)."""
    node: RarrlNode | None = None
    try:
        try:
            if last_words:
                rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGTERM, signal.default_int_handler)
            else:
                rclpy.init()
        except RuntimeError as error:  # a -p or a parameter file that ROS cannot read
            raise InputError(" ".join(str(error).split())) from None
        node = make()
        node.autostart()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if last_words:
            _end_at_a_signal(node)
        executor.spin_until_future_complete(node.ended)
        return 1 if node.failure else 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (InputError, ParameterException) as error:
        print(f"rarrl: {error}", file=sys.stderr)
        return 2
    except RarrlError as error:
        print(f"rarrl: {error}", file=sys.stderr)
        return 1
    finally:
        # A terminal's Ctrl-C reaches the node twice, the second time through ros2 launch: it is ending already.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
