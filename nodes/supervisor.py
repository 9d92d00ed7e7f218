"""The node behind `supervisor_node`: starts, watches and restarts the nodes of a graph; tells what the robot does
without one of them.

Thin over `rarrl.supervision`; docs/how-to/supervise-a-robot.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.client import Client
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from std_srvs.srv import Trigger

from rarrl.errors import InputError, RarrlError
from rarrl.supervision.events import Adopt, Announce, Ask, Change, Command, End, Ended, Kill, Settings, Start
from rarrl.supervision.modes import Mode
from rarrl.supervision.supervisor import Supervisor

from . import key_values
from .heartbeat import HEARD, TOPIC, beat_of
from .lifecycle import LATCHED, RarrlNode, now, run_node
from .nursery import NODES, Nursery
from .params import SUPERVISOR_SPECS, SupervisorNodeConfig
from .processes import Processes, is_halted, still_running, waited_s
from .supervised import SupervisedGraph

LOOK_S = 0.05
"""Seconds between two looks at processes and silences: short against the shortest silence that counts."""

IDS = {Change.CONFIGURE: Transition.TRANSITION_CONFIGURE, Change.ACTIVATE: Transition.TRANSITION_ACTIVATE}
LEVELS = {Mode.NORMAL: DiagnosticStatus.OK, Mode.HOLD: DiagnosticStatus.ERROR, Mode.STOP: DiagnosticStatus.ERROR}


class SupervisorNode(RarrlNode):
    """Starts the nodes of a graph in order, kills and restarts those that fail or hang, and tells the robot's mode."""

    def __init__(self, nursery: Nursery | None = None, **kwargs: object) -> None:
        self._nursery = nursery
        super().__init__("supervisor_node", "nodes", SUPERVISOR_SPECS, SupervisorNodeConfig, **kwargs)

    def load(self) -> None:
        path = self.setting("graph", str)
        self._folder = Path(path).resolve().parent
        self._graph = SupervisedGraph.read(Path(path)) if path else SupervisedGraph(())
        self._supervisor: Supervisor | None = None
        self._processes: Processes | None = None
        self._waiting: dict[str, Ask] = {}  # for a service that is not there yet
        self._asked: dict[str, tuple[Client, Future]] = {}
        self._restarts: dict[str, int] = {}
        self._bad_beats = 0
        self._mode_pub = self.create_lifecycle_publisher(DiagnosticArray, "mode", LATCHED)
        self._clients_of = {
            n.name: self.create_client(ChangeState, f"{n.name}/change_state") for n in self._graph.nodes
        }
        self.create_subscription(DiagnosticStatus, TOPIC, self._on_beat, HEARD)
        self.create_service(Trigger, "~/retry", self._on_retry)
        self.create_timer(LOOK_S, self._look, clock=self.steady)

    def start(self) -> None:
        if not self._graph.nodes:
            raise InputError("parameter graph of supervisor_node: none is given; `rarrl run` and the launch files do")
        settings = Settings(
            manage=self.setting("manage", bool),
            listen_s=self.setting("listen_s", float),
            attempts=self.setting("attempts", int),
            restarts=self.setting("restarts", int),
            window_s=self.setting("window_s", float),
            end_if_given_up=self.setting("end_if_given_up", bool),
        )
        graph = self._graph
        self._processes = Processes(
            self._folder,
            os.environ,
            outlive=True,
            logs=graph.logs,
            namespace=graph.namespace,
            params_file=graph.params_file,
            nursery=self._nursery,
        )
        known = {node.name for node in graph.nodes}
        running = {
            name: pid
            for name, pid in still_running(self._folder).items()
            if name in known and self._processes.adopt(name, pid)
        }
        self._supervisor = Supervisor(
            [node.rule for node in graph.nodes], settings, now(), running, waited_s, is_halted
        )
        if running:
            self.get_logger().info(f"takes over what runs already: {', '.join(running)}")
        if not settings.manage:
            self.get_logger().info(
                "manage is false: the nodes are started, configured and restarted by somebody else, such as Nav2's "
                "lifecycle manager; this node only watches them and tells the mode"
            )
        self._look()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def unload(self) -> None:
        self._stop()

    def _stop(self) -> None:
        """Ends all nodes: what moves the robot first, what stops it last."""
        processes, self._processes, self._supervisor = getattr(self, "_processes", None), None, None
        if processes is not None and self.setting("manage", bool):
            processes.stop(last=[node.name for node in self._graph.nodes if node.rule.guard])

    # What comes in

    def _on_beat(self, msg: DiagnosticStatus) -> None:
        if self._supervisor is None:
            return
        try:
            beat = beat_of(msg)
        except ValueError:
            self._bad_beats += 1
            return
        self._carry_out(self._supervisor.handle(beat, now()))

    def _look(self) -> None:
        if self._supervisor is None or self._processes is None:
            return
        for name, pid, status, how in self._processes.take_ended():
            self._forget_question(name)
            self._carry_out(self._supervisor.handle(Ended(name, pid, status, how), now()))
        self._carry_out(self._supervisor.look(now()))
        for ask in list(self._waiting.values()):
            self._ask(ask)

    def _on_retry(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        names = self._supervisor.retry(now()) if self._supervisor is not None else []
        response.success = bool(names)
        response.message = f"tries again: {', '.join(names)}" if names else "no node was given up"
        return response

    # What is done

    def _carry_out(self, commands: list[Command]) -> None:
        modules = {node.name: node.module for node in self._graph.nodes}
        # At first a fork waits until what nodes share is loaded: processes of their own load meanwhile.
        for command in sorted(commands, key=lambda each: isinstance(each, Start) and modules[each.node] in NODES):
            if isinstance(command, Start):
                self._start_process(command.node)
            elif isinstance(command, Adopt) and self._processes is not None:
                self._processes.adopt(command.node, command.pid)
            elif isinstance(command, Kill) and self._processes is not None:
                self.get_logger().error(f"{command.node} is killed: {command.why}")
                self._processes.kill_at_once(command.node)
            elif isinstance(command, Ask):
                self._ask(command)
            elif isinstance(command, Announce):
                self._announce_mode()
            elif isinstance(command, End):
                self._end(command)

    def _start_process(self, name: str) -> None:
        assert self._processes is not None and self._supervisor is not None
        node = next(node for node in self._graph.nodes if node.name == name)
        self._restarts[name] = self._restarts.get(name, -1) + 1
        pid = self._processes.start(name, node.module, node.parameters, node.remappings)
        self._supervisor.started(name, pid, now())

    def _ask(self, ask: Ask) -> None:
        self._forget_question(ask.node)
        client = self._clients_of[ask.node]
        if not client.service_is_ready():
            self._waiting[ask.node] = ask
            return
        request = ChangeState.Request()
        request.transition.id = IDS[ask.change]
        self._asked[ask.node] = client, client.call_async(request)

    def _forget_question(self, name: str) -> None:
        """A process that was killed never answers; its heartbeats alone tell what came of a question."""
        self._waiting.pop(name, None)
        if (asked := self._asked.pop(name, None)) is not None:
            client, future = asked
            client.remove_pending_request(future)

    def _end(self, end: End) -> None:
        if end.why:
            self.error = InputError(end.why) if end.refused else RarrlError(end.why)
        self.end(end.why)

    # What is told

    def announce(self, ok: bool, message: str) -> None:
        """Nothing more: each mode is told once, when it begins."""

    def _announce_mode(self) -> None:
        assert self._supervisor is not None
        status = self._supervisor.status
        text = str(status)
        if status.mode is Mode.NORMAL or status.starting:  # rclpy takes a line of code that logs for one severity
            self.get_logger().info(text)
        else:
            self.get_logger().error(text)
        values = {
            "schema": key_values.SCHEMA,
            "mode": status.mode.label,
            "severity": int(status.mode),
            "starting": status.starting,
            **{f"without {part}": why for part, why in status.missing},
        }
        self._mode_pub.publish(
            key_values.array("supervisor_node: mode", values, self.stamp(), LEVELS.get(status.mode, b"\x01"), text)
        )
        self._publish_diagnostics()

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        if self._supervisor is None:
            return DiagnosticStatus.WARN, "no graph", {}
        status = self._supervisor.status
        level, text = LEVELS.get(status.mode, DiagnosticStatus.WARN), str(status)
        second = self._supervisor.seconds
        if second:
            level = max(level, DiagnosticStatus.WARN)
            text += f"; a second process of {', '.join(f'{name} ({pid})' for name, pid in second.items())}"
        return (
            level,
            text[:1000],
            {
                "mode": status.mode.label,
                "manages": self.setting("manage", bool),
                "bad_heartbeats": self._bad_beats,
                **{f"{name}: heartbeat_age_s": round(age, 3) for name, age in self._supervisor.ages(now()).items()},
                **{f"{name}: longest_silence_s": round(gap, 3) for name, gap in self._supervisor.gaps.items()},
                **{f"{name}: restarts": count for name, count in self._restarts.items()},
            },
        )


def run(nursery: Nursery | None = None) -> int:
    """Runs the node until its end, see `lifecycle.run_node`. nursery: what forks its nodes, if any does."""

    def make() -> SupervisorNode:
        """Starts the nodes of a graph in order, restarts those that fail or hang, and tells the robot's mode."""
        return SupervisorNode(nursery)

    try:
        return run_node(make)
    finally:
        if nursery is not None:
            nursery.close()
