"""Listens to a running graph for the view: a node that hears, and calls two services. The robot needs none of it.

What comes often, such as pictures, is heard while somebody watches, so that it is not sent where nobody does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from std_srvs.srv import Trigger

from rarrl.config import Scalar
from rarrl.errors import InputError
from rarrl.view.state import Controls, Snapshot

from .asked_settings import SPECS, AskedSettings
from .bag_recorder import fitting
from .ros_types import load_type
from .view_messages import LARGE, TOPICS, GraphPicture, robot_of

logger = logging.getLogger(__name__)

LOOK_S = 0.5
"""Seconds between two looks for topics, services and settings."""
CALL_S = 7.0
"""Seconds within which a node answers that a button was pressed. Fast DDS repeats the news of a client, where the first
word of it was lost, every 3 s: at most two such periods."""
NAME = "rarrl_view"
PAUSERS = ("executive_node", "orchestrator_node")
"""Nodes that can pause the robot, the better one first: the executive stops the skill that runs, the orchestrator
makes no further decision."""
BUTTONS = tuple(f"{name}/{button}" for name in PAUSERS for button in ("pause", "resume"))
THINK_NOW = "orchestrator_node/think_now"


class GraphView:
    """A running graph as a `rarrl.view.server.Source`.

    Args:
        node: what it listens with; somebody else spins it, in another thread than those that look."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._picture = GraphPicture(f"a running robot, {node.get_namespace()}")
        self._subscriptions: dict[str, Subscription] = {}
        self._settings: dict[str, dict[str, Scalar]] = {}
        self._asked = AskedSettings(node, self._keep)
        self._began = time.monotonic()
        self._watched = False
        self._paused = ""  # the node that we have paused
        # Made here and kept: a client that is made only when a button is pressed is not known to the node yet.
        self._clients = {name: node.create_client(Trigger, name) for name in (*BUTTONS, THINK_NOW)}
        self._tell_controls()  # nothing can be pressed before it was seen
        node.create_timer(LOOK_S, self._look_around)

    # -- for the server, in its threads

    def look(self) -> Snapshot:
        """See `Source`."""
        return self._picture.look()

    def watch(self, somebody: bool) -> None:
        """See `Source`."""
        self._watched = somebody

    def pause(self, wanted: bool) -> str:
        """See `Source`."""
        who = (self._pauser() if wanted else self._paused) or self._pauser()
        if not who:
            return NO_PAUSE
        why_not = self._call(f"{who}/{'pause' if wanted else 'resume'}")
        if not why_not:
            self._paused = who if wanted else ""
            self._tell_controls()
        return why_not

    def think_now(self) -> str:
        """See `Source`."""
        return self._call(THINK_NOW)

    # -- in the node's thread

    def _look_around(self) -> None:
        for topic in TOPICS:
            heard = topic in self._subscriptions
            if topic in LARGE and not self._watched:
                if heard:
                    self._node.destroy_subscription(self._subscriptions.pop(topic))
            elif not heard:
                self._hear(topic)
        for name in SPECS:
            self._asked.ask(name)
        self._tell_controls()

    def _hear(self, topic: str) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        if not publishers or publishers[0].topic_type != TOPICS[topic]:
            return
        with suppress(InputError):
            of = load_type(TOPICS[topic], "msg")
            offered = fitting([one.qos_profile for one in publishers])
            qos = QoSProfile(depth=5, reliability=offered.reliability, durability=offered.durability)
            self._subscriptions[topic] = self._node.create_subscription(of, topic, self._taker(topic), qos)

    def _taker(self, topic: str) -> Any:
        def take(msg: Any) -> None:
            self._picture.take(topic, msg, time.monotonic() - self._began)

        return take

    def _keep(self, name: str, settings: Mapping[str, Scalar]) -> None:
        self._settings[name] = dict(settings)
        with suppress(InputError):
            self._picture.know(robot_of(self._settings))

    def _pauser(self) -> str:
        def can(name: str) -> bool:
            return all(self._clients[f"{name}/{button}"].service_is_ready() for button in ("pause", "resume"))

        return next((name for name in PAUSERS if can(name)), "")

    def _tell_controls(self) -> None:
        self._picture.set_controls(
            Controls(
                paused=bool(self._paused),
                no_pause="" if self._pauser() else NO_PAUSE,
                no_think="" if self._clients[THINK_NOW].service_is_ready() else "no orchestrator_node is there",
            )
        )

    def _call(self, service: str) -> str:
        """Calls a Trigger. Returns "", or why it did nothing."""
        client = self._clients[service]
        if not client.service_is_ready():
            return f"{service} is not there"
        done = threading.Event()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(CALL_S) or future.result() is None:
            client.remove_pending_request(future)
            return f"{service} did not answer within {CALL_S:.0f} s"
        return "" if future.result().success else str(future.result().message)[:300]


NO_PAUSE = "no node is there that could pause the robot"


@contextmanager
def listening(namespace: str = "") -> Iterator[GraphView]:
    """A view of the graph that ROS_DOMAIN_ID names, within the block.

    Raises: InputError for a namespace that cannot be one."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node(NAME, namespace=namespace, context=context, start_parameter_services=False, enable_rosout=False)
    except Exception as error:
        context.try_shutdown()
        raise InputError(f"view: --namespace {namespace!r} is not allowed ({' '.join(str(error).split())})") from None
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    view = GraphView(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception:
            if context.ok():
                logger.exception("view: the graph is not heard any more")

    thread = threading.Thread(target=spin, name="view-ros", daemon=True)
    thread.start()
    try:
        yield view
    finally:
        executor.shutdown()
        thread.join(timeout=5.0)
        node.destroy_node()
        context.try_shutdown()
