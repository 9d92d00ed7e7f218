import os

import numpy as np
import pytest

from rarrl.policy.base import ActionChunk
from rarrl_sim_envs.metaworld_language import MT10, SEVEN
from rarrl_sim_envs.policy_evaluation import Episode, figures_of, play

os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is imported


def episodes(solved):
    """`solved`: (task, words) -> successes of 4."""
    return [Episode(task, i, words, i < n, 50) for (task, words), n in solved.items() for i in range(4)]


def test_every_task_weighs_the_same():
    played = episodes({(task, "trained"): 4 if task == "reach" else 1 for task in SEVEN})
    figure = figures_of(played)["success_f16"]
    assert figure.value == pytest.approx((1 + 6 * 0.25) / 7)
    assert figure.n == 28
    assert figure.lo < figure.value < figure.hi


def test_a_figure_needs_all_of_its_tasks():
    seven = {(task, "trained"): 2 for task in SEVEN}
    assert set(figures_of(episodes(seven))) == {"success_f16"}
    ten = {(task, "trained"): 2 for task in MT10} | {(task, "swapped"): 0 for task in SEVEN}
    assert set(figures_of(episodes(ten))) == {"success_f16", "success_mt10", "success_swapped"}
    swapped = figures_of(episodes(ten))["success_swapped"]
    assert (swapped.value, swapped.lo) == (0, 0)
    assert 0.01 < swapped.hi < 0.3  # 28 failures do not prove that it never happens


class Replayed:
    """Asks the expert of a second copy of the scene: what a perfect policy would do."""

    def __init__(self, task, start):
        from rarrl_sim_envs.metaworld_language import MetaWorldLanguageEnv

        self.env, self.asked, self.told = MetaWorldLanguageEnv(task), 0, []
        self.env._sim.seed(1_000_000 + start)
        self.env._state, _ = self.env._sim.reset()

    def infer(self, observation, stop=None):
        self.asked += 1
        self.told.append(observation.instruction)
        chunk = []
        for _ in range(8):
            chunk.append(self.env.expert_action())
            self.env.advance(chunk[-1])
        return ActionChunk(np.stack(chunk), 0.0125, 0.0)

    def reset(self):
        pass


def test_chunks_are_played_to_the_goal():
    pytest.importorskip("metaworld", reason="Meta-World is not installed")
    policy = Replayed("reach", 5)
    try:
        (episode,) = play(policy, "reach", "held_out", [5], rows=8)
    except Exception as error:
        if type(error).__module__.startswith(("mujoco", "OpenGL")):
            pytest.skip(f"this machine draws no pictures: {type(error).__name__}")
        raise
    assert episode.success
    assert policy.asked == -(-episode.steps // 8)
    assert set(policy.told) == {"move to the red point"}
