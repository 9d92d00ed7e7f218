"""Nodes, launch arguments and the replay graph as plain data, shared by the launch files and `rarrl run`.

Needs neither ROS nor launch, so that the command line can check arguments where no ROS is installed. The graphs of a
real robot (`bringup.py`) and of the simulated one (`sim_graph.py`) are built from the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from rarrl.config import (
    DetectorConfig,
    FieldSpec,
    LanguageModelConfig,
    OrchestratorConfig,
    PolicyConfig,
    ReplayConfig,
    Scalar,
    iter_fields,
)
from rarrl.errors import InputError
from rarrl.supervision.events import SILENT_S

PACKAGE = "rarrl"
USE_SIM_TIME = "use_sim_time"
"""The parameter that every ROS 2 node has."""


@dataclass(frozen=True)
class NodeSpec:
    """A node as a process of its own.

    Attributes:
        sections: the sections of the configuration whose settings it declares as parameters.
        part: what the robot lacks without it, a key of `rarrl.supervision.modes.WITHOUT`.
        own: parameters outside of any section that a launch argument may set on it.
        silent_s: seconds without a heartbeat after which it counts as dead.
    """

    name: str
    executable: str
    module: str
    sections: tuple[str, ...]
    part: str
    own: tuple[str, ...] = ()
    silent_s: float = SILENT_S

    def takes(self, parameter: str) -> bool:
        """Whether the node declares `parameter`, as far as launch arguments are concerned."""
        return parameter.partition(".")[0] in self.sections or parameter in (*self.own, USE_SIM_TIME)


@dataclass(frozen=True)
class Argument:
    """A launch argument.

    Attributes:
        parameter: the ROS parameter that it sets; "" where it sets none.
        spec: type and limits of that parameter; None: the text is passed on as it is.
        value: what applies where it is not given and has no spec, for `--show-args`.
    """

    name: str
    description: str
    parameter: str = ""
    spec: FieldSpec | None = None
    value: str = ""

    def default(self, graph: Mapping[str, Scalar]) -> str:
        """What applies where the argument is not given, as `--show-args` shows it. graph: parameters that the graph
        sets by itself."""
        if self.parameter in graph:
            return as_text(graph[self.parameter])
        return as_text(self.spec.default) if self.spec else self.value


@dataclass(frozen=True)
class Start:
    """How one node of a graph is started.

    Attributes:
        essential: when this node ends, the whole graph is stopped; any other node is restarted.
        by_person: after a restart a person has to activate it.
    """

    node: NodeSpec
    parameters: dict[str, Scalar]
    remappings: list[tuple[str, str]]
    essential: bool = False
    by_person: bool = False


def argument_of(spec: FieldSpec, prefix: str = "") -> Argument:
    """The launch argument of a setting, named as the setting is within its section, behind `prefix`."""
    name = prefix + spec.name.rpartition(".")[2]
    return Argument(name, f"{spec.description} Allowed: {spec.allowed}.", spec.name, spec)


def as_text(value: Scalar) -> str:
    """A value as one writes it on the command line.

    >>> as_text(True), as_text(0.5), as_text("indoor")
    ('true', '0.5', 'indoor')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def switch(name: str, description: str, default: bool) -> Argument:
    """An argument that is true or false, and sets the parameter of its name."""
    return Argument(name, description, name, FieldSpec(name, bool, default, None, None, (), description))


NODES: tuple[NodeSpec, ...] = (
    NodeSpec(
        "orchestrator_node",
        "orchestrator_node",
        "rarrl_nodes.orchestrator_node",
        ("orchestrator", "language_model"),
        part="orchestrator",
        own=("executive.skills", "executive.world"),
    ),
    NodeSpec(
        "replay_node",
        "replay_node",
        "rarrl_nodes.replay_node",
        ("orchestrator", "language_model", "replay"),
        part="robot",
        own=("run_dir",),
    ),
)
"""The replay graph. When one of its nodes ends, the other is stopped."""

ORCHESTRATOR = NODES[0]
EXECUTIVE = NodeSpec(
    "executive_node",
    "executive_node",
    "rarrl_nodes.executive_node",
    ("orchestrator", "language_model", "executive"),
    part="executive",
)
"""Carries tasks out with a robot's own skills: `launch/executive.launch.py`, and `launch/rarrl.launch.py` with
`skills:=`."""

SUBGOAL_ASIDE = [("subgoal", "orchestrator/subgoal")]
"""Remapping of the orchestrator where a policy listens to `subgoal`: there the executive names the object too, and the
orchestrator's bare kind of sub-goal would be taken for a new one."""

STEREO = NodeSpec(
    "stereo_voxel_node", "stereo_voxel_node", "rarrl_nodes.stereo_voxel_node", ("detector",), part="detector"
)
"""Runs next to the camera driver: `launch/stereo_voxels.launch.py`."""

POLICY = NodeSpec("vla_policy_node", "vla_policy_node", "rarrl_nodes.vla_policy_node", ("policy",), part="policy")
"""Runs next to the camera drivers: `launch/vla_policy.launch.py`."""

LLM_ARGUMENTS = tuple(argument_of(spec, "llm_") for spec in iter_fields(LanguageModelConfig, "language_model."))
"""The settings of the language model; `threads` alone would be taken for those of another part."""
MANAGE = switch(
    "manage",
    "false: the nodes are configured and activated by somebody else, such as Nav2's lifecycle manager; the supervisor "
    "watches them and tells the mode, and restarts nothing. true: it does all of that.",
    True,
)
SIM_TIME = switch(
    USE_SIM_TIME,
    "true: all nodes take the time from the topic /clock, as a simulator or `ros2 bag play --clock` publishes it. "
    "Without such a publisher the clock stands still and no message counts as recent: the robot stays where it is.",
    False,
)
"""Not of the graphs that bring their own robot: nothing in them publishes /clock."""

