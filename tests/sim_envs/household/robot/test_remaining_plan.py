"""What is left of a plan: by hand for each kind of deed, and as the world's own planner has it for right plans."""

import numpy as np
import pytest

from rarrl.alfred_plans import alfred_plan
from rarrl.reasoner.plan import Plan
from rarrl_sim_envs.household.robot.remaining_plan import Found, progress
from rarrl_sim_envs.household.tasks import draw_mission, remaining_plan

HEAT = Plan.from_rows([["PickupObject", "egg"], ["HeatObject", "egg"], ["PutObject", "egg", "desk"]])
TWO = Plan.from_rows([["PickupObject", "pen"], ["PutObject", "pen", "desk"]] * 2)
BOX = Plan.from_rows(
    [["PickupObject", "pen"], ["PutObject", "pen", "box"], ["PickupObject", "box"], ["PutObject", "box", "bed"]]
)
SLICE = Plan.from_rows(
    [["PickupObject", "knife"], ["SliceObject", "egg"], ["PutObject", "knife", "cart"], *HEAT.to_rows()]
)
LIGHT = Plan.from_rows([["PickupObject", "pen"], ["ToggleObject", "desklamp"]])


def left(plan, *things, held=-1, lit=(), look=lambda name: "shelf"):
    return [" ".join(row) for row in progress(plan, things, held, frozenset(lit), look, "countertop").rows]


def test_at_the_start_all_is_to_do():
    assert left(HEAT, Found(0, "egg", "fridge")) == [
        "GotoLocation fridge",
        "PickupObject egg",
        "GotoLocation microwave",
        "HeatObject egg",
        "GotoLocation desk",
        "PutObject egg desk",
    ]


@pytest.mark.parametrize(
    ("egg", "held", "rows"),
    [
        (Found(0, "egg", "egg"), 0, "GotoLocation microwave|HeatObject egg|GotoLocation desk|PutObject egg desk"),
        (Found(0, "egg", "egg", "", {"HeatObject"}), 0, "GotoLocation desk|PutObject egg desk"),
        (  # dropped, hot
            Found(0, "egg", "egg", "", {"HeatObject"}),
            -1,
            "GotoLocation egg|PickupObject egg|GotoLocation desk|PutObject egg desk",
        ),
        (Found(0, "egg", "desk", "desk", {"HeatObject"}), -1, ""),
        (  # put there cold
            Found(0, "egg", "desk", "desk"),
            -1,
            "GotoLocation desk|PickupObject egg|GotoLocation microwave|HeatObject egg|"
            "GotoLocation desk|PutObject egg desk",
        ),
        (  # nobody knows where
            Found(0, "egg", "", "", {"HeatObject"}),
            -1,
            "GotoLocation shelf|PickupObject egg|GotoLocation desk|PutObject egg desk",
        ),
    ],
)
def test_what_was_done_to_the_thing_is_left_out(egg, held, rows):
    assert "|".join(left(HEAT, egg, held=held)) == rows


def test_a_wrong_thing_in_the_hand_is_put_down_first():
    rows = left(HEAT, Found(0, "egg", "fridge"), Found(1, "mug", "mug"), held=1)
    assert rows[:4] == [
        "GotoLocation countertop",
        "PutObject mug countertop",
        "GotoLocation fridge",
        "PickupObject egg",
    ]


def test_two_carryings_of_a_class_are_of_two_things():
    first, second = Found(0, "pen", "desk", "desk"), Found(1, "pen", "sofa")
    assert left(TWO, first, second) == [
        "GotoLocation sofa",
        "PickupObject pen",
        "GotoLocation desk",
        "PutObject pen desk",
    ]
    assert left(TWO, first, Found(1, "pen", "desk", "desk")) == []
    assert left(TWO, first, Found(1, "pen", "pen"), held=1) == ["GotoLocation desk", "PutObject pen desk"]
    assert len(left(TWO, Found(0, "pen", "sofa"), Found(1, "pen", "bed"))) == 8


def test_what_a_container_holds_goes_with_it():
    pen = Found(0, "pen", "bed", "box")
    assert left(BOX, pen, Found(1, "box", "box"), held=1) == ["GotoLocation bed", "PutObject box bed"]
    assert left(BOX, pen, Found(1, "box", "bed", "bed")) == []
    assert left(BOX, Found(0, "pen", "pen"), Found(1, "box", "sofa"), held=0) == [
        "GotoLocation sofa",
        "PutObject pen box",
        "PickupObject box",
        "GotoLocation bed",
        "PutObject box bed",
    ]


def test_a_tool_that_has_done_its_work_is_only_put_down():
    egg, knife = Found(0, "egg", "fridge", "", {"SliceObject"}), Found(1, "knife", "knife")
    assert left(SLICE, egg, knife, held=1)[:3] == ["GotoLocation cart", "PutObject knife cart", "GotoLocation fridge"]
    assert left(SLICE, egg, Found(1, "knife", "sofa"))[0] == "GotoLocation fridge"
    assert left(SLICE, Found(0, "egg", "fridge"), knife, held=1)[:2] == ["GotoLocation fridge", "SliceObject egg"]


def test_where_the_robot_stands_it_need_not_go():
    rows = progress(LIGHT, (Found(0, "pen", "sofa"),), -1, frozenset(), str, "cart", frozenset({"sofa"})).rows
    assert rows == (("PickupObject", "pen"), ("GotoLocation", "desklamp"), ("ToggleObject", "desklamp"))


def test_a_lamp_that_is_on_stays_on():
    assert left(LIGHT, Found(0, "pen", "pen"), held=0, lit={"desklamp"}) == []
    assert left(LIGHT, Found(0, "pen", "sofa"), lit={"desklamp"}) == ["GotoLocation sofa", "PickupObject pen"]


def test_steps_that_were_never_right_are_written_as_they_stand():
    odd = Plan.from_rows([["PutObject", "mug", "desk"], ["ToggleObject", "desklamp"], ["PickupObject", "unicorn"]])
    assert left(odd) == [
        "GotoLocation desk",
        "PutObject mug desk",
        "GotoLocation desklamp",
        "ToggleObject desklamp",
        "GotoLocation unicorn",
        "PickupObject unicorn",
    ]
    assert progress(odd, (), -1, frozenset({"desklamp"}), str, "cart").done == (odd.steps[1],)


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_right_plans_at_the_start_are_the_worlds_own(seed):
    mission = draw_mission(np.random.default_rng(seed))
    world = mission.world(0, 0, 0.0)
    rows = remaining_plan(world, mission.task)
    things = [Found(i, t.name, world.place_of(i)) for i, t in enumerate(world.things)]
    assert list(progress(alfred_plan(rows), things, -1, frozenset(), str, "countertop").rows) == rows
