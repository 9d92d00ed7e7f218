"""ros2 launch rarrl vla_policy.launch.py folder:=runs/policy control_hz:=10   (--show-args lists all arguments)"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from rarrl_nodes import graph


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(a.name, default_value="", description=a.description) for a in graph.POLICY_ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in graph.POLICY_ARGUMENTS}
    profile = os.path.join(get_package_share_directory(graph.PACKAGE), *graph.FASTDDS_PROFILE)
    node = Node(
        package=graph.PACKAGE,
        executable=graph.POLICY.executable,
        name=graph.POLICY.name,
        namespace=given["namespace"],
        parameters=[
            *([given["params_file"]] if given["params_file"] else []),
            {
                name: ParameterValue(value, value_type=type(value))
                for name, value in graph.parameters(graph.POLICY, given, graph.POLICY_ARGUMENTS).items()
            },
        ],
        output="screen",
    )
    return [
        SetEnvironmentVariable(
            "FASTRTPS_DEFAULT_PROFILES_FILE", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", profile)
        ),
        node,
    ]
