"""`rarrl skills` and `rarrl run --skills`: a robot's two files, as a user meets them."""

import sys

import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.cli.skills import _notes
from rarrl.skills.domain import STARTER, load_domain

SKILLS = """
skills:
  dock: {does: docks, run: {python: "my_cli_robot:dock"}, gives: [docked]}
  wave: {does: waves, run: {python: "my_cli_robot:wave"}, needs: [docked]}
examples: [{say: wave to me, plan: [[wave]]}]
"""
ROBOT = """
def dock(): print("docking")
def wave(): return False, "no arm"
"""


@pytest.fixture
def robot(tmp_path, monkeypatch):
    """Writes the files; returns the options."""
    (tmp_path / "skills.yaml").write_text(SKILLS)
    (tmp_path / "world.yaml").write_text("things: {cup: }")
    (tmp_path / "my_cli_robot.py").write_text(ROBOT)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield ["--skills", str(tmp_path / "skills.yaml"), "--world", str(tmp_path / "world.yaml")]
    sys.modules.pop("my_cli_robot", None)


def rarrl(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_check_shows_what_the_robot_will_do(robot):
    done = rarrl("skills", "check", *robot)
    assert done.exit_code == 0, done.output
    assert "wave()" in done.output
    assert "python my_cli_robot:dock" in done.output
    assert "wave: needs docked" in done.output
    assert "note: no skill observes: cup cannot be found" in done.output
    assert done.output.endswith("nothing is wrong\n")


def test_check_notes_a_need_that_nothing_gives(robot, tmp_path):
    (tmp_path / "skills.yaml").write_text(SKILLS.replace("needs: [docked]", "needs: [dockd, charged]"))
    (tmp_path / "world.yaml").write_text("facts: [charged]")
    done = rarrl("skills", "check", *robot)
    notes = [line for line in done.output.splitlines() if "needs `" in line]
    assert notes == [
        "note: wave needs `dockd`, which no skill gives and the world file does not hold; did you mean 'docked'?"
    ]


def test_check_says_all_that_is_wrong_one_line_each(robot, tmp_path):
    (tmp_path / "skills.yaml").write_text(SKILLS.replace("docks,", "docks, retyr: 1, timeout_s: -1,"))
    (tmp_path / "world.yaml").write_text("tings: {}")
    done = rarrl("skills", "check", *robot)
    errors = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 2
    assert len(errors) == 3
    assert "did you mean 'retry'" in errors[0]
    assert "timeout_s" in errors[1]
    assert "did you mean 'things'" in errors[2]


def test_check_says_which_callable_is_not_there(robot, tmp_path):
    (tmp_path / "my_cli_robot.py").write_text("def dock(): ...")
    done = rarrl("skills", "check", *robot)
    assert done.exit_code == 2
    assert "error: skill wave: 'my_cli_robot:wave': my_cli_robot has no wave" in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--skills", "robot:pyrobosm"], "did you mean 'pyrobosim'"),
        (["--skills", "none.yaml", "--world", "none.yaml"], "none.yaml"),
        (["--skills", "none.yaml"], "none.yaml"),
    ],
)
def test_files_that_are_not_there(options, message):
    done = rarrl("skills", "check", *options)
    assert done.exit_code == 2
    assert message in done.output
    assert done.output.count("\n") == 1


def test_plan(robot):
    done = rarrl("skills", "plan", "wave to me", *robot)
    assert done.exit_code == 0
    assert "plan of the nearest example (similarity 1.00): wave()" in done.output
    steps = [line.split("  ")[0] for line in done.output.splitlines() if line[:1].isdecimal() and ". " in line]
    assert steps == ["1. dock()", "2. wave()"]


def test_plan_of_a_sentence_that_is_near_to_nothing(robot):
    done = rarrl("skills", "plan", "xyzzy", *robot)
    assert done.exit_code == 1
    assert "add one to `examples`" in done.output


def test_plan_without_a_way(robot, tmp_path):
    (tmp_path / "skills.yaml").write_text(SKILLS.replace(", gives: [docked]", ", gives: [undocked]"))
    done = rarrl("skills", "plan", "wave to me", *robot)
    assert done.exit_code == 1
    assert "then: no way to docked is known" in done.output


def test_plan_of_a_shipped_robot_looks_where_things_usually_are():
    done = rarrl("skills", "plan", "bring a coke to the desk", "--skills", "robot:pyrobosim")
    assert done.exit_code == 0
    assert "looks for soda (fridge 83%" in done.output


def test_new_files_are_right_and_never_overwritten(tmp_path):
    done = rarrl("skills", "new", str(tmp_path / "mine"))
    assert done.exit_code == 0
    domain = load_domain(tmp_path / "mine/skills.yaml", tmp_path / "mine/world.yaml")
    assert _notes(domain) == []
    assert (tmp_path / "mine/skills.yaml").read_bytes() == (STARTER / "skills.yaml").read_bytes()

    (tmp_path / "mine/skills.yaml").write_text("mine")
    done = rarrl("skills", "new", str(tmp_path / "mine"))
    assert done.exit_code == 2
    assert (tmp_path / "mine/skills.yaml").read_text() == "mine"


def test_run_prints_each_step_and_how_the_task_ended(robot):
    done = rarrl("run", *robot, "wave to me")
    assert done.exit_code == 1
    assert "dock()" in done.output
    assert "failed: no arm" in done.output
    assert done.output.splitlines()[-1].startswith("    0.0 s  failed: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wave"], "a sentence goes with --skills"),
        (["--world", "w.yaml"], "world goes with --skills"),
        (["--skills", "robot:pyrobosim"], "--skills needs a sentence"),
        (["--skills", "robot:pyrobosim", "--sim", "go"], "--sim: not with --skills"),
        (["--skills", "robot:pyrobosim", "--llm", "llama", "go"], "llama plans for ALFRED's household alone"),
        (["--skills", "robot:pyrobosim", "--n", "3", "go"], "--n: not with --skills"),
        (["--skills", "robot:pyrobosim", "--policy", "never", "--policy", "always", "go"], "give one"),
    ],
)
def test_options_that_do_not_go_together(arguments, message):
    done = rarrl("run", *arguments)
    assert (done.exit_code, message in done.output) == (2, True), done.output


@pytest.mark.slow
def test_run_pyrobosim_in_simulated_time():
    pytest.importorskip("pyrobosim")
    done = rarrl("run", "--skills", "robot:pyrobosim", "--world", "robot:pyrobosim", "bring a soda to the desk")
    assert done.exit_code == 0, done.output
    assert "place(soda, desk)                  success" in done.output
    assert "succeeded: all rows of the plan are done" in done.output


def test_run_pyrobosim_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("rarrl.cli.task.find_spec", lambda name: None)
    done = rarrl("run", "--skills", "robot:pyrobosim", "bring a soda to the desk")
    assert done.exit_code == 2
    assert "pip install 'rarrl[pyrobosim]'" in done.output
