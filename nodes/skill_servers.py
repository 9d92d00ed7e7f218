"""Servers of skills: an action, a service or a topic of any type, each with the one goal that may run there.

What comes back is handed to a `Listener`, through its `post`, which makes it run in the runner's callback group."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from action_msgs.msg import GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import qos_profile_action_status_default
from unique_identifier_msgs.msg import UUID

from rarrl.plugins import one_line

from . import ros_types

STATUS = {
    value: name.removeprefix("STATUS_")
    for name, value in ros_types.constants_of(GoalStatus).items()
    if name.startswith("STATUS_")
}
"""Number of a goal's status -> its name, such as SUCCEEDED."""

UNKNOWN = "UNKNOWN"
"""The status with which a server answers for a goal that it does not know."""

ACTIVE = ("ACCEPTED", "EXECUTING", "CANCELING")

SUCCEEDED = "SUCCEEDED"
"""The status of a goal that ended well, also given to a service that answered and to a command that was published."""

ENDED = CancelGoal.Response.ERROR_GOAL_TERMINATED
"""The answer to a cancel where the goal has ended, and also where it is already being stopped."""

NOT_KNOWN = CancelGoal.Response.ERROR_UNKNOWN_GOAL_ID
"""The answer to a cancel where the server has no such goal."""

COMMANDS = 10
"""Messages of a topic that are kept for a slow subscriber."""

SETTLE_S = 0.2
"""Seconds after a server was discovered before a goal is sent: its latched list of goals, where another's may be at
work, arrives a little later than the server itself."""


class Listener(Protocol):
    """Who hears what comes back from a server."""

    def post(self, work: Callable[[], None]) -> None:
        """Makes `work` run soon, one after the other, in the executor's thread."""

    def on_accepted(self, uuid: str, accepted: bool) -> None:
        """The answer to a goal."""

    def on_status(self, server: Server) -> None:
        """`server.goals` is new."""

    def on_feedback(self, uuid: str, message: Any) -> None:
        """Progress of a goal."""

    def on_cancel(self, uuid: str, code: int, stops: bool, asked: float) -> None:
        """The answer to a cancel: its code, and whether the server stops the goal.
        asked: when, seconds of the steady clock."""

    def on_result(self, uuid: str, status: str, message: Any, asked: float) -> None:
        """A result, with the goal's status; UNKNOWN where the server has no such goal.
        asked: when, seconds of the steady clock."""

    def on_surplus(self, what: str) -> None:
        """Something came that was not asked for."""


class Server:
    """One server. Its methods are called in the listener's callback group alone.

    Attributes:
        kind: "action", "service" or "topic".
        name: with namespace, as ROS resolves it.
        accepts: whether it says that it takes a goal, before the result.
        cancels: whether it can be asked to stop.
        goals: goals on it as it last said, uuid -> status; also those of other clients.
    """

    kind = ""
    accepts = False
    cancels = False

    def __init__(self, node: Node, name: str, type_name: str, listener: Listener) -> None:
        self.name = name
        self.type_name = type_name
        self.goals: dict[str, str] = {}
        self._ended: deque[str] = deque(maxlen=100)
        self._node = node
        self._listener = listener

    def is_there(self) -> bool:
        """Whether the graph shows it: a server that was killed is shown for another 20 s."""
        raise NotImplementedError

    def instances(self) -> frozenset[Any]:
        """Who serves it, as far as the graph tells; another set means that a process came or went."""
        raise NotImplementedError

    def refresh(self) -> None:
        """After a change of `instances`: forgets what a process said that is gone."""

    def is_settled(self) -> bool:
        """Whether it has been there for long enough to have told of the goals on it."""
        return True

    @property
    def result_type(self) -> Any:
        """The class of its results; None where there are none."""
        raise NotImplementedError

    def make(self, template: Mapping[str, Any], arguments: Mapping[str, Any], frame: ros_types.Frame) -> Any:
        """The message to send. Raises: InputError."""
        raise NotImplementedError

    def send(self, uuid: str, message: Any) -> None: ...

    def ask(self, uuid: str) -> None:
        """Asks for the result of a goal that is known by its uuid alone, and of one that was accepted."""

    def cancel(self, uuid: str) -> None: ...

    def forget(self, uuid: str) -> None:
        """The run of this goal has ended, whatever the server's list of goals says until its next message."""
        self._ended.append(uuid)

    def others(self, uuid: str) -> tuple[str, ...]:
        """Goals of other clients that are at work on it."""
        own = {uuid, *self._ended}
        return tuple(each for each, status in self.goals.items() if each not in own and status in ACTIVE)

    def destroy(self) -> None: ...


