"""Trains the orchestrator on household missions, tunes the rules on the same missions, compares all on others."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.files import write_json_atomic
from rarrl.latency.profile import LatencyProfile, content_sha256
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.rules import OrchestratorPolicy, grid, recorded_families
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.world import DT

from ..orchestrator.rollout import RolloutResult, rollout
from ..orchestrator.scenarios import fixed_episodes
from ..orchestrator.train import Progress, TrainConfig, train
from ..orchestrator.tune import ranked, tuned_entry
from .recorded_missions import RecordedMissionsCore

N_ENVS = 256  # missions side by side
EPISODES = replace(TRAINING, budget_calls=(10.0, 1500.0), token_ratio=(0.15, 2.0), call_price=(3e-5, 0.01))
"""The episodes of training: budgets of one planner-2 call to more than any mission needs, in seconds or tokens."""
MISSION = EpisodeConfig(time_budget_s=20.0, token_budget=6000.0, cost_weight=0.002)
"""What `rarrl eval mission` grants."""
CONDITIONS: dict[str, EpisodeConfig] = {"mission": MISSION}
"""What rules are tuned for, and everything is compared on."""
# Successive halving: episodes of each candidate in the first round, then twice as many for the best quarter, and so on.
RUNG = 48
LAST_RUNG = 768  # the standard error of success is then below 2 points
COMPARED: dict[str, dict[str, Any]] = {
    "never": {},
    "always": {"recipe": "P2V2"},
    "start": {"recipe": "P2"},
    "interval": {"every": 3, "recipe": "P2"},
    "after_failure": {"failures": 1, "recipe": "P2"},
}
"""Rules as they are first thought of, besides the tuned ones."""


def train_household(
    profile: LatencyProfile,
    config: TrainConfig,
    folder: Path,
    initial: LearnedPolicy | None = None,
    progress: Progress | None = None,
) -> LearnedPolicy:
    """Trains one policy on the missions of `profile`; see `rarrl_learning.orchestrator.train.train`."""
    from rarrl_sim_envs.alfred.sb3_vec_env import AlfredReplayVecEnv

    core = RecordedMissionsCore(profile, known_goals(), N_ENVS)
    sampler = EpisodeSampler(core.recordings.bank, [core.recordings.table], EPISODES)
    hidden = config.hidden_of(core.width)
    env = AlfredReplayVecEnv(core, sampler, config.seed, hidden, config.allowed)  # type: ignore[arg-type]
    return train(env, config, folder, progress, initial)


class MissionRollouts:
    """Plays missions of a profile with any policy; homes and routes are computed once.

    tasks: how many missions the profile holds."""

    def __init__(self, profile: LatencyProfile) -> None:
        self._profile = profile
        self._cores = {1: RecordedMissionsCore(profile, known_goals(), 1)}
        self.tasks = len(self._cores[1].answers)

    def play(
        self, policy: OrchestratorPolicy, config: EpisodeConfig, n: int, seed: int = 0
    ) -> tuple[RolloutResult, float]:
        """Plays n episodes, the profile's missions in turn, the same for every policy.

        Returns: the result, and the mean simulated seconds of a mission."""
        if n not in self._cores:
            first = self._cores[1]
            self._cores[n] = RecordedMissionsCore(
                self._profile, known_goals(), n, missions=first.missions, driver=first.driver
            )

        core = self._cores[n]
        sampler = EpisodeSampler(core.recordings.bank, [core.recordings.table], config)
        rows = (np.arange(n) + seed * 101) % self.tasks
        result = rollout(core, fixed_episodes(sampler, rows, seed), policy)

        return result, float(np.mean([env.world.steps for env in core.envs]) * DT)

    def results(self, policy: OrchestratorPolicy, config: EpisodeConfig, n: int, seed: int = 0) -> RolloutResult:
        """`play` without the seconds."""
        return self.play(policy, config, n, seed)[0]


def tune_household(
    profile: LatencyProfile,
    out: Path,
    command: str,
    conditions: Mapping[str, EpisodeConfig] = CONDITIONS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Finds the best parameters of every rule that plays on answers (successive halving); writes them to `out`."""
    rollouts = MissionRollouts(profile)
    table: dict[str, dict[str, Any]] = {}
    for condition, config in conditions.items():
        table[condition] = {}
        for family in recorded_families():
            table[condition][family] = _tune(rollouts, family, config)
            if progress is not None:
                progress(f"{condition} {family}: {table[condition][family]}")
            write_json_atomic(out, _document(profile, command, table))

    return _document(profile, command, table)


def _document(profile: LatencyProfile, command: str, table: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "data": content_sha256(profile),
        "profiles": [profile.name],
        "objective": "mean success; ties to the fewer LLM seconds",
        "conditions": table,
    }


def _tune(rollouts: MissionRollouts, family: str, config: EpisodeConfig) -> dict[str, Any]:
    candidates = grid(family)
    episodes = RUNG
    seed = 1
    while True:
        best = ranked(family, candidates, partial(rollouts.results, config=config, n=episodes, seed=seed))
        if episodes == LAST_RUNG:
            return tuned_entry(family, best[0])

        candidates = [params for *_, params in best[: max(1, len(best) // 4)]]
        episodes = min(2 * episodes, LAST_RUNG) if len(candidates) > 2 else LAST_RUNG
        seed += 1


def compare(
    profile: LatencyProfile, policies: Mapping[str, OrchestratorPolicy], config: EpisodeConfig, n: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """The same n episodes with each policy: shares and means."""
    rollouts = MissionRollouts(profile)
    rows = {}
    for name, policy in policies.items():
        e, seconds = rollouts.play(policy, config, n, seed)
        rows[name] = {
            "success": round(float(e.success.mean()), 4),
            "llm_seconds": round(float(e.seconds.mean()), 4),
            "tokens": round(float(e.tokens.mean()), 1),
            "calls": round(float(e.calls.mean()), 3),
            "attempts": round(float(e.acts.mean()), 3),
            "mission_seconds": round(seconds, 2),
        }

    return rows
