"""Nodes that are forked: they are what a Python process of their own would be, and are told apart when they end."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rarrl_nodes import nursery as nursery_module
from rarrl_nodes.nursery import Nursery, NurseryLostError
from rarrl_nodes.processes import Processes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="nodes are forked on Linux (5.3) alone")

NODE = """
import json, os, signal, sys, time
sys.stdout.reconfigure(line_buffering=True)

def main():
    print(json.dumps({"argv": sys.argv[1:], "loaded": "numpy" in sys.modules,
                      "threads": len(os.listdir("/proc/self/task")), "session": os.getsid(0) == os.getpid()}))
    if sys.argv[-1] == "fail":
        raise RuntimeError("on purpose")
    if sys.argv[-1] == "stay":
        time.sleep(60)
    return int(sys.argv[-1])

if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "a_node.py").write_text(NODE)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def nursery(environment):
    made = Nursery.spawn(environment)
    yield made
    made.close()


def ended(descriptor, within_s=60.0):
    return bool(select.select([descriptor], [], [], within_s)[0])


def said(path, within_s=60.0):
    until = time.monotonic() + within_s
    while not path.read_text() and time.monotonic() < until:
        time.sleep(0.01)
    return path.read_text()


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


def start(nursery, tmp_path, word, log="log"):
    with (tmp_path / log).open("ab") as stream:
        pid, descriptor = nursery.start("a_node", ["b", word], stream.fileno())
    return pid, descriptor


def test_a_forked_node_is_a_process_of_its_own_that_shares_what_was_loaded(nursery, tmp_path):
    pid, descriptor = start(nursery, tmp_path, "3")
    assert ended(descriptor)
    assert nursery.status(pid) == 3
    assert (tmp_path / "log").read_text() == ('{"argv": ["b", "3"], "loaded": true, "threads": 1, "session": true}\n')


def test_where_programs_are_traced_ros_is_loaded_after_the_fork(monkeypatch, tmp_path):
    monkeypatch.setattr(nursery_module, "TRACES", (str(tmp_path),))
    (tmp_path / "lttng-ust-sock-8").touch()
    assert not nursery_module.is_traced(), "no socket"
    (tmp_path / "lttng-ust-sock-8").unlink()
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "lttng-ust-sock-8"))
        assert nursery_module.is_traced()


def test_ps_tells_nodes_apart(nursery, tmp_path):
    pid, _ = start(nursery, tmp_path, "stay")
    said(tmp_path / "log")
    assert Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")[1:] == [b"-m", b"a_node", b"b", b"stay"]
    assert Path(f"/proc/{pid}/comm").read_text() == "a_node\n"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0), (signal.SIGINT, 0)]
)
def test_how_a_node_ended_is_told(nursery, tmp_path, number, status):
    pid, descriptor = start(nursery, tmp_path, "stay")
    said(tmp_path / "log")
    os.kill(pid, number)
    assert ended(descriptor)
    assert nursery.status(pid) == status


def test_an_exception_ends_a_node_as_it_would_end_python(nursery, tmp_path):
    pid, descriptor = start(nursery, tmp_path, "fail")
    assert ended(descriptor)
    assert nursery.status(pid) == 1
    assert "RuntimeError: on purpose" in (tmp_path / "log").read_text()


def test_statuses_that_come_meanwhile_are_kept(nursery, tmp_path):
    first, held = start(nursery, tmp_path, "4")
    assert ended(held)
    second, other = start(nursery, tmp_path, "5")
    assert ended(other)
    assert (nursery.status(second), nursery.status(first)) == (5, 4)


@pytest.mark.parametrize("outlive", [False, True])
def test_nodes_end_with_it_or_outlive_it(environment, tmp_path, outlive):
    made = Nursery.spawn(environment, outlive)
    pid, descriptor = start(made, tmp_path, "stay")
    said(tmp_path / "log")
    made.close()
    if not outlive:
        assert ended(descriptor)
        return
    assert not ended(descriptor, 0.5)
    os.kill(pid, signal.SIGKILL)
    assert ended(descriptor)


def test_one_that_is_lost_costs_a_longer_start(environment, tmp_path, monkeypatch):
    monkeypatch.setattr("rarrl_nodes.processes.NODES", ("a_node",))
    made = Nursery.spawn(environment)
    with Processes(tmp_path / "run", environment, nursery=made) as processes:
        processes._own = ["stay"]
        forked = processes.start("a", "a_node", {})
        assert parent(forked) == made.pid
        os.kill(made.pid, signal.SIGKILL)
        spawned = processes.start("b", "a_node", {})
        assert not made.usable
        assert parent(spawned) == os.getpid()
        processes.kill_at_once("b")


def test_whoever_asks_a_lost_one_is_told(environment, tmp_path):
    made = Nursery.spawn(environment)
    made.close()
    with pytest.raises(NurseryLostError):
        made.start("a_node", [])
    assert made.status(1) == -signal.SIGKILL


def test_one_that_hangs_is_given_up(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(nursery_module, "LOAD_S", 0.2)
    made = Nursery.spawn(environment)
    os.kill(made.pid, signal.SIGSTOP)
    with pytest.raises(NurseryLostError, match=r"no answer within 0\.2 s"):
        made.start("a_node", [])
    assert not made.usable


def test_a_supervisor_forks_it_before_it_starts_threads(environment, tmp_path):
    code = """
import os, select, threading
from rarrl_nodes.nursery import Nursery
made = Nursery.fork()
pid, held = made.start("a_node", ["7"])
select.select([held], [], [])
print(made.status(pid))
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(Nursery.fork())
made.close()
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[1:] == ["7", "None"], done.stderr
