"""Rollouts of missions on recorded answers: what thinking is worth, and that tuning ranks by it."""

import numpy as np
import pytest

from rarrl.latency.profile import load_profile
from rarrl.orchestrator.rules import make_rule
from rarrl_learning.household.train_orchestrator import MISSION, MissionRollouts, compare


@pytest.fixture(scope="module")
def profile():
    return load_profile("household-heldout")


def test_thinking_wins_missions(profile):
    rollouts = MissionRollouts(profile)
    never, _ = rollouts.play(make_rule("never"), MISSION, 60)
    always, seconds = rollouts.play(make_rule("always", recipe="P2"), MISSION, 60)
    assert always.success.mean() > never.success.mean() + 0.3 and seconds > 10
    right = [task.default_correct for task in profile.tasks[:60]]
    assert never.success.mean() <= np.mean(right) + 0.1
    rows = compare(profile, {"never": make_rule("never")}, MISSION, 60)
    assert rows["never"]["success"] == pytest.approx(never.success.mean(), abs=1e-4)


def test_the_same_missions_come_out_the_same(profile):
    rollouts = MissionRollouts(profile)
    rule = make_rule("after_failure", failures=1, recipe="P2")
    once, again = (rollouts.results(rule, MISSION, 6, seed=2) for _ in range(2))
    assert np.array_equal(once.success, again.success) and np.array_equal(once.seconds, again.seconds)
