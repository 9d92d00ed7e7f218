"""Text becomes counts: stable-baselines3 takes the environments, and every word of a mission is known."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rarrl_sim_envs  # noqa: F401
from rarrl.errors import InputError
from rarrl_sim_envs.words import WordCounts


class Told(gymnasium.Env):
    """Observes one text."""

    observation_space = spaces.Dict({"text": spaces.Text(50), "x": spaces.Box(0, 1, (2,))})
    action_space = spaces.Discrete(2)
    text = "Put the mug, the mug!"

    def reset(self, *, seed=None, options=None):
        return {"text": self.text, "x": np.zeros(2, np.float32)}, {}


def test_counts_in_the_order_of_the_words_and_the_unknown_last():
    env = WordCounts(Told(), ["mug", "cup", "put"])
    observation, _ = env.reset()
    assert observation["text"].tolist() == [2.0, 0.0, 1.0, 2.0]
    assert env.observation_space.contains(observation)


def test_what_holds_no_text_or_no_words_is_refused():
    with pytest.raises(InputError, match="hold no text"):
        WordCounts(gymnasium.make("rarrl/AlfredReplay-v0"))
    with pytest.raises(InputError, match="which words"):
        WordCounts(Told())


@pytest.mark.filterwarnings("ignore::UserWarning")  # of actions in m/s
def test_stable_baselines_takes_the_twin():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env("rarrl_sim_envs:rarrl/HouseholdTwin-v0", n_envs=2, wrapper_class=WordCounts)
    checker.check_env(env.envs[0])
    assert env.envs[0].render().shape == (240, 320, 3)


def test_every_word_of_a_mission_is_known():
    env = WordCounts(gymnasium.make("rarrl/HouseholdTwin-v0"))
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        assert observation["instruction"][-1] == observation["subgoal"][-1] == 0
        assert observation["subgoal"].sum() == len(info["subgoal"])
