"""Every file of examples/ runs as a user would run it, and says what is right."""

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rarrl.clock import ManualClock
from rarrl.executive.executive import TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.executive.python_skills import PythonSkills
from rarrl.skills.domain import load_domain

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TIMEOUT_S = 600.0  # on a loaded two-core machine; alone the longest takes ten seconds


def run(name: str, *arguments: str) -> str:
    """What the example prints. Its folder is not the current one: a user may stand anywhere."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=EXAMPLES.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def needs(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"the example needs {package}, which is not installed")


def number(pattern: str, text: str) -> float:
    """The number that `pattern` captures in `text`."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return float(found.group(1))


def test_detector_on_two_images() -> None:
    shown = run("detector_on_two_images")
    right = number(r"right answer: ([\d.]+) m", shown)
    assert right == pytest.approx(220 * 0.12 / 16, abs=0.005)
    assert number(r"straight ahead: ([\d.]+) m", shown) == pytest.approx(right, abs=0.1)  # a voxel
    assert number(r"contact at 0.5 m/s: ([\d.]+) s", shown) == pytest.approx(right / 0.5, abs=0.4)
    assert 1000 < number(r"occupied voxels: (\d+) of", shown) < 10_000  # a wall of 64 x 48 voxels and a box


def test_own_rule() -> None:
    shown = run("own_rule")
    tasks = dict(re.findall(r"^(.+): (\d+) of 60 tasks", shown, re.MULTILINE))
    seconds = dict(re.findall(r"^(.+): \d+ of 60 tasks, ([\d.]+) s", shown, re.MULTILINE))
    assert list(tasks) == ["never", "after_failure", "late_failures", 'late_failures:{"recipe": "P2V2"}']
    assert float(seconds["never"]) == 0.0
    assert 0.0 < float(seconds["late_failures"]) < float(seconds["after_failure"])  # it asks less often
    assert int(tasks["never"]) < int(tasks["after_failure"])


def test_own_policy() -> None:
    shown = run("own_policy")
    assert "the contract is kept" in shown
    assert number(r"omega ([-\d.]+) rad/s", shown) == pytest.approx(200 / 255, abs=0.01)  # towards the bright side


def test_robot_loop() -> None:
    shown = run("robot_loop")
    assert re.search(r"0.20 m/s  PASS", shown), shown
    assert 0.0 < number(r"front stands ([-\d.]+) m before", shown) < 0.3  # it came near, and did not touch
    assert shown.rstrip().endswith("row: None")  # without a sub-goal it holds


@pytest.mark.slow
def test_train_in_gymnasium() -> None:
    needs("torch", "stable_baselines3", "sb3_contrib")
    shown = run("train_in_gymnasium", "--quick")
    before = number(r"before: reward ([-\d.]+)", shown)
    assert number(r"after 2000 decisions: reward ([-\d.]+)", shown) > before
    assert re.search(r"heat something it decides: (ACT|THINK)", shown)
    assert re.search(r"heat something it decides: (ACT|THINK)", shown)


def test_ask_a_reasoner() -> None:
    needs("llama_cpp")
    shown = run("ask_a_reasoner")
    assert re.findall(r"^\d\. (.*)$", shown, re.MULTILINE) == [
        "PickupObject apple",
        "CleanObject apple",
        "PutObject apple fridge",
    ]
    assert number(r"(\d+) written", shown) > 0


def test_gate_on_your_base() -> None:
    shown = run("gate_on_your_base")
    # Not nearer than the margin of 0.1 m, not much farther than the margin, a cell, and what it brakes early by.
    assert 0.1 <= number(r"the front stands ([\d.]+) m before the wall", shown) < 0.25
    assert re.search(r"PASS 0\.40 m/s", shown) and "obstacle near" in shown
    assert shown.rstrip().endswith("STOP, command too old")


@pytest.mark.slow
def test_somebody_elses_simulator() -> None:
    needs("miniworld")
    shown = run("somebody_elses_simulator")
    assert re.search(r"0\.20 m/s  PASS", shown), shown
    ahead = [float(metres) for metres in re.findall(r"free ahead ([\d.]+) m", shown)]
    assert 1.5 < ahead[0] <= 2.0 and ahead[-1] < 1.2  # of 2 m to the wall, and it came near
    assert 0.15 < number(r"stands ([\d.]+) m before", shown) < 0.7


def test_own_latency_profile() -> None:
    shown = run("own_latency_profile")
    assert 110 / 40 + 0.8 < number(r"planner, 1\): mean ([\d.]+) s", shown) < 110 / 15 + 0.8
    mine, quick = (number(rf"{name}: +\d+ of 50 tasks, ([\d.]+) s", shown) for name in ("mine", "groq-70b"))
    assert quick < mine <= 30.0  # the budget


