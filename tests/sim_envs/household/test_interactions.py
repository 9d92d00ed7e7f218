"""What the hand may do, what it changes, how long it takes."""

import math

import pytest
from household_fixtures import HOME, before, do, world_of

from rarrl_sim_envs.household.interactions import TREATMENT_S, InteractionOutcome
from rarrl_sim_envs.household.motion import DT
from rarrl_sim_envs.household.world import Thing


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


def test_the_hand_is_slow_and_the_base_stands_meanwhile():
    world = before(world_of(Thing("apple", "desk")), "sinkbasin")
    world.take(0)
    world.step(0.0, 0.0, ("CleanObject", "apple"))
    place = (world.x, world.y)
    steps = 0
    while world.busy:
        world.step(0.6, 1.0)
        steps += 1
    assert steps == round(TREATMENT_S / DT)
    assert (world.x, world.y) == place
    assert world.outcome == InteractionOutcome(("CleanObject", "apple"))
    assert world.outcome.ok


def test_an_unknown_verb_is_refused():
    assert world_of().refusal(("DanceObject", "")) == "unknown verb DanceObject"


def test_things_go_into_containers_only():
    world = before(world_of(Thing("pen", "desk"), Thing("mug", "desk"), Thing("book", "desk")), "desk")
    world.take(0)
    for target, reason in (("book", "out of reach"), ("mug", "")):
        index = next(i for i, thing in enumerate(world.things) if thing.name == target)
        world.teleport(*HOME.places["desk"].stand((world.things[index].x, world.things[index].y)))
        assert do(world, "PutObject", "pen", target) == reason
    assert world.things[0].inside == 1
