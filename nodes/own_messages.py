"""Whether a velocity command that is heard on a topic of ours is one that we published ourselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped

from rarrl.safety.deadman import OneWriter

REMEMBERED = 1000
"""Messages of ours that are remembered, to know them when they are heard: 50 s at 20 Hz."""


class OwnMessages:
    """What a node published on a topic, to tell another publisher from itself.

    Counting publishers would not do: dead ones linger for many seconds."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, ...]] = deque(maxlen=REMEMBERED)
        self._writer = OneWriter()

    def sent(self, msg: Twist | TwistStamped) -> None:
        """Call it before the message is published."""
        self._sent.append(_key(msg))

    def holds(self, msg: Twist | TwistStamped, info: Mapping[str, Any]) -> bool:
        """Whether `msg` is ours. A Twist of another publisher may equal one of ours; its number does not follow on."""
        return _key(msg) in self._sent and self._writer.follows(number_of(info))


def number_of(info: Mapping[str, Any]) -> int | None:
    """Which message of its publisher this is, by the middleware; None where it does not count them."""
    number: int | None = info.get("publication_sequence_number")
    return number


def _key(msg: Twist | TwistStamped) -> tuple[float, ...]:
    """What distinguishes two messages."""
    twist = msg.twist if isinstance(msg, TwistStamped) else msg
    stamp = msg.header.stamp if isinstance(msg, TwistStamped) else None
    when = (stamp.sec, stamp.nanosec) if stamp is not None else ()
    return (*when, twist.linear.x, twist.linear.y, twist.angular.z)
