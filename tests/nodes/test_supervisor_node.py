"""supervisor_node over real processes: the replay graph, with a robot that never finishes."""

import os
import signal

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from diagnostic_msgs.msg import DiagnosticArray

from rarrl_nodes.graph import NODES, Start
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.processes import began, recorded
from rarrl_nodes.supervised import GRAPH_FILE, SupervisedGraph, SupervisedNode
from rarrl_nodes.supervisor import SupervisorNode

ORCHESTRATOR, REPLAY = NODES
WAIT_S = 60.0


class Graph:
    """The folder of a supervised graph, and what was heard of it."""

    def __init__(self, ear, namespace, folder, **parameters):
        self.ear, self.folder = ear, folder
        self.modes = []
        self.ear.node.create_subscription(
            DiagnosticArray, "mode", lambda msg: self.modes.append(msg.status[0].message), LATCHED
        )
        starts = [
            Start(ORCHESTRATOR, {"orchestrator.policy": "never", **parameters}, []),
            Start(REPLAY, {"replay.episodes": 100_000, "replay.speed": 1.0}, [], essential=True),
        ]
        nodes = tuple(map(SupervisedNode.of, starts))
        SupervisedGraph(nodes, namespace=namespace).write(folder / GRAPH_FILE)
        self.parameters = {"graph": str(folder / GRAPH_FILE)}

    def pid(self, node):
        return recorded(self.folder)[node]["pid"]

    def until(self, *words):
        assert self.ear.until(lambda: self.modes and all(word in self.modes[-1] for word in words), WAIT_S), self.modes


@pytest.fixture
def graph(ear, namespace, tmp_path):
    graph = Graph(ear, namespace, tmp_path)
    yield graph
    for entry in recorded(tmp_path).values():
        if entry["pid"] and entry["began"] and began(entry["pid"]) == entry["began"]:
            os.kill(entry["pid"], signal.SIGKILL)


def test_what_dies_or_hangs_is_restarted_and_the_next_supervisor_takes_over(graph, process):
    first = process("supervisor_node", graph.parameters)
    graph.until("normal")

    for number in (signal.SIGKILL, signal.SIGSTOP):
        before = graph.pid("orchestrator_node")
        os.kill(before, number)
        graph.until("best rule: no orchestrator", "killed" if number is signal.SIGKILL else "stopped by a signal")
        graph.until("normal: orchestrator is back after")
        assert graph.pid("orchestrator_node") != before and began(before) is None

    pids = {node.name: graph.pid(node.name) for node in NODES}
    graph.modes.clear()
    first.kill()
    first.wait()
    assert all(began(pid) for pid in pids.values()), "the nodes go on"
    second = process("supervisor_node", graph.parameters)
    graph.until("normal")
    assert {node.name: graph.pid(node.name) for node in NODES} == pids, "none was started twice"

    second.send_signal(signal.SIGINT)
    assert second.wait(WAIT_S) == 0 and not any(began(pid) for pid in pids.values())


def test_a_node_that_cannot_be_configured_is_given_up_after_three_tries(ear, namespace, process, tmp_path):
    graph = Graph(ear, namespace, tmp_path, **{"orchestrator.profile": "nonesuch"})
    supervisor = process("supervisor_node", {**graph.parameters, "end_if_given_up": True})
    assert ear.until(lambda: supervisor.poll() is not None, WAIT_S)
    assert supervisor.returncode == 2
    assert "rarrl: orchestrator_node: cannot configure: " in supervisor.log.read_text()
    assert "nonesuch" in supervisor.log.read_text()


def test_without_a_graph_it_says_what_is_missing(local_node):
    from rarrl.errors import InputError

    with pytest.raises(InputError, match="parameter graph of supervisor_node"):
        local_node(SupervisorNode)
