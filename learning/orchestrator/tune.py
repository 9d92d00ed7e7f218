"""Tunes the rules by successive halving, with as many environment steps for each family as training gets."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import AlfredPlan
from rarrl.files import write_json_atomic
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.rules import (
    OrchestratorPolicy,
    grid,
    make_rule,
    plain_families,
    recorded_families,
    skill_families,
)
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import TRAINING_PROFILES, load_recordings, load_tables, recordings_hash
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler
from rarrl_sim_envs.alfred.recorded_core import RecordedCore
from rarrl_sim_envs.random_skills.core import RandomSkillsCore, random_bank
from rarrl_sim_envs.random_skills.planned_core import PlannedSkillsCore
from rarrl_sim_envs.random_skills.ranges import TRAINING_SETS

from .rollout import RolloutResult, rollout
from .scenarios import CONDITIONS, SKILLSET_CONDITIONS, fixed_episodes, recorded_conditions
from .train_nameless import DRAWN_PLANS

MAX_EPISODES = 40_000  # per parameter set: the standard error is then 0.2 points, and pairs share their luck
STEPS_PER_EPISODE = 12.0  # decisions, measured; sets how many episodes a budget of steps buys


SKILLSET_CORES: dict[str, type[RandomSkillsCore]] = {"binding": RandomSkillsCore, "answers": PlannedSkillsCore}
"""Which world of random skill sets is played under which of SKILLSET_CONDITIONS."""
Progress = Callable[[str, float], None]
MakeCore = Callable[[int], AlfredReplayCore]
Ranked = tuple[float, float, dict[str, Any]]
"""Mean success, mean LLM seconds negated, parameters."""


def tune_family(
    family: str,
    bank: EpisodeBank,
    config: EpisodeConfig,
    tables: Any,
    steps: int,
    seed: int,
    make_core: MakeCore | None = None,
) -> dict[str, Any]:
    """Successive halving over `grid(family)` by mean success; each rung gets an equal share of `steps`.

    Ties within the rung's rounding go to the cheaper rule (fewer LLM seconds)."""
    sampler = EpisodeSampler(bank, tables, config)
    candidates = grid(family)
    make_core = make_core or (lambda n: AlfredReplayCore(bank, tables, n))

    rungs = max(1, int(np.ceil(np.log(max(len(candidates), 1)) / np.log(4.0))))
    best: list[Ranked] = []
    for rung in range(rungs):
        episodes = int(np.clip(steps / rungs / STEPS_PER_EPISODE / len(candidates), 500, MAX_EPISODES))
        drawn = np.arange(episodes, dtype=np.uint64) + np.uint64((seed + rung) * 1_000_003)
        fixed = fixed_episodes(sampler, sampler.draw(drawn).row, seed + rung)
        core = make_core(episodes)
        best = ranked(family, candidates, partial(rollout, core, fixed))
        candidates = [params for *_, params in best[: max(1, len(best) // 4)]]

    return tuned_entry(family, best[0])


def ranked(
    family: str, candidates: Sequence[dict[str, Any]], play: Callable[[OrchestratorPolicy], RolloutResult]
) -> list[Ranked]:
    """Plays the rule with each set of parameters; the best first: by success to 4 digits, ties by LLM seconds."""
    scored = []
    for params in candidates:
        result = play(make_rule(family, **params))
        scored.append((round(float(result.success.mean()), 4), -float(result.seconds.mean()), params))

    scored.sort(key=lambda entry: entry[:2], reverse=True)
    return scored


def tuned_entry(family: str, best: Ranked) -> dict[str, Any]:
    """What the file of tuned rules keeps of a family."""
    success, seconds, params = best
    return {"params": params, "success": success, "llm_seconds": round(-seconds, 3), "tried": len(grid(family))}


def tune_rules(
    plans: Sequence[AlfredPlan],
    data_hash: str,
    steps: int,
    seed: int,
    out: Path,
    command: str = "rarrl tune rules",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Finds the best parameters of every rule under every condition and writes them to `out` (JSON).

    `steps` environment steps go to each family under each condition. `progress(what, share_done)`."""
    bank = EpisodeBank.from_plans(plans)
    tables = load_tables(TRAINING_PROFILES)
    table = _tune(CONDITIONS, plain_families(), bank, tables, None, steps, seed, progress)
    return _write(out, command, seed, data_hash, TRAINING_PROFILES, steps, table)


def tune_on_recordings(
    profile: str, steps: int, seed: int, out: Path, command: str, progress: Progress | None = None
) -> dict[str, Any]:
    """As `tune_rules`, on the recorded answers of `profile`."""
    recordings = load_recordings(profile)
    conditions = recorded_conditions(recordings.table)
    tables = [recordings.table]

    def core(n: int) -> RecordedCore:
        return RecordedCore(recordings, n)

    table = _tune(conditions, recorded_families(), recordings.bank, tables, core, steps, seed, progress)
    return _write(out, command, seed, recordings_hash(profile), [recordings.table.name], steps, table)


def tune_on_skillsets(
    steps: int, seed: int, out: Path, command: str, progress: Progress | None = None
) -> dict[str, Any]:
    """As `tune_rules`, on the random skill sets that the nameless policy is trained on: under the budgets of `binding`,
    and under `answers` where robots keep plans."""
    tables = load_tables(TRAINING_PROFILES)
    bank = random_bank(TRAINING_SETS, DRAWN_PLANS, seed)
    table: dict[str, dict[str, Any]] = {}
    for condition, kind in SKILLSET_CORES.items():
        families = recorded_families() if condition == "answers" else skill_families()
        config = {condition: SKILLSET_CONDITIONS[condition]}
        table |= _tune(config, families, bank, tables, partial(kind, bank, tables), steps, seed, progress)
    return _write(out, command, seed, "random skill sets: TRAINING_SETS", TRAINING_PROFILES, steps, table)


def _tune(
    conditions: Mapping[str, EpisodeConfig],
    families: Sequence[str],
    bank: EpisodeBank,
    tables: Sequence[ReplayTable],
    make_core: MakeCore | None,
    steps: int,
    seed: int,
    progress: Progress | None,
) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    total = len(conditions) * len(families)
    for i, (condition, config) in enumerate(conditions.items()):
        table[condition] = {}
        for j, family in enumerate(families):
            if progress is not None:
                progress(f"{condition}: {family}", (i * len(families) + j) / total)
            table[condition][family] = tune_family(family, bank, config, tables, steps, seed, make_core)

    return table


def _write(
    out: Path,
    command: str,
    seed: int,
    data: str,
    profiles: Sequence[str],
    steps: int,
    table: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    document = {
        "command": command,
        "seed": seed,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "data": data,
        "profiles": list(profiles),
        "steps_per_family": steps,
        "objective": "mean success; ties to the fewer LLM seconds",
        "conditions": table,
    }
    write_json_atomic(out, document)

    return document
