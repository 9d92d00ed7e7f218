"""`rarrl doctor`: the right finding for each state of a machine, and a way out of each fault."""

import os
import subprocess
import sys

import pytest

from rarrl import doctor

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


@pytest.mark.parametrize(
    ("version", "libraries", "status", "says"),
    [
        ("3.3.0", {"EGL": "libEGL.so.1"}, "ok", "EGL"),
        ("3.3.0", {"OSMesa": "libOSMesa.so.8"}, "ok", "OSMesa"),
        ("3.3.0", {}, "warn", "neither"),
        (None, {"EGL": "libEGL.so.1"}, "warn", "not installed"),
    ],
)
def test_simulation(version, libraries, status, says):
    check = doctor.check_simulation({"mujoco": version}.get, libraries.get)
    assert (check.status, says in check.detail) == (status, True)


def test_the_language_model_is_optional():
    assert doctor.check_language_model({"llama-cpp-python": "0.3.36"}.get).status == "ok"
    missing = doctor.check_language_model({}.get)
    assert missing.status == "warn" and "rarrl[llama]" in missing.fix


def test_shipped_files(tmp_path):
    (tmp_path / "data" / "profiles").mkdir(parents=True)
    (tmp_path / "models" / "m").mkdir(parents=True)
    assert doctor.check_shipped(tmp_path).status == "fail"
    for name in ("data/profiles/p.json", "data/alfred_statistics.json", "models/m/card.json"):
        (tmp_path / name).touch()
    assert doctor.check_shipped(tmp_path).detail == "missing: weights of m"
    (tmp_path / "models/m/weights.safetensors").touch()
    assert doctor.check_shipped(tmp_path).status == "ok"
    (tmp_path / "models/m/weights.safetensors").unlink()
    (tmp_path / "models/m/card.json").write_text('{"weights": {"bias": 1.0}}')
    assert doctor.check_shipped(tmp_path).status == "ok"


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

    assert "rarrl demo --quick" in summary() and "rarrl demo," not in summary() and "rarrl train" in summary()
    assert "rarrl demo --quick" not in summary(rclpy="warn")
    able = {"MuJoCo": "ok", "llama.cpp": "ok"}
    assert "rarrl demo," in summary(**able) and "rarrl demo," not in summary(**{**able, "MuJoCo": "warn"})
    assert "rarrl train" not in summary(training="warn")
    assert "nothing yet" in summary(**{"core packages": "fail"})


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
