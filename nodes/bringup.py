"""The graph of a real robot as plain data, for `launch/rarrl.launch.py`. Needs neither ROS nor launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rarrl.config import DetectorConfig, FieldSpec, GateConfig, OrchestratorConfig, Scalar, iter_fields
from rarrl.errors import InputError

from .graph import NODES, POLICY, STEREO, Argument, NodeSpec, stereo_remappings

GATE = NodeSpec("safety_gate_node", "safety_gate_node", "rarrl_nodes.safety_gate_node", ("gate",))
BRINGUP: tuple[NodeSpec, ...] = (STEREO, POLICY, NODES[0], GATE)
_DETECTOR = {spec.name: spec for spec in iter_fields(DetectorConfig, "detector.")}
_ORCHESTRATOR = {spec.name: spec for spec in iter_fields(OrchestratorConfig, "orchestrator.")}


def _of(spec: FieldSpec) -> Argument:
    default = f"; default {spec.default}" if spec.default != "" else ""
    return Argument(spec.name.rpartition(".")[2], f"{spec.description} ({spec.allowed}{default})", spec.name, spec)


def _bool(name: str, description: str, default: bool) -> Argument:
    return Argument(name, description, name, FieldSpec(name, bool, default, None, None, (), description))


ARGUMENTS: tuple[Argument, ...] = (
    _bool("dry_run", "true, the default: the gate judges and reports, and the base gets zero; false: it drives", True),
    _bool("twist_stamped", "what the base takes: true, the default, a TwistStamped; false a Twist", True),
    Argument("cmd_vel", "topic of the base; default cmd_vel"),
    Argument("odom", "topic of its odometry; default odom"),
    Argument("joint_trajectory", "topic of the arm's controller; default joint_trajectory"),
    Argument("joint_states", "topic of the arm's joints; default joint_states"),
    Argument("left", "namespace of the left camera; default left"),
    Argument("right", "namespace of the right camera; default right"),
    Argument("policy_cameras", "the policy's cameras, name=topic with commas between; default: name/image"),
    Argument("policy_folder", "policy folder; empty: the shipped one", "policy.folder"),
    Argument("policy_preset", "how the policy is served; empty: as it is", "policy.preset"),
    *(_of(_DETECTOR[f"detector.{name}"]) for name in ("preset", "camera_height_m", "camera_pitch_deg", "fuse")),
    *(_of(_ORCHESTRATOR[f"orchestrator.{name}"]) for name in ("reasoner", "time_budget_s", "token_budget")),
    *map(_of, iter_fields(GateConfig, "gate.")),
    Argument("namespace", "namespace of all nodes and topics"),
    Argument("params_file", "YAML file of ROS parameters; the arguments above win over it"),
)
"""An argument that is left empty sets nothing, but for `dry_run`, which only `false` ends."""


@dataclass(frozen=True)
class Start:
    """How a node is started. essential: its end stops all others; the others are started again."""

    node: NodeSpec
    parameters: dict[str, Scalar]
    remappings: list[tuple[str, str]]
    essential: bool


def starts(given: Mapping[str, str]) -> list[Start]:
    """The nodes of the robot with what `given` (argument -> text, empty: not given) sets.

    The gate is essential: who starts it again vouches for the room around the robot, so no machine may.

    Raises: InputError, one line, for a text that is not allowed."""
    return [Start(node, _parameters(node, given), _remappings(node, given), node is GATE) for node in BRINGUP]


def _parameters(node: NodeSpec, given: Mapping[str, str]) -> dict[str, Scalar]:
    result: dict[str, Scalar] = {"dry_run": True} if node is GATE else {}
    for argument in ARGUMENTS:
        text = given.get(argument.name, "")
        own = argument.parameter.partition(".")[0] in node.sections or (
            node is GATE and argument.parameter in ("dry_run", "twist_stamped")
        )
        if text and argument.parameter and own:
            result[argument.parameter] = _parse(argument.name, text, argument.spec) if argument.spec else text
    return result


def _remappings(node: NodeSpec, given: Mapping[str, str]) -> list[tuple[str, str]]:
    def named(*topics: str) -> list[tuple[str, str]]:
        return [(topic, given[topic]) for topic in topics if given.get(topic)]

    if node is STEREO:
        return [*stereo_remappings(given), *named("odom")]
    if node is GATE:
        return named("cmd_vel", "odom", "joint_trajectory", "joint_states")
    if node is POLICY:
        return [*_cameras(given.get("policy_cameras", "")), *(("proprio", t) for _, t in named("joint_states"))]
    return []


def _cameras(text: str) -> list[tuple[str, str]]:
    """
    >>> _cameras("top=/camera/left/image_rect, side=/side/image")
    [('top/image', '/camera/left/image_rect'), ('side/image', '/side/image')]
    """
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, topic = (word.strip() for word in part.partition("="))
        if not (name and equals and topic):
            raise InputError(
                f"argument policy_cameras: {part[:60]!r} is not allowed (allowed: name=topic, commas between)"
            )
        pairs.append((f"{name}/image", topic))
    return pairs


def _parse(name: str, text: str, spec: FieldSpec) -> Scalar:
    value: Scalar | None = text
    try:
        if spec.type is bool:
            value = {"true": True, "false": False}.get(text.lower())
        elif spec.type is not str:
            value = spec.type(text)
    except ValueError:
        value = None
    size = len(value) if isinstance(value, str) else value
    inside = size is not None and (
        (spec.minimum is None or size >= spec.minimum) and (spec.maximum is None or size <= spec.maximum)
    )
    if value is None or not inside or (spec.choices and value not in spec.choices):
        raise InputError(f"argument {name}: {text[:60]!r} is not allowed (allowed: {spec.allowed})")
    return value
