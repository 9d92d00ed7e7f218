"""Records a robot's topics as a bag of rosbag2, beside the robot and in a process of its own: nothing that it does, or
fails to do, reaches the robot: `rarrl record`.

Messages are taken as they came over the wire and put into a bounded queue; a thread writes them. When the disk is full,
the file ends with its last whole chunk, the process says so and ends with status 1."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo

from rarrl.bag.writer import BagWriter, Qos, Topic
from rarrl.config import Scalar
from rarrl.errors import InputError, RarrlError
from rarrl.secrets import hide_secrets

from .asked_settings import SPECS, AskedSettings
from .bag_types import definition_of
from .ros_types import load_type

TOPICS = (
    *("state", "decision", "answer", "plan", "budget", "budget/time_left_s", "budget/tokens_left", "subgoal", "goal"),
    *("instruction", "task", "beliefs", "detections", "command", "cmd_vel", "interact", "alive", "odom", "scan"),
    *("cmd_vel_gated", "mode", "heartbeat", "estop", "estop_latched"),
    *("joint_command", "joint_trajectory", "joint_states", "action_chunk", "proprio", "transition_event"),
    *("left/camera_info", "right/camera_info", "/diagnostics", "/rosout", "/tf", "/tf_static", "/clock"),
)
"""Ends of the names of the topics that are recorded, in any namespace: all that our nodes say and hear, but what is
large. With a leading stroke: the whole name."""
IMAGES = ("left/image_rect", "right/image_rect", "head/image", "voxels", "occupancy")
"""The same of what is large: up to megabytes a second."""
MAX_QUEUED = 64 << 20
"""Bytes that wait to be written; what comes beyond that is dropped and counted. The simulated robot's images fill it in
half a minute."""
FLUSH_S = 1.0
"""Seconds of messages that a killed process may lose."""
LOOK_S = 0.05
"""Seconds between two looks for new topics: what a node says as soon as it is there must not be missed."""
ASK_S = 1.0
"""Seconds between two looks for nodes whose settings are not known yet."""
SPIN_S = 0.1
"""Seconds by which an end may be late."""
NICE = 5
"""Steps of priority below the robot's processes: where both want a core, theirs is the robot's."""
DEPTH = 100
"""Messages of a topic that wait for this process."""


@dataclass(frozen=True)
class _Item:
    """What waits to be written: a message of a topic (a number), or an attachment (a name)."""

    where: int | str
    log_ns: int
    publish_ns: int
    data: bytes


class BagQueue:
    """What is to be written, and the thread that writes it.

    Attributes:
        writer: of the bag.
        dropped: messages that came while MAX_QUEUED bytes were waiting.
        failure: why nothing more is written, one line; "" while all is well.
    """

    def __init__(self, writer: BagWriter) -> None:
        self.writer = writer
        self._items: SimpleQueue[_Item | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self.dropped = 0
        self.failure = ""
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def put(self, where: int | str, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Never waits."""
        with self._lock:
            if self.failure or self._waiting + len(data) > MAX_QUEUED:
                self.dropped += 1
                return
            self._waiting += len(data)
        self._items.put(_Item(where, log_ns, publish_ns, data))

    def add(self, topic: Topic) -> int | None:
        """The number of a new topic; None where nothing more is written."""
        with self._lock:
            try:
                return None if self.failure else self.writer.add(topic)
            except OSError as error:
                self._fail(error)
                return None

    def close(self) -> None:
        """Writes what waits, and the index."""
        self._items.put(None)
        self._thread.join()
        if self.failure:
            self.writer.abandon()
            return
        try:
            self.writer.close()
        except OSError as error:
            self._fail(error)
            self.writer.abandon()

    def _work(self) -> None:
        flushed = time.monotonic()
        while True:
            try:
                item = self._items.get(timeout=FLUSH_S)
            except Empty:
                item = _Item("", 0, 0, b"")
            if item is None:
                return
            with self._lock:
                self._waiting -= len(item.data)
                try:
                    self._write(item)
                    if time.monotonic() - flushed > FLUSH_S:
                        flushed = time.monotonic()
                        self.writer.flush()
                except OSError as error:
                    self._fail(error)

    def _write(self, item: _Item) -> None:
        if self.failure:
            return
        if isinstance(item.where, int):
            self.writer.write(item.where, item.log_ns, item.publish_ns, item.data)
        elif item.where:
            self.writer.attach(item.where, item.data)

    def _fail(self, error: OSError) -> None:
        self.failure = f"{self.writer.path}: {error.strerror or error}; the robot goes on, the bag ends here"


