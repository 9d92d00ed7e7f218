"""What the robot remembers of its own doing, and where it then looks for things."""

import pytest

from rarrl.skills.plan import Step
from rarrl.types import ActStatus
from rarrl_sim_envs.household.catalogue import FURNITURE
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.executor import Event
from rarrl_sim_envs.household.robot.task_memory import TaskMemory


@pytest.fixture
def env():
    env = HouseholdEnv(stereo=False, people=0, disturbance=0.0)
    env.reset(seed=3)
    return env


def succeed(env, memory, *row):
    memory.note(Event(row, ActStatus.SUCCESS), env.world.steps)


def thing_on_open_furniture(env):
    """(index, class) of a thing whose class occurs once."""
    names = [thing.name for thing in env.world.things]
    return next(
        (i, t.name)
        for i, t in enumerate(env.world.things)
        if names.count(t.name) == 1 and not env.world.home.places[t.on].opens
    )


def test_what_was_done_to_a_thing_is_remembered_and_undone_by_its_opposite(env):
    memory = TaskMemory(env)
    index, name = thing_on_open_furniture(env)
    env.world.take(index)
    succeed(env, memory, "PickupObject", name)
    for verb, done in (
        ("CleanObject", {"CleanObject"}),
        ("HeatObject", {"CleanObject", "HeatObject"}),
        ("CoolObject", {"CleanObject", "CoolObject"}),
    ):
        succeed(env, memory, verb, name)
        assert memory.things()[index].done == done
    assert memory.steps[0] == Step("PickupObject", (name,))
    assert len(memory.steps) == 4


def test_where_it_put_a_thing_is_remembered_until_it_takes_it_again(env):
    memory = TaskMemory(env)
    index, name = thing_on_open_furniture(env)
    env.world.take(index)
    succeed(env, memory, "PickupObject", name)
    place = next(p for n, p in env.world.home.places.items() if not p.opens and env.world.free_slots(p))
    env.world.held = -1
    env.world.put_on(index, place)
    succeed(env, memory, "PutObject", name, place.name)
    assert memory.has_put(name)
    assert memory.things()[index].put == place.name
    env.world.take(index)
    succeed(env, memory, "PickupObject", name)
    assert not memory.has_put(name)


def test_a_lamp_toggled_twice_is_off(env):
    memory = TaskMemory(env)
    succeed(env, memory, "ToggleObject", "desklamp")
    assert memory.lit == {"desklamp"}
    succeed(env, memory, "ToggleObject", "desklamp")
    assert memory.lit == set()


def test_a_thing_that_the_hand_misses_is_forgotten_and_looked_for_elsewhere(env):
    memory = TaskMemory(env)
    index, name = thing_on_open_furniture(env)
    world = env.world
    place = world.home.places[world.things[index].on]
    world.teleport(*place.stand((world.things[index].x, world.things[index].y)))
    memory.note(Event(("PickupObject", name), ActStatus.FAILURE, "slipped"), world.steps)
    assert index in env.memory.known  # a slip says nothing about where it is
    memory.note(Event(("PickupObject", name), ActStatus.FAILURE, "out of reach"), world.steps)
    assert index not in env.memory.known
    assert memory.things()[index].at == ""
    looked = memory.look(name)
    assert looked != place.name
    assert looked in world.home.places


def test_it_looks_on_open_furniture_first(env):
    memory = TaskMemory(env)
    places = env.world.home.places
    assert not places[memory.look("mug")].opens


def test_a_spare_surface_is_flat_and_no_goal(env):
    memory = TaskMemory(env)
    first = memory.spare(set())
    second = memory.spare({first})
    assert first != second
    assert FURNITURE[first].is_surface
    assert FURNITURE[second].is_surface


def test_it_knows_what_it_stands_before(env):
    memory = TaskMemory(env)
    name = next(iter(env.world.home.places))
    env.world.teleport(*env.world.home.places[name].stand())
    assert name in memory.here()
