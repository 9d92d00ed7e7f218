"""Missions: goal conditions by hand for each type, and plans that lead to them."""

import numpy as np
import pytest

from rarrl.alfred import TASK_TYPES, GoalParameters
from rarrl.alfred_plans import ALFRED_DOMAIN, CONTAINERS, LAMPS, PLACES, alfred_plan
from rarrl.alfred_plans import OBJECTS as PORTABLE
from rarrl.errors import InputError
from rarrl_sim_envs.household.catalogue import FURNITURE, OBJECTS
from rarrl_sim_envs.household.executor import VERBS
from rarrl_sim_envs.household.home import draw_home
from rarrl_sim_envs.household.tasks import (
    INTO,
    HouseholdTask,
    asks_for,
    conditions,
    draw_mission,
    draw_task,
    remaining_plan,
)
from rarrl_sim_envs.household.world import Thing, World

HOME = draw_home(np.random.default_rng(3), ("countertop", "desk", "fridge", "microwave", "sinkbasin", "floorlamp"), 7)


def world_of(*things):
    return World(HOME, list(things), people=0, disturbance=0.0)


def task_of(task_type, thing, place="", movable="", lamp="", sliced=False):
    return HouseholdTask(task_type, GoalParameters(thing, place, movable, lamp, sliced), "")


def test_the_tables_agree_with_the_checker_of_plans():
    assert set(OBJECTS) == set(PORTABLE)
    assert set(FURNITURE) | CONTAINERS == {*PLACES, *LAMPS}
    assert set(INTO) == CONTAINERS


def test_placing():
    world, task = world_of(Thing("mug", "countertop")), task_of("pick_and_place_simple", "mug", "desk")
    assert conditions(world, task) == (0, 1)
    world.take(0)
    assert conditions(world, task) == (0, 1)  # over the desk is not on the desk
    world.apply(("PutObject", "mug", "desk"))
    assert conditions(world, task) == (1, 1)


def test_two_objects_of_the_class_are_needed():
    world = world_of(Thing("mug", "desk"), Thing("mug", "countertop"), Thing("cup", "desk"))
    task = task_of("pick_two_obj_and_place", "mug", "desk")
    assert conditions(world, task) == (1, 2)
    world.put_on(1, HOME.places["desk"])
    assert conditions(world, task) == (2, 2)


def test_light_needs_the_object_in_the_hand_and_the_lamp_on():
    world, task = world_of(Thing("book", "desk")), task_of("look_at_obj_in_light", "book", lamp="floorlamp")
    world.apply(("ToggleObject", "floorlamp"))
    assert conditions(world, task) == (1, 2)
    world.take(0)
    assert conditions(world, task) == (2, 2)
    world.apply(("ToggleObject", "floorlamp"))
    assert conditions(world, task) == (1, 2)


@pytest.mark.parametrize(
    ("task_type", "verb"),
    [
        ("pick_clean_then_place_in_recep", "CleanObject"),
        ("pick_heat_then_place_in_recep", "HeatObject"),
        ("pick_cool_then_place_in_recep", "CoolObject"),
    ],
)
def test_treatments_count_for_the_object_that_is_placed(task_type, verb):
    world = world_of(Thing("apple", "countertop"), Thing("apple", "desk"))
    task = task_of(task_type, "apple", "desk")
    assert conditions(world, task) == (1, 3)
    world.take(0)
    world.apply((verb, "apple"))
    assert conditions(world, task) == (2, 3)  # one is placed, another treated
    world.apply(("PutObject", "apple", "desk"))
    assert conditions(world, task) == (3, 3)


def test_heating_and_cooling_undo_each_other():
    world = world_of(Thing("apple", "countertop"))
    world.take(0)
    world.apply(("HeatObject", "apple"))
    world.apply(("CoolObject", "apple"))
    assert (world.things[0].hot, world.things[0].cold) == (False, True)


def test_movable_receptacles_carry_what_they_hold():
    world = world_of(Thing("fork", "countertop"), Thing("mug", "countertop"))
    task = task_of("pick_and_place_with_movable_recep", "fork", "desk", movable="mug")
    world.put_into(0, 1)
    assert conditions(world, task) == (1, 3)
    world.take(1)
    world.apply(("PutObject", "mug", "desk"))
    assert conditions(world, task) == (3, 3)
    assert (world.things[0].x, world.things[0].y) == (world.things[1].x, world.things[1].y)
    world.put_on(0, HOME.places["desk"])
    assert conditions(world, task) == (2, 3)  # both there, apart


def test_sliced_tasks_count_sliced_objects_alone():
    world = world_of(Thing("apple", "desk"), Thing("knife", "countertop"))
    task = task_of("pick_and_place_simple", "apple", "desk", sliced=True)
    assert conditions(world, task) == (0, 2)
    world.take(1)
    world.apply(("SliceObject", "apple"))
    assert conditions(world, task) == (2, 2)


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_plans_lead_to_the_goal_and_pass_the_checker(task_type):
    for seed in range(4):
        mission = draw_mission(np.random.default_rng(seed), task_type)
        world = mission.world(seed, people=0, disturbance=0.0)
        rows = remaining_plan(world, mission.task)
        assert mission.task.goal and mission.task.task_type == task_type
        if not mission.task.parameters.sliced:  # a knife may not lie on every place
            assert ALFRED_DOMAIN.check(alfred_plan(rows)) == ""
        assert {row[0] for row in rows} == {verb for verb in VERBS if asks_for(mission.task, verb)}
        before = conditions(world, mission.task)
        for verb, *names in rows:
            if verb == "GotoLocation":
                world.teleport(*world.home.places[names[0]].stand())
            else:
                index = next((i for i, t in enumerate(world.things) if t.name == names[0] and i != world.held), -1)
                if verb == "PickupObject" and task_type == "pick_two_obj_and_place":
                    index = next(
                        i
                        for i, t in enumerate(world.things)
                        if t.name == names[0] and t.on != mission.task.parameters.place
                    )
                world.take(index) if verb == "PickupObject" else world.apply((verb, *names))
        assert before[0] < before[1] and conditions(world, mission.task) == (before[1], before[1])
        assert remaining_plan(world, mission.task) == []


def test_plans_recover_from_a_thing_on_the_floor_a_full_hand_and_the_wrong_thing_in_it():
    task = task_of("pick_and_place_with_movable_recep", "fork", "desk", movable="mug")
    world = world_of(Thing("fork", "countertop"), Thing("mug", "countertop"), Thing("apple", "countertop"))
    world.take(2)
    rows = remaining_plan(world, task)
    assert rows[0][0] == "GotoLocation" and rows[1][:2] == ("PutObject", "apple")
    world.put_on(2, HOME.places["countertop"])
    world.held = -1
    world.things[1].on, world.things[1].x, world.things[1].y = "", 2.0, 2.0
    assert ("GotoLocation", "mug") in remaining_plan(world, task)
    world.take(1)  # the movable, still empty, must be put down first
    assert remaining_plan(world, task)[1][:2] == ("PutObject", "mug")


def test_tasks_are_repeatable_and_wrong_ones_refused():
    assert draw_task(np.random.default_rng(5)) == draw_task(np.random.default_rng(5))
    with pytest.raises(InputError, match="no task type 'dance'"):
        draw_task(np.random.default_rng(0), "dance")
    with pytest.raises(InputError, match="has a sub-goal ToggleObject"):
        draw_mission(np.random.default_rng(0), "pick_and_place_simple", "ToggleObject")
