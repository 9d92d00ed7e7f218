"""The simulated robot's graph as data, and its launch file: without ROS."""

import ast
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.config import GateConfig, config_from_flat
from rarrl.errors import InputError
from rarrl_nodes import graph, sim_graph
from rarrl_sim_envs.household.robot import drivers
from rarrl_sim_envs.household.scene import PITCH_RAD, T_BASE_LEFT

ROOT = Path(__file__).resolve().parents[2]


def start(name, **given):
    return next(s for s in sim_graph.starts(given) if s.node.name == name)


def test_the_robot_is_that_of_the_driver():
    gate = config_from_flat(start("safety_gate_node").parameters, "test").gate
    at_scan = {"sensor_x_m": float(T_BASE_LEFT[0, 3]), "sensor_y_m": float(T_BASE_LEFT[1, 3])}
    assert gate == drivers.GATE.model_copy(update={"rate_hz": GateConfig().rate_hz, **at_scan})
    detector = config_from_flat(start("stereo_voxel_node").parameters, "test").detector
    assert (detector.preset, detector.body_low_m) == (drivers.PRESET, drivers.BODY.low_m)
    assert math.radians(detector.camera_pitch_deg) == pytest.approx(PITCH_RAD)
    assert detector.camera_height_m == pytest.approx(T_BASE_LEFT[2, 3])


def test_all_settings_are_allowed_and_the_simulators_end_ends_all():
    starts = sim_graph.starts({})
    assert [s.node.name for s in starts if s.essential] == ["sim_robot_node"]
    for s in starts:
        config_from_flat(s.parameters, s.node.name)
        assert f'"{s.node.executable} = {s.node.module}:main"' in (ROOT / "setup.py").read_text("utf-8")


def test_a_configuration_wins_over_the_graph_and_arguments_over_both():
    settings = {"detector.quality": "fast", "detector.threads": 2, "policy.folder": "/p", "replay.speed": 5.0}
    nodes = {s.node.name: s.parameters for s in sim_graph.starts({"policy_folder": "/q"}, settings)}
    stereo, alone = nodes["stereo_voxel_node"], start("stereo_voxel_node").parameters
    assert stereo == alone | {"detector.quality": "fast", "detector.threads": 2} and alone["detector.threads"] == 1
    assert nodes["vla_policy_node"] == {"policy.folder": "/q"}
    assert {s.node.name: s.parameters for s in sim_graph.starts({}, settings)}["vla_policy_node"] == {
        "policy.folder": "/p"
    }
    assert not any("replay.speed" in parameters for parameters in nodes.values())


def test_the_policy_hears_the_executors_subgoal():
    assert start("orchestrator_node").remappings == [("subgoal", "orchestrator/subgoal")]
    assert start("vla_policy_node").remappings == []


def test_arguments_go_where_they_belong():
    given = {"missions": "3", "seed": "7", "policy": "always", "policy_folder": "/p", "run_dir": "/r", "people": "0"}
    sim = start("sim_robot_node", **given).parameters
    assert (sim["sim.missions"], sim["sim.seed"], sim["sim.people"], sim["run_dir"]) == (3, 7, 0, "/r")
    assert (
        sim["orchestrator.policy"] == start("orchestrator_node", **given).parameters["orchestrator.policy"] == "always"
    )
    assert start("vla_policy_node", **given).parameters == {"policy.folder": "/p"}
    assert Path(start("vla_policy_node").parameters["policy.gguf"]).is_file()
    assert start("orchestrator_node", policy="learned").parameters["orchestrator.policy"] == "household"
    assert start("orchestrator_node", reasoner="profile").parameters["orchestrator.reasoner"] == "profile"
    names = [a.name for a in sim_graph.ARGUMENTS]
    assert len(set(names)) == len(names) and all(a.description for a in sim_graph.ARGUMENTS)


@pytest.mark.parametrize("given", [{"missions": "many"}, {"people": "9"}, {"time_limit_s": "0"}])
def test_bad_texts_are_told_in_one_line(given):
    with pytest.raises(InputError, match=f"argument {next(iter(given))}: .* allowed"):
        sim_graph.starts(given)


def test_the_launch_file_is_thin():
    source = (ROOT / "launch" / "sim.launch.py").read_text("utf-8")
    functions = [n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    assert functions == ["generate_launch_description", "_nodes"] and len(source.splitlines()) < 60


def test_the_launch_file_makes_the_nodes():
    pytest.importorskip("launch_ros", reason="launch_ros is missing: it comes with a ROS 2 installation, not from PyPI")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(ROOT / "launch" / "sim.launch.py"))
    assert len(description.entities) == len(sim_graph.ARGUMENTS) + 2


@pytest.mark.parametrize("option", [["--category", "all"], ["--shock"], ["--speed", "2"]])
def test_options_of_the_replay_are_refused_in_simulation(option):
    result = CliRunner().invoke(app, ["run", "--sim", *option])
    assert result.exit_code == 2 and "not with --sim" in result.output


def test_the_topics_that_the_stereo_node_takes_are_the_robots():
    assert graph.stereo_remappings({}) == []  # left/ and right/, as sim_robot_node publishes them


def test_a_configuration_of_the_command_line_is_checked_before_anything_starts(tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    path = tmp_path / "robot.yaml"
    path.write_text("/**: {ros__parameters: {detector: {quality: best}}}")
    result = CliRunner().invoke(app, ["run", "--sim", "--config", str(path), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2 and "allowed: accurate, fast, quick" in result.stderr
    assert not (tmp_path / "run").exists()
