"""A plan in force, its events; and the memory of where things are."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.types import ActStatus
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.executor import Executor, checked, sentence

STOP = np.zeros(3, dtype=np.float32)


@pytest.fixture(scope="module")
def twin():
    return HouseholdEnv(stereo=False)


def press(env):
    """Begins the interaction of the current sub-goal, and returns the info at its end."""
    env.step(STOP)
    *_, info = env.step(np.array([0, 0, 1], dtype=np.float32))
    while env.world.busy:
        *_, info = env.step(STOP)
    return info


def test_opening_is_neither_success_nor_failure(twin):
    twin.reset(seed=3)
    world = twin.world
    name = next(name for name, place in world.home.places.items() if place.opens)
    world.take(0)
    twin.set_plan([("GotoLocation", name), ("PutObject", world.things[0].name, name)])
    world.teleport(*world.home.places[name].stand())
    twin.step(STOP)
    info = press(twin)
    assert info["event"] is None and info["index"] == 1 and name not in world.shut
    assert press(twin)["event"].status is ActStatus.SUCCESS


def test_a_sub_goal_that_takes_too_long_fails_and_stays_on(twin):
    twin.reset(seed=3)
    executor = Executor(limit_s=0.5)
    executor.set_plan([("ToggleObject", "desklamp")], 0)
    events = []
    for _ in range(10):
        twin.world.step(0.0, 0.0)
        events.append(executor.update(twin.world))
    assert [e.reason for e in events if e] == ["too late", "too late"] and executor.row is not None


def test_memory_fills_in_where_things_were_and_forgets_what_is_gone():
    env = HouseholdEnv(stereo=False, disturbance=0.0, people=0)
    for seed in range(12):
        env.reset(seed=seed)
        full = list(env.executor.rows)
        env.set_plan([row for row in full if row[0] != "GotoLocation"])
        assert list(env.executor.rows) == full
    world = env.world
    place = next(n for n in world.home.places if any(t.on == n for t in world.things))
    index = next(i for i, t in enumerate(world.things) if t.on == place)
    other = next(p for n, p in world.home.places.items() if n != place and not p.opens and world.free_slots(p))
    world.put_on(index, other)
    world.open(place)
    assert env.memory.known[index] == place
    world.teleport(*world.home.places[place].stand())
    env.memory.update(world)
    assert env.memory.known.get(index) in (None, other.name)


def test_a_plan_ends_after_its_last_row(twin):
    twin.reset(seed=3)
    world, executor = twin.world, Executor()
    place = next(iter(world.home.places))
    executor.set_plan([("GotoLocation", place), ("GotoLocation", place)], world.steps)
    world.teleport(*world.home.places[place].stand())
    events = []
    for _ in range(4):
        world.step(0.0, 0.0)
        events.append(executor.update(world))
    assert [event and event.status for event in events] == [ActStatus.SUCCESS, ActStatus.SUCCESS, None, None]
    assert executor.row is None


def test_sub_goals_are_checked_and_written_as_text():
    assert checked(["PutObject", "mug", "shelf"]) == ("PutObject", "mug", "shelf")
    assert sentence(("PutObject", "mug", "shelf")) == "PutObject mug shelf"
    assert sentence(None) == ""
    for row in ((), ("Dance", "mug"), ("PickupObject",), ("PutObject", "mug"), ("PickupObject", "dragon")):
        with pytest.raises(InputError, match="household: sub-goal"):
            checked(row)
