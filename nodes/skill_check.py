"""What is wrong between a skills file and the robot that runs: missing types, fields and servers, wrong kinds.

`rarrl skills check --ros` prints it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosidl_parser.definition import AbstractGenericString, AbstractNestedType, BasicType, NamespacedType

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean
from rarrl.skills.domain import Domain
from rarrl.skills.skill_set import Parameter, Skill
from rarrl.strict_json import short

from . import ros_types
from .skill_events import argument
from .skill_runner import count_of, in_graph, resolved
from .skill_servers import STATUS

WAIT_S = 3.0
"""Seconds for the graph to become known; servers on the same computer are found within one."""

LOOK_S = 0.1
"""Seconds between two looks at the graph."""

OUTCOMES = ("success", "failed", "refused", "unplannable", "cancelled", "timeout", "unavailable", "lost")
"""Lists of codes in `outcome`."""

KIND = {"action": "action", "service": "srv", "topic": "msg"}
"""How a skill is run -> the kind of its type."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. skill: its name. what: one line, with the way out."""

    skill: str
    what: str

    def __str__(self) -> str:
        return f"skill {self.skill}: {self.what}"


def way_of(skill: Skill) -> str:
    """How a skill is run: "action", "service", "topic" or "python"."""
    return next(name for name in ("action", "service", "topic", "python") if getattr(skill.run, name))


def check_types(domain: Domain) -> list[Finding]:
    """What is wrong with types and fields; needs the types, and no running robot."""
    found = []
    for name, skill in domain.skills.skills.items():
        if way_of(skill) != "python":
            found += [Finding(name, what) for what in dict.fromkeys(_faults(skill, domain))]
    return found


