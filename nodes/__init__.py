"""ROS 2 nodes, and the graphs that they form.

A node converts messages, calls the core in `rarrl` and publishes the result; it decides nothing itself.

Needs rclpy:
    the nodes (`*_node.py`) on their common base `lifecycle.py`; parameters (`params.py`); messages (`conversions.py`,
    `stereo_messages.py`, `sim_messages.py`, TF in `transforms.py`), and a table of what is read (`accepted.py`); the
    robot's side of decisions (`decision_client.py`); language models behind an action server (`llama_ros.py`).
    `executive_node.py` over the executive (`peers.py`, `sightings.py`, `skill_threads.py`, `task_action.py` are its
    parts), and skills of any robot (`skill_runner.py` over `skill_servers.py`; what it is told and tells in
    `skill_events.py`), by types that are known by name alone (`ros_types.py`), and what is wrong with them
    (`skill_check.py`). `supervisor.py` over `rarrl.supervision`, which `supervisor_node.py` starts; `heartbeat.py` is
    what all nodes send it.
Needs launch_ros:
    `launch_actions.py`, for the files in `launch/`.
Needs no ROS to import:
    graphs as data (`graph.py` for the replay, `bringup.py` for a real robot, `sim_graph.py` for the simulated one);
    `run.py` and `sim_run.py`, which run these graphs; `supervised.py`, a graph with its supervisor; `processes.py`,
    nodes as processes, which `nursery.py` forks for a supervisor; `children.py`,
    commands of ours beside a graph; `demo.py`, the settings of `rarrl demo`.
"""

import os
import signal
import sys
from pathlib import Path

from rarrl.resources.threads import cores, plan_threads

if sys.argv[:1] == ["-m"] or Path(sys.argv[0] if sys.argv else "").name.endswith("_node"):
    # This process will be a node: `python -m rarrl_nodes.NAME`, or its executable. Its imports take a second or two; a
    # signal meanwhile finds nothing to end in order. Afterwards `lifecycle.run_node` sets handlers of its own.
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, lambda *_: os._exit(0))
    plan_threads(cores())  # one of a graph's many processes
