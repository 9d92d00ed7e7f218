"""The file that tells a supervisor what to look after."""

import json

import pytest

from rarrl.errors import InputError
from rarrl.supervision.events import Rule
from rarrl_nodes import bringup, sim_graph
from rarrl_nodes.supervised import SupervisedGraph, SupervisedNode


def test_a_graph_is_read_as_it_was_written_and_is_nobody_elses_business(tmp_path):
    nodes = tuple(map(SupervisedNode.of, bringup.starts({"cmd_vel": "/base", "token_budget": "7"})))
    graph = SupervisedGraph(nodes, logs=False, namespace="robot7", params_file="/p.yaml")
    graph.write(tmp_path / "new" / "graph.json")
    assert SupervisedGraph.read(tmp_path / "new" / "graph.json") == graph
    assert (tmp_path / "new" / "graph.json").stat().st_mode & 0o777 == 0o600


def test_nodes_are_activated_by_the_supervisor_and_the_deadman_is_there_for_good():
    nodes = {start.node.part: SupervisedNode.of(start) for start in bringup.starts({})}
    assert [part for part, node in nodes.items() if "autostart" not in node.parameters] == ["deadman"]
    assert all(node.parameters.get("autostart") is not True for node in nodes.values())
    assert nodes["deadman"].rule == Rule("deadman_node", "deadman", guard=True)
    assert nodes["gate"].rule == Rule("safety_gate_node", "gate", by_person=True)

    robot = next(SupervisedNode.of(start) for start in sim_graph.starts({}) if start.essential)
    assert robot.rule.silent_s > nodes["gate"].rule.silent_s, "a simulator that builds a home is silent meanwhile"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"nodes": []}', '{"nodes": [{"name": "a"}]}', '{"nodes": 3, "x": 1}']
)
def test_a_file_that_is_no_graph_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "graph.json").write_text(text)
    with pytest.raises(InputError, match="it is no graph of a supervisor") as error:
        SupervisedGraph.read(tmp_path / "graph.json")
    assert "\n" not in str(error.value)


def test_an_unknown_key_and_a_missing_file_are_refused(tmp_path):
    node = {"name": "a", "module": "b", "part": "c", "essential": False, "by_person": False, "silent_s": 1.0}
    text = json.dumps({"nodes": [{**node, "parameters": {}, "remappings": []}], "colour": "red"})
    (tmp_path / "graph.json").write_text(text)
    with pytest.raises(InputError, match="colour"):
        SupervisedGraph.read(tmp_path / "graph.json")
    with pytest.raises(InputError, match=r"none\.json"):
        SupervisedGraph.read(tmp_path / "none.json")


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").touch()
    nodes = tuple(map(SupervisedNode.of, bringup.starts({})))
    with pytest.raises(InputError, match="cannot write to"):
        SupervisedGraph(nodes).write(tmp_path / "file" / "graph.json")