class Recorder:
    """Finds topics, hears them, and asks nodes for their settings.

    Args:
        node: what it listens with.
        images: whether what is large is recorded, too.
        more: further topics, by their whole names."""

    def __init__(self, node: Node, queue: BagQueue, images: bool = False, more: Sequence[str] = ()) -> None:
        self._node = node
        self._queue = queue
        self._ends = TOPICS + IMAGES if images else TOPICS
        self._more = frozenset(name if name.startswith("/") else f"/{name}" for name in more)
        self._done: set[str] = set()  # topics that are recorded, or cannot be
        self._settings = AskedSettings(node, self._keep)
        node.create_timer(LOOK_S, self._look)
        node.create_timer(ASK_S, self._ask)
        self._look()

    @property
    def topics(self) -> int:
        """How many were found."""
        return len(self._done)

    def _wants(self, name: str) -> bool:
        ends = (name == end if end.startswith("/") else name.endswith(f"/{end}") for end in self._ends)
        return name in self._more or any(ends)

    def _look(self) -> None:
        for name, kinds in self._node.get_topic_names_and_types():
            if name in self._done or not self._wants(name):
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if publishers:
                self._done.add(name)
                self._hear(name, kinds[0], publishers)

    def _hear(self, name: str, kind: str, publishers: Sequence[TopicEndpointInfo]) -> None:
        definition = definition_of(kind)
        try:
            of = load_type(kind, "msg")
        except InputError as error:
            self._node.get_logger().warning(f"{name} is not recorded: {error}")
            return
        if definition is None:
            self._node.get_logger().warning(f"{name} is not recorded: there is no definition of {kind} here")
            return

        found = getattr(publishers[0], "topic_type_hash", None)  # not of Humble
        qos = [qos_of(one.qos_profile) for one in publishers]
        number = self._queue.add(Topic(name, kind, definition, qos, str(found) if found else ""))
        if number is None:
            return

        def on_message(data: bytes, info: dict[str, Any]) -> None:
            came = info["received_timestamp"] or time.time_ns()
            self._queue.put(number, came, info["source_timestamp"] or came, data)

        self._node.create_subscription(of, name, on_message, fitting([one.qos_profile for one in publishers]), raw=True)

    def _ask(self) -> None:
        for name, namespace in self._node.get_node_names_and_namespaces():
            self._settings.ask(name, f"{namespace.rstrip('/')}/")

    def _keep(self, name: str, settings: Mapping[str, Scalar]) -> None:
        # What is as by default is left out: a default that is another one later is a change that a replay shows.
        default = {spec.name: spec.default for spec in SPECS[name]}
        own = {
            key: hide_secrets(value) if isinstance(value, str) else value
            for key, value in settings.items()
            if value != default[key]
        }
        self._queue.put(f"rarrl/settings/{name}.json", 0, 0, json.dumps(own).encode())


def qos_of(profile: QoSProfile) -> Qos:
    """A quality of service as rosbag2 writes it down, in numbers."""

    def time_of(duration: Any) -> dict[str, int]:
        return {"sec": duration.nanoseconds // 10**9, "nsec": duration.nanoseconds % 10**9}

    return {
        "history": int(profile.history),
        "depth": profile.depth,
        "reliability": int(profile.reliability),
        "durability": int(profile.durability),
        "deadline": time_of(profile.deadline),
        "lifespan": time_of(profile.lifespan),
        "liveliness": int(profile.liveliness),
        "liveliness_lease_duration": time_of(profile.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": profile.avoid_ros_namespace_conventions,
    }


def fitting(offered: Sequence[QoSProfile]) -> QoSProfile:
    """What hears all of these publishers: it asks for no more than the least of them offers."""
    reliable = all(one.reliability is ReliabilityPolicy.RELIABLE for one in offered)
    latched = all(one.durability is DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def record(
    folder: Path,
    images: bool = False,
    more: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Records until SIGINT or SIGTERM. In the process's main thread.

    Args:
        folder: of the new bag.
        images: whether what is large is recorded, too.
        more: further topics, by their whole names.
        say: called with lines for people.

    Raises: InputError where the folder cannot be made, RarrlError where the bag could not be written to its end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())

    os.nice(NICE)
    queue = BagQueue(BagWriter(folder, os.environ.get("ROS_DISTRO", "")))
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("rarrl_recorder", context=context, start_parameter_services=False, enable_rosout=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        recorder = Recorder(node, queue, images, more)
        say(f"recording to {folder}")
        while not ended.is_set() and not queue.failure:
            executor.spin_once(timeout_sec=SPIN_S)
        topics = recorder.topics
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
        queue.close()
    if queue.failure:
        raise RarrlError(f"record: {queue.failure}")
    lost = f", {queue.dropped} dropped: the disk is too slow" if queue.dropped else ""
    written = queue.writer
    say(
        f"recorded {written.messages} messages of {topics} topics, {written.path.stat().st_size / 1e6:.1f} MB{lost}: "
        f"{folder} (processor time: {time.process_time():.1f} s)"
    )
