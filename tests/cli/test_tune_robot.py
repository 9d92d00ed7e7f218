"""`rarrl tune robot`, on small pictures and on a made-up slow computer."""

import json

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.config import load_config
from rarrl_learning.speed import measure
from rarrl_learning.speed.measure import WHOLE, Speed


def rarrl(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def tune(tmp_path, *arguments):
    """With the shortest measurement that there is."""
    out = ("--output", tmp_path / "robot.yaml", "--json", tmp_path / "robot.json")
    return rarrl("tune", "robot", "--size", "160x120", "--threads", "1", "--rounds", "2", *out, *arguments)


def test_settings_for_this_computer(tmp_path):
    done = tune(tmp_path, "--target-hz", "0.5", "--policy", "none")
    assert done.exit_code == 0, done.output
    assert "detector: quick" in done.stdout and "gate: a step" in done.stdout and "policy:" not in done.stdout
    config = load_config(tmp_path / "robot.yaml")
    assert (config.detector.quality, config.detector.threads, config.detector.target_hz) == ("accurate", 1, 0.5)
    results = json.loads((tmp_path / "robot.json").read_text())
    assert results["figures"]["kept_hz"]["value"] > 0.5 and len(results["tables"]["detector"]) == 3
    assert (tmp_path / "robot.yaml").read_text().startswith("# Written by `rarrl")


@pytest.fixture
def slow_computer(monkeypatch):
    """A pair takes 400 ms at least, twice that in real time; a chunk 10 ms."""

    def pairs(scenes, threads, rounds, progress):
        ms = {"accurate": 900.0, "fast": 600.0, "quick": 400.0}
        shrunk = scenes[0].rig.width / 160
        return {(name, n): Speed(shrunk * t / 2, shrunk * t, shrunk * t, 8) for name, t in ms.items() for n in threads}

    chunk = {(WHOLE, 1): Speed(10.0, 10.0, 10.0, 8), ("fast", 1): Speed(3.0, 3.0, 3.0, 8)}
    monkeypatch.setattr(measure, "detector_speeds", pairs)
    monkeypatch.setattr(measure, "policy_speeds", lambda *_: (chunk, InterfaceOf()))


class InterfaceOf:
    """What is needed of a policy's interface here."""

    control_hz = 10.0
    horizon = 16


def test_a_rate_that_cannot_be_kept_is_said_plainly_with_the_nearest(slow_computer, tmp_path):
    done = tune(tmp_path, "--target-hz", "10")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    for told in (
        "10 Hz cannot be kept on this computer; nearest: 2 Hz.",
        "Detector quick with 1 thread, policy whole with 1 thread",
        "The robot would stand: the gate needs scans younger than 0.4 s",
        "With pictures of 80x64 (the camera's binning) quick would keep 4 Hz.",
        "Other programs took the cores while this was measured: pairs took 2.0 times what they computed.",
    ):
        assert any(told in line for line in lines), told
    config = load_config(tmp_path / "robot.yaml")
    assert (config.detector.quality, config.detector.target_hz, config.policy.preset) == ("quick", 2.0, "")
    assert "# 10 Hz cannot be kept on this computer" in (tmp_path / "robot.yaml").read_text()


def test_the_policy_that_was_measured_is_the_one_that_is_set(slow_computer, tmp_path):
    assert tune(tmp_path, "--target-hz", "1", "--policy", "household").exit_code == 0
    assert load_config(tmp_path / "robot.yaml").policy.folder == "household"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tune", "robot", "--target-hz", "10", "--size", "640"), "--size: '640' is no size; allowed: WIDTHxHEIGHT"),
        (("tune", "robot", "--target-hz", "10", "--size", "10x10"), "64 to 8192 pixels"),
        (("tune", "robot", "--target-hz", "10", "--cube", "cellar"), "allowed: outdoor, indoor, near"),
        (("tune", "robot", "--target-hz", "10", "--output", "."), "--output: . is a folder"),
        (("tune", "robot", "--target-hz", "10", "--policy", "metawold"), "did you mean 'metaworld'"),
        (("tune", "robot", "--target-hz", "10", "--json", "."), "--json: . is a folder"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    done = rarrl(*arguments)
    assert done.exit_code == 2, done.output
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and told in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "ten"])
def test_a_rate_that_is_none_is_refused(rate):
    assert rarrl("tune", "robot", "--target-hz", rate).exit_code == 2