def test_own_latency_profile_reads_a_csv(tmp_path: Path) -> None:
    rows = ["role,level,tokens_in,tokens_out,ttft_s,total_s"]
    rows += [f"{role},{level},300,50,0.5,{level}.5" for role in ("planner", "verifier") for level in (1, 2)]
    (tmp_path / "calls.csv").write_text("\n".join(rows) + "\n")
    shown = run("own_latency_profile", str(tmp_path / "calls.csv"))
    assert "THINK(planner, 2): mean 2.50 s, 95 % within 2.50 s" in shown
    assert "THINK(verifier, 1): mean 1.50 s, 95 % within 1.50 s" in shown


def test_policy_server_and_client() -> None:
    needs("llama_cpp", "websockets", "msgpack")
    shown = run("policy_server_and_client")
    assert "the policy wants: observation/image/top, observation/image/side, observation/state, prompt" in shown
    assert "actions: 8 rows of 4 numbers" in shown and "within the policy's limits: True" in shown
    assert 0.0 < number(r"computing: ([\d.]+) ms", shown) <= number(r"round trip: ([\d.]+) ms", shown)


@pytest.mark.slow
def test_quantize_a_gguf() -> None:
    needs("llama_cpp", "torch", "gguf")
    shown = run("quantize_a_gguf", "--quick")
    before = number(r"before: ([\d.]+) MB", shown)
    # F16 has 16 bits a weight; 3 bits and the unquantized rest stay below a quarter of it.
    assert number(r"flat: ([\d.]+) MB", shown) < before / 4
    flat, plain = (number(rf"{method}: .*move by ([\d.]+)", shown) for method in ("flat", "plain"))
    assert 0.0 < flat < plain < 0.2


def test_household_mission() -> None:
    shown = run("household_mission")
    assert "conditions met: 2 of 2, collisions: 0" in shown
    attempts = re.findall(r"s  (\w+) [\w ]+: (\w+)", shown)
    assert [verb for verb, _ in attempts] == ["GotoLocation", "PickupObject", "GotoLocation", "ToggleObject"]
    assert {status for _, status in attempts} == {"SUCCESS"}


def test_every_example_is_tested_and_says_what_it_needs_and_shows() -> None:
    tested = set(re.findall(r"run\(\"(\w+)\"", Path(__file__).read_text("utf-8")))
    files = sorted(EXAMPLES.glob("*.py"))
    assert {path.stem for path in files} == tested and len(files) >= 10
    for path in files:
        text = path.read_text("utf-8")
        head = ast.get_docstring(ast.parse(text)) or ""
        assert "Needs: " in head and "You see: " in head and f"Run: python examples/{path.name}" in head, path.name
        assert len(text.splitlines()) <= 80, f"{path.name}: an example is read at one go"


@pytest.mark.parametrize(
    ("sentence", "ends"),
    [
        ("water the second bed", {"watered": ["bed_2"]}),
        ("put some herbs into the box", {"crate": ["basil"]}),
        ("put two tomatoes into the crate", {"crate": ["tomato", "tomato"]}),
        ("shut the roof", {"roof_open": False}),
    ],
)
def test_a_robot_from_its_two_files_alone(monkeypatch, sentence, ends):
    """The greenhouse's own code knows nothing of rarrl, and rarrl knows only the files."""
    folder = EXAMPLES / "robots" / "greenhouse"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "greenhouse", raising=False)
    domain = load_domain(folder / "skills.yaml", folder / "world.yaml")
    player = PythonSkills(domain)
    house = sys.modules["greenhouse"].house
    house.roof_open = True

    end = play_task(TaskExecutive(domain), sentence, player, ManualClock())
    assert end.status is TaskStatus.SUCCEEDED
    assert {name: getattr(house, name, None) or house.plants.get(name, False) for name in ends} == ends
    assert "rarrl" not in (folder / "greenhouse.py").read_text().replace("knows nothing of rarrl", "")


@pytest.mark.slow
def test_a_robot_over_ros_from_its_two_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The laboratory's servers know nothing of rarrl; arm, lid and centrifuge are where the files say."""
    needs("rclpy", "test_msgs", "diagnostic_msgs", "std_srvs")
    from rarrl_nodes.task_run import run_task

    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    folder = EXAMPLES / "robots" / "laboratory"
    given = {name: str(folder / f"{name}.yaml") for name in ("skills", "world")}
    lines: list[str] = []
    command = [sys.executable, str(folder / "laboratory.py"), "--ros-args", "-p", "pace:=0.05"]
    with subprocess.Popen(command) as robot:
        try:
            done = run_task("spin a serum for 3 seconds", given, tmp_path / "run", lines.append, timeout_s=120.0)
        finally:
            robot.kill()
    assert done, lines
    assert "rarrl" not in (folder / "laboratory.py").read_text().replace("know nothing of rarrl", "")
