"""Supervision of processes and the following of logs, with small programs in place of nodes: no ROS needed."""

import json
import os
import signal
import time

import pytest

from rarrl.errors import InputError, RarrlError
from rarrl_nodes import processes as node_processes
from rarrl_nodes import run
from rarrl_nodes.processes import (
    RECORD,
    Processes,
    began,
    environment_for,
    is_halted,
    still_running,
    waited_s,
)
from rarrl_nodes.run import LineTail, Tail

ROS_VARIABLES = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_DISTRO")

PROGRAMS = {
    "waits": """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
print("ready", flush=True)
time.sleep(60)
""",
    "deaf": """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
""",
    "refuses": """
import sys
print("rarrl: config: speed is not allowed")
sys.exit(2)
""",
    "breaks": "raise SystemExit('first\\nlast words')",
    "prints": "import sys; print(' '.join(sys.argv[1:]))",
}


@pytest.fixture
def processes(tmp_path):
    """Processes in a folder of their own, with PROGRAMS as modules."""
    modules = tmp_path / "modules"
    modules.mkdir()
    for name, text in PROGRAMS.items():
        (modules / f"{name}.py").write_text(text)
    with Processes(tmp_path / "run", {**os.environ, "PYTHONPATH": str(modules)}) as processes:
        yield processes


def output(tmp_path, name):
    return (tmp_path / "run" / f"{name}.log").read_text()


def until(condition, timeout_s=20.0):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_a_line_counts_once_it_is_complete(tmp_path):
    tail = LineTail(tmp_path / "log")
    assert tail.new_lines() == []

    (tmp_path / "log").write_bytes(b"one\ntw")
    assert tail.new_lines() == [b"one"]
    assert tail.new_lines() == []

    with (tmp_path / "log").open("ab") as stream:
        stream.write(b"o\nthree\n")
    assert tail.new_lines() == [b"two", b"three"]


def test_finished_episodes_are_counted(tmp_path):
    tail = Tail(tmp_path / "events.jsonl")
    (tmp_path / "events.jsonl").write_text('{"type": "act"}\n{"type": "end"}\n{"type": "end"')
    assert tail.advanced()
    assert tail.episodes == 1
    assert not tail.advanced()


def test_a_growing_log_is_a_sign_of_life(tmp_path):
    log = tmp_path / "events.jsonl"
    tail = Tail(log)
    tail.heard = -100.0
    assert not tail.advanced()
    assert tail.heard == -100.0, "nothing was written"
    log.write_text('{"type": "think"}\n')
    assert not tail.advanced()
    assert tail.heard > -100.0, "a call is a sign of life, though no episode is over"


def test_a_run_may_be_quiet_for_as_long_as_a_decision_takes():
    assert run.quiet_s(speed=500.0, time_budget_s=16.0, live_s=0.0) < 2 * run.START_S
    assert run.quiet_s(speed=20.0, time_budget_s=120.0, live_s=0.0) < 100.0
    live = run.quiet_s(speed=20.0, time_budget_s=3600.0, live_s=3600.0)
    assert live > 3600.0 + run.START_S, "a live call takes real seconds, whatever the speed"


def test_parameters_and_remappings_reach_the_process(processes, tmp_path):
    processes.start("node", "prints", {"replay.speed": 5.0}, [("odom", "/wheels")])
    processes.check_ended_well("node")
    params = tmp_path / "run" / "node.params.yaml"
    assert output(tmp_path, "node").split() == ["--ros-args", "--params-file", str(params), "-r", "odom:=/wheels"]
    assert "replay.speed: 5.0" in params.read_text() and params.stat().st_mode & 0o777 == 0o600


def test_stop_ends_with_sigint_and_kills_what_does_not_react(processes, tmp_path, monkeypatch):
    monkeypatch.setattr(node_processes, "GRACE_S", 0.5)
    for name in ("waits", "deaf"):
        processes.start(name, name, {})
        until(lambda name=name: "ready" in output(tmp_path, name))
    assert processes.running("waits")
    assert processes.stop() == {"waits": 0, "deaf": -signal.SIGKILL}
    assert not processes.running("waits")


