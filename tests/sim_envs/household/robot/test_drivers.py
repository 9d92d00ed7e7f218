import math
from types import SimpleNamespace

import numpy as np
import pytest

from rarrl.policy.base import ActionChunk
from rarrl.types import ActStatus
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert
from rarrl_sim_envs.household.robot.drivers import (
    CLASSICAL,
    ExactSensor,
    ExpertDriver,
    HomeGate,
    InteractDebounce,
    PolicyDriver,
    clearance,
)
from rarrl_sim_envs.household.robot.proprioception import ACTION_NAMES, PROPRIO_NAMES
from rarrl_sim_envs.household.world import FIELD_RAD


def drive(env, driver, attempts=40):
    driver.begin(env)
    events = []
    while env.executor.row is not None and not env.is_done and len(events) < attempts:
        events.append(driver.attempt(env))
    return events


@pytest.mark.parametrize("seed", [1, 3, 6])
def test_the_expert_does_a_mission_behind_the_gate(seed):
    env = HouseholdEnv(stereo=False, disturbance=0)
    env.reset(seed=seed)
    events = drive(env, ExpertDriver(gated=True))
    assert env.is_done and all(event.status is ActStatus.SUCCESS for event in events)
    assert env.world.collisions == 0


class Straight:
    """Wants to go ahead, whatever is there."""

    spec = SimpleNamespace(
        cameras=("eye",), image_size=64, action_names=ACTION_NAMES, proprio_names=PROPRIO_NAMES, horizon=8
    )

    def infer(self, observation, stop=None):
        assert observation.images.shape == (1, 64, 64, 3)
        return ActionChunk(np.tile([0.6, 0.0, 0.0], (8, 1)).astype(np.float32), 0.1, observation.observed_at)

    def reset(self):
        """Nothing is kept."""


@pytest.mark.slow
def test_a_policy_that_goes_straight_ahead_touches_nothing_with_the_gate_and_much_without():
    touched = {}
    for name, sensor in (("gate", CLASSICAL), ("none", None)):
        env = HouseholdEnv(disturbance=0, time_limit_s=20)
        env.reset(seed=4)
        driver = PolicyDriver(Straight(), sensor)
        driver.begin(env)
        event = driver.attempt(env)
        touched[name] = env.world.collisions
        assert driver.statistics.steps == env.world.steps and event.status is ActStatus.FAILURE
        env.close()
    assert touched["gate"] == 0 and touched["none"] > 0


def test_an_interaction_waits_until_the_base_stands_and_begins_once():
    env = HouseholdEnv(stereo=False, people=0, disturbance=0)
    env.reset(seed=1)
    world, debounce = env.world, InteractDebounce()
    world.v = 0.5
    assert debounce.update(world, 1.0) == (False, False)  # one wish may be a slip
    assert debounce.update(world, 1.0) == (True, False)  # still moving
    world.v = 0.0
    assert debounce.update(world, 1.0) == (True, True)
    assert debounce.update(world, 1.0) == (True, False)  # a wish that lasts is one interaction
    assert debounce.update(world, 1.0) == (True, True)
    assert debounce.update(world, 0.2) == (False, False)


def test_the_exact_sensor_sees_as_far_as_the_twin():
    env = HouseholdEnv(stereo=False, people=0)
    env.reset(seed=2)
    scan = ExactSensor(env).read().scan
    assert np.array_equal(scan.ranges, env.world.scan())
    edges = scan.angle_min - scan.increment / 2, scan.angle_min + scan.increment * (len(scan.ranges) - 0.5)
    assert edges == pytest.approx((-FIELD_RAD / 2, FIELD_RAD / 2))


def test_without_a_scan_the_gate_lets_nothing_through():
    env = HouseholdEnv(stereo=False, people=0)
    env.reset(seed=2)
    gate = HomeGate()
    gate.begin(env)
    assert gate.check(env.world, 0.5, 0.0).v == 0.0
    env.advance(np.zeros(3))
    gate.look(env.world)
    assert gate.check(env.world, 0.0, 0.5).omega > 0.0


def test_clearance_is_from_the_edge_to_the_nearest_thing_or_person():
    env = HouseholdEnv(stereo=False, people=1)
    env.reset(seed=2)
    world, person = env.world, env.world.people[0]
    grid = world.home.clearance(True)
    assert clearance(world) <= float(grid.max())
    world.x, world.y = person.x + 0.6, person.y
    assert clearance(world) <= 0.1 + 1e-9


def test_a_copy_of_the_world_goes_its_own_way_with_the_same_luck():
    env = HouseholdEnv(stereo=False, disturbance=2)
    env.reset(seed=5)
    world, expert = env.world.copy(), Expert()
    before = (env.world.x, env.world.y, env.world.steps)
    action = expert.act(world, env.executor.row)
    for _ in range(30):
        world.step(float(action[0]), float(action[1]))
    assert (env.world.x, env.world.y, env.world.steps) == before
    other = env.world.copy()
    for _ in range(30):
        other.step(float(action[0]), float(action[1]))
    assert (other.x, other.y) == (world.x, world.y)
    assert [(p.x, p.y) for p in other.people] == [(p.x, p.y) for p in world.people]
    assert math.isfinite(clearance(other))
