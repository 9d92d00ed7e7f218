"""A network of stable-baselines3 becomes a policy file that decides as SB3 does; what cannot is refused."""

import numpy as np
import pytest

pytest.importorskip("sb3_contrib")
import gymnasium
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import rarrl_sim_envs  # noqa: F401
from rarrl import make_orchestrator
from rarrl.errors import InputError
from rarrl.orchestrator.learned import load_learned
from rarrl_learning.orchestrator.from_sb3 import save_sb3

TANH = {"activation_fn": torch.nn.Tanh}


@pytest.fixture(scope="module")
def env():
    return gymnasium.make("rarrl/AlfredReplay-v0")


@pytest.mark.parametrize(
    ("algorithm", "network"), [(MaskablePPO, {}), (PPO, {"net_arch": [16]}), (A2C, {}), (DQN, TANH)]
)
def test_the_file_says_what_the_network_says(env, tmp_path, algorithm, network):
    model = algorithm("MlpPolicy", env, policy_kwargs=network, seed=0, device="cpu")
    policy = load_learned(save_sb3(model, tmp_path / "own"))
    features = np.random.default_rng(0).normal(size=(50, env.observation_space.shape[0])).astype(np.float32)
    theirs, _ = model.predict(features, deterministic=True)
    assert np.array_equal(policy.logits(features).argmax(axis=1), theirs)
    assert make_orchestrator(str(tmp_path / "own")).policy.name == "own"


class Squared(PPO):
    """A class of the user's that is no MLP."""

    def __init__(self, env):
        super().__init__("MlpPolicy", env, device="cpu")
        self.policy.features_extractor = torch.nn.Identity()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda env: DQN("MlpPolicy", env, buffer_size=10), "have ReLU between them; allowed: Tanh"),
        (lambda env: PPO("MlpPolicy", gymnasium.make("CartPole-v1")), "maps 4 numbers to 2; allowed"),
        (lambda env: PPO("MlpPolicy", VecNormalize(DummyVecEnv([lambda: env]))), "VecNormalize scales what"),
        (Squared, "sees through a Identity"),
        (lambda env: env, "has no policy network that this can read"),
    ],
)
def test_what_would_decide_otherwise_is_refused(env, tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        save_sb3(make(env), tmp_path / "own")
    assert not (tmp_path / "own").exists()
