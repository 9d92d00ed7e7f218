import os

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.tabletop.env import KINDS, MATS, TASKS, THINGS, TabletopEnv

os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is imported


def test_24_instructions_with_paraphrases_whose_words_are_known():
    assert len(TASKS) == len(THINGS) * len(KINDS) == 24
    trained = {name: task.instructions() for name, task in TASKS.items()}
    held_out = {name: task.instructions(held_out=True) for name, task in TASKS.items()}
    texts = [text for table in (trained, held_out) for some in table.values() for text in some]
    assert len(texts) == len(set(texts)) == 9 * 24
    assert "put the red cube on the left mat" in held_out["put-red-cube-left"]
    assert "place the red cube on the left mat" in trained["put-red-cube-left"]
    known = {word for some in trained.values() for text in some for word in text.split()}
    assert {word for some in held_out.values() for text in some for word in text.split()} <= known
    assert max(len(text.split()) for text in texts) == 8


def test_unknown_tasks_are_refused():
    with pytest.raises(InputError, match="press-red-cube"):
        TabletopEnv("press-green-cube")


@pytest.fixture(scope="module")
def make():
    """Environments by task, made once."""
    pytest.importorskip("mujoco", reason="MuJoCo is not installed")
    made = {}

    def get(task):
        if task not in made:
            made[task] = TabletopEnv(task)
            try:
                made[task].reset(options={"start": 0})
            except Exception as error:  # MuJoCo raises several kinds where there is no OpenGL
                pytest.skip(f"this machine draws no pictures: {type(error).__name__}")
        return made[task]

    yield get
    for env in made.values():
        env.close()


def test_a_start_is_one_picture_for_all_tasks(make):
    env, other = make("press-red-cube"), make("put-blue-disc-left")
    first, _ = env.reset(options={"split": "test", "start": 3, "instruction": "tap the red box"})
    same, _ = other.reset(options={"split": "test", "start": 3})
    assert np.array_equal(first["images"], same["images"])
    assert np.array_equal(first["proprio"], same["proprio"])
    assert first["instruction"] == "tap the red box"
    assert env.observation_space.contains(first)
    for options in ({"split": "train", "start": 3}, {"split": "test", "start": 4}):
        assert not np.array_equal(env.reset(options=options)[0]["images"], first["images"])
    with pytest.raises(InputError, match="split"):
        env.reset(options={"split": "dev"})


def test_the_same_actions_give_the_same_pictures(make):
    actions = np.random.default_rng(0).uniform(-1, 1, (12, 4)).astype(np.float32)
    env, films = make("lift-red-disc"), []
    for _ in range(2):
        env.reset(seed=7)
        films.append(np.stack([env.step(action)[0]["images"] for action in actions]))
    assert np.array_equal(*films)
    assert (films[0][0] != films[0][-1]).any()


def test_a_chunk_is_tried_out_and_undone(make):
    env = make("put-red-cube-left")
    env.reset(options={"start": 1})
    for _ in range(14):
        env.advance(env.expert_action())
    before = env.proprio(), env.privileged()
    chunk = env.expert_chunk(8)
    assert np.array_equal(before[0], env.proprio())
    assert np.array_equal(before[1], env.privileged())
    for row in chunk:
        assert np.array_equal(env.expert_action(), row)
        env.advance(row)


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_does_what_it_is_told_and_nothing_else(make, task):
    env = make(task)
    for start in (0, 1):
        env.reset(options={"split": "test", "start": start})
        done = set()
        for _ in range(env.max_steps):
            if env.advance(env.expert_action()):
                break
            done |= {other for other in TASKS if env.solved(TASKS[other])}
        assert env.solved(env.task)
        assert done == set()


def test_standing_still_solves_nothing(make):
    env = make("press-red-cube")
    env.reset(options={"split": "test", "start": 0})
    assert not any(env.advance(np.zeros(4, np.float32)) for _ in range(30))
    assert [name for name, task in TASKS.items() if env.solved(task)] == []


def test_another_thing_that_moved_spoils_the_episode(make):
    env = make("put-blue-cube-front")
    env.reset(options={"split": "test", "start": 0})
    while not env.advance(env.expert_action()):
        pass
    env._data.joint("red disc").qpos[0] += 0.029
    assert env.solved(env.task)
    env._data.joint("red disc").qpos[0] += 0.002
    assert not env.solved(env.task)


def test_things_lie_apart_and_beside_the_mats(make):
    env = make("press-red-cube")
    for start in range(20):
        env.reset(options={"start": start})
        xy = env._start_places[:, :2]
        apart = np.linalg.norm(xy[:, None] - xy, axis=-1)[np.triu_indices(4, 1)]
        assert apart.min() > 0.11
        assert all(np.abs(xy - mat).max(axis=1).min() > 0.06 + 0.01 for mat in MATS.values())


def test_gymnasium_accepts_it(make):
    from gymnasium.utils.env_checker import check_env

    check_env(make("push-red-cube"), skip_render_check=True)


def test_recorded_demonstrations_are_read_back_and_repeat(make, tmp_path):
    from rarrl_learning.policy.demonstrations import load_demonstrations
    from rarrl_learning.policy.record import HORIZON, record_demonstrations
    from rarrl_sim_envs.suites import SUITES

    make("press-red-cube")  # skips where nothing can be drawn
    tasks = ["press-red-cube", "lift-red-cube"]
    counts = record_demonstrations(tmp_path / "a", SUITES["tabletop"], tasks, episodes=1)
    data = load_demonstrations([tmp_path / "a"])
    assert sum(count["frames"] for count in counts.values()) == len(data.task)
    assert data.frames.images.shape[1:] == (2, 64, 64, 3)
    assert data.frames.chunks.shape[1:] == (HORIZON, 4)
    assert len(set(data.frames.episode.tolist())) == 2  # no start twice
    record_demonstrations(tmp_path / "b", SUITES["tabletop"], tasks, episodes=1)
    assert load_demonstrations([tmp_path / "b"]).digest == data.digest


def test_a_distraction_leads_near_a_thing_without_touching_it(make):
    env = make("press-red-cube")
    for thing in range(4):
        env.reset(options={"start": thing})
        for _ in range(40):
            env.advance(env.distraction(thing))
        tool, place = env.proprio(), env._places()[thing]
        assert np.abs(tool[:2] - place[:2]).max() < 0.01
        assert 0.03 < tool[2] - place[2] < 0.08
        assert np.abs(env._places() - env._start_places).max() < 0.002
