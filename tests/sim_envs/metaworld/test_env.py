import os

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.metaworld.env import MT10, SEVEN, TASKS, UNSEEN_BODIES, MetaWorldLanguageEnv

os.environ.setdefault("MUJOCO_GL", "egl")


def test_every_instruction_is_of_one_task_and_held_out_words_are_known():
    texts = [text for task in TASKS.values() for held in (False, True) for text in task.instructions(held)]
    assert len(texts) == len(set(texts)) == 9 * len(MT10) == 90
    trained = {word for task in TASKS.values() for text in task.instructions() for word in text.split()}
    held_out = {word for task in TASKS.values() for text in task.instructions(True) for word in text.split()}
    assert held_out <= trained
    assert len(SEVEN) == 7


def test_the_swapped_task_is_another_one_and_opposites_share_a_scene():
    for task in TASKS.values():
        assert task.swapped != task.name
        assert task.swapped in TASKS
    for a, b in (("drawer-open", "drawer-close"), ("window-open", "window-close")):
        assert (TASKS[a].swapped, TASKS[b].swapped) == (b, a)
        assert TASKS[a].scene == TASKS[b].scene


def test_unknown_tasks_are_refused():
    with pytest.raises(InputError, match="door-open"):
        MetaWorldLanguageEnv("door-opne")


@pytest.fixture(scope="module")
def env():
    pytest.importorskip("metaworld", reason="Meta-World is not installed")
    made = MetaWorldLanguageEnv("drawer-close")
    try:
        made.reset(options={"start": 0})
    except Exception as error:  # MuJoCo raises several kinds where there is no OpenGL
        pytest.skip(f"this machine draws no pictures: {type(error).__name__}")
    yield made
    made.close()


def test_a_start_is_repeatable_and_splits_differ(env):
    first, told = env.reset(options={"split": "test", "start": 3, "instruction": "shut the drawer"})
    again, told_again = env.reset(options={"split": "test", "start": 3})
    assert np.array_equal(first["images"], again["images"])
    assert np.array_equal(told["state"], told_again["state"])
    assert first["instruction"] == "shut the drawer"
    assert env.observation_space.contains(first)
    for options in ({"split": "train", "start": 3}, {"split": "test", "start": 4}):
        assert not np.array_equal(env.reset(options=options)[1]["state"], told["state"])
    with pytest.raises(InputError, match="split"):
        env.reset(options={"split": "dev"})


def test_a_chunk_is_tried_out_and_undone(env):
    env.reset(options={"start": 1})
    for _ in range(10):
        env.advance(env.expert_action())
    before = env.state
    chunk = env.expert_chunk(8)
    assert np.array_equal(env.state, before)
    for row in chunk:
        assert np.array_equal(env.expert_action(), row)
        env.advance(row)


def test_the_expert_reaches_the_goal_and_standing_still_does_not(env):
    for act, expected in ((env.expert_action, True), (lambda: np.zeros(4, np.float32), False)):
        env.reset(options={"split": "test", "start": 0})
        done = any(env.advance(act()) for _ in range(120))
        assert done is expected


def test_hidden_bodies_are_out_of_view(env):
    env.reset(options={"start": 2})
    shown = env.render()
    groups = env._sim.model.geom_group.copy()
    for body in UNSEEN_BODIES:
        env._sim.model.geom_group[env._sim.model.geom_bodyid == env._sim.model.body(body).id] = 1
    different = (env.render() != shown).any(axis=-1).sum()
    env._sim.model.geom_group[:] = groups
    assert different < 16  # of 8,192 pixels: the pedestal's edge


def test_recorded_demonstrations_are_read_back_and_repeat(env, tmp_path):
    from rarrl_learning.policy.demonstrations import load_demonstrations
    from rarrl_learning.policy.record import HORIZON, record_demonstrations
    from rarrl_sim_envs.suites import SUITES

    def record(folder):
        return record_demonstrations(folder, SUITES["metaworld"], ["drawer-close"], episodes=1)

    counts = record(tmp_path / "a")
    data = load_demonstrations([tmp_path / "a"])
    assert counts["drawer-close"]["frames"] == len(data.task) > 10
    assert data.frames.images.shape[1:] == (2, 64, 64, 3)
    assert data.frames.chunks.shape[1:] == (HORIZON, 4)
    assert data.tasks[0].opposite == "drawer-open"
    assert np.ptp(data.frames.chunks) > 0.5
    record(tmp_path / "b")
    assert load_demonstrations([tmp_path / "b"]).digest == data.digest
    assert record(tmp_path / "a")["drawer-close"]["frames"] == 0  # kept


@pytest.mark.parametrize("name", ["window-close", "window-open", "drawer-open"])
def test_a_reset_tells_and_draws_things_where_they_are(env, name):
    made = MetaWorldLanguageEnv(name, max_steps=5)
    try:
        first, _ = made.reset(options={"split": "train", "start": 7})
        place = made.privileged()
        made.reset(options={"split": "train", "start": 11})
        made.reset(options={"split": "train", "start": 7})
        np.testing.assert_allclose(made.privileged(), place, atol=1e-6)  # nothing of the start before is left
        second, *_ = made.step(np.zeros(4, np.float32))
        assert np.linalg.norm(made.privileged()[:3] - place[:3]) < 0.01  # by 5 to 20 cm where nothing settled
        changed = np.abs(first["images"].astype(int) - second["images"]).max(axis=-1) > 40
        assert changed.mean() < 0.02
    finally:
        made.close()
