"""Success of a policy in closed loop on held-out starts, by kind of instruction; observations for parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.base import Observation, Policy, checked_words
from rarrl.report.runs import wilson
from rarrl.results import Figure
from rarrl_sim_envs.suites import Env, Suite

from ..progress import Progress


@dataclass(frozen=True)
class Episode:
    """One episode. words: a kind of instruction of the suite. success: of `task`, whatever the words were.

    told: the task whose words were given. told_success: of that one, where the suite can say.
    steps: control steps until either success, or all that were allowed. refused: why the policy does not take these
    words at all, "" where it does; it then stands still, and the episode is lost."""

    task: str
    start: int
    words: str
    success: bool
    steps: int
    told: str = ""
    told_success: bool = False
    refused: str = ""


def play(policy: Policy | None, suite: Suite, task: str, words: str, starts: Sequence[int], rows: int) -> list[Episode]:
    """Plays starts of the test list. policy: None: the suite's expert acts. rows: of each chunk that are done before
    the next one is asked for."""
    env = suite.make(task, suite.play_steps)
    try:
        return [play_start(env, policy, suite, task, words, start, rows) for start in starts]
    finally:
        env.close()


def play_start(
    env: Env, policy: Policy | None, suite: Suite, task: str, words: str, start: int, rows: int, split: str = "test"
) -> Episode:
    """`play` of one start of a list, in an environment of the task."""
    max_steps = suite.play_steps
    told = suite.control.task(task, start) if words == suite.control.kind else task
    texts = suite.task(told).instructions(held_out=words == "held_out")
    instruction = texts[start % len(texts)]
    if policy is not None and (refused := refusal(policy, instruction)):
        return Episode(task, start, words, False, 0, told, refused=refused)

    observation, _ = env.reset(options={"split": split, "start": start, "instruction": instruction})
    if policy is not None:
        policy.reset()
    success = False

    told_success = False
    step = 0
    while not success and not told_success and step < max_steps:
        if policy is None:
            actions = env.expert_action()[None]
        else:
            actions = policy.infer(as_observation(observation if step == 0 else env.observation())).actions
        for action in actions[: min(rows, max_steps - step)]:
            success = env.advance(action)
            told_success = success if told == task else suite.control.done(env, told)
            step += 1
            if success or told_success:
                break

    return Episode(task, start, words, success, step, told, told_success)


def refusal(policy: Policy, instruction: str) -> str:
    """Why the policy does not take the words, one line; "" where it does."""
    try:
        checked_words(policy.spec, instruction)
    except InputError as error:
        return str(error)
    return ""


def as_observation(observation: dict[str, Any]) -> Observation:
    """An environment's observation as a policy takes it."""
    return Observation(observation["images"], observation["proprio"], observation["instruction"])


def evaluate_policy(
    policy: Policy | None,
    suite: Suite,
    tasks: Sequence[str],
    words: Sequence[str],
    episodes: int = 20,
    rows: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables of `rarrl eval policy`: tasks x kinds of instruction x the same starts, those from
    `1000 * seed` on of the test list. policy: None: the suite's expert."""
    starts = range(1000 * seed, 1000 * seed + episodes)
    played: list[Episode] = []
    for task in tasks:
        for kind in words:
            if progress:
                progress(len(played), f"{task}, {kind}")
            played += play(policy, suite, task, kind, starts, rows)

    tables: dict[str, Any] = {
        "per task": [_row({"task": task}, [e for e in played if e.task == task], words) for task in tasks]
    }
    if groups := list(dict.fromkeys(suite.groups[task] for task in tasks if task in suite.groups)):
        tables["per kind"] = [
            _row({"kind": group}, [e for e in played if suite.groups[e.task] == group], words) for group in groups
        ]

    if refused := dict.fromkeys((e.told or e.task, e.words, e.refused) for e in played if e.refused):
        tables["not taken"] = [{"task": task, "words": kind, "why": why} for task, kind, why in refused]

    tables["settings"] = {
        "episodes per task and kind": episodes,
        "rows of a chunk done": rows,
        "control steps allowed": suite.play_steps,
        "rendering": suite.rendering,
        "acted": "the scripted expert" if policy is None else "the policy",
        suite.control.kind: suite.control.rule,
    }

    if policy is None:
        solved = [np.array([e.success for e in played if e.task == task], float) for task in tasks]
        return {"success_expert": _mean(solved)}, tables
    return figures_of(suite, played), tables


def observations(suite: Suite, count: int, seed: int = 0) -> list[Observation]:
    """Of unseen starts, the tasks in turn, each after a random part of the expert's motion."""
    rng = np.random.default_rng(seed)
    found = []
    for i, task in enumerate(suite.tasks):
        env = suite.make(task, suite.play_steps)
        try:
            for start in range(i, count, len(suite.tasks)):
                env.reset(options={"split": "test", "start": start})
                for _ in range(rng.integers(int(0.4 * suite.play_steps))):
                    env.advance(env.expert_action())
                found.append(as_observation(env.observation()))
        finally:
            env.close()

    return found


def figures_of(suite: Suite, played: Sequence[Episode]) -> dict[str, Figure]:
    """Means over tasks, each task weighing the same; 95 % intervals by Jeffreys' prior on each task, since redrawing
    the episodes of a task that was always solved would show no spread."""
    figures = {}
    for name, (tasks, kind, counted) in suite.figures.items():
        samples = [
            np.array([getattr(e, counted) for e in played if e.task == t and e.words == kind], float) for t in tasks
        ]
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


def _row(row: dict[str, Any], mine: Sequence[Episode], words: Sequence[str]) -> dict[str, Any]:
    for kind in words:
        tried = [e for e in mine if e.words == kind]
        solved = sum(e.success for e in tried)
        lo, hi = wilson(solved, len(tried))
        row[kind] = f"{solved}/{len(tried)} [{lo:.2f}, {hi:.2f}]"
    steps = [e.steps for e in mine if e.success and e.words == "trained"]
    row["median steps"] = float(np.median(steps)) if steps else None
    return row
