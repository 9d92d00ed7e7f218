"""`rarrl/RandomSkills-v0` is a well-behaved environment, alone and as many."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rarrl.errors import InputError
from rarrl.orchestrator.features import NAMELESS_FEATURE_NAMES
from rarrl_sim_envs.random_skills.env import RandomSkillsEnv, RandomSkillsVectorEnv

ID = "rarrl_sim_envs:rarrl/RandomSkills-v0"


@pytest.mark.parametrize("arguments", [{}, {"plans": True, "ranges": "held_out", "mode": "hard"}])
def test_the_checker_of_gymnasium_is_content(arguments: dict[str, object]) -> None:
    env = gym.make(ID, **arguments).unwrapped
    check_env(env, skip_render_check=True)
    assert env.feature_names == NAMELESS_FEATURE_NAMES  # type: ignore[attr-defined]


def test_many_play_as_one_alone_does() -> None:
    env = RandomSkillsVectorEnv(64, profile="groq-70b", plans=True)
    first, info = env.reset(seed=3)
    assert first.shape == (64, len(NAMELESS_FEATURE_NAMES)) and info["action_mask"].shape == (64, 5)
    ended = 0
    for _ in range(60):
        observations, rewards, done, _, _ = env.step(np.zeros(64, np.int64))
        ended += int(done.sum())
        assert np.isfinite(observations).all() and set(np.unique(rewards)) <= {0.0, 1.0}
    assert ended > 64
    again, _ = env.reset(seed=3)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"mode": "harsh"}, "mode must be"), ({"ranges": "trainin"}, "did you mean"), ({"ranges": "x"}, "held_out")],
)
def test_bad_arguments_are_one_clear_line(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        RandomSkillsEnv(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
