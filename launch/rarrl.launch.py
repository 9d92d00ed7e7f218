"""ros2 launch rarrl rarrl.launch.py left:=/camera/left right:=/camera/right cmd_vel:=/base/cmd_vel dry_run:=false \\
    skills:=skills.yaml world:=world.yaml reasoner:=openai:URL#MODEL policy:=learned

A real robot: detector, policy, orchestrator and the safety gate, the only node that commands the base
(docs/explanation/safety.md); with `skills`, also the executive that carries tasks out.
Without `dry_run:=false` the base receives zero. --show-args lists all arguments."""

from launch.actions import LogInfo

from rarrl_nodes import bringup
from rarrl_nodes.launch_actions import describe, graph_actions


def generate_launch_description():
    return describe(bringup.ARGUMENTS, _nodes, bringup.starts({}))


def _nodes(given):
    told = [LogInfo(msg=line) for line in bringup.notes(given)]
    return told + graph_actions(given, bringup.starts(given), reason="the supervisor has ended")
