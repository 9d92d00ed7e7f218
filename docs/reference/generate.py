"""Writes the reference pages beside this file from the code: commands, parameters, nodes, rules, features, and more.

python docs/reference/generate.py                  # writes all pages (`make docs`)
python docs/reference/generate.py commands map     # writes these alone
python docs/reference/generate.py --check          # changes nothing; exit status 1 where a page is stale

A page whose packages are not installed here (rclpy, mujoco) is left as it is, and the reason is printed."""

from __future__ import annotations

import argparse
import ast
import enum
import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RENEW = "python docs/reference/generate.py"
TOPICS = HERE / "topics.yaml"
"""What each topic carries: the one thing that introspection cannot tell."""

FEATURES = HERE / "features.yaml"
"""What each input of the orchestrator's policy means."""

FOLDERS = {"rarrl": "rarrl", "sim_envs": "rarrl_sim_envs", "learning": "rarrl_learning", "nodes": "rarrl_nodes"}
"""Folder -> name of the installed package, in the order in which they may import one another."""

API = (
    "rarrl.build",
    "rarrl.robot",
    "rarrl.range_scan",
    "rarrl.types",
    "rarrl.config",
    "rarrl.perception.rig",
    "rarrl.perception.voxels",
    "rarrl.perception.classical",
    "rarrl.perception.obstacles",
    "rarrl.perception.fusion",
    "rarrl.perception.obstacle_sensor",
    "rarrl.policy.base",
    "rarrl.policy.registry",
    "rarrl.policy.actor",
    "rarrl.policy.spec",
    "rarrl.policy.serve",
    "rarrl.policy.process",
    "rarrl.policy.server",
    "rarrl.policy.openvla",
    "rarrl.policy.chunking",
    "rarrl.safety.gate",
    "rarrl.safety.free_space",
    "rarrl.safety.base_gate",
    "rarrl.reasoner.base",
    "rarrl.reasoner.registry",
    "rarrl.reasoner.plan",
    "rarrl.skills.plan",
    "rarrl.skills.domain",
    "rarrl.skills.operator_policy",
    "rarrl.alfred_plans",
    "rarrl.orchestrator.orchestrator",
    "rarrl.orchestrator.registry",
    "rarrl.orchestrator.rules",
    "rarrl.decision_loop",
    "rarrl.latency.profile",
    "rarrl.latency.replay",
    "rarrl.events",
    "rarrl.results",
    "rarrl.errors",
    "rarrl_sim_envs.suites",
    "rarrl_sim_envs.words",
    "rarrl_sim_envs.alfred.make",
    "rarrl_sim_envs.alfred.env",
    "rarrl_sim_envs.alfred.sb3_vec_env",
    "rarrl_sim_envs.household.env",
    "rarrl_learning.orchestrator.train",
    "rarrl_learning.orchestrator.evaluate",
    "rarrl_learning.orchestrator.from_sb3",
    "rarrl_learning.policy.demonstrations",
    "rarrl_learning.policy.train",
    "rarrl_learning.policy.evaluate",
    "rarrl_learning.quantize.calibration",
    "rarrl_learning.quantize.quantize",
    "rarrl_learning.household.evaluate",
    "rarrl_learning.latency.import_logs",
    "rarrl_learning.reasoner.record",
)
"""The modules that a library user calls. One that is not there stops the program with its name: edit this list."""
API_OPTIONAL = {
    "rarrl.robot",
    "rarrl.range_scan",
    "rarrl.perception.obstacle_sensor",
    "rarrl.policy.actor",
    "rarrl.policy.registry",
    "rarrl.reasoner.registry",
    "rarrl.safety.base_gate",
}
"""Not in every version: left out where they are missing."""

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "stereo_voxel_node": [{"detector.fuse": True}],
    "safety_gate_node": [{"gate.joints": "shoulder:-1:1:1"}, {"twist_stamped": False}],
    "vla_policy_node": [{"policy.folder": "rarrl/models/policy_household"}],
}
"""Settings under which a node has other topics than by default."""
NEEDED: dict[str, dict[str, Any]] = {
    "ExecutiveNode": {"executive.skills": "robot:alfred", "executive.world": "robot:alfred"},
}
"""Class of a node -> settings without which it cannot be configured; their pages tell the defaults."""

UNITS = (
    ("_radps2", "rad/s²"),
    ("_radps", "rad/s"),
    ("_mps2", "m/s²"),
    ("_mps", "m/s"),
    ("_rad", "rad"),
    ("_deg", "degrees"),
    ("_hz", "Hz"),
    ("_ms", "ms"),
    ("_s", "s"),
    ("_m", "m"),
)
"""End of a setting's name -> its unit."""


class NotHereError(Exception):
    """A page cannot be made on this computer; the message says which package it needs."""


# The command line


def commands() -> str:
    from typer.main import get_command

    from rarrl.cli import app

    root = get_command(app)
    pages = [f"## rarrl\n\n{_sentence(root.help)}\n\n{_options(root, 'rarrl')}"]
    pages += [_command(path, command) for path, command in _walk(root, ("rarrl",))]
    intro = "Every command of `rarrl`, with its options. `rarrl COMMAND --help` prints the same."
    return "\n\n".join([_head("Commands", intro), *pages])


