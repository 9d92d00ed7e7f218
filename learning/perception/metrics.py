"""Metrics of occupied voxels: those of StereoVoxelNet (arXiv 2209.08459), within-one-voxel, and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """(I + 1) / (U + 1) of two bool arrays of one shape, as StereoVoxelNet computes it.

    >>> iou(np.array([1, 1, 0], bool), np.array([0, 1, 1], bool))
    0.5
    """
    return float((np.count_nonzero(predicted & truth) + 1) / (np.count_nonzero(predicted | truth) + 1))


def dilate(mask: np.ndarray) -> np.ndarray:
    """`mask` (3-D bool) grown by one voxel along each axis and diagonal (26 neighbours)."""
    grown = mask
    for axis in range(3):
        padded = np.moveaxis(grown, axis, 0)
        wider = padded.copy()
        wider[1:] |= padded[:-1]
        wider[:-1] |= padded[1:]
        grown = np.moveaxis(wider, 0, axis)

    return grown


def within_one(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Precision and recall, 0..1, where a voxel counts as right if the other set has one among its 27 neighbours.

    Precision of an empty prediction is 1 (it says nothing wrong); recall of an empty truth is 1."""
    n_predicted = np.count_nonzero(predicted)
    n_truth = np.count_nonzero(truth)
    precision = np.count_nonzero(predicted & dilate(truth)) / n_predicted if n_predicted else 1.0
    recall = np.count_nonzero(truth & dilate(predicted)) / n_truth if n_truth else 1.0
    return float(precision), float(recall)


def _mean_nearest(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows of `a` of the squared distance to the nearest row of `b`; whole numbers, exact."""
    bb = (b * b).sum(axis=1)
    nearest = np.concatenate(
        [
            (bb - 2 * (chunk @ b.T)).min(axis=1) + (chunk * chunk).sum(axis=1)
            for chunk in np.array_split(a, 1 + len(a) // 512)
        ]
    )
    return float(nearest.mean())


def chamfer(predicted: np.ndarray, truth: np.ndarray, voxel_size: float) -> float:
    """Mean squared distance from each occupied voxel to the nearest of the other set, both ways, summed; m^2.

    Two empty grids agree (0); if only one is empty the distance is the grid's squared diagonal, both ways."""
    a, b = (np.argwhere(mask).astype(np.float32) for mask in (predicted, truth))
    if not len(a) and not len(b):
        return 0.0
    if not len(a) or not len(b):
        return float(2 * voxel_size**2 * sum(n * n for n in predicted.shape))

    return voxel_size**2 * (_mean_nearest(a, b) + _mean_nearest(b, a))


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram: per bin of stated probability its mean, the share that was occupied, and the count."""

    stated: np.ndarray
    observed: np.ndarray
    count: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over voxels of |stated - observed| of their bin (Guo et al., 2017)."""
        total = self.count.sum()
        return float((self.count * np.abs(self.stated - self.observed)).sum() / total) if total else 0.0

    @classmethod
    def of(cls, probability: np.ndarray, occupied: np.ndarray, bins: int = 10) -> Reliability:
        """From probabilities in 0..1 and what was true (bool), both (n,)."""
        index = np.minimum((np.asarray(probability) * bins).astype(int), bins - 1)
        count = np.bincount(index, minlength=bins)
        safe = np.maximum(count, 1)
        return cls(
            np.bincount(index, weights=probability, minlength=bins) / safe,
            np.bincount(index, weights=np.asarray(occupied, dtype=float), minlength=bins) / safe,
            count,
        )

    def __add__(self, other: Reliability) -> Reliability:
        count = self.count + other.count
        safe = np.maximum(count, 1)
        return Reliability(
            (self.stated * self.count + other.stated * other.count) / safe,
            (self.observed * self.count + other.observed * other.count) / safe,
            count,
        )
