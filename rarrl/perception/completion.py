"""What one eye cannot see: disparities of occluded and unmatched pixels, carried on from the surfaces beside them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

STEP = 4  # completion runs on every 4th pixel: a voxel covers about ten
COLOUR_SCALE = 12.0  # mean absolute BGR difference at which a neighbour counts e times less
DISTANCE_SCALE = 20.0  # cells of STEP pixels
TRUST_SCALE = 5.0  # cells to the nearest matched pixel at which a completed one counts e times less
SAME_PX = 1.0  # candidates this close agree
LOWER = 0.4  # quantile of the candidates that is taken: below the median, for what is hidden lies behind


@dataclass(frozen=True, eq=False)
class Completion:
    """disparity: (height, width) float32, px, for the pixels that had none (NaN elsewhere and where nothing is near).
    trust: (height, width) float32 0..1, how much a completed pixel counts beside a matched one."""

    disparity: np.ndarray
    trust: np.ndarray


def complete(disparity: np.ndarray, image: np.ndarray) -> Completion:
    """Carries surfaces on as planes into the pixels where `disparity` ((height, width) float32, px) is NaN.

    Each empty cell looks along eight directions to the first matched cell, extends its plane (disparity and slopes) to
    here, and takes the lower weighted quantile of the candidates, by likeness of colour and by distance. Trust is the
    weighted share of candidates that agree, falling with the distance to the nearest. image: the left one."""
    height, width = disparity.shape
    cells = disparity[STEP // 2 :: STEP, STEP // 2 :: STEP]
    rows, columns = cells.shape
    colours = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    colours = colours.reshape(rows, columns, -1)
    matched = ~np.isnan(cells)
    v, u = np.nonzero(~matched)
    if not len(v) or not matched.any():
        return Completion(np.full_like(disparity, np.nan), np.zeros_like(disparity))
    source = _first_matched(matched)[:, v, u]
    found = source >= 0
    sv, su = np.divmod(np.maximum(source, 0), columns)
    slope_u, slope_v = _slopes(cells)
    plane = cells[sv, su] + slope_u[sv, su] * (u - su) + slope_v[sv, su] * (v - sv)
    candidates = np.where(found, plane, np.float32(0))
    distance = np.hypot(sv - v, su - u)
    unlike = np.abs(colours[sv, su] - colours[v, u]).mean(axis=-1)
    weights = np.where(found, np.exp(-unlike / COLOUR_SCALE - distance / DISTANCE_SCALE), 0.0)

    order = np.argsort(candidates, axis=0)
    candidates = np.take_along_axis(candidates, order, axis=0)
    weights = np.take_along_axis(weights, order, axis=0)
    total = weights.sum(axis=0)
    pick = np.argmax(np.cumsum(weights, axis=0) >= LOWER * total, axis=0)
    value = candidates[pick, np.arange(len(v))]
    agreeing = (weights * (np.abs(candidates - value) <= SAME_PX)).sum(axis=0) / np.maximum(total, 1e-9)
    nearest = np.where(found, distance, np.inf).min(axis=0)
    near_enough = total > 1e-4

    # Cells sample one pixel in sixteen: empty pixels of a matched cell take its disparity.
    filled, trust = cells.copy(), matched.astype(np.float32)
    filled[v, u] = np.where(near_enough, value, np.nan)
    trust[v, u] = np.where(near_enough, agreeing * np.exp(-nearest / TRUST_SCALE), 0.0)
    filled, trust = (_enlarge(cell, height, width) for cell in (filled, trust))
    empty = np.isnan(disparity)
    return Completion(np.where(empty, filled, np.float32(np.nan)), np.where(empty & ~np.isnan(filled), trust, 0))


def _enlarge(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each cell STEP x STEP pixels; the last ones reach to the border."""
    big = np.repeat(np.repeat(cells, STEP, axis=0), STEP, axis=1)[:height, :width]
    pad = ((0, height - big.shape[0]), (0, width - big.shape[1]))
    return np.pad(big, pad, mode="edge") if any(p[1] for p in pad) else big


def _slopes(cells: np.ndarray, window: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) float32 each: mean change of disparity per cell, along u and v; towards 0 where few are known.

    Steps of 1 px a cell or more are edges between things, not slopes."""
    slopes = []
    for axis in (1, 0):
        change = np.full(cells.shape, np.nan, dtype=np.float32)
        inner = np.moveaxis(change, axis, 0)
        along = np.moveaxis(cells, axis, 0)
        inner[1:-1] = (along[2:] - along[:-2]) / 2
        good = np.abs(change) < 1.0  # false for NaN
        total, count = (
            cv2.boxFilter(
                part.astype(np.float32), -1, (window, window), normalize=False, borderType=cv2.BORDER_CONSTANT
            )
            for part in (np.where(good, change, 0), good)
        )
        slopes.append(total / (count + window * window / 4))
    return slopes[0], slopes[1]


def _first_matched(matched: np.ndarray) -> np.ndarray:
    """(8, rows, columns) int32: flat index of the first matched cell along each of eight directions; -1: none."""
    rows, columns = matched.shape
    own = np.where(matched, np.arange(rows * columns, dtype=np.int32).reshape(rows, columns), np.int32(-1))
    across = [_carry(own.T[::way], slanted=True).transpose(1, 2, 0)[:, :, ::way] for way in (1, -1)]
    down = [_carry(own[::way], slanted=False).transpose(1, 0, 2)[:, ::way] for way in (1, -1)]
    return np.concatenate([*across, *down])


def _carry(own: np.ndarray, slanted: bool) -> np.ndarray:
    """(n, 3 or 1, m): `own` ((n, m), -1 = none) with each gap filled from the line before; straight on, and if
    `slanted` also one to the right and one to the left a line."""
    scan = np.repeat(own[:, None], 3 if slanted else 1, axis=1)
    gaps = scan < 0
    for i in range(1, len(scan)):
        before, here, gap = scan[i - 1], scan[i], gaps[i]
        np.copyto(here[0], before[0], where=gap[0])
        if slanted:
            np.copyto(here[1, 1:], before[1, :-1], where=gap[1, 1:])
            np.copyto(here[2, :-1], before[2, 1:], where=gap[2, :-1])
    return scan