def _walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        here = (*path, name)
        if hasattr(command, "commands"):
            yield from _walk(command, here)
        else:
            yield here, command


def _command(path: Sequence[str], command: Any) -> str:
    arguments = "".join(
        f" {_shown(p)}" if p.required else f" [{_shown(p)}]" for p in command.params if p.param_type_name == "argument"
    )
    text = inspect.cleandoc(command.help or "")
    name = " ".join(path)
    return f"## {name}\n\n`{name}{arguments} [OPTIONS]`\n\n{text}\n\n{_options(command, name)}"


def _options(command: Any, path: str) -> str:
    rows = []
    for parameter in command.params:
        is_argument = parameter.param_type_name == "argument"
        if getattr(parameter, "hidden", False):
            continue
        names = _shown(parameter) if is_argument else ", ".join(parameter.opts)
        text = getattr(parameter, "help", None) or ""
        if not text:
            raise SystemExit(f"{path}: {names} has no help; write one where it is declared")
        if getattr(parameter, "multiple", False) and "repeat" not in text.lower():
            text = f"{text.rstrip('.')}; may be repeated."
        rows.append((f"`{names}`", _kind_of(parameter), _default_of(parameter), text))
    return _table(("option", "value", "default", ""), rows) if rows else "No options."


def _shown(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _kind_of(parameter: Any) -> str:
    """What the option takes, in words. typer keeps the annotation; click, below older versions of it, a type."""
    if getattr(parameter, "is_flag", False):
        return "flag"
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None:
        return str(parameter.type.name)
    annotation = descriptor.annotation
    inner = get_args(annotation)
    if get_origin(annotation) is list:
        annotation, inner = inner[0], get_args(inner[0])
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, inner))
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return ", ".join(str(member.value) for member in annotation)
    name = KINDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None and high is not None:
        return f"{name} {low} to {high}"
    if low is not None:
        return f"{name} from {low}"
    return name if high is None else f"{name} up to {high}"


KINDS = {int: "integer", float: "number", str: "text", Path: "path"}


def _default_of(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or callable(default) or default in ([], ()) or type(default).__name__ == "Sentinel":
        return ""
    if isinstance(default, bool):
        return "" if not default else "on"
    if isinstance(default, enum.Enum):
        default = default.value
    if isinstance(default, list | tuple):
        default = ", ".join(map(str, default))
    return f"`{default}`"


# Parameters


def parameters() -> str:
    from pydantic import BaseModel

    from rarrl.config import Config, iter_fields

    nodes = _nodes_with_parameters()
    parts = [
        _head(
            "Parameters",
            "Every setting of `config/default.yaml` and every ROS parameter. A setting has the same dotted name in the "
            "YAML file and as a ROS parameter; the ranges include their ends. Values out of range, unknown names and "
            "wrong types are refused by name.",
        )
    ]
    for section, info in Config.model_fields.items():
        model = info.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)
        users = [name for name, found in nodes.items() if any(n.startswith(f"{section}.") for n in found)]
        rows = []
        for spec in iter_fields(model, f"{section}."):
            live = any(not found[spec.name].read_only for found in nodes.values() if spec.name in found)
            rows.append(
                (
                    f"`{spec.name}`",
                    spec.type.__name__,
                    _value(spec.default),
                    spec.allowed,
                    _unit(spec),
                    "yes" if live else "",
                    spec.description,
                )
            )
        heard = f"Parameters of {_code(users)}." if users else "Read by programs, not by a node."
        parts.append(f"## {section}\n\n{_sentence(model.__doc__)} {heard}\n\n{_table(PARAMETER_HEAD, rows)}")
    for name, found in nodes.items():
        rows = [
            (f"`{key}`", one.kind, _value(one.default), one.allowed, "", "" if one.read_only else "yes", one.text)
            for key, one in found.items()
            if "." not in key
        ]
        sections = dict.fromkeys(key.partition(".")[0] for key in found if "." in key)
        also = ", ".join(f"[`{s}.*`](#{s})" for s in sections)
        parts.append(f"## {name}\n\nTakes {also}, and:\n\n{_table(PARAMETER_HEAD, rows)}")
    return "\n\n".join(parts)


PARAMETER_HEAD = ("name", "type", "default", "allowed", "unit", "live", "meaning")
"""live: may change while the node runs."""


def _unit(spec: Any) -> str:
    given = getattr(spec, "unit", None)
    if given:
        return str(given)
    if spec.type in (bool, str):
        return ""
    return next((unit for end, unit in UNITS if spec.name.endswith(end)), "")


class _Parameter:
    """One declared parameter of a node, as `ros2 param describe` shows it."""

    def __init__(self, node: Any, name: str) -> None:
        descriptor, value = node.describe_parameter(name), node.get_parameter(name).value
        self.default = value
        self.kind = type(value).__name__
        self.allowed = descriptor.additional_constraints
        self.read_only = descriptor.read_only
        self.text = descriptor.description


