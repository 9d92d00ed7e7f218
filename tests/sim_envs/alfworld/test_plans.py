"""ALFRED's plans become plans of this robot in a home."""

import pytest
from alfworld_fixtures import a_game

from rarrl.skills.plan import Plan
from rarrl_sim_envs.alfworld.games import TASK_TYPES
from rarrl_sim_envs.alfworld.plans import alfred_plan_of, plan_for, right_plan
from rarrl_sim_envs.alfworld.robot import domain_of
from rarrl_sim_envs.alfworld.twin import Twin

DOMAIN = domain_of(Twin(a_game()).reset())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["PickupObject", "Mug"], ["PutObject", "Mug", "Desk"]], "put(mug, desk_1)"),
        (
            [["PickupObject", "mug"], ["HeatObject", "mug"], ["GotoLocation", "desk"], ["PutObject", "mug", "desk"]],
            "heat(mug, microwave_1); put(mug, desk_1)",
        ),
        ([["PickupObject", "apple"], ["CleanObject", "apple"], ["PutObject", "apple", "drawer"]],
         "clean(apple, sinkbasin_1); put(apple, drawer_1)"),
        ([["PickupObject", "pan"], ["CoolObject", "pan"], ["PutObject", "pan", "fridge"]],
         "cool(pan, fridge_1); put(pan, fridge_1)"),
        ([["PickupObject", "book"], ["ToggleObject", "desklamp"]], "take(book); use(desklamp)"),
        ([["PickupObject", "book"], ["PickupObject", "pen"], ["PutObject", "pen", "desk"]],
         "take(book); put(pen, desk_1)"),
    ],
)  # fmt: skip
def test_plans(rows, expected):
    plan = plan_for(Plan.from_rows(rows), DOMAIN)
    assert str(plan) == expected
    assert DOMAIN.check(plan) == ""


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["PutObject", "mug", "sofa"], "this home has no 'sofa'"),
        (["SliceObject", "apple"], "nothing that this robot does"),
        (["PutObject", "mug"], "nothing that this robot does"),
        (["Dance"], "nothing that this robot does"),
    ],
)
def test_what_cannot_be_done(row, said):
    with pytest.raises(ValueError, match=said):
        plan_for(Plan.from_rows([row]), DOMAIN)


def test_nothing_to_heat_with():
    bedroom = domain_of(Twin(a_game(home={"Bed_1": (), "Desk_1": ("Mug",)})).reset())
    with pytest.raises(ValueError, match="nothing to heat with"):
        right_plan(a_game("pick_heat_then_place_in_recep"), bedroom)


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_each_type_of_task_has_its_right_plan(task_type):
    thing, place = ("Book", "DeskLamp") if task_type == "look_at_obj_in_light" else ("Apple", "Desk")
    game = a_game(task_type, thing, place)
    plan = right_plan(game, DOMAIN)
    assert DOMAIN.check(plan) == ""
    assert alfred_plan_of(game).steps[0].skill == "PickupObject"
    assert len(plan.steps) == (1 if task_type == "pick_and_place_simple" else 2)
