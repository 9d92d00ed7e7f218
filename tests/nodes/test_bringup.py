"""The graph of a real robot: argument texts become typed parameters and remappings; the launch file is thin."""

import ast
import doctest
from pathlib import Path

import pytest

from rarrl.config import GateConfig, iter_fields
from rarrl.errors import InputError
from rarrl_nodes import bringup

ROOT = Path(__file__).resolve().parents[2]


ROBOT = {"skills": "robot:pyrobosim"}


def start(name, **given):
    (found,) = [s for s in bringup.starts(given) if s.node.name == name]
    return found


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(bringup).failed == 0


def test_without_arguments_the_robot_stands():
    assert start("safety_gate_node").parameters == {"dry_run": True}
    assert [(s.node.name, s.remappings) for s in bringup.starts({}) if s.remappings] == [
        ("safety_gate_node", [("cmd_vel", "cmd_vel_gated")]),
        ("orchestrator_node", [("subgoal", "orchestrator/subgoal")]),
    ], "the base hears the deadman alone, and the policy one publisher of subgoal, the executive"
    assert all(s.parameters == {} for s in bringup.starts({}) if s.node is not bringup.GATE)


def test_only_the_deadman_speaks_to_the_base_it_is_there_first_and_after_its_end_a_person_activates_it():
    moved = [
        s.node.name
        for s in bringup.starts({"cmd_vel": "/base/cmd_vel"})
        if ("cmd_vel", "/base/cmd_vel") in s.remappings
    ]
    assert moved == ["deadman_node"] == [bringup.starts({})[0].node.name]
    assert [s.node.name for s in bringup.starts({}) if s.by_person] == ["safety_gate_node"]
    assert not any(s.essential for s in bringup.starts({}))


def test_arguments_go_where_they_belong_with_their_types():
    given = {"dry_run": "false", "max_speed_mps": "1", "preset": "outdoor", "policy_folder": "123", "odometry": "False"}
    gate = start("safety_gate_node", **given).parameters
    assert gate == {"dry_run": False, "gate.max_speed_mps": 1.0, "gate.odometry": False}
    assert type(gate["gate.max_speed_mps"]) is float
    assert start("stereo_voxel_node", **given).parameters == {"detector.preset": "outdoor"}
    assert start("vla_policy_node", **given).parameters == {"policy.folder": "123"}
    assert start("orchestrator_node", token_budget="7").parameters == {"orchestrator.token_budget": 7.0}


def test_every_setting_of_the_gate_is_an_argument_and_no_name_is_taken_twice():
    names = [a.name for a in bringup.ARGUMENTS]
    assert {s.name for s in iter_fields(GateConfig)} <= set(names) and len(set(names)) == len(names)
    assert all(a.description for a in bringup.ARGUMENTS)


def test_topics_of_the_robot_are_remapped():
    gate = start("safety_gate_node", odom="/wheels", cmd_vel="/base", joint_states="/j")
    assert gate.remappings == [("cmd_vel", "cmd_vel_gated"), ("odom", "/wheels"), ("joint_states", "/j")]
    assert start("deadman_node", cmd_vel="/base").remappings == [("cmd_vel", "/base")]
    assert ("odom", "/wheels") in start("stereo_voxel_node", odom="/wheels", left="/l").remappings
    policy = start("vla_policy_node", policy_cameras="top=/l/image", joint_states="/j")
    assert policy.remappings == [("top/image", "/l/image"), ("proprio", "/j")]


@pytest.mark.parametrize(
    "given",
    [
        {"dry_run": "no"},
        {"max_speed_mps": "fast"},
        {"max_speed_mps": "1e9"},
        {"max_speed_mps": "nan"},
        {"policy_cameras": "top"},
        {"preset": "moon"},
        {"reasoner": "x" * 2000},
    ],
)
def test_bad_texts_are_told_in_one_line(given):
    with pytest.raises(InputError, match=f"argument {next(iter(given))}: .* allowed"):
        bringup.starts(given)


