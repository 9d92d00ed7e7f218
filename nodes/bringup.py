"""The graph of a real robot as plain data, for `launch/rarrl.launch.py` and, its executive and orchestrator alone,
`launch/executive.launch.py`. Needs neither ROS nor launch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rarrl.config import (
    DeadmanConfig,
    DetectorConfig,
    ExecutiveConfig,
    GateConfig,
    OrchestratorConfig,
    Scalar,
    iter_fields,
)
from rarrl.errors import InputError, RarrlError
from rarrl.plugins import is_import_path
from rarrl.policy.actor import BASE_ACTIONS
from rarrl.policy.registry import policy_folder
from rarrl.policy.serve import load_card
from rarrl.skills.domain import domain_of
from rarrl.skills.operator_policy import load_operator_policy

from .graph import (
    EXECUTIVE,
    LLM_ARGUMENTS,
    MANAGE,
    ORCHESTRATOR,
    POLICY,
    SIM_TIME,
    STEREO,
    SUBGOAL_ASIDE,
    Argument,
    NodeSpec,
    Start,
    argument_of,
    parameters,
    stereo_remappings,
    switch,
)

GATE = NodeSpec(
    "safety_gate_node",
    "safety_gate_node",
    "rarrl_nodes.safety_gate_node",
    ("gate",),
    part="gate",
    own=("dry_run", "twist_stamped"),
)
DEADMAN = NodeSpec(
    "deadman_node", "deadman_node", "rarrl_nodes.deadman_node", ("deadman",), part="deadman", own=("twist_stamped",)
)
"""The last that a command of the base passes."""
BRINGUP: tuple[NodeSpec, ...] = (DEADMAN, GATE, STEREO, POLICY, ORCHESTRATOR)
"""In the order in which they are activated: first what stops the robot, last what moves it."""
TO_DEADMAN = [("cmd_vel", "cmd_vel_gated")]
"""Remapping of the gate: the base hears the deadman alone."""
_DETECTOR = {spec.name: spec for spec in iter_fields(DetectorConfig, "detector.")}
_ORCHESTRATOR = {spec.name: spec for spec in iter_fields(OrchestratorConfig, "orchestrator.")}
DEADMAN_ARGUMENTS = tuple(argument_of(spec, "deadman_") for spec in iter_fields(DeadmanConfig, "deadman."))
_COMMON: tuple[Argument, ...] = (
    SIM_TIME,
    MANAGE,
    Argument("namespace", "Namespace of all nodes and topics; empty: none."),
    Argument("params_file", "YAML file of ROS parameters; arguments that are given take precedence over it."),
)
EXECUTIVE_ARGUMENTS: tuple[Argument, ...] = (
    *map(argument_of, iter_fields(ExecutiveConfig, "executive.")),
    *(spec for spec in map(argument_of, _ORCHESTRATOR.values()) if spec.name != "home"),
    *LLM_ARGUMENTS,
    *_COMMON,
)
"""Arguments of `launch/executive.launch.py`, which are those of `launch/rarrl.launch.py` too."""

ARGUMENTS: tuple[Argument, ...] = (
    switch(
        "dry_run",
        "true: the gate judges every command and reports, but the base receives zero; false: it drives.",
        True,
    ),
    switch("twist_stamped", "Message type that the base accepts: true, TwistStamped; false, Twist.", True),
    Argument("cmd_vel", "Topic on which the base receives its velocity commands.", value="cmd_vel"),
    Argument("odom", "Topic of the base's odometry.", value="odom"),
    Argument("joint_trajectory", "Topic of the arm's trajectory controller.", value="joint_trajectory"),
    Argument("joint_states", "Topic of the arm's joint states.", value="joint_states"),
    Argument("left", "Namespace of the left camera.", value="left"),
    Argument("right", "Namespace of the right camera.", value="right"),
    Argument(
        "policy_cameras",
        "Topics of the policy's cameras as name=topic, separated by commas; a camera that is not named here is on "
        "name/image.",
    ),
    Argument("policy_folder", "Folder of the policy; empty: the policy that comes with the package.", "policy.folder"),
    Argument("policy_preset", "Serving preset of the policy (compute against accuracy); empty: none.", "policy.preset"),
    *(
        argument_of(_DETECTOR[f"detector.{name}"])
        for name in ("preset", "quality", "target_hz", "camera_height_m", "camera_pitch_deg", "fuse")
    ),
    *(argument for argument in EXECUTIVE_ARGUMENTS if argument not in _COMMON),
    *map(argument_of, iter_fields(GateConfig, "gate.")),
    *DEADMAN_ARGUMENTS,
    *_COMMON,
)
"""An empty argument sets nothing. The one exception is `dry_run`, which is on unless it is explicitly `false`."""


def starts(given: Mapping[str, str]) -> list[Start]:
    """How each node of the robot is started.

    After a restart of the gate, a person has to activate it: whoever does so confirms that the area around the robot is
    free (docs/explanation/safety.md).

    Args:
        given: launch argument -> text; empty or missing: not given.

    Raises: InputError, one line, for a text that is not allowed."""
    nodes = (*BRINGUP, EXECUTIVE) if _has_executive(given) else BRINGUP
    return [Start(node, _parameters(node, given), _remappings(node, given), by_person=node is GATE) for node in nodes]


def executive_starts(given: Mapping[str, str]) -> list[Start]:
    """How executive and orchestrator are started without cameras, detector and gate: for a robot whose skills are
    served by others, who also see to its safety. Raises: InputError, one line."""
    if not _has_executive(given) and not given.get("params_file"):
        raise InputError("argument skills: none is given; name a skills.yaml, or robot:NAME")
    return [
        Start(node, parameters(node, given, EXECUTIVE_ARGUMENTS), _remappings(node, given))
        for node in (EXECUTIVE, ORCHESTRATOR)
    ]


def _has_executive(given: Mapping[str, str]) -> bool:
    """Whether `skills` is given. The files are read here: a node that cannot use them would be started again and again.

    Raises: InputError, one line."""
    skills, world, policy = (given.get(name, "") for name in ("skills", "world", "operator_policy"))
    if not skills:
        if world:
            raise InputError(
                f"argument world: {world[:60]!r} is given without skills; name the robot's skills.yaml too"
            )
        return False
    domain_of(skills, world, load_operator_policy(Path(policy)) if policy else None)
    return True


def notes(given: Mapping[str, str]) -> list[str]:
    """What whoever starts the robot must know before it is looked for in topics: whether it drives, by which policy,
    on whose word, and whether a language model is asked. One line each.

    Args:
        given: as of `starts`. What a parameter file sets is not looked at."""
    file = " (unless params_file says otherwise)" if given.get("params_file") else ""
    lines = ["Dry run: the gate judges and reports, and the base gets zero. dry_run:=false lets it drive."]
    if given.get("dry_run", "").lower() == "false":
        lines = ["NO dry run: once the gate is active, it passes commands on to the base."]

    policy = given.get("policy_folder", "")
    cannot = _cannot_drive(policy)
    if cannot and not given.get("joints"):  # with joints, the gate passes an arm's commands on
        lines.append(
            f"Nothing here can drive a base{file}: {cannot}, so the topic command has no publisher and the gate stops "
            "the robot for want of a command. Name a policy for a base with policy_folder:=FOLDER, or publish command "
            "yourself."
        )
    if given.get("skills"):
        return lines + executive_notes(given)
    lines.append(
        "No task executive is started: skills:=FILE world:=FILE start ours. Without them one of yours must publish "
        "state and subgoal, and until it does, nothing is decided and the policy holds."
    )
    if _asks_nobody(given):
        lines.append(
            f"No language model is asked{file}: your executive has to answer what the orchestrator decides to think, "
            "with the latencies of a profile. reasoner:=llama asks the shipped model, reasoner:=openai:URL#MODEL a "
            "server, and policy:=never thinks of nothing."
        )
    return lines


def executive_notes(given: Mapping[str, str]) -> list[str]:
    """What whoever starts the executive must know. One line each."""
    file = " (unless params_file says otherwise)" if given.get("params_file") else ""
    space = "/".join(["", *given.get("namespace", "").strip("/").split()])
    lines = [
        f"executive_node waits for a task: ros2 topic pub --once {space}/instruction std_msgs/msg/String "
        f"'{{data: WHAT TO DO}}'. {space}/task says how it stands, {space}/executive_node/cancel ends it."
    ]
    if not given.get("journal"):
        lines.append(f"No journal is kept{file}: a task ends with its process. journal:=FILE lets it go on.")
    if _asks_nobody(given):
        lines.append(
            f"No language model is asked{file}, and every step is carried out without asking: with the nearest example "
            "of the skills file, re-planned after every outcome. reasoner:=openai:URL#MODEL asks a server, "
            "reasoner:=llama:FILE.gguf a chat model on this computer."
        )
    return lines


def _asks_nobody(given: Mapping[str, str]) -> bool:
    return given.get("reasoner", "profile") in ("", "profile")


def _cannot_drive(policy: str) -> str:
    """Why a policy does not drive a base; "" where it does, or it cannot be known before it is loaded."""
    if is_import_path(policy):
        return ""
    try:
        spec, _ = load_card(policy_folder(policy))
    except RarrlError:
        return ""  # the policy's node says what is wrong
    if any(name in BASE_ACTIONS for name in spec.action_names):
        return ""
    which = (
        f"{policy} moves" if policy else "policy_folder is not given, and the policy that comes with the package moves"
    )
    return f"{which} an arm ({', '.join(spec.action_names)})"


def _parameters(node: NodeSpec, given: Mapping[str, str]) -> dict[str, Scalar]:
    safe: dict[str, Scalar] = {"dry_run": True} if node is GATE else {}
    return safe | parameters(node, given, ARGUMENTS)


def _remappings(node: NodeSpec, given: Mapping[str, str]) -> list[tuple[str, str]]:
    def named(*topics: str) -> list[tuple[str, str]]:
        return [(topic, given[topic]) for topic in topics if given.get(topic)]

    if node is STEREO:
        return [*stereo_remappings(given), *named("odom")]
    if node is DEADMAN:
        return named("cmd_vel")
    if node is GATE:
        return [*TO_DEADMAN, *named("odom", "joint_trajectory", "joint_states")]
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
