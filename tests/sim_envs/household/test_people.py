"""People: where they walk, and that they keep off the robot."""

import math

import numpy as np
from household_fixtures import HOME, world_of

from rarrl_sim_envs.household.home import ROBOT_M, cell
from rarrl_sim_envs.household.people import PERSON_M, Person, new_person


def test_driving_into_a_person_counts_and_people_do_not_walk_into_the_robot():
    world = world_of()
    world.people = [
        Person(world.x + 0.7 * math.cos(world.heading), world.y + 0.7 * math.sin(world.heading), 0.0, (0, 0))
    ]
    world.people[0].goal = (world.people[0].x, world.people[0].y)
    world.people[0].waits = 1000
    for _ in range(20):
        world.step(0.6, 0.0)
    assert world.contact == "person" and world.collisions == 1
    still = world_of(people=4)
    for _ in range(600):
        still.step(0.0, 0.0)
        assert all(math.hypot(p.x - still.x, p.y - still.y) > ROBOT_M + PERSON_M for p in still.people)
    assert still.collisions == 0


def test_people_do_not_brush_against_the_robot_either():
    world = world_of()
    world.people = [Person(world.x + 0.51, world.y, 0.8, (world.x + 0.21, world.y + 1.0))]
    world.step(0.0, 0.0)
    assert math.hypot(world.people[0].x - world.x, world.people[0].y - world.y) > ROBOT_M + PERSON_M


def test_people_walk_and_stay_in_their_room_off_furniture_and_out_of_the_doorway():
    world = world_of(people=4)
    rooms = [HOME.room(person.x) for person in world.people]
    grid = HOME.clearance(True)
    moved = np.zeros(4)
    for _ in range(400):
        before = [(person.x, person.y) for person in world.people]
        world.step(0.0, 0.0)
        moved += [np.hypot(p.x - x, p.y - y) for p, (x, y) in zip(world.people, before, strict=True)]
        assert all(np.hypot(p.vx, p.vy) <= p.speed + 1e-9 for p in world.people)
    assert [HOME.room(person.x) for person in world.people] == rooms
    assert all(grid[cell(grid, p.x, p.y)] > PERSON_M for p in world.people)
    assert all(not HOME.door[0] - 0.6 < p.x < HOME.door[2] + 0.6 for p in world.people)
    assert moved.min() > 1.0


def test_nobody_begins_near_the_robot():
    rng = np.random.default_rng(0)
    people = [new_person(rng, HOME, HOME.start[:2]) for _ in range(50)]
    assert min(math.dist((p.x, p.y), HOME.start[:2]) for p in people) > 1.5
