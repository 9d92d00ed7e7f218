"""One task over nodes of its own, with a server that knows nothing of them."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("test_msgs", reason="test_msgs is missing: pip install ros-test-msgs==2.0.3")

import os
import subprocess
import sys
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from rarrl.errors import InputError
from rarrl_nodes.task_run import Listener, run_task

SKILLS = """
robot: a counter
skills:
  count:
    does: counts to a number
    parameters: {n: {number: [0, 100]}}
    run: {action: fib, type: test_msgs/action/Fibonacci, goal: {order: "{n}"}}
examples: [{say: count to 3 and 4, plan: [[count, "3"], [count, "4"]]}]
"""


def told(**values):
    status = DiagnosticStatus(values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
    return DiagnosticArray(status=[status])


def test_lines_of_a_task():
    lines = []
    listener = Listener("dock", lines.append)
    listener.on_task(told(goal="another", now="wave", status="running"))  # latched, of the task before
    listener.on_state(told(failed_why="of the task before"))
    listener.on_task(told(goal="dock", now="", status="running"))
    listener.on_task(told(goal="dock", now="go dock", status="running"))
    listener.on_task(told(goal="dock", now="go dock", status="running", skills=0))
    listener.on_state(told(failed_why="go(dock): no path"))
    listener.on_state(told(failed_why="go(dock): no path"))
    listener.on_task(told(goal="dock", now="", status="failed", why="no way", skills=1, calls=0))
    assert [line.split(" s  ")[1] for line in lines] == [
        "go dock",
        "  go(dock): no path",
        "failed: no way (1 skills, 0 calls of a language model)",
    ]
    assert listener.status == "failed"


def test_files_that_are_wrong_start_no_process(tmp_path):
    with pytest.raises(InputError, match="world: none is given"):
        run_task("dock", {"skills": str(tmp_path / "skills.yaml")}, tmp_path / "run", print)
    assert not (tmp_path / "run").exists()


def test_fields_that_are_wrong_start_no_process(tmp_path):
    (tmp_path / "skills.yaml").write_text(SKILLS.replace("order:", "ordre:"))
    (tmp_path / "world.yaml").write_text("{}")
    given = {name: str(tmp_path / f"{name}.yaml") for name in ("skills", "world")}
    with pytest.raises(InputError, match=r"skill count: run.goal: .*'ordre'; did you mean 'order'"):
        run_task("count to 5", given, tmp_path / "run", print)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_task_with_a_foreign_action_server(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    (tmp_path / "skills.yaml").write_text(SKILLS)
    (tmp_path / "world.yaml").write_text("{}")
    server = Path(__file__).parents[1] / "fibonacci_server.py"
    lines = []
    with subprocess.Popen([sys.executable, str(server), "fib"], stdout=subprocess.PIPE, text=True) as robot:
        try:
            given = {name: str(tmp_path / f"{name}.yaml") for name in ("skills", "world")}
            assert run_task("count to 5 and 2", given, tmp_path / "run", lines.append, timeout_s=120.0)
        finally:
            robot.terminate()
        asked = [line.split()[-1] for line in robot.stdout if line.startswith("goal ")]
    assert asked == ["5", "2"]
    assert [line.split(" s  ")[1] for line in lines] == [
        "count 5",
        "count 2",
        "succeeded: all rows of the plan are done (2 skills, 0 calls of a language model)",
    ]
