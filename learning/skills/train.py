"""Fits when to ask, on training missions alone: what comes of asking before the first attempt, by counterfactuals.

Each mission is played three times, with the same luck: without a call, and with a planner of each level asked first.
The policy (a small network over the features that know no names) learns to choose what was worth most. In all later
situations that are met on the way, asked or not, it learns to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.files import write_json_atomic
from rarrl.orchestrator.features import N_ACTIONS, NAMELESS_FEATURE_NAMES, Situation, encode_nameless
from rarrl.orchestrator.learned import LearnedPolicy, save_policy
from rarrl.results import machine, versions
from rarrl.types import Action
from rarrl_sim_envs.pyrobosim.missions import TRAIN_SEEDS, Mission, mission

from ..trials import COST_WEIGHT, Terms, Trial
from .evaluate import ANSWERS, RULES, WEIGHTS, train_costs, tune
from .recorded_answers import RecordedAnswers
from .trials import task_of

TIME_WEIGHT = 0.2
"""Points of success that a whole horizon of seconds is worth: a mission that is done late is still done."""
ASKED = (Action.ACT, Action.PLANNER_1, Action.PLANNER_2)
USED = ("default_doubt", "unknown_words", "rest.looks", "answered.PLANNER_1", "answered.PLANNER_2", "progress")
"""Features that it sees. A dozen sentences cannot teach it more."""
HIDDEN_UNITS, STEPS, WEIGHT_DECAY = 4, 1000, 0.01
"""Of the network; steps of full-batch Adam, after which the worth of training missions no longer rises."""
LATER = 200
"""Later situations that it learns to go on in: enough of each mission, and a fit takes seconds."""


@dataclass(frozen=True)
class Sample:
    """One mission. start (features,); later (k, features); worth (N_ACTIONS,) of asking first, -inf: not tried."""

    sentence: str
    start: NDArray[np.float32]
    later: NDArray[np.float32]
    worth: NDArray[np.float64]


class _First:
    """Takes one action first, then acts; keeps the situations that it meets."""

    name = "first"

    def __init__(self, action: Action) -> None:
        self._action = action
        self.seen: list[NDArray[np.float32]] = []

    def act(self, s: Situation, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The action before the first attempt, once."""
        self.seen.append(encode_nameless(s)[0])
        first = len(self.seen) == 1 and mask[self._action, 0]
        return np.array([int(self._action) if first else 0])


def sample(task: Mission) -> Sample:
    """What comes of each way to begin a mission."""
    answers = RecordedAnswers(ANSWERS)
    trial, terms = Trial(task_of(task)), Terms(answers, train_costs(answers))
    worth = np.full(N_ACTIONS, -np.inf)
    seen: list[NDArray[np.float32]] = []
    start = None
    for action in ASKED:
        if action is not Action.ACT and (task.instruction, action.level) not in answers.entries:
            continue
        first = _First(action)
        played = trial.play(first, terms)
        worth[action] = played.success - TIME_WEIGHT * played.seconds / task.horizon_s - COST_WEIGHT * played.llm_s
        start = first.seen[0] if start is None else start
        seen += first.seen[1:]
    assert start is not None  # to act is always tried
    return Sample(task.instruction, start, np.array(seen, np.float32).reshape(-1, len(start)), worth)


def tasks(n: int) -> list[Mission]:
    """Training missions: every goal and variant, `n` seeds of each, and as many of `vague` as has all sentences."""
    found = [
        mission(g, v, s)
        for g in (1, 2, 3, 4)
        for v in ("plain", "hidden", "doors", "failures")
        for s in TRAIN_SEEDS[:n]
    ]
    vague: dict[str, Mission] = {}
    for number in (1, 2, 3, 4):
        for seed in TRAIN_SEEDS[:40]:
            task = mission(number, "vague", seed)
            vague.setdefault(task.instruction, task)
    return found + list(vague.values())