def _nodes_with_parameters() -> dict[str, dict[str, _Parameter]]:
    found = {}
    with _ros():
        for kind in _node_classes():
            with _made(kind, {}) as (node, _):
                names = [n for n in _parameter_names(node) if not n.startswith(OF_ROS)]
                found[node.get_name()] = {name: _Parameter(node, name) for name in names}
                for name in NEEDED.get(kind.__name__, {}):
                    found[node.get_name()][name].default = ""
    return found


def _parameter_names(node: Any) -> list[str]:
    """In the order in which they were declared."""
    return list(node._parameters)


OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


# Nodes


def nodes() -> str:
    meanings = yaml.safe_load(TOPICS.read_text("utf-8"))
    parts = [
        _head(
            "Nodes",
            "Topics and services of each node, as the node itself creates them when it is configured. Names are "
            "relative (they move with the namespace) unless they begin with `/`; `~` is the node's name. "
            "`/diagnostics` comes once a second. Besides these, every node has the services of parameters and, but for "
            "`deadman_node`, of a lifecycle node (`~/change_state`, ...). Latched: transient local, so that a node "
            "that comes later gets the last message. Parameters: [parameters.md](parameters.md).",
        )
    ]
    with _ros():
        for kind in _node_classes():
            parts.append(_node_page(kind, meanings))
    return "\n\n".join(parts)


def messages() -> str:
    from rarrl_nodes.accepted import ROWS

    intro = (
        "What the nodes make of the content of each message that they receive. *Refused*: the message is dropped and "
        "counted, with its reason in `/diagnostics`; where that lasts, the robot stands. What no row names is refused."
    )
    parts = [_head("Messages", intro)]
    for name in dict.fromkeys(row.message for row in ROWS):
        rows = [(row.content, row.outcome, row.how) for row in ROWS if row.message == name]
        parts.append(f"## {name}\n\n{_table(('content', '', 'how'), rows)}")
    return "\n\n".join(parts)


def _node_page(kind: type, meanings: dict[str, dict[str, str]]) -> str:
    with _made(kind, {}) as (node, made):
        name = node.get_name()
        rows = _interfaces(node, made)
    seen = {(direction, topic, of) for direction, topic, of, _ in rows}
    for settings in VARIANTS.get(name, []):
        with _made(kind, settings) as (node, made):
            said = ", ".join(f"`{key}:={_plain_value(value)}`" for key, value in settings.items())
            for row in _interfaces(node, made):
                if row[:3] not in seen:
                    seen.add(row[:3])
                    rows.append((*row[:3], f"{row[3]}; with {said}"))
    text, documented = _topics_of(inspect.getdoc(kind) or "")
    known = documented | meanings["all"] | meanings.get(name, {})
    lines = [(f"`{topic}`", direction, of, qos, known.get(topic, "")) for direction, topic, of, qos in rows]
    about = _paragraph(inspect.getdoc(sys.modules[kind.__module__])).removeprefix(f"{name}: ")
    table = _table(("name", "", "type", "QoS", "what it carries"), lines)
    parts = (f"## {name}", about[:1].upper() + about[1:], text, f"`{_folder_of(kind.__module__)}`", table)
    return "\n\n".join(part for part in parts if part)


def _topics_of(doc: str) -> tuple[str, dict[str, str]]:
    """A node's docstring without what the table shows, and the topics that it explains, as `name (type): meaning`."""
    kept, found = [], {}
    for block in doc.split("\n\n"):
        head, _, rest = block.partition("\n")
        if head.strip() in TOPIC_SECTIONS:
            entries = re.split(r"\n(?= {4}\S)", f"\n{rest}")
            for entry in filter(None, entries):
                parts = re.match(r"\s*([\w/~]+) \([^)]*\): (.*)", entry, re.DOTALL)
                if parts:
                    found[parts[1]] = " ".join(parts[2].split())
        elif not head.startswith("Topics, "):  # where they were explained before
            kept.append(block)
    return "\n\n".join(kept), found


TOPIC_SECTIONS = ("Subscribes:", "Publishes:", "Services:", "Serves:", "Calls:", "Topics:")


def wrong_meanings(page: str, meanings: dict[str, dict[str, str]]) -> list[str]:
    """Topics of the page that topics.yaml does not explain, and entries of it that no node has."""
    wrong, names = [], {"all"}
    for part in page.split("\n## ")[1:] if not page.startswith("## ") else page[3:].split("\n## "):
        name = part.splitlines()[0]
        rows = [re.split(r" \| ?", line.strip("| ")) for line in part.splitlines() if line.startswith("| `")]
        topics = dict.fromkeys(row[0].strip("`") for row in rows)
        explained = set(meanings.get(name, {}))
        names.add(name)
        wrong += [f"{name} {topic}: not explained" for topic in topics if topic not in explained | set(meanings["all"])]
        wrong += [f"{name} {topic}: no such topic" for topic in sorted(explained - set(topics))]
    return wrong + [f"{name}: no such node" for name in sorted(set(meanings) - names)]


Made = list[tuple[str, Any]]
"""Direction and publisher, subscription, service or client, in the order in which a node made them."""


