"""The demo's missions: all of them, in order, filmed where they are to be; the table; an end when something dies."""

from dataclasses import replace

import pytest
from demo_players import dies, fake, refuses
from mission_fixtures import result

from rarrl.alfred import TASK_TYPES
from rarrl.errors import InputError, RarrlError
from rarrl_learning.household import demo
from rarrl_learning.household.demo import (
    HOSTED,
    RECORDED_MISSIONS,
    SHIPPED,
    blocks,
    demo_seeds,
    demo_settings,
    label,
    play_all,
    play_table,
    rendered_settings,
    seeds_to_render,
    table_rows,
    table_settings,
    telling_seeds,
)
from rarrl_learning.household.evaluate import FIRST_SEED, orchestrator_of
from rarrl_learning.household.report.mission_table import Block
from rarrl_learning.household.report.trace import Played
from rarrl_learning.spread import crew
from rarrl_sim_envs.household.env import HouseholdEnv


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_policy_plays_every_mission(workers):
    told = []
    settings, seeds = demo_settings("llama"), demo_seeds(3, 0)
    with crew(workers) as pool:
        played = play_all(settings, seeds, pool, lambda done, text: told.append(done), one=fake)
    assert [(p.result.policy, p.result.seed) for p in played] == [(s.policy, seed) for s in settings for seed in seeds]
    assert {p.result.policy for p in played if p.result.goal == "filmed"} == {settings[-1].policy}
    assert told == list(range(1, 3 * len(settings) + 1))


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


def test_calls_cost_what_was_recorded_and_of_another_model_what_they_take():
    shipped, other = demo_settings("llama", None, SHIPPED)[-1], demo_settings("openai:http://localhost:1#m")[-1]
    assert (shipped.latency, other.latency) == ("household", "")
    assert shipped.profile == other.profile == "household-training"  # what the weights were trained with
    hosted = demo_settings("llama", None, HOSTED)[-1]
    assert (hosted.latency, hosted.profile, hosted.policy) == (HOSTED.latency, HOSTED.latency, "learned")
    assert HOSTED.call_s > 50 * SHIPPED.call_s


def test_the_table_plays_what_makes_no_calls_once():
    settings = table_settings()
    assert len(settings) == 11 == len(set(settings))
    assert [s.policy for s in settings].count("never") == 1
    for setting in settings:
        orchestrator_of(setting)  # each is a policy that there is
    names = [label(s) for s in settings]
    assert names[:6] == list(SHIPPED.policies) and "learned, a hosted 70B model" in names


def test_another_seed_has_other_missions_in_its_table():
    assert table_rows(100, 0) == list(range(100)) and not set(table_rows(100, 0)) & set(table_rows(100, 1))
    assert max(table_rows(100, 7)) < RECORDED_MISSIONS and len(set(table_rows(RECORDED_MISSIONS, 3))) == 300


def in_twin(setting, row, pictures):
    """Thinking helps: `never` does every third mission, the others all but the first."""
    success = row % 3 == 0 if setting.policy == "never" else row > 0
    return Played(result(setting.policy, row, success, llm_s=1.0 if setting.latency == "household" else 9.0), ())


def test_the_table_has_a_block_for_each_language_model():
    outcomes = {}
    play_table(table_rows(9, 0), None, keep=lambda s, p: outcomes.setdefault(s, []).append(p.result), one=in_twin)
    shipped, hosted = blocks(outcomes)
    assert list(shipped.results) == list(hosted.results) == list(SHIPPED.policies) and shipped.n == 9
    assert (shipped.thinker, hosted.thinker) == (SHIPPED.name, HOSTED.name)
    assert [row.done for row in shipped.rows()] == [3, 8, 8, 8, 8, 8]
    assert (shipped.rows()[-1].llm_s, hosted.rows()[-1].llm_s) == (1.0, 9.0)
    del outcomes[table_settings()[-1]]
    assert [block.thinker for block in blocks(outcomes)] == [SHIPPED.name]  # nothing of the other yet
    assert blocks({}) == []


def table(**done):
    results = {name: tuple(result(name, seed, seed in own) for seed in range(6)) for name, own in done.items()}
    return Block("x", 1.0, results)


def test_the_mission_that_tells_most_is_rendered():
    fast = table(never={0}, always={0, 1, 2, 3}, learned={0, 1, 2, 3, 4})
    slow = table(never={0}, always={0, 1, 3}, learned={0, 1, 2, 3})
    assert telling_seeds([fast, slow], 3) == [2, 1, 3]  # 4: not by learned with slow calls
    assert seeds_to_render([fast, slow], 1, 0) == [2]
    assert seeds_to_render([], 2, 0) == demo_seeds(2, 0)


def test_what_is_rendered_is_filmed_with_slow_calls():
    settings = rendered_settings("llama")
    assert label(settings[-1]) == "learned beside, a hosted 70B model" and len(settings) == 6
    assert {s.llm for s in settings} == {"llama"}


def test_another_row_is_another_line(monkeypatch):
    """A policy that comes later needs its line alone."""
    slow = replace(HOSTED, policies=HOSTED.policies | {"start": ("start", 0.0)})
    monkeypatch.setattr(demo, "THINKERS", (SHIPPED, slow))
    outcomes = {}
    play_table([0, 1], None, keep=lambda s, p: outcomes.setdefault(s, []).append(p.result), one=in_twin)
    assert [row.policy for row in blocks(outcomes)[1].rows()][-1] == "start"
    assert label(table_settings()[-1]) == "start, a hosted 70B model"


@pytest.mark.slow
def test_a_process_that_dies_is_told():
    with pytest.raises(RarrlError, match="died"), crew(2) as pool:
        play_all(demo_settings("llama"), [1], pool, one=dies)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_a_mission_refuses_is_told(workers):
    with pytest.raises(InputError, match="no such model"), crew(workers) as pool:
        play_all(demo_settings("llama"), [1], pool, one=refuses)
