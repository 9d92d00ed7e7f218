"""Tunes the rules as hard as the orchestrator is trained: the same number of environment steps for each family."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import AlfredPlan
from rarrl.files import write_json_atomic
from rarrl.orchestrator.baselines import RULE_FAMILIES, grid, make_rule
from rarrl.orchestrator.evaluate import rollout

from .alfred_core import AlfredReplayCore, EpisodeBank
from .conditions import CONDITIONS, fixed_episodes
from .episodes import EpisodeConfig, EpisodeSampler
from .sources import TRAINING_PROFILES, load_tables

MAX_EPISODES = 40_000  # per parameter set: the standard error is then 0.2 points, and pairs share their luck
STEPS_PER_EPISODE = 12.0  # decisions, measured; sets how many episodes a budget of steps buys


def tune_family(
    family: str, bank: EpisodeBank, config: EpisodeConfig, tables: Any, steps: int, seed: int
) -> dict[str, Any]:
    """Successive halving over `grid(family)` by mean success; each rung gets an equal share of `steps`.

    Ties within the rung's rounding go to the cheaper rule (fewer LLM seconds)."""
    sampler = EpisodeSampler(bank, tables, config)
    candidates = grid(family)
    rungs = max(1, int(np.ceil(np.log(max(len(candidates), 1)) / np.log(4.0))))
    best: list[tuple[float, float, dict[str, Any]]] = []
    for rung in range(rungs):
        episodes = int(np.clip(steps / rungs / STEPS_PER_EPISODE / len(candidates), 500, MAX_EPISODES))
        drawn = np.arange(episodes, dtype=np.uint64) + np.uint64((seed + rung) * 1_000_003)
        fixed = fixed_episodes(sampler, sampler.draw(drawn).row, seed + rung)
        core = AlfredReplayCore(bank, tables, episodes)
        best = []
        for params in candidates:
            e = rollout(core, fixed, make_rule(family, **params))
            best.append((round(float(e.success.mean()), 4), -float(e.seconds.mean()), params))
        best.sort(key=lambda entry: entry[:2], reverse=True)
        candidates = [params for *_, params in best[: max(1, len(best) // 4)]]
    success, seconds, params = best[0]
    return {"params": params, "success": success, "llm_seconds": round(-seconds, 3), "tried": len(grid(family))}


def tune_rules(
    plans: Sequence[AlfredPlan],
    data_hash: str,
    steps: int,
    seed: int,
    out: Path,
    command: str = "rarrl tune rules",
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Finds the best parameters of every rule under every condition and writes them to `out` (JSON).

    `steps` environment steps go to each family under each condition. `progress(what, share_done)`."""
    bank, tables = EpisodeBank.from_plans(plans), load_tables(TRAINING_PROFILES)
    table: dict[str, dict[str, Any]] = {}
    total = len(CONDITIONS) * len(RULE_FAMILIES)
    for i, (condition, config) in enumerate(CONDITIONS.items()):
        table[condition] = {}
        for j, family in enumerate(RULE_FAMILIES):
            if progress is not None:
                progress(f"{condition}: {family}", (i * len(RULE_FAMILIES) + j) / total)
            table[condition][family] = tune_family(family, bank, config, tables, steps, seed)
    document = {
        "command": command,
        "seed": seed,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "data": data_hash,
        "profiles": list(TRAINING_PROFILES),
        "steps_per_family": steps,
        "objective": "mean success; ties to the fewer LLM seconds",
        "conditions": table,
    }
    write_json_atomic(out, document)
    return document
