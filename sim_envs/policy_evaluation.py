"""How often a policy reaches the goal in Meta-World, on starts that nobody trained on; and parity of its two forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rarrl.policy.base import Observation, Policy
from rarrl.report.runs import wilson
from rarrl.results import Figure

from .metaworld_language import MT10, RENDERING, SEVEN, TASKS, MetaWorldLanguageEnv

MAX_STEPS = 150
Say = Callable[[float, str], None]
INSTRUCTIONS = ("trained", "held_out", "swapped")


@dataclass(frozen=True)
class Episode:
    """One try. steps: control steps until success, or all that were allowed."""

    task: str
    start: int
    words: str  # one of INSTRUCTIONS
    success: bool
    steps: int


def play(
    policy: Policy, task: str, words: str, starts: Sequence[int], rows: int, max_steps: int = MAX_STEPS
) -> list[Episode]:
    """Plays starts of the test list. rows: of each chunk that are done before the next one is asked for."""
    env = MetaWorldLanguageEnv(task, max_steps)
    episodes = []
    try:
        for start in starts:
            options = {"split": "test", "start": start, "instruction": _instruction(task, words, start)}
            observation, _ = env.reset(options=options)
            policy.reset()
            success, step = False, 0
            while not success and step < max_steps:
                chunk = policy.infer(as_observation(observation if step == 0 else env.observation()))
                for action in chunk.actions[: min(rows, max_steps - step)]:
                    success = env.advance(action)
                    step += 1
                    if success:
                        break
            episodes.append(Episode(task, start, words, success, step))
    finally:
        env.close()
    return episodes


def as_observation(told: dict[str, Any]) -> Observation:
    """What the environment gives as what a policy takes."""
    return Observation(told["images"], told["proprio"], told["instruction"])


def evaluate_policy(
    policy: Policy,
    tasks: Sequence[str] = MT10,
    words: Sequence[str] = INSTRUCTIONS,
    episodes: int = 20,
    rows: int = 8,
    seed: int = 0,
    progress: Say | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables of `rarrl eval policy`: tasks x kinds of instruction x the same starts, those from
    `1000 * seed` on of the test list."""
    starts = range(1000 * seed, 1000 * seed + episodes)
    played: list[Episode] = []
    for task in tasks:
        for kind in words:
            if progress:
                progress(len(played), f"{task}, {kind}")
            played += play(policy, task, kind, starts, rows)
    return figures_of(played), {
        "per task": [_row(task, played, words) for task in tasks],
        "settings": {
            "episodes per task and kind": episodes,
            "rows of a chunk done": rows,
            "control steps allowed": MAX_STEPS,
            "rendering": RENDERING,
            "swapped": {task: TASKS[task].swapped for task in tasks},
        },
    }


def observations(count: int, seed: int = 0) -> list[Observation]:
    """Of unseen starts, the tasks in turn, each after a random part of the expert's way."""
    rng = np.random.default_rng(seed)
    found = []
    for task in MT10:
        env = MetaWorldLanguageEnv(task)
        try:
            for start in range(MT10.index(task), count, len(MT10)):
                env.reset(options={"split": "test", "start": start})
                for _ in range(rng.integers(60)):
                    env.advance(env.expert_action())
                found.append(as_observation(env.observation()))
        finally:
            env.close()
    return found


def figures_of(played: Sequence[Episode]) -> dict[str, Figure]:
    """Means over tasks, each task weighing the same; 95 % intervals by Jeffreys' prior on each task, since redrawing
    the episodes of a task that was always solved would tell no spread."""
    names = {
        "success_f16": (SEVEN, "trained"),
        "success_mt10": (MT10, "trained"),
        "success_held_out": (SEVEN, "held_out"),
        "success_swapped": (SEVEN, "swapped"),
    }
    figures = {}
    for name, (tasks, kind) in names.items():
        samples = [np.array([e.success for e in played if e.task == t and e.words == kind], float) for t in tasks]
        if all(len(sample) for sample in samples):
            figures[name] = _mean(samples)
    return figures


def _mean(samples: list[np.ndarray]) -> Figure:
    rng = np.random.default_rng(0)
    drawn = np.mean([rng.beta(s.sum() + 0.5, len(s) - s.sum() + 0.5, 20_000) for s in samples], axis=0)
    lo, hi = np.quantile(drawn, [0.025, 0.975])
    value = float(np.mean([s.mean() for s in samples]))
    n = sum(map(len, samples))
    return Figure(value, "share of episodes", n, min(float(lo), value), max(float(hi), value))


def _row(task: str, played: Sequence[Episode], words: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task}
    for kind in words:
        mine = [e for e in played if e.task == task and e.words == kind]
        solved = sum(e.success for e in mine)
        lo, hi = wilson(solved, len(mine))
        row[kind] = f"{solved}/{len(mine)} [{lo:.2f}, {hi:.2f}]"
    mine = [e for e in played if e.task == task and e.success and e.words == "trained"]
    row["median steps"] = float(np.median([e.steps for e in mine])) if mine else None
    return row


def _instruction(task: str, words: str, start: int) -> str:
    source = TASKS[TASKS[task].swapped if words == "swapped" else task]
    texts = source.instructions(held_out=words == "held_out")
    return texts[start % len(texts)]
