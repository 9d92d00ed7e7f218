"""Two executives of one robot: only one of them may send goals. Each tells of itself on `task` and hears the others.

The one that is carrying out a task goes first, then the one that was there first. A process that was killed says
nothing, so that it does not keep its successor waiting."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray

from . import key_values
from .lifecycle import LATCHED, now

if TYPE_CHECKING:
    from .lifecycle import RarrlNode

HEAR_S = 0.5
"""Seconds after activation in which nothing is decided: others are discovered within them."""

SILENT_S = 3.0
"""Seconds of silence after which another executive counts as gone; each speaks every second."""


class Peers:
    """The other executives on the topic `task` of this namespace.

    Attributes:
        senior: whether another one goes first.
    """

    def __init__(self, node: RarrlNode) -> None:
        self._node = node
        self._own = (1, time.time(), os.urandom(8).hex())  # 0: a task runs, 1: none; activated; instance
        self._others: dict[str, tuple[tuple[int, float, str], float]] = {}  # instance -> rank, when heard
        self._began = 0.0
        self._publisher = node.create_lifecycle_publisher(DiagnosticArray, "task", LATCHED)
        node.create_subscription(DiagnosticArray, "task", self._on_task, LATCHED)

    def begin(self) -> None:
        """At activation."""
        self._began = now()
        self._own = (self._own[0], time.time(), self._own[2])

    def must_wait(self) -> bool:
        """Whether nothing may be decided now."""
        return now() - self._began < HEAR_S or self.senior

    @property
    def senior(self) -> bool:
        return any(rank < self._own and now() - heard < SILENT_S for rank, heard in self._others.values())

    @property
    def complaint(self) -> str:
        """What is wrong where another one goes first, else ""."""
        if not self.senior:
            return ""
        return "another executive_node carries this robot's tasks out; stop one of them, or give it a namespace"

    def publish(self, values: Mapping[str, object], runs: bool) -> None:
        """Tells of the task, and of this process."""
        self._own = (0 if runs else 1, *self._own[1:])
        own = {"schema": key_values.SCHEMA, "instance": self._own[2], "since": self._own[1], "runs": runs}
        message = str(values.get("status", ""))
        self._publisher.publish(
            key_values.array("executive_node: task", {**values, **own}, self._node.stamp(), message=message)
        )

    def _on_task(self, msg: DiagnosticArray) -> None:
        try:
            texts = {each.key: each.value for each in msg.status[0].values}
            instance, since = texts["instance"], float(texts["since"])
        except (IndexError, KeyError, ValueError):
            return
        if instance != self._own[2]:
            self._others[instance] = ((0 if texts.get("runs") == "true" else 1, since, instance), now())
