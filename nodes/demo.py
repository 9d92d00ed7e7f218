"""What `rarrl demo` plays: the settings, and the four policies that are put side by side. Needs no rclpy to import.

The settings were chosen once, before any demo was played, by what many thousand tasks said (`python
benchmarks/demo_settings.py`): a budget of about eight mean planner calls, so that a policy which calls at every turn
runs dry. The seed was not chosen."""

from __future__ import annotations

import json

from rarrl.config import Config, OrchestratorConfig, ReplayConfig
from rarrl.files import read_file
from rarrl.orchestrator.registry import RULES_FILE

CONDITION = "binding"  # the rules play with the parameters tuned for tight budgets
SPEED = 500.0


def demo_config(episodes: int, seed: int) -> Config:
    """The demo's settings."""
    return Config(
        orchestrator=OrchestratorConfig(
            profile="anyscale-70b",  # 2.0 s and 379 tokens a planner call in the mean
            time_budget_s=16.0,
            token_budget=3000.0,
            cost_weight=0.005,
        ),
        replay=ReplayConfig(episodes=episodes, seed=seed, speed=SPEED),
    )


def demo_policies() -> list[str]:
    """never, always, the best tuned rule, learned."""
    return ["never", "always", best_rule(), "learned"]


def best_rule() -> str:
    """The family with the highest success under CONDITION, as it was tuned on held-in plans."""
    table = json.loads(read_file(RULES_FILE, "tuned rules"))["conditions"][CONDITION]
    return str(
        max((name for name in table if name not in ("never", "always")), key=lambda name: table[name]["success"])
    )
