"""pip and colcon install everything that the code needs, under the names that the code uses."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import rarrl

ROOT = Path(__file__).resolve().parents[1]
MAPPED = {"rarrl_learning": "learning", "rarrl_nodes": "nodes", "rarrl_sim_envs": "sim_envs"}
EXECUTABLES = {"rarrl", *(path.stem for path in (ROOT / "nodes").glob("*_node.py"))}

# Looked up in github.com/ros/rosdistro at 8468e88 (22 August 2026).
RELEASED = [
    "rclpy",
    "action_msgs",
    "unique_identifier_msgs",
    "std_msgs",
    "std_srvs",
    "trajectory_msgs",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "sensor_msgs",
    "nav_msgs",
    "test_msgs",
    "lifecycle_msgs",
    "tf2_msgs",
    "tf2_ros_py",
    "rcl_interfaces",
    "ament_index_python",
    "launch",
    "launch_ros",
    "ros2launch",
]
"""Packages that both humble/distribution.yaml and jazzy/distribution.yaml release."""
ROSDEP_KEYS = [
    "python3-pydantic",
    "python3-matplotlib",
    "python3-opencv",
    "python3-numpy",
    "python3-rich",
    "python3-typer",
    "python3-yaml",
    "python3-pytest",
]
"""Keys of rosdep/python.yaml that name a package of Ubuntu 22.04 and of 24.04."""


def clean_environment() -> dict[str, str]:
    """Without the marks that the rclpy wheels leave for child processes."""
    return {k: v for k, v in os.environ.items() if k not in ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH")}


def folder_files(folder: Path, *suffixes: str) -> set[str]:
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.suffix in suffixes and "__pycache__" not in p.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of a copy of the source, built without the network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("rarrl", *MAPPED.values(), "launch", "config", "resource"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "src", source / "src", symlinks=True)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        out,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_every_module_under_its_installed_name(wheel):
    names = set(wheel.namelist())
    for package, folder in {"rarrl": "rarrl", **MAPPED}.items():
        expected = {f"{package}/{name}" for name in folder_files(ROOT / folder, ".py")}
        assert expected and expected <= names
    assert not [name for name in names if name.startswith(("learning/", "nodes/", "sim_envs/", "tests/"))]


def test_wheel_holds_the_data(wheel):
    names = set(wheel.namelist())
    expected = {"rarrl/py.typed"}
    for package, folder in {"rarrl": "rarrl", **MAPPED}.items():
        data = folder_files(ROOT / folder, ".json", ".jsonl", ".safetensors", ".gguf", ".yaml", ".html")
        expected |= {f"{package}/{name}" for name in data}
    assert len(expected) > 4 and expected <= names
    share = {name.split(".data/data/")[1] for name in names if ".data/data/" in name}
    assert {f"share/rarrl/launch/{p.name}" for p in (ROOT / "launch").glob("*.launch.py")} <= share
    assert {
        "share/ament_index/resource_index/packages/rarrl",
        "share/rarrl/package.xml",
        "share/rarrl/config/default.yaml",
        "share/rarrl/config/stereo_voxels.rviz",
    } <= share


INSTALLED = """
import importlib, sys
from pathlib import Path

modules = sys.argv[2:]
optional = ("torch", "stable_baselines3", "sb3_contrib", "rclpy", "tokenizers", "gguf", "mujoco", "launch", "llama_cpp")
for name in modules:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = error.name.split(".")[0]
        if package not in optional and not package.endswith(("_msgs", "_interfaces")):
            raise
    else:
        assert Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__

from rarrl.build import shipped_model
from rarrl.latency.profile import load_profile
from rarrl.policy.serve import MODELS, load_card
from rarrl_learning.reasoner.injection import load_corpus

assert shipped_model().is_relative_to(sys.argv[1]) and load_profile("groq-70b").records
assert load_card(MODELS / "policy_household") and len(load_corpus()) == 200

from rarrl.cli import main

