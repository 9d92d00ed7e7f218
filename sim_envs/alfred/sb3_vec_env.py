"""AlfredReplay as a Stable-Baselines3 VecEnv: natively vectorised, with action masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from rarrl.orchestrator.features import FEATURE_LIMIT, N_ACTIONS, NAMELESS_FEATURE_NAMES, encode_nameless

from .core import AlfredReplayCore
from .env import ACTION_SPACE, observation_space
from .episodes import EpisodeSampler, seeds

NAMELESS_SPACE: gym.spaces.Space[NDArray[np.float32]] = gym.spaces.Box(
    -FEATURE_LIMIT, FEATURE_LIMIT, (len(NAMELESS_FEATURE_NAMES),)
)
_NO_INFO: dict[str, Any] = {}
"""`info` of a step that ends no episode; one for all, see `step_wait`."""


class _WholeVecEnv(VecEnv):
    """What SB3 asks single environments for, where all of them are one object."""

    @abstractmethod
    def action_masks(self) -> NDArray[np.bool_]:
        """(n, 5) for sb3-contrib's MaskablePPO."""

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        if method_name != "action_masks":
            raise AttributeError(f"{type(self).__name__} has no per-environment method {method_name!r}")
        return list(self.action_masks())

    def has_attr(self, attr_name: str) -> bool:
        """sb3-contrib asks for `action_masks`."""
        return hasattr(self, attr_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        # "Monitored": episode returns are in the infos already.
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))


class AlfredReplayVecEnv(_WholeVecEnv):
    """SB3's vector protocol (same-step autoreset, `terminal_observation`) over `AlfredReplayCore`.

    Args:
        core, sampler: the world and its episodes
        seed: of the run's episodes
        hidden: (features,) bool, inputs that are zero (an ablation)
        allowed: (5,) bool, actions that the mask may allow (an ablation)
        nameless: observations are features without names, whatever the world's own are

    Attributes:
        miss_price: reward that a budget overrun costs: the Lagrangian's multiplier in hard mode
        statistics: (4,) finished episodes, successes, overruns and seconds of thinking since it was last cleared
    """

    def __init__(
        self,
        core: AlfredReplayCore,
        sampler: EpisodeSampler,
        seed: int = 0,
        hidden: NDArray[np.bool_] | None = None,
        allowed: NDArray[np.bool_] | None = None,
        nameless: bool = False,
    ) -> None:
        self.core = core
        self.sampler = sampler
        self._shown = None if hidden is None or not hidden.any() else ~hidden
        self._allowed = None if allowed is None or allowed.all() else allowed[:, None]
        self.miss_price = 0.0
        self.statistics = np.zeros(4)
        self._nameless = nameless
        self._base = seed  # of the run
        self._next = 0  # number of its next episode

        self._return = np.zeros(core.n)
        self._length = np.zeros(core.n, np.int64)
        self._actions = np.zeros(core.n, np.int64)
        self._mask = np.ones((N_ACTIONS, core.n), dtype=bool)
        super().__init__(core.n, NAMELESS_SPACE if nameless else observation_space(core), ACTION_SPACE)

    def _begin(self, where: NDArray[np.int64]) -> None:
        self.core.begin(where, self.sampler.draw(seeds(self._base, len(where), self._next)))
        self._next += len(where)

    def _observe(self) -> NDArray[np.float32]:
        situation = self.core.situation()
        self._mask = situation.action_mask()
        if self._allowed is not None:
            self._mask &= self._allowed
        return self._encode()

    def _encode(self) -> NDArray[np.float32]:
        features = encode_nameless(self.core.situation()) if self._nameless else self.core.observe()
        if self._shown is not None:
            features *= self._shown
        return features

    def reset(self) -> NDArray[np.float32]:
        self._begin(np.arange(self.num_envs))
        self._return[:] = 0.0
        self._length[:] = 0
        return self._observe()

    def step_async(self, actions: NDArray[np.int64]) -> None:
        self._actions = np.asarray(actions, np.int64)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        r = self.core.step(self._actions, self._mask)
        reward = r.reward - self.miss_price * r.deadline_miss
        self._return += reward
        self._length += 1

        # The same empty dict everywhere but at an episode's end: a dict per environment costs more than the step.
        infos: list[dict[str, Any]] = [_NO_INFO] * self.num_envs
        ended = np.flatnonzero(r.done)
        self.statistics += (len(ended), r.success.sum(), r.deadline_miss.sum(), r.seconds.sum())
        if len(ended):
            last = self._encode()[ended]
            for i, observation in zip(ended, last, strict=True):
                infos[i] = {
                    "terminal_observation": observation,
                    "episode": {"r": float(self._return[i]), "l": int(self._length[i]), "t": 0.0},
                    "is_success": bool(r.success[i]),
                }
            self._return[ended] = 0.0
            self._length[ended] = 0
            self._begin(ended)
        return self._observe(), reward.astype(np.float32), r.done.copy(), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """(n, 5) for sb3-contrib's MaskablePPO."""
        return self._mask.T

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._base = 0 if seed is None else seed
        self._next = 0
        return [seed] * self.num_envs


class SideBySideVecEnv(_WholeVecEnv):
    """Several worlds as one: their environments one after the other. All must show the same features.

    `miss_price` and `statistics` as in `AlfredReplayVecEnv`; the statistics are sums over all worlds."""

    def __init__(self, worlds: Sequence[AlfredReplayVecEnv]) -> None:
        self.worlds = tuple(worlds)
        self._ends = np.cumsum([world.num_envs for world in worlds])
        first = worlds[0]
        if any(world.observation_space != first.observation_space for world in worlds):
            raise ValueError("SideBySideVecEnv: the worlds must show the same features")
        self.statistics = np.zeros(4)
        super().__init__(int(self._ends[-1]), first.observation_space, ACTION_SPACE)

    @property
    def miss_price(self) -> float:
        """Reward that a budget overrun costs, in all worlds."""
        return self.worlds[0].miss_price

    @miss_price.setter
    def miss_price(self, price: float) -> None:
        for world in self.worlds:
            world.miss_price = price

    def reset(self) -> NDArray[np.float32]:
        return np.concatenate([world.reset() for world in self.worlds])

    def step_async(self, actions: NDArray[np.int64]) -> None:
        for world, part in zip(self.worlds, np.split(np.asarray(actions), self._ends[:-1]), strict=True):
            world.step_async(part)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        results = [world.step_wait() for world in self.worlds]
        for world in self.worlds:
            self.statistics += world.statistics
            world.statistics[:] = 0.0
        observations, rewards, dones = (np.concatenate([r[i] for r in results]) for i in range(3))
        return observations, rewards, dones, [info for r in results for info in r[3]]

    def action_masks(self) -> NDArray[np.bool_]:
        """(n, 5) for sb3-contrib's MaskablePPO."""
        return np.concatenate([world.action_masks() for world in self.worlds])

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        for number, world in enumerate(self.worlds):
            world.seed(None if seed is None else seed + number)
        return [seed] * self.num_envs
