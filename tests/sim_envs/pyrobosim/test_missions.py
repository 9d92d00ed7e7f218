"""Missions for pyrobosim's robot are data, drawn by their seed, and not won before they begin."""

import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.pyrobosim.missions import (
    GOALS,
    TEST_SEEDS,
    TRAIN_SEEDS,
    USUAL_PLACES,
    VAGUE_TEST,
    VAGUE_TRAIN,
    VARIANTS,
    mission,
    missions_to_test,
)
from rarrl_sim_envs.pyrobosim.robot import DOORS, THINGS, Truth


def truth(m, things=None, shut=None):
    return Truth(tuple(sorted(things or m.setup.things)), m.setup.shut if shut is None else shut, "dining", None, 100.0)


def test_thirty_of_each_none_twice_and_none_in_training():
    missions = list(missions_to_test(30))
    assert len({m.name for m in missions}) == len(missions) == 30 * len(GOALS) * len(VARIANTS)
    assert all(m.seed in TEST_SEEDS and m.seed not in TRAIN_SEEDS for m in missions)


def test_no_mission_is_won_at_the_beginning():
    assert [m.name for m in missions_to_test(30) if m.goal.met(truth(m))] == []


def test_a_seed_draws_the_same_mission_again():
    for number, variant in ((1, "vague"), (3, "hidden"), (2, "doors"), (4, "battery")):
        assert mission(number, variant, 7) == mission(number, variant, 7)
        assert len({str(mission(number, variant, seed)) for seed in range(8)}) == 8


def test_hidden_things_lie_mostly_where_one_would_look():
    drawn = [dict(mission(3, "hidden", seed).setup.things) for seed in range(400)]
    share = sum(things["butter"] == "fridge" for things in drawn) / 400
    weights = {place: weight for place, weight in USUAL_PLACES["butter"].items() if place != "table"}
    assert share == pytest.approx(weights["fridge"] / sum(weights.values()), abs=0.06)
    assert all(things["butter"] != "table" for things in drawn)
    assert all(sum(places.values()) == pytest.approx(1) for places in USUAL_PLACES.values())


def test_vague_sentences_name_no_thing_and_test_words_are_new():
    train = {text for by_goal in VAGUE_TRAIN.values() for texts in by_goal.values() for text in texts}
    test = {text for by_goal in VAGUE_TEST.values() for texts in by_goal.values() for text in texts}
    assert not train & test
    assert [text for text in train | test if any(thing in text.lower() for thing in THINGS)] == []
    assert all(VAGUE_TRAIN[number].keys() == VAGUE_TEST[number].keys() for number in GOALS)


def test_the_goal_says_what_is_open_and_counts_no_stray():
    m = mission(2, "plain", TEST_SEEDS[0])
    assert m.goal.open_points(truth(m)) == ["2 more waste at dumpster"]
    moved = [("waste", "dumpster") if thing == "waste" else (thing, place) for thing, place in m.setup.things]
    assert m.goal.open_points(truth(m, moved, frozenset())) == ["dumpster shut"]
    assert m.goal.met(truth(m, moved)) and m.strays(truth(m, moved)) == []
    moved[0] = ("bread", "desk")
    assert m.goal.met(truth(m, moved)) and m.strays(truth(m, moved)) == [("bread", "desk")]


def test_doors_are_shut_at_random_and_nobody_says_so():
    drawn = [mission(1, "doors", seed).setup for seed in range(50)]
    assert len({setup.shut for setup in drawn}) > 30
    assert all(not setup.known_states and setup.shut & set(DOORS) <= set(DOORS) for setup in drawn)


@pytest.mark.parametrize(("number", "variant", "seed"), [(5, "plain", 0), (1, "easy", 0), (1, "plain", -1)])
def test_an_unknown_mission_is_an_error(number, variant, seed):
    with pytest.raises(InputError):
        mission(number, variant, seed)
