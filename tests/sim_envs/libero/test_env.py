"""LIBERO's environment: starts, pictures, success, and chunks that are undone."""

import numpy as np
import pytest

from rarrl.errors import DependencyMissingError, InputError
from rarrl_sim_envs.instruction_env import SPLITS
from rarrl_sim_envs.libero.env import CAMERAS, LiberoEnv, _rotation_vector
from rarrl_sim_envs.libero.tasks import OBJECT
from rarrl_sim_envs.suites import suite_named

TEST = {"split": "test", "start": 3}


def test_a_start_is_one_of_the_benchmarks_fixed_states_and_repeatable(env):
    first, _ = env.reset(options={**TEST, "instruction": "get the cheese"})
    placed = env._data.qpos.copy()
    again, _ = env.reset(options={"split": "test", "start": 53})
    assert np.allclose(placed, env._data.qpos, atol=1e-9)  # there are 50
    assert np.array_equal(first["images"], again["images"])
    assert env.observation_space.contains(first)
    assert first["instruction"] == "get the cheese"
    fixed = env._fixed[3][1 : 1 + len(placed)]
    assert np.abs(placed - fixed)[:7].max() < 0.1  # the hand has turned upright
    assert np.abs(placed - fixed)[9:].max() < 0.04  # things have settled


def test_training_never_starts_in_a_fixed_state(env):
    places = env._fixed[:, 1 : 1 + len(env._data.qpos)]
    starts = []
    for start in range(5):
        env.reset(options={"split": "train", "start": start})
        starts.append(env._data.qpos.copy())
        assert np.abs(places - starts[-1])[:, :7].max(axis=1).min() > 1e-4
    assert np.ptp(np.array(starts)[:, :7], axis=0).min() > 0.005
    env.reset(options={"split": "train", "start": 0})
    assert np.allclose(env._data.qpos, starts[0], atol=1e-9)
    with pytest.raises(InputError, match="split"):
        env.reset(options={"split": "dev"})


def test_what_starts_on_a_fixture_starts_there_in_every_reset(stove):
    """The benchmark adds the drawn place of a stove to where it finds it: right once, beside the table after that."""
    fixture = stove._sim.fixtures_dict["flat_stove_1"].root_body
    placed = []
    for start in range(4):
        stove._begin(SPLITS["train"], start)
        bowl, plate = stove._expert._body(stove._expert.thing), stove._data.site("flat_stove_1_cook_region").xpos
        assert np.linalg.norm(bowl[:2] - plate[:2]) < 0.05
        assert 0 < bowl[2] - plate[2] < 0.05
        placed.append(stove._data.body(fixture).xpos.copy())
    assert np.ptp(placed, axis=0)[:2].max() > 0.002  # the stove itself is drawn anew
    stove._begin(SPLITS["train"], 0)
    assert np.allclose(stove._data.body(fixture).xpos, placed[0], atol=1e-9)


def test_a_disturbed_expert_moves_the_bowl_off_the_stove(stove):
    """What a recorder does: now and then a short random motion, which the expert makes good."""
    rng = np.random.default_rng(0)
    disturbed = suite_named("libero_spatial").noise
    solved = []
    for start in range(2):
        stove._begin(SPLITS["train"], start)
        for step in range(200):
            action = stove.expert_action()
            if step % 25 == 12:
                burst = rng.uniform(-1, 1, 7)
            if step % 25 in (12, 13):
                action = np.where(disturbed > 0, disturbed * burst, action)
            if stove.advance(action):
                solved.append(start)
                break
    assert solved == [0, 1]


def test_a_reset_leaves_numpys_generator_as_it_was(env):
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    env.reset(options=TEST)
    assert np.array_equal(np.random.random(3), expected)


def test_pictures_are_those_of_robosuite(env):
    """To the last bit, before multisampling is left out and four pixels become one."""
    import mujoco

    env.reset(options=TEST)
    ours = []
    renderer = mujoco.Renderer(env._model, 128, 128)
    env._renderer, kept = renderer, env._renderer
    for view in CAMERAS:
        env._update_scene(view)
        ours.append(renderer.render())
    env._renderer = kept
    option = mujoco.MjvOption()
    option.geomgroup[:] = 0
    option.geomgroup[1] = 1  # what robosuite draws
    for view, picture in zip(CAMERAS, ours, strict=True):
        renderer.update_scene(env._data, camera=view, scene_option=option)
        assert np.abs(renderer.render().astype(int) - picture).max() == 0
    renderer.close()


def test_the_expert_solves_a_start_and_its_chunk_is_undone(env):
    env.reset(options=TEST)
    before = env._data.qpos.copy()
    chunk = env.expert_chunk(8)
    assert np.array_equal(env._data.qpos, before)
    done = []
    for step in range(200):
        action = env.expert_action()
        if step < 8:
            done.append(action)
        if env.advance(action):
            break
    assert step < 150
    assert np.abs(chunk - done).max() < 2e-3
    assert env.done(env.task.name)
    assert not env.done(OBJECT[env.task.name].other)  # its thing is there, and lies where it lay
    assert not env.done("pick_up_the_ketchup_and_place_it_in_the_basket")  # is not in this scene


def test_where_the_hand_is_agrees_with_robosuite(env):
    env.reset(options=TEST)
    seen = env._sim._get_observations(force_update=True)
    proprio = env.proprio()
    assert np.allclose(proprio[:3], seen["robot0_eef_pos"], atol=1e-6)
    assert np.allclose(proprio[6:], seen["robot0_gripper_qpos"], atol=1e-6)
    x, y, z, w = seen["robot0_eef_quat"]
    assert np.allclose(proprio[3:6], _rotation_vector(np.array([w, x, y, z])), atol=1e-5)


def test_a_rotation_vector_does_not_wrap_where_the_hand_points_down():
    angles = np.linspace(np.pi - 0.1, np.pi + 0.1, 9)
    vectors = [_rotation_vector(np.array([np.cos(a / 2), np.sin(a / 2), 0, 0])) for a in angles]
    assert np.allclose(vectors, [[a, 0, 0] for a in angles])
    assert np.array_equal(_rotation_vector(np.array([1.0, 0, 0, 0])), np.zeros(3))


def test_unknown_tasks_are_refused():
    with pytest.raises(InputError, match="pick_up_the_milk"):
        suite_named("libero_object").make("pick_up_the_beer", 280)


def test_without_libero_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("rarrl_sim_envs.libero.tasks.find_spec", lambda name: None)
    with pytest.raises(DependencyMissingError, match="make libero"):
        suite_named("libero_object").make(next(iter(OBJECT)), 280)
    assert issubclass(suite_named("libero_object").make, LiberoEnv)
