from dataclasses import replace

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_learning.household import evaluate as module
from rarrl_learning.household.evaluate import (
    FOLDER,
    DelayedReasoner,
    Row,
    Setting,
    run_mission,
    run_missions,
)
from rarrl_learning.household.trace_recorder import MissionResult, TraceRecorder

PLAN = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "shelf"]])
ROW = Row(
    MissionResult("never", 1, "a goal", True, 1.0, 30.0, 0.0, 0.0, 0, 0, 0, "done"),
    4,
    {"slipped": 1},
    {},
    300,
    0.2,
    0.0,
    20.0,
)


class Quick:
    """Answers at once."""

    name = "quick"

    def ask(self, request):
        return Answer(
            request.decision, request.role, request.level, CallStatus.OK, 0.01, "quick", plan=PLAN, tokens_in=3
        )

    def close(self):
        """Nothing to close."""


def test_a_delayed_reasoner_costs_what_the_profile_says_and_answers_the_same():
    request = Request(1, Role.PLANNER, 1, "put a mug on the shelf", 60.0)
    answers = [DelayedReasoner(Quick(), "groq-70b", seed).ask(request) for seed in range(30)]
    assert {answer.plan for answer in answers if answer.status is CallStatus.OK} == {PLAN}
    assert 0.4 < np.mean([answer.seconds for answer in answers]) < 1.2
    assert all(answer.tokens_in + answer.tokens_out > 100 for answer in answers)
    late = DelayedReasoner(Quick(), "groq-70b", 0).ask(replace(request, deadline_s=0.01))
    assert (late.status, late.plan, late.seconds) == (CallStatus.TIMEOUT, None, 0.01)


def test_what_is_done_is_not_played_again(tmp_path, monkeypatch):
    played = []

    def play(setting, seed, recorder=None):
        played.append((setting.policy, seed))
        return replace(ROW, result=replace(ROW.result, policy=setting.policy, seed=seed))

    monkeypatch.setattr(module, "run_mission", play)
    settings, journal = [Setting("never"), Setting("always")], tmp_path / "missions.jsonl"
    first = run_missions(settings, [1, 2], journal)
    with journal.open("a") as stream:
        stream.write('{"key": "half a li')  # a killed process
    again = run_missions(settings, [1, 2, 3], journal)
    assert len(played) == 6 and again[:2] == first[:2]
    assert [(setting.policy, row.result.seed) for setting, row in again] == [
        (name, seed) for name in ("never", "always") for seed in (1, 2, 3)
    ]


def test_the_command_says_how_many_missions_the_journal_gave(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from rarrl.cli import app

    def play(setting, seed, recorder=None):
        return replace(ROW, result=replace(ROW.result, policy=setting.policy, seed=seed))

    monkeypatch.setattr(module, "run_mission", play)
    journal = tmp_path / "missions.jsonl"
    options = ["--policies", "never", "--ablations", "", "--subgoals", "0", "--journal", str(journal)]
    said = []
    for n in (2, 3, 3):
        result = CliRunner().invoke(app, ["eval", "mission", "--n", str(n), *options])
        assert result.exit_code == 0, result.output
        said.append([line for line in result.stderr.splitlines() if "missions from" in line])
    hint = f"missions from {journal}; give --journal another file to play them again"
    assert said == [[], [f"2 of 3 {hint}"], [f"3 of 3 {hint}"]]


def test_names_that_are_unknown_are_told_before_anything_is_played():
    with pytest.raises(InputError, match="unknown"):
        module.orchestrator_of(Setting("sometimes"))
    with pytest.raises(InputError, match="allowed"):
        module._policy("model_1bpw.gguf")


@pytest.mark.slow
@pytest.mark.skipif(not (FOLDER / "model_3bpw.gguf").exists(), reason="the household's policy is not in the package")
def test_a_whole_mission_with_eyes_policy_gate_and_language_model():
    recorder = TraceRecorder("start")
    row = run_mission(Setting(policy="start"), 50_001, recorder)
    result = row.result
    assert result.collisions == 0 and result.calls >= 1 and result.llm_s > 0.0
    assert result.mission_s >= row.steps * 0.1 - 1e-6 and 0 < row.attempts <= 40
    assert result.success == (result.share == 1.0) and (result.end_reason == "done") == result.success
    trace = recorder.trace()
    assert len(trace.t_s) == row.steps and any(d.action == "think" and d.answer for d in trace.decisions)
