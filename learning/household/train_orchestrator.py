"""Trains the orchestrator on missions in homes, tunes the rules on the same, and compares them on others."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.files import write_json_atomic
from rarrl.latency.profile import LatencyProfile, content_sha256
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.rules import OrchestratorPolicy, grid, make_rule, recorded_families
from rarrl_sim_envs.alfred.episodes import TRAINING, EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.world import DT

from ..orchestrator.rollout import Episodes, rollout
from ..orchestrator.scenarios import fixed_episodes
from ..orchestrator.train import Progress, TrainConfig, train
from .recorded_missions import RecordedMissionsCore

N_ENVS = 256  # missions side by side
EPISODES = replace(TRAINING, budget_calls=(10.0, 1500.0), token_ratio=(0.15, 2.0), call_price=(3e-5, 0.01))
"""What is learnt from: budgets of one planner-2 call to more than any mission needs; tokens or seconds bind first."""
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


class Rehearsal:
    """Plays episodes of a profile with any policy; homes and ways are worked out once."""

    def __init__(self, profile: LatencyProfile) -> None:
        self._profile = profile
        self._cores = {1: RecordedMissionsCore(profile, known_goals(), 1)}
        self.tasks = len(self._cores[1].answers)

    def play(self, policy: OrchestratorPolicy, config: EpisodeConfig, n: int, seed: int = 0) -> tuple[Episodes, float]:
        """n episodes, the tasks in turn, the same for every policy: (what they came to, seconds of a mission)."""
        if n not in self._cores:
            first = self._cores[1]
            self._cores[n] = RecordedMissionsCore(
                self._profile, known_goals(), n, missions=first.missions, driver=first.driver
            )

        core = self._cores[n]
        sampler = EpisodeSampler(core.recordings.bank, [core.recordings.table], config)
        rows = (np.arange(n) + seed * 101) % self.tasks
        episodes = rollout(core, fixed_episodes(sampler, rows, seed), policy)

        return episodes, float(np.mean([env.world.steps for env in core.envs]) * DT)


def tune_household(
    profile: LatencyProfile,
    out: Path,
    command: str,
    conditions: Mapping[str, EpisodeConfig] = CONDITIONS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Finds the best parameters of every rule that plays on answers (successive halving); writes them to `out`."""
    rehearsal = Rehearsal(profile)
    table: dict[str, dict[str, Any]] = {}
    for condition, config in conditions.items():
        table[condition] = {}
        for family in recorded_families():
            table[condition][family] = _tune(rehearsal, family, config)
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


def _tune(rehearsal: Rehearsal, family: str, config: EpisodeConfig) -> dict[str, Any]:
    candidates = grid(family)
    episodes = RUNG
    seed = 1
    while True:
        scored = []
        for params in candidates:
            e, _ = rehearsal.play(make_rule(family, **params), config, episodes, seed)
            scored.append((round(float(e.success.mean()), 4), -float(e.seconds.mean()), params))
        scored.sort(key=lambda entry: entry[:2], reverse=True)
        if episodes == LAST_RUNG:
            break
        candidates = [params for *_, params in scored[: max(1, len(scored) // 4)]]
        episodes = 2 * episodes if len(candidates) > 2 else LAST_RUNG
        seed = seed + 1
        episodes = min(episodes, LAST_RUNG)

    success, seconds, params = scored[0]
    return {"params": params, "success": success, "llm_seconds": round(-seconds, 3), "tried": len(grid(family))}


def compare(
    profile: LatencyProfile, policies: Mapping[str, OrchestratorPolicy], config: EpisodeConfig, n: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """The same n episodes with each policy: shares and means."""
    rehearsal = Rehearsal(profile)
    rows = {}
    for name, policy in policies.items():
        e, seconds = rehearsal.play(policy, config, n, seed)
        rows[name] = {
            "success": round(float(e.success.mean()), 4),
            "llm_seconds": round(float(e.seconds.mean()), 4),
            "tokens": round(float(e.tokens.mean()), 1),
            "calls": round(float(e.calls.mean()), 3),
            "attempts": round(float(e.acts.mean()), 3),
            "mission_seconds": round(seconds, 2),
        }

    return rows
