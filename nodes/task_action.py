"""Takes tasks over an action of any type, such as rai_interfaces/action/Task, besides the topic `instruction`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from rarrl.errors import InputError
from rarrl.executive.executive import TaskStatus

from . import ros_types


class TaskAction:
    """A served action. A goal is a task; the one before it is ended, as by a new instruction.

    Args:
        name, type_name: of the action.
        sentence: what the task says, with fields of the goal as `{task}`.
        result: JSON, fields of the result; `{success}`, `{why}`, `{status}`, `{skills}`, `{goal}` are filled in.
        instruct: begins a task; returns why not, "" where it did.
        cancel: ends the task that runs.

    Raises: InputError for a type that is not installed, or fields that it does not have."""

    def __init__(
        self,
        node: Node,
        name: str,
        type_name: str,
        sentence: str,
        result: str,
        instruct: Callable[[str], str],
        cancel: Callable[[], None],
    ) -> None:
        self._type = ros_types.load_type(type_name, "action")
        self._sentence, self._instruct, self._cancel = sentence, instruct, cancel
        try:
            self._template = json.loads(result)
        except ValueError:
            raise InputError(f"executive.task_result: {result[:60]!r} is no JSON") from None
        self._says(self._type.Goal())
        self._result({"success": False, "why": "", "status": "", "skills": 0, "goal": ""})

        self._handle: ServerGoalHandle | None = None
        self._over: Future | None = None
        self._server = ActionServer(
            node,
            self._type,
            name,
            execute_callback=self._execute,
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            callback_group=ReentrantCallbackGroup(),
        )

    def ended(self, values: Mapping[str, Any]) -> None:
        """The task is over. values: what the result is filled with."""
        if self._over is not None and not self._over.done():
            self._over.set_result(dict(values))

    def destroy(self) -> None:
        """Ends the server; a goal that runs is forgotten."""
        self._server.destroy()

    def _says(self, goal: Any) -> str:
        fields = dict(ros_types.flat(ros_types.plain(goal)))
        return str(ros_types.resolve(f"{self._sentence} ", fields, "executive.task_instruction")).strip()

    def _result(self, values: Mapping[str, Any]) -> Any:
        return ros_types.fill(self._type.Result(), self._template, values, where="executive.task_result")

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        self.ended({"success": False, "why": "another task came", "status": "cancelled", "skills": 0, "goal": ""})
        self._handle, self._over = handle, Future()
        handle.execute()

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        return CancelResponse.ACCEPT if handle is self._handle else CancelResponse.REJECT

    async def _execute(self, handle: ServerGoalHandle) -> Any:
        over = self._over
        assert over is not None
        sentence = self._says(handle.request)
        fault = self._instruct(sentence)
        if fault:
            over.set_result({"success": False, "why": fault, "status": "failed", "skills": 0, "goal": sentence})
        values = await over
        if values["status"] == TaskStatus.SUCCEEDED.value:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return self._result(values)

    def look(self) -> None:
        """Passes a cancel on; call it a few times per second."""
        if self._handle is not None and self._handle.is_cancel_requested and self._over and not self._over.done():
            self._cancel()
