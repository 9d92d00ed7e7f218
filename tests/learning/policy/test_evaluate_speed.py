import os

import numpy as np
import pytest

from rarrl.policy.base import ActionChunk
from rarrl_learning.policy.evaluate_speed import MAX_STEPS, TrialRunner, observation_clips
from rarrl_sim_envs.metaworld.env import ACTION_NAMES, TASKS

os.environ.setdefault("MUJOCO_GL", "egl")
pytest.importorskip("metaworld", reason="Meta-World is not installed")


class Still:
    """Does nothing, and counts how often it is asked."""

    class spec:  # noqa: N801 (stands for an attribute)
        horizon = 8
        max_words = 40
        vocabulary = ()

    def __init__(self):
        self.asked = []

    def infer(self, observation, stop=None):
        self.asked.append(observation)
        return ActionChunk(np.zeros((8, len(ACTION_NAMES)), np.float32), 1 / 80, observation.observed_at)

    def reset(self):
        pass


def test_a_policy_is_asked_as_often_as_rows_run_out():
    with TrialRunner() as runner:
        for rows in (None, 4):
            policy = Still()
            assert not runner.play(policy, "drawer-open", 50_000, rows, words="swapped")
            assert len(policy.asked) == -(-MAX_STEPS // (rows or 8))
            (told,) = {observation.instruction for observation in policy.asked}
            assert told in TASKS["drawer-close"].instructions()


def test_a_start_is_played_alike_each_time():
    first, second = Still(), Still()
    with TrialRunner() as runner:
        runner.play(first, "reach", 50_001)
        runner.play(Still(), "reach", 50_002)
        runner.play(second, "reach", 50_001)
    assert np.array_equal(first.asked[0].images, second.asked[0].images)
    assert first.asked[0].instruction == second.asked[0].instruction


def test_films_show_the_experts_way():
    (film,) = observation_clips(["reach"])
    assert 3 < len(film) <= 10
    assert np.abs(film[-1].proprio - film[0].proprio)[:3].max() > 0.02
    assert film[0].instruction == film[-1].instruction
