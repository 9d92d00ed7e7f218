"""ALFRED's plans: what is dropped from rows, filled in, and left out of a comparison."""

import pytest

from rarrl.alfred import STEP_VIEWS, AlfredPlan, SubgoalType
from rarrl.alfred_plans import (
    ALFRED_DOMAIN,
    CONTAINERS,
    VERBS,
    alfred_plan,
    expert_plan,
    normal_form,
    same_plan,
    same_steps,
)
from rarrl.skills.beliefs import Beliefs
from rarrl.skills.plan import Plan, Step
from rarrl.skills.search import Search

SLICED = [["PickupObject", "knife"], ["SliceObject", "egg"], ["PutObject", "knife", "desk"]]


def test_verbs_are_those_of_the_data_set_in_its_order():
    assert ("GotoLocation", *VERBS) == tuple(kind.name for kind in SubgoalType)
    assert {"bowl", "box", "cup", "mug", "pan", "plate", "pot"} == CONTAINERS


def test_the_orchestrator_and_the_files_say_the_same_of_a_step():
    for name, skill in ALFRED_DOMAIN.skills.skills.items():
        view = STEP_VIEWS[name]
        assert view.failures == pytest.approx(1.0 - skill.prior.success)
        known = (skill.prior.weight, skill.irreversible_share, skill.expected_s)
        assert (view.attempts, view.irreversible, view.seconds) == known


def test_walks_are_dropped_and_unknown_verbs_refused():
    assert alfred_plan([["GotoLocation", "desk"], *SLICED, ["NoOp"]]) == Plan.from_rows(SLICED)
    with pytest.raises(ValueError, match="unknown verb 'Fly'"):
        alfred_plan([["Fly"]])


def test_what_the_data_set_leaves_out_is_what_the_hand_holds():
    kinds = (SubgoalType.GotoLocation, SubgoalType.PickupObject, SubgoalType.CleanObject)
    source = AlfredPlan("pick_clean_then_place_in_recep", "", "", kinds, (("desk",), ("mug",), ("",)), (1, 1, 1))
    assert expert_plan(source) == Plan((Step("PickupObject", ("mug",)), Step("CleanObject", ("mug",))))


def test_which_knife_slices_and_where_it_is_left_is_no_difference():
    other = Plan.from_rows(
        [["PickupObject", "butterknife"], ["SliceObject", "egg"], ["PutObject", "butterknife", "bed"]]
    )
    assert same_plan(other, Plan.from_rows(SLICED)) and same_steps(other, Plan.from_rows(SLICED)) == 3
    assert normal_form(Plan.from_rows(SLICED[:1])) == Plan.from_rows(SLICED[:1])
    assert same_steps(Plan.from_rows(SLICED[:2]), Plan.from_rows([SLICED[0]])) == 1


def test_the_free_planner_knows_what_the_files_say():
    beliefs = Beliefs.at_start(ALFRED_DOMAIN.world).give(("apple", "at", "shelf"), 0.0)
    steps = Search(ALFRED_DOMAIN).prepare(Step("HeatObject", ("apple",)), beliefs).steps
    assert [str(step) for step in steps] == [
        "GotoLocation(shelf)",
        "PickupObject(apple)",
        "GotoLocation(microwave)",
        "HeatObject(apple)",
    ]
