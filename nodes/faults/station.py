"""Graphs of the campaign: each in a ROS domain of its own, on this machine alone, and one at a time.

A row never talks to a robot: the domain in the environment, where one may be running, is never used."""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

from rarrl.errors import RarrlError

from ..children import end_with_parent
from ..processes import SAFE_DOMAINS, environment_for
from ..sim_run import graph_environment

T = TypeVar("T")
START_S = 180.0
"""Seconds for processes to start on a busy machine; importing ROS takes most of it."""
PARTICIPANTS = 10
"""Processes of a ROS domain that are looked for: each takes the lowest number that is free."""
_NUMBERS = itertools.count(os.getpid())


@contextmanager
def own_domain(shared_memory: bool = False) -> Iterator[int]:
    """Sets the variables that rclpy reads, for this process and those that it starts, until the block ends.

    shared_memory: images go through shared memory. Yields: the ROS_DOMAIN_ID, 1 to 100, not that of the environment."""
    before = dict(os.environ)
    tried = (1 + n % SAFE_DOMAINS for n in itertools.islice(_NUMBERS, SAFE_DOMAINS))
    domain = next((d for d in tried if str(d) != before.get("ROS_DOMAIN_ID") and is_empty(d)), None)
    if domain is None:
        raise RarrlError(f"faults: other nodes run in each of the ROS domains 1 to {SAFE_DOMAINS}; end some")
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"):  # whatever a robot's shell says
        os.environ.pop(name, None)
    os.environ.update((graph_environment if shared_memory else environment_for)(domain)[0])
    try:
        yield domain
    finally:
        os.environ.clear()
        os.environ.update(before)


def is_empty(domain: int) -> bool:
    """Whether nobody on this machine listens on the first ports of a ROS domain. A graph of somebody else's in it would
    be another publisher of commands, and the robot would stand.

    Ports: https://docs.ros.org/en/jazzy/Concepts/Intermediate/About-Domain-ID.html"""
    for participant in range(PARTICIPANTS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            try:
                wire.bind(("", 7400 + 250 * domain + 10 + 2 * participant))
            except OSError:
                return False
    return True


def start_node(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Starts one of our modules as a process, which ends with this one, whatever ends it. What it says is not shown."""
    command = [sys.executable, "-m", f"rarrl_nodes.{module}", *arguments]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent)


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a script's background job ignores
    end_with_parent(signal.SIGKILL)


class Station:
    """A node of the campaign beside the graph that it tries: it hears, talks and waits.

    Make it within `own_domain`. Times are seconds of the steady clock."""

    def __init__(self, name: str) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self._context = rclpy.Context()
        self._context.init()
        self.node = Node(name, context=self._context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def listen(self, seconds: float) -> None:
        """Handles what comes for `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], bool], seconds: float = START_S, step_s: float = 0.02) -> bool:
        """Listens until something holds; whether it did within `seconds`."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=step_s)
        return condition()

    def need(self, condition: Callable[[], bool], what: str, seconds: float = START_S) -> None:
        """As `wait`. Raises: RarrlError where it does not come to hold: the row cannot be played."""
        if not self.wait(condition, seconds):
            raise RarrlError(f"faults: {what} (waited {seconds:.0f} s)")

    def now_stamp(self, age_s: float = 0.0) -> Any:
        """The ROS time of `age_s` ago, for a header."""
        from rclpy.duration import Duration

        return (self.node.get_clock().now() - Duration(seconds=age_s)).to_msg()

    def close(self) -> None:
        """Ends the node."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


class Stage:
    """Keeps one graph running for the rows that share it: starting one costs seconds, a trial often less."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._open = ExitStack()
        self._value: Any = None

    def keep(self, key: Hashable, make: Callable[[], AbstractContextManager[T]]) -> T:
        """What `make()` yields; the same as before where `key` is, else the last graph ends and a new one starts."""
        if key != self._key or key is None:
            self.clear()
            self._value = self._open.enter_context(make())
            self._key = key
        return self._value

    def clear(self) -> None:
        """Ends the graph that is kept; the next row begins with a new one."""
        self._key = self._value = None
        self._open.close()


STAGE = Stage()
atexit.register(STAGE.clear)
