"""When the robot asks a person in ALFWorld: the score is fitted on some games of the train split, its threshold set on
others, both with the decisions of the policy that it is used with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.abstain import SIGNALS, Abstention, conformal_threshold, signals_of
from rarrl.orchestrator.features import Situation
from rarrl.orchestrator.rules import OrchestratorPolicy

from ..trees import stacked
from ..trials import Terms, Trial, Walk

PROMISE = 0.9
RIDGE = 1.0
"""Strength of the prior that weights are small: in standard deviations of each signal, of the log-odds."""
NEWTON_STEPS = 30


@dataclass(frozen=True)
class Trajectory:
    """What a robot knew whenever it acted. signals (decisions, SIGNALS); failed: how its task ended."""

    game: str
    signals: NDArray[np.float32]
    failed: bool

    def score(self, abstention: Abstention) -> float:
        """The largest of its decisions."""
        return float(abstention.scores(self.signals).max())


class _Watched:
    """Decides as another policy does; keeps what was known where it acted."""

    def __init__(self, policy: OrchestratorPolicy) -> None:
        self._policy = policy
        self.name = policy.name
        self.seen: list[Situation] = []

    def act(self, s: Situation, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """As the other."""
        chosen = self._policy.act(s, mask)
        if chosen[0] == 0:
            self.seen.append(stacked([s]))
        return chosen


def watch(trial: Trial, policy: OrchestratorPolicy, terms: Terms, game: str) -> Trajectory:
    """A task under a policy."""
    watched = _Watched(policy)
    walk = Walk(trial, watched, terms)
    while walk.report is not None:
        walk.step()
    return Trajectory(game, signals_of(stacked(watched.seen)), not walk.played.success)


def fit_score(trajectories: Sequence[Trajectory]) -> Abstention:
    """Logistic regression of a task's failure on what was known at each of its decisions, each task counting the same.

    The threshold is still to be set: see `calibrated`."""
    x = np.concatenate([each.signals for each in trajectories]).astype(np.float64)
    y = np.concatenate([np.full(len(each.signals), float(each.failed)) for each in trajectories])
    weight = np.concatenate([np.full(len(each.signals), 1.0 / len(each.signals)) for each in trajectories])
    mean, spread = np.average(x, axis=0, weights=weight), x.std(axis=0)
    used = spread > 1e-6
    scaled = np.where(used, (x - mean) / np.where(used, spread, 1.0), 0.0)
    design = np.hstack([scaled, np.ones((len(x), 1))])
    prior = np.diag([*np.full(len(SIGNALS), RIDGE), 1e-6])
    found = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):  # it is convex
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        gradient = design.T @ (weight * (p - y)) + prior @ found
        found -= np.linalg.solve(design.T @ (design * (weight * p * (1.0 - p))[:, None]) + prior, gradient)
    weights = np.where(used, found[:-1] / np.where(used, spread, 1.0), 0.0)
    return Abstention(weights, float(found[-1] - weights @ mean), 0.0, PROMISE)


def calibrated(abstention: Abstention, trajectories: Sequence[Trajectory], promise: float = PROMISE) -> Abstention:
    """With the threshold that keeps `promise`, by games that the score was not fitted to."""
    failed = np.array([each.score(abstention) for each in trajectories if each.failed])
    return Abstention(abstention.weights, abstention.bias, conformal_threshold(failed, promise), promise)
