"""The picture from above shows what is there, and moves with it."""

import numpy as np

from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.top_view import DOOR, PERSON, ROBOT, from_above


def pixels(picture, colour):
    return (picture == colour).all(axis=-1)


def test_the_robot_is_where_it_stands_and_an_open_door_is_gone():
    env = HouseholdEnv(stereo=False, render_mode="rgb_array")
    env.reset(seed=3)
    world = env.world
    x_px = np.argwhere(pixels(env.render(), ROBOT))[:, 1].mean()
    world.teleport(world.x + 0.5, world.y, 0.0)
    world.door_open = True
    picture = from_above(world, 320, 240)
    moved = np.argwhere(pixels(picture, ROBOT))[:, 1].mean() - x_px
    assert abs(moved - 0.5 * 320 / world.home.size[0]) < 3
    assert not pixels(picture, DOOR).any() and pixels(picture, PERSON).any()

    world.door_open = False
    assert pixels(from_above(world, 320, 240), DOOR).any()
