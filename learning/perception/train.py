"""Fits the detector on pairs with truth: the confidence of a match, then the probability of a voxel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.files import sha256, write_bytes_atomic, write_json_atomic
from rarrl.perception.calibration import IOU_FOR_RECALL, Calibration, Sample, card, fit, sigmoid
from rarrl.perception.classical import ClassicalDetector, Refusal
from rarrl.perception.confidence import BIAS, FEATURES, SHIPPED, WIDTH, MatchConfidence
from rarrl.perception.voxels import truth_voxels

from .scenes import Scene

UNITS = 8  # of the hidden layer: few, since the network runs on every match of every frame
PIXELS = 1500  # matches taken from a pair: neighbours say much the same
EPOCHS = 12
BATCH = 4096  # matches
RATE = 1e-2  # Adam's learning rate at the start; it falls linearly to zero
SPREAD = 0.7  # of the logarithm of the voxels' width while training: the network must serve any voxel


@dataclass(frozen=True, eq=False)
class Examples:
    """features: (len(FEATURES), n) float32 of n matches. error: (n,) float32, how far off they are, px."""

    features: np.ndarray
    error: np.ndarray


def examples(detector: ClassicalDetector, scene: Scene, rng: np.random.Generator) -> Examples | None:
    """Some matches of a scene; None where the pair is refused or has next to no truth where it was matched."""
    found = detector.matches(scene.pair)
    if isinstance(found, Refusal):
        return None

    error = np.abs(found.seen.disparity - found.seen.pick(scene.disparity)).ravel()
    judged = np.flatnonzero(error == error)  # matched, and with truth
    if len(judged) < PIXELS // 10:
        return None

    picked = rng.choice(judged, min(PIXELS, len(judged)), replace=False)
    return Examples(found.seen.features.reshape(len(FEATURES), -1)[:, picked], error[picked])


def fit_confidence(parts: Sequence[Examples], seed: int) -> tuple[MatchConfidence, float]:
    """The network, and its loss (nats per match) in the last epoch. A match is right if it errs by less than half of
    its voxel's width. Adam with a falling rate (Kingma and Ba, 2015)."""
    x = np.concatenate([p.features for p in parts], axis=1)
    error = np.concatenate([p.error for p in parts])
    mean, scale = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    mean[BIAS] = 0
    scale[BIAS] = 1
    rng = np.random.default_rng(seed)
    k, n = x.shape
    weights = [rng.normal(0, (2 / k) ** 0.5, (UNITS, k)), rng.normal(0, UNITS**-0.5, UNITS + 1)]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    steps = EPOCHS * -(-n // BATCH)

    step = 0
    losses = np.zeros(0)
    for _ in range(EPOCHS):
        order = rng.permutation(n)
        losses = np.zeros(0)
        for batch in (order[i : i + BATCH] for i in range(0, n, BATCH)):
            stretch = rng.normal(0, SPREAD, len(batch))
            raw = x[:, batch].astype(np.float64)
            raw[WIDTH] += stretch
            right = error[batch] < 0.5 * np.exp(raw[WIDTH])
            loss, gradients = _loss(weights, (raw - mean) / scale, right)
            losses = np.append(losses, loss)
            step += 1
            rate = RATE * (1 - step / (steps + 1))
            for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                w -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)

    hidden, out = weights
    hidden = hidden / scale.T  # the scaling of the inputs becomes part of the first layer
    hidden[:, BIAS] -= hidden @ mean[:, 0]
    return MatchConfidence(hidden.astype(np.float32), out.astype(np.float32)), float(losses.mean())


def _loss(weights: list[np.ndarray], x: np.ndarray, right: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Mean cross entropy of a batch (features in columns), and its gradients by back-propagation."""
    hidden, out = weights
    inner = np.maximum(hidden @ x, 0)
    stated = sigmoid(out[:-1] @ inner + out[-1])
    loss = -np.mean(np.log(np.where(right, stated, 1 - stated) + 1e-12))
    wrong = (stated - right) / x.shape[1]
    back = np.outer(out[:-1], wrong) * (inner > 0)
    return float(loss), [back @ x.T, np.append(inner @ wrong, wrong.sum())]


@dataclass(frozen=True, eq=False)
class TrainedDetector:
    """What training found. loss: of `trust`, nats per match. used: pairs that were not refused."""

    trust: MatchConfidence
    calibration: Calibration
    loss: float
    used: int


def train(
    scenes: Callable[[], Iterable[Scene]],
    seed: int,
    progress: Callable[[str], None] | None = None,
    make: Callable[..., ClassicalDetector] = ClassicalDetector,
    iou_for_recall: float = IOU_FOR_RECALL,
) -> TrainedDetector:
    """Fits trust, then with it the calibration. `scenes()` is called twice, so that they need not be kept.

    make: called with a camera, a cube and, by name, `trust`: the detector that they are fitted for.
    iou_for_recall: of its threshold, as IOU_FOR_RECALL.

    Raises: InputError where too few pairs can be used."""
    rng = np.random.default_rng(seed)
    parts = [
        part for scene, detector in _each(scenes(), None, progress, make) if (part := examples(detector, scene, rng))
    ]
    if len(parts) < 2:
        raise InputError(f"training: {len(parts)} pairs can be used, 2 are needed; give more pairs")

    trust, loss = fit_confidence(parts, seed)
    samples = []
    for scene, detector in _each(scenes(), trust, progress, make):
        evidence = detector.evidence(scene.pair)
        if not isinstance(evidence, Refusal):
            truth = truth_voxels(detector.voxelizer, scene.disparity)
            samples.append(Sample(evidence, truth.occupied, truth.observed))

    return TrainedDetector(trust, fit(samples, iou_for_recall), loss, len(samples))


def save(
    trained: TrainedDetector, out: Path, model: str = ClassicalDetector.model.name, **origin: Any
) -> dict[str, Any]:
    """Writes the network beside `out` and, last, the card with the network's hash to `out`. Returns: the card."""
    weights = trained.trust.to_bytes()
    made = card(
        trained.calibration,
        model,
        **origin,
        used=trained.used,
        date=date.today().isoformat(),
        metrics={"trust_nats_per_match": round(trained.loss, 4)},
        files={SHIPPED.name: sha256(weights)},
    )
    write_bytes_atomic(out.with_name(SHIPPED.name), weights)
    write_json_atomic(out, made)

    return made


def _each(
    scenes: Iterable[Scene],
    trust: MatchConfidence | None,
    progress: Callable[[str], None] | None,
    make: Callable[..., ClassicalDetector],
) -> Iterator[tuple[Scene, ClassicalDetector]]:
    for scene in scenes:
        if progress:
            progress(scene.name)
        yield scene, make(scene.rig, scene.spec, trust=trust)
