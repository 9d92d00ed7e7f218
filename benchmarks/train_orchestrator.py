"""Trains everything in rarrl/models/orchestrator: five seeds of the policy, its ablations and its rivals.

    python benchmarks/train_orchestrator.py --alfred DIR [--workers 2]
    python benchmarks/train_orchestrator.py --recorded [--workers 2]
    python benchmarks/train_orchestrator.py --nameless DIR [--workers 2]

The second trains those for recorded answers, on the shipped recording of development goals, and tunes the rules on it.
The third trains the one that knows no names, on random skill sets and ALFRED, and tunes the rules on random skill sets.
Each run is one `rarrl train orchestrator` with checkpoints under runs/orchestrator/, so the script can be
interrupted and started again. The first seed is the policy in use; which one that is was not chosen by its score.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rarrl.files import sha256, write_bytes_atomic, write_json_atomic
from rarrl.orchestrator.learned import MODELS
from rarrl.orchestrator.registry import RECORDED_RULES_FILE, SKILLSET_RULES_FILE

# Environment steps.
FULL_STEPS = 20_000_000  # the policy in use, and its other seeds
VARIANT_STEPS = 8_000_000  # ablations and rivals, and the policy that they are held against
RECORDED_STEPS = 24_000_000
RECORDED_TUNING = 4_000_000  # for each rule under each condition
NAMELESS_STEPS = 7_000_000
SKILLSET_TUNING = 4_000_000  # for each rule; of the steps above a third is on random skill sets without plans
RECORDED_SEEDS = 3  # trainings on recorded answers
ABLATIONS = ("no_budget", "no_history", "planner_only", "verifier_only")


@dataclass(frozen=True)
class Job:
    """One training run and the file that it becomes."""

    file: str
    arguments: tuple[str, ...]


def jobs() -> list[Job]:
    """All runs, the important ones first."""

    def job(file: str, seed: int, steps: int, *more: str) -> Job:
        return Job(f"{file}.safetensors", ("--seed", str(seed), "--steps", str(steps), *more))

    full = [job("policy" if s == 0 else f"seed{s}", s, FULL_STEPS) for s in range(5)]

    # "full" again with the ablations' steps: what they are held against
    variants = ("full", *ABLATIONS)
    ablations = [job(f"{name}_seed{s}", s, VARIANT_STEPS, "--variant", name) for s in range(3) for name in variants]
    rivals = [
        job("when2ask_seed0", 0, VARIANT_STEPS, "--variant", "when2ask"),
        job("hard_seed0", 0, VARIANT_STEPS, "--hard"),
        job("dqn_seed0", 0, VARIANT_STEPS, "--algorithm", "dqn"),
    ]

    return full + ablations + rivals


def recorded_jobs() -> list[Job]:
    """The runs on recorded answers; `no_plan` does not see what is known of the plan in force."""
    steps = str(RECORDED_STEPS)

    def job(file: str, seed: int, *more: str) -> Job:
        return Job(f"{file}.safetensors", ("--seed", str(seed), "--steps", steps, *more, "--profile", "recorded"))

    full = [job("recorded" if s == 0 else f"recorded_seed{s}", s) for s in range(RECORDED_SEEDS)]
    return [*full, job("recorded_no_plan_seed0", 0, "--variant", "no_plan")]


def nameless_jobs() -> list[Job]:
    """The run without names."""
    return [Job("nameless.safetensors", ("--seed", "0", "--steps", str(NAMELESS_STEPS), "--features", "nameless"))]


def train(job: Job, folder: Path, data: list[str]) -> None:
    """Runs one job where its result is not there yet; `data`: its options that name the data set."""
    out = folder / job.file.removesuffix(".safetensors")
    if (out / "card.json").exists():
        return
    command = [sys.executable, "-c", "from rarrl.cli import main; main()", "train", "orchestrator", *job.arguments]
    with (folder / f"{out.name}.log").open("a") as log:
        subprocess.run([*command, *data, "--out", str(out)], check=True, stdout=log)


def tune(folder: Path, target: Path, file: Path, where: list[str], steps: int) -> None:
    """The rules of `file`, where they are not there yet; `where`: options that say on what they are tuned."""
    out = folder / file.name
    if not out.exists():
        arguments = ["tune", "rules", *where, "--steps", str(steps), "--out", str(out)]
        subprocess.run([sys.executable, "-c", "from rarrl.cli import main; main()", *arguments], check=True)
    write_bytes_atomic(target / out.name, out.read_bytes())


def collect(folder: Path, target: Path, done: list[Job], source: str) -> dict[str, Any]:
    """Copies the policies of `done` into `target` under their names, and their lines into the one card of all."""
    old = json.loads((target / "card.json").read_text()) if (target / "card.json").exists() else {}
    files = dict(old.get("files", {}))

    runs = dict(old.get("runs", {}))
    shared = {key: old[key] for key in ("profiles", "machine", "versions") if key in old}
    for job in done:
        run = folder / job.file.removesuffix(".safetensors")
        data = (run / "policy.safetensors").read_bytes()
        write_bytes_atomic(target / job.file, data)
        files[job.file] = sha256(data)
        card = json.loads((run / "card.json").read_text())
        arguments = " ".join(job.arguments)
        runs[job.file] = {
            "command": f"rarrl train orchestrator {arguments} {source}".strip(),
            **{key: card[key] for key in ("data", "metrics", "date")},
        }
        if source:  # what the recorded ones share is in their runs
            shared = {key: card[key] for key in ("profiles", "machine", "versions")}

    card = {
        "what": "when a robot should think: MLP of 64 x 64 over the features of rarrl.orchestrator.features",
        "command": "python benchmarks/train_orchestrator.py --alfred DIR; recorded*: --recorded; "
        "nameless*: --nameless DIR",
        "data": "ALFRED json_2.1.0, split train (MIT, (c) 2019 ALFRED); latency profiles as listed; recorded*: the "
        "shipped profile rarrl-planner-development",
        "metrics": "benchmarks/results/orchestrator_eval.json (`rarrl eval orchestrator`); recorded*: "
        "benchmarks/results/orchestrator_recorded.json (the same with --profile recorded); nameless*: "
        "benchmarks/results/orchestrator_skillsets.json (`rarrl eval skillsets`)",
        **shared,
        "files": files,
        "runs": runs,
    }
    write_json_atomic(target / "card.json", card)

    return card


def main() -> None:
    """Trains what is missing, then collects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    world = parser.add_mutually_exclusive_group(required=True)
    world.add_argument("--alfred", type=Path, help="folder of the ALFRED data set")
    world.add_argument("--nameless", type=Path, help="the policy without names; folder of the ALFRED data set")
    world.add_argument("--recorded", action="store_true", help="the policies for recorded answers")
    parser.add_argument("--folder", type=Path, default=Path("runs/orchestrator"), help="runs and checkpoints")
    parser.add_argument("--workers", type=int, default=2, help="runs side by side")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    todo = jobs()
    data = ["--alfred", str(arguments.alfred or arguments.nameless), "--split", "train"]
    named = "--alfred DIR --split train"
    if arguments.nameless:
        todo = nameless_jobs()
    if arguments.recorded:
        todo = recorded_jobs()
        data = []
        named = ""

    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(lambda job: train(job, arguments.folder, data), todo))
    collect(arguments.folder, MODELS / "orchestrator", todo, named)
    target = MODELS / "orchestrator"
    if arguments.recorded:
        tune(arguments.folder, target, RECORDED_RULES_FILE, ["--profile", "recorded"], RECORDED_TUNING)
    if arguments.nameless:
        tune(arguments.folder, target, SKILLSET_RULES_FILE, ["--skillsets"], SKILLSET_TUNING)


if __name__ == "__main__":
    main()
