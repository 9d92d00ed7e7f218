"""The command line: help of every command, bad input in one line, exit statuses, a replay from end to end."""

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec

import pytest
from demo_players import fake
from mission_fixtures import played
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.cli.results import mission_reminder, reminder
from rarrl.errors import RarrlError
from rarrl.latency.profile import load_profile, shipped_profiles
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.registry import load_policy

COMMANDS = [
    "demo",
    "doctor",
    "run",
    "replay",
    "plot",
    "train orchestrator",
    "train policy-speed",
    "train policy-student",
    "sweep orchestrator",
    "tune rules",
    "tune policy",
    "tune robot",
    "eval orchestrator",
    "bench orchestrator",
    "quantize",
    "bench policy",
    "bench quantize",
    "bench timing",
    "profile show",
    "profile import",
    "alfred statistics",
]
NEVER = "never:{}"


def rarrl(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments):
    """The one line that a bad command ends in."""
    result = rarrl(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def test_a_recorded_profile_of_ones_own_skills_trains_the_policy_without_names(monkeypatch, tmp_path):
    asked = []

    def trained(config, folder, plans, profiles, progress):
        asked.append((config.features, profiles))
        return load_policy("nameless")

    monkeypatch.setattr("rarrl_learning.orchestrator.train_nameless.train_nameless", trained)
    monkeypatch.setattr("rarrl_sim_envs.alfred.datasets.load_plans", lambda *_: ([], "none"))
    profile, out = "smollm2-135m-pyrobosim", tmp_path / "mine"
    assert not load_profile(profile).recorded
    train = ("train", "orchestrator", "--features", "nameless", "--out", out, "--profile")
    result = rarrl(*train, profile)
    assert result.exit_code == 0 and asked == [("nameless", [profile])]
    assert f"rarrl eval skillsets --part answers --robots 400 --models {out} --profile {profile}" in result.stdout
    assert load_policy(str(out)).nameless
    assert "holds answers to ALFRED's goals" in refused(*train, "household")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command):
    result = rarrl(*command.split(), "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_version():
    assert rarrl("--version").output.startswith("rarrl 0.")


def test_python_runs_the_package():
    done = subprocess.run([sys.executable, "-m", "rarrl", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rarrl 0.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("replay", "--policy", "nver"), "did you mean 'never'"),
        (("replay", "--policy", NEVER, "--policy", NEVER), "twice"),
        (("replay", "--policy", "always:{"), "not JSON"),
        (("replay", "--policy", 'always:{"recipe": "X9"}'), "X9"),
        (("replay", "--policy", "model.zip"), "pickle"),
        (("replay", "--policy", NEVER, "--profile", "grok-70b"), "grok-70b"),
        (("replay", "--policy", NEVER, "--time-budget", "nan"), "orchestrator.time_budget_s"),
        (("replay", "--policy", NEVER, "--token-budget", "-1"), "orchestrator.token_budget"),
        (("replay", "--policy", NEVER, "--cost-weight", "inf"), "orchestrator.cost_weight"),
        (("replay", "--policy", NEVER, "--episodes", "0"), "replay.episodes"),
        (("replay", "--policy", NEVER, "--category", "Cooking"), "Navigation"),
        (("replay", "--policy", NEVER, "--alfred", "EMPTY"), "no ALFRED data"),
        (("replay", "--policy", NEVER, "--alfred", "MISSING"), "ALFRED"),
        (("replay", "--policy", NEVER, "--out", "FULL"), "not empty"),
        (("replay", "--policy", NEVER, "--out", "FULL/file"), "--out"),
        (("replay", "--config", "MISSING"), "does not exist"),
        (("replay", "--config", "EMPTY"), "folder"),
        (("replay", "--config", "NAN"), "time_budget_s"),
        (("run", "--policy", "nver"), "nver"),
        (("run", "--policy", NEVER, "--speed", "0"), "replay.speed"),
        (("plot", "MISSING"), "does not exist"),
        (("plot", "EMPTY"), "events.jsonl"),
        (("plot", "FULL/file.json"), "JSON"),
        (("plot", "FULL/results.json"), "no comparison"),
        (("plot", "groq-70b", "--out", "EMPTY"), "folder"),
        (("train", "orchestrator", "--variant", "half"), "no_budget"),
        (("train", "orchestrator", "--algorithm", "sarsa"), "dqn"),
        (("train", "orchestrator", "--profile", "grok-70b"), "grok-70b"),
        (("train", "orchestrator", "--alfred", "EMPTY"), "no ALFRED data"),
        (("train", "orchestrator", "--out", "FULL/file"), "--out"),
        (("tune", "rules", "--alfred", "EMPTY"), "no ALFRED data"),
        (("tune", "rules", "--out", "EMPTY"), "folder"),
        (("eval", "orchestrator", "--alfred", "EMPTY"), "no ALFRED data"),
        (("eval", "orchestrator", "--json", "EMPTY"), "folder"),
        (("bench", "orchestrator", "--json", "FULL/file/x.json"), "--json"),
        (("profile", "show", "grok-70b"), "groq-70b"),
        (("profile", "show", "EMPTY"), "folder"),
        (("profile", "show", "--picture", "FULL/x.png"), "of which profile? name one of anyscale-70b"),
        (("data", "record", "--suite", "kitchen", "--out", "FULL/new"), "allowed: metaworld, tabletop"),
        (("eval", "policy", "--policy", "nope"), "no policy folder 'nope'"),
        (("eval", "policy", "--policy", "metawold"), "did you mean 'metaworld'"),
        (("serve", "policy", "--policy", "nothing"), "shipped: household, libero_goal, libero_object, libero_spa"),
        (("profile", "show", "groq-70b", "--picture", "FULL/x.bmp"), ".png"),
        (("profile", "import", "MISSING", "--provider", "a", "--size", "b", "--out", "FULL/p.json"), "does not exist"),
        (("alfred", "statistics", "EMPTY"), "no ALFRED data"),
        (("alfred", "statistics", "EMPTY", "--out", "EMPTY"), "folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "file").write_text("something")
    (tmp_path / "FULL" / "file.json").write_text("{")
    (tmp_path / "FULL" / "results.json").write_text('{"figures": {}, "tables": {}}')
    (tmp_path / "NAN").write_text("orchestrator:\n  time_budget_s: .nan\n")
    before = sorted(tmp_path.rglob("*"))
    assert told in refused(*arguments)
    assert sorted(tmp_path.rglob("*")) == before, "a refused command left something behind"


@pytest.mark.parametrize(
    "arguments", [("replay", "--polcy", "x"), ("replay", "--episodes", "many"), ("rply",), ("plot",)]
)
def test_usage_errors_are_bad_input(arguments):
    assert rarrl(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [(KeyboardInterrupt(), 130, "rarrl plot"), (RarrlError("the disk is full"), 1, "error: the disk is full")],
)
def test_failures_and_interrupts_have_their_own_status(tmp_path, monkeypatch, raised, status, told):
    def fail(*args, **kwargs):
        raise raised

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rarrl.decision_loop.replay", fail)
    result = rarrl("replay", "--policy", NEVER)
    assert result.exit_code == status and told in result.stderr and len(result.stderr.splitlines()) == 1


def test_replay_writes_logs_and_a_report_and_repeats_itself(tmp_path):
    texts = []
    for name in ("a", "b"):
        arguments = ("--episodes", "4", "--seed", "3", "--shock", "--out", tmp_path / name)
        result = rarrl("replay", "--policy", NEVER, "--policy", 'always:{"recipe": "P1"}', *arguments)
        assert result.exit_code == 0, result.output
        assert (tmp_path / name / "report.png").exists() and (tmp_path / name / "report.html").exists()
        assert str(tmp_path / name / "report.html") in result.output
        logs = sorted((tmp_path / name).glob("*/events.jsonl"))
        assert len(logs) == 2
        texts.append([log.read_text("utf-8").split("\n", 1)[1] for log in logs])  # but for the date
    assert texts[0] == texts[1]


def test_options_win_over_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"orchestrator:\n  policy: '{NEVER}'\n  profile: bedrock-70b\nreplay:\n  episodes: 7\n")
    result = rarrl("replay", "--config", file, "--episodes", "2", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "run" / "1_never_" / "events.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0])["profile"] == "bedrock-70b"
    assert sum(json.loads(line)["type"] == "end" for line in lines) == 2


def test_plot_makes_the_report_again(tmp_path):
    rarrl("replay", "--policy", NEVER, "--episodes", "2", "--out", tmp_path / "run")
    (tmp_path / "run" / "report.png").unlink()
    assert rarrl("plot", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / "report.png").exists()


def test_plot_draws_a_profile(tmp_path):
    assert rarrl("plot", "groq-70b", "--out", tmp_path / "p.png").exit_code == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_doctor_answers():
    assert "what runs here" in rarrl("doctor").output


def test_reminder_takes_what_is_there(tmp_path):
    assert len(reminder(20, results=tmp_path)) == 1
    assert reminder(1, results=tmp_path)[0].startswith("1 episode is an anecdote")
    figure = {"value": 1.5, "lo": 1.0, "hi": 2.0, "n": 9, "unit": "points"}
    rows = [{"policy": "never", "success": 0.61}]
    (tmp_path / "orchestrator_recorded.json").write_text("broken")
    (tmp_path / "demo.json").write_text(
        json.dumps({"figures": {"demo_gain_over_best_rule": figure}, "tables": {"demo": rows}})
    )
    (tmp_path / "orchestrator_eval.json").write_text(
        json.dumps({"figures": {"gain_over_best_rule": figure}, "tables": {}})
    )
    lines = reminder(20, results=tmp_path)
    assert len(lines) == 3 and "never 61 %" in lines[1] and "1.5 [1, 2] points" in lines[2]
    assert len(reminder(20, True, tmp_path)) == 1


def test_help_names_no_types_of_python():
    def commands(group, names=()):
        for command in group.registered_commands:
            yield (*names, command.name)
        for sub in group.registered_groups:
            yield from commands(sub.typer_instance, (*names, sub.name))

    found = list(commands(app))
    assert ("train", "policy") in found
    for names in found:
        assert not re.findall(r"--\w+ .*list\[", rarrl(*names, "--help").output), names  # arguments: typer's own way


def test_the_line_under_a_demo_s_missions_is_of_the_committed_results(tmp_path):
    (line,) = mission_reminder(("never", "learned"))
    assert "100 missions each" in line and "never 23 %, learned 94 %" in line
    assert mission_reminder(("no_such_policy",)) == mission_reminder(("never",), tmp_path) == []


def test_help_loads_nothing_that_it_does_not_need():
    heavy = ["numpy", "pydantic", "gymnasium", "matplotlib", "torch", "rclpy"]
    code = f"import rarrl.cli, sys; sys.exit(', '.join(n for n in {heavy} if n in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("rclpy") is None, reason="needs rclpy")
def test_quick_demo_plays_on_ros_and_writes_the_report(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from rarrl.cli import main; main()",
            "demo",
            "--quick",
            "--episodes",
            "2",
            "--out",
            str(tmp_path / "run"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.png").exists() and (tmp_path / "run" / "report.html").exists()
    for name in ("never", "always", "recorded", "LLM s"):
        assert name in done.stdout
    assert len(list((tmp_path / "run").glob("*/events.jsonl"))) == 4


PLAYS = pytest.mark.skipif(
    find_spec("mujoco") is None or find_spec("llama_cpp") is None, reason="needs mujoco and llama.cpp"
)


def plays(monkeypatch, one=fake, at_most=10**6):
    """Lets the demo play `one` in this process in place of missions, and interrupts it after so many."""
    from rarrl_learning.household import demo

    def play_all(settings, seeds, pool=None, progress=None, one_of_theirs=None, keep=None, live=None):
        nonlocal at_most
        for seed in seeds:
            for setting in settings:
                if not at_most:
                    raise KeyboardInterrupt
                at_most -= 1
                played = one(setting, seed, False)
                keep(setting, replace(played, result=replace(played.result, policy=demo.label(setting))))

    monkeypatch.setattr(demo, "play_all", play_all)
    monkeypatch.setattr("rarrl_learning.spread.crew", nullcontext)


@PLAYS
def test_demo_plays_a_table_and_a_mission_and_draws_them_again(tmp_path, monkeypatch):
    plays(monkeypatch)
    done = rarrl("demo", "--table-missions", 12, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    for text in ("12 missions", "1 mission with everything, 6 times each", "12 of 12", "1 of 1", "s in all"):
        assert text in words
    assert words.count("no difference that 12 missions can show") == 2
    assert "2 s for a plan" in words and "learned, a hosted 70B model" in words
    results = json.loads((tmp_path / "run" / "table.json").read_text())
    assert results["figures"]["success_learned_a_hosted_70B_model"]["n"] == 12 and results["command"]
    (tmp_path / "run" / "report.html").unlink()
    assert rarrl("plot", tmp_path / "run").exit_code == 0
    assert "no difference that 12 missions can show" in (tmp_path / "run" / "report.html").read_text()


@PLAYS
def test_demo_without_a_table(tmp_path, monkeypatch):
    plays(monkeypatch)
    done = rarrl("demo", "--table-missions", 0, "--n", 2, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    for text in ("2 missions", "never", "after_failure", "learned", "2 of 2", "report.html"):
        assert text in done.output
    assert "hosted" not in done.output and not (tmp_path / "run" / "table.json").exists()


@PLAYS
def test_demo_with_another_model_measures_it_and_compares_it_with_no_evaluation(tmp_path, monkeypatch):
    plays(monkeypatch, lambda setting, seed, pictures: played(setting.policy, seed))
    done = rarrl("demo", "--llm", "hand_made:Slow", "--n", 1, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "No table of many missions" in done.output
    assert "8 calls of openai:URL#slow" in done.output and "How calls ended: never " in done.output
    assert "Measured over" not in done.output
    assert "Measured over" not in rarrl("plot", tmp_path / "run").output


@PLAYS
def test_demo_with_a_dead_server_plays_nothing(tmp_path):
    done = rarrl("demo", "--llm", "openai:http://localhost:1/v1#x", "--n", 1, "--out", tmp_path / "run")
    assert done.exit_code == 1 and "cannot be asked: " in done.output and "policies" not in done.output


@PLAYS
@pytest.mark.parametrize("count", [0, 24, 35])
def test_an_interrupted_demo_keeps_what_was_played(tmp_path, monkeypatch, count):
    """Of three missions of the table with eleven settings, then one with six."""
    plays(monkeypatch, at_most=count)
    done = rarrl("demo", "--table-missions", 3, "--out", tmp_path / "run")
    assert done.exit_code == 130
    if not count:
        assert "nothing was finished" in done.output
        return
    assert f"`rarrl plot {tmp_path / 'run'}` makes the report" in done.output
    drawn = rarrl("plot", tmp_path / "run")
    assert drawn.exit_code == 0, drawn.output
    assert ("2 of 2" in drawn.output, "3 of 3" in drawn.output) == (count == 24, count == 35)
    assert ("1 of 1" in drawn.output) == (count == 35)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("demo", "--perception", "--n", 3), "--n: not with --perception"),
        (("demo", "--perception", "--quick"), "--quick: not with --perception"),
        (("demo", "--perception", "--table-missions", 3), "--table-missions: not with --perception"),
        (("demo", "--quick", "--table-missions", 3), "--table-missions: not with --quick"),
        (("demo", "--missions", 101), "--n: 101 is not allowed"),
        (("demo", "--table-missions", 301), "--table-missions: 301 is not allowed (allowed: 0 to 300"),
        (("demo", "--llm", "openai:http://x/v1#m", "--table-missions", 5), "--table-missions: only with the shipped"),
    ],
)
def test_what_demo_would_ignore_is_refused(words, message):
    done = rarrl(*words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_live_model_is_measured_before_it_plays(tmp_path, monkeypatch):
    monkeypatch.setattr("rarrl.cli.run.finish", lambda *_: None)
    words = ("replay", "--policy", "always", "--llm", "hand_made:Slow", "--n", 2)
    done = rarrl(*words, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "8 calls of openai:URL#slow: THINK(planner, 1) 3 s" in done.output
    costs = load_profile(tmp_path / "run" / "costs.json")
    assert ReplayTable.from_profile(costs).costs.mean_s == pytest.approx(3.0, rel=0.01)
    log = next((tmp_path / "run").glob("*/events.jsonl")).read_text().splitlines()
    assert json.loads(log[0])["reasoner"] == "hand_made:Slow"

    poor = rarrl(*words, "--time-budget", 1, "--out", tmp_path / "poor")
    assert (
        "warning: a call takes 3 s or more in the mean, and a task may use 1 s: no call can be afforded" in poor.output
    )


def test_a_profile_of_another_model_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("rarrl.cli.run.finish", lambda *_: None)
    words = ("replay", "--policy", NEVER, "--n", 1, "--profile", "household", "--llm", "hand_made:Slow")
    done = rarrl(*words, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "household was recorded with llama:planner.gguf, not with hand_made:Slow" in done.output


@pytest.mark.slow
def test_calls_without_an_answer_are_counted_under_the_table(tmp_path):
    always = 'always:{"recipe": "P2"}'
    done = rarrl("replay", "--policy", always, "--n", 1, "--llm", "hand_made:Slow", "--out", tmp_path / "run")
    assert "calls of hand_made:Slow: " in done.output and " INVALID" in done.output


def test_profiles_and_rules_can_be_listed():
    profiles = rarrl("profile", "list")
    assert profiles.exit_code == 0, profiles.output
    assert "groq-70b" in profiles.output and "103 goals" in profiles.output

    rules = rarrl("rule", "list")
    assert rules.exit_code == 0, rules.output
    assert "after_failure" in rules.output and "failed attempts in a row" in rules.output


def test_number_of_tasks_has_one_name_and_its_old_ones(tmp_path, monkeypatch):
    played = []
    monkeypatch.setattr("rarrl.cli.run.finish", lambda *_: None)
    monkeypatch.setattr("rarrl.cli.run.play", lambda folder, names, config, one: played.append(config.replay.episodes))
    for number, name in enumerate(("--n", "--episodes", "--missions")):
        assert rarrl("replay", "--policy", NEVER, name, 2, "--out", tmp_path / str(number)).exit_code == 0
    assert played == [2, 2, 2]


def test_demo_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("rarrl.cli.demo.find_spec", lambda name: None)
    done = rarrl("demo")
    assert done.exit_code == 2 and "rarrl[sim]" in done.output and "--quick" in done.output


def test_without_a_name_the_shipped_profiles_are_listed():
    result = rarrl("profile", "show")
    assert result.exit_code == 0 and result.stdout.splitlines() == list(shipped_profiles())
    assert "groq-70b" in result.stdout
