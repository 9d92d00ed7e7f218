import math

import numpy as np
import pytest

from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert, find_target
from rarrl_sim_envs.household.robot.proprioception import LIMIT_M, PROPRIO_NAMES, MapProprioception, picture


@pytest.fixture
def env():
    env = HouseholdEnv(stereo=False, people=0, disturbance=0)
    env.reset(seed=3)
    return env


def numbers(env, guide=None, row=None):
    values = (guide or MapProprioception()).proprio(env.world, env.memory, row or env.executor.row)
    assert values.shape == (len(PROPRIO_NAMES),) and values.dtype == np.float32
    return dict(zip(PROPRIO_NAMES, values.tolist(), strict=True))


def test_it_tells_where_to_stand_in_the_base_frame(env):
    world, (goal, target) = env.world, find_target(env.world, env.executor.row, env.memory)
    told = numbers(env)
    far = min(math.dist((world.x, world.y), goal[:2]), LIMIT_M)
    assert math.hypot(told["stand_x_m"], told["stand_y_m"]) == pytest.approx(far, abs=1e-5)
    assert math.atan2(told["stand_y_m"], told["stand_x_m"]) == pytest.approx(world.bearing(*goal[:2]), abs=1e-5)
    assert math.atan2(told["target_y_m"], told["target_x_m"]) == pytest.approx(world.bearing(*target), abs=1e-5)
    assert told["holds"] == told["busy"] == 0.0


def test_the_way_leads_to_where_the_robot_stands_in_the_end(env):
    expert, guide, row = Expert(), MapProprioception(), env.executor.row
    while env.executor.row == row:
        told = numbers(env, guide, row)
        assert math.hypot(told["route_x_m"], told["route_y_m"]) <= LIMIT_M + 1e-6
        env.advance(expert.act(env.world, row, env.memory))
    told = numbers(env, guide, row)
    assert math.hypot(told["stand_x_m"], told["stand_y_m"]) < 0.3 and told["stand_cos"] > 0.7


def test_what_is_not_known_leads_nowhere(env):
    index = next(i for i, t in enumerate(env.world.things))
    name = env.world.things[index].name
    for i, thing in enumerate(env.world.things):
        if thing.name == name:
            del env.memory.known[i], env.memory.spots[i]
    row = ("PickupObject", name)
    assert not MapProprioception().knows(env.world, env.memory, row)
    told = numbers(env, row=row)
    assert [told[n] for n in PROPRIO_NAMES[:8]] == [0, 0, 0, 0, 0, 0, 1, 0]


def test_memory_may_be_wrong_and_the_guide_goes_by_it(env):
    index, thing = next((i, t) for i, t in enumerate(env.world.things) if t.on)
    other = next(p for n, p in env.world.home.places.items() if n != thing.on and env.world.free_slots(p))
    believed = env.memory.spots[index]
    env.world.put_on(index, other)
    found = find_target(env.world, ("PickupObject", thing.name), env.memory)
    assert found is not None and found[1] == believed != (thing.x, thing.y)


def test_who_does_not_get_on_tries_another_way(env):
    guide = MapProprioception()
    numbers(env, guide)
    person = next(iter(env.world.people), None)
    assert person is None
    first = guide._path
    for _ in range(40):
        env.advance(np.zeros(3))
        numbers(env, guide)
    assert guide._path is not first  # planned anew, around people


def test_the_picture_is_small_and_red_first():
    left = np.zeros((240, 320, 3), np.uint8)
    left[..., 2] = 200  # red in BGR
    small = picture(left)
    assert small.shape == (64, 64, 3) and small[..., 0].min() == 200 and small[..., 1:].max() == 0
