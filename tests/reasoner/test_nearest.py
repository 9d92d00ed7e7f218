"""Examples by similarity: the nearest last, each plan once, never the answer itself."""

import pytest

from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan


def plan(thing, place):
    return Plan.from_rows([["PickupObject", thing], ["PutObject", thing, place]])


KNOWN = [
    ("put the mug on the desk", plan("mug", "desk")),
    ("bring a mug to the desk", plan("mug", "desk")),
    ("put the mug on the shelf", plan("mug", "shelf")),
    ("put the pen on the bed", plan("pen", "bed")),
]


def test_the_nearest_goals_come_last_and_each_plan_once():
    found = NearestGoal(goals=KNOWN).examples("carry the mug to a desk", 3)
    assert [what for _, what in found] == [plan("pen", "bed"), plan("mug", "shelf"), plan("mug", "desk")]


@pytest.mark.parametrize("goal", ["put the mug on the desk", "Put the MUG, on the desk!"])
def test_a_plan_that_is_known_under_this_very_goal_is_left_out(goal):
    assert plan("mug", "desk") not in [what for _, what in NearestGoal(goals=KNOWN).examples(goal, 9)]


def test_there_are_no_more_than_there_are():
    known = NearestGoal(goals=KNOWN)
    assert len(known.examples("mug", 9)) == 3 and known.examples("mug", 0) == []
    assert len(known.examples("把杯子放在桌子上", 2)) == 2


def test_goals_may_come_with_plans_of_alfred_or_without(made_up_plans):
    known = NearestGoal(made_up_plans, KNOWN)
    assert known.recall("bring a mug to the desk").plan == plan("mug", "desk")
    assert known.recall("the sofa needs a hot egg").plan.to_rows()[1] == ["HeatObject", "egg"]
