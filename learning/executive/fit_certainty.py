"""Fits the weights of `rarrl.executive.certainty`: logistic regression with a prior, and signs that are known before.

Each robot's skill has an intercept of its own, which the robot learns as its trust; only the signals' weights are kept.
Each trial counts once for every suite of sensors, so that the weights serve robots with few sensors and with many.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from rarrl.executive.certainty import FEATURES, SIGNS, START_LOG_ODDS, START_SD, features

from .done_trials import EFFECTS, SUITES, Trial, sensed

WEIGHT_SD = 2.0
"""Log-odds: the spread of weights before any data; a sensor that is wrong in one of a hundred has about 4."""
INTERCEPT_SD = 2.0 * START_SD
"""Log-odds: of the trust in a skill in training, where more goes wrong than a robot begins to expect."""
STEPS = 100
"""Newton steps at most; ten are enough."""


def fit(trials: Sequence[Trial]) -> dict[str, float]:
    """Feature -> weight, log-odds. Raises: ValueError without trials."""
    if not trials:
        raise ValueError("fit: no trials")
    groups = sorted({(trial.robot, trial.skill) for trial in trials})
    rows, done = [], []
    for trial in trials:
        for suite in SUITES:
            values = features(EFFECTS[trial.skill], sensed(trial, suite).signals)
            signals = [values.get(name, 0.0) for name in FEATURES]
            rows.append(signals + [float(group == (trial.robot, trial.skill)) for group in groups])
            done.append(float(trial.done))

    size = len(FEATURES)
    mean = np.array([0.0] * size + [START_LOG_ODDS] * len(groups))
    sd = np.array([WEIGHT_SD] * size + [INTERCEPT_SD] * len(groups))
    signs = np.array([SIGNS[name] for name in FEATURES] + [0] * len(groups))
    solution = _newton(np.array(rows), np.array(done), 1.0 / len(SUITES), mean, sd**-2, signs)
    return {name: round(float(value), 4) for name, value in zip(FEATURES, solution, strict=False)}


def _newton(
    x: np.ndarray, y: np.ndarray, count: float, mean: np.ndarray, precision: np.ndarray, signs: np.ndarray
) -> np.ndarray:
    """The most probable weights, (n,). count: what a row counts. signs: -1, 0 (any), 1, of each."""

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float(count * (np.logaddexp(0.0, z) - y * z).sum() + 0.5 * (precision * (w - mean) ** 2).sum())

    def allowed(w: np.ndarray) -> np.ndarray:
        return np.where(signs * w < 0, 0.0, w)

    w = mean.copy()
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ w, -50, 50)))
        gradient = count * x.T @ (p - y) + precision * (w - mean)
        free = ~((w == 0.0) & (signs * gradient > 0))  # the others would leave their sign
        hessian = count * (x.T * (p * (1 - p))) @ x + np.diag(precision)
        step = np.zeros_like(w)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])

        size = 1.0
        while size > 1e-6 and loss(allowed(w - size * step)) > loss(w):
            size /= 2
        new = allowed(w - size * step)
        if np.abs(new - w).max() < 1e-8:
            break
        w = new
    return w


def fingerprint(weights: Mapping[str, float]) -> str:
    """SHA-256 of weights, which ties figures to them."""
    return hashlib.sha256(json.dumps(dict(sorted(weights.items()))).encode()).hexdigest()
