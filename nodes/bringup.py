"""The graph of a real robot as plain data, for `launch/rarrl.launch.py`. Needs neither ROS nor launch."""

from __future__ import annotations

from collections.abc import Mapping

from rarrl.config import DetectorConfig, FieldSpec, GateConfig, OrchestratorConfig, Scalar, iter_fields
from rarrl.errors import InputError

from .graph import (
    LLM_ARGUMENTS,
    ORCHESTRATOR,
    POLICY,
    STEREO,
    SUBGOAL_ASIDE,
    Argument,
    NodeSpec,
    Start,
    argument_of,
    parameters,
    stereo_remappings,
)

GATE = NodeSpec(
    "safety_gate_node",
    "safety_gate_node",
    "rarrl_nodes.safety_gate_node",
    ("gate",),
    own=("dry_run", "twist_stamped"),
)
BRINGUP: tuple[NodeSpec, ...] = (STEREO, POLICY, ORCHESTRATOR, GATE)
_DETECTOR = {spec.name: spec for spec in iter_fields(DetectorConfig, "detector.")}
_ORCHESTRATOR = {spec.name: spec for spec in iter_fields(OrchestratorConfig, "orchestrator.")}


def _switch(name: str, description: str, default: bool) -> Argument:
    return Argument(name, description, name, FieldSpec(name, bool, default, None, None, (), description))


ARGUMENTS: tuple[Argument, ...] = (
    _switch(
        "dry_run",
        "true, the default: the gate judges every command and reports, but the base receives zero; false: it drives.",
        True,
    ),
    _switch(
        "twist_stamped", "Message type that the base accepts: true, the default, TwistStamped; false, Twist.", True
    ),
    Argument("cmd_vel", "Topic on which the base receives its velocity commands; default cmd_vel."),
    Argument("odom", "Topic of the base's odometry; default odom."),
    Argument("joint_trajectory", "Topic of the arm's trajectory controller; default joint_trajectory."),
    Argument("joint_states", "Topic of the arm's joint states; default joint_states."),
    Argument("left", "Namespace of the left camera; default left."),
    Argument("right", "Namespace of the right camera; default right."),
    Argument(
        "policy_cameras",
        "Topics of the policy's cameras as name=topic, separated by commas; default: name/image for each.",
    ),
    Argument("policy_folder", "Folder of the policy; empty: the policy that comes with the package.", "policy.folder"),
    Argument("policy_preset", "Serving preset of the policy (compute against accuracy); empty: none.", "policy.preset"),
    *(argument_of(_DETECTOR[f"detector.{name}"]) for name in ("preset", "camera_height_m", "camera_pitch_deg", "fuse")),
    *(argument_of(_ORCHESTRATOR[f"orchestrator.{name}"]) for name in ("reasoner", "time_budget_s", "token_budget")),
    *LLM_ARGUMENTS,
    *map(argument_of, iter_fields(GateConfig, "gate.")),
    Argument("namespace", "Namespace of all nodes and topics."),
    Argument("params_file", "YAML file of ROS parameters; the other arguments take precedence over it."),
)
"""An empty argument sets nothing. The one exception is `dry_run`, which is on unless it is explicitly `false`."""


def starts(given: Mapping[str, str]) -> list[Start]:
    """How each node of the robot is started.

    The gate is the essential node and is never restarted automatically: whoever activates it confirms that the area
    around the robot is free, and only a person can do that (docs/explanation/safety.md).

    Args:
        given: launch argument -> text; empty or missing: not given.

    Raises: InputError, one line, for a text that is not allowed."""
    return [Start(node, _parameters(node, given), _remappings(node, given), node is GATE) for node in BRINGUP]


def _parameters(node: NodeSpec, given: Mapping[str, str]) -> dict[str, Scalar]:
    safe: dict[str, Scalar] = {"dry_run": True} if node is GATE else {}
    return safe | parameters(node, given, ARGUMENTS)


def _remappings(node: NodeSpec, given: Mapping[str, str]) -> list[tuple[str, str]]:
    def named(*topics: str) -> list[tuple[str, str]]:
        return [(topic, given[topic]) for topic in topics if given.get(topic)]

    if node is STEREO:
        return [*stereo_remappings(given), *named("odom")]
    if node is GATE:
        return named("cmd_vel", "odom", "joint_trajectory", "joint_states")
    if node is POLICY:
        return [*_cameras(given.get("policy_cameras", "")), *(("proprio", t) for _, t in named("joint_states"))]
    return SUBGOAL_ASIDE if node is ORCHESTRATOR else []


def _cameras(text: str) -> list[tuple[str, str]]:
    """Remappings of the policy's image topics.

    >>> _cameras("top=/camera/left/image_rect, side=/side/image")
    [('top/image', '/camera/left/image_rect'), ('side/image', '/side/image')]
    """
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, topic = (word.strip() for word in part.partition("="))
        if not (name and equals and topic):
            raise InputError(
                f"argument policy_cameras: {part[:60]!r} is not allowed (allowed: name=topic, separated by commas)"
            )
        pairs.append((f"{name}/image", topic))
    return pairs
