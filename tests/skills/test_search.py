"""What prepares a step, from what is believed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_robot import SKILLS, plan, step, toy

from rarrl.skills.beliefs import Beliefs
from rarrl.skills.domain import Domain, load_robot
from rarrl.skills.facts import Condition, State
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.plan import Step
from rarrl.skills.search import Search
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World

TOY = toy()
SEARCH = Search(TOY)
START = Beliefs.at_start(TOY.world)
SHUT = START.drop(("open", "door"), 1.0)
NO_CUP = START.drop(("cup", "at", "shelf"), 1.0)
PLACES = sorted(TOY.world.places)


def rows(found):
    return [" ".join([each.skill, *each.arguments]) for each in found.steps]


@pytest.mark.parametrize(
    ("row", "beliefs", "expected"),
    [
        ("go shelf", START, ["go shelf"]),
        ("go shelf", SHUT, ["go door", "open door", "go shelf"]),
        ("pick cup", START, ["go shelf", "pick cup"]),
        ("put cup table", START, ["go shelf", "pick cup", "go table", "put cup table"]),
        (
            "put cup cupboard",
            START,
            ["go cupboard", "open cupboard", "go shelf", "pick cup", "go cupboard", "put cup cupboard"],
        ),
        ("shut door", START, ["go door", "shut door"]),
        ("look table", START, ["look table"]),
    ],
)
def test_what_comes_first(row, beliefs, expected):
    found = SEARCH.prepare(step(row), beliefs)
    assert rows(found) == expected
    assert (found.looks_for, found.fault) == ("", "")


@pytest.mark.parametrize(
    ("share", "first"),
    [
        (0.8, ["go cupboard", "open cupboard", "look cupboard"]),  # likely
        (0.4, ["look table"]),  # three in ten, and the robot stands there
    ],
)
def test_it_looks_where_a_thing_is_likely_or_near(share, first):
    home = toy(things={"plate": {"usual": {"cupboard": share}}, "cup": {}})
    found = Search(home).prepare(step("pick plate"), Beliefs.at_start(home.world))
    assert (rows(found), found.looks_for) == (first, "plate")


def test_it_does_not_look_twice_at_the_same_place():
    empty = START.observe("cupboard", [], 1.0).observe("table", [], 1.0)
    assert rows(SEARCH.prepare(step("pick plate"), empty)) == ["go shelf", "look shelf"]


def test_nowhere_left_to_look():
    nowhere = NO_CUP
    for place in PLACES:
        nowhere = nowhere.observe(place, [], 1.0)
    found = SEARCH.prepare(step("put cup table"), nowhere)
    assert (found.steps, found.looks_for) == ((), "cup")
    assert found.fault == "cup was not found at any place that can be reached"


def test_barred_steps_are_not_used():
    found = SEARCH.prepare(step("put cup table"), START, frozenset([step("pick cup")]))
    assert found.steps == ()
    assert found.fault.startswith("no way to ")


def test_what_is_where_the_plan_wants_it_is_not_taken_away_again():
    beliefs = START.give(("cup", "at", "table"), 1.0)  # one on the table, one on the shelf
    both = plan("put cup table", "put cup table")
    kept = SEARCH.ends_of(both)
    assert kept == {("cup", "table")}
    assert rows(SEARCH.prepare(step("put cup table"), beliefs, kept=kept))[:2] == ["go shelf", "pick cup"]
    assert rows(SEARCH.prepare(step("put cup table"), beliefs))[0] == "pick cup"


def test_what_the_plan_changes_first_may_be_taken_from_where_the_plan_wants_it():
    washing = {
        "does": "washes",
        "parameters": {"thing": "portable"},
        "needs": ["holding {thing}"],
        "gives": ["clean {thing}"],
        "run": {"python": "toy:wash"},
    }
    home = Domain(SkillSet(**{**SKILLS, "skills": {**SKILLS["skills"], "wash": washing}}), TOY.world)
    search, beliefs = Search(home), START.give(("cup", "at", "table"), 1.0).drop(("cup", "at", "shelf"), 1.0)
    washed = plan("wash cup", "put cup table")
    assert search.ends_of(washed) == frozenset()
    assert rows(search.prepare(step("wash cup"), beliefs, kept=search.ends_of(washed))) == ["pick cup", "wash cup"]
    assert search.ends_of(washed, [step("put cup table")]) == {("cup", "table")}  # it is one that this plan has put


def test_a_skill_without_needs_is_tried_as_it_is():
    alfred = load_robot("alfred")
    found = Search(alfred).prepare(step("GotoLocation desk"), Beliefs.at_start(alfred.world))
    assert rows(found) == ["GotoLocation desk"]


def test_doors_on_the_way_and_a_look_here():
    assert SEARCH.doors_to(("shelf",), START.state) == ("door",)
    assert SEARCH.doors_to(("table",), START.state) == ()
    assert SEARCH.doors_to(("shelf",), SHUT.state) == ()
    assert SEARCH.look_here(START.state) == step("look table")
    assert SEARCH.look_here(START.give(("at", "cupboard"), 1.0).state) is None  # it is shut
    assert SEARCH.go_to("shelf", SHUT.state) == plan("go door", "open door", "go shelf").steps


def test_seconds_count_the_way_and_failures():
    assert SEARCH.seconds(step("go shelf"), START.state) == pytest.approx((2.0 + 6.0) / 0.8)
    assert SEARCH.seconds(step("pick cup"), START.state) == pytest.approx(2.0 / 0.8)


STATES = st.builds(
    lambda at, located, flags, held: State(
        at,
        TOY.world.room_of(at),
        tuple(held),
        frozenset((thing, place, 1) for thing, place in located),
        frozenset(("open", name) for name in flags),
    ),
    st.sampled_from(PLACES),
    st.sets(st.tuples(st.sampled_from(["cup", "plate"]), st.sampled_from(PLACES)), max_size=4),
    st.sets(st.sampled_from(["door", "cupboard"])),
    st.lists(st.sampled_from(["cup", "plate"]), max_size=1),
)


def after(steps, state):
    """The state after `steps`, each of which must be possible."""
    for each in steps:
        skill, arguments = TOY.skill(each), TOY.arguments(each)
        for need in skill.conditions:
            assert TOY.world.holds(need.filled(arguments), state), f"{each} needs {need}"
        state = SEARCH.apply(tuple(effect.filled(arguments) for effect in skill.effects), state)
    return state


@given(STATES, st.sampled_from([each.step for each in SEARCH._deeds]))
@settings(max_examples=30, deadline=None)
def test_what_is_prepared_can_be_done_and_a_way_is_found_where_there_is_one(state, wanted):
    found = SEARCH.prepare(wanted, Beliefs(TOY.world, state))
    after(found.steps, state)
    if not found.looks_for and not found.fault:
        assert found.steps[-1] == wanted
    if found.fault:  # in this home each door can be opened and each hand emptied
        assert found.looks_for or wanted.skill in ("put", "pick")


def test_a_need_that_nothing_gives():
    assert SEARCH.reach((Condition.parse("clean cup"),), START.state) is None


def test_skills_with_few_steps_come_first_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr("rarrl.skills.search.MAX_GROUNDED", 10)
    run = {"python": "my.robot:go"}
    move = {"does": "x", "parameters": {"a": "thing", "b": "thing"}, "run": run, "gives": ["moved {a}"]}
    go = {"does": "x", "parameters": {"to": "place"}, "run": run, "gives": ["at {to}"]}
    world = World(places={"desk": {}, "bed": {}}, things={f"t{n}": {} for n in range(8)}, start="bed")
    robot = Domain(SkillSet(skills={"move": move, "go": go}), world)
    assert Search(robot).go_to("desk", world.start_state()) == (Step("go", ("desk",)),)


def test_a_forbidden_skill_is_not_looked_at_step_by_step(monkeypatch):
    run = {"python": "my.robot:go"}
    swap = {"does": "x", "parameters": dict.fromkeys("abc", "thing"), "run": run}
    world = World(things={f"t{n}": {} for n in range(150)})
    robot = Domain(SkillSet(skills={"swap": swap}), world, OperatorPolicy(forbidden_skills=["swap"]))
    monkeypatch.setattr(Domain, "check_step", lambda self, step: pytest.fail("a step of it was looked at"))
    Search(robot)
