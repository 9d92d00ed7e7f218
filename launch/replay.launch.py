"""ros2 launch rarrl replay.launch.py episodes:=20 policy:=learned speed:=20   (--show-args lists all arguments)"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from rarrl_nodes import graph


def generate_launch_description():
    arguments = [DeclareLaunchArgument(a.name, default_value="", description=a.description) for a in graph.ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in graph.ARGUMENTS}
    return [
        Node(
            package=graph.PACKAGE,
            executable=node.executable,
            name=node.name,
            namespace=given["namespace"],
            parameters=[
                *([given["params_file"]] if given["params_file"] else []),
                graph.parameters(node, given),
            ],
            output="screen",
            on_exit=Shutdown(reason=f"{node.name} has ended") if node.ends_graph else None,
        )
        for node in graph.NODES
    ]
