"""What is not picked up: the plate that is pushed, the knob that is turned, in the one scene of libero_goal."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.libero.env import _goals
from rarrl_sim_envs.libero.experts import NoExpert, expert_for
from rarrl_sim_envs.libero.fixtures import Push, Turn
from rarrl_sim_envs.libero.tasks import GOAL

PUSH, TURN = "push_the_plate_to_the_front_of_the_stove", "turn_on_the_stove"


def expert_of(env, name):
    env._mujoco.mj_forward(env._model, env._data)
    return expert_for(env._sim, env._arm, env._model, env._data, _goals("libero_goal", name)[0])


def does(env, name, start, steps=200):
    """Whether the expert of a task of the same scene does it, and the steps that it took."""
    env._begin(1_000_000, start)
    expert = expert_of(env, name)
    expert.begin()
    assert not env.done(name)
    for step in range(steps):
        env.advance(expert.action())
        if env.done(name):
            return True, step + 1
    return False, steps


def test_the_knob_is_turned_on(kitchen):
    assert isinstance(expert_of(kitchen, TURN), Turn)
    solved, steps = does(kitchen, TURN, 0)
    assert solved
    assert steps < 120
    assert not kitchen.done(PUSH)


def test_the_plate_is_pushed_and_nothing_else_is_done(kitchen):
    assert isinstance(expert_of(kitchen, PUSH), Push)
    assert does(kitchen, PUSH, 1)[0]
    assert [name for name in GOAL if kitchen.done(name)] == [PUSH]


def test_an_experts_first_step_is_towards_its_thing(kitchen):
    kitchen._begin(1_000_000, 2)
    for name in (PUSH, TURN):
        expert = expert_of(kitchen, name)
        action = expert.action()
        assert np.abs(action).max() <= 1
        assert action[:2] @ expert.reaches()[0][:2] > 0


def test_a_goal_without_an_expert_says_so(kitchen):
    name = "open_the_top_drawer_and_put_the_bowl_inside"
    expert = expert_of(kitchen, name)
    assert isinstance(expert, NoExpert)
    assert not GOAL[name].scripted
    with pytest.raises(InputError, match="no scripted expert"):
        expert.action()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, task in GOAL.items() if task.scripted])
def test_each_scripted_goal_is_done_from_a_fixed_start(kitchen, name):
    assert does(kitchen, name, 5)[0]