def _interfaces(node: Any, made: Made) -> list[tuple[str, str, str, str]]:
    """Direction, name, type and QoS of what the node made, but for what every ROS node has."""
    rows = []
    for direction, entity in made:
        of = getattr(entity, "msg_type", None) or entity.srv_type
        package = of.__module__.split(".")[0]
        topic = _relative(getattr(entity, "topic_name", None) or entity.srv_name, node)
        if package in ("rcl_interfaces", "type_description_interfaces") or topic == "/rosout":
            continue
        if package == "lifecycle_msgs" and topic.startswith("~/"):
            continue
        qos = "" if direction in ("service", "client") else _qos(entity.qos_profile)
        rows.append((direction, topic, f"{package}/{of.__name__}", qos))
    return sorted(rows, key=lambda row: DIRECTIONS.index(row[0]))


DIRECTIONS = ("in", "out", "service", "client")


def _relative(topic: str, node: Any) -> str:
    space = f"{node.get_namespace()}/"
    if topic.startswith(f"{space}{node.get_name()}/"):
        return "~/" + topic.removeprefix(f"{space}{node.get_name()}/")
    return topic.removeprefix(space)


def _qos(profile: Any) -> str:
    words = ["best effort" if profile.reliability.name == "BEST_EFFORT" else "reliable"]
    words += ["latched"] if profile.durability.name == "TRANSIENT_LOCAL" else []
    words.append(f"depth {profile.depth}")
    deadline = profile.deadline.nanoseconds / 1e9
    words += [f"deadline {deadline:g} s"] if 0 < deadline < 1e6 else []
    return ", ".join(words)


@contextmanager
def _ros() -> Iterator[None]:
    """rclpy in a domain of its own, on this computer alone. Raises: NotHereError."""
    if find_spec("rclpy") is None:
        raise NotHereError("rclpy is not installed")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    import rclpy

    rclpy.init(args=["--ros-args", "--log-level", "fatal"])
    try:
        yield
    finally:
        rclpy.try_shutdown()


def _node_classes() -> list[type]:
    """The nodes of rarrl_nodes: the classes of its modules *_node that take no name."""
    from rclpy.node import Node

    package = importlib.import_module(FOLDERS["nodes"])
    classes = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.endswith(("_node", "supervisor")):  # supervisor_node forks before it loads its class
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            classes += [
                value
                for value in vars(module).values()
                if inspect.isclass(value) and value.__module__ == module.__name__ and issubclass(value, Node)
            ]
    return classes


@contextmanager
def _made(kind: type, settings: dict[str, Any]) -> Iterator[tuple[Any, Made]]:
    """A node of this class, configured and not active, and what it made. Raises: NotHereError."""
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    made: Made = []

    class Watched(kind):  # type: ignore[misc]  # the node itself may keep its entities under any name
        def create_publisher(self, *args: Any, **kwargs: Any) -> Any:
            return self._noted("out", super().create_publisher(*args, **kwargs))

        def create_lifecycle_publisher(self, *args: Any, **kwargs: Any) -> Any:
            return self._noted("out", super().create_lifecycle_publisher(*args, **kwargs))

        def create_subscription(self, *args: Any, **kwargs: Any) -> Any:
            return self._noted("in", super().create_subscription(*args, **kwargs))

        def create_service(self, *args: Any, **kwargs: Any) -> Any:
            return self._noted("service", super().create_service(*args, **kwargs))

        def create_client(self, *args: Any, **kwargs: Any) -> Any:
            return self._noted("client", super().create_client(*args, **kwargs))

        def _noted(self, direction: str, entity: Any) -> Any:
            if all(entity is not other for _, other in made):
                made.append((direction, entity))
            return entity

    needed = NEEDED.get(kind.__name__, {})
    given = [Parameter(name, value=_absolute(value)) for name, value in (needed | settings).items()]
    node = Watched(namespace="robot", parameter_overrides=given)
    try:
        configure = getattr(node, "trigger_configure", lambda: TransitionCallbackReturn.SUCCESS)
        if configure() is not TransitionCallbackReturn.SUCCESS:
            raise NotHereError(f"{node.get_name()} cannot be configured: {getattr(node, 'failure', '')}")
        yield node, made
    finally:
        node.destroy_node()


def _absolute(value: Any) -> Any:
    is_path = isinstance(value, str) and (ROOT / value).is_dir() and "/" in value
    return str(ROOT / value) if is_path else value


# Environments


def environments() -> str:
    import gymnasium

    importlib.import_module(FOLDERS["sim_envs"])
    ours = [spec for name, spec in sorted(gymnasium.registry.items()) if name.startswith("rarrl/")]
    intro = (
        "The environments that `import rarrl_sim_envs` registers with gymnasium; "
        '`gymnasium.make("rarrl_sim_envs:ID")` does both.'
    )
    return "\n\n".join([_head("Environments", intro), *(_environment(gymnasium, spec) for spec in ours)])


