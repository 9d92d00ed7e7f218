"""`rarrl/AlfredReplay-v0`: when should a robot think? A gymnasium.Env, and a VectorEnv of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rarrl.errors import InputError
from rarrl.orchestrator.features import (
    ALL_FEATURE_NAMES,
    FEATURE_LIMIT,
    FEATURE_NAMES,
    N_ACTIONS,
    NAMELESS_FEATURE_NAMES,
)
from rarrl.types import Action

from .core import ACT_STATUS, CATEGORIES, AlfredReplayCore, EpisodeBank, StepResult
from .datasets import holds_answers, load_plans, load_recordings, load_tables
from .episodes import EpisodeConfig, EpisodeSampler, seeds
from .recorded_core import RecordedCore

ACTION_SPACE = gym.spaces.Discrete(N_ACTIONS)
"""Numbers of `rarrl.types.Action`."""


def feature_names(core: AlfredReplayCore) -> tuple[str, ...]:
    """FEATURE_NAMES; with recorded answers also the names of what describes the plan in force; NAMELESS_FEATURE_NAMES
    where skills have no names."""
    if core.nameless:
        return NAMELESS_FEATURE_NAMES
    return ALL_FEATURE_NAMES if hasattr(core, "recordings") else FEATURE_NAMES


def observation_space(core: AlfredReplayCore) -> gym.spaces.Space[NDArray[np.float32]]:
    """A number for each of `feature_names`."""
    return gym.spaces.Box(-FEATURE_LIMIT, FEATURE_LIMIT, (len(feature_names(core)),))  # float32


def _make(
    n: int,
    profile: str | Sequence[str],
    alfred: str | Path | None,
    split: str | None,
    category: str,
    mode: str,
    **episode: Any,
) -> tuple[AlfredReplayCore, EpisodeSampler]:
    """The core and its episodes, from the arguments of `AlfredReplayEnv`."""
    if mode not in ("soft", "hard"):
        raise InputError(f"AlfredReplay: mode must be 'soft' or 'hard', got {mode!r}")
    if category != "all" and category not in CATEGORIES:
        raise InputError(f"AlfredReplay: category must be 'all' or one of {', '.join(CATEGORIES)}, got {category!r}")

    categories = CATEGORIES if category == "all" else (category,)
    if isinstance(profile, str) and holds_answers(profile):
        if alfred is not None:
            raise InputError("AlfredReplay: a profile with recorded answers holds its tasks; leave alfred away")
        recordings = load_recordings(profile, categories)
        recorded = RecordedCore(recordings, n, hard=mode == "hard")
        return recorded, EpisodeSampler(recordings.bank, [recordings.table], EpisodeConfig(**episode))

    plans, _ = load_plans(None if alfred is None else Path(alfred), split)
    bank = EpisodeBank.from_plans(plans, categories)
    tables = load_tables([profile] if isinstance(profile, str) else profile)
    core = AlfredReplayCore(bank, tables, n, hard=mode == "hard")
    return core, EpisodeSampler(bank, tables, EpisodeConfig(**episode))


class AlfredReplayEnv(gym.Env[NDArray[np.float32], np.int64]):
    """## Description
    A robot executes an ALFRED household task sub-goal by sub-goal. At each decision it acts, or first asks a
    language model, whose measured latency and tokens are replayed from a profile. Thinking prevents failures; it costs
    time and tokens from a budget that does not last for thinking at each decision. After RARRL (arXiv 2603.16673).

    ## Action space
    `Discrete(5)`: 0 ACT, 1 THINK(planner, 1), 2 THINK(planner, 2), 3 THINK(verifier, 1), 4 THINK(verifier, 2).
    `action_masks()` (and `info["action_mask"]`) says which are allowed; another one is executed as ACT.

    ## Observation space
    `Box(-8, 8, (N_FEATURES,), float32)`: task state, execution history, remaining budget, expected cost of calls; their
    names, in order, are `env.unwrapped.feature_names` (docs/reference/features.md says what each is). How uncertain the
    robot's scene is stays hidden. A profile with recorded answers (`rarrl profile record`) is replayed with them, on
    its own tasks (see `recorded_core`); the observation then describes the plan in force too.

    ## Rewards
    1 at success, minus `cost_weight` per second of thinking.

    ## Starting state
    An expert plan of ALFRED (drawn from its shipped statistics where `alfred` is not given), a budget, and a price of
    thinking; all drawn from the seed.

    ## Episode end
    Terminates when the task is done, lost (an irreversible failure), out of attempts, or, in hard mode, when a
    call runs out of the budget. Never truncates.

    ## Information
    `action_mask` (5,) bool; of this decision: `seconds` and `tokens` of the call, `call_ok`, `act_status` (None for a
    call), `deadline_miss` (the call ran out of the budget), `shocked` (the budget was cut); `time_s` and `tokens_left`
    of the budget; at the end `is_success`.

    ## Arguments
    `profile` (a latency profile: shipped name or path, or several), `alfred` and `split` (folder of the data set, and
    its split), `category` (all, Navigation, Inspection, Delivery), `mode` (soft: a call that runs out of the budget
    loses its answer; hard: it ends the episode), `render_mode` ("ansi": the last decision as a line), and all fields of
    `EpisodeConfig`: `time_budget_s`, `token_budget`, `cost_weight`, `latency_scale`, `latency_jitter`, `shock_share`,
    ...

    ```python
    import gymnasium
    env = gymnasium.make("rarrl_sim_envs:rarrl/AlfredReplay-v0", profile="groq-70b", time_budget_s=20.0)
    ```
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (declared by gym.Env)

    def __init__(
        self,
        profile: str | Sequence[str] = "gpt4o-mini-anchor",
        alfred: str | Path | None = None,
        split: str | None = None,
        category: str = "all",
        mode: str = "soft",
        render_mode: str | None = None,
        **episode: Any,
    ) -> None:
        self._play(*_make(1, profile, alfred, split, category, mode, **episode), render_mode)

    def _play(self, core: AlfredReplayCore, sampler: EpisodeSampler, render_mode: str | None) -> None:
        """What all worlds need once they are made."""
        self.core = core
        self._sampler = sampler
        self.observation_space = observation_space(self.core)
        self.feature_names = feature_names(self.core)
        self.action_space = ACTION_SPACE
        self.render_mode = render_mode
        self._line = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode; the same seed gives the same one, whatever policy plays it."""
        super().reset(seed=seed)
        episode_seed = self.np_random.integers(0, 2**63, size=1, dtype=np.uint64)
        self.core.begin(np.zeros(1, np.int64), self._sampler.draw(episode_seed))
        self._line = "start"
        return self.core.observe()[0], {"action_mask": self.action_masks()}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One decision."""
        if not self.action_space.contains(action):
            raise ValueError(f"AlfredReplay: action must be 0..{N_ACTIONS - 1}, got {action!r}")
        if not self.core.alive[0]:
            raise gym.error.ResetNeeded("AlfredReplay: the episode is over; call reset()")

        r = self.core.step(np.array([int(action)]))
        done = bool(r.done[0])
        info = self._info(r)
        info["action_mask"] = self.action_masks()
        if done:
            info["is_success"] = bool(r.success[0])

        outcome = info["act_status"] or ("answered" if info["call_ok"] else "failed")
        left = f"{info['time_s']:.1f} s, {info['tokens_left']:.0f} tokens left"
        self._line = f"{Action(int(action)).label}: {outcome}; {left}"
        return self.core.observe()[0], float(r.reward[0]), done, False, info

    def _info(self, r: StepResult) -> dict[str, Any]:
        status = int(r.act_status[0])
        return {
            "act_status": None if status < 0 else ACT_STATUS[status].value,
            "seconds": float(r.seconds[0]),
            "tokens": float(r.tokens[0]),
            "call_ok": bool(r.call_ok[0]),
            "deadline_miss": bool(r.deadline_miss[0]),
            "shocked": bool(r.shocked[0]),
            "time_s": float(self.core.time_s[0]),
            "tokens_left": float(self.core.tokens[0]),
        }

    def action_masks(self) -> NDArray[np.bool_]:
        """(5,) bool: allowed actions, under the name that sb3-contrib looks for."""
        return self.core.situation().action_mask()[:, 0]

    def render(self) -> str:
        """The last decision and what is left of the budget, as one line."""
        return self._line


class AlfredReplayVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Many AlfredReplay episodes in one numpy core; same arguments as `AlfredReplayEnv`, and `num_envs`.

    Next-step autoreset (gymnasium's default): the step after an episode's end ignores the action, starts the
    next episode and returns reward 0."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (declared by VectorEnv)

    def __init__(
        self,
        num_envs: int = 256,
        profile: str | Sequence[str] = "gpt4o-mini-anchor",
        alfred: str | Path | None = None,
        split: str | None = None,
        category: str = "all",
        mode: str = "soft",
        render_mode: str | None = None,
        **episode: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be >= 1, got {num_envs}")
        self._play(*_make(num_envs, profile, alfred, split, category, mode, **episode), render_mode)

    def _play(self, core: AlfredReplayCore, sampler: EpisodeSampler, render_mode: str | None) -> None:
        """What all worlds need once they are made."""
        num_envs = core.n
        self.core = core
        self._sampler = sampler
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space = observation_space(self.core)
        self.feature_names = feature_names(self.core)
        self.single_action_space = ACTION_SPACE
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(ACTION_SPACE, num_envs)

        self._base = 0  # seed of the run
        self._next = 0  # number of its next episode
        self._mask = np.ones((N_ACTIONS, num_envs), dtype=bool)

    def _begin(self, where: NDArray[np.int64]) -> None:
        self.core.begin(where, self._sampler.draw(seeds(self._base, len(where), self._next)))
        self._next += len(where)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts all environments. A list of seeds counts by its first one: episodes are drawn in sequence."""
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        self._base = int(self.np_random.integers(0, 2**63))
        self._next = 0
        self._begin(np.arange(self.num_envs))
        self._mask = self.core.situation().action_mask()
        return self.core.observe(), {"action_mask": self._mask.T}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One decision in each environment."""
        ended = np.flatnonzero(~self.core.alive)
        r = self.core.step(np.asarray(actions, np.int64), self._mask)
        if len(ended):
            self._begin(ended)

        self._mask = self.core.situation().action_mask()
        info: dict[str, Any] = {
            "action_mask": self._mask.T,
            "seconds": r.seconds,
            "tokens": r.tokens,
            "is_success": r.success,
        }
        return self.core.observe(), r.reward, r.done, np.zeros(self.num_envs, dtype=bool), info
