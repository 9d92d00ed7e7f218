"""The heartbeat of a node, on the topic `heartbeat` of its namespace. The node's own executor sends it: a node whose
callbacks hang is silent."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from rarrl.supervision.events import HEARTBEAT_S, Beat, Life

TOPIC = "heartbeat"
BEATS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
HEARD = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
"""Of whoever hears all nodes: a short queue loses beats where several come at once, and a lost beat looks like a node
that hangs (https://github.com/ros/bond_core/issues/95)."""

MAX_WHY = 500
"""Characters of a reason."""
MAX_VALUES = 20
MAX_PID = 2**22
"""Linux's largest process number."""
TROUBLE = "without "
"""Begins the key of a part that does not work."""


class Heart:
    """Beats for `node`, from now until it is destroyed.

    tell: state of the node, why its last transition failed, whether that was bad input, and part -> why it does not
    work, of parts inside it."""

    def __init__(self, node: Node, tell: Callable[[], tuple[Life, str, bool, Mapping[str, str]]]) -> None:
        self._node = node
        self._tell = tell
        self._publisher = node.create_publisher(DiagnosticStatus, TOPIC, BEATS)
        node.create_timer(HEARTBEAT_S, self.beat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def beat(self) -> None:
        """Once more, now."""
        life, failure, refused, troubles = self._tell()
        self._publisher.publish(message_of(Beat(self._node.get_name(), os.getpid(), life, failure, refused, troubles)))


def message_of(beat: Beat) -> DiagnosticStatus:
    """A heartbeat as it is sent."""
    texts = {"pid": str(beat.pid), "failure": beat.failure[-MAX_WHY:], "refused": str(beat.refused).lower()}
    texts |= {TROUBLE + part: why[:MAX_WHY] for part, why in beat.troubles.items()}
    level = DiagnosticStatus.OK if beat.life is Life.ACTIVE and not beat.troubles else DiagnosticStatus.WARN
    values = [KeyValue(key=key, value=text) for key, text in texts.items()]
    return DiagnosticStatus(level=level, name=beat.node, message=beat.life.value, values=values)


def beat_of(msg: Any) -> Beat:
    """What a heartbeat says. Raises: ValueError for a message that is none."""
    if len(msg.values) > MAX_VALUES or any(len(each.key) + len(each.value) > 2 * MAX_WHY for each in msg.values):
        raise ValueError("too long for a heartbeat")
    texts = {each.key: each.value for each in msg.values}
    pid = texts.get("pid", "")
    if not pid.isdecimal() or not 0 < int(pid[:10]) <= MAX_PID:
        raise ValueError(f"pid {pid[:20]!r} is no process number")
    troubles = {key.removeprefix(TROUBLE): why for key, why in texts.items() if key.startswith(TROUBLE) and why}
    return Beat(
        msg.name, int(pid), Life(msg.message), texts.get("failure", ""), texts.get("refused") == "true", troubles
    )
