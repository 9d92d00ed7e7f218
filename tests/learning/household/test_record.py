import numpy as np
import pytest

from rarrl_learning.household.record import HORIZON, expert_chunk, instructions, privileged, record_household
from rarrl_learning.policy.demonstrations import load_demonstrations
from rarrl_learning.policy.train import Batches, TrainSettings, make_spec
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.executor import VERBS


def test_every_subgoal_has_words():
    texts = instructions()
    assert set(texts) == set(VERBS)
    assert "PutObject mug shelf" in texts["PutObject"] and "GotoLocation fridge" in texts["GotoLocation"]
    assert all(len(set(found)) == len(found) for found in texts.values())


def test_the_label_is_what_the_expert_would_do_and_moves_nothing():
    env = HouseholdEnv(stereo=False, people=0, disturbance=0)
    env.reset(seed=1)
    before = (env.world.x, env.world.y, env.world.heading, env.world.steps)
    chunk = expert_chunk(env.world, env.executor.row, env)
    assert chunk.shape == (HORIZON, 3) and np.isfinite(chunk).all()
    assert (env.world.x, env.world.y, env.world.heading, env.world.steps) == before
    assert privileged(env.world, env.executor.row).shape == (6,)


def test_the_wish_lasts_while_the_interaction_does():
    env = HouseholdEnv(stereo=False, people=0, disturbance=0, subgoal="CleanObject")
    env.reset(seed=1)
    for _ in range(100):
        chunk = expert_chunk(env.world, env.executor.row, env)
        if chunk[0, 2]:
            break
        env.advance([*chunk[0, :2], 0.0])
    assert (chunk[:, 2] == 1.0).all() and (chunk[:, :2] == 0.0).all()


@pytest.mark.slow
def test_recorded_frames_keep_their_own_words(tmp_path):
    counts = record_household(tmp_path, 1, first=7, batch=1)
    assert counts["GotoLocation"] > 10
    data = load_demonstrations([tmp_path])
    assert data.frames.images.shape[1:] == (1, 64, 64, 3) and (data.frames.told >= 0).all()
    spec = make_spec(data)
    batches = Batches(data, spec, TrainSettings(steps=1, batch=4, validation=0.0), seed=0)
    words, *_ = batches.draw(0)
    rows = {tuple(spec.words(task.instructions[i])) for task in data.tasks for i in range(len(task.instructions))}
    known = words.numpy()
    assert known.shape == (4, spec.max_words)
    assert any(tuple(row) in rows for row in known)  # but for words that were dropped
    before = {path.name for path in tmp_path.iterdir()}
    assert sum(record_household(tmp_path, 1, first=7, batch=1).values()) == 0
    assert {path.name for path in tmp_path.iterdir()} == before
