"""Worlds for tests: one home, with a base that stands where a test wants it."""

import numpy as np

from rarrl_sim_envs.household.home import draw_home
from rarrl_sim_envs.household.world import World

HOME = draw_home(np.random.default_rng(3), ("countertop", "desk", "fridge", "microwave", "sinkbasin", "floorlamp"), 7)


def world_of(*things, people=0, **kwargs):
    """A world with these things, without people and disturbances unless asked for."""
    return World(HOME, list(things), people=people, **({"disturbance": 0.0} | kwargs))


def before(world, name):
    """Stands at a place."""
    world.teleport(*world.home.places[name].stand())
    return world


def do(world, *row):
    """An interaction to its end: the reason of its failure, or ""."""
    world.step(0.0, 0.0, row)
    while world.busy:
        world.step(0.0, 0.0)
    return world.outcome.reason