@pytest.mark.parametrize(
    ("given", "told", "untold"),
    [
        (
            {},
            ("Dry run: ", "Nothing here can drive", "comes with the package", "executive", "No language model"),
            "NO dry",
        ),
        ({"dry_run": "false"}, ("NO dry run", "Nothing here can drive"), "params_file"),
        ({"params_file": "/p.yaml"}, ("(unless params_file", "Nothing here can drive"), "NO dry run"),
        ({"policy_folder": "household", "reasoner": "llama"}, ("executive",), "Nothing here"),
        ({"reasoner": "llama"}, ("Nothing here",), "No language model"),
        ({"policy_folder": "tabletop"}, ("tabletop moves an arm (",), "comes with"),
        ({"policy_folder": "tabletop", "joints": "a,b"}, ("executive",), "Nothing here"),
        ({"policy_folder": "my_robot.policy:Mine"}, ("executive",), "Nothing here"),
        ({"policy_folder": "/no/such/folder"}, ("executive",), "Nothing here"),
        (ROBOT, ("/instruction", "No journal", "every step is carried out without asking"), "one of yours"),
        ({**ROBOT, "journal": "/j", "namespace": "/a/", "reasoner": "llama:m.gguf"}, ("/a/instruction",), "No journal"),
    ],
)
def test_what_the_start_says(given, told, untold):
    lines = bringup.notes(given)
    assert all(any(part in line for line in lines) for part in told)
    assert not any(untold in line for line in lines) and not any("\n" in line for line in lines)


def test_with_skills_the_executive_is_started_too():
    given = {**ROBOT, "policy": "never", "time_budget_s": "7", "horizon": "9"}
    executive = start("executive_node", **given).parameters
    assert executive["executive.skills"] == "robot:pyrobosim" and executive["executive.horizon"] == 9
    assert executive["orchestrator.time_budget_s"] == 7.0
    orchestrator = start("orchestrator_node", **given).parameters
    assert orchestrator["executive.skills"] == "robot:pyrobosim" and "executive.horizon" not in orchestrator
    assert orchestrator["orchestrator.policy"] == "never"
    assert "executive_node" not in [s.node.name for s in bringup.starts({})]


def test_the_executive_alone():
    alone = bringup.executive_starts(ROBOT)
    assert [(s.node.name, s.essential) for s in alone] == [("executive_node", False), ("orchestrator_node", False)]
    names = [a.name for a in bringup.EXECUTIVE_ARGUMENTS]
    assert len(set(names)) == len(names) and set(names) <= {a.name for a in bringup.ARGUMENTS}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "skills: none is given"),
        ({"world": "w.yaml"}, "without skills"),
        ({"skills": "s.yaml"}, "world: none is given"),
        ({"skills": "robot:pyrobosin"}, "did you mean 'pyrobosim'"),
        ({**ROBOT, "operator_policy": "/no/such.json"}, "/no/such.json"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_starts(given, says):
    with pytest.raises(InputError, match=says):
        bringup.executive_starts(given)


def test_every_node_may_take_simulated_time():
    assert all(s.parameters["use_sim_time"] is True for s in bringup.starts({"use_sim_time": "true"}))


def test_the_launch_file_is_thin():
    source = (ROOT / "launch" / "rarrl.launch.py").read_text("utf-8")
    functions = [n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    assert functions == ["generate_launch_description", "_nodes"] and len(source.splitlines()) < 60


def test_the_gate_is_installed():
    node = bringup.GATE
    assert f'"{node.executable} = {node.module}:main"' in (ROOT / "setup.py").read_text("utf-8")


def test_the_launch_file_makes_the_nodes():
    pytest.importorskip("launch_ros", reason="launch_ros is missing: it comes with a ROS 2 installation, not from PyPI")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(ROOT / "launch" / "rarrl.launch.py"))
    assert len(description.entities) == len(bringup.ARGUMENTS) + 2
