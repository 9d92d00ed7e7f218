"""Thinking beside acting in homes: learns when, and tunes the rules for it.

    python benchmarks/household_beside.py train [--steps 300000] [--until 139264]
    python benchmarks/household_beside.py train --standing [--steps 300000] [--until 139264]
    python benchmarks/household_beside.py tune

`train` writes the weights `household_beside` into the shipped folder; with `--standing` those of the same network that
may only stand, `household_standing`, to compare with. `tune` finds the rules' parameters, standing and beside, for the
same objective. `rarrl eval mission --beside` plays them all.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

from rarrl.latency.profile import content_sha256, load_profile
from rarrl.orchestrator.learned import load_learned, save_policy
from rarrl.orchestrator.registry import HOSTED_RULES_FILE, SHIPPED
from rarrl_learning.household.beside import learned_beside
from rarrl_learning.household.evaluate_beside import tune_hosted
from rarrl_learning.orchestrator.train import TrainConfig

COMMAND = "python benchmarks/household_beside.py"
LEARNING_RATE = 7e-4  # of PPO at the start; it falls linearly


def train(folder: Path, steps: int, until: int, standing: bool) -> None:
    """One policy, into the shipped folder with its card."""
    profile = load_profile("household-training")
    config = TrainConfig(steps=steps, learning_rate=LEARNING_RATE, n_steps=32, batch_size=2048, entropy=0.003)

    def progress(done: int, now: dict[str, float]) -> None:
        print(done, {name: round(value, 3) for name, value in now.items()}, flush=True)

    name = "household_standing" if standing else "household_beside"
    initial = load_learned(SHIPPED / "household.safetensors")
    policy = learned_beside(profile, config, folder / name, initial, not standing, progress, until)
    card = json.loads((SHIPPED / "card.json").read_text())
    card["runs"][f"{name}.safetensors"] = {
        "command": f"{COMMAND} train{' --standing' if standing else ''} --steps {steps} --until {until}",
        "data": content_sha256(profile),
        "metrics": "benchmarks/results/household_beside.json (`rarrl eval mission --beside`)",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    save_policy(policy, SHIPPED, card, f"{name}.safetensors")


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "tune"))
    parser.add_argument("--standing", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/household_beside"))
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--until", type=int, default=139_264)
    options = parser.parse_args()
    if options.what == "tune":
        tune_hosted(HOSTED_RULES_FILE, f"{COMMAND} tune", lambda text: print(text, flush=True))
    else:
        train(options.folder, options.steps, options.until, options.standing)


if __name__ == "__main__":
    main()
