"""Thinking beside against standing still: the same missions for both, figures by hand, and a network of nine choices
that begins as one of five."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.latency.profile import load_profile
from rarrl.orchestrator.registry import load_policy
from rarrl.orchestrator.rules import make_rule
from rarrl_learning.household import evaluate_beside
from rarrl_learning.household.beside import PRICE, choices, widened
from rarrl_learning.household.evaluate_beside import (
    HostedMissions,
    Missions,
    beside_figures,
    beside_rows,
    tune_hosted,
)
from rarrl_learning.household.recorded_missions import RecordedMissionsCore
from rarrl_learning.orchestrator.scenarios import fixed_episodes
from rarrl_sim_envs.alfred.episodes import EpisodeSampler
from rarrl_sim_envs.household.robot.known_goals import known_goals


def missions(mission_s, success, stood_s=0.0, withdrawn=0.0, saved=0.0):
    n = len(mission_s)
    values = dict.fromkeys(Missions.__dataclass_fields__, np.zeros(n))
    values |= {"task": np.arange(n), "mission_s": np.array(mission_s), "success": np.array(success)}
    values |= {"stood_s": np.full(n, stood_s), "withdrawn": np.full(n, withdrawn), "tokens_saved": np.full(n, saved)}
    return Missions(**values)


def test_figures_by_hand():
    standing = missions([50.0, 70.0], [1.0, 0.0], stood_s=15.0)
    beside = missions([40.0, 50.0], [1.0, 1.0], withdrawn=1.0, saved=30.0)
    played = {"groq-70b": {"learned": {"standing": standing, "beside": beside}}}
    figures = beside_figures(played)
    ratio = figures["mission_time_ratio_beside_learned_groq_70b"]
    assert (ratio.value, ratio.lo, ratio.hi, ratio.n) == (0.75, round(5 / 7, 4), 0.8, 2)
    assert figures["mission_time_ratio_beside"].value == 0.75
    assert figures["success_gained_beside_learned_groq_70b"].value == 50.0
    assert figures["thinking_share_learned_groq_70b"].value == 0.25
    assert figures["withdrawn_calls"].value == 2.0 and figures["tokens_saved_by_withdrawing"].value == 60.0
    assert figures["stale_applied"].value == figures["collisions"].value == 0.0
    assert standing.score == pytest.approx(0.5 - PRICE * 60.0)
    rows = beside_rows(played)
    assert [row["thinks"] for row in rows] == ["standing", "beside"] and rows[1]["withdrawn"] == 2


@pytest.mark.parametrize("driven", [False, True])
def test_the_same_missions_for_both_ways(driven):
    hosted = HostedMissions(load_profile("household-heldout"), ["fireworks-70b"], driven)
    played = {beside: hosted.play(make_rule("start", recipe="P2", beside=beside), 4) for beside in (False, True)}
    again = hosted.play(make_rule("start", recipe="P2", beside=True), 4)
    assert (again.mission_s == played[True].mission_s).all() and (again.task == np.arange(4)).all()
    assert (played[False].stood_s > 1.0).all() and (played[False].beside == 0.0).all()
    assert played[True].beside.sum() >= 2 and played[True].stood_s.sum() < played[False].stood_s.sum()
    assert played[True].collisions.sum() == played[True].stale_applied.sum() == 0.0


def test_both_ways_are_tuned(tmp_path, monkeypatch):
    for name, value in (("TUNED", ("start",)), ("RUNG", 2), ("LAST_RUNG", 4)):
        monkeypatch.setattr(evaluate_beside, name, value)
    tune_hosted(tmp_path / "rules.json", "here")
    table = json.loads((tmp_path / "rules.json").read_text())["conditions"]
    assert table["beside"]["start"]["params"]["beside"] is True and "beside" not in table["standing"]["start"]["params"]
    assert table["beside"]["start"]["tried"] == table["standing"]["start"]["tried"] == 6


def test_a_widened_policy_begins_as_likely_beside_as_standing():
    narrow = load_policy("household")
    wide = widened(narrow)
    core = RecordedMissionsCore(load_profile("household-heldout"), known_goals(), 5, beside=True)
    config = evaluate_beside.MISSION
    core.begin(
        np.arange(5),
        fixed_episodes(EpisodeSampler(core.recordings.bank, [core.recordings.table], config), np.arange(5), 0),
    )
    situation = core.situation()
    odds = wide.probabilities(wide.encode(situation), situation.choice_mask())
    standing = narrow.probabilities(narrow.encode(situation), situation.action_mask())
    free = situation.can_go_on
    assert free.any() and np.allclose(odds[free, 1:5], odds[free, 5:])
    assert np.allclose(odds[~free, :5], standing[~free], atol=1e-6)
    assert choices(False).sum() == 5 and choices(True).all()
    assert wide.value(wide.encode(situation)) == pytest.approx(narrow.value(narrow.encode(situation)), abs=1e-5)


def test_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_beside, "TUNED", ("after_failure",))
    options = [
        "--beside",
        "--n",
        "3",
        "--driven",
        "1",
        "--latency",
        "groq-70b",
        "--json",
        str(tmp_path / "beside.json"),
    ]
    result = CliRunner().invoke(app, ["eval", "mission", *options])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "beside.json").read_text())
    figures, rows = found["figures"], found["tables"]["policies"]
    assert 0.3 < figures["mission_time_ratio_beside"]["value"] < 1.5 and figures["stale_applied"]["value"] == 0
    assert figures["mission_time_ratio_beside_driven"]["n"] == 1 and figures["collisions_driven"]["value"] == 0
    kinds = 5
    assert len(rows) == 2 * kinds + 2 and {row["way"] for row in rows} == {"skipped", "driven"}
    bad = CliRunner().invoke(app, ["eval", "mission", "--beside", "--latency", "grok-70b"])
    assert bad.exit_code != 0 and "groq-70b" in bad.output
