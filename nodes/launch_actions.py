"""What the launch files share: arguments, the Fast DDS profile, and a node as a launch action. Needs launch_ros."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from rarrl.config import Scalar

from .graph import FASTDDS_PROFILE, MANAGE, PACKAGE, Argument, NodeSpec, Start
from .loopback import PROFILES
from .supervised import AUTOSTART, GRAPH_FILE, STOP_S, SUPERVISOR, SupervisedGraph, SupervisedNode

RESPAWN_DELAY_S = 2.0
"""Before a node is restarted: one that cannot start at all must not fill the log or a processor core."""

REVIVE_S = 0.5
"""Before a supervisor is restarted that was killed."""

LISTEN_S = 1.0
"""Seconds in which a supervisor hears what runs already, before it starts anything."""


def describe(
    arguments: Sequence[Argument], actions: Callable[[dict[str, str]], list[Any]], starts: Iterable[Start] = ()
) -> LaunchDescription:
    """Declares `arguments`, each with the value that applies where it is not given.

    A default must not win over a parameter file, so `actions` gets the texts of those arguments alone that were given,
    and "" for the others (name -> text), when the launch file is executed.

    Args:
        starts: how the nodes are started without arguments; what the graph sets there are the defaults.
    """
    preset = {name: value for start in starts for name, value in start.parameters.items()}
    given: set[str] = set()

    def remember(context: LaunchContext) -> list[Any]:
        given.update(context.launch_configurations)
        return []

    def perform(context: LaunchContext) -> list[Any]:
        return actions({a.name: context.launch_configurations[a.name] if a.name in given else "" for a in arguments})

    declared = [
        DeclareLaunchArgument(a.name, default_value=a.default(preset), description=a.description) for a in arguments
    ]
    return LaunchDescription([OpaqueFunction(function=remember), *declared, OpaqueFunction(function=perform)])


def is_installed(package: str) -> bool:
    """Whether a ROS package is there."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def share_path(*parts: str) -> str:
    """A file in the package's share folder."""
    return os.path.join(get_package_share_directory(PACKAGE), *parts)


def fastdds_profile() -> SetEnvironmentVariable:
    """Lets images go through shared memory, unless the environment names a profile already."""
    return SetEnvironmentVariable(PROFILES, os.environ.get(PROFILES, share_path(*FASTDDS_PROFILE)))


def node_action(
    node: NodeSpec,
    given: Mapping[str, str],
    parameters: Mapping[str, Scalar],
    remappings: Sequence[tuple[str, str]] = (),
    **options: Any,
) -> Node:
    """A node of ours; the arguments `namespace` and `params_file` in `given` apply to it.

    Args:
        options: for `launch_ros.actions.Node`, such as `respawn`.
    """
    # Each value carries its type: launch would otherwise turn a run_dir named 123 into a number.
    typed = {name: ParameterValue(value, value_type=type(value)) for name, value in parameters.items()}
    files = [given["params_file"]] if given["params_file"] else []

    return Node(
        package=PACKAGE,
        executable=node.executable,
        name=node.name,
        namespace=given["namespace"],
        parameters=[*files, typed],
        remappings=list(remappings),
        output="screen",
        **options,
    )


def graph_actions(given: Mapping[str, str], starts: Iterable[Start], reason: str) -> list[Any]:
    """A whole graph under its supervisor, which is started again if it is killed; its end ends the launch.

    With `manage:=false` the launch starts and restarts the nodes, somebody else, such as Nav2's lifecycle manager,
    configures and activates them, and the supervisor watches. reason: why the launch ends then."""
    starts = list(starts)
    folder = Path(tempfile.mkdtemp(prefix="rarrl-"))
    nodes = tuple(map(SupervisedNode.of, starts))
    SupervisedGraph(nodes, False, given["namespace"], given["params_file"]).write(folder / GRAPH_FILE)

    manages = given.get(MANAGE.name, "").lower() != "false"
    parameters: dict[str, Scalar] = {"graph": str(folder / GRAPH_FILE), "manage": manages, "listen_s": LISTEN_S}
    supervisor = node_action(
        SUPERVISOR,
        given,
        parameters,
        respawn=True,
        respawn_delay=REVIVE_S,
        on_exit=lambda event, _: None if event.returncode == -signal.SIGKILL else Shutdown(reason=reason),
        sigterm_timeout=str(STOP_S),
        sigkill_timeout=str(STOP_S),
    )
    return [fastdds_profile(), supervisor, *([] if manages else _left_to_others(given, starts))]


def _left_to_others(given: Mapping[str, str], starts: Iterable[Start]) -> list[Any]:
    """Nodes that a lifecycle manager configures. One that only a person may activate again is not restarted, as that
    manager would activate it: its end ends the launch."""
    actions: list[Any] = []
    for start in starts:
        options: dict[str, Any] = {"respawn": True, "respawn_delay": RESPAWN_DELAY_S}
        if start.essential or start.by_person:
            options = {"on_exit": Shutdown(reason=f"{start.node.name} has ended")}
        parameters = {**start.parameters, AUTOSTART: False}
        actions.append(node_action(start.node, given, parameters, start.remappings, **options))
    return actions
