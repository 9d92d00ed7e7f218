"""ros2 launch rarrl vla_policy.launch.py folder:=runs/policy control_hz:=10   (--show-args lists all arguments)"""

from rarrl_nodes import graph
from rarrl_nodes.launch_actions import describe, fastdds_profile, node_action


def generate_launch_description():
    return describe(graph.POLICY_ARGUMENTS, _nodes)


def _nodes(given):
    parameters = graph.parameters(graph.POLICY, given, graph.POLICY_ARGUMENTS)
    return [fastdds_profile(), node_action(graph.POLICY, given, parameters)]
