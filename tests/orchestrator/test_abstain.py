"""Asking a person: the score, the promise that its threshold keeps, and the decision that comes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rarrl.build import make_orchestrator
from rarrl.errors import InputError
from rarrl.orchestrator.abstain import SIGNALS, Abstention, conformal_threshold, load_abstention, signals_of
from rarrl.orchestrator.rules import make_rule
from rarrl.types import Action, ActStatus, Budget, PlanStatus, StateSummary, StepView

PLAN = PlanStatus(0, 0.9, 0.9, 0, 0, 0.5, (False, False), 0, False, 6, 0)
SUMMARY = StateSummary((StepView("go"), StepView("take")), 0, 0, 20)


def doubting(threshold, **weights):
    return Abstention(np.array([weights.get(name, 0.0) for name in SIGNALS]), 0.0, threshold, 0.9)


def started(abstention, rule="never"):
    made = make_orchestrator(make_rule(rule), "gpt4o-mini-anchor")
    made.abstention = abstention
    made.start(Budget.full(20.0, 4000.0))
    return made


def test_signals_say_nothing_of_names_and_follow_what_the_robot_knows():
    made = started(None)
    before = signals_of(made.situation(SUMMARY, PLAN))[0]
    renamed = replace(SUMMARY, subgoals=tuple(replace(step, name="other") for step in SUMMARY.subgoals))
    assert np.array_equal(before, signals_of(made.situation(renamed, PLAN))[0])
    made.record_act(ActStatus.FAILURE, False)
    after = signals_of(made.situation(SUMMARY, replace(PLAN, similarity=0.4)))[0]
    changed = {name for name, a, b in zip(SIGNALS, before, after, strict=True) if a != b}
    assert {"default_doubt", "consecutive_failures", "ema_failure"} <= changed


def test_it_asks_in_place_of_acting_once_in_a_task():
    made = started(doubting(0.6, consecutive_failures=2.0))
    first = made.decide(SUMMARY, plan=PLAN)
    assert (first.action, first.asks_person) == (Action.ACT, False)
    made.record_act(ActStatus.FAILURE, False)
    asked = made.decide(SUMMARY, plan=PLAN)
    assert (asked.action, asked.asks_person) == (Action.ACT, True)
    assert asked.why == "fails with probability 0.73 (asks from 0.60)"
    assert not made.decide(SUMMARY, plan=PLAN).asks_person  # a person has been asked
    made.start(Budget.full(20.0, 4000.0))
    made.record_act(ActStatus.FAILURE, False)
    assert made.decide(SUMMARY, plan=PLAN).asks_person


def test_a_robot_that_would_think_thinks_first():
    made = started(doubting(0.0), rule="always")
    decision = made.decide(SUMMARY, plan=PLAN)
    assert (decision.action.level > 0, decision.asks_person) == (True, False)


@pytest.mark.parametrize("promise", [0.8, 0.9, 0.95])
def test_the_threshold_announces_the_promised_share_of_failing_tasks(promise):
    """Over many calibrations of 59: the mean coverage is between the promise and 1 / 60 above it."""
    rng = np.random.default_rng(0)
    covered = [np.mean(rng.beta(4, 2, 400) >= conformal_threshold(rng.beta(4, 2, 59), promise)) for _ in range(1500)]
    assert promise - 0.005 <= np.mean(covered) <= promise + 1 / 60 + 0.005


def test_too_few_failing_tasks_promise_nothing_but_always_asking():
    assert conformal_threshold(np.array([0.9] * 8), 0.9) == 0.0
    assert conformal_threshold(np.array([0.9] * 9), 0.9) == 0.9


def test_a_file_is_read_as_it_was_written(tmp_path):
    made = doubting(0.3, default_doubt=1.5, progress=-0.25)
    (tmp_path / "abstain.json").write_text(json.dumps({**made.to_json(), "card": {"command": "x"}}))
    read = load_abstention(tmp_path / "abstain.json")
    assert np.array_equal(read.weights, made.weights)
    assert (read.bias, read.threshold, read.promise) == (0.0, 0.3, 0.9)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"weights": {"colour": 1.0}}, "weights has 'colour' (allowed: plan_doubt"),
        ({"threshold": 2.0}, "threshold must be 0 to 1"),
        ({"bias": "big"}, "could not convert string to float"),
        ({"weights": 3}, "int"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, change, says):
    file = tmp_path / "abstain.json"
    file.write_text(json.dumps({**doubting(0.3).to_json(), **change}))
    with pytest.raises(InputError, match=r"abstention: .*abstain\.json") as caught:
        load_abstention(file)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError):
        make_orchestrator("never", abstain=str(file))
