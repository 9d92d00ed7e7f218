"""`rarrl/RandomSkills-v0`: when should a robot think whose skills nobody knows? A gymnasium.Env, and a VectorEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rarrl.errors import InputError
from rarrl.plugins import did_you_mean

from ..alfred.datasets import load_tables
from ..alfred.env import AlfredReplayEnv, AlfredReplayVectorEnv
from ..alfred.episodes import EpisodeConfig, EpisodeSampler
from .core import RandomSkillsCore, random_bank
from .planned_core import PlannedSkillsCore
from .ranges import HELD_OUT_SETS, TRAINING_SETS, SkillRanges

RANGES = {"training": TRAINING_SETS, "held_out": HELD_OUT_SETS}
"""Named distributions of robots."""
DRAWN_PLANS = 4000  # random plans of an environment; the skills behind them differ in each episode
PLANS_SEED = 7  # which plans; the robots are drawn from the seed of `reset`


def _make(
    n: int, profile: str | Sequence[str], ranges: str | SkillRanges, plans: bool, mode: str, **episode: Any
) -> tuple[RandomSkillsCore, EpisodeSampler]:
    """The core and its episodes, from the arguments of `RandomSkillsEnv`."""
    if mode not in ("soft", "hard"):
        raise InputError(f"RandomSkills: mode must be 'soft' or 'hard', got {mode!r}")
    if isinstance(ranges, str):
        if ranges not in RANGES:
            raise InputError(
                f"RandomSkills: ranges {ranges!r} are unknown; allowed: {', '.join(RANGES)}, or SkillRanges"
                f"{did_you_mean(ranges, tuple(RANGES))}"
            )
        ranges = RANGES[ranges]

    tables = load_tables([profile] if isinstance(profile, str) else profile)
    bank = random_bank(ranges, DRAWN_PLANS, PLANS_SEED)
    kind = PlannedSkillsCore if plans else RandomSkillsCore
    return kind(bank, tables, n, ranges, mode == "hard"), EpisodeSampler(bank, tables, EpisodeConfig(**episode))


class RandomSkillsEnv(AlfredReplayEnv):
    """## Description
    As `rarrl/AlfredReplay-v0`, with other robots: each episode draws a skill set (how often skills fail, what cannot be
    undone, how long they take, what the maker wrote of that and what the robot has counted), a plan of these skills, a
    world that is hard more or less often, and how much thinking helps in it.

    ## Action space
    `Discrete(5)`: 0 ACT, 1 THINK(planner, 1), 2 THINK(planner, 2), 3 THINK(verifier, 1), 4 THINK(verifier, 2).
    `action_masks()` (and `info["action_mask"]`) says which are allowed; another one is executed as ACT.

    ## Observation space
    `Box(-8, 8, (69,), float32)`: what the step at hand and those to come are expected to do, execution history,
    remaining budget, expected cost of calls; names, in order, are `env.unwrapped.feature_names`. None depends on what a
    skill is called.

    ## Rewards
    1 at success, minus `cost_weight` per second of thinking.

    ## Starting state
    A robot, its plan, a budget, and a price of thinking; all drawn from the seed.

    ## Episode end
    Terminates when the task is done, lost (an irreversible failure), out of attempts, given up (a step failed too
    often) or, in hard mode, when a call runs out of the budget. Never truncates.

    ## Information
    As `rarrl/AlfredReplay-v0`.

    ## Arguments
    `profile` (a latency profile: shipped name or path, or several), `ranges` (training, held_out, or `SkillRanges`),
    `plans` (robots keep plans, right or wrong: a call then brings a plan or a verdict instead of advice), `mode`,
    `render_mode`, and all fields of `EpisodeConfig`.

    ```python
    import gymnasium
    env = gymnasium.make("rarrl_sim_envs:rarrl/RandomSkills-v0", profile="groq-70b", plans=True)
    ```
    """

    def __init__(
        self,
        profile: str | Sequence[str] = "gpt4o-mini-anchor",
        ranges: str | SkillRanges = "training",
        plans: bool = False,
        mode: str = "soft",
        render_mode: str | None = None,
        **episode: Any,
    ) -> None:
        self._play(*_make(1, profile, ranges, plans, mode, **episode), render_mode)


class RandomSkillsVectorEnv(AlfredReplayVectorEnv):
    """Many RandomSkills episodes in one numpy core; same arguments as `RandomSkillsEnv`, and `num_envs`.

    Next-step autoreset, as `AlfredReplayVectorEnv`."""

    def __init__(
        self,
        num_envs: int = 256,
        profile: str | Sequence[str] = "gpt4o-mini-anchor",
        ranges: str | SkillRanges = "training",
        plans: bool = False,
        mode: str = "soft",
        render_mode: str | None = None,
        **episode: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be >= 1, got {num_envs}")
        self._play(*_make(num_envs, profile, ranges, plans, mode, **episode), render_mode)