sys.argv = ["rarrl", "replay", "--policy", "learned", "--episodes", "2", "--out", "runs"]
main()
"""


def test_wheel_installs_imports_and_runs_from_anywhere(wheel, tmp_path):
    site = tmp_path / "site"
    wheel.extractall(site)
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in wheel.namelist()
        if name.endswith(".py") and not name.endswith("__main__.py") and ".data/" not in name
    ]
    assert len(modules) > 200

    done = subprocess.run(
        [sys.executable, "-c", INSTALLED, site, *modules],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.glob("runs/**/events.jsonl")), "the installed copy plays no episodes"


def test_executables_point_at_functions_that_exist(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(name).decode())
    scripts = dict(parser["console_scripts"])
    assert set(scripts) == EXECUTABLES
    for target in scripts.values():
        module, function = target.split(":")
        package, _, rest = module.partition(".")
        path = ROOT / MAPPED.get(package, package) / rest.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert re.search(rf"^def {function}\(", source.read_text("utf-8"), re.MULTILINE), target


def test_versions_agree():
    package = ET.parse(ROOT / "package.xml").getroot()
    assert package.findtext("version") == rarrl.__version__
    assert re.search(rf"^## {re.escape(rarrl.__version__)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_package_xml_is_what_ros_tools_expect():
    package = ET.parse(ROOT / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("name") == "rarrl"
    assert package.findtext("export/build_type") == "ament_python"
    assert package.findtext("license") == "Apache-2.0"
    # catkin_pkg's own pattern for maintainer addresses.
    assert re.match(
        r"^[-a-zA-Z0-9_%+]+(\.[-a-zA-Z0-9_%+]+)*@[-a-zA-Z0-9%]+(\.[-a-zA-Z0-9%]+)*\.[a-zA-Z]{2,}$",
        package.find("maintainer").get("email"),
    )
    assert (ROOT / "resource" / "rarrl").is_file()


def test_rosdep_knows_every_key():
    """A key that it does not know ends `rosdep install` for all of them."""
    package = ET.parse(ROOT / "package.xml").getroot()
    keys = {element.text for element in package if element.tag.endswith("depend")}
    assert keys == {*RELEASED, *ROSDEP_KEYS}, "look new keys up in ros/rosdistro, and add them above"


def test_ros_packages_that_nodes_and_launch_files_import_are_declared():
    declared = {element.text for element in ET.parse(ROOT / "package.xml").getroot().iter("exec_depend")}
    used = set()
    for path in [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        used |= set(
            re.findall(
                r"^\s*(?:from|import) (rclpy|launch|launch_ros|rcl_interfaces|\w+_(?:msgs|srvs))\b",
                path.read_text("utf-8"),
                re.MULTILINE,
            )
        )
    optional = {"llama_msgs"}  # of llama_ros, imported where it is installed: nodes/llama_ros.py
    assert used - optional <= declared


def test_scripts_go_where_ros2_run_looks():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert parser["develop"]["script_dir"] == parser["install"]["install_scripts"] == "$base/lib/rarrl"


def test_launch_files_have_the_suffix_that_is_installed():
    assert [p.name for p in (ROOT / "launch").glob("*.py") if not p.name.endswith(".launch.py")] == []


@pytest.fixture(scope="module")
def requirements() -> list[str]:
    """Those of the installed distribution, e.g. `numpy>=1.23`, `torch<3; extra == "train"`."""
    found = requires("rarrl")
    assert found
    return found


def test_every_ros_wheel_is_pinned_and_kept_to_where_wheels_exist(requirements):
    ros = [r for r in requirements if r.startswith("ros-") and 'extra == "ros"' in r]
    assert len(ros) > 10
    for requirement in ros:
        assert re.match(r"^[a-z0-9-]+(\[fastrtps\])?==\d", requirement), requirement
        assert 'sys_platform == "linux"' in requirement and 'platform_machine == "x86_64"' in requirement
    base = [r for r in requirements if "extra ==" not in r]
    assert not [r for r in base if r.startswith(("ros", "torch", "launch", "stable"))]  # the base install is light
    assert not [r for r in requirements if re.match(r"launch\b", r)]  # an unrelated package on PyPI


def test_every_requirement_has_a_version_that_was_seen_to_work(requirements):
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line and not line.startswith("#")}
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")
        assert name in pinned, f"pin {name} in constraints.txt"
    assert "torch==2.13.0" in lines


def test_every_pin_is_for_the_oldest_python_too_or_says_that_it_is_not():
    """pip refuses all of an installation for one pin whose version is of newer Pythons alone."""
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        pin = re.fullmatch(r"([\w.-]+)==([^;\s]+)", line)
        try:
            found = metadata(pin[1]) if pin else None
        except PackageNotFoundError:
            continue
        if found and found["Version"].split("+")[0] == pin[2]:
            pythons = SpecifierSet(found.get("Requires-Python") or "")
            assert "3.10.12" in pythons, f'{line}; python_version >= "3.11", and another pin for 3.10'


def test_ci_and_make_agree():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("install", "demo", "test", "lint", "type", "format", "check", "clean"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make check" in (ROOT / ".ci" / "run").read_text("utf-8")
