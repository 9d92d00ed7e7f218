"""Registration: importing the package is light, and what `gymnasium.make` gives passes Gymnasium's own checker."""

import subprocess
import sys
import warnings

import gymnasium
import pytest
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils.env_checker import check_env

import rarrl_sim_envs  # noqa: F401
from rarrl.errors import DependencyMissingError

SHIPPED = (
    "rarrl/AlfredReplay-v0",
    "rarrl/Household-v0",
    "rarrl/HouseholdTwin-v0",
    "rarrl/LiberoGoal-v0",
    "rarrl/LiberoObject-v0",
    "rarrl/LiberoSpatial-v0",
    "rarrl/MetaWorldLanguage-v0",
    "rarrl/Tabletop-v0",
)
IDS = tuple(sorted(name for name in gymnasium.registry if name.startswith("rarrl/")))
SUITES = ("rarrl/LiberoGoal-v0", "rarrl/MetaWorldLanguage-v0", "rarrl/Tabletop-v0")
"""One of each class; LIBERO's three differ in their tasks alone, and take 6 s each to make."""
RENDERED = ("rarrl/Household-v0", "rarrl/LiberoObject-v0", "rarrl/LiberoSpatial-v0", *SUITES)
"""Their observations are drawn by MuJoCo."""
SECTIONS = ("Description", "Action space", "Observation space", "Rewards", "Starting state", "Episode end", "Arguments")


def test_all_environments_are_registered():
    assert set(SHIPPED) <= set(IDS)


def test_registration_imports_no_simulator():
    code = "import sys, rarrl_sim_envs; print([m for m in ('mujoco', 'metaworld', 'cv2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", IDS)
def test_the_class_says_what_a_user_must_know(name):
    """The reference pages are made from these sections."""
    text = load_env_creator(gymnasium.spec(name).entry_point).__doc__
    places = [text.find(f"## {section}\n") for section in SECTIONS]
    assert -1 not in places, dict(zip(SECTIONS, places, strict=True))
    assert places == sorted(places)


def make(name, **arguments):
    try:
        with warnings.catch_warnings(action="ignore"):  # simulators warn while they are imported
            env = gymnasium.make(name, **arguments)
            env.reset()
        return env
    except DependencyMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", [name for name in IDS if name not in RENDERED])
def test_those_without_pictures_pass_the_checker(name):
    check_env(make(name).unwrapped, skip_render_check=True)


@pytest.mark.filterwarnings("error", "default::pytest.PytestUnraisableExceptionWarning")  # others' garbage
@pytest.mark.parametrize("name", SUITES)
def test_suites_pass_the_checker_with_rendering(name):
    env = make(name, render_mode="rgb_array")
    try:
        env.reset(seed=0)
    except Exception as error:  # MuJoCo raises several kinds where there is no OpenGL
        pytest.skip(f"this machine renders no images: {type(error).__name__}")

    check_env(env.unwrapped)
    assert env.render().shape == (64, 128, 3)
    env.close()


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("rarrl/LiberoObject-v0", "pick_up_the_butter_and_place_it_in_the_basket"),
        ("rarrl/MetaWorldLanguage-v0", "window-open"),
        ("rarrl/Tabletop-v0", "put-blue-disc-left"),
    ],
)
def test_the_task_is_an_argument(name, task):
    env = make(name, task=task, max_steps=7)
    assert env.unwrapped.task.name == task
    assert env.unwrapped.max_steps == 7
    env.close()
