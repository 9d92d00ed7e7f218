"""What a robot believes: outcomes, looks and refusals change it, and a journal keeps it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_robot import toy

from rarrl.skills.beliefs import START_CONFIDENCE, Beliefs, Mark

DOMAIN = toy()
WORLD = DOMAIN.world
START = Beliefs.at_start(WORLD, 5.0)
THINGS, PLACES = st.sampled_from(sorted(WORLD.things)), st.sampled_from(sorted(WORLD.places))


def test_it_begins_with_the_world_file():
    assert START.state == WORLD.start_state()
    assert START.marks["cup", "at", "shelf"] == Mark(START_CONFIDENCE, 5.0)
    assert START.marks["open", "door"] == Mark(START_CONFIDENCE, 5.0)
    assert START.marks["at", "table"] == Mark(START_CONFIDENCE, 5.0)
    assert START.contradicted == 0


def test_driving_changes_place_and_room():
    there = START.give(("at", "shelf"), 6.0, 0.9)
    assert (there.state.at, there.state.room) == ("shelf", "kitchen")
    assert there.marks["at", "shelf"] == Mark(0.9, 6.0)
    assert ("at", "table") not in there.marks
    assert START.give(("at", "door"), 6.0).state.room == "hall"  # it stands on the side that it came from
    assert there.give(("at", "door"), 7.0).state.room == "kitchen"


def test_taking_the_only_one_leaves_no_belief_that_it_is_there():
    held = START.give(("at", "shelf"), 6.0).give(("holding", "cup"), 7.0)
    assert held.state.held == ("cup",)
    assert ("cup", "at", "shelf") not in held.marks
    assert not held.is_ruled_out("cup", "shelf")  # there may be another one
    down = held.give(("at", "table"), 8.0).give(("cup", "at", "table"), 9.0)
    assert down.state.held == ()
    assert down.state.count("cup", "table") == 1


def test_a_contradicted_belief_is_false_from_then_on():
    dropped = START.drop(("cup", "at", "shelf"), 6.0)
    assert dropped.is_ruled_out("cup", "shelf")
    assert dropped.contradicted == 1
    shut = START.drop(("open", "door"), 6.0)
    assert ("open", "door") not in shut.state.flags
    assert ("open", "door") not in shut.marks


def test_a_look_says_what_is_there_and_what_is_not():
    seen = START.observe("shelf", ["plate", "plate"], 6.0)
    assert (seen.state.count("plate", "shelf"), seen.state.count("cup", "shelf")) == (2, 0)
    assert seen.is_ruled_out("cup", "shelf")
    assert seen.contradicted == 1
    assert seen.observe("shelf", ["plate", "plate"], 7.0).contradicted == 1


def test_one_report_more_of_what_is_known_changes_no_count():
    twice = START.sight("cup", "shelf", 6.0, 0.6).sight("cup", "shelf", 7.0, 0.7)
    assert twice.state.count("cup", "shelf") == 1
    assert twice.marks["cup", "at", "shelf"] == Mark(0.7, 7.0)
    assert START.sight("plate", "table", 6.0, 0.6).state.count("plate", "table") == 1


def test_where_a_thing_may_be():
    places = START.likely_places("plate")
    assert places[0] == ("cupboard", pytest.approx(0.8))
    assert [name for name, _ in places[1:]] == ["shelf", "table"]  # equally likely, by name
    assert sum(share for _, share in places) == pytest.approx(1.0)
    without = START.observe("cupboard", [], 6.0).likely_places("plate")
    assert without == (("shelf", pytest.approx(0.5)), ("table", pytest.approx(0.5)))
    hinted = START.hinted({"plate": {"table": 0.9, "moon": 0.1}, "comet": {"table": 1.0}})
    assert hinted.hints == {"plate": {"table": 0.9}}
    assert hinted.likely_places("plate")[0][0] == "table"
    assert START.likely_places("what nobody knows")  # anywhere


def test_a_task_begins_without_what_was_sought_in_vain():
    tired = START.observe("table", [], 6.0).drop(("cup", "at", "shelf"), 7.0).hinted({"plate": {"table": 1.0}})
    fresh = tired.fresh(8.0)
    assert not fresh.is_ruled_out("cup", "shelf")
    assert (fresh.contradicted, fresh.hints) == (0, {})
    assert fresh.state == tired.state
    assert not tired.reconsidered("cup").is_ruled_out("cup", "shelf")
    assert tired.reconsidered("cup").is_ruled_out("plate", "table")


def test_it_is_told_in_sentences():
    told = START.observe("table", [], 6.0).about(["cup", "cupboard", "table"])
    assert told == (
        "the robot is at table",
        "its hand is empty",
        "cup is at shelf",
        "cup is not at table",
        "cupboard is shut",
    )
    held = START.give(("at", "shelf"), 6.0).give(("holding", "cup"), 6.0)
    assert "it holds cup" in held.about(["cup"])


EVENTS = st.one_of(
    st.tuples(st.just("give"), st.tuples(st.just("at"), PLACES)),
    st.tuples(st.just("give"), st.tuples(st.just("holding"), THINGS)),
    st.tuples(st.just("give"), st.tuples(THINGS, st.just("at"), PLACES)),
    st.tuples(st.just("drop"), st.tuples(THINGS, st.just("at"), PLACES)),
    st.tuples(st.just("drop"), st.just(("open", "door"))),
    st.tuples(st.just("observe"), PLACES, st.lists(THINGS, max_size=3)),
    st.tuples(st.just("hinted"), st.dictionaries(THINGS, st.dictionaries(PLACES, st.floats(0.01, 1.0)), max_size=2)),
)


@given(st.lists(EVENTS, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_journal_keeps_all_of_it(events):
    beliefs = START
    for number, (name, *values) in enumerate(events):
        time = () if name == "hinted" else (float(number),)
        beliefs = getattr(beliefs, name)(*values, *time)
        assert all(count > 0 for _, _, count in beliefs.state.located)
    kept = json.loads(json.dumps(beliefs.to_json()))
    assert Beliefs.from_json(WORLD, kept) == beliefs


@pytest.mark.parametrize("broken", [{}, None, {"at": "table"}, {**START.to_json(), "marks": [[1]]}])
def test_what_is_no_beliefs(broken):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Beliefs.from_json(WORLD, broken)


def test_hints_come_as_mappings_or_as_pairs():
    assert START.hinted({"cup": {"shelf": 1.0}}) == START.hinted({"cup": (("shelf", 1.0), ("moon", 0.5))})
