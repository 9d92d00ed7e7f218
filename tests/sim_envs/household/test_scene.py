"""Images of a world: what moves in it moves in them."""

import numpy as np
import pytest
from household_fixtures import HOME, before, world_of

from rarrl.errors import DependencyMissingError
from rarrl_sim_envs.household.scene import BASELINE_M, HouseholdScene
from rarrl_sim_envs.household.world import Thing


@pytest.fixture(scope="module")
def world():
    return before(world_of(Thing("basketball", "fridge"), Thing("apple", "desk")), "fridge")


@pytest.fixture(scope="module")
def scene(world):
    try:
        made = HouseholdScene(world, 160, 120, noise=0.0)
    except DependencyMissingError as error:
        pytest.skip(str(error))
    with made:
        yield made


def difference(a, b):
    return np.abs(a.left.astype(int) - b.left).mean()


def test_a_still_world_gives_the_same_images_stamped_with_its_time(scene, world):
    a = scene.pair(world)
    b = scene.pair(world)
    assert np.array_equal(a.left, b.left)
    assert np.array_equal(a.right, b.right)
    assert a.left.shape == (120, 160, 3)
    assert a.stamp_s == world.steps / 10


def test_the_two_images_are_a_baseline_apart(scene, world):
    """Pixels of one row of a near surface move by the disparity that its depth says."""
    pair = scene.pair(world)
    depth = scene.depth(world)
    disparity = np.rint(scene.rig.fx * BASELINE_M / depth).astype(int)
    rows, columns = np.indices(depth.shape)
    inside = (columns - disparity >= 0) & (disparity > 3)
    moved = pair.right[rows[inside], (columns - disparity)[inside]].astype(int)
    agreement = np.abs(moved - pair.left[inside]).mean()
    unmoved = np.abs(pair.right[inside].astype(int) - pair.left[inside]).mean()
    assert agreement < 0.6 * unmoved


def test_a_shut_door_hides_what_is_behind_it(scene, world):
    world.teleport(*HOME.places["fridge"].stand((world.things[0].x, world.things[0].y)))
    shut = scene.depth(world)
    world.open("fridge")
    opened = scene.depth(world)
    assert (opened > shut + 0.1).sum() > 50
    assert (shut > opened + 0.1).sum() == 0


def test_what_is_carried_away_is_gone_from_the_images(scene, world):
    world.teleport(*HOME.places["fridge"].stand((world.things[0].x, world.things[0].y)))
    world.open("fridge")
    there = scene.pair(world)
    world.put_on(0, HOME.places["sinkbasin"])
    assert difference(there, scene.pair(world)) > 0.5
    world.put_on(0, HOME.places["fridge"])
    assert difference(there, scene.pair(world)) < 0.5


def test_noise_is_fresh_in_each_image_and_repeats_by_seed(world):
    def images(seed):
        with HouseholdScene(world, 160, 120, seed=seed, noise=2.0) as noisy:
            return [noisy.pair(world).left.astype(int) for _ in range(2)]

    try:
        first, second = images(1)
    except DependencyMissingError as error:
        pytest.skip(str(error))
    assert 1.0 < np.std(first - second) < 4.0
    assert np.array_equal(images(1)[0], first)
    assert not np.array_equal(images(2)[0], first)
