"""Runs skills that are Python callables, each in a thread of its own, so that the node goes on serving its topics.

A thread cannot be ended from outside: one that is to stop is asked by the callable's own `cancel()`, if it has one, and
the callable gets nothing new until it returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node

from rarrl.executive.python_skills import call_arguments, callable_of
from rarrl.plugins import USER_ERRORS, one_line
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import SkillResult, result_of, result_of_error
from rarrl.skills.plan import Step

from .spinning import later


class SkillThreads:
    """The Python skills of a robot. Its methods are called in the executor's thread.

    Args:
        on_done: called with uuid and result, in the executor's thread.

    Raises: InputError where a callable is not to be had."""

    def __init__(self, node: Node, domain: Domain, on_done: Callable[[str, SkillResult], None]) -> None:
        self._node, self._domain, self._on_done = node, domain, on_done
        python = {name: skill for name, skill in domain.skills.skills.items() if skill.run.python}
        self._callables = {name: callable_of(name, skill) for name, skill in python.items()}
        self._running: dict[str, Step] = {}
        self._done: SimpleQueue[tuple[str, SkillResult]] = SimpleQueue()
        self._closed = False
        self._wake = later(node, self._on_wake)

    def start(self, uuid: str, step: Step) -> None:
        """Calls a skill. Its result is told under `uuid`."""
        self._running[uuid] = step
        # A daemon: a skill that hangs must not keep the process from ending.
        threading.Thread(target=self._run, args=(uuid, step), name=step.skill, daemon=True).start()

    def cancel(self, uuid: str) -> None:
        """Asks a skill to stop, where it can be asked; nothing where `uuid` is none of these."""
        step = self._running.get(uuid)
        cancel = getattr(self._callables[step.skill], "cancel", None) if step is not None else None
        if not callable(cancel):
            return
        try:
            cancel()
        except USER_ERRORS as error:
            self._node.get_logger().warning(f"{step}: cancel failed ({one_line(error)})")

    def close(self) -> None:
        """What still runs is not heard any more."""
        self._closed = True

    def _run(self, uuid: str, step: Step) -> None:
        """In a thread of its own."""
        began = time.monotonic()
        try:
            returned = self._callables[step.skill](**call_arguments(step, self._domain))
            result = result_of(returned, self._domain.skill(step).outcome, time.monotonic() - began)
        except USER_ERRORS as error:  # a user's skill may raise anything
            result = result_of_error(error, time.monotonic() - began)
        self._done.put((uuid, result))
        with suppress(InvalidHandle):  # the node was unloaded meanwhile
            if not self._closed:
                self._wake.reset()

    def _on_wake(self) -> None:
        while True:
            try:
                uuid, result = self._done.get_nowait()
            except Empty:
                return
            self._running.pop(uuid, None)
            self._on_done(uuid, result)
