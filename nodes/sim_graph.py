"""The graph of the whole robot in simulation as plain data, for `launch/sim.launch.py` and `rarrl run --sim`.

Needs neither ROS nor launch. The graph of a real robot (`bringup.py`) differs only in its cameras and its base."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rarrl.config import GateConfig, OrchestratorConfig, Scalar, SimConfig, iter_fields
from rarrl_learning.household.evaluate import FOLDER, TIME_LIMIT_S, Setting
from rarrl_sim_envs.household.robot import drivers
from rarrl_sim_envs.household.scene import BASELINE_M, PITCH_RAD
from rarrl_sim_envs.household.world import HEAD_M

from .bringup import DEADMAN, DEADMAN_ARGUMENTS, GATE, TO_DEADMAN
from .graph import (
    LLM_ARGUMENTS,
    MANAGE,
    ORCHESTRATOR,
    POLICY,
    STEREO,
    SUBGOAL_ASIDE,
    Argument,
    NodeSpec,
    Start,
    argument_of,
    parameters,
)

SIM = NodeSpec(
    "sim_robot_node",
    "sim_robot_node",
    "rarrl_nodes.sim_robot_node",
    ("orchestrator", "language_model", "sim"),
    part="robot",
    own=("run_dir",),
    silent_s=20.0,  # MuJoCo keeps Python's lock while it builds a home; nobody is hurt by a simulator that hangs
)
GRAPH: tuple[NodeSpec, ...] = (DEADMAN, GATE, STEREO, POLICY, ORCHESTRATOR, SIM)
"""In the order in which they are activated."""

LEARNED = "household"
"""The orchestrator policy that `policy:=learned` stands for in household missions."""

_EVALUATED = Setting()
_DECIDES: dict[str, Scalar] = {
    "orchestrator.policy": LEARNED,
    "orchestrator.reasoner": _EVALUATED.llm,
    "orchestrator.profile": _EVALUATED.profile,
    "orchestrator.time_budget_s": _EVALUATED.time_budget_s,
    "orchestrator.token_budget": _EVALUATED.token_budget,
    "orchestrator.cost_weight": _EVALUATED.cost_weight,
}

SETTINGS: dict[str, dict[str, Scalar]] = {
    ORCHESTRATOR.name: _DECIDES,
    SIM.name: {**_DECIDES, "sim.time_limit_s": TIME_LIMIT_S},
    STEREO.name: {
        "detector.preset": drivers.PRESET,
        "detector.camera_height_m": HEAD_M,
        "detector.camera_pitch_deg": math.degrees(PITCH_RAD),
        "detector.body_low_m": drivers.BODY.low_m,
        "detector.body_high_m": drivers.BODY.high_m,
        "detector.threads": 1,  # five nodes share the machine
    },
    POLICY.name: {"policy.folder": str(FOLDER), "policy.gguf": str(FOLDER / _EVALUATED.gguf)},
    GATE.name: {
        f"gate.{name}": value
        for name, value in drivers.GATE.model_dump().items()
        if value != getattr(GateConfig(), name) and name != "rate_hz"
    }
    | {"gate.sensor_y_m": BASELINE_M / 2},  # the scan is in the frame of the left camera, which is half a baseline left
}
"""The simulated robot's parameters by node, equal to those of `rarrl eval mission`; launch arguments override them."""

ARGUMENTS: tuple[Argument, ...] = (
    *map(argument_of, iter_fields(SimConfig, "sim.")),
    *map(argument_of, iter_fields(OrchestratorConfig, "orchestrator.")),
    *LLM_ARGUMENTS,
    Argument("policy_folder", "Folder of the policy; empty: the household policy of the package.", "policy.folder"),
    Argument("policy_gguf", "Another transformer for that folder; empty: the quantized one in it.", "policy.gguf"),
    Argument("policy_preset", "Serving preset of the policy (compute against accuracy); empty: none.", "policy.preset"),
    Argument(
        "run_dir", "Folder that events.jsonl and missions.jsonl are written to; empty: no log is written.", "run_dir"
    ),
    *DEADMAN_ARGUMENTS,
    MANAGE,
    Argument("namespace", "Namespace of all nodes and topics; empty: none."),
    Argument("params_file", "YAML file of ROS parameters; arguments that are given take precedence over it."),
)
"""An empty argument sets nothing."""


def starts(given: Mapping[str, str], settings: Mapping[str, Scalar] | None = None) -> list[Start]:
    """How each node of the simulated robot is started. The simulator is the essential node.

    Args:
        given: launch argument -> text; empty or missing: not given.
        settings: of a configuration, by dotted name; they win over SETTINGS, and `given` over both.

    Raises: InputError, one line, for a text that is not allowed."""
    aside = {GATE.name: TO_DEADMAN, ORCHESTRATOR.name: SUBGOAL_ASIDE}
    return [
        Start(node, _parameters(node, given, settings or {}), aside.get(node.name, []), essential=node is SIM)
        for node in GRAPH
    ]


def _parameters(node: NodeSpec, given: Mapping[str, str], settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    preset = dict(SETTINGS.get(node.name, {}))
    if given.get("policy_folder") or settings.get("policy.folder"):  # another policy brings its own transformer
        preset.pop("policy.gguf", None)

    own = {name: value for name, value in settings.items() if node.takes(name)}
    result = preset | own | parameters(node, given, ARGUMENTS)
    if result.get("orchestrator.policy") == "learned":
        result["orchestrator.policy"] = LEARNED
    return result
