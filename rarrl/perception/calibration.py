"""Turns votes into a probability per voxel by a small logistic regression that is fitted on rendered pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.strict_json import read_json

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "classical-detector" / "card.json"
"""The accurate detector's calibration, which comes with the package."""
FREE_SHARE = 0.5
"""Share of a voxel's image footprint that must be seen through for it to count as free: more than half of it."""
MIN_VOTE = 0.5
"""Votes (pixels, weighted by certainty) below which a voxel counts as not hit: less than half a certain pixel."""
IOU_FOR_RECALL = 0.005
"""Mean IoU (0 to 1) that the threshold may cost for a higher recall: a missed obstacle is worse than a ghost."""
FEATURES = ("bias", "few_2", "few_8", "few_30", "seen_through", "before", "behind")
"""Inputs of the regression, in their order; see `Evidence.features`."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a pair says about each voxel; both arrays are (size, size, size) along x, y, z.

    votes: pixels that fall into it, weighted by certainty. seen_through: share of its image footprint whose rays pass
    through it, 0 to 1."""

    votes: np.ndarray
    seen_through: np.ndarray

    @cached_property
    def voted(self) -> np.ndarray:
        """(size, size, size) bool: voxels with enough votes to be judged."""
        return self.votes >= MIN_VOTE

    @cached_property
    def voted_at(self) -> np.ndarray:
        """Returns the flat indices, (n,), of these voxels."""
        return np.flatnonzero(self.voted)

    @cached_property
    def seen_free(self) -> np.ndarray:
        """(size, size, size) bool: voxels without enough votes of which the larger part is seen through."""
        return ~self.voted & (self.seen_through >= FREE_SHARE)

    def features(self) -> np.ndarray:
        """Returns the features of the n voxels `voted`, (n, 7) float64, in the order of FEATURES.

        Votes enter as exp(-votes / k), which levels out: beyond some dozens their number depends on the distance and
        the camera, not on the truth. Fits that used its logarithm or the expected number were worse on other cameras.
        before, behind: votes of the neighbour in depth over those of both; far surfaces spread over several voxels."""
        voted = self.voted_at
        votes = self.votes.take(voted)
        last = self.votes.shape[2] - 1
        few = [np.exp(-votes / k) for k in (2.0, 8.0, 30.0)]
        depth = voted % (last + 1)
        before, behind = (
            np.where(there, self.votes.take(voted + step, mode="clip"), 0.0)
            for step, there in ((-1, depth > 0), (1, depth < last))
        )
        beside = [other / (other + votes) for other in (before, behind)]

        return np.stack([np.ones(len(votes)), *few, self.seen_through.take(voted), *beside], axis=1)


@dataclass(frozen=True)
class Calibration:
    """A fitted regression.

    weights: one per feature. free: probability that a voxel which is seen through is occupied nevertheless. threshold:
    probability from which a voxel counts as occupied; it is the lowest one that costs the fitting pairs no more than
    IOU_FOR_RECALL of their best mean IoU."""

    weights: tuple[float, ...]
    free: float
    threshold: float

    def probability(self, evidence: Evidence) -> np.ndarray:
        """Returns the probability that each voxel is occupied, (size, size, size) float32.

        It comes from the regression for voxels with enough votes, is `free` for those seen through, and 0.5
        elsewhere."""
        probability = np.where(evidence.seen_free, np.float32(self.free), np.float32(0.5))
        # Not `@`: after each product the threads of BLAS spin for a while on the cores that matching needs.
        stated = sigmoid(np.einsum("ij,j->i", evidence.features(), np.asarray(self.weights)))
        probability.reshape(-1)[evidence.voted_at] = stated
        return probability


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + e^-x) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))


