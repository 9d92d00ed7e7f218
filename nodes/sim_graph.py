"""The graph of the whole robot in simulation as plain data, for `launch/sim.launch.py` and `rarrl run --sim`.

Needs neither ROS nor launch. A real robot's graph (`bringup.py`) differs by its cameras and its base alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rarrl.config import GateConfig, OrchestratorConfig, Scalar, SimConfig, iter_fields
from rarrl_learning.household.evaluate import FOLDER, TIME_LIMIT_S, Setting
from rarrl_sim_envs.household.robot import drivers
from rarrl_sim_envs.household.scene import BASELINE_M, PITCH_RAD
from rarrl_sim_envs.household.world import HEAD_M

from .bringup import GATE, Start, _of, _parse
from .graph import NODES, POLICY, STEREO, Argument, NodeSpec

SIM = NodeSpec("sim_robot_node", "sim_robot_node", "rarrl_nodes.sim_robot_node", ("orchestrator", "sim"))
ORCHESTRATOR = NODES[0]
GRAPH: tuple[NodeSpec, ...] = (ORCHESTRATOR, POLICY, STEREO, GATE, SIM)
LEARNED = "household"
"""The learned policy of when to think, for missions in homes."""
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
        "detector.threads": 1,
    },
    POLICY.name: {"policy.folder": str(FOLDER), "policy.gguf": str(FOLDER / _EVALUATED.gguf)},
    GATE.name: {
        f"gate.{name}": value
        for name, value in drivers.GATE.model_dump().items()
        if value != getattr(GateConfig(), name) and name != "rate_hz"
    }
    | {"gate.sensor_y_m": BASELINE_M / 2},  # the scan is the left eye's
}
"""What this robot is, as `rarrl eval mission` plays it; the arguments win over it."""
REMAPPINGS: dict[str, list[tuple[str, str]]] = {ORCHESTRATOR.name: [("subgoal", "orchestrator/subgoal")]}
"""The policy hears the executor's sub-goal, which names things, not the orchestrator's."""

ARGUMENTS: tuple[Argument, ...] = (
    *map(_of, iter_fields(SimConfig, "sim.")),
    *map(_of, iter_fields(OrchestratorConfig, "orchestrator.")),
    Argument("policy_folder", "policy folder; empty: the shipped one of the household", "policy.folder"),
    Argument("policy_gguf", "another transformer for the folder; empty: the shipped, quantized one", "policy.gguf"),
    Argument("policy_preset", "how the policy is served; empty: as it is", "policy.preset"),
    Argument("run_dir", "folder that gets events.jsonl and missions.jsonl; empty: no log is written", "run_dir"),
    Argument("namespace", "namespace of all nodes and topics"),
    Argument("params_file", "YAML file of ROS parameters; the arguments above win over it"),
)
"""An argument that is left empty sets nothing."""


def starts(given: Mapping[str, str]) -> list[Start]:
    """The nodes with what `given` (argument -> text, empty: not given) sets. The end of the simulator ends all.

    Raises: InputError, one line, for a text that is not allowed."""
    return [Start(node, _parameters(node, given), REMAPPINGS.get(node.name, []), node is SIM) for node in GRAPH]


def _parameters(node: NodeSpec, given: Mapping[str, str]) -> dict[str, Scalar]:
    result = dict(SETTINGS[node.name])
    if given.get("policy_folder"):  # with a transformer of its own
        result.pop("policy.gguf", None)
    for argument in ARGUMENTS:
        text = given.get(argument.name, "")
        own = argument.parameter.partition(".")[0] in node.sections or (node is SIM and argument.parameter == "run_dir")
        if text and argument.parameter and own:
            result[argument.parameter] = _parse(argument.name, text, argument.spec) if argument.spec else text
    if result.get("orchestrator.policy") == "learned":
        result["orchestrator.policy"] = LEARNED
    return result