def test_a_node_that_refuses_its_input_is_quoted_and_one_that_breaks_is_described(processes, tmp_path):
    processes.start("refuses", "refuses", {})
    with pytest.raises(InputError, match=r"^config: speed is not allowed$"):
        processes.check_ended_well("refuses")

    processes.start("breaks", "breaks", {})
    with pytest.raises(RarrlError, match=r"breaks ended with exit status 1; .*first \| last words"):
        processes.check_ended_well("breaks")

    processes.start("waits", "waits", {})
    processes.check_alive("waits")
    processes.kill("waits")
    with pytest.raises(RarrlError, match="waits was killed by SIGKILL"):
        processes.check_alive("waits")


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to"):
        Processes(tmp_path / "file", {}).start("node", "prints", {})


def test_a_graph_stays_on_this_machine_in_a_domain_of_its_own(monkeypatch):
    for name in ROS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    environment, domain = environment_for(None)
    assert 1 <= domain <= 100
    assert environment["ROS_DOMAIN_ID"] == str(domain)
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"

    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert environment_for(None)[0]["ROS_LOCALHOST_ONLY"] == "1"

    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "0")
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    environment, domain = environment_for(None)
    assert (domain, environment["ROS_LOCALHOST_ONLY"]) == (42, "0")
    assert environment_for(9)[1] == 9


@pytest.mark.parametrize("text", ["233", "-1", "robot"])
def test_a_domain_that_does_not_exist_is_refused(monkeypatch, text):
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    with pytest.raises(InputError, match="ROS_DOMAIN_ID"):
        environment_for(None)


LINUX = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="processes of others are held by Linux's pidfd")


def test_those_that_have_ended_are_told_once_with_how(processes):
    processes.start("refuses", "refuses", {})
    pid = processes.start("waits", "waits", {})
    ended = []
    until(lambda: ended.extend(processes.take_ended()) or ended)
    assert [(name, status, how) for name, _, status, how in ended] == [("refuses", 2, "config: speed is not allowed")]
    assert processes.take_ended() == []
    processes.kill_at_once("waits")
    until(lambda: ended.extend(processes.take_ended()) or len(ended) == 2)
    assert ended[-1] == ("waits", pid, -signal.SIGKILL, "was killed by SIGKILL")


@LINUX
def test_what_outlives_its_parent_is_found_again_by_number_and_birth(processes, tmp_path):
    modules = {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}
    folder = tmp_path / "run"
    first = Processes(folder, modules, outlive=True)
    pid = first.start("waits", "waits", {})
    until(lambda: "ready" in output(tmp_path, "waits"))
    assert still_running(folder) == {"waits": pid}

    second = Processes(folder, modules, outlive=True)
    assert second.adopt("waits", pid) and second.running("waits")
    assert not second.adopt("nobody", 2**22 - 1)
    assert second.stop() == {"waits": -signal.SIGKILL}, "its real status is its parent's to know"
    assert first.take_ended() == [("waits", pid, 0, "ended with exit status 0")]
    assert still_running(folder) == {}


@LINUX
def test_a_record_of_a_number_that_belongs_to_another_process_by_now_is_no_process_of_ours(tmp_path):
    entry = {"pid": os.getpid(), "began": 1, "status": None}
    (tmp_path / RECORD).write_text(json.dumps({"gate": entry}))
    assert still_running(tmp_path) == {}
    (tmp_path / RECORD).write_text(json.dumps({"gate": {**entry, "began": began(os.getpid())}}))
    assert still_running(tmp_path) == {"gate": os.getpid()}
    for text in ("", "[]", '{"gate": 3}', '{"gate": {"pid": 1}}'):
        (tmp_path / RECORD).write_text(text)
        assert still_running(tmp_path) == {}


@LINUX
def test_a_process_that_a_signal_has_stopped_is_seen_to_be(processes):
    pid = processes.start("waits", "waits", {})
    assert not is_halted(pid) and waited_s(pid) >= 0.0
    os.kill(pid, signal.SIGSTOP)
    until(lambda: is_halted(pid))
    os.kill(pid, signal.SIGCONT)
    until(lambda: not is_halted(pid))
    assert not is_halted(2**22 - 1) and waited_s(2**22 - 1) == 0.0
