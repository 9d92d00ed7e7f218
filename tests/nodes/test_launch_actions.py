"""Every launch file, executed: its nodes, parameters and remappings.

launch_ros comes with a ROS 2 installation and not from PyPI. Where it is missing, stand-ins that only keep their
arguments take its place, so that the launch files themselves still run."""

import importlib.util
import runpy
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from rarrl_nodes import bringup, graph, sim_graph
from rarrl_nodes.supervised import SupervisedGraph

ROOT = Path(__file__).resolve().parents[2]
SHARE = "/opt/rarrl/share"


class Kept:
    """Keeps what it was made with."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def __getattr__(self, name):
        return self.kwargs[name]


class Declared(Kept):
    pass


class Opaque(Kept):
    pass


class Context:
    """What is configured, as of a launch file that runs."""

    def __init__(self, configurations):
        self.launch_configurations = configurations


class NotFoundError(KeyError):
    pass


def find(package):
    raise NotFoundError(package)


@pytest.fixture
def execute(monkeypatch, tmp_path):
    """`execute("rarrl", dry_run="false")`: the actions of that launch file."""
    if importlib.util.find_spec("launch_ros") is not None:
        pytest.skip("launch_ros is installed: the launch files are tested with it in the tests of each graph")

    modules = {
        "launch": {"LaunchContext": Context, "LaunchDescription": list},
        "launch.actions": {
            "DeclareLaunchArgument": Declared,
            "LogInfo": Kept,
            "OpaqueFunction": Opaque,
            "SetEnvironmentVariable": Kept,
            "Shutdown": Kept,
        },
        "launch_ros": {},
        "launch_ros.actions": {"Node": Kept},
        "launch_ros.parameter_descriptions": {"ParameterValue": Kept},
        "ament_index_python": {},
        "ament_index_python.packages": {
            "PackageNotFoundError": NotFoundError,
            "get_package_prefix": find,
            "get_package_share_directory": lambda package: SHARE,
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "rarrl_nodes.launch_actions", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)

    def run(name, **given):
        source = runpy.run_path(str(ROOT / "launch" / f"{name}.launch.py"))
        remember, *declared, opaque = source["generate_launch_description"]()
        assert all(isinstance(d, Declared) for d in declared)
        context = Context(dict(given))
        assert remember.function(context) == []
        run.defaults = {d.args[0]: d.default_value for d in declared}
        assert set(given) <= set(run.defaults)
        context.launch_configurations.update(run.defaults | given)
        return opaque.function(context)

    yield run
    sys.modules.pop("rarrl_nodes.launch_actions", None)  # it holds the stand-ins


def nodes(actions):
    return [action for action in actions if "executable" in action.kwargs]


def supervised(actions):
    """What the supervisor among `actions` looks after, by name."""
    (supervisor,) = [node for node in nodes(actions) if node.executable == "supervisor_node"]
    return {node.name: node for node in SupervisedGraph.read(Path(values(supervisor)["graph"])).nodes}


def values(node):
    """Parameters by name, each with the type that launch is to read it as."""
    *_, typed = node.parameters
    assert all(value.value_type is type(value.args[0]) for value in typed.values())
    return {name: value.args[0] for name, value in typed.items()}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("replay", graph.ARGUMENTS),
        ("stereo_voxels", graph.STEREO_ARGUMENTS),
        ("vla_policy", graph.POLICY_ARGUMENTS),
        ("rarrl", bringup.ARGUMENTS),
        ("sim", sim_graph.ARGUMENTS),
    ],
)
def test_each_launch_file_declares_its_arguments_and_puts_all_nodes_into_the_namespace(execute, name, table):
    required = {"missions": "1"} if name == "sim" else {}
    made = nodes(execute(name, namespace="robot7", params_file="/p.yaml", **required))
    assert made
    assert {n.namespace for n in made} == {"robot7"}
    assert all(n.parameters[0] == "/p.yaml" and n.package == "rarrl" for n in made)
    assert "namespace" in {a.name for a in table}


def test_the_real_robot_stands_still_unless_it_is_allowed_to_drive(execute):
    def gate(**given):
        return supervised(execute("rarrl", **given))["safety_gate_node"]

    assert gate().parameters["dry_run"] is True
    assert gate(dry_run="false", cmd_vel="/base").parameters["dry_run"] is False
    assert gate(cmd_vel="/base").remappings == (("cmd_vel", "cmd_vel_gated"),)
    assert supervised(execute("rarrl", cmd_vel="/base"))["deadman_node"].remappings == (("cmd_vel", "/base"),)


@pytest.mark.parametrize(
    ("name", "essential", "by_person"), [("rarrl", [], ["safety_gate_node"]), ("sim", ["sim_robot_node"], [])]
)
def test_the_supervisor_starts_the_nodes_and_a_killed_one_is_started_again(execute, name, essential, by_person):
    made = execute(name, namespace="robot7", params_file="/p.yaml")
    (supervisor,) = nodes(made)
    assert supervisor.respawn and supervisor.executable == "supervisor_node" and values(supervisor)["manage"] is True
    assert supervisor.on_exit(Kept(returncode=-9), None) is None
    assert "has ended" in supervisor.on_exit(Kept(returncode=0), None).reason

    graph_file = SupervisedGraph.read(Path(values(supervisor)["graph"]))
    assert (graph_file.namespace, graph_file.params_file, graph_file.logs) == ("robot7", "/p.yaml", False)
    assert [node.name for node in graph_file.nodes if node.essential] == essential
    assert [node.name for node in graph_file.nodes if node.by_person] == by_person
    assert all(node.parameters["autostart"] is False for node in graph_file.nodes if not node.rule.guard)


def test_left_to_a_lifecycle_manager_the_launch_starts_the_nodes_and_the_supervisor_watches(execute):
    supervisor, *others = nodes(execute("rarrl", manage="false"))
    assert values(supervisor)["manage"] is False
    assert {node.executable for node in others} == {s.node.executable for s in bringup.starts({})}
    assert all(values(node)["autostart"] is False for node in others)
    assert [node.executable for node in others if "on_exit" in node.kwargs] == ["safety_gate_node"]
    assert all(node.respawn and node.respawn_delay > 0 for node in others if "on_exit" not in node.kwargs)


def test_the_replay_ends_with_either_node_and_keeps_texts_as_texts(execute):
    made = nodes(execute("replay", run_dir="123", episodes="2"))
    assert [n.executable for n in made] == ["orchestrator_node", "replay_node"]
    assert all("has ended" in n.on_exit.reason for n in made)
    assert values(made[1]) == {"run_dir": "123", "replay.episodes": 2}


def test_images_go_through_shared_memory_unless_the_environment_says_otherwise(execute, monkeypatch):
    assert execute("vla_policy")[0].args == ("FASTRTPS_DEFAULT_PROFILES_FILE", f"{SHARE}/config/fastdds_shm.xml")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/own.xml")
    assert execute("vla_policy")[0].args == ("FASTRTPS_DEFAULT_PROFILES_FILE", "/own.xml")


@pytest.mark.parametrize(
    ("name", "argument", "shown"),
    [
        ("rarrl", "dry_run", "true"),
        ("rarrl", "cmd_vel", "cmd_vel"),
        ("rarrl", "max_speed_mps", "0.5"),
        ("sim", "policy", "household"),
        ("sim", "time_limit_s", "240.0"),
        ("stereo_voxels", "preset", "indoor"),
        ("replay", "episodes", "20"),
        ("vla_policy", "use_sim_time", "false"),
    ],
)
def test_the_defaults_are_shown_and_do_not_win_over_a_parameter_file(execute, name, argument, shown):
    made = nodes(execute(name, params_file="/p.yaml"))
    assert execute.defaults[argument] == shown
    if name in ("stereo_voxels", "replay", "vla_policy"):
        assert all(values(node) == {} for node in made)


def test_a_default_that_is_typed_counts_as_given(execute):
    (detector,) = nodes(execute("stereo_voxels", preset="indoor"))
    assert values(detector) == {"detector.preset": "indoor"}


def test_without_rviz2_the_detector_runs_and_a_line_says_why(execute):
    made = execute("stereo_voxels", rviz="true")
    assert [n.executable for n in nodes(made)] == ["stereo_voxel_node"]
    assert any(a.kwargs.get("msg") == graph.NO_RVIZ for a in made)


def test_the_robot_s_launch_says_what_cannot_work(execute):
    told = [a.msg for a in execute("rarrl", dry_run="false") if "msg" in a.kwargs]
    assert told == bringup.notes({"dry_run": "false"}) and len(told) == 4


def test_rviz_opens_only_on_request(execute, monkeypatch):
    monkeypatch.setattr(sys.modules["ament_index_python.packages"], "get_package_prefix", lambda package: "/opt/ros")
    assert [n.executable for n in nodes(execute("stereo_voxels"))] == ["stereo_voxel_node"]
    detector, view = nodes(execute("stereo_voxels", rviz="true", left="/camera/left", preset="indoor"))
    assert view.executable == "rviz2"
    assert values(detector) == {"detector.preset": "indoor"}
    assert ("left/image_rect", "/camera/left/image_rect") in detector.remappings
    assert ("/left/image_rect", "/camera/left/image_rect") in view.remappings
