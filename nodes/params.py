"""ROS parameters from the config models: names, types, ranges and descriptions are written once, in the models."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field, ValidationError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from rarrl.config import (
    Config,
    DetectorConfig,
    FieldSpec,
    GateConfig,
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

LIVE = ("orchestrator.cost_weight", "orchestrator.decision_timeout_s", "replay.speed")
"""May be set while the node runs; all others are read once, when the node starts."""


class OrchestratorNodeConfig(Section):
    """What orchestrator_node takes besides the sections of the configuration."""

    autostart: bool = Field(default=True, description="configure and activate without a lifecycle manager")


class ReplayNodeConfig(Section):
    """What replay_node takes besides the sections of the configuration."""

    autostart: bool = Field(default=True, description="configure and activate without a lifecycle manager")
    exit_when_done: bool = Field(default=True, description="end the process after the last episode")
    shock: bool = Field(default=False, description="cut the budget to 40 % of what is left amid each episode")
    run_dir: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="folder that gets events.jsonl; empty: no log is written",
    )


class StereoNodeConfig(Section):
    """What stereo_voxel_node takes besides the section `detector` of the configuration."""

    autostart: bool = Field(default=True, description="configure and activate without a lifecycle manager")
    scan_frame: str = Field(
        default="base_link",
        min_length=1,
        max_length=200,
        pattern=r"^[^\r\n]*$",
        description="frame of the scan: on the ground below the left camera, x ahead, y left",
    )


class PolicyNodeConfig(Section):
    """What vla_policy_node takes besides the section `policy` of the configuration."""

    autostart: bool = Field(default=True, description="configure and activate without a lifecycle manager")


class GateNodeConfig(Section):
    """What safety_gate_node takes besides the section `gate` of the configuration."""

    autostart: bool = Field(default=True, description="configure and activate without a lifecycle manager")
    dry_run: bool = Field(
        default=False, description="judge and report, but send zero to the base and nothing to an arm"
    )
    twist_stamped: bool = Field(default=True, description="cmd_vel is a TwistStamped; false: a Twist")
    base_frame: str = Field(
        default="base_link",
        min_length=1,
        max_length=200,
        pattern=r"^[^\r\n]*$",
        description="frame of cmd_vel: on the axis of turning, x ahead, y left",
    )


class SimNodeConfig(Section):
    """What sim_robot_node takes besides the section `sim` of the configuration."""

    autostart: bool = Field(default=True, description="configure and activate without a lifecycle manager")
    exit_when_done: bool = Field(default=True, description="end the process after the last mission")
    run_dir: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="folder that gets events.jsonl and missions.jsonl; empty: no log is written",
    )


ORCHESTRATOR_SPECS = (*iter_fields(OrchestratorConfig, "orchestrator."), *iter_fields(OrchestratorNodeConfig))
REPLAY_SPECS = (
    *iter_fields(OrchestratorConfig, "orchestrator."),
    *iter_fields(ReplayConfig, "replay."),
    *iter_fields(ReplayNodeConfig),
)
STEREO_SPECS = (*iter_fields(DetectorConfig, "detector."), *iter_fields(StereoNodeConfig))
POLICY_SPECS = (*iter_fields(PolicyConfig, "policy."), *iter_fields(PolicyNodeConfig))
GATE_SPECS = (*iter_fields(GateConfig, "gate."), *iter_fields(GateNodeConfig))
SIM_SPECS = (
    *iter_fields(OrchestratorConfig, "orchestrator."),
    *iter_fields(SimConfig, "sim."),
    *iter_fields(SimNodeConfig),
)
_OURS = frozenset(
    spec.name for spec in (*ORCHESTRATOR_SPECS, *REPLAY_SPECS, *STEREO_SPECS, *POLICY_SPECS, *GATE_SPECS, *SIM_SPECS)
)
"""One parameter file may serve all nodes."""
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def descriptor(spec: FieldSpec) -> ParameterDescriptor:
    """The description and range that ROS tools show and rclpy enforces."""
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


def declare(node: Node, specs: tuple[FieldSpec, ...], model: type[Section]) -> None:
    """Declares `specs` on `node`; `model` holds those whose names have no dot.

    Whole numbers are taken where ROS would insist on 20.0, and names that none of our nodes declares are refused
    rather than ignored.

    Raises: InputError, one line, where a value from the command line or a parameter file is not allowed."""
    overrides: dict[str, Parameter] = node._parameter_overrides
    known = {spec.name: spec for spec in specs}
    unknown = [name for name in overrides if name not in (_OURS | set(known)) and not name.startswith(_OF_ROS)]
    if unknown:
        raise InputError(f"parameter {unknown[0]} of {node.get_name()} is unknown; known: {', '.join(known)}")
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
    """Raises InputError, one line, where a value is not allowed by the models."""
    config_from_flat({name: value for name, value in values.items() if "." in name}, where)
    try:
        model.model_validate({name: value for name, value in values.items() if "." not in name})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        allowed = {spec.name: spec.allowed for spec in iter_fields(model)}[name]
        raise InputError(f"config: {where}: key {name}: {values[name]!r} is not allowed (allowed: {allowed})") from None


def read_config(node: Node) -> Config:
    """The configuration that the node's parameters give; sections that it does not declare keep their defaults."""
    declared = [n for section in Config.model_fields for n in _names_under(node, section)]
    return config_from_flat({name: node.get_parameter(name).value for name in declared}, node.get_name())


def _names_under(node: Node, section: str) -> Iterable[str]:
    return [f"{section}.{name}" for name in node.get_parameters_by_prefix(section)]


def _judge(changed: list[Parameter], model: type[Section], where: str) -> SetParametersResult:
    """The model's own message for what a range cannot say, such as the type or a list of names."""
    try:
        ours = _OURS | set(model.model_fields)
        check({p.name: p.value for p in changed if p.name in ours}, model, where)
    except InputError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
