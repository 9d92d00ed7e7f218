"""When to think, in homes: records answers, trains the policy `household`, tunes the rules, and compares them.

    python benchmarks/household_orchestrator.py record [--missions 1000]
    python benchmarks/household_orchestrator.py train [--steps 600000]
    python benchmarks/household_orchestrator.py tune
    python benchmarks/household_orchestrator.py compare [--episodes 900]
    python benchmarks/household_orchestrator.py drivers [--episodes 200]

`record` asks the shipped planner on missions to learn from, and on 300 others; what was asked already is kept in a
journal. `compare` plays the latter. `drivers` holds the driver that skips the drive against the scripted expert.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred_plans import alfred_plan
from rarrl.build import make_orchestrator, make_reasoner
from rarrl.latency.profile import content_sha256, load_profile, save_profile
from rarrl.orchestrator.learned import save_policy
from rarrl.orchestrator.registry import HOUSEHOLD_RULES_FILE, SHIPPED, tuned_parameters
from rarrl.orchestrator.rules import make_rule, recorded_families
from rarrl.reasoner.base import Answer
from rarrl.results import make_results, write_results
from rarrl.types import Action, ActStatus, CallStatus, Role
from rarrl_learning.household.record_answers import HELD_OUT_SEED, TRAINING_SEED, record_missions
from rarrl_learning.household.train_orchestrator import COMPARED, CONDITIONS, compare, train_household, tune_household
from rarrl_learning.orchestrator.train import TrainConfig
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.drivers import Driver, ExpertDriver
from rarrl_sim_envs.household.robot.executive import HouseholdExecutive
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver
from rarrl_sim_envs.household.tasks import remaining_plan

COMMAND = "python benchmarks/household_orchestrator.py"
RESULTS = Path("benchmarks/results/household_orchestrator.json")
HELD_OUT = 300  # missions to judge on
LEARNING_RATE = 1e-3  # of PPO at the start; it falls linearly


def record(folder: Path, missions: int) -> None:
    """Both recordings."""
    reasoner = make_reasoner("llama")
    try:
        for name, first, n in (("training", TRAINING_SEED, missions), ("heldout", HELD_OUT_SEED, HELD_OUT)):
            journal = folder / f"{name}.journal.jsonl"
            profile = record_missions(
                reasoner, known_goals(), first, n, journal, f"household-{name}", lambda i, t: print(i, t, flush=True)
            )
            save_profile(profile, folder / f"{name}.json")
    finally:
        reasoner.close()


def train(folder: Path, steps: int) -> None:
    """The policy, into the shipped folder with its card. Not from the weights that were trained on recorded answers:
    there a second call of a kind is worth nothing, here it finds what was moved."""
    profile = load_profile(folder / "training.json")
    config = TrainConfig(steps=steps, learning_rate=LEARNING_RATE, n_steps=32, batch_size=2048, entropy=0.003)
    figures: dict[str, float] = {}

    def progress(done: int, now: dict[str, float]) -> None:
        figures.update(now)
        print(done, {name: round(value, 3) for name, value in now.items()}, flush=True)

    policy = train_household(profile, config, folder / "train", progress=progress)
    card = json.loads((SHIPPED / "card.json").read_text())
    card["runs"]["household.safetensors"] = {
        "command": f"{COMMAND} train --steps {steps}",
        "data": content_sha256(profile),
        "metrics": {f"last_rollout_{name}": round(value, 4) for name, value in figures.items()},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    save_policy(policy, SHIPPED, card, "household.safetensors")


def compare_all(folder: Path, episodes: int) -> dict[str, Any]:
    """Everything on the missions that were held out."""
    profile = load_profile(folder / "heldout.json")
    tables = {}
    for condition, config in CONDITIONS.items():
        policies = {name: make_orchestrator(name, profile).policy for name in ("household", "recorded")}
        policies |= {f"{family} {params}": make_rule(family, **params) for family, params in COMPARED.items()}
        tuned = tuned_parameters(condition, HOUSEHOLD_RULES_FILE) if HOUSEHOLD_RULES_FILE.exists() else {}
        policies |= {f"{f}, tuned": make_rule(f, **tuned[f]) for f in recorded_families() if tuned.get(f)}
        tables[condition] = compare(profile, policies, config, episodes)
        for name, row in tables[condition].items():
            print(condition, name, row, flush=True)

    assert profile.tasks is not None
    tables["setup"] = {
        "missions": len(profile.tasks),
        "episodes": episodes,
        "default_plan_right": round(sum(task.default_correct for task in profile.tasks) / len(profile.tasks), 4),
    }

    return tables


def drivers(episodes: int) -> dict[str, Any]:
    """The same missions with both drivers and the right plan, put in force again after each failure or kept."""
    rows = {}
    for replans in (True, False):
        for name, driver, people in (("expert", ExpertDriver(), 2), ("skip", TeleportDriver(), 0)):
            key = f"{name}, {'new plan after failures' if replans else 'plan of the start'}"
            rows[key] = _drive(driver, people, replans, episodes)
            print(key, rows[key], flush=True)
    return rows


def _drive(driver: Driver, people: int, replans: bool, episodes: int) -> dict[str, Any]:
    executive = HouseholdExecutive(HouseholdEnv(stereo=False, people=people), driver, known_goals(), 100.0, 1e6)

    done = []
    seconds = []
    attempts = []
    by_verb: dict[str, list[tuple[bool, float]]] = {}
    for number in range(episodes):
        executive.begin(HELD_OUT_SEED + 100_000 + number)
        right = alfred_plan(remaining_plan(executive.env.world, executive.env.mission.task))
        answer = Answer(0, Role.PLANNER, 1, CallStatus.OK, 0.02, "right", plan=right)
        executive.take(Action.PLANNER_1, answer)
        while not executive.done:
            attempt = executive.act()
            assert executive.event is not None
            ok = attempt.status is ActStatus.SUCCESS
            by_verb.setdefault(executive.event.row[0], []).append((ok, attempt.seconds))
            if replans and not ok and not executive.done:
                executive.take(Action.PLANNER_1, answer)

        done.append(executive.success)
        seconds.append(executive.env.world.steps * 0.1)
        attempts.append(executive.summary.step)

    verbs = {
        verb: [len(found), *np.round(np.mean(found, axis=0), 3).tolist()] for verb, found in sorted(by_verb.items())
    }

    return {
        "success": round(float(np.mean(done)), 4),
        "mission_seconds": round(float(np.mean(seconds)), 2),
        "attempts": round(float(np.mean(attempts)), 2),
        "attempts_share_done_seconds": verbs,
    }


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "train", "tune", "compare", "drivers"))
    parser.add_argument("--folder", type=Path, default=Path("runs/household_orchestrator"))
    parser.add_argument("--missions", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=600_000)
    parser.add_argument("--episodes", type=int, default=900)
    options = parser.parse_args()
    if options.what == "record":
        record(options.folder, options.missions)
    elif options.what == "train":
        train(options.folder, options.steps)
    elif options.what == "tune":
        profile = load_profile(options.folder / "training.json")
        tune_household(profile, HOUSEHOLD_RULES_FILE, f"{COMMAND} tune", progress=lambda text: print(text, flush=True))
    else:
        compared = options.what == "compare"
        found = compare_all(options.folder, options.episodes) if compared else {"drivers": drivers(options.episodes)}
        tables = (json.loads(RESULTS.read_text())["tables"] if RESULTS.exists() else {}) | found
        write_results(RESULTS, make_results(f"{COMMAND} {options.what}", 0, {}, tables))


if __name__ == "__main__":
    main()
