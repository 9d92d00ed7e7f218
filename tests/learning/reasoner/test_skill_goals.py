"""What a plan of a robot's skills brings about, and when two plans end alike."""

import pytest

from rarrl.skills.domain import load_robot
from rarrl.skills.plan import Plan
from rarrl_learning.reasoner.skill_goals import Outcomes, Wanted


@pytest.fixture(scope="module")
def outcomes():
    return Outcomes(load_robot("pyrobosim"), {"soda": "fridge", "bread": "pantry"}, ["fridge", "pantry"])


def plan(*rows):
    return Plan.from_rows([row.split() for row in rows])


@pytest.mark.parametrize(
    ("rows", "wanted", "does"),
    [
        (["place soda desk"], [["soda at desk"]], True),
        (["pick soda", "place soda desk"], [["soda at desk"]], True),
        (["place bread desk"], [["soda at desk"]], False),
        (["place soda desk", "place bread desk"], [["soda at desk"]], False),  # the bread was to stay
        (["pick soda"], [["holding soda"]], True),
        (["place soda desk", "close fridge"], [["soda at desk", "not open fridge"]], True),
        (["place soda desk"], [["soda at desk", "not open fridge"]], False),
        (["place soda table"], [["soda at desk"], ["soda at table"]], True),
        (["place soda moon"], [["soda at desk"]], False),
    ],
)
def test_a_plan_does_what_is_wanted_and_nothing_else(outcomes, rows, wanted, does):
    assert outcomes.does(plan(*rows), Wanted.parse(wanted)) is does


def test_plans_that_end_alike_are_the_same(outcomes):
    assert outcomes.same(plan("pick soda", "place soda desk"), plan("place soda desk"))
    assert outcomes.same(plan("navigate table", "place soda desk"), plan("place soda desk"))
    assert not outcomes.same(plan("place soda table"), plan("place soda desk"))
    assert not outcomes.same(plan("navigate table"), plan("navigate desk"))
