"""ros2 launch rarrl replay.launch.py episodes:=20 policy:=learned speed:=20   (--show-args lists all arguments)"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

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
                {  # with its type: launch would read a run_dir named 123 as a number
                    name: ParameterValue(value, value_type=type(value))
                    for name, value in graph.parameters(node, given).items()
                },
            ],
            output="screen",
            on_exit=Shutdown(reason=f"{node.name} has ended"),
        )
        for node in graph.NODES
    ]