def fit(samples: Sequence[Sample], seed: int = 0) -> LearnedPolicy:
    """The policy that is worth most on `samples`, each sentence counting the same."""
    import torch

    torch.manual_seed(seed)
    hidden = np.array([name not in USED for name in NAMELESS_FEATURE_NAMES])
    allowed = np.array([action in ASKED for action in Action])
    share = {each.sentence: sum(other.sentence == each.sentence for other in samples) for each in samples}

    starts = torch.tensor(np.where(hidden, 0.0, np.stack([each.start for each in samples])), dtype=torch.float32)
    worth = np.stack([each.worth for each in samples])
    worth = np.where(np.isfinite(worth), worth, worth[:, :1] - 1.0) - worth[:, :1]
    weight = torch.tensor([1.0 / share[each.sentence] for each in samples], dtype=torch.float32)
    values = torch.tensor(worth, dtype=torch.float32)
    every = np.concatenate([each.later for each in samples])
    kept = np.random.default_rng(seed).permutation(len(every))[:LATER]
    later = torch.tensor(np.where(hidden, 0.0, every[kept]), dtype=torch.float32)

    mask = torch.tensor(np.where(allowed, 0.0, -1e9), dtype=torch.float32)
    net = torch.nn.Sequential(
        torch.nn.Linear(len(hidden), HIDDEN_UNITS), torch.nn.Tanh(), torch.nn.Linear(HIDDEN_UNITS, N_ACTIONS)
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        chances = torch.softmax(net(starts) + mask, dim=1)
        gain = (weight * (chances * values).sum(dim=1)).sum() / weight.sum()
        loss = -gain
        if len(later):
            loss = loss - 0.02 * torch.log_softmax(net(later) + mask, dim=1)[:, 0].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    return LearnedPolicy(
        "skills",
        tuple(layer.weight.detach().numpy().astype(np.float32) for layer in layers),
        tuple(layer.bias.detach().numpy().astype(np.float32) for layer in layers),
        hidden,
        allowed,
        nameless=True,
    )


def chosen(policy: LearnedPolicy, samples: Sequence[Sample]) -> NDArray[np.int64]:
    """What a policy does first in each mission."""
    logits = policy.logits(np.stack([each.start for each in samples]))
    tried = np.stack([np.isfinite(each.worth) for each in samples])
    return np.asarray(np.where(tried & policy.allowed, logits, -np.inf).argmax(axis=1))


def left_out(samples: Sequence[Sample], seed: int = 0) -> dict[str, float]:
    """Mean worth over sentences, each judged by a policy fitted without it; beside those that do not choose."""
    found: dict[str, list[float]] = {"learned": [], **{action.name: [] for action in ASKED}, "best": []}
    for sentence in sorted({each.sentence for each in samples}):
        held = [each for each in samples if each.sentence == sentence]
        policy = fit([each for each in samples if each.sentence != sentence], seed)
        picks = chosen(policy, held)
        found["learned"].append(float(np.mean([each.worth[p] for each, p in zip(held, picks, strict=True)])))
        found["best"].append(float(np.mean([each.worth.max() for each in held])))
        for action in ASKED:
            known = [each.worth[action] if np.isfinite(each.worth[action]) else each.worth[0] for each in held]
            found[action.name].append(float(np.mean(known)))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def train_skills(
    n: int, pool: Executor | None, folder: Path, command: str, say: Callable[[str, float], None]
) -> dict[str, Any]:
    """Tunes the rules and fits the policy on the first `n` training seeds; writes both into `folder`.

    Returns what the card of the weights says."""
    tuned = tune(n, pool, say)
    write_json_atomic(folder / RULES.name, {"command": command, "seeds": n, "rules": tuned})
    return fit_policy(n, pool, folder, command)


def fit_policy(n: int, pool: Executor | None, folder: Path, command: str) -> dict[str, Any]:
    """Fits the policy alone; see `train_skills`."""
    answers = RecordedAnswers(ANSWERS)
    samples = list((map if pool is None else pool.map)(sample, tasks(n)))
    policy = fit(samples)
    picks = chosen(policy, samples)
    card = {
        "command": command,
        "trained_on": f"{len(samples)} training missions of pyrobosim, {len({s.sentence for s in samples})} sentences; "
        f"recorded answers of {answers.model}",
        "features": "nameless",
        "seed": 0,
        "metrics": {
            "worth": float(np.mean([s.worth[p] for s, p in zip(samples, picks, strict=True)])),
            "worth_without_a_call": float(np.mean([s.worth[0] for s in samples])),
            **{f"left_out_{name}": value for name, value in left_out(samples).items()},
        },
        "first": {s.sentence: Action(int(p)).name for s, p in zip(samples, picks, strict=True)},
        "machine": machine(),
        "versions": versions(),
    }
    save_policy(policy, folder, card, WEIGHTS.name)
    return card
