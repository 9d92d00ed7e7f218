"""A node of rclpy's own beside one of ours: it hears all that the other one hears, and for each message that the other
one says it says the same, elsewhere. What rclpy and Fast DDS keep of so much talk, it keeps too.

`python -m rarrl_nodes.faults.bare_node NODE` is its process. It learns from the graph what NODE hears and says, and
ends at a signal."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from rarrl.errors import RarrlError

OURS = "/bare"
"""Begins the names of what it says itself."""
FIND_S = 60.0
"""Seconds in which NODE is looked for, and in which what it hears and says must come to stand still for SETTLED_S."""
SETTLED_S = 3.0
"""A subscription to a latched topic is made once there is one (`RarrlNode.hear_latched`)."""
SHARED = ("/parameter_events", "/rosout")
"""Topics that every node of rclpy's has anyway."""


def name_beside(name: str) -> str:
    """Of the node beside `name`."""
    return f"bare_{name}"


def endpoints_of(node: Any, name: str) -> tuple[list[Any], list[Any]]:
    """What the node `name` hears and says: rclpy's endpoint information, sorted by topic and type."""

    def named(topics: list[tuple[str, list[str]]], ask: Any) -> list[Any]:
        found = {}
        for topic, _ in topics:
            if topic in SHARED or "/_" in topic:
                continue
            for each in ask(topic):
                if each.node_name == name:
                    found[bytes(each.endpoint_gid)] = (topic, each)
        return sorted(found.values(), key=lambda pair: (pair[0], pair[1].topic_type, bytes(pair[1].endpoint_gid)))

    heard = node.get_subscriber_names_and_types_by_node(name, "/")
    said = node.get_publisher_names_and_types_by_node(name, "/")
    return named(heard, node.get_subscriptions_info_by_topic), named(said, node.get_publishers_info_by_topic)


def settled(node: Any, spin: Any, name: str) -> tuple[list[Any], list[Any]]:
    """As `endpoints_of`, once that stays the same. Raises: RarrlError where it does not, or there is no such node."""
    from rclpy.node import NodeNameNonExistentError

    end = time.monotonic() + FIND_S
    last, since = None, time.monotonic()
    while time.monotonic() < end:
        spin(0.2)
        try:
            found = endpoints_of(node, name)
        except NodeNameNonExistentError:
            continue
        known = [bytes(each.endpoint_gid) for part in found for _, each in part]
        if known != last:
            last, since = known, time.monotonic()
        elif known and time.monotonic() - since > SETTLED_S:
            return found
    raise RarrlError(f"faults: a node {name} that hears and says the same for {SETTLED_S:g} s was not found")


def mirror(node: Any, heard: list[Any], said: list[Any]) -> None:
    """Subscribes to what was heard; says what is said again, under a name of its own."""
    from ..ros_types import load_type

    def ignore(_: object) -> None:
        """It is heard, and that is all."""

    for topic, each in heard:
        node.create_subscription(load_type(each.topic_type, "msg"), topic, ignore, _usual(each.qos_profile))
    for topic, each in said:
        kind, qos = load_type(each.topic_type, "msg"), _usual(each.qos_profile)
        publisher = node.create_publisher(kind, f"{OURS}{topic}", qos)
        node.create_subscription(kind, topic, publisher.publish, qos)


def _usual(qos: Any) -> Any:
    """The QoS of an endpoint, of which the graph tells no depth."""
    from rclpy.qos import QoSProfile

    return QoSProfile(depth=4, reliability=qos.reliability, durability=qos.durability)


def main(name: str) -> None:
    """The process. Raises: RarrlError where there is no such node."""
    import rclpy
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    from ..spinning import SPIN_S, make_executor

    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    node = Node(name_beside(name))
    executor = make_executor()
    executor.add_node(node)
    mirror(node, *settled(node, lambda seconds: executor.spin_once(timeout_sec=seconds), name))
    while not ended:
        executor.spin_once(timeout_sec=SPIN_S)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
