"""The base in the home: contacts, copies, what it carries."""

import numpy as np
from household_fixtures import HOME, before, world_of

from rarrl_sim_envs.household.home import ROBOT_M
from rarrl_sim_envs.household.world import Thing


def test_driving_into_a_piece_stops_the_base_and_counts_once():
    world = before(world_of(), "desk")
    for _ in range(30):
        world.step(0.6, 0.0)
    assert world.collisions == 1 and world.contact == "desk" and world.v == 0.0
    gap = min(np.hypot(*(np.array([world.x, world.y]) - slot)) for slot in HOME.places["desk"].slots)
    assert gap > ROBOT_M
    for _ in range(10):
        world.step(-0.2, 0.0)
    assert world.contact == ""


def test_a_copy_goes_on_with_the_same_luck_and_shares_nothing_that_moves():
    world = world_of(Thing("mug", "desk"), people=3, disturbance=3.0, task_things=(0,))
    for _ in range(20):
        world.step(0.3, 0.2)
    other = world.copy()
    for _ in range(150):
        world.step(0.3, 0.2)
    assert (other.steps, other.x) != (world.steps, world.x)
    for _ in range(150):
        other.step(0.3, 0.2)
    assert (other.x, other.y, other.heading) == (world.x, world.y, world.heading)
    assert other.people == world.people
    assert other.things == world.things
    assert other.shut == world.shut


def test_what_is_inside_a_thing_goes_where_the_thing_goes():
    world = before(world_of(Thing("box", "desk"), Thing("watch", "countertop"), Thing("pen", "countertop")), "desk")
    world.put_into(1, 0)
    world.put_into(2, 1)
    world.take(0)
    world.step(0.0, 1.5)
    assert {(thing.x, thing.y) for thing in world.things} == {(world.things[0].x, world.things[0].y)}
    assert [world.root(i) for i in range(3)] == [0, 0, 0]
    world.put_on(0, HOME.places["sinkbasin"])
    assert [world.place_of(i) for i in range(3)] == ["sinkbasin"] * 3
