"""What all nodes share: starting, spinning and ending the process, teardown, and diagnostics at 1 Hz."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.guard_condition import GuardCondition
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.timer import Timer

from rarrl.config import FieldSpec, Scalar, Section
from rarrl.diagnostics import Announcer, why_silent
from rarrl.errors import InputError, RarrlError
from rarrl.plugins import USER_ERRORS, one_line
from rarrl.supervision.events import Life

from . import params
from .arguments import ros_words, wants_help
from .faults import injection
from .heartbeat import Heart
from .key_values import array
from .loopback import Shared, told
from .spinning import SPIN_S, forget_destroyed, later, make_executor

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""A subscriber that joins late still receives the last message."""

LATEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Heard from every publisher; of its messages only the last one counts."""

VOLATILE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""Heard from reliable publishers only, and none of it is lost."""

LOOK_S = 0.2
"""Seconds between two looks for a publisher that latches."""
LOOKS = 10
"""Of so many looks, one at least is at the publishers themselves and not only at how many they are."""

IMAGE = "sensor_msgs/msg/Image"

DIAGNOSTICS_PERIOD_S = 1.0
"""The usual rate of diagnostics in ROS."""

DIAGNOSTICS_DEPTH = 10
"""Messages of /diagnostics that are kept for a slow reader, ten seconds of them."""

LIVES = frozenset(life.value for life in Life)

T = TypeVar("T", bool, int, float, str)


