"""ros2 launch rarrl sim.launch.py missions:=5 seed:=0 policy:=learned   (--show-args lists all arguments)

The whole robot in a simulated home: simulator, detector, policy, orchestrator with its language model, safety gate.
With missions:=0, the default, each mission begins when `instruction` says so (docs/SIM.md)."""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from rarrl_nodes import graph, sim_graph


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(a.name, default_value="", description=a.description) for a in sim_graph.ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in sim_graph.ARGUMENTS}
    profile = os.path.join(get_package_share_directory(graph.PACKAGE), *graph.FASTDDS_PROFILE)
    return [
        SetEnvironmentVariable(
            "FASTRTPS_DEFAULT_PROFILES_FILE", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", profile)
        ),
        *(
            Node(
                package=graph.PACKAGE,
                executable=start.node.executable,
                name=start.node.name,
                namespace=given["namespace"],
                parameters=[
                    *([given["params_file"]] if given["params_file"] else []),
                    {n: ParameterValue(v, value_type=type(v)) for n, v in start.parameters.items()},
                ],
                remappings=start.remappings,
                output="screen",
                **(
                    {"on_exit": Shutdown(reason="the simulator has ended")}
                    if start.essential
                    else {"respawn": True, "respawn_delay": 2.0}
                ),
            )
            for start in sim_graph.starts(given)
        ),
    ]
