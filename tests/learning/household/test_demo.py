"""The demo's missions: all of them, in order, filmed where they are to be, and an end when something dies."""

import pytest
from demo_players import dies, fake, refuses

from rarrl.alfred import TASK_TYPES
from rarrl.errors import InputError, RarrlError
from rarrl_learning.household.demo import FILMED, POLICIES, demo_seeds, demo_settings, play_all
from rarrl_learning.household.evaluate import FIRST_SEED
from rarrl_sim_envs.household.env import HouseholdEnv


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_policy_plays_every_mission(workers):
    told = []
    settings, seeds = demo_settings("llama"), demo_seeds(3, 0)
    played = play_all(settings, seeds, workers, lambda done, text: told.append(done), one=fake)
    assert [(p.result.policy, p.result.seed) for p in played] == [(name, seed) for name in POLICIES for seed in seeds]
    assert {p.result.policy for p in played if p.result.goal == "filmed"} == {FILMED}
    assert told == list(range(1, 13))


def test_few_missions_are_one_of_each_type_the_first_in_the_list_of_the_evaluation():
    seven = demo_seeds(len(TASK_TYPES), 0)
    types = {seed: task_type(seed) for seed in range(FIRST_SEED, max(seven) + 1)}
    assert [types[seed] for seed in seven] == list(TASK_TYPES)
    assert all(seed == min(s for s in types if types[s] == types[seed]) for seed in seven)
    assert demo_seeds(3, 0) == seven[:3] and demo_seeds(9, 0)[:7] == seven
    assert len(set(demo_seeds(9, 0))) == 9


def task_type(seed):
    env = HouseholdEnv(stereo=False)
    env.reset(seed=seed)
    return env.mission.task.task_type


def test_another_seed_gives_other_missions():
    assert not set(demo_seeds(4, 0)) & set(demo_seeds(4, 1))


def test_the_shipped_model_s_calls_cost_what_was_recorded_and_are_not_repeated():
    shipped, other = demo_settings("llama")[0], demo_settings("openai:http://localhost:1#m")[0]
    assert (shipped.latency, shipped.remembers, other.latency, other.remembers) == ("household", True, "", False)
    assert shipped.profile == other.profile == "household-training"  # what the weights were trained with


@pytest.mark.slow
def test_a_process_that_dies_is_told():
    with pytest.raises(RarrlError, match="died"):
        play_all(demo_settings("llama"), [1], 2, one=dies)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_a_mission_refuses_is_told(workers):
    with pytest.raises(InputError, match="no such model"):
        play_all(demo_settings("llama"), [1], workers, one=refuses)
