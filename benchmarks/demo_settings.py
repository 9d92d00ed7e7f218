"""What the demo's four policies come to over many tasks at the demo's own settings.

    python benchmarks/demo_settings.py [--episodes 20000] [--json benchmarks/results/demo.json]

The demo plays 20 tasks, which say little; this plays thousands in one process, on other seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.build import make_orchestrator
from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl_learning.orchestrator.rollout import RolloutResult, rollout
from rarrl_nodes.demo import demo_config, demo_policies
from rarrl_sim_envs.alfred.core import AlfredReplayCore, EpisodeBank
from rarrl_sim_envs.alfred.datasets import load_plans, load_tables
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler, seeds

SEED = 1  # the demo's own tasks are of seed 0


def play(episodes: int) -> dict[str, RolloutResult]:
    """Each policy on the same tasks, with the same luck."""
    settings = demo_config(episodes, SEED).orchestrator
    plans, _ = load_plans(None, None, SEED)
    bank = EpisodeBank.from_plans(plans)
    tables = load_tables([settings.profile])
    config = EpisodeConfig(
        time_budget_s=settings.time_budget_s, token_budget=settings.token_budget, cost_weight=settings.cost_weight
    )
    params = EpisodeSampler(bank, tables, config).draw(seeds(SEED, episodes))

    return {
        name: rollout(
            AlfredReplayCore(bank, tables, episodes), params, make_orchestrator(name, settings.profile).policy
        )
        for name in demo_policies()
    }


def summarise(name: str, e: RolloutResult) -> dict[str, Any]:
    """The table row of a policy."""
    n = len(e.success)
    lo, hi = wilson(int(e.success.sum()), n)

    return {
        "policy": name,
        "success": round(float(e.success.mean()), 4),
        "lo": round(lo, 4),
        "hi": round(hi, 4),
        "llm_seconds": round(float(e.seconds.mean()), 3),
        "tokens": round(float(e.tokens.mean()), 1),
        "calls": round(float(e.calls.mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    played = play(args.episodes)

    rows = [summarise(name, episodes) for name, episodes in played.items()]
    figures = {}
    for row in rows:
        unit = "share of tasks done"
        success = row["success"]
        figures[f"demo_success_{row['policy']}"] = Figure(success, unit, args.episodes, row["lo"], row["hi"])

    *_, rule, learned = played
    gain = 100.0 * (played[learned].success.astype(float) - played[rule].success)
    error = 1.96 * gain.std() / np.sqrt(len(gain))
    figures["demo_gain_over_best_rule"] = Figure(
        round(float(gain.mean()), 3), "points", len(gain), round(gain.mean() - error, 3), round(gain.mean() + error, 3)
    )
    command = f"python benchmarks/demo_settings.py --episodes {args.episodes}"
    results = make_results(command, SEED, figures, {"demo": rows})
    for row in rows:
        print(row)
    print("learned minus best rule, points:", figures["demo_gain_over_best_rule"].text())
    if args.json:
        write_results(args.json, results)


if __name__ == "__main__":
    main()