def fit_logistic(features: np.ndarray, occupied: np.ndarray, weight: np.ndarray, ridge: float = 1e-3) -> np.ndarray:
    """Fits a logistic regression by Newton's method and returns its (k,) weights.

    features: (n, k). occupied: (n,) bool. weight: (n,), per sample. ridge: penalty on all weights but the first.

    Raises: ValueError if all samples are of one class."""
    if len({bool(o) for o in occupied}) < 2:
        raise ValueError("fit_logistic needs occupied and free samples, got one kind only")

    beta = np.zeros(features.shape[1])
    penalty = ridge * weight.sum() * np.eye(len(beta))
    penalty[0, 0] = 0.0

    for _ in range(30):  # Newton's method needs about ten steps
        p = sigmoid(features @ beta)
        gradient = features.T @ (weight * (occupied - p)) - penalty @ beta
        hessian = features.T @ (features * (weight * np.maximum(p * (1 - p), 1e-6))[:, None]) + penalty
        step = np.linalg.solve(hessian, gradient)
        beta += step
        if np.abs(step).max() < 1e-8:
            break

    return beta


@dataclass(frozen=True, eq=False)
class Sample:
    """One pair for fitting: its evidence, and its true and observed voxels (see `Truth`)."""

    evidence: Evidence
    occupied: np.ndarray
    observed: np.ndarray


def fit(samples: Iterable[Sample], iou_for_recall: float = IOU_FOR_RECALL) -> Calibration:
    """Fits a calibration to pairs with truth. Every pair has the same weight, whatever its number of voxels.

    iou_for_recall: as IOU_FOR_RECALL."""
    samples = list(samples)

    features = []
    targets = []
    weights = []
    free = []
    for sample in samples:
        voted = sample.evidence.voted
        judged = sample.observed[voted]
        if judged.any():
            features.append(sample.evidence.features()[judged])
            targets.append(sample.occupied[voted][judged])
            weights.append(np.full(judged.sum(), 1.0 / judged.sum()))

        through = sample.observed & sample.evidence.seen_free
        if through.any():
            free.append(sample.occupied[through].mean())

    beta = fit_logistic(np.concatenate(features), np.concatenate(targets), np.concatenate(weights))
    found = Calibration(tuple(float(b) for b in beta), float(np.mean(free)), 0.5)

    thresholds = np.arange(0.2, 0.71, 0.02)
    scores = np.zeros(len(thresholds))
    for sample in samples:
        stated = found.probability(sample.evidence)
        for i, threshold in enumerate(thresholds):
            predicted = (stated >= threshold) & sample.evidence.voted
            both = (predicted & sample.occupied).sum()
            either = (predicted | sample.occupied).sum()
            scores[i] += (both + 1) / (either + 1)

    good = scores >= scores.max() - iou_for_recall * len(samples)
    return Calibration(found.weights, found.free, round(float(thresholds[np.argmax(good)]), 2))


def card(calibration: Calibration, model: str = SHIPPED.parent.name, **origin: Any) -> dict[str, Any]:
    """Returns the calibration of the detector `model` as plain values for its file. origin: further entries that say
    how it was made."""
    return {
        "model": model,
        "weights": dict(zip(FEATURES, calibration.weights, strict=True)),
        "free": calibration.free,
        "threshold": calibration.threshold,
        **origin,
    }


def read_card(path: Path) -> Calibration:
    """Reads the calibration in the file `path`. Raises: InputError that names what is wrong with it."""
    try:
        values = read_json(path, "calibration")
        weights = tuple(float(values["weights"][name]) for name in FEATURES)
        free = float(values["free"])
        threshold = float(values["threshold"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"calibration: {path} is not a detector's card ({type(error).__name__}: {error})") from None

    if set(values["weights"]) != set(FEATURES) or not all(map(math.isfinite, weights)):
        raise InputError(f"calibration: {path} needs one finite weight for each of {', '.join(FEATURES)}")
    if not (0 <= free <= 1 and 0 < threshold < 1):
        raise InputError(f"calibration: {path}: free and threshold must be within 0..1, got {free} and {threshold}")
    return Calibration(weights, free, threshold)


@cache
def load_calibration(folder: Path = SHIPPED.parent) -> Calibration:
    """Reads the calibration that comes with the package in `folder`, once."""
    return read_card(folder / SHIPPED.name)
