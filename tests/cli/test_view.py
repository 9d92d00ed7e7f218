"""`rarrl view`: what can be shown, and what is said of the rest; the whole command over a recording."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mission_fixtures import trace
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.events import EventWriter, RunEvent
from rarrl_learning.household.report.trace import save_trace

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"


def refused(*arguments):
    result = CliRunner().invoke(app, ["view", *map(str, arguments)])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
    return result.stderr


def test_what_cannot_be_shown(tmp_path):
    assert "does not exist (allowed: a run's folder" in refused(tmp_path / "nothing")
    assert "--policy: only with a run's log" in refused("--policy", "learned", tmp_path / "trace_a.npz")
    assert "--namespace: not with a recording" in refused("--namespace", "a", ROBOT)
    assert "--speed: only with a recording" in refused("--speed", "2")
    (tmp_path / "trace_a.npz").write_bytes(b"no trace")
    assert "mission trace" in refused(tmp_path / "trace_a.npz")
    (tmp_path / "a.mcap").write_bytes(b"no bag")
    assert "is no MCAP file" in refused(tmp_path / "a.mcap")


def test_a_run_without_an_end(tmp_path):
    header = RunEvent(policy="never", profile="household", seed=1, speed=1.0, date="2026", source="in_process")
    EventWriter(tmp_path, header).close()
    assert "holds no finished episode" in refused(tmp_path)


def shown(what, *arguments):
    """The first story and moment of `rarrl view`, and how it ended after Ctrl-C."""
    command = [sys.executable, "-m", "rarrl", "view", str(what), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        url = re.fullmatch(r"view: (http://127\.0\.0\.1:\d+/\?token=[\w-]{32})\n", child.stderr.readline())[1]
        found, name = {}, ""
        with urllib.request.urlopen(url.replace("/?", "/events?"), timeout=60) as stream:
            for line in stream:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    found.setdefault(name, json.loads(line[6:]))
                if {"story", "moment", "controls"} <= set(found):
                    break
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0, child.stderr.read()
    return found


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_missions_trace(tmp_path, as_folder):
    save_trace(tmp_path / "trace_learned_3.npz", trace())
    found = shown(tmp_path if as_folder else tmp_path / "trace_learned_3.npz", "--speed", "2")
    assert found["story"]["goal"] == "Put the mug on the shelf." and found["home"]["names"] == ["shelf", "sink"]
    assert found["controls"]["source"] == "a recorded mission of learned" and found["controls"]["recorded"]


def test_a_bag():
    pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
    assert shown(ROBOT)["controls"]["source"] == "the bag robot.mcap"