ARGUMENTS: tuple[Argument, ...] = (
    *map(argument_of, iter_fields(OrchestratorConfig, "orchestrator.")),
    *LLM_ARGUMENTS,
    *map(argument_of, iter_fields(ReplayConfig, "replay.")),
    Argument("run_dir", "Folder that events.jsonl is written to; empty: no log is written.", "run_dir"),
    Argument("namespace", "Namespace of all nodes and topics; empty: none."),
    Argument("params_file", "YAML file of ROS parameters; arguments that are given take precedence over it."),
)
"""Arguments of the replay graph. An empty argument sets nothing: the parameter file or the node's default applies."""

STEREO_CHOICES = ("detector.preset", "detector.quality")
STEREO_ARGUMENTS: tuple[Argument, ...] = (
    *(argument_of(spec) for spec in iter_fields(DetectorConfig, "detector.") if spec.name in STEREO_CHOICES),
    SIM_TIME,
    Argument("namespace", "Namespace of the node and its topics; empty: none."),
    Argument("left", "Namespace of the left camera.", value="left"),
    Argument("right", "Namespace of the right camera.", value="right"),
    Argument("rviz", "true: also opens rviz2, if it is installed.", value="false"),
    Argument("params_file", "YAML file of ROS parameters; arguments that are given take precedence over it."),
)
"""Arguments of `launch/stereo_voxels.launch.py`."""

POLICY_ARGUMENTS: tuple[Argument, ...] = (
    *map(argument_of, iter_fields(PolicyConfig, "policy.")),
    SIM_TIME,
    Argument("namespace", "Namespace of the node and its topics; empty: none."),
    Argument("params_file", "YAML file of ROS parameters; arguments that are given take precedence over it."),
)
"""Arguments of `launch/vla_policy.launch.py`."""

FASTDDS_PROFILE = ("config", "fastdds_shm.xml")
"""Path below the package's share folder. Gives each process a shared-memory segment that holds several images, so that
image topics do not fall back to UDP (docs/explanation/nodes.md)."""

RVIZ_CONFIG = ("config", "stereo_voxels.rviz")
"""Path below the package's share folder."""

NO_RVIZ = (
    "rviz:=true, but the package rviz2 is not installed: the detector runs without it. Install it with "
    "`sudo apt install ros-$ROS_DISTRO-rviz2`, or look at the topics with Foxglove."
)
"""What is said in place of opening it."""

RVIZ_TOPICS = ("voxels", "scan", "occupancy", "left/image_rect", "right/image_rect")
"""The topics that the RViz configuration displays, all in the root namespace."""


def stereo_remappings(arguments: Mapping[str, str]) -> list[tuple[str, str]]:
    """Remappings from the node's topics to those of the cameras that the arguments name.

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
    """Remappings from the topics of the RViz configuration to those of the node and the cameras.

    >>> rviz_remappings({"namespace": "robot", "left": "/camera/left"})[2:4]
    [('/occupancy', '/robot/occupancy'), ('/left/image_rect', '/camera/left/image_rect')]
    """
    cameras = dict(stereo_remappings(arguments))
    root = "/".join(["", *arguments.get("namespace", "").strip("/").split()])

    pairs = []
    for topic in RVIZ_TOPICS:
        target = cameras.get(topic, topic)
        if not target.startswith("/"):
            target = f"{root}/{target}"
        pairs.append((f"/{topic}", target))

    return [(topic, target) for topic, target in pairs if topic != target]


def parameters(
    node: NodeSpec, arguments: Mapping[str, str], table: tuple[Argument, ...] = ARGUMENTS
) -> dict[str, Scalar]:
    """The ROS parameters that launch arguments set on `node`.

    Args:
        arguments: name -> text, as given on the command line; empty or missing: not given.
        table: the arguments that exist.

    Raises: InputError, one line, for a text that is not of the parameter's type or out of its range."""
    result: dict[str, Scalar] = {}
    for argument in table:
        text = arguments.get(argument.name, "")
        if text and argument.parameter and node.takes(argument.parameter):
            result[argument.parameter] = parse(argument, text)
    return result


def parse(argument: Argument, text: str) -> Scalar:
    """The value that `text` stands for, with the type of the argument's parameter.

    Raises: InputError, one line, for a text that is not of that type or out of its range."""
    spec = argument.spec
    if spec is None:
        return text

    value: Scalar | None = text
    try:
        if spec.type is bool:
            value = {"true": True, "false": False}.get(text.lower())
        elif spec.type is not str:
            value = spec.type(text)
    except ValueError:
        value = None

    size = len(value) if isinstance(value, str) else value
    in_range = size is not None and (
        (spec.minimum is None or size >= spec.minimum) and (spec.maximum is None or size <= spec.maximum)
    )
    if value is None or not in_range or (spec.choices and value not in spec.choices):
        raise InputError(f"argument {argument.name}: {text[:60]!r} is not allowed (allowed: {spec.allowed})")
    return value


def to_params_file(parameters: Mapping[str, Scalar]) -> str:
    """A ROS parameter file that applies to every node. Texts are quoted: a policy named `yes` must stay a text.

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
