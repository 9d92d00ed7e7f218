"""How long `rarrl demo` takes for the same rendered missions, against another commit, alone and beside other work.

    python benchmarks/demo_against.py --against c6d8b0e --rounds 3 --json benchmarks/results/demo_against.json

Each round plays the same missions under the same four policies with this tree and with the other commit's, in turn:
command line, missions, report and film. Then the same with as many processes that do nothing but count as there are
cores.

    demo_ratio         seconds of this tree's demo, as a share of the other's
    demo_cpu_ratio     processor seconds
    demo_loaded_ratio  seconds with all cores kept busy by other work

A ratio is the geometric mean over the rounds; below 1 this tree takes less."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from start_up import PACKAGES, ROOT, ratio, tree_of

from rarrl.resources.threads import cores, planned
from rarrl.results import make_results, write_results
from rarrl_learning.household.evaluate import FIRST_SEED
from rarrl_learning.orchestrator.busy_cores import cores_at_work

SEEDS_OF = {"learning/household/demo.py": "rarrl_learning.household.demo", "": "rarrl_sim_envs.household.demo"}
"""Where a tree says which missions its demo plays: this tree, and that of c6d8b0e, by a file that it has."""
PLAY = """
import importlib, sys
importlib.import_module({module!r}).demo_seeds = lambda missions, seed: {seeds!r}
from rarrl.cli import main
sys.argv[0] = "rarrl"
main()
"""
"""Runs the command line with missions of our choice."""
LIMIT_S = 3600.0


@dataclass(frozen=True)
class Cost:
    """Of one demo."""

    seconds: float
    cpu_s: float


def measure(tree: Path, options: list[str], seeds: list[int]) -> Cost:
    """Of the demo of the packages under `tree`, with these missions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "path").mkdir()
        for package, source in PACKAGES.items():
            if (tree / source).exists():
                (folder / "path" / package).symlink_to(tree / source)
        environment = {key: value for key, value in os.environ.items() if key not in planned(1, {})}
        environment["PYTHONPATH"] = str(folder / "path")
        module = next(module for file, module in SEEDS_OF.items() if (tree / file).exists())
        code = PLAY.format(module=module, seeds=seeds)
        command = [sys.executable, "-c", code, "demo", "--missions", str(len(seeds)), *options, "--out", "run"]

        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
        seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or not list(folder.glob("run/**/*.gif")):
            raise SystemExit(f"{tree}: the demo made no film\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        return Cost(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", default="c6d8b0e", help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loaded-rounds", type=int, default=1)
    parser.add_argument("--missions", type=int, default=2, help="of each of four policies")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    costs: dict[str, list[Cost]] = {}
    with tree_of(args.against) as other:
        trees = [("here", ROOT, ["--table-missions", "0"]), (args.against, other, [])]
        for number in range(args.rounds + args.loaded_rounds):
            loaded = number >= args.rounds
            seeds = [FIRST_SEED + 1_000 + args.missions * number + each for each in range(args.missions)]
            for name, tree, options in trees if number % 2 == 0 else trees[::-1]:
                with cores_at_work(cores() if loaded else 0):
                    cost = measure(tree, options, seeds)
                costs.setdefault(name + " loaded" * loaded, []).append(cost)
                print(name, "beside other work" if loaded else "alone", asdict(cost), flush=True)

    def of(what: str, loaded: str = "") -> tuple[list[float], list[float]]:
        ours, theirs = ([getattr(c, what) for c in costs[f"{name}{loaded}"]] for name in ("here", args.against))
        return ours, theirs

    figures = {}
    if args.rounds:
        figures |= {"demo_ratio": ratio(*of("seconds")), "demo_cpu_ratio": ratio(*of("cpu_s"))}
    if args.loaded_rounds:
        figures["demo_loaded_ratio"] = ratio(*of("seconds", " loaded"))
    for name, figure in figures.items():
        print(name, figure)
    if args.json:
        command = (
            f"python benchmarks/demo_against.py --against {args.against} --rounds {args.rounds} "
            f"--loaded-rounds {args.loaded_rounds} --missions {args.missions}"
        )
        tables = {name: [asdict(cost) for cost in each] for name, each in costs.items()}
        write_results(args.json, make_results(command, 0, figures, tables))


if __name__ == "__main__":
    main()
