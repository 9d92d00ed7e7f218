"""The expert's paths, poses and manners."""

import math

import numpy as np
import pytest
from household_fixtures import HOME, before, do, world_of

from rarrl_sim_envs.household.executor import Memory
from rarrl_sim_envs.household.expert import CLEAR_M, Expert, find_path, find_target, target_pose
from rarrl_sim_envs.household.home import ROBOT_M, cell
from rarrl_sim_envs.household.people import PERSON_M, Person
from rarrl_sim_envs.household.world import Thing


def drive(world, row, steps=600):
    """Until the expert presses, or for so many steps: whether it did."""
    expert = Expert()
    for _ in range(steps):
        v, omega, interact = expert.act(world, row).tolist()
        if interact:
            return True
        world.step(v, omega)
    return False


@pytest.mark.parametrize("name", HOME.places)
def test_a_path_leads_to_each_place_clear_of_furniture(name):
    world = world_of()
    goal = HOME.places[name].stand()
    path = find_path(world, goal)
    grid = HOME.clearance(True)
    assert path[-1].tolist() == list(goal[:2])
    assert np.hypot(*np.diff(path, axis=0).T).max() < 0.25
    assert min(grid[cell(grid, *point)] for point in path) > ROBOT_M
    assert np.mean([grid[cell(grid, *point)] >= CLEAR_M for point in path]) > 0.9


def test_a_path_around_people_keeps_off_them_where_the_other_does_not():
    free = HOME.clearance(True)
    gaps = []
    for place in HOME.places.values():
        world = world_of()
        straight = find_path(world, place.stand())
        middle = straight[len(straight) // 2]
        if free[cell(free, *middle)] > 0.9 and 0.9 < math.dist(middle, (world.x, world.y)) < 1.8:  # room to pass
            world.people = [Person(*middle.tolist(), 0.5, (0.0, 0.0))]
            around = find_path(world, place.stand(), around_people=True)
            gaps.append([min(math.dist(point, middle) for point in path) for path in (straight, around)])
    assert len(gaps) > 0
    assert all(through < PERSON_M < ROBOT_M + PERSON_M <= past for through, past in gaps)


def test_where_no_path_is_free_there_is_none():
    world = world_of()
    box = HOME.places["fridge"].box
    assert find_path(world, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 0.0)).shape == (0, 2)


def test_it_stands_before_the_thing_it_is_to_pick_up_and_faces_it():
    world = world_of(Thing("mug", "desk"), Thing("mug", "countertop"))
    pose, point = find_target(world, ("PickupObject", "mug"))
    assert point in [(thing.x, thing.y) for thing in world.things]
    world.teleport(*pose)
    assert do(world, "PickupObject", "mug") == ""
    assert find_target(world, ("PickupObject", "book")) is None
    assert target_pose(world, ("PickupObject", "book")) == (world.x, world.y, world.heading)


def test_it_goes_by_the_memory_that_it_is_given():
    world = world_of(Thing("mug", "desk"))
    memory = Memory(world)
    world.put_on(0, HOME.places["countertop"])
    assert find_target(world, ("PickupObject", "mug"))[0] != find_target(world, ("PickupObject", "mug"), memory)[0]


def test_it_drives_to_a_place_in_the_other_room_and_opens_the_door_on_the_path():
    world = world_of()
    other = next(n for n, p in HOME.places.items() if HOME.room(p.front[0]) != HOME.room(world.x))
    world.door_open = False
    assert drive(world, ("GotoLocation", other))
    assert do(world, "GotoLocation", other) == "opened"
    assert not drive(world, ("GotoLocation", other), 400)
    assert world.at(other)
    assert world.collisions == 0


def test_it_stops_for_a_person_ahead_and_waits():
    world = before(world_of(), "desk")
    world.teleport(HOME.size[0] / 4, HOME.size[1] / 2, 0.0)
    goal = next(n for n, p in HOME.places.items() if HOME.room(p.front[0]) == HOME.room(world.x))
    path = find_path(world, HOME.places[goal].stand())
    ahead = path[min(8, len(path) - 1)]
    world.people = [Person(*ahead.tolist(), 0.0, tuple(ahead.tolist()), waits=10_000)]
    drive(world, ("GotoLocation", goal), 38)
    assert world.collisions == 0


def test_it_stands_still_without_a_sub_goal():
    assert Expert().act(world_of(), None).tolist() == [0.0, 0.0, 0.0]
