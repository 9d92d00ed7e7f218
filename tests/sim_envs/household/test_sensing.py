"""Range readings, the obstacle summary, visible things."""

import math

import numpy as np
import pytest
from household_fixtures import HOME, before, world_of

from rarrl_sim_envs.household.people import PERSON_M, Person
from rarrl_sim_envs.household.sensing import RANGE_M, cast
from rarrl_sim_envs.household.world import Thing


def test_scan_sees_people_and_walls_at_their_distance():
    world = world_of()
    world.teleport(HOME.size[0] / 4, HOME.size[1] / 2, math.pi)
    wall = world.scan()[15]
    assert wall == pytest.approx(min(world.x, RANGE_M))
    world.people = [Person(world.x - 1.0, world.y, 0.5, (0.0, 0.0))]
    assert world.scan()[15] == pytest.approx(1.0 - PERSON_M)
    summary = world.summary()
    assert summary.nearest_m.shape == (31,) and summary.free_path_width_m == 0.0
    assert (np.diff(summary.bearings) > 0).all()


def test_a_cast_meets_the_first_box_at_its_distance():
    boxes = np.array([[2.0, -1.0, 3.0, 1.0], [1.0, 2.0, 1.5, 3.0]])
    directions = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert cast(0.0, 0.0, directions, boxes).tolist() == [2.0, math.inf, math.inf]
    assert cast(1.2, 0.0, directions, boxes)[2] == pytest.approx(2.0)


def test_the_free_width_and_the_time_to_contact_are_of_what_is_ahead():
    world = world_of()
    world.teleport(HOME.size[0] / 4, HOME.size[1] / 2, math.pi)
    world.people = [Person(world.x - 1.0, world.y, 0.5, (0.0, 0.0))]
    world.v = 0.5
    summary = world.summary(7.0)
    assert summary.stamp_s == 7.0
    assert summary.time_to_contact_s == pytest.approx((1.0 - PERSON_M) / 0.5)
    world.v = 0.0
    assert world.summary().time_to_contact_s == math.inf


def test_things_are_seen_ahead_and_in_the_hand_but_not_behind():
    world = before(world_of(Thing("mug", "desk"), Thing("cup", "countertop")), "desk")
    world.teleport(*HOME.places["desk"].stand((world.things[0].x, world.things[0].y)))
    assert 0 in world.seen()
    world.teleport(world.x, world.y, world.heading + math.pi)
    assert 0 not in world.seen()
    world.take(0)
    assert 0 in world.seen()