def _environment(gymnasium: Any, spec: Any) -> str:
    from rarrl.errors import RarrlError

    try:
        env = gymnasium.make(spec.id, disable_env_checker=True)
    except (ImportError, RarrlError, gymnasium.error.DependencyNotInstalled) as error:
        raise NotHereError(f"{spec.id}: {error}") from None
    try:
        kind = type(env.unwrapped)
        doc = re.sub(r"^#+ ", "### ", inspect.getdoc(kind) or "", flags=re.MULTILINE)
        spaces = f"**Observation**\n\n{_space(env.observation_space)}\n\n**Action**\n\n{_space(env.action_space)}"
    finally:
        env.close()
    entry = spec.entry_point if isinstance(spec.entry_point, str) else f"{kind.__module__}:{kind.__qualname__}"
    arguments = "".join(f", {key}={value!r}" for key, value in (spec.kwargs or {}).items())
    vector = "; also as a vector environment (`gymnasium.make_vec`)" if spec.vector_entry_point else ""
    signature = f"{kind.__name__}{_signature(kind)}"
    return f"## {spec.id}\n\n`{entry}`{arguments}{vector}\n\n```text\n{signature}\n```\n\n{doc}\n\n{spaces}"


def _space(space: Any) -> str:
    inner = getattr(space, "spaces", None)
    if isinstance(inner, dict) or hasattr(inner, "items"):
        return _table(("key", "space"), [(f"`{key}`", _one_space(value)) for key, value in inner.items()])
    return _one_space(space)


def _one_space(space: Any) -> str:
    name = type(space).__name__
    if name == "Box":
        low, high = _bound(space.low), _bound(space.high)
        return f"Box, shape {tuple(space.shape)}, {space.dtype}, from {low} to {high}"
    if name == "Text":
        return f"Text of {space.min_length} to {space.max_length} characters"
    return re.sub(r"\s+", " ", str(space))[:200]


def _bound(values: Any) -> str:
    flat = [float(value) for value in values.ravel()]
    if len(set(flat)) == 1:
        return f"{flat[0]:g}"
    if len(flat) <= 8:
        return "[" + ", ".join(f"{value:g}" for value in flat) + "]"
    return f"{min(flat):g} … {max(flat):g} (by element)"


# The public API


def api() -> str:
    intro = (
        "What a program calls, with the first paragraph of each docstring. Units, shapes and errors are in the "
        "docstrings themselves: `python -m pydoc rarrl.policy.base`. Other modules may change without notice."
    )
    parts = [_head("Python API", intro)]
    for name in API:
        if find_spec_or_none(name) is None:
            if name in API_OPTIONAL:
                continue
            raise SystemExit(f"{name} is not there any more: edit API in {Path(__file__).name}")
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise NotHereError(f"{name}: {error}") from None
        parts.append(_module(module))
    return "\n\n".join(parts)


def find_spec_or_none(name: str) -> Any:
    try:
        return find_spec(name)
    except ModuleNotFoundError:
        return None


def _module(module: ModuleType) -> str:
    entries = [_entry(name, value) for name, value in _public(module)]
    return "\n\n".join([f"## {module.__name__}", _paragraph(module.__doc__), *entries])


def _public(module: ModuleType) -> Iterable[tuple[str, Any]]:
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    for name in names:
        value = getattr(module, name)
        own = getattr(value, "__module__", None) == module.__name__ or hasattr(module, "__all__")
        if own and (inspect.isfunction(value) or inspect.isclass(value)):
            yield name, value


def _entry(name: str, value: Any) -> str:
    if inspect.isfunction(value):
        return f"```python\n{name}{_signature(value)}\n```\n\n{_paragraph(value.__doc__)}"
    if issubclass(value, enum.Enum):
        members = ", ".join(f"`{member.name}`" for member in value)
        return f"**{name}**: {members}. {_paragraph(value.__doc__)}"
    if hasattr(value, "model_fields"):
        return f"**{name}**: {_paragraph(value.__doc__)} Fields: [parameters.md](parameters.md)."
    text = f"```python\nclass {name}{'' if _is_bare(value) else _signature(value)}\n```\n\n{_paragraph(value.__doc__)}"
    methods = []
    for key, member in vars(value).items():
        method = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if key.startswith("_") or not (inspect.isfunction(method) or isinstance(method, property)):
            continue
        if isinstance(method, property):
            methods.append(f"- `{key}`: {_sentence(method.__doc__)}".rstrip(": "))
        else:
            methods.append(f"- `{key}{_signature(method, skip_self=True)}`: {_sentence(method.__doc__)}".rstrip(": "))
    return text if not methods else text + "\n\n" + "\n".join(methods)


def _is_bare(kind: type) -> bool:
    """Whether its constructor says nothing: protocols, exceptions, named tuples without fields."""
    return kind.__init__ is object.__init__ or issubclass(kind, Exception) or getattr(kind, "_is_protocol", False)


def _signature(value: Any, skip_self: bool = False) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    chosen = list(signature.parameters.values())
    if skip_self and chosen and chosen[0].name in ("self", "cls"):
        chosen = chosen[1:]
    texts = []
    for parameter in chosen:
        default = parameter.default
        if default is not inspect.Parameter.empty and not isinstance(default, bool | int | float | str | type(None)):
            short = repr(default) if isinstance(default, tuple) and len(repr(default)) < 60 else "..."
            parameter = parameter.replace(default=_Raw(short))
        texts.append(parameter)
    text = str(signature.replace(parameters=texts))
    text = re.sub(r"'([\w\[\]|., ()]*)'", _unquoted, text) if "'" in text else text
    text = re.sub(r"<class '([^']*)'>", lambda found: found[1].rpartition(".")[2], text)
    return re.sub(r"\b(?:numpy|pathlib|collections\.abc|typing)\.", "", text)


