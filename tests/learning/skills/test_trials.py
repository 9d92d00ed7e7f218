from dataclasses import replace

import numpy as np
import pytest

from rarrl.orchestrator.abstain import SIGNALS, Abstention
from rarrl.orchestrator.rules import make_rule
from rarrl_learning import trials
from rarrl_learning.skills.evaluate import ANSWERS, train_costs
from rarrl_learning.skills.recorded_answers import RecordedAnswers
from rarrl_learning.skills.trials import task_of
from rarrl_learning.trials import Terms, Trial
from rarrl_sim_envs.pyrobosim.missions import mission

pytest.importorskip("pyrobosim")


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(task_of(mission(1, "vague", 0)))


@pytest.fixture(scope="module")
def terms() -> Terms:
    answers = RecordedAnswers(ANSWERS)
    return Terms(answers, train_costs(answers))


def test_thinking_costs_seconds_and_what_was_played_is_not_played_again(
    trial: Trial, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    never, start = trial.play(make_rule("never"), terms), trial.play(make_rule("start", recipe="P1"), terms)

    assert (never.calls, never.llm_s, start.calls) == (0, 0.0, 1)
    assert start.llm_s > 0.0 and start.tokens > 0.0

    monkeypatch.setattr(trials, "_Live", None)
    assert trial.play(make_rule("never"), terms) == never == trial.play(make_rule("never"))
    assert trial.play(make_rule("start", recipe="P1"), terms) == start


def test_a_branch_of_a_known_way_is_played_as_if_alone(trial: Trial, terms: Terms) -> None:
    rule = make_rule("interval", every=2, recipe="P1")
    trial.play(make_rule("never"), terms)
    assert trial.play(rule, terms) == Trial(trial.task).play(rule, terms)


def test_a_cap_is_never_overspent_and_shares_what_was_played(trial: Trial, terms: Terms) -> None:
    rule = make_rule("always", recipe="P1")
    free = trial.play(rule, terms)
    cap_s = 1.01 * float(terms.costs.mean_s[0])
    capped = trial.play(rule, replace(terms, cap=(cap_s, 1e9)))
    assert capped.llm_s <= cap_s and 0 < capped.calls < free.calls
    assert capped == Trial(trial.task).play(rule, replace(terms, cap=(cap_s, 1e9)))


def test_a_robot_that_asks_a_person_stops_there(trial: Trial, terms: Terms) -> None:
    always = Abstention(np.zeros(len(SIGNALS)), 0.0, 0.0, 0.9)
    played = trial.play(make_rule("start", recipe="P1"), replace(terms, abstention=always))
    assert (played.asked, played.success, played.skills, played.calls) == (True, False, 0, 1)


def test_a_failed_mission_takes_its_horizon() -> None:
    task = mission(2, "vague", 1)
    played = Trial(task_of(task)).play(make_rule("never"))
    assert played.success == (played.seconds < task.horizon_s)
