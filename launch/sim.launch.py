"""ros2 launch rarrl sim.launch.py missions:=5 seed:=0 policy:=learned   (--show-args lists all arguments)

The whole robot in a simulated home: simulator, detector, policy, orchestrator with its language model, safety gate.
With missions:=0, the default, each mission starts when it is requested on the topic `instruction`
(docs/explanation/simulation-on-ros.md)."""

from rarrl_nodes import sim_graph
from rarrl_nodes.launch_actions import describe, graph_actions


def generate_launch_description():
    return describe(sim_graph.ARGUMENTS, _nodes, sim_graph.starts({}))


def _nodes(given):
    return graph_actions(given, sim_graph.starts(given), reason="the simulator has ended")
