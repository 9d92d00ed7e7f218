"""What `rarrl demo` plays: the settings, and the four policies that are put side by side. Needs no rclpy to import.

The settings were chosen once, before any demo was played, by what many thousand tasks said (`python
benchmarks/demo_settings.py`): a budget of about eight mean planner calls, so that a policy which calls at every turn
runs dry. The seed was not chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rarrl.config import Config, OrchestratorConfig, ReplayConfig
from rarrl.errors import DependencyMissingError
from rarrl.latency.profile import MAX_SECONDS, MAX_TOKENS, load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.registry import RECORDED_RULES_FILE, RULES_FILE
from rarrl.perception.voxels import PRESETS
from rarrl.strict_json import read_json
from rarrl_learning.perception.scenes import Scene, motorcycle_scene, rendered_scene

CONDITION = "binding"  # the rules play with the parameters tuned for tight budgets
SPEED = 500.0
HOUSEHOLD = "household"  # recorded tasks of our own, whose goals come with the package
CALLS = 8.0  # of the dearest kind that a task may use
CALL_PRICE = 0.003  # points of success that one may cost
DEMO_SIZE = (640, 480)  # pixels of the pairs that are drawn here


def demo_config(episodes: int, seed: int, llm: str = "profile", profile: str = HOUSEHOLD) -> Config:
    """The demo's settings.

    Args:
        llm: who thinks; with profile the measured calls of a hosted model, else a reasoner that is asked for real.
        profile: with such a reasoner, the recorded profile whose tasks are played and whose costs the budget is made
            of."""
    if llm == "profile":
        orchestrator = OrchestratorConfig(
            profile="anyscale-70b",  # 2.0 s and 379 tokens a planner call in the mean
            time_budget_s=16.0,
            token_budget=3000.0,
            cost_weight=0.005,
        )
    else:
        costs = ReplayTable.from_profile(load_profile(profile)).costs
        orchestrator = OrchestratorConfig(
            profile=profile,
            reasoner=llm,
            time_budget_s=min(float(CALLS * costs.mean_s.max()), MAX_SECONDS),
            token_budget=min(float(CALLS * costs.mean_tokens.max()), MAX_TOKENS),
            cost_weight=min(float(CALL_PRICE / costs.mean_s[0]), 1.0),
        )
    return Config(orchestrator=orchestrator, replay=ReplayConfig(episodes=episodes, seed=seed, speed=SPEED))


def demo_policies(llm: str = "profile") -> list[str]:
    """never, always, the best tuned rule, the learned policy."""
    file, learned = (RULES_FILE, "learned") if llm == "profile" else (RECORDED_RULES_FILE, "recorded")
    return ["never", "always", best_rule(file), learned]


def best_rule(file: Path = RULES_FILE) -> str:
    """The family with the highest success under CONDITION, as it was tuned on held-in plans."""
    table = read_json(file, "tuned rules")["conditions"][CONDITION]
    return str(
        max((name for name in table if name not in ("never", "always")), key=lambda name: table[name]["success"])
    )


def perception_scenes(seed: int, most: int = 3) -> tuple[list[Scene], list[str]]:
    """Up to `most` stereo pairs with truth to look at: MuJoCo's room and a real pair where their packages are there, a
    rendered one always; and a line for each that is not there."""
    scenes: list[Scene] = []
    notes: list[str] = []
    for make in (_simulated, _real, _rendered):
        if len(scenes) == most:
            break
        try:
            scenes.append(make(seed))
        except DependencyMissingError as error:
            notes.append(f"left out: {error}")
    return scenes, notes


def _rendered(seed: int) -> Scene:
    return replace(rendered_scene(seed, 0, *DEMO_SIZE), name="rendered room")


def _simulated(seed: int) -> Scene:
    from rarrl_sim_envs.stereo_room.scene import StereoScene

    with StereoScene(seed, *DEMO_SIZE) as room:
        disparity = room.rig.disparity(room.depth()).astype(np.float32)
        return Scene("MuJoCo room", "simulated", room.rig, PRESETS["indoor"], room.pair(), disparity)


def _real(seed: int) -> Scene:
    return replace(motorcycle_scene(), name="Motorcycle (real, Middlebury)")
