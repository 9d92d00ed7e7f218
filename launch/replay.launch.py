"""ros2 launch rarrl replay.launch.py episodes:=20 policy:=learned speed:=20   (--show-args lists all arguments)"""

from launch.actions import Shutdown

from rarrl_nodes import graph
from rarrl_nodes.launch_actions import describe, node_action


def generate_launch_description():
    return describe(graph.ARGUMENTS, _nodes)


def _nodes(given):
    return [
        node_action(node, given, graph.parameters(node, given), on_exit=Shutdown(reason=f"{node.name} has ended"))
        for node in graph.NODES
    ]