def _unquoted(found: re.Match[str]) -> str:
    """Annotations are strings; defaults that are strings keep their quotes."""
    before = found.string[: found.start()]
    return found[1] if before.endswith((": ", "-> ")) else found[0]


class _Raw:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


# The map of files


def map_of_files() -> str:
    intro = (
        "Each package with its duty, and each module with the first line of its docstring. Imports point one way: "
        f"{' <- '.join(f'`{folder}/`' for folder in FOLDERS)}; the command line imports what it runs when it runs it "
        "(`tests/test_architecture.py`). Where to start reading: [architecture](../explanation/architecture.md)."
    )
    parts = [_head("Map of files", intro)]
    totals = []
    for folder in FOLDERS:
        packages = sorted(path.parent for path in (ROOT / folder).rglob("__init__.py"))
        for package in packages:
            modules = sorted(path for path in package.glob("*.py") if path.name != "__init__.py")
            lines = sum(_lines(path) for path in package.glob("*.py"))
            totals.append((folder, lines))
            rows = [(f"`{path.name}`", _first_line(path)) for path in modules]
            text = _first_line(package / "__init__.py")
            name = package.relative_to(ROOT).as_posix()
            body = f"\n\n{_table(('module', ''), rows)}" if rows else ""
            parts.append(f"## {name}/\n\n{text} ({_about(lines)} lines)\n{body}")
    sums = [(f"`{f}/`", f"`{FOLDERS[f]}`", _about(sum(n for g, n in totals if g == f))) for f in FOLDERS]
    parts.insert(1, _table(("folder", "installed as", "lines of Python"), sums))
    for folder, pattern in (("launch", "*.launch.py"), ("benchmarks", "*.py"), ("examples", "*.py")):
        rows = [(f"`{path.name}`", _first_line(path)) for path in sorted((ROOT / folder).glob(pattern))]
        if rows:
            parts.append(f"## {folder}/\n\n{_table(('file', ''), rows)}")
    return "\n\n".join(parts)


def _first_line(path: Path) -> str:
    return _sentence(ast.get_docstring(ast.parse(path.read_text("utf-8"))))


def _about(lines: int) -> str:
    """To the next hundred, so that the page does not change with every line of code."""
    return str(max(1, round(lines / 100)) * 100)


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


# Texts


def _head(title: str, intro: str) -> str:
    return f"# {title}\n\n<!-- Made by `{RENEW}` from the code. Do not edit. -->\n\n{intro}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    parts = " ".join(str(text).split()).replace("|", "\\|").split("`")
    # Outside of code spans <time> would be taken for HTML.
    return "`".join(part if index % 2 else re.sub(r"<(?=\w)", r"\\<", part) for index, part in enumerate(parts))


def _paragraph(doc: str | None) -> str:
    return " ".join(inspect.cleandoc(doc or "").split("\n\n")[0].split())


def _sentence(doc: str | None) -> str:
    """The first line of a docstring, to its end where it goes on over the line break."""
    return _paragraph(doc)


def _value(value: Any) -> str:
    return "" if value == "" else f"`{_plain_value(value)}`"


def _plain_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _folder_of(module: str) -> str:
    package, _, rest = module.partition(".")
    folder = next(folder for folder, name in FOLDERS.items() if name == package)
    return f"{folder}/{rest.replace('.', '/')}.py"


# Rules and features of the orchestrator


def rules() -> str:
    from rarrl.orchestrator.registry import Fitted, rules_file, tuned_parameters
    from rarrl.orchestrator.rules import RECIPES, RISK_SETS, RULES

    conditions = {
        Fitted.LATENCIES: ("binding",),
        Fitted.ANSWERS: ("binding",),
        Fitted.HOUSEHOLD: ("mission",),
        Fitted.SKILLS: ("binding", "answers"),
    }
    tuned: dict[Fitted, dict[str, dict[str, Any]]] = {
        fitted: {k: v for name in names for k, v in tuned_parameters(name, rules_file(fitted)).items()}
        for fitted, names in conditions.items()
    }
    triggers, settings = [], []
    for family in RULES.values():
        where = "recorded answers" if family.needs_plan else "latencies" if family.needs_guard else "both"
        if not family.make.__doc__:
            raise SystemExit(f"rule {family.name}: its maker {family.make.__name__} has no docstring; write one")
        triggers.append((f"`{family.name}`", _paragraph(family.make.__doc__), where))
        for parameter in inspect.signature(family.make).parameters.values():
            best = [_value(tuned[fitted].get(family.name, {}).get(parameter.name, "")) for fitted in Fitted]
            tried = _code(map(str, family.axes.get(parameter.name, ())))
            settings.append((f"`{family.name}`", f"`{parameter.name}`", _value(parameter.default), tried, *best))

    intro = (
        "The rules of when to think that are shipped: `--policy NAME`, or `--policy 'NAME:{\"key\": value}'` with "
        "parameters; the setting `orchestrator.policy` takes the same text. [Add your own]"
        "(../how-to/plug-in-your-own-part.md). What the words mean: [glossary](../explanation/glossary.md)."
    )
    recipes = [(f"`{name}`", ", then ".join(a.name for a in actions)) for name, actions in RECIPES.items()]
    risky = [(f"`{name}`", ", ".join(types) or "none") for name, types in RISK_SETS.items()]
    heads = [f"tuned: {fitted.value}" for fitted in Fitted]
    return "\n\n".join(
        [
            _head("Rules", intro),
            "## When each one thinks\n\n`plays on`: latencies alone, recorded answers (and a model that is asked), or "
            "both. The calls of the recipe follow one another; then the robot acts.",
            _table(("rule", "thinks", "plays on"), triggers),
            "## Parameters\n\nTuned: the value that was chosen among those tried, under a budget that binds, on calls "
            "whose latency alone is known (`rarrl tune rules`), on recorded answers to ALFRED's goals, on "
            "missions in the simulated home, and on random skill sets. The world and the kind of latency profile say "
            "which of the four counts. A rule "
            "without parameters in its name takes these; empty: not tuned there, the default counts.",
            _table(("rule", "parameter", "default", "tried", *heads), settings),
            "## Recipes\n\nThe calls that a rule makes when it thinks.",
            _table(("recipe", "calls"), recipes),
            "## Sets of `risk_table`",
            _table(("`risky`", "kinds of sub-goals"), risky),
        ]
    )


