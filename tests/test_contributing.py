"""CONTRIBUTING.md holds: each file that it names is there, and its snippets, applied to a copy, work as they stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PACKAGES = {"rarrl": "rarrl", "rarrl_sim_envs": "sim_envs", "rarrl_learning": "learning", "rarrl_nodes": "nodes"}
FILES_TOUCHED = {"policy": 0, "rule": 2, "world": 2, "node": 3, "quantization type": 1}
"""Files of ours in each list. A list that grows is a reason to look at the code's structure."""
TIMEOUT_S = 600.0  # of one command, on a loaded machine


@dataclass(frozen=True)
class Snippet:
    """A fenced block. path: the file that it belongs to. place: where in it: "new", "in a folder of your own", "at the
    end", `above "TEXT"` or `below "TEXT"`."""

    path: str
    place: str
    code: str


def section(what: str) -> str:
    """The text below "## To add a WHAT"."""
    found = re.search(rf"^## To add a {what}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"CONTRIBUTING.md does not say how to add a {what}"
    return found.group(1)


def snippets(what: str) -> list[Snippet]:
    blocks = re.findall(r"^```python\n# ([\w./]+), ([^\n]+)\n(.*?)^```", section(what), re.MULTILINE | re.DOTALL)
    return [Snippet(*block) for block in blocks]


def files_touched(what: str) -> list[tuple[str, bool]]:
    """(path, whether it is new) of each file in the list."""
    return [(path, bool(new)) for path, new in re.findall(r"^- `([\w./]+)`( \(new\))?$", section(what), re.MULTILINE)]


@pytest.mark.parametrize("what", FILES_TOUCHED)
def test_the_named_files_are_where_the_page_says(what: str) -> None:
    files = files_touched(what)
    assert len(files) == FILES_TOUCHED[what]
    assert files or "Files of ours: none." in section(what)
    for path, new in files:
        assert (ROOT / path).parent.is_dir(), path
        assert (ROOT / path).is_file() != new, path


@pytest.mark.parametrize("what", FILES_TOUCHED)
def test_the_snippets_change_the_named_files_alone(what: str) -> None:
    found = snippets(what)
    assert found and len(found) == section(what).count("```python")
    ours = [(s.path, s.place == "new") for s in found if s.place != "in a folder of your own"]
    named = files_touched(what)
    assert [path for path, _ in ours] == [path for path, _ in named if path in dict(ours)]
    assert set(ours) <= set(named)


def test_what_else_the_page_names_exists() -> None:
    general = PAGE.split("## To add a policy")[0]
    for path in re.findall(r"`((?:docs|rarrl|benchmarks|examples|tests)/[\w./]*)`", general):
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", general, re.MULTILINE)) <= targets


class Copy:
    """A copy of the tree that a contributor works in."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.own, self._shim = folder / "tree", folder / "own", folder / "path"
        for place in (self.tree, self.own, self._shim):
            place.mkdir()
        heavy = ("models", "data")  # read alone: links do
        ignored = shutil.ignore_patterns("__pycache__", *heavy)
        for name, source in PACKAGES.items():
            shutil.copytree(ROOT / source, self.tree / source, ignore=ignored if name == "rarrl" else None)
            (self._shim / name).symlink_to(self.tree / source)
        for name in heavy:
            (self.tree / "rarrl" / name).symlink_to(ROOT / "rarrl" / name)
        shutil.copytree(ROOT / "tests", self.tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "setup.py"):
            shutil.copy(ROOT / name, self.tree)

    def apply(self, snippet: Snippet) -> None:
        """Does what the snippet's first line says."""
        path = (self.own if snippet.place == "in a folder of your own" else self.tree) / snippet.path
        if snippet.place in ("new", "in a folder of your own"):
            assert not path.exists(), path
            path.write_text(snippet.code, "utf-8")
            return

        text = path.read_text("utf-8")
        if snippet.place == "at the end":
            path.write_text(f"{text}\n\n{snippet.code}", "utf-8")
            return

        found = re.fullmatch(r'(above|below) "(.*)"', snippet.place)
        assert found, f"{snippet.path}: {snippet.place!r} is no place"
        side, mark = found.groups()
        lines = [line for line in text.splitlines(keepends=True) if mark in line]
        assert len(lines) == 1, f"{snippet.path}: {mark!r} is there {len(lines)} times"
        both = [f"{snippet.code}\n\n", lines[0]] if side == "above" else [lines[0], snippet.code]
        path.write_text(text.replace(lines[0], "".join(both)), "utf-8")

    def run(self, *arguments: str) -> str:
        """What `python ARGUMENTS` prints, on the copy."""
        path = os.pathsep.join(map(str, (self._shim, self.own)))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=self.tree,
            env=environment,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def rarrl(self, *arguments: str) -> str:
        """What `rarrl ARGUMENTS` prints."""
        return self.run("-c", "import sys; from rarrl.cli import main; sys.exit(main())", *arguments)

    def test(self, *arguments: str) -> str:
        """The last line of pytest."""
        return self.run("-m", "pytest", "-p", "no:cacheprovider", *arguments).splitlines()[-1]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


@pytest.mark.slow
def test_a_rule_added_by_the_page_plays(copy: Copy, tmp_path: Path) -> None:
    for snippet in snippets("rule"):
        copy.apply(snippet)

    shown = copy.rarrl(
        *("replay", "--policy", "second_half", "--policy", "never", "--episodes", "12", "--seed", "1"),
        *("--profile", "groq-70b", "--out", str(tmp_path / "run")),
    )
    assert "second_half" in shown
    log = (tmp_path / "run" / "1_second_half" / "events.jsonl").read_text("utf-8")
    events = [json.loads(line) for line in log.splitlines()]
    asked = [event for event in events if event.get("role") == "planner"]
    assert asked and all(event["why"].startswith("second_half: ") for event in asked)

    # The contract tests find it, and nothing else minds it.
    assert "passed" in copy.test("tests/orchestrator", "-m", "not slow")
    assert "second_half" in copy.run("-m", "pytest", "tests/orchestrator/test_rules.py", "-k", "second_half", "-vv")


@pytest.mark.slow
def test_a_policy_added_by_the_page_keeps_the_contract_and_loads(copy: Copy) -> None:
    (snippet,) = snippets("policy")
    copy.apply(snippet)

    copy.run(str(copy.own / snippet.path))  # check_policy
    code = """
import numpy as np
from rarrl.build import make_policy
from rarrl.policy.base import Observation
with make_policy("my_policy:MyPolicy") as policy:
    seen = Observation(np.full((1, 64, 64, 3), 255, np.uint8), np.zeros(1, np.float32), "go", observed_at=3.0)
    chunk = policy.infer(seen)
print(chunk.actions.shape, chunk.actions[0].tolist(), chunk.observed_at)
"""
    assert copy.run("-c", code).strip() == "(8, 2) [0.5, 0.0] 3.0"


@pytest.mark.slow
def test_a_world_added_by_the_page_is_registered_and_passes_the_checker(copy: Copy) -> None:
    for snippet in snippets("world"):
        copy.apply(snippet)

    code = """
import gymnasium
env = gymnasium.make("rarrl_sim_envs:rarrl/Corridor-v0")
(wall_m,), _ = env.reset(seed=0)
reward = ended = steps = 0
while not ended:
    (wall_m,), reward, ended, late, _ = env.step(env.action_space.high * (wall_m > 0.25))
    steps += 1
print(reward, late, 0 < wall_m < 0.3, steps > 10)
"""
    assert copy.run("-W", "ignore", "-c", code).strip() == "1.0 False True True"
    shown = copy.run("-m", "pytest", "tests/sim_envs/test_init.py", "-k", "Corridor or registered", "-vv")
    assert "test_those_without_pictures_pass_the_checker[rarrl/Corridor-v0] PASSED" in shown
    assert "test_the_class_says_what_a_user_must_know[rarrl/Corridor-v0] PASSED" in shown
    assert "passed" in copy.test(
        "tests/test_architecture.py", "-k", "duty or packages or relative or heavy"
    )  # no other place wants to know of it


@pytest.mark.slow
def test_a_node_added_by_the_page_works(copy: Copy) -> None:
    if find_spec("rclpy") is None:
        pytest.skip("rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    for snippet in snippets("node"):
        copy.apply(snippet)

    assert "1 passed" in copy.test("tests/nodes/test_battery_node.py")
    assert "passed" in copy.test("tests/test_architecture.py", "-k", "duty or packages or relative or heavy")
    executables = re.findall(r'"(\w+_node) = rarrl_nodes\.', (copy.tree / "setup.py").read_text("utf-8"))
    assert set(executables) == {path.stem for path in (copy.tree / "nodes").glob("*_node.py")}


@pytest.mark.slow
def test_a_quantization_type_added_by_the_page_works(copy: Copy) -> None:
    if find_spec("llama_cpp") is None or find_spec("gguf") is None:
        pytest.skip("the types are llama.cpp's: pip install 'rarrl[llama]'")
    for snippet in snippets("quantization type"):
        copy.apply(snippet)

    shown = copy.run("-m", "pytest", "tests/llama/test_ggml.py", "-k", "Q4_1 or rises", "-vv")
    assert "test_sizes_and_values_are_those_of_the_format[Q4_1] PASSED" in shown
