"""Recorded answers of missions, looked up again."""

import pytest

from rarrl.latency.profile import load_profile
from rarrl.types import Action, CallStatus
from rarrl_learning.household.record_answers import HELD_OUT_SEED, MissionAnswers


@pytest.fixture(scope="module")
def profile():
    return load_profile("household-heldout")


def test_an_answer_is_the_recorded_call(profile):
    answers = MissionAnswers(profile)
    assert len(answers) == len(profile.tasks) and answers.seed(0) == HELD_OUT_SEED
    call = next(r for r in profile.records if (r.task, r.role, r.level) == (0, "planner", 1))
    found = answers.answer(0, Action.PLANNER_1, plan=None)
    assert found.seconds == call.total_s and (found.tokens_in, found.tokens_out) == (call.tokens_in, call.tokens_out)
    assert (found.plan is not None) == (found.status is CallStatus.OK)


def test_its_seconds_can_be_stretched_and_nothing_else_changes(profile):
    answers = MissionAnswers(profile)
    plain = answers.answer(1, Action.PLANNER_2, plan=None)
    slow = answers.answer(1, Action.PLANNER_2, plan=None, stretch=3.0)
    assert slow.seconds == pytest.approx(3 * plain.seconds) and slow.plan == plain.plan
