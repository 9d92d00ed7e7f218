"""When a robot should stop and ask a person: a score of failure, and a threshold that keeps a promise.

The score is a logistic regression on what the robot knows when it would act (similarity of the goal, confidence of the
plan, the verifier's word, unknown words, failures so far, share of the steps used); nothing of the truth is in it. The
threshold is set by split conformal prediction on games that failed and that nothing else was fitted to.

The promise: of the tasks that would fail, at least the share `promise` is announced, before they have failed. A task's
score is the largest of its decisions'. With the scores of n failed tasks, and the k-th smallest of them as the
threshold, k = floor((1 - promise) (n + 1)), a new failing task stays below it with a probability of at most
k / (n + 1) <= 1 - promise. That is coverage within the class of failing tasks (Mondrian or class-conditional conformal
prediction, Vovk 2012), over calibration and new task together, not for every robot or kind of task by itself; it holds
as long as tasks are exchangeable with those of the calibration. It says nothing of tasks that would succeed: how many
of those are stopped, too, is measured and not promised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.errors import InputError
from rarrl.orchestrator.features import NAMELESS_FEATURE_NAMES, Floats, Situation, encode_nameless
from rarrl.strict_json import read_json, short

SIGNALS = (
    "plan_doubt",
    "default_doubt",
    "plan.default",
    "plan.known",
    "verdict_ok",
    "verdict_fault",
    "p_ok",
    "answered.PLANNER_1",
    "answered.PLANNER_2",
    "plans_agree",
    "plan_contradicted",
    "unknown_words",
    "progress",
    "step_fraction",
    "consecutive_failures",
    "subgoal_failures",
    "ema_failure",
    "last5_failures",
    "beliefs_contradicted",
    "rest.looks",
)
"""Features that the score may read."""
_COLUMNS = [NAMELESS_FEATURE_NAMES.index(name) for name in SIGNALS]


def signals_of(s: Situation) -> NDArray[np.float32]:
    """(n, SIGNALS) of n robots."""
    return encode_nameless(s)[:, _COLUMNS]


@dataclass(frozen=True)
class Abstention:
    """Says of a robot that would act whether it should ask a person first.

    weights (SIGNALS,), bias: log-odds of failure. threshold: of the probability; with 0 it always asks. promise: share
    of the failing tasks that are announced, see the module."""

    weights: Floats
    bias: float
    threshold: float
    promise: float

    def scores(self, signals: NDArray[np.float32]) -> Floats:
        """(n,) probability of failure, by `signals_of`."""
        log_odds = signals.astype(np.float64) @ self.weights + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_odds, -50.0, 50.0))))

    def score(self, s: Situation) -> float:
        """Probability of failure of one robot."""
        return float(self.scores(signals_of(s))[0])

    def to_json(self) -> dict[str, Any]:
        """As `load_abstention` reads it."""
        return {
            "weights": {name: float(weight) for name, weight in zip(SIGNALS, self.weights, strict=True) if weight},
            "bias": self.bias,
            "threshold": self.threshold,
            "promise": self.promise,
        }


def conformal_threshold(failed: Floats, promise: float) -> float:
    """The largest threshold that announces at least the share `promise` of failing tasks.

    failed (n,): largest score of each task of the calibration that failed. 0 where there are too few to promise that.

    >>> conformal_threshold(np.array([0.9, 0.3, 0.5, 0.7, 0.8, 0.6, 0.4, 0.9, 0.9]), 0.9)
    0.3
    >>> conformal_threshold(np.array([0.9, 0.8]), 0.9)
    0.0
    """
    if not 0.0 < promise < 1.0:
        raise ValueError(f"conformal_threshold: promise must be above 0 and below 1, got {promise}")
    rank = math.floor((1.0 - promise) * (len(failed) + 1) + 1e-9)
    return float(np.sort(failed)[rank - 1]) if rank else 0.0


def load_abstention(path: Path) -> Abstention:
    """Reads what `Abstention.to_json` says. Raises: InputError, one line."""
    value = read_json(path, "abstention", "fit one with `rarrl train orchestrator --world alfworld`")
    try:
        return _read(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else short(str(error), 200)
        raise InputError(
            f"abstention: {path}: {reason}; fit one with `rarrl train orchestrator --world alfworld`"
        ) from None


def _read(value: Mapping[str, Any]) -> Abstention:
    weights = dict(value["weights"])
    unknown = sorted(set(weights) - set(SIGNALS))
    if unknown:
        raise ValueError(f"weights has {unknown[0]!r} (allowed: {', '.join(SIGNALS)})")
    found = Abstention(
        np.array([float(weights.get(name, 0.0)) for name in SIGNALS]),
        float(value["bias"]),
        float(value["threshold"]),
        float(value["promise"]),
    )
    if not np.isfinite([*found.weights, found.bias]).all():
        raise ValueError("weights and bias must be finite numbers")
    if not (0.0 <= found.threshold <= 1.0 and 0.0 < found.promise < 1.0):
        raise ValueError("threshold must be 0 to 1, and promise between 0 and 1")
    return found
