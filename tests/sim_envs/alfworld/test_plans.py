"""ALFRED's plans become plans of this robot in a home."""

import os
from pathlib import Path

import pytest
from alfworld_fixtures import a_game

from rarrl.clock import ManualClock
from rarrl.executive.executive import TaskExecutive
from rarrl.executive.play import play_task
from rarrl.skills.nearest import Recalled
from rarrl.skills.plan import Plan
from rarrl_sim_envs.alfworld.games import TASK_TYPES, read_games
from rarrl_sim_envs.alfworld.plans import alfred_plan_of, plan_for, right_plan
from rarrl_sim_envs.alfworld.robot import AlfworldPlayer, domain_of
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


FOLDER = Path(os.environ.get("ALFWORLD_DATA", ""))


@pytest.mark.skipif(
    not os.environ.get("ALFWORLD_DATA"), reason="needs ALFWorld's games: set ALFWORLD_DATA to their folder"
)
def test_right_plans_win_nearly_all_games_of_the_data_set():
    games = read_games(FOLDER, "valid_seen")[::10]
    won = 0
    for game in games:
        twin = Twin(game)
        domain = domain_of(twin.reset())
        plan = right_plan(game, domain)
        recalled = lambda sentence, plan=plan: Recalled(plan, 1.0, 1, 0)  # noqa: E731
        executive = TaskExecutive(domain, recall=recalled)
        play_task(executive, game.goal, AlfworldPlayer(twin, domain), ManualClock())
        won += twin.won
    assert won >= 0.97 * len(games)