def features() -> str:
    from rarrl.orchestrator.features import FEATURE_LIMIT, FEATURE_NAMES, PLAN_FEATURE_NAMES, STEP_FEATURE_NAMES

    meanings = yaml.safe_load(FEATURES.read_text("utf-8"))
    intro = (
        "What a learned orchestrator policy sees, by the names that [`rarrl why`](../how-to/explain-a-decision.md) "
        f"prints. All are numbers without a unit, cut off at ±{FEATURE_LIMIT:g}; factors such as 0.25 only keep them "
        "near one."
    )
    return "\n\n".join(
        [
            _head("Features", intro),
            "## Always there",
            _features(FEATURE_NAMES, meanings["features"]),
            "## Where plans are known\n\nAppended with recorded answers, and where a reasoner is asked.",
            _features(PLAN_FEATURE_NAMES, meanings["plan_features"]),
            "## Without names\n\nThe policy `nameless` reads these in the place of `type` and `remaining`, then all of "
            "the above; those of the plan are 0 where plans are not known, and `plan.known` says so.",
            _features(STEP_FEATURE_NAMES, meanings["step_features"]),
        ]
    )


def _features(names: Sequence[str], meanings: dict[str, str]) -> str:
    """A row for each meaning, with all the names that it explains. Raises: SystemExit where the two differ."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.partition(".")[0], []).append(name)
    unmatched = sorted(found.keys() ^ meanings.keys())
    if unmatched:
        raise SystemExit(f"{FEATURES.name}: names without a meaning, or meanings without a name: {unmatched}")
    return _table(("feature", "meaning"), [(_code(found[key]), meanings[key]) for key in found])


# The fault campaign


def faults() -> str:
    from rarrl_nodes.faults import campaign

    rows = campaign.rows()
    intro = (
        f"The {len(rows)} rows of `rarrl faults run`: what is injected, how, and what must happen. [How to play them]"
        "(../how-to/break-a-robot-on-purpose.md). Names begin with the fault's kind: C camera, L language model, "
        "P policy, T time, N nodes, B budget, M files, S strangers, R the computer, X servers of a robot's skills, "
        "K the control. In CI a row is played as often as `quick` says; empty: only in the whole campaign."
    )
    heads = {"graph": "Over a ROS graph of processes", "in-process": "In one process"}
    parts = [_head("Faults", intro)]
    for way, head in heads.items():
        cells = [
            (
                f"`{row.name}`",
                row.part,
                row.fault,
                row.injected,
                row.expected,
                ", ".join(f"`{key}` {most:g}" for key, most in row.limits.items()),
                "yes" if row.recovers else "",
                str(row.trials),
                str(row.quick_trials or ""),
            )
            for row in rows
            if row.way == way
        ]
        columns = ("row", "part", "fault", "injected", "expected", "at most, p99", "recovers", "trials", "quick")
        parts.append(f"## {head}\n\n{_table(columns, cells)}")
    return "\n\n".join(parts)


# A robot's two files


def robot_files() -> str:
    from rarrl.skills.outcome import OutcomeMap
    from rarrl.skills.skill_set import Example, Observes, Parameter, Prior, Run, Skill, SkillSet
    from rarrl.skills.world import Battery, Confirmed, Door, Place, Room, Thing, World

    intro = (
        "The two files that tell rarrl of a robot: what it can do, and where. Walk-through: [your robot in an hour]"
        "(../how-to/your-robot-in-an-hour.md). Both are plain YAML, without anchors and aliases; a key that is "
        "unknown, given twice, or of a wrong type is refused by name (`rarrl skills check`). Lengths: metres, angles: "
        "radians, durations: seconds."
    )
    parameters = (
        "Short forms: `thing`, `place or door`, `[left, right]` for fixed words, `{number: [0, 1.5]}` for a number "
        "within bounds. Kinds that are there in any world: `thing`, `portable` (a thing that can be carried), "
        "`receptacle` (places and things that hold others), `place`, `door`, `room`, `number`, `text`."
    )
    facts = [
        ("`at PLACE`", "where the robot is, at one place at a time"),
        ("`holding THING`", "what is in a hand; giving it takes one of these from where the robot stands"),
        ("`hand_empty`", "a hand is free"),
        ("`THING at PLACE`", "where things of a class are; several may be there, and giving it leaves a hand empty"),
        ("`reachable PLACE`", "follows from rooms, and from doors that are open"),
        ("`open PLACE`", "of doors, and of places with `opens`; other places always are"),
        ("`anything else`", "is remembered as it is given, such as `clean {thing}`, `full can`"),
        ("`not FACT`", "must not hold; given: takes the fact away"),
        ("`{thing}`", "an argument; `{thing.place}` any place where such a thing is believed to be"),
        ("`<knives>`", "anything of a group of world.yaml"),
    ]
    goal = (
        "Texts hold arguments in braces: `{to}` the argument itself (a number stays a number), `{to.pose}` a field of "
        "the place, door or thing in world.yaml, `{to.x}`, `{to.y}` and `{to.yaw}` the numbers of its pose, "
        "`{to.stop}` what its `values` say, `{skill}` the skill's name, `{row}` the name and all arguments with spaces "
        "between them. A message with a pose in it, such as PoseStamped, takes `{to.pose}` as a whole."
    )
    return "\n\n".join(
        [
            _head("A robot's files", intro),
            "## skills.yaml",
            _fields_of(SkillSet),
            "### A skill\n\n" + _fields_of(Skill),
            f"### Parameters of a skill\n\n{parameters}\n\n" + _fields_of(Parameter),
            f"### run\n\n{goal}\n\n" + _fields_of(Run),
            f"### outcome\n\n{_paragraph(OutcomeMap.__doc__)}\n\n" + _fields_of(OutcomeMap),
            f"### observes\n\n{inspect.cleandoc(Observes.__doc__ or '')}\n\n" + _fields_of(Observes),
            "### prior\n\n" + _fields_of(Prior),
            "### examples\n\n" + _fields_of(Example),
            "## Facts\n\nWhat `needs` and `gives` of a skill, and `facts` of the world, speak of.\n\n"
            + _table(("fact", "meaning"), facts),
            "## world.yaml",
            _fields_of(World),
            *(
                f"### {name}\n\n{_paragraph(model.__doc__)}\n\n{_fields_of(model)}"
                for name, model in (
                    ("A room", Room),
                    ("A place", Place),
                    ("A door", Door),
                    ("A thing", Thing),
                    ("confirm", Confirmed),
                    ("battery", Battery),
                )
            ),
        ]
    )


def _fields_of(model: Any) -> str:
    rows = []
    for name, field in model.model_fields.items():
        if not field.description:
            raise SystemExit(f"{model.__name__}.{name} has no description; write one where it is declared")
        value = "" if field.is_required() else _yaml_value(field.default)
        rows.append((f"`{name}`", "required" if field.is_required() else value, field.description))
    return _table(("key", "default", "meaning"), rows)


def _yaml_value(value: Any) -> str:
    """A default as one would write it; "" where it says nothing."""
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "none"
    if isinstance(value, (dict, tuple)) or hasattr(type(value), "model_fields") or value in ("", None):
        return ""
    return f"`{value:g}`" if isinstance(value, float) else _value(value)


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "parameters": parameters,
    "nodes": nodes,
    "messages": messages,
    "environments": environments,
    "rules": rules,
    "features": features,
    "faults": faults,
    "robot-files": robot_files,
    "api": api,
    "map": map_of_files,
}


def fresh(name: str) -> str:
    """The text that the page should have. Raises: NotHereError where this computer cannot make it."""
    text = PAGES[name]()
    return re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip() + "\n"


def write_pages(names: Sequence[str], check: bool) -> int:
    """Writes the pages that changed; with `check` only names them. The exit status."""
    stale = False
    for name in names:
        path = HERE / f"{name}.md"
        try:
            text = fresh(name)
        except NotHereError as reason:
            print(f"{path.name} is left as it is: {reason}", file=sys.stderr)
            continue

        wrong = wrong_meanings(text, yaml.safe_load(TOPICS.read_text("utf-8"))) if name == "nodes" else []
        for line in wrong:
            print(f"{TOPICS.name}: {line}", file=sys.stderr)
        if path.exists() and path.read_text("utf-8") == text:
            stale |= check and bool(wrong)
        elif check:
            print(f"{path.name} is stale: {RENEW} (or make docs)", file=sys.stderr)
            stale = True
        else:
            path.write_text(text, "utf-8")
            print(path)
    return int(stale)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(PAGES)}; default: all")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where a page is stale")
    args = parser.parse_args()
    unknown = [name for name in args.pages if name not in PAGES]
    if unknown:
        parser.error(f"there is no page {unknown[0]}; known: {', '.join(PAGES)}")
    return write_pages(args.pages or list(PAGES), args.check)


if __name__ == "__main__":
    sys.exit(main())
