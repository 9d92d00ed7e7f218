"""A fault on a robot that runs: `rarrl faults inject` kills one of our nodes, where its operator has allowed it.

A node offers the service `~/inject_kill` only with its parameter `allow_fault_injection`, which is false and read-only,
as PX4's SYS_FAILURE_EN is off (https://docs.px4.io/main/en/debug/failure_injection). Topics of a robot are left alone:
dropping or delaying them needs a relay between its nodes, and a robot with a relay is another robot."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from rarrl.errors import InputError

ALLOW = "allow_fault_injection"
SERVICE = "inject_kill"
REPLY_S = 0.1
"""Seconds between the answer and the end, so that the answer is sent."""
FIND_S = 10.0
"""Seconds until a node must have answered."""


def offer(node: Any) -> None:
    """Creates the service, where the node's parameter allows it."""
    from std_srvs.srv import Trigger

    if not (node.has_parameter(ALLOW) and node.get_parameter(ALLOW).value):
        return

    def on_kill(request: Any, response: Any) -> Any:
        node.get_logger().warning("killed on purpose: rarrl faults inject")
        node.create_timer(REPLY_S, lambda: os.kill(os.getpid(), signal.SIGKILL), clock=node.steady)
        response.success = True
        return response

    node.create_service(Trigger, f"~/{SERVICE}", on_kill)


def inject(name: str, back_s: float = 30.0) -> float | None:
    """Kills the node with this name (`/robot/safety_gate_node`) in the ROS domain of the environment.

    Returns: seconds until a node of that name says something on /diagnostics again; None: not within `back_s`.

    Raises: InputError where there is no such node, and where it does not allow it."""
    from diagnostic_msgs.msg import DiagnosticArray
    from rcl_interfaces.srv import GetParameters
    from std_srvs.srv import Trigger

    from .station import Station

    full = "/" + name.strip("/")
    short = full.rpartition("/")[2]
    station = Station("fault_injector")
    heard: list[float] = []

    def on_diagnostics(msg: Any) -> None:
        if any(status.name.startswith(f"{short}: ") for status in msg.status):
            heard.append(time.monotonic())

    def call(kind: Any, service: str, request: Any) -> Any:
        client = station.node.create_client(kind, service)
        if not station.wait(client.service_is_ready, FIND_S):
            return None
        future = client.call_async(request)
        return future.result() if station.wait(future.done, FIND_S) else None

    try:
        station.node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 100)
        told = call(GetParameters, f"{full}/get_parameters", GetParameters.Request(names=[ALLOW]))
        if told is None:
            raise InputError(
                f"faults: no node {full} answers in this ROS domain; `ros2 node list` shows those there are"
            )
        if not (told.values and told.values[0].bool_value):
            raise InputError(
                f"faults: {full} does not allow it: start it with the parameter {ALLOW} true, where nobody can be hurt"
            )
        if call(Trigger, f"{full}/{SERVICE}", Trigger.Request()) is None:
            raise InputError(f"faults: {full} does not answer on {SERVICE}")
        station.listen(2 * REPLY_S)
        killed = time.monotonic()
        heard.clear()
        return heard[-1] - killed if station.wait(lambda: bool(heard), back_s) else None
    finally:
        station.close()
