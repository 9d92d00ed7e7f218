"""AlfredReplay as a Stable-Baselines3 VecEnv: natively vectorised, with action masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from rarrl.orchestrator.features import N_ACTIONS

from .core import AlfredReplayCore
from .env import ACTION_SPACE, observation_space
from .episodes import EpisodeSampler, seeds

_NO_INFO: dict[str, Any] = {}
"""`info` of a step that ends no episode; one for all, see `step_wait`."""


class AlfredReplayVecEnv(VecEnv):
    """SB3's vector protocol (same-step autoreset, `terminal_observation`) over `AlfredReplayCore`.

    Args:
        core, sampler: the world and its episodes
        seed: of the run's episodes
        hidden: (features,) bool, inputs that are zero (an ablation)
        allowed: (5,) bool, actions that the mask may allow (an ablation)

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
    ) -> None:
        self.core = core
        self.sampler = sampler
        self._shown = None if hidden is None or not hidden.any() else ~hidden
        self._allowed = None if allowed is None or allowed.all() else allowed[:, None]
        self.miss_price = 0.0
        self.statistics = np.zeros(4)
        self._base = seed  # of the run
        self._next = 0  # number of its next episode

        self._return = np.zeros(core.n)
        self._length = np.zeros(core.n, np.int64)
        self._actions = np.zeros(core.n, np.int64)
        self._mask = np.ones((N_ACTIONS, core.n), dtype=bool)
        super().__init__(core.n, observation_space(core), ACTION_SPACE)

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
        features = self.core.observe()
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

    def close(self) -> None:
        """Nothing to close."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._base = 0 if seed is None else seed
        self._next = 0
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        if method_name != "action_masks":
            raise AttributeError(f"AlfredReplayVecEnv has no per-environment method {method_name!r}")
        return list(self.action_masks())

    def has_attr(self, attr_name: str) -> bool:
        """sb3-contrib asks for `action_masks`."""
        return hasattr(self, attr_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        # "Monitored": episode returns are in the infos already.
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))
