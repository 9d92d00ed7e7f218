"""SROS2's policy is that of the nodes as they are, and gives nobody more than he needs."""

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "security" / "rarrl.policy.xml"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("security_generate", ROOT / "security" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def enclaves():
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    return {enclave.get("path"): enclave.find("profiles/profile") for enclave in root.iter("enclave")}


def may(profile, tag, way):
    return {each.text for group in profile.findall(f"{tag}s[@{way}='ALLOW']") for each in group.findall(tag)}


def test_it_is_that_of_the_nodes(generate, capsys):
    assert generate.main(["--check"]) == 0, "run: python security/generate.py"
    assert "as the nodes are" in capsys.readouterr().out


def test_a_topic_that_is_added_is_noticed(generate, tmp_path, monkeypatch, capsys):
    page = tmp_path / "nodes.md"
    page.write_text(
        generate.NODES.read_text() + "\n## new_node\n\n| `a/b` | out | std_msgs/String | reliable | text |\n"
    )
    monkeypatch.setattr(generate, "NODES", page)
    assert generate.main(["--check"]) == 1
    assert "run python security/generate.py" in capsys.readouterr().out


def test_each_node_has_an_enclave_of_its_own(generate, enclaves):
    nodes = [part.splitlines()[0] for part in generate.NODES.read_text().split("\n## ")[1:]]
    assert set(enclaves) == {f"/rarrl/{node}" for node in (*nodes, "operator")}
    assert all(enclaves[f"/rarrl/{node}"].get("node") == node for node in nodes)


def test_nothing_is_allowed_by_a_wildcard(enclaves):
    names = [each.text for profile in enclaves.values() for tag in ("topic", "service") for each in profile.iter(tag)]
    assert names and not any("*" in name for name in names)


def test_the_gate_commands_the_base_and_the_operator_alone_instructs(enclaves):
    def publishers(topic):
        return {path for path, profile in enclaves.items() if topic in may(profile, "topic", "publish")}

    assert "/rarrl/safety_gate_node" in publishers("cmd_vel")
    assert not publishers("cmd_vel") & {"/rarrl/vla_policy_node", "/rarrl/orchestrator_node", "/rarrl/operator"}
    assert publishers("instruction") == {"/rarrl/operator"}
    assert publishers("decision") == {"/rarrl/orchestrator_node"}


def test_who_is_told_to_pause_is_asked_by_the_operator(enclaves):
    assert "~/pause" in may(enclaves["/rarrl/executive_node"], "service", "reply")
    assert "executive_node/pause" in may(enclaves["/rarrl/operator"], "service", "request")
