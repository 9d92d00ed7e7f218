"""ros2 launch rarrl executive.launch.py skills:=skills.yaml world:=world.yaml reasoner:=openai:URL#MODEL

A robot whose skills are served by others: the executive that carries tasks out with them, and the orchestrator that
decides when it thinks. No cameras, no detector, no gate. --show-args lists all arguments."""

from launch.actions import LogInfo

from rarrl_nodes import bringup
from rarrl_nodes.launch_actions import describe, graph_actions


def generate_launch_description():
    return describe(bringup.EXECUTIVE_ARGUMENTS, _nodes)


def _nodes(given):
    told = [LogInfo(msg=line) for line in bringup.executive_notes(given)]
    return told + graph_actions(given, bringup.executive_starts(given), reason="the supervisor has ended")
