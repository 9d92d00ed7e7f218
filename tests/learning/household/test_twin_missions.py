"""Missions without pictures: recorded answers, the price of a call, the same luck for all."""

from dataclasses import replace

import pytest

from rarrl.latency.profile import load_profile
from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_learning.household.demo import HOSTED, RECORDED_MISSIONS, table_settings
from rarrl_learning.household.evaluate import Setting
from rarrl_learning.household.record_answers import HELD_OUT_SEED, TRAINING_SEED
from rarrl_learning.household.twin_missions import HELD_OUT, RecordedAnswers, play_in_twin, recorded


def test_what_was_recorded_is_answered():
    answers = recorded()
    reasoner = RecordedAnswers(answers, 0)
    plan = reasoner.ask(Request(5, Role.PLANNER, 2, "", 60.0))
    assert (plan.decision, plan.level, plan.status) == (5, 2, CallStatus.OK) and plan.plan is not None
    judged = reasoner.ask(Request(6, Role.VERIFIER, 1, "", 60.0, plan=plan.plan))
    assert judged.verdict is not None and judged.decision == 6
    with pytest.raises(KeyError):
        reasoner.ask(Request(7, Role.VERIFIER, 1, "", 60.0, plan=Plan(())))  # of this plan nothing was asked


def test_no_mission_of_the_table_was_one_to_learn_from():
    held_out, training = recorded(), recorded("household-training")
    assert len(held_out) == RECORDED_MISSIONS
    ours = {held_out.seed(row) for row in range(len(held_out))}
    assert ours == set(range(HELD_OUT_SEED, HELD_OUT_SEED + RECORDED_MISSIONS))
    assert not ours & {training.seed(row) for row in range(len(training))} and TRAINING_SEED not in ours
    assert load_profile(HELD_OUT).world == load_profile("household-training").world


def test_calls_cost_what_the_profile_says_and_the_same_mission_comes_twice():
    always = Setting("always", latency="household", costs="household-training")
    first, again = (play_in_twin(always, 1).result for _ in range(2))
    slow = play_in_twin(replace(always, latency=HOSTED.latency, costs=HOSTED.costs), 1).result
    assert first == again and first.seed == HELD_OUT_SEED + 1 and first.calls > 2
    assert 0 < first.llm_s < 4 < slow.llm_s <= 20
    assert slow.mission_s > first.mission_s + 4  # the robot stands meanwhile


def test_without_calls_nothing_is_paid():
    never = play_in_twin(table_settings()[0], 0).result
    assert (never.policy, never.calls, never.llm_s, never.tokens) == ("never", 0, 0.0, 0.0)
    assert 0 < never.mission_s <= 240 and never.goal


def test_other_recordings_and_no_driving():
    setting = Setting("interval", latency="household", costs="household-training")
    played = play_in_twin(setting, 3, recording="household-training", drives=False).result
    assert played.seed == TRAINING_SEED + 3 and played.calls and not played.collisions


def test_a_mission_does_not_depend_on_those_before_it():
    """What calls cost is learned within a mission: else a table would depend on which process plays which missions."""
    hosted = Setting("learned", latency=HOSTED.latency, costs=HOSTED.costs, cost_weight=0.02)
    numbers = range(8)
    forth = {number: play_in_twin(hosted, number).result for number in numbers}
    assert forth == {number: play_in_twin(hosted, number).result for number in reversed(numbers)}
