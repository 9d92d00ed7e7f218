"""The drawer that is pulled open, in the one scene of libero_goal."""

import numpy as np
import pytest

from rarrl_sim_envs.libero.drawers import Pull
from rarrl_sim_envs.libero.env import _goals
from rarrl_sim_envs.libero.experts import expert_for

MIDDLE = "open_the_middle_drawer_of_the_cabinet"


@pytest.fixture
def expert(kitchen):
    kitchen._begin(1_000_000, 3)
    found = expert_for(kitchen._sim, kitchen._arm, kitchen._model, kitchen._data, _goals("libero_goal", MIDDLE)[0])
    assert isinstance(found, Pull)
    return found


def test_the_middle_drawer_is_opened_and_no_other(kitchen, expert):
    model, data = kitchen._model, kitchen._data
    slides = {
        level: data.qpos[model.joint(f"wooden_cabinet_1_{level}_level").qposadr[0]] for level in ("top", "bottom")
    }
    assert abs(expert.opened) < 0.005
    assert not kitchen.done(MIDDLE)

    for _ in range(150):
        kitchen.advance(expert.action())
        if kitchen.done(MIDDLE):
            break

    assert kitchen.done(MIDDLE)
    assert 0.13 < expert.opened < 0.17
    for level, before in slides.items():
        assert abs(data.qpos[model.joint(f"wooden_cabinet_1_{level}_level").qposadr[0]] - before) < 0.005


def test_what_is_left_of_the_way_shrinks(kitchen, expert):
    to_handle, to_end = expert.reaches()
    assert np.linalg.norm(to_end - to_handle) == pytest.approx(0.15, abs=0.005)
    for _ in range(30):
        action = expert.action()
        assert np.abs(action).max() <= 1
        kitchen.advance(action)
    assert np.linalg.norm(expert.reaches()[0]) < 0.6 * np.linalg.norm(to_handle)
