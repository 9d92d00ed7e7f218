"""One task with a robot's own skills, over the ROS graph that is there: `rarrl run --skills` starts executive_node, and
orchestrator_node where a language model is asked, says what to do, tells each step, and ends them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from rarrl.build import REPLAYED
from rarrl.errors import InputError, RarrlError
from rarrl.executive.executive import TaskStatus
from rarrl.skills.domain import domain_of

from .bringup import executive_starts
from .graph import EXECUTIVE, ORCHESTRATOR
from .lifecycle import LATCHED, VOLATILE
from .run import START_S
from .skill_check import check_types
from .supervised import Supervised

OVER = frozenset(
    status.value for status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.NEEDS_PERSON)
)
"""Statuses after which nothing more happens by itself."""
NOTHING = "none"
"""What `task` says of questions where none is open."""
ALONE_S = 0.5
"""Seconds that the executive waits for a decision where no orchestrator_node is started."""
SPIN_S = 0.1
"""Seconds that messages are waited for before the processes are looked at again."""
JOURNAL = "journal.json"
REPEAT_S = 2.0
"""Seconds after which the task is said again where nobody took it up: the node may still have been starting."""


class Listener:
    """What the executive says of the task, in lines.

    Args:
        sentence: the task.
        say: called with each line.
    """

    def __init__(self, sentence: str, say: Callable[[str], None]) -> None:
        self._sentence, self._say = sentence, say
        self._began = time.monotonic()
        self._running = self._failed = ""
        self._asks = NOTHING
        self.heard = False
        self.status = TaskStatus.NONE.value
        self.why = ""

    def on_task(self, message: DiagnosticArray) -> None:
        """Each skill that begins, and the end."""
        values = _values(message)
        if values.get("goal") != self._sentence:
            return
        if not self.heard:
            self._began = time.monotonic()
        self.heard = True
        if values.get("now", "") != self._running:
            self._running = values.get("now", "")
            if self._running:
                self._tell(self._running)
        if values.get("asks", NOTHING) != self._asks:
            self._asks = values.get("asks", NOTHING)
            if self._asks != NOTHING:
                self._tell(f"  asks {self._asks}")
        self.status, self.why = values.get("status", ""), values.get("why", "")
        if self.status in OVER:
            counts = f"{values.get('skills', '?')} skills, {values.get('calls', '?')} calls of a language model"
            self._tell(f"{self.status}: {self.why} ({counts})")

    def on_state(self, message: DiagnosticArray) -> None:
        """What failed, once for each time that it is told with another reason."""
        failed = _values(message).get("failed_why", "")
        if self.heard and failed and failed != self._failed:
            self._tell(f"  {failed}")
        self._failed = failed

    def _tell(self, line: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.1f} s  {line}")


def run_task(
    sentence: str, given: Mapping[str, str], folder: Path, say: Callable[[str], None], timeout_s: float | None = None
) -> bool:
    """Carries out one task. Returns whether it succeeded. After Ctrl-C the skill that runs is stopped.

    Args:
        sentence: what to do.
        given: launch argument -> text, as of `launch/executive.launch.py`: skills, world, reasoner ...
        folder: created; receives the parameters and the output of each node.
        say: called with a line for each step.
        timeout_s: real seconds after which it is given up; None: it may take as long as its skills do.

    Raises: InputError for a bad setting; RarrlError where a node died or the time ran out."""
    starts = executive_starts(given)
    faults = check_types(domain_of(given["skills"], given.get("world", "")))
    if faults:
        more = f" (and {len(faults) - 1} more: rarrl skills check --ros)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")
    if given.get("reasoner", REPLAYED) == REPLAYED:  # without a language model there is nothing to decide
        starts = [start for start in starts if start.node is EXECUTIVE]
        for start in starts:
            start.parameters["orchestrator.decision_timeout_s"] = ALONE_S
    for start in starts:
        if start.node is EXECUTIVE:  # one that is restarted goes on with the task
            start.parameters.setdefault("executive.journal", str(folder / JOURNAL))
    thinks = any(start.node is ORCHESTRATOR for start in starts)

    began = time.monotonic()
    listener = Listener(sentence, say)
    context = rclpy.Context()
    context.init()
    node = Node("rarrl_run", context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    talk = node.create_publisher(String, "instruction", VOLATILE)
    node.create_subscription(DiagnosticArray, "task", listener.on_task, LATCHED)
    node.create_subscription(DiagnosticArray, "state", listener.on_state, LATCHED)
    try:
        with Supervised(folder, {**os.environ, "PYTHONUNBUFFERED": "1"}, starts) as graph:
            said = 0.0
            while listener.status not in OVER and graph.running():
                with suppress(RuntimeError):  # a publisher that was just destroyed
                    executor.spin_once(timeout_sec=SPIN_S)

                now = time.monotonic()
                decides = not thinks or node.count_publishers("decision") > 0
                if not listener.heard and decides and talk.get_subscription_count() and now - said > REPEAT_S:
                    talk.publish(String(data=sentence))
                    said = now
                if not listener.heard and now - began > START_S:
                    raise RarrlError(f"run: executive_node did not take the task up in {START_S:.0f} s: {folder}/*.log")
                if timeout_s is not None and now - began > timeout_s:
                    raise RarrlError(f"run: not finished after {timeout_s:.0f} s: {folder}/*.log")
        return listener.status == TaskStatus.SUCCEEDED.value
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def _values(message: DiagnosticArray) -> dict[str, str]:
    return {each.key: each.value for status in message.status for each in status.values}
