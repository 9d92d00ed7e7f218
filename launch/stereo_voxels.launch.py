"""ros2 launch rarrl stereo_voxels.launch.py preset:=indoor left:=/camera/left right:=/camera/right"""

from launch.actions import LogInfo
from launch_ros.actions import Node

from rarrl_nodes import graph
from rarrl_nodes.launch_actions import describe, fastdds_profile, is_installed, node_action, share_path


def generate_launch_description():
    return describe(graph.STEREO_ARGUMENTS, _nodes)


def _nodes(given):
    parameters = graph.parameters(graph.STEREO, given, graph.STEREO_ARGUMENTS)
    actions = [fastdds_profile(), node_action(graph.STEREO, given, parameters, graph.stereo_remappings(given))]

    if given["rviz"].lower() == "true":
        view = Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", share_path(*graph.RVIZ_CONFIG)],
            remappings=graph.rviz_remappings(given),
        )
        actions.append(view if is_installed("rviz2") else LogInfo(msg=graph.NO_RVIZ))

    return actions
