"""The replay graph as plain data: nodes, arguments, the parameters that they set. Needs neither ROS nor launch.

`launch/replay.launch.py` and `run_graph` are thin over this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from rarrl.config import FieldSpec, OrchestratorConfig, PolicyConfig, ReplayConfig, Scalar, iter_fields
from rarrl.errors import InputError

PACKAGE = "rarrl"


@dataclass(frozen=True)
class NodeSpec:
    """One process. `sections`: whose settings it takes. When one node ends, all others are stopped."""

    name: str
    executable: str
    module: str
    sections: tuple[str, ...]


@dataclass(frozen=True)
class Argument:
    """One launch argument. `parameter`: the ROS parameter that it sets; "" where it sets none."""

    name: str
    description: str
    parameter: str = ""
    spec: FieldSpec | None = None


NODES: tuple[NodeSpec, ...] = (
    NodeSpec("orchestrator_node", "orchestrator_node", "rarrl_nodes.orchestrator_node", ("orchestrator",)),
    NodeSpec("replay_node", "replay_node", "rarrl_nodes.replay_node", ("orchestrator", "replay")),
)
STEREO = NodeSpec("stereo_voxel_node", "stereo_voxel_node", "rarrl_nodes.stereo_voxel_node", ("detector",))
"""Runs beside the camera's driver: `launch/stereo_voxels.launch.py`."""
POLICY = NodeSpec("vla_policy_node", "vla_policy_node", "rarrl_nodes.vla_policy_node", ("policy",))
"""Runs beside the cameras' drivers: `launch/vla_policy.launch.py`."""


def _of(spec: FieldSpec) -> Argument:
    default = f"; default {spec.default}" if spec.default != "" else ""
    return Argument(spec.name.rpartition(".")[2], f"{spec.description} ({spec.allowed}{default})", spec.name, spec)


ARGUMENTS: tuple[Argument, ...] = (
    *map(_of, iter_fields(OrchestratorConfig, "orchestrator.")),
    *map(_of, iter_fields(ReplayConfig, "replay.")),
    Argument("run_dir", "folder that gets events.jsonl; empty: no log is written", "run_dir"),
    Argument("namespace", "namespace of all nodes and topics"),
    Argument("params_file", "YAML file of ROS parameters; the arguments above win over it"),
)
"""An argument that is left empty sets nothing: the parameter file or the default of the node holds."""


STEREO_ARGUMENTS: tuple[Argument, ...] = (
    Argument("preset", "indoor, near, outdoor or cube", "detector.preset"),
    Argument("namespace", "namespace of the node and its topics"),
    Argument("left", "namespace of the left camera; default left"),
    Argument("right", "namespace of the right camera; default right"),
    Argument("rviz", "true: opens rviz2 too, where it is installed"),
    Argument("params_file", "YAML file of ROS parameters; preset above wins over it"),
)
POLICY_ARGUMENTS: tuple[Argument, ...] = (
    *map(_of, iter_fields(PolicyConfig, "policy.")),
    Argument("namespace", "namespace of the node and its topics"),
    Argument("params_file", "YAML file of ROS parameters; the arguments above win over it"),
)
FASTDDS_PROFILE = ("config", "fastdds_shm.xml")
"""Below the share folder: shared memory that holds some frames. See docs/NODES.md."""
RVIZ_CONFIG = ("config", "stereo_voxels.rviz")
RVIZ_TOPICS = ("voxels", "scan", "occupancy", "left/image_rect", "right/image_rect")
"""What the view shows, as topics of the root namespace."""


def stereo_remappings(arguments: Mapping[str, str]) -> list[tuple[str, str]]:
    """From the node's topics to those of the cameras that were named.

    >>> stereo_remappings({"left": "/camera/left", "right": ""})
    [('left/image_rect', '/camera/left/image_rect'), ('left/camera_info', '/camera/left/camera_info')]
    """
    return [
        (f"{side}/{what}", f"{arguments[side].rstrip('/')}/{what}")
        for side in ("left", "right")
        if arguments.get(side)
        for what in ("image_rect", "camera_info")
    ]


def rviz_remappings(arguments: Mapping[str, str]) -> list[tuple[str, str]]:
    """From the topics that the view names to those of the node and the cameras.

    >>> rviz_remappings({"namespace": "robot", "left": "/camera/left"})[2:4]
    [('/occupancy', '/robot/occupancy'), ('/left/image_rect', '/camera/left/image_rect')]
    """
    names = dict(stereo_remappings(arguments))
    root = "/".join(["", *arguments.get("namespace", "").strip("/").split()])
    targets = [(topic, names.get(topic, topic)) for topic in RVIZ_TOPICS]
    pairs = [(f"/{topic}", name if name.startswith("/") else f"{root}/{name}") for topic, name in targets]
    return [(topic, name) for topic, name in pairs if topic != name]


def parameters(
    node: NodeSpec, arguments: Mapping[str, str], table: tuple[Argument, ...] = ARGUMENTS
) -> dict[str, Scalar]:
    """The ROS parameters that `arguments` (name -> text, empty: not given) of `table` set on `node`.

    Raises: InputError, one line, for a text that is not of the parameter's type or out of its range."""
    result: dict[str, Scalar] = {}
    for argument in table:
        text = arguments.get(argument.name, "")
        if not text or not argument.parameter:
            continue
        if argument.spec is None:
            if "replay" in node.sections:
                result[argument.parameter] = text
        elif argument.parameter.partition(".")[0] in node.sections:
            result[argument.parameter] = _parse(argument.name, text, argument.spec)
    return result


def to_params_file(parameters: Mapping[str, Scalar]) -> str:
    """ROS's YAML for all nodes. Texts are quoted, so that no policy's name is read as something else.

    >>> print(to_params_file({"orchestrator.policy": "always", "replay.speed": 5.0}), end="")
    /**:
      ros__parameters:
        orchestrator.policy: "always"
        replay.speed: 5.0
    """
    lines = ["/**:", "  ros__parameters:"]
    for name, value in parameters.items():
        style = '"' if isinstance(value, str) else None
        text = yaml.safe_dump(value, default_style=style, width=1 << 20, allow_unicode=True).splitlines()[0]
        lines.append(f"    {name}: {text}")
    return "\n".join(lines) + "\n"


def _parse(name: str, text: str, spec: FieldSpec) -> Scalar:
    try:
        value: Scalar = text if spec.type is str else spec.type(text)
    except ValueError:
        value = text
    bad_type = not isinstance(value, spec.type)
    size = len(value) if isinstance(value, str) else value
    too_small = not bad_type and spec.minimum is not None and not size >= spec.minimum
    too_large = not bad_type and spec.maximum is not None and not size <= spec.maximum
    if bad_type or too_small or too_large or (spec.choices and value not in spec.choices):
        raise InputError(f"argument {name}: {text[:60]!r} is not allowed (allowed: {spec.allowed})")
    return value
