"""All findings of a machine, and what follows from them."""

import os
import subprocess
import sys

from rarrl.cli import app
from rarrl.doctor import Check, Status, core, diagnosis


def test_what_runs_follows_from_the_rest():
    def summary(**status: Status) -> str:
        states = {
            "Python": "ok",
            "core packages": "ok",
            "shipped files": "ok",
            "rclpy": "ok",
            "training": "ok",
        } | status
        return diagnosis.what_runs(tuple(Check(name, state, "") for name, state in states.items())).detail

    assert "demo --quick" in summary().partition("Not:")[0] and "Not: " not in summary()
    assert summary(rclpy="warn").endswith("the nodes and launch files (needs rclpy)")
    assert "demo (needs MuJoCo)" in summary(MuJoCo="warn")
    assert "run --sim (needs rclpy, MuJoCo)" in summary(MuJoCo="warn", rclpy="fail")
    assert "train orchestrator (needs training)" in summary(training="warn")
    assert "nothing yet" in summary(**{"core packages": "fail"}) and "nothing yet" in summary(imports="fail")


def test_what_runs_names_every_command():
    named = {command.split()[0] for command, _ in diagnosis.COMMANDS} | {"doctor"}
    groups = {info.name for info in (*app.registered_commands, *app.registered_groups)}
    assert groups - named == {"alfred"}  # for those who have the data set


def test_diagnosis_of_this_machine(tmp_path):
    checks = diagnosis.diagnose(tmp_path)
    assert checks[0].name == "Python"
    assert checks[0].status == "ok"
    for check in checks:
        assert "\n" not in check.detail + check.fix
        assert (check.fix == "") or check.status != "ok"


def test_it_prints_without_any_other_package(tmp_path):
    command = [sys.executable, "-S", "-m", "rarrl.doctor"]
    environment = {**os.environ, "PYTHONPATH": str(core.PACKAGE_DIR.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1 and done.stderr == ""
    assert "\nfail  core packages  numpy is missing" in done.stdout and "-> pip install" in done.stdout
