"""The demo's missions: all of them, in order, filmed where they are to be, and an end when something dies."""

import pytest
from demo_players import dies, fake, refuses

from rarrl.errors import InputError, RarrlError
from rarrl_learning.household.demo import FILMED, POLICIES, demo_seeds, demo_settings, play_all
from rarrl_learning.household.evaluate import FIRST_SEED


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_policy_plays_every_mission(workers):
    told = []
    settings, seeds = demo_settings("llama"), demo_seeds(3, 0)
    played = play_all(settings, seeds, workers, lambda done, text: told.append(done), one=fake)
    assert [(p.result.policy, p.result.seed) for p in played] == [(name, seed) for name in POLICIES for seed in seeds]
    assert {p.result.policy for p in played if p.result.goal == "filmed"} == {FILMED}
    assert told == list(range(1, 13))


def test_seeds_are_their_own():
    assert demo_seeds(2, 0) == [FIRST_SEED, FIRST_SEED + 1]
    assert not set(demo_seeds(100, 0)) & set(demo_seeds(100, 1))


@pytest.mark.slow
def test_a_process_that_dies_is_told():
    with pytest.raises(RarrlError, match="died"):
        play_all(demo_settings("llama"), [1], 2, one=dies)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_a_mission_refuses_is_told(workers):
    with pytest.raises(InputError, match="no such model"):
        play_all(demo_settings("llama"), [1], workers, one=refuses)
