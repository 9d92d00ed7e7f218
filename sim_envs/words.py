"""Observations with text as numbers, for libraries that train on numbers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from rarrl.errors import InputError

MOST_COUNTED = 255
"""How often a word is counted at most: a bound of the space, far above what a text of 200 characters holds."""


def words_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The different words of `texts`, in small letters, sorted.

    >>> words_in(["Put the mug down.", "The mug, please"])
    ('down', 'mug', 'please', 'put', 'the')
    """
    return tuple(sorted({word for text in texts for word in _words(text)}))


class WordCounts(gym.ObservationWrapper[dict[str, Any], Any, dict[str, Any]], gym.utils.RecordConstructorArgs):
    """Replaces each text of an observation by counts of known words, as stable-baselines3 needs them:

        from stable_baselines3.common.env_util import make_vec_env
        make_vec_env("rarrl_sim_envs:rarrl/HouseholdTwin-v0", n_envs=4, wrapper_class=WordCounts)

    `Box((n + 1,), float32)` for n words: how often each occurs, in their order, and last, how many words are unknown.
    The order of a text's words is lost. A sub-goal stays clear all the same: its verb, object and place are
    different words."""

    def __init__(self, env: gym.Env[dict[str, Any], Any], words: Sequence[str] = ()) -> None:
        """words: the known ones; by default those that the environment's own texts use (its attribute `words`).

        Raises: InputError where the observations hold no text, or neither says which words there are."""
        gym.utils.RecordConstructorArgs.__init__(self, words=words)
        super().__init__(env)
        space = env.observation_space
        inner = space.spaces if isinstance(space, gym.spaces.Dict) else {}
        self._texts = [name for name, part in inner.items() if isinstance(part, gym.spaces.Text)]
        if not self._texts:
            raise InputError(f"WordCounts: the observations hold no text ({space}); leave the wrapper out")

        self.words = tuple(words or getattr(env.unwrapped, "words", ()))
        if not self.words:
            raise InputError("WordCounts: which words? The environment has no attribute `words`; give words=[...]")

        self._index = {word: i for i, word in enumerate(self.words)}
        counts = gym.spaces.Box(0.0, MOST_COUNTED, (len(self.words) + 1,), np.float32)
        self.observation_space = gym.spaces.Dict(
            {name: counts if name in self._texts else part for name, part in inner.items()}
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with counts in place of texts."""
        return {**observation, **{name: self._count(observation[name]) for name in self._texts}}

    def _count(self, text: str) -> np.ndarray:
        counts = np.zeros(len(self.words) + 1, np.float32)
        for word in _words(text):
            counts[self._index.get(word, -1)] += 1
        return np.minimum(counts, np.float32(MOST_COUNTED))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
