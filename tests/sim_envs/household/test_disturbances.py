"""What goes wrong: how often, where, and that it can be recovered from."""

import math

import numpy as np
from household_fixtures import HOME, before, do, world_of

from rarrl_sim_envs.household.disturbances import Scheduled, draw_schedule
from rarrl_sim_envs.household.world import Thing


def test_grasps_slip_as_often_as_said_and_the_thing_stays():
    world = before(world_of(Thing("mug", "desk"), disturbance=5.0), "desk")  # half of the grasps
    world.teleport(*HOME.places["desk"].stand((world.things[0].x, world.things[0].y)))
    slipped = 0
    for _ in range(200):
        reason = do(world, "PickupObject", "mug")
        slipped += reason == "slipped"
        assert (world.things[0].on == "desk") == (world.held < 0) == (reason == "slipped")
        if world.held >= 0:
            world.held = -1
            world.put_on(0, HOME.places["desk"])
    assert 75 < slipped < 125


def test_things_are_moved_dropped_and_shut_away_and_can_be_had_again():
    seen = set()
    for seed in range(60):
        world = world_of(Thing("mug", "desk"), seed=seed, disturbance=2.0, task_things=(0,), goal_place="sinkbasin")
        before(world, "fridge")
        world.open("fridge")
        for _ in range(310):
            world.step(0.0, 0.0)
            seen |= {text.split(":")[0] for text in world.disturbed}
            if world.disturbed and world.disturbed[0].startswith("moved"):
                assert world.things[0].on not in ("desk", "sinkbasin") and not world.hidden(0)
    assert seen == {"moved", "shut"}
    world = world_of(Thing("mug", "desk"), disturbance=5.0)
    world.take(0)
    while world.held >= 0:
        world.step(0.0, 0.5)
    world.disturbed = []
    world._level = 0.0
    thing = world.things[0]
    world.teleport(world.x, world.y, math.atan2(thing.y - world.y, thing.x - world.x))
    assert thing.on == "" and do(world, "PickupObject", "mug") == ""


def test_what_is_in_its_goal_place_stays_there():
    for seed in range(10):
        world = world_of(Thing("mug", "desk"), seed=seed, disturbance=5.0, task_things=(0,), goal_place="desk")
        before(world, "fridge")
        for _ in range(120):
            world.step(0.0, 0.0)
        assert world.things[0].on == "desk"


def test_nothing_goes_wrong_without_disturbance():
    world = world_of(Thing("mug", "desk"), task_things=(0,))
    world.take(0)
    for _ in range(600):
        world.step(0.0, 0.3)
        assert not world.disturbed
    assert world.held == 0


def test_time_that_is_skipped_has_its_disturbances():
    skipped, stepped = set(), set()
    for seed in range(40):
        for found, fast in ((skipped, True), (stepped, False)):
            world = world_of(Thing("mug", "desk"), seed=seed, disturbance=2.0, task_things=(0,), goal_place="sinkbasin")
            before(world, "fridge")
            world.open("fridge")
            if fast:
                world.skip(310)
            for _ in range(0 if fast else 310):
                world.step(0.0, 0.0)
            assert world.steps == 310
            found.add((seed, world.door_open, "fridge" in world.shut, world.things[0].on != "desk"))
    assert skipped == stepped


def test_what_is_carried_is_dropped_in_skipped_time_too():
    dropped = 0
    for seed in range(100):
        world = world_of(Thing("mug", "desk"), seed=seed, disturbance=5.0)
        world.take(0)
        world.skip(200)  # 20 s at one drop in 40 s
        dropped += world.held < 0
    assert 25 < dropped < 55


def test_a_schedule_grows_with_the_level():
    rng = np.random.default_rng(0)
    assert all(draw_schedule(rng, 0.0) == [] for _ in range(50))
    assert all(len(draw_schedule(rng, 5.0)) == len(Scheduled) for _ in range(50))
