"""Thinking beside acting in missions at hosted models' latencies: learns when, tunes the rules for it, holds all of it
against standing still.

The missions and answers are those of the recorded profiles; seconds and tokens of a call are a hosted model's
(`hosted_calls`). One objective for everybody who is learned or tuned, standing or beside: success less PRICE for each
second of the language model and each second of the mission.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rarrl.latency.profile import LatencyProfile, load_profile
from rarrl.orchestrator.beside import BESIDE_FEATURE_NAMES, FIRST_BESIDE, N_CHOICES
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, FEATURE_LIMIT
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl_sim_envs.alfred.core import EpisodeParams
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.household.robot.known_goals import known_goals

from ..orchestrator.train import Progress, TrainConfig, train
from .hosted_calls import HostedCalls
from .recorded_missions import RecordedMissionsCore

N_ENVS = 256  # missions side by side
PRICE = 0.002
"""Success that a second is worth, of the language model's and of the mission."""
EPISODES = replace(TRAINING, budget_calls=(4.0, 1500.0), token_ratio=(0.15, 2.0), call_price=(0.0005, 0.008))
"""The episodes of training. call_price: here of a second, whatever a call takes."""
MISSION = EpisodeConfig(time_budget_s=60.0, token_budget=6000.0, cost_weight=PRICE)
"""What a mission grants at hosted latencies: a minute and 6,000 tokens of thinking."""
WIDTH = len(ALL_FEATURE_NAMES) + len(BESIDE_FEATURE_NAMES)


class PricedBySecond(EpisodeSampler):
    """Episodes whose price of a second does not depend on how long the calls of their language model take."""

    def draw(self, seed: NDArray[np.uint64], row: NDArray[np.int64] | None = None) -> EpisodeParams:
        """See `EpisodeSampler`."""
        drawn = super().draw(seed, row)
        if self.config.cost_weight is not None:
            return drawn
        return replace(drawn, cost_weight=drawn.cost_weight * self._mean_s[drawn.table])


def learned_beside(
    profile: LatencyProfile,
    config: TrainConfig,
    folder: Path,
    initial: LearnedPolicy,
    beside: bool = True,
    progress: Progress | None = None,
    until: int | None = None,
) -> LearnedPolicy:
    """Trains a policy of nine choices on the missions of `profile`, at the latencies that the other policies were
    trained on and at the profile's own; see `rarrl_learning.orchestrator.train.train`.

    initial: of five choices, where it begins. beside: False for one that may only stand. until: as of `train`."""
    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

    class NineChoices(AlfredReplayVecEnv):
        """Missions with nine choices."""

        def __init__(self, *args: Any, allowed: NDArray[np.bool_]) -> None:
            super().__init__(*args)
            self._may = allowed[:, None]
            self._mask = np.ones((N_CHOICES, self.num_envs), dtype=bool)
            self.observation_space = spaces.Box(-FEATURE_LIMIT, FEATURE_LIMIT, (WIDTH,))
            self.action_space = spaces.Discrete(N_CHOICES)

        def _observe(self) -> NDArray[np.float32]:
            self._mask = self.core.situation().choice_mask() & self._may
            return self._encode()

    hosted = [HostedCalls(load_profile(name)) for name in TRAINING_PROFILES] + [HostedCalls(profile)]
    core = RecordedMissionsCore(profile, known_goals(), N_ENVS, hosted=hosted, beside=True, time_share=1.0)
    sampler = PricedBySecond(core.recordings.bank, [calls.table for calls in hosted], EPISODES)
    allowed = choices(beside)
    env = NineChoices(core, sampler, config.seed, allowed=allowed)
    policy = train(env, config, folder, progress, widened(initial), until)
    name = "learned beside" if beside else "learned standing"
    return replace(policy, name=name, hidden=np.zeros(WIDTH, dtype=bool), allowed=allowed)


def choices(beside: bool) -> NDArray[np.bool_]:
    """(9,) which of the choices there are."""
    return np.arange(N_CHOICES) < (N_CHOICES if beside else FIRST_BESIDE)


def widened(policy: LearnedPolicy) -> LearnedPolicy:
    """`policy`, of five choices, as one of nine: beside as likely as standing, whatever the further features say."""

    def wider(weights: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
        more = np.zeros((len(weights[0]), len(BESIDE_FEATURE_NAMES)), np.float32)
        return np.hstack([weights[0], more]), *weights[1:]

    rows = [*range(FIRST_BESIDE), *range(1, FIRST_BESIDE)]
    weights = wider(policy.weights)
    return replace(
        policy,
        weights=(*weights[:-1], weights[-1][rows]),
        biases=(*policy.biases[:-1], policy.biases[-1][rows]),
        hidden=np.zeros(WIDTH, dtype=bool),
        allowed=choices(True),
        value_weights=wider(policy.value_weights),
    )