class _Client(ActionClient):
    """An action client whose surplus answers are told instead of raised or only logged.

    Two servers of one name, or one that answers twice, would raise RuntimeError through the executor."""

    def __init__(self, *args: Any, surplus: Callable[[str], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._surplus = surplus

    async def execute(self, taken_data: Any) -> None:
        for what, pending in (("goal", self._pending_goal_requests), ("result", self._pending_result_requests)):
            if what in taken_data:
                future = pending.get(taken_data[what][0])
                if future is None or future.done():
                    del taken_data[what]
                    self._surplus(
                        f"a second {'answer to a goal' if what == 'goal' else 'result'} of {self._action_name}"
                    )
        try:
            await super().execute(taken_data)
        except RuntimeError as error:
            self._surplus(one_line(error))

    def hear(self, uuid: bytes, callback: Callable[[Any], None]) -> None:
        """Hands feedback on a goal to `callback`, one that another process has sent included."""
        self._feedback_callbacks[uuid] = callback


class ActionServer(Server):
    """An action of any type."""

    kind = "action"
    accepts = True
    cancels = True

    def __init__(self, node: Node, name: str, type_name: str, listener: Listener, group: CallbackGroup) -> None:
        super().__init__(node, name, type_name, listener)
        self.type = ros_types.load_type(type_name, "action")
        self._group = group
        self._client = _Client(node, self.type, name, callback_group=group, surplus=self._on_surplus)
        self._status_topic = f"{self.name}/_action/status"
        self._handles: dict[str, ClientGoalHandle] = {}
        self._seen = 0.0
        self._instances: frozenset[Any] = frozenset()
        self._subscription: Any = None
        self.refresh()

    @property
    def result_type(self) -> Any:
        return self.type.Result

    def is_there(self) -> bool:
        there = bool(self._client.server_is_ready())
        if not there:
            self._seen = 0.0
        elif not self._seen:
            self._seen = time.monotonic()
        return there

    def is_settled(self) -> bool:
        there = self.instances()
        if there != self._instances:
            self._instances, self._seen = there, time.monotonic()
            self.refresh()
        return bool(self._seen) and time.monotonic() - self._seen >= SETTLE_S

    def instances(self) -> frozenset[Any]:
        publishers = self._node.get_publishers_info_by_topic(self._status_topic)
        return frozenset(bytes(each.endpoint_gid) for each in publishers)

    def refresh(self) -> None:
        # The last message of a publisher that is gone is not delivered to a new subscription.
        self.goals = {}
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._node.create_subscription(
            GoalStatusArray,
            self._status_topic,
            self._on_status,
            qos_profile_action_status_default,
            callback_group=self._group,
        )

    def make(self, template: Mapping[str, Any], arguments: Mapping[str, Any], frame: ros_types.Frame) -> Any:
        return ros_types.fill(self.type.Goal(), template, arguments, frame)

    def send(self, uuid: str, message: Any) -> None:
        future = self._client.send_goal_async(message, goal_uuid=_message_of(uuid))
        self._hear(uuid)
        future.add_done_callback(lambda done: self._listener.post(lambda: self._on_response(uuid, done)))

    def ask(self, uuid: str) -> None:
        self._hear(uuid)
        asked = time.monotonic()
        future = self._client._get_result_async(self._handle(uuid))
        future.add_done_callback(lambda done: self._listener.post(lambda: self._on_result(uuid, done, asked)))

    def cancel(self, uuid: str) -> None:
        asked = time.monotonic()
        future = self._client._cancel_goal_async(self._handle(uuid))
        future.add_done_callback(lambda done: self._listener.post(lambda: self._on_cancel(uuid, done, asked)))

    def forget(self, uuid: str) -> None:
        super().forget(uuid)
        self._handles.pop(uuid, None)
        self._client._feedback_callbacks.pop(bytes.fromhex(uuid), None)

    def destroy(self) -> None:
        self._node.destroy_subscription(self._subscription)
        self._client.destroy()

    def _handle(self, uuid: str) -> ClientGoalHandle:
        """The handle of a goal; an accepted one can be made from its uuid alone, in another process too."""
        if uuid not in self._handles:
            response = self.type.Impl.SendGoalService.Response(accepted=True)
            self._handles[uuid] = ClientGoalHandle(self._client, _message_of(uuid), response)
        return self._handles[uuid]

    def _hear(self, uuid: str) -> None:
        self._client.hear(
            bytes.fromhex(uuid),
            lambda message: self._listener.post(lambda: self._listener.on_feedback(uuid, message.feedback)),
        )

    def _on_response(self, uuid: str, future: Any) -> None:
        self._listener.on_accepted(uuid, future.result().accepted)

    def _on_result(self, uuid: str, future: Any, asked: float) -> None:
        response = future.result()
        self._listener.on_result(uuid, STATUS.get(response.status, str(response.status)), response.result, asked)

    def _on_cancel(self, uuid: str, future: Any, asked: float) -> None:
        response = future.result()
        stops = any(_text_of(info.goal_id) == uuid for info in response.goals_canceling)
        self._listener.on_cancel(uuid, response.return_code, stops, asked)

    def _on_status(self, message: GoalStatusArray) -> None:
        self.goals = {_text_of(each.goal_info.goal_id): STATUS.get(each.status, "") for each in message.status_list}
        self._listener.post(lambda: self._listener.on_status(self))

    def _on_surplus(self, what: str) -> None:
        self._listener.post(lambda: self._listener.on_surplus(what))


def _message_of(uuid: str) -> UUID:
    return UUID(uuid=np.frombuffer(bytes.fromhex(uuid), dtype=np.uint8))


def _text_of(uuid: UUID) -> str:
    return bytes(uuid.uuid).hex()


class ServiceServer(Server):
    """A service of any type. It cannot be asked to stop."""

    kind = "service"

    def __init__(self, node: Node, name: str, type_name: str, listener: Listener, group: CallbackGroup) -> None:
        super().__init__(node, name, type_name, listener)
        self.type = ros_types.load_type(type_name, "srv")
        self._client = node.create_client(self.type, name, callback_group=group)

    @property
    def result_type(self) -> Any:
        return self.type.Response

    def is_there(self) -> bool:
        return bool(self._client.service_is_ready())

    def instances(self) -> frozenset[Any]:
        """Who listens on the topic of its requests, as Fast DDS and Cyclone DDS name it; by number alone where the
        middleware names it otherwise."""
        listening = self._node.get_subscriptions_info_by_topic(f"rq{self.name}Request", no_mangle=True)
        return frozenset(bytes(each.endpoint_gid) for each in listening) or frozenset(
            range(self._node.count_services(self.name))
        )

    def make(self, template: Mapping[str, Any], arguments: Mapping[str, Any], frame: ros_types.Frame) -> Any:
        return ros_types.fill(self.type.Request(), template, arguments, frame)

    def send(self, uuid: str, message: Any) -> None:
        asked = time.monotonic()
        future = self._client.call_async(message)
        future.add_done_callback(
            lambda done: self._listener.post(lambda: self._listener.on_result(uuid, SUCCEEDED, done.result(), asked))
        )

    def destroy(self) -> None:
        self._node.destroy_client(self._client)


class TopicServer(Server):
    """A topic of any type on which a command is published. Nothing comes back."""

    kind = "topic"

    def __init__(self, node: Node, name: str, type_name: str, listener: Listener, group: CallbackGroup) -> None:
        super().__init__(node, name, type_name, listener)
        self.type = ros_types.load_type(type_name, "msg")
        self._publisher = node.create_publisher(self.type, name, COMMANDS, callback_group=group)

    @property
    def result_type(self) -> Any:
        return None

    def is_there(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def instances(self) -> frozenset[Any]:
        subscribers = self._node.get_subscriptions_info_by_topic(self.name)
        return frozenset(bytes(each.endpoint_gid) for each in subscribers)

    def make(self, template: Mapping[str, Any], arguments: Mapping[str, Any], frame: ros_types.Frame) -> Any:
        return ros_types.fill(self.type(), template, arguments, frame, "message")

    def send(self, uuid: str, message: Any) -> None:
        self._publisher.publish(message)

    def destroy(self) -> None:
        self._node.destroy_publisher(self._publisher)


SERVERS: dict[str, type[ActionServer] | type[ServiceServer] | type[TopicServer]] = {
    each.kind: each for each in (ActionServer, ServiceServer, TopicServer)
}
"""How a skill is run -> its class."""
