"""ROS parameters, derived from the config models: names, types, ranges and descriptions are written once, there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from rarrl.config import (
    Config,
    DeadmanConfig,
    DetectorConfig,
    ExecutiveConfig,
    FieldSpec,
    GateConfig,
    LanguageModelConfig,
    OrchestratorConfig,
    PolicyConfig,
    ReplayConfig,
    Scalar,
    Section,
    SimConfig,
    config_from_flat,
    iter_fields,
)
from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.plugins import did_you_mean
from rarrl.strict_yaml import MAX_YAML_BYTES, parse_yaml

LIVE = ("orchestrator.cost_weight", "orchestrator.decision_timeout_s", "replay.speed")
"""Parameters that can be set while the node runs; all others are read once and are read-only."""

ONE_LINE = r"^[^\r\n]*$"
MAX_PATH_CHARS = 4000  # just below Linux's PATH_MAX of 4096 bytes
MAX_FRAME_CHARS = 200  # far longer than any frame id in use; bounds what a message header carries
EXIT_WHEN_DONE = "End the process after the last {}, which stops the whole launch. false: the node stays active."


class NodeConfig(Section):
    """Parameters of every node outside the sections of the configuration."""

    autostart: bool = Field(
        default=True,
        description="Configure and activate the node at startup. Set it to false if a lifecycle manager does that.",
    )
    allow_fault_injection: bool = Field(
        default=False,
        description=(
            "Offer the service ~/inject_kill, by which `rarrl faults inject` kills this node's process. For trials of "
            "what the robot does then, where nobody can be hurt; with false there is no such service."
        ),
    )


class OrchestratorNodeConfig(NodeConfig):
    """Parameters of orchestrator_node outside the sections of the configuration."""


class ExecutiveNodeConfig(NodeConfig):
    """Parameters of executive_node outside the sections of the configuration."""


class ReplayNodeConfig(NodeConfig):
    """Parameters of replay_node outside the sections of the configuration."""

    exit_when_done: bool = Field(default=True, description=EXIT_WHEN_DONE.format("episode"))
    shock: bool = Field(
        default=False,
        description="Cut the remaining budget to 40 % once, in the middle of each episode, to test how policies react.",
    )
    run_dir: str = Field(
        default="",
        max_length=MAX_PATH_CHARS,
        pattern=ONE_LINE,
        description="Folder that events.jsonl is written to; it must not hold a log yet. Empty: no log is written.",
    )


class StereoNodeConfig(NodeConfig):
    """Parameters of stereo_voxel_node outside the section `detector` of the configuration."""

    scan_frame: str = Field(
        default="stereo_scan",
        min_length=1,
        max_length=MAX_FRAME_CHARS,
        pattern=ONE_LINE,
        description=(
            "Frame id of the scan. Its origin is on the ground below the left camera; x forward, y to the left. "
            "The safety gate needs its place on the base in gate.sensor_x_m, sensor_y_m and sensor_yaw_deg, and its "
            "name in gate.scan_frames; if it has the name of the base's frame, the gate takes it to lie on the "
            "rotation axis, and the robot stops too late or too early."
        ),
    )
    base_frame: str = Field(
        default="base_link",
        min_length=1,
        max_length=MAX_FRAME_CHARS,
        pattern=ONE_LINE,
        description=(
            "Frame id of the base, whose pose the odometry tells (child_frame_id; base_footprint counts as the same). "
            "It is used only with detector.fuse: odometry of any other frame is dropped, and voxels are not added up."
        ),
    )


class PolicyNodeConfig(NodeConfig):
    """Parameters of vla_policy_node outside the section `policy` of the configuration."""

    base_frame: str = Field(
        default="base_link",
        min_length=1,
        max_length=MAX_FRAME_CHARS,
        pattern=ONE_LINE,
        description=(
            "Frame id of the commands of a policy that drives a base; where it is not the gate's own base_frame, the "
            "gate refuses every command and the robot stands."
        ),
    )


class GateNodeConfig(NodeConfig):
    """Parameters of safety_gate_node outside the section `gate` of the configuration."""

    dry_run: bool = Field(
        default=False,
        description=(
            "Judge every command and report the result, but send zero to the base and nothing to an arm. "
            "Use it to try a new setup; with false the robot drives."
        ),
    )
    twist_stamped: bool = Field(
        default=True,
        description=(
            "Publish cmd_vel as geometry_msgs/TwistStamped; false: as geometry_msgs/Twist. "
            "With the type that the base does not accept, the robot does not move."
        ),
    )
    base_frame: str = Field(
        default="base_link",
        min_length=1,
        max_length=MAX_FRAME_CHARS,
        pattern=ONE_LINE,
        description=(
            "Frame id of the base: of cmd_vel, of commands and of the odometry (child_frame_id), where base_footprint "
            "counts as the same. Its origin is on the base's axis of rotation; x forward, y to the left. Commands and "
            "odometry of any other frame stop the robot."
        ),
    )


class DeadmanNodeConfig(Section):
    """Parameters of deadman_node outside the section `deadman` of the configuration."""

    twist_stamped: bool = Field(
        default=True,
        description=(
            "Whether cmd_vel_gated and cmd_vel are geometry_msgs/TwistStamped; false: geometry_msgs/Twist. "
            "It has to be what the safety gate publishes and the base accepts, or the robot does not move."
        ),
    )
    base_frame: str = Field(
        default="base_link",
        min_length=1,
        max_length=MAX_FRAME_CHARS,
        pattern=ONE_LINE,
        description=(
            "Frame id of the zeros that the deadman publishes itself; what passes keeps its own. A base that looks at "
            "frames and expects another ignores these zeros and stops by its own time limit."
        ),
    )


class SimNodeConfig(NodeConfig):
    """Parameters of sim_robot_node outside the sections of the configuration."""

    exit_when_done: bool = Field(default=True, description=EXIT_WHEN_DONE.format("mission"))
    run_dir: str = Field(
        default="",
        max_length=MAX_PATH_CHARS,
        pattern=ONE_LINE,
        description=(
            "Folder that events.jsonl and missions.jsonl are written to; it must not hold a log yet. "
            "Empty: no log is written."
        ),
    )


class SupervisorNodeConfig(NodeConfig):
    """Parameters of supervisor_node."""

    graph: str = Field(
        default="",
        max_length=MAX_PATH_CHARS,
        pattern=ONE_LINE,
        description=(
            "File that says which nodes are looked after and how they are started; `rarrl run` and the launch files "
            "write it. Parameters and the record of what runs are kept beside it."
        ),
    )
    manage: bool = Field(
        default=True,
        description=(
            "Start, configure, activate, kill and restart the nodes. false: somebody else does, such as Nav2's "
            "lifecycle manager, and a node that hangs is only reported."
        ),
    )
    listen_s: float = Field(
        default=0.0,
        ge=0.0,
        le=60.0,
        description=(
            "Time at first in which nothing is started and nodes that run already are heard, in seconds. If it is too "
            "short, a node that somebody else has started gets a second process; longer delays every start."
        ),
    )
    attempts: int = Field(
        default=3,
        ge=1,
        le=1000,
        description=(
            "Failures in a row, without having been active in between, after which a node is given up until ~/retry. "
            "If there are many, a node that cannot work keeps a processor core busy."
        ),
    )
    restarts: int = Field(
        default=5,
        ge=1,
        le=1000,
        description=(
            "Failures within window_s after which a node is given up until ~/retry, however well it was in between. "
            "If there are few, a robot on a shaky connection is given up; if many, it drives in jerks."
        ),
    )
    window_s: float = Field(
        default=60.0,
        ge=1.0,
        le=86400.0,
        description="Time within which failures are counted for restarts, in seconds; longer forgives less.",
    )
    end_if_given_up: bool = Field(
        default=False,
        description="End the whole graph when a node is given up; false: the robot goes on in a degraded mode.",
    )


ROBOT = ("executive.skills", "executive.world")
"""Which robot it is: what orchestrator_node has in common with executive_node."""
ORCHESTRATOR_SPECS = (
    *iter_fields(OrchestratorConfig, "orchestrator."),
    *iter_fields(LanguageModelConfig, "language_model."),
    *(spec for spec in iter_fields(ExecutiveConfig, "executive.") if spec.name in ROBOT),
    *iter_fields(OrchestratorNodeConfig),
)
REPLAY_SPECS = (
    *iter_fields(OrchestratorConfig, "orchestrator."),
    *iter_fields(LanguageModelConfig, "language_model."),
    *iter_fields(ReplayConfig, "replay."),
    *iter_fields(ReplayNodeConfig),
)
EXECUTIVE_SPECS = (
    *iter_fields(OrchestratorConfig, "orchestrator."),
    *iter_fields(LanguageModelConfig, "language_model."),
    *iter_fields(ExecutiveConfig, "executive."),
    *iter_fields(ExecutiveNodeConfig),
)
STEREO_SPECS = (*iter_fields(DetectorConfig, "detector."), *iter_fields(StereoNodeConfig))
POLICY_SPECS = (*iter_fields(PolicyConfig, "policy."), *iter_fields(PolicyNodeConfig))
GATE_SPECS = (*iter_fields(GateConfig, "gate."), *iter_fields(GateNodeConfig))
DEADMAN_SPECS = (*iter_fields(DeadmanConfig, "deadman."), *iter_fields(DeadmanNodeConfig))
SUPERVISOR_SPECS = tuple(iter_fields(SupervisorNodeConfig))
SIM_SPECS = (
    *iter_fields(OrchestratorConfig, "orchestrator."),
    *iter_fields(LanguageModelConfig, "language_model."),
    *iter_fields(SimConfig, "sim."),
    *iter_fields(SimNodeConfig),
)
_OURS = frozenset(
    spec.name
    for specs in (
        *(ORCHESTRATOR_SPECS, EXECUTIVE_SPECS, REPLAY_SPECS, STEREO_SPECS, POLICY_SPECS),
        *(GATE_SPECS, DEADMAN_SPECS, SIM_SPECS, SUPERVISOR_SPECS),
    )
    for spec in specs
)
"""Names that any of the nodes declares: one parameter file may serve all of them."""

_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def descriptor(spec: FieldSpec) -> ParameterDescriptor:
    """The description and the range that ROS tools display and rclpy enforces."""
    result = ParameterDescriptor(
        name=spec.name,
        description=spec.description,
        additional_constraints=spec.allowed,
        read_only=spec.name not in LIVE,
    )

    if spec.minimum is not None and spec.maximum is not None:
        if spec.type is float:
            result.floating_point_range = [FloatingPointRange(from_value=spec.minimum, to_value=spec.maximum)]
        elif spec.type is int:
            result.integer_range = [IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)]

    return result


def check_file(path: Path) -> None:
    """Says in our words what is wrong with a parameter file; its YAML is judged by ROS.

    Raises: InputError where it cannot be read, or holds no parameters."""
    if path.is_fifo():  # it can be read but once
        return
    data = read_file(path, "parameter file", MAX_YAML_BYTES)
    try:
        content = parse_yaml(data, "parameter file", str(path))
    except InputError:  # an alias is refused before it can multiply
        return
    if not _holds_parameters(content):
        raise InputError(
            f"parameter file {path}: holds no parameters; write NODE: {{ros__parameters: {{NAME: VALUE}}}}"
        )


def _holds_parameters(content: Any, depth: int = 20) -> bool:
    """Whether there is a mapping of parameters under the name of a node, or of a namespace."""
    if not isinstance(content, Mapping) or not depth:
        return False
    return "ros__parameters" in content or any(_holds_parameters(value, depth - 1) for value in content.values())


def _unknown(name: str, node: str, known: Iterable[str]) -> InputError:
    """What to do about a parameter that nobody declares."""
    for text in ("language_model.headers", "language_model.extra_body"):
        if name.startswith(f"{text}."):
            key = text.rpartition(".")[2]
            return InputError(
                f"parameter {text} of {node} is a mapping; in a ROS parameter file write it as text: "
                f'{key}: \'{{"NAME": "VALUE"}}\''
            )
    hint = did_you_mean(name, known)
    return InputError(f"parameter {name[:80]} of {node} is unknown{hint or '; known: ' + ', '.join(known)}")


def declare(node: Node, specs: tuple[FieldSpec, ...], model: type[Section]) -> None:
    """Declares `specs` as parameters of `node`.

    An integer is accepted for a float parameter, where ROS would insist on 20.0. A name that none of our nodes declares
    is refused, because a misspelled setting that is silently ignored is hard to find.

    Args:
        model: holds the parameters whose names have no dot.

    Raises: InputError, one line, where a value from the command line or a parameter file is not allowed."""
    overrides: dict[str, Parameter] = node._parameter_overrides
    known = {spec.name: spec for spec in specs}

    unknown = [name for name in overrides if name not in (_OURS | set(known)) and not name.startswith(_OF_ROS)]
    if unknown:
        raise _unknown(unknown[0], node.get_name(), known)

    for name, spec in known.items():
        given = overrides.get(name)
        if given is not None and spec.type is float and given.type_ is Parameter.Type.INTEGER:
            overrides[name] = Parameter(name, value=float(given.value))

    where = f"parameters of {node.get_name()}"
    check({name: overrides[name].value for name in known if name in overrides}, model, where)

    for spec in specs:
        node.declare_parameter(spec.name, spec.default, descriptor(spec))
    node.add_on_set_parameters_callback(lambda changed: _judge(changed, model, where))


def check(values: dict[str, Scalar], model: type[Section], where: str) -> None:
    """Checks parameters against the models: dotted names against `Config`, all others against `model`.

    Raises: InputError, one line, where a value is not allowed."""
    dotted = {name: value for name, value in values.items() if "." in name}
    config_from_flat(dotted, where)

    try:
        model.model_validate({name: value for name, value in values.items() if name not in dotted})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        allowed = {spec.name: spec.allowed for spec in iter_fields(model)}[name]
        raise InputError(f"config: {where}: key {name}: {values[name]!r} is not allowed (allowed: {allowed})") from None


def read_config(node: Node) -> Config:
    """The configuration in the node's parameters; sections that it does not declare keep their defaults."""
    declared = [name for section in Config.model_fields for name in _names_under(node, section)]
    return config_from_flat({name: node.get_parameter(name).value for name in declared}, node.get_name())


def _names_under(node: Node, section: str) -> Iterable[str]:
    return [f"{section}.{name}" for name in node.get_parameters_by_prefix(section)]


def _judge(changed: list[Parameter], model: type[Section], where: str) -> SetParametersResult:
    """Checks what a parameter range cannot express, such as a list of names, and gives the model's own message."""
    try:
        ours = _OURS | set(model.model_fields)
        check({p.name: p.value for p in changed if p.name in ours}, model, where)
    except InputError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
