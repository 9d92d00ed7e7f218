"""The rules: motion, collisions, interactions, what goes wrong."""

import math

import numpy as np
import pytest

from rarrl_sim_envs.household.home import ROBOT_M, draw_home
from rarrl_sim_envs.household.world import DT, MAX_ACCEL, PERSON_M, RANGE_M, Person, Thing, World, advance

HOME = draw_home(np.random.default_rng(3), ("countertop", "desk", "fridge", "microwave", "sinkbasin", "floorlamp"), 7)


def world_of(*things, people=0, **kwargs):
    return World(HOME, list(things), people=people, **({"disturbance": 0.0} | kwargs))


def before(world, name):
    """Stands at a place."""
    world.teleport(*world.home.places[name].stand())
    return world


def do(world, *row):
    """An interaction to its end."""
    world.step(0.0, 0.0, row)
    while world.busy:
        world.step(0.0, 0.0)
    return world.outcome.reason


def test_arcs_are_exact():
    x, y, heading = advance(1.0, 2.0, 0.0, 0.5, 0.0)
    assert (x, y, heading) == (1.0 + 0.5 * DT, 2.0, 0.0)
    pose = (0.0, 0.0, 0.0)
    for _ in range(round(2 * math.pi / (0.5 * DT))):  # nearly a circle of radius 0.4 / 0.5
        pose = advance(*pose, 0.4, 0.5)
    assert math.hypot(pose[0], pose[1]) < 0.4 * DT
    x, y, _ = advance(0.0, 0.0, 0.0, 0.4, 0.5)
    assert math.hypot(x, y - 0.8) == pytest.approx(0.8)


def test_speed_grows_by_the_limit_of_acceleration():
    world = world_of()
    world.step(0.6, 0.0)
    assert world.v == pytest.approx(MAX_ACCEL * DT)


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


def test_the_shut_door_between_the_rooms_blocks_and_opens():
    world = world_of()
    x0, y0, _, y1 = HOME.door
    world.teleport(x0 - 0.7, (y0 + y1) / 2, 0.0)
    world.door_open = False
    assert world.summary().nearest_m[15] == pytest.approx(0.7)
    assert do(world, "GotoLocation", "desk") == "opened"
    assert world.door_open and world.scan()[15] > 0.8
    assert do(world, "GotoLocation", "desk") == "nothing to open"
    world.door_open = False
    for _ in range(30):
        world.step(0.6, 0.0)
    assert world.contact == "door"


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


def test_picking_up_and_putting_down():
    world = before(world_of(Thing("mug", "desk"), Thing("cup", "desk")), "desk")
    world.teleport(*HOME.places["desk"].stand((world.things[0].x, world.things[0].y)))
    assert do(world, "PutObject", "mug", "desk") == "not in the hand"
    assert do(world, "PickupObject", "book") == "out of reach"
    assert do(world, "PickupObject", "mug") == "" and world.held == 0
    assert do(world, "PickupObject", "cup") == "hand full"
    assert do(world, "PutObject", "mug", "fridge") == "out of reach"
    assert do(world, "PutObject", "mug", "desk") == "" and world.things[0].on == "desk"


def test_no_interaction_on_the_move_or_facing_away():
    world = before(world_of(Thing("mug", "desk")), "desk")
    slot = (world.things[0].x, world.things[0].y)
    x, y, heading = HOME.places["desk"].stand(slot)
    world.teleport(x, y, heading + math.pi)
    assert do(world, "PickupObject", "mug") == "out of reach"
    world.teleport(x, y, heading)
    world.step(-0.2, 0.0)
    world.step(-0.2, 0.0)
    assert world.refusal(("PickupObject", "mug")) == "moving"


def test_a_shut_fridge_must_be_opened_and_hides_what_it_holds():
    world = before(world_of(Thing("egg", "fridge")), "fridge")
    world.teleport(*HOME.places["fridge"].stand((world.things[0].x, world.things[0].y)))
    assert world.seen() == []
    assert do(world, "PickupObject", "egg") == "opened"
    assert world.seen() == [0]
    assert do(world, "PickupObject", "egg") == ""


@pytest.mark.parametrize(
    ("verb", "place", "state"),
    [("CleanObject", "sinkbasin", "clean"), ("HeatObject", "microwave", "hot"), ("CoolObject", "fridge", "cold")],
)
def test_treatments_happen_at_their_appliance(verb, place, state):
    world = before(world_of(Thing("apple", "desk")), place)
    world.open(place)
    assert do(world, verb, "apple") == "not in the hand"
    world.take(0)
    assert do(world, verb, "apple") == "" and getattr(world.things[0], state)
    before(world, "desk")
    assert do(world, verb, "apple") == "out of reach"


def test_slicing_needs_a_knife_and_toggling_the_lamp():
    world = before(world_of(Thing("apple", "desk"), Thing("knife", "desk")), "desk")
    world.teleport(*HOME.places["desk"].stand((world.things[0].x, world.things[0].y)))
    assert do(world, "SliceObject", "apple") == "no knife"
    world.take(1)
    assert do(world, "SliceObject", "apple") == "" and world.things[0].sliced
    assert do(world, "ToggleObject", "floorlamp") == "out of reach"
    before(world, "floorlamp")
    assert do(world, "ToggleObject", "floorlamp") == "" and world.lit == {"floorlamp"}


def test_a_full_place_refuses():
    full = [Thing("apple", "desk") for _ in HOME.places["desk"].slots]
    world = before(world_of(*full, Thing("mug", "countertop")), "desk")
    world.take(len(full))
    assert do(world, "PutObject", "mug", "desk") == "full"
    with pytest.raises(ValueError, match="desk is full"):
        world.put_on(len(full), HOME.places["desk"])


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