class RarrlNode(LifecycleNode):
    """Base of all lifecycle nodes here: parameters from the config models, diagnostics, and a clean teardown.

    A subclass fills in `load`, `start`, `unload` and `diagnose`. Every publisher, subscription, client, service, timer
    and guard condition created inside `load` is destroyed when the node is cleaned up, shut down, or when a transition
    fails; the subclass only ends what is not a ROS entity (threads, worker processes, files), in `unload`.

    Attributes:
        failure: why the last transition failed, or why the node has to stop, in one line; "" while all is well.
        error: the exception behind `failure`, where a transition raised one of ours.
        ended: done as soon as the process should end.
        active: whether the node is in the lifecycle state `active`.
        steady: a clock that a change of the system time does not move; timers of control loops run on it.
    """

    # rclpy's own constructor creates publishers and services too: nothing is recorded before `load` runs.
    _recording = False
    _loaded = False

    def __init__(self, name: str, task: str, specs: tuple[FieldSpec, ...], model: type[Section], **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        params.declare(self, specs, model)

        self.failure = ""
        self.error: RarrlError | None = None
        self.ended: Future = Future()
        self.active = False
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)

        self._announcer = Announcer()
        self._starting = False
        self._undo: list[Callable[[], object]] = []  # destroys what `load` has created, in order of creation
        self._task = f"{name}: {task}"
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS_DEPTH)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=self.steady)
        self._heart = Heart(self, self._state_of_life)
        injection.offer(self)

    @overload
    def setting(self, name: str) -> Scalar: ...

    @overload
    def setting(self, name: str, kind: type[T]) -> T: ...

    def setting(self, name: str, kind: type[Any] | None = None) -> Any:
        """The current value of the parameter `name`.

        Args:
            kind: the parameter's declared type; with it, the result has that type.

        Raises: TypeError where the parameter is of another type (a mistake in the node, not in its input)."""
        value = self.get_parameter(name).value
        if kind is not None and type(value) is not kind:
            raise TypeError(f"parameter {name} is {value!r}, not {kind.__name__}")
        return value

    def stamp(self) -> Time:
        """The node's current time, for a header."""
        return self.get_clock().now().to_msg()

    def announce(self, ok: bool, message: str) -> None:
        """Tells the console what the node does or waits for, when that changes."""
        if line := self._announcer.judge(now(), ok, message):
            if ok:  # rclpy takes a line of code that logs for one severity, and raises at another
                self.get_logger().info(line[:500])
            else:
                self.get_logger().warning(line[:500])

    def why_silent(self, topic: str, kind: type) -> str:
        """Why nothing was heard on `topic`, as far as the graph tells."""
        name = self.resolve_topic_name(topic)
        needed = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        publishers = self.get_publishers_info_by_topic(name)
        compressed = needed == IMAGE and bool(self.count_publishers(f"{name}/compressed"))

        ours = [one.qos_profile for one in self.subscriptions if one.topic_name == name]
        reasons = []
        for publisher in publishers:
            checks = [qos_check_compatible(publisher.qos_profile, qos) for qos in ours]
            if all(fits is QoSCompatibility.ERROR for fits, _ in checks):
                reasons += [reason.strip() for _, reason in checks]
        qos = reasons[0] if ours and reasons and len(reasons) >= len(publishers) else ""
        return why_silent(name, needed, [publisher.topic_type for publisher in publishers], qos, compressed)

    def hear_latched(self, kind: type, topic: str, callback: Callable[[Any], None], live: QoSProfile = LATEST) -> None:
        """Subscribes to a topic whose last message counts, whether its publisher latches it or not.

        A latching subscription would not be matched with a publisher that does not latch, which would warn of it: so it
        is made when there is one that does. Then a message may come twice. live: of the subscription until then."""
        self.create_subscription(kind, topic, callback, live)
        name = self.resolve_topic_name(topic)

        known, looks = 0, 0

        def look() -> None:
            nonlocal known, looks
            looks += 1
            if self.count_publishers(name) == known and looks % LOOKS:  # counting costs next to nothing
                return
            publishers = self.get_publishers_info_by_topic(name)
            known = len(publishers)
            if any(one.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL for one in publishers):
                timer.cancel()
                recording, self._recording = self._recording, True
                self.create_subscription(kind, topic, callback, LATCHED)
                self._recording = recording

        timer = self.create_timer(LOOK_S, look, clock=self.steady)
        look()

    def end(self, failure: str = "") -> None:
        """Ends the process after the current callback; with a `failure`, its exit status is 1."""
        if failure and str(self.error) != failure:  # run_node prints an error of ours
            self.get_logger().error(failure)
        self.failure = failure
        if not self.ended.done():
            self.ended.set_result(None)

    def say_goodbye(self) -> None:
        """Tells a supervisor that the process is about to end in order."""
        self._heart.beat()

    # What a subclass fills in

    def load(self) -> None:
        """Configures the node: loads files, creates publishers, subscriptions, services and timers.

        Raises: RarrlError, one line, where the node cannot be configured; what was created so far is destroyed."""
        raise NotImplementedError

    def start(self) -> None:
        """Called after activation, with all publishers enabled. May raise RarrlError, which fails the activation."""

    def unload(self) -> None:
        """Ends what `load` or `start` began and is not a ROS entity: threads, worker processes, open files.

        Called once for each `load`, also for one that failed half-way, and before the entities are destroyed: a thread
        may publish until it has been joined."""

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        """Level, message and values for this second's diagnostics; called while the node is active."""
        raise NotImplementedError

    def troubles(self) -> Mapping[str, str]:
        """Part -> why it does not work, "" where it does: parts inside the node that a supervisor tells of, such as the
        process of a language model. Called several times a second while the node is active."""
        return {}

    # Lifecycle transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._heart.beat()  # the last one for as long as `load` takes
        self._loaded = True
        self._recording = True
        try:
            result = self._try(self.load, super().on_configure, state)
        except Exception:
            self._release()
            raise
        finally:
            self._recording = False

        if result is not TransitionCallbackReturn.SUCCESS:
            self._release()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._heart.beat()
        self.active = True
        result = self._try(lambda: None, super().on_activate, state)
        if result is TransitionCallbackReturn.SUCCESS:
            result = self._try(self.start, lambda _: result, state)
        self.active = result is TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._heart.beat()
        self.active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that raised: back to `unconfigured`, as rclpy has it, with nothing left behind."""
        self.active = False
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        self._release()
        super().destroy_node()

    def _release(self) -> None:
        """Undoes `load`: `unload`, then every recorded entity, the youngest first.

        An `unload` that raises is logged in one line, and the rest is undone all the same: rclpy must get to destroy
        its own entities."""
        if not self._loaded:
            return
        self._loaded = False
        try:
            self.unload()
        except USER_ERRORS as error:
            self.get_logger().error(f"{self.get_name()}: unload failed ({one_line(error)})")
        finally:
            while self._undo:
                self._undo.pop()()
            forget_destroyed(self)

    # Entities created by `load` are recorded

    def create_lifecycle_publisher(self, *args: Any, **kwargs: Any) -> Publisher:
        return self._record(super().create_lifecycle_publisher(*args, **kwargs), self.destroy_lifecycle_publisher)

    def create_publisher(self, *args: Any, **kwargs: Any) -> Publisher:
        return self._record(super().create_publisher(*args, **kwargs), self.destroy_publisher)

    def create_subscription(self, *args: Any, **kwargs: Any) -> Subscription:
        return self._record(super().create_subscription(*args, **kwargs), self.destroy_subscription)

    def create_client(self, *args: Any, **kwargs: Any) -> Client:
        return self._record(super().create_client(*args, **kwargs), self.destroy_client)

    def create_service(self, *args: Any, **kwargs: Any) -> Service:
        return self._record(super().create_service(*args, **kwargs), self.destroy_service)

    def create_timer(self, *args: Any, **kwargs: Any) -> Timer:
        return self._record(super().create_timer(*args, **kwargs), self.destroy_timer)

    def create_guard_condition(self, *args: Any, **kwargs: Any) -> GuardCondition:
        return self._record(super().create_guard_condition(*args, **kwargs), self.destroy_guard_condition)

    def _record(self, entity: Any, destroy: Callable[[Any], object]) -> Any:
        if self._recording:
            self._undo.append(lambda: destroy(entity))
        return entity

    def autostart(self) -> None:
        """Configures and activates, if the parameter `autostart` is set. Raises: RarrlError where that fails."""
        if not self.setting("autostart", bool):
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
        """Runs `ours`, then `theirs`.

        One of our own errors, such as a bad file, fails the transition with one line. Any other error is logged here,
        because rclpy would swallow it, and raised."""
        try:
            ours()
        except RarrlError as error:
            self.failure = str(error)
            self.error = error
            if not self._starting:  # run_node prints it as the process ends
                self.get_logger().error(self.failure)
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.failure = traceback.format_exc()
            self.get_logger().fatal(self.failure)
            raise

        self.failure = ""
        return theirs(state)

    def _state_of_life(self) -> tuple[Life, str, bool, Mapping[str, str]]:
        label = self._state_machine.current_state[1]
        life = Life(label) if label in LIVES else Life.CHANGING
        life = Life.FINALIZED if self.ended.done() else life
        failure = " ".join(self.failure.split())
        troubles = self.troubles() if self.active and life is Life.ACTIVE else {}
        return life, failure, isinstance(self.error, InputError), {part: why for part, why in troubles.items() if why}

    def _publish_diagnostics(self) -> None:
        if self.active:
            level, message, values = self.diagnose()
            self.announce(level == DiagnosticStatus.OK, message)
        else:
            level, message, values = DiagnosticStatus.WARN, self.failure or "not active", {}
        self._diagnostics.publish(array(self._task, values, self.stamp(), level, message))


def now() -> float:
    """The steady clock, seconds; comparable within one process only."""
    return time.monotonic()


def _end_at_a_signal(node: RarrlNode) -> None:
    """Lets the current callback finish after SIGINT or SIGTERM, and wakes the executor at once.

    Raising KeyboardInterrupt instead would interrupt rclpy's C code, which reports it as a failure of its own. Python
    runs its handlers when that code returns, which may take a second: a thread hears of the signal sooner."""
    heard, tell = os.pipe()
    os.set_blocking(tell, False)

    def wait() -> None:
        os.read(heard, 1)
        if not node.ended.done():
            node.ended.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # a second one changes nothing
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=wait, name="signals", daemon=True).start()


def spin_until_ended(node: RarrlNode, executor: Executor) -> None:
    """Runs the node's callbacks until its end, or that of ROS.

    rclpy's `spin_until_future_complete` adds a callback to the future for each one that it runs, and never takes it
    away: nodes grew by 35 to 86 MB an hour (`rarrl faults run --only N5-soak`)."""
    wake = later(node, lambda: None)
    node.ended.add_done_callback(lambda _: wake.reset())
    while node.context.ok() and not node.ended.done():
        executor.spin_once(timeout_sec=SPIN_S)


def run_node(make: Callable[[], RarrlNode], shared: Shared = Shared.SMALL, by_events: bool = True) -> int:
    """Starts, spins and ends a node; with --help it only prints how it is called.

    shared: how much shared memory it has. by_events: see `rarrl_nodes.spinning.make_executor`.

    The context stays valid until the node is destroyed, so that its threads end in order and it can still publish;
    rclpy's own signal handlers would shut the context down first.

    Returns: the exit status: 0 after its regular end, SIGINT or SIGTERM; 2 for bad input; 1 for a failure."""
    node: RarrlNode | None = None
    try:
        if wants_help(sys.argv, (make.__doc__ or "").partition("\n")[0]):
            return 0
        with told(os.environ, shared):
            try:
                rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGTERM, signal.default_int_handler)
            except RuntimeError as error:  # a -p option or a parameter file that ROS cannot read
                raise InputError(ros_words(error)) from None
            node = make()
        node.autostart()

        executor = make_executor(by_events=by_events)
        executor.add_node(node)
        _end_at_a_signal(node)
        spin_until_ended(node, executor)
        node.say_goodbye()
        if node.error is not None and str(node.error) == node.failure:
            raise node.error
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
        # Ctrl-C in a terminal reaches the node twice, the second time through ros2 launch, while it is already ending.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
