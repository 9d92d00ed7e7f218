"""ros2 launch rarrl stereo_voxels.launch.py preset:=indoor left:=/camera/left right:=/camera/right"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from rarrl_nodes import graph


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(a.name, default_value="", description=a.description) for a in graph.STEREO_ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in graph.STEREO_ARGUMENTS}
    share = get_package_share_directory(graph.PACKAGE)
    profile = os.path.join(share, *graph.FASTDDS_PROFILE)
    node = Node(
        package=graph.PACKAGE,
        executable=graph.STEREO.executable,
        name=graph.STEREO.name,
        namespace=given["namespace"],
        parameters=[
            *([given["params_file"]] if given["params_file"] else []),
            {"detector.preset": given["preset"]} if given["preset"] else {},
        ],
        remappings=graph.stereo_remappings(given),
        output="screen",
    )
    view = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.path.join(share, *graph.RVIZ_CONFIG)],
        remappings=graph.rviz_remappings(given),
    )
    return [
        SetEnvironmentVariable(
            "FASTRTPS_DEFAULT_PROFILES_FILE", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", profile)
        ),
        node,
        *([view] if given["rviz"].lower() == "true" else []),
    ]
