"""As much PDDL as ALFWorld's problems hold."""

import pytest
from alfworld_fixtures import KITCHEN, problem

from rarrl.errors import InputError
from rarrl_sim_envs.alfworld.pddl import holds, read_problem

HOT_MUG = ["and", ["exists", ["?o", "-", "object"], ["and", ["is", "?o", "mug"], ["hot", "?o"]]]]
TWO = ["and", ["in", "?a", "?r"], ["in", "?b", "?r"], ["not", ["=", "?a", "?b"]]]


def test_a_problem_is_read():
    read = read_problem(problem(KITCHEN, "(and (isHot mug_1)) ; a comment"), "here")
    assert ("loc_start",) in {row[1:] for row in read.facts["atlocation"]}
    assert len(read.facts["receptacletype"]) == len(KITCHEN)
    assert read.goal == ["and", ["ishot", "mug_1"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no PDDL problem"),
        ("(:goal (a)) (:init (b))", "no PDDL problem"),
        ("(:init (b)) (:goal (a)", "brackets do not match"),
        ("(:init (b)) (:goal " + "(" * 100, "nested too deeply"),
        ("(:init (b)) (:goal (a) (b))", "its goal has 2 parts"),
    ],
)
def test_what_is_no_problem_is_refused(text, said):
    with pytest.raises(InputError, match=said) as error:
        read_problem(text, "game 7")
    assert str(error.value).startswith("game 7: ")


@pytest.mark.parametrize(
    ("goal", "facts", "expected"),
    [
        (HOT_MUG, {"is": {("m", "mug")}, "hot": {("m",)}}, True),
        (HOT_MUG, {"is": {("m", "mug"), ("n", "pan")}, "hot": {("n",)}}, False),
        (HOT_MUG, {}, False),
        (TWO, {"in": {("a", "r"), ("b", "r")}}, True),
        (TWO, {"in": {("a", "r"), ("b", "s")}}, False),
        (TWO, {"in": {("a", "r")}}, False),
    ],
)
def test_goals(goal, facts, expected):
    assert holds(goal, facts) is expected


@pytest.mark.parametrize("goal", ["hot", [], ["or", ["hot", "m"]], ["forall", ["?o"], ["hot", "?o"]]])
def test_what_no_game_has_is_refused(goal):
    with pytest.raises(ValueError, match=r"is no goal|is not allowed in a goal"):
        holds(goal, {})