def check_running(domain: Domain, wait_s: float = WAIT_S, node: Node | None = None) -> list[Finding]:
    """`check_types`, and what is wrong with the servers of the robot that runs now.

    Args:
        wait_s: seconds to wait for servers that the graph does not show yet.
        node: asks the graph; None: a node of its own, in a context of its own."""
    if node is not None:
        return check_types(domain) + _missing(domain, node, wait_s, lambda: time.sleep(LOOK_S))

    context = rclpy.Context()
    context.init()
    own = Node("rarrl_skills_check", context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(own)
    try:
        return check_types(domain) + _missing(domain, own, wait_s, lambda: executor.spin_once(timeout_sec=LOOK_S))
    finally:
        executor.shutdown()
        own.destroy_node()
        context.try_shutdown()


def _faults(skill: Skill, domain: Domain) -> Iterator[str]:
    way = way_of(skill)
    try:
        kind = ros_types.load_type(skill.run.type, KIND[way])
    except InputError as error:
        yield str(error)
        return

    goal, result = {
        "action": lambda: (kind.Goal, kind.Result),
        "service": lambda: (kind.Request, kind.Response),
        "topic": lambda: (kind, None),
    }[way]()
    for arguments in _samples(skill, domain):
        try:
            ros_types.fill(goal(), skill.run.goal, arguments, where="run.goal")
        except InputError as error:
            yield str(error)
    if result is not None:
        yield from _outcome_faults(skill, result)
        yield from _observes_faults(skill, result)


def _samples(skill: Skill, domain: Domain) -> Iterator[dict[str, Any]]:
    """Arguments that the skill may get: each value of each parameter once."""
    values = {name: _values(parameter, domain) for name, parameter in skill.parameters.items()}
    first = {name: several[0] for name, several in values.items()}
    yield first
    for name, several in values.items():
        for value in several[1:]:
            yield {**first, name: value}


def _values(parameter: Parameter, domain: Domain) -> list[Any]:
    named = domain.values(parameter)
    if named:
        return [argument(value, parameter, domain.world) for value in named]
    if "number" not in parameter.kinds:
        return ["text"]
    bounds = [each for each in (parameter.minimum, parameter.maximum) if abs(each) != float("inf")] or [1.0]
    return [int(each) if each == int(each) else each for each in bounds]


def _outcome_faults(skill: Skill, result: Any) -> Iterator[str]:
    table = skill.outcome.resolved
    if table.why:
        try:
            _, slot = ros_types.slot_at(result, table.why, "outcome.why")
            if not isinstance(slot, AbstractGenericString):
                yield f"outcome.why: {table.why} is no text"
        except InputError as error:
            yield str(error)

    codes = [(name, code) for name in OUTCOMES for code in getattr(skill.outcome, name)]
    if not table.field:
        names = list(STATUS.values())
        for name, code in codes:
            if isinstance(code, str) and code.upper() not in names:
                yield f"outcome.{name}: {short(code)} is no status of a goal{did_you_mean(code, names)}"
            elif not isinstance(code, str) and not isinstance(code, bool):
                yield f"outcome.{name}: {code} is a code, but no `field` says where it stands in the result"
        return
    try:
        _, slot = ros_types.slot_at(result, table.field, "outcome.field")
    except InputError as error:
        yield str(error)
        return

    if not ros_types.is_code(slot):
        yield f"outcome.field: {table.field} is a message or a list, no code"
        return
    constants = ros_types.codes_at(result, table.field)
    for name, code in codes:
        fault = _code_fault(code, slot, constants)
        if fault:
            yield f"outcome.{name}: {fault}"


def _code_fault(code: Any, slot: Any, constants: dict[str, Any]) -> str:
    """Why a field can never hold `code`; "" where it can."""
    if isinstance(slot, AbstractGenericString):
        return "" if isinstance(code, str) else f"{code} is no text, as the field is; write it in quotes"
    if isinstance(code, str):
        known = {name.lower() for name in constants}
        if code.lower() in known:
            return ""
        listed = f" (constants of the result: {', '.join(constants)[:300]})" if constants else ""
        return f"{short(code)} is no constant of the result{did_you_mean(code, constants)}{listed}"
    boolean = isinstance(slot, BasicType) and slot.typename == "boolean"
    if boolean != isinstance(code, bool):
        return f"{code} cannot be in the field, which is {'true or false' if boolean else slot.typename}"
    return ""


def _observes_faults(skill: Skill, result: Any) -> Iterator[str]:
    observes = skill.observes
    if observes is None:
        return
    try:
        _, slot = ros_types.slot_at(result, observes.list, "observes.list")
        inner = getattr(slot, "value_type", None) if isinstance(slot, AbstractNestedType) else None
        if not isinstance(inner, NamespacedType):
            yield f"observes.list: {observes.list} is no list of messages"
            return
        entry = ros_types.class_of(inner)
        for name, path in (("thing", observes.thing), ("place", observes.place)):
            if path:
                _, leaf = ros_types.slot_at(entry, path, f"observes.{name}")
                if not isinstance(leaf, AbstractGenericString):
                    yield f"observes.{name}: {path} is no text"
    except InputError as error:
        yield str(error)


def _missing(domain: Domain, node: Node, wait_s: float, look: Any) -> list[Finding]:
    """Servers that are not there, or of another type; looks until all are right or the time is over."""
    end = time.monotonic() + wait_s
    found = _graph_faults(domain, node)
    while found and time.monotonic() < end:
        look()
        found = _graph_faults(domain, node)
    return found


def _graph_faults(domain: Domain, node: Node) -> list[Finding]:
    graph = {way: in_graph(node, way) for way in KIND}
    found = []
    for name, skill in domain.skills.skills.items():
        way = way_of(skill)
        if way != "python":
            found += [Finding(name, what) for what in _server_faults(skill, way, node, graph)]
    return found


def _server_faults(skill: Skill, way: str, node: Node, graph: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    try:
        server = resolved(node, way, skill.run.server)
    except InputError as error:
        yield str(error)
        return
    servers = count_of(node, way, server)
    if not servers:
        others = [other for other in KIND if other != way and server in graph[other]]
        near = f"; it is there as {others[0]}" if others else did_you_mean(server, graph[way])
        nobody = "nobody subscribes to it" if way == "topic" else "no server"
        yield f"{way} {server}: {nobody}; start the robot's node, or mend the name and its namespace{near}"
    types = graph[way].get(server, [])
    if types and skill.run.type not in types:
        yield f"{way} {server}: is of type {', '.join(types)}, the file says {skill.run.type}"
    if servers > 1 and way != "topic":
        yield f"{way} {server}: {servers} servers of this name; each goal would run on all of them: stop all but one"
