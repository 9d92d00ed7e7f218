"""From a language model to an orchestrator judged on its recorded answers, in one command:

    python benchmarks/recorded_answers.py --alfred DIR [--llm llama] [--workers 1]

1. records the model's answers on development goals of train and on goals of valid_seen, with one thread, each asked
   with what the robot knows of that home;
2. trains the policies on the development recording and tunes the rules on it;
3. holds them against one another on the recording of valid_seen.

Every step is a command of `rarrl` that can be interrupted and goes on. A step whose file is there is left out: remove
the recordings, and runs/orchestrator/recorded*, to begin with another model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rarrl.latency.profile import PROFILE_DIR

RESULTS = Path(__file__).parent / "results" / "orchestrator_recorded.json"
RECORDINGS = (  # name, split, goals
    ("rarrl-planner-development", "train", 450),
    ("rarrl-planner-valid-seen", "valid_seen", 500),
)


def rarrl(*arguments: str) -> None:
    """Runs one command; its output is the user's."""
    print("$ rarrl", *arguments, flush=True)
    subprocess.run([sys.executable, "-c", "from rarrl.cli import main; main()", *arguments], check=True)


def main() -> None:
    """The three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfred", type=Path, required=True, help="folder of the ALFRED data set")
    parser.add_argument("--llm", default="llama", help="which language model: see `rarrl ask --help`")
    parser.add_argument("--workers", type=int, default=1, help="trainings side by side")

    arguments = parser.parse_args()
    for name, split, goals in RECORDINGS:
        out = PROFILE_DIR / f"{name}.json"
        if not out.exists():
            asked = ("--alfred", str(arguments.alfred), "--split", split, "--n", str(goals))
            rarrl("profile", "record", "--llm", arguments.llm, *asked, "--threads", "1", "--out", str(out))

    trainer = Path(__file__).parent / "train_orchestrator.py"
    subprocess.run([sys.executable, str(trainer), "--recorded", "--workers", str(arguments.workers)], check=True)
    rarrl("eval", "orchestrator", "--profile", "recorded", "--replicas", "8", "--json", os.path.relpath(RESULTS))


if __name__ == "__main__":
    main()
