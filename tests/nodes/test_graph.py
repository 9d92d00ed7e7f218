"""The launch table: argument texts become typed parameters; the launch file is as thin as it claims."""

import ast
import doctest
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from rarrl import diagnostics
from rarrl.config import Config, config_from_flat, iter_fields
from rarrl.errors import InputError
from rarrl_nodes import graph

ROOT = Path(__file__).resolve().parents[2]
ORCHESTRATOR, REPLAY = graph.NODES


@pytest.mark.parametrize("module", [diagnostics, graph])
def test_the_examples_in_the_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_every_setting_is_an_argument_with_a_description():
    sections = {section for node in graph.NODES for section in node.sections}
    settings = {spec.name for spec in iter_fields(Config) if spec.name.partition(".")[0] in sections}
    assert {a.parameter for a in graph.ARGUMENTS if a.spec} == settings
    assert len({a.name for a in graph.ARGUMENTS}) == len(graph.ARGUMENTS)
    assert all(a.description for a in graph.ARGUMENTS)


def test_arguments_go_to_the_nodes_that_take_them_with_their_types():
    given = {"policy": "always", "seed": "7", "speed": "50", "run_dir": "123", "namespace": "x", "episodes": ""}
    assert graph.parameters(ORCHESTRATOR, given) == {"orchestrator.policy": "always"}
    replayed = graph.parameters(REPLAY, given)
    assert replayed == {
        "orchestrator.policy": "always",
        "replay.seed": 7,
        "replay.speed": 50.0,
        "run_dir": "123",
    }
    assert [type(v) for v in replayed.values()] == [str, int, float, str]


@pytest.mark.parametrize(
    "given",
    [
        {"episodes": "abc"},
        {"episodes": "0"},
        {"speed": "nan"},
        {"seed": "1.5"},
        {"category": "Dancing"},
        {"speed": "1e9"},
    ],
)
def test_bad_texts_are_told_in_one_line(given):
    with pytest.raises(InputError, match=f"argument {next(iter(given))}: .* allowed"):
        graph.parameters(REPLAY, given)


@pytest.mark.parametrize("policy", ["never", 'risk_table:{"verify": 1}', "yes", "123", "a: b # c", "\\ \" ' ü"])
def test_parameter_files_give_back_what_went_in(policy):
    parameters = {"orchestrator.policy": policy, "replay.speed": 5.0, "replay.seed": 3, "shock": True}
    text = graph.to_params_file(parameters)
    assert yaml.safe_load(text) == {"/**": {"ros__parameters": parameters}}


def test_the_defaults_are_the_configurations():
    assert config_from_flat(graph.parameters(REPLAY, {}), "test") == Config()


def test_executables_are_installed():
    setup = (ROOT / "setup.py").read_text("utf-8")
    for node in (*graph.NODES, graph.STEREO, graph.POLICY):
        assert f'"{node.executable} = {node.module}:main"' in setup


def test_the_launch_file_is_thin():
    source = (ROOT / "launch" / "replay.launch.py").read_text("utf-8")
    functions = [n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    assert functions == ["generate_launch_description", "_nodes"] and len(source.splitlines()) < 60


def test_the_launch_file_makes_the_nodes():
    pytest.importorskip("launch_ros", reason="launch_ros is missing: it comes with a ROS 2 installation, not from PyPI")
    from launch.actions import DeclareLaunchArgument
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    from launch import LaunchContext

    description = get_launch_description_from_python_launch_file(str(ROOT / "launch" / "replay.launch.py"))
    context = LaunchContext()
    description.entities[0].visit(context)
    declared = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
    assert [e.name for e in declared] == [a.name for a in graph.ARGUMENTS]
    for entity in declared:
        entity.visit(context)
    nodes = description.entities[-1].visit(context)
    assert [n.node_executable for n in nodes] == [n.executable for n in graph.NODES]


def test_the_stereo_launch_file_is_thin_and_its_profile_is_there():
    source = (ROOT / "launch" / "stereo_voxels.launch.py").read_text("utf-8")
    functions = [n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    assert functions == ["generate_launch_description", "_nodes"] and len(source.splitlines()) < 60
    assert set(graph.STEREO.sections) <= set(Config.model_fields)
    profile = ElementTree.parse(ROOT.joinpath(*graph.FASTDDS_PROFILE)).getroot()
    sizes = [int(e.text) for e in profile.iter() if e.tag.endswith("segment_size")]
    assert sizes == [32 * 2**20]


def test_the_policy_launch_file_is_thin_and_its_arguments_are_the_policys_settings():
    source = (ROOT / "launch" / "vla_policy.launch.py").read_text("utf-8")
    functions = [n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    assert functions == ["generate_launch_description", "_nodes"] and len(source.splitlines()) < 60
    settings = {spec.name for spec in iter_fields(Config) if spec.name.startswith("policy.")}
    assert {a.parameter for a in graph.POLICY_ARGUMENTS if a.spec} == {*settings, graph.USE_SIM_TIME}
    given = {"control_hz": "10", "blend_rows": "3", "folder": "123"}
    assert graph.parameters(graph.POLICY, given, graph.POLICY_ARGUMENTS) == {
        "policy.control_hz": 10.0,
        "policy.blend_rows": 3,
        "policy.folder": "123",
    }


def test_the_view_shows_topics_that_are_there():
    view = yaml.safe_load(ROOT.joinpath(*graph.RVIZ_CONFIG).read_text("utf-8"))["Visualization Manager"]
    topics = {d["Topic"]["Value"]: d for d in view["Displays"] if "Topic" in d}
    assert set(topics) == {f"/{name}" for name in graph.RVIZ_TOPICS}
    source = (ROOT / "nodes" / "stereo_voxel_node.py").read_text("utf-8")
    for name in ("voxels", "scan", "occupancy"):
        assert f'"{name}"' in source
    assert topics["/occupancy"]["Topic"]["Durability Policy"] == "Transient Local"
    assert topics["/left/image_rect"]["Topic"]["Reliability Policy"] == "Best Effort"
    assert topics["/voxels"]["Channel Name"] == "probability"
    assert view["Global Options"]["Fixed Frame"] == "base_link"


def test_the_view_is_pointed_at_what_was_remapped():
    assert graph.rviz_remappings({}) == []
    assert dict(graph.rviz_remappings({"namespace": "/r", "right": "eye"})) == {
        "/voxels": "/r/voxels",
        "/scan": "/r/scan",
        "/occupancy": "/r/occupancy",
        "/left/image_rect": "/r/left/image_rect",
        "/right/image_rect": "/r/eye/image_rect",
    }


def test_cameras_are_remapped_where_they_are_named():
    assert graph.stereo_remappings({"left": "", "right": ""}) == []
    assert graph.stereo_remappings({"right": "/r/"}) == [
        ("right/image_rect", "/r/image_rect"),
        ("right/camera_info", "/r/camera_info"),
    ]


def test_the_stereo_launch_file_makes_the_node():
    pytest.importorskip("launch_ros", reason="launch_ros is missing: it comes with a ROS 2 installation, not from PyPI")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(ROOT / "launch" / "stereo_voxels.launch.py"))
    assert len(description.entities) == len(graph.STEREO_ARGUMENTS) + 1
