"""Runs skills that are Python callables, each in a thread of its own. They tell the same events as skills over ROS.

A callable gets the step's arguments by name, places and things as their names, or what `goal` of the skill makes of
them. A thread cannot be ended from outside: one that is to stop is asked by the callable's own `cancel()`, if it has
one, and its server, the callable, takes nothing new until it returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from queue import Empty, SimpleQueue
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node

from rarrl.errors import InputError
from rarrl.plugins import USER_ERRORS, import_object, one_line
from rarrl.skills.outcome import SkillResult, result_of, result_of_error
from rarrl.skills.skill_set import Skill

from . import ros_types
from .skill_events import SkillRun, Spot

Done = Callable[[str, SkillResult], None]


class PythonSkills:
    """The Python skills of a robot.

    Args:
        skills: those that are run by Python; each callable is imported at once.
        on_done: called with uuid and result, in the executor's thread.

    Raises: InputError where a callable is not to be had."""

    def __init__(self, node: Node, skills: Mapping[str, Skill], on_done: Done) -> None:
        self._node = node
        self._on_done = on_done
        self._callables = {skill.run.python: _callable(name, skill) for name, skill in skills.items()}
        self._running: dict[str, str] = {}  # uuid -> callable
        self._done: SimpleQueue[tuple[str, SkillResult]] = SimpleQueue()
        self._closed = False
        self._wake = node.create_guard_condition(self._on_wake)

    def start(self, run: SkillRun) -> None:
        """Calls the callable in a thread. The executive sends nothing to one that has not returned."""
        self._running[run.uuid] = run.skill.run.python
        # A daemon: a skill that hangs must not keep the process from ending.
        threading.Thread(target=self._run, args=(run,), name=run.skill.run.python, daemon=True).start()

    def cancel(self, uuid: str) -> None:
        """Asks a skill to stop, where it can be asked."""
        cancel = getattr(self._callables.get(self._running.get(uuid, "")), "cancel", None)
        if callable(cancel):
            try:
                cancel()
            except USER_ERRORS as error:
                self._node.get_logger().warning(f"{self._running[uuid]}: cancel failed ({one_line(error)})")

    def close(self) -> None:
        """What still runs is not heard any more."""
        self._closed = True

    def _run(self, run: SkillRun) -> None:
        """In a thread of its own."""
        started = time.monotonic()
        try:
            returned = self._callables[run.skill.run.python](**_arguments(run))
            result = result_of(returned, run.skill.outcome, time.monotonic() - started)
            result = _with_lists(result, returned)
        except (*USER_ERRORS, KeyboardInterrupt) as error:
            result = result_of_error(error, time.monotonic() - started)
        self._done.put((run.uuid, result))
        with suppress(InvalidHandle):  # the node was unloaded meanwhile
            if not self._closed:
                self._wake.trigger()

    def _on_wake(self) -> None:
        while True:
            try:
                uuid, result = self._done.get_nowait()
            except Empty:
                return
            self._running.pop(uuid, None)
            self._on_done(uuid, result)


def _callable(name: str, skill: Skill) -> Callable[..., Any]:
    found = import_object(skill.run.python, f"skill {name}")
    if not callable(found):
        raise InputError(f"skill {name}: {skill.run.python} is a {type(found).__name__}; name a function")
    return found  # type: ignore[no-any-return]


def _arguments(run: SkillRun) -> dict[str, Any]:
    if not run.skill.run.goal:
        return {name: _plain(value) for name, value in run.arguments.items()}
    return {name: _filled(value, run.arguments, f"goal.{name}") for name, value in run.skill.run.goal.items()}


def _filled(value: Any, arguments: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(each, arguments, f"{where}.{name}") for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, arguments, f"{where}[{number}]") for number, each in enumerate(value)]
    return _plain(ros_types.resolve(value, arguments, where)) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Spot) else value


def _with_lists(result: SkillResult, returned: Any) -> SkillResult:
    """The result with the lists of what was returned, which `observes` reads."""
    if is_dataclass(returned) and not isinstance(returned, (type, SkillResult)):
        returned = asdict(returned)
    if not isinstance(returned, Mapping):
        return result
    lists = {name: each for name, each in ros_types.flat(returned) if isinstance(each, (list, tuple))}
    return SkillResult(result.outcome, result.why, result.seconds, fields={**lists, **(result.fields or {})})
