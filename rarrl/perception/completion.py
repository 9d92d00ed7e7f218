"""Disparities for occluded and unmatched pixels, extended from the surfaces beside them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

STEP = 4
"""Pixels from one completed pixel to the next. A voxel covers about ten, so every fourth is enough."""
COLOUR_SCALE = 12.0
"""Mean absolute BGR difference (0 to 255) at which a neighbour counts e times less. Chosen by hand."""
DISTANCE_SCALE = 20.0
"""Distance at which a neighbour counts e times less, in cells of STEP pixels. Chosen by hand."""
TRUST_SCALE = 5.0
"""Distance to the nearest matched cell at which a completed one counts e times less, in cells. Chosen by hand."""
SAME_PX = 1.0
"""Pixels: candidates whose disparities lie this close agree. Chosen by hand."""
LOWER = 0.4
"""Quantile of the candidates that is taken. It is below the median because what is hidden lies behind."""


@dataclass(frozen=True, eq=False)
class Completion:
    """One cell for STEP x STEP pixels, around the pixel in its middle (every STEP-th one, from STEP // 2 on).

    disparity: (rows, columns) float32, pixels; a matched cell keeps its own, NaN means that nothing is near.
    votes: (rows, columns) float32, the number of pixels of the cell without disparity times their weight, where a
    matched pixel has weight 1."""

    disparity: np.ndarray
    votes: np.ndarray


def complete(disparity: np.ndarray, image: np.ndarray) -> Completion:
    """Extends surfaces as planes into the pixels where `disparity` ((height, width) float32, pixels) is NaN.

    Each empty cell looks along eight directions for the first matched cell, extends that cell's plane (disparity and
    slopes) to itself, and takes a low quantile of these candidates, weighted by likeness of colour and by distance. Its
    trust is the weighted share of candidates that agree; it falls with the distance to the nearest. image: the left
    one, uint8."""
    cells = np.ascontiguousarray(disparity[STEP // 2 :: STEP, STEP // 2 :: STEP])
    empty = empty_share(disparity, cells.shape) * np.float32(disparity.size / cells.size)
    return extend(cells, empty, cv2.resize(image, cells.shape[::-1], interpolation=cv2.INTER_AREA))


def empty_share(disparity: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the share of pixels without disparity, 0 to 1, in each of rows and columns of cells; `shape` float32."""
    gaps = np.isnan(disparity).view(np.uint8) * np.uint8(240)
    return cv2.resize(gaps, shape[::-1], interpolation=cv2.INTER_AREA) * np.float32(1 / 240)


def extend(cells: np.ndarray, empty: np.ndarray, image: np.ndarray) -> Completion:
    """Does the same for cells: `disparity` in their middle, number of pixels without one, and colour.

    cells, empty: (rows, columns) float32. image: (rows, columns) or (rows, columns, 3) uint8."""
    columns = cells.shape[1]
    matched = cells == cells  # false for NaN

    v, u = np.nonzero(~matched)
    if not len(v) or not matched.any():
        return Completion(cells, np.where(matched, empty, 0))

    source = _first_matched(matched, v, u)
    found = source >= 0
    source = np.maximum(source, 0)

    # The plane of each source, extended to the empty cell.
    sv, su = np.divmod(source, np.int32(columns))
    slope_u, slope_v = _slopes(cells)
    dv = (v - sv).astype(np.float32)
    du = (u - su).astype(np.float32)
    candidates = np.where(found, cells.take(source) + slope_u.take(source) * du + slope_v.take(source) * dv, 0)

    distance = np.sqrt(du * du + dv * dv)
    planes = [plane.astype(np.float32) for plane in cv2.split(image)]  # one at a time: means over three are slow
    own = v * columns + u
    unlike = sum(np.abs(plane.take(source) - plane.take(own)) for plane in planes) * np.float32(1 / len(planes))
    weights = np.where(found, np.exp(-unlike / np.float32(COLOUR_SCALE) - distance / np.float32(DISTANCE_SCALE)), 0)

    total = weights.sum(axis=0)
    value = _lower_quantile(candidates, weights, LOWER * total)
    agreeing = (weights * (np.abs(candidates - value) <= SAME_PX)).sum(axis=0) / np.maximum(total, 1e-9)
    nearest = np.where(found, distance, np.inf).min(axis=0)
    near_enough = total > 1e-4

    # A cell samples one pixel in sixteen, so the empty pixels of a matched cell take its disparity.
    filled = cells.copy()
    trust = matched.astype(np.float32)
    filled[v, u] = np.where(near_enough, value, np.nan)
    trust[v, u] = np.where(near_enough, agreeing * np.exp(-nearest / TRUST_SCALE), 0)

    return Completion(filled, empty * trust)


def _lower_quantile(values: np.ndarray, weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns, (n,), the least of `values` ((k, n)) at which its weight and those of all below it reach `wanted`."""
    least = np.full(values.shape[1], np.inf, dtype=np.float32)
    for value in values:  # k is small, so comparing each value with all others is quicker than sorting
        reached = np.einsum("kn,kn->n", weights, (values <= value).astype(np.float32))
        np.minimum(least, value, out=least, where=(value < least) & (reached >= wanted))
    return np.where(least < np.inf, least, values.max(axis=0))


def _slopes(cells: np.ndarray, window: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean change of disparity per cell along u and v, (rows, columns) float32 each.

    It tends to 0 where few cells are known. Steps of 1 px a cell or more are edges between things, not slopes."""
    slopes = []
    for axis in (1, 0):
        change = np.full(cells.shape, np.nan, dtype=np.float32)
        inner = np.moveaxis(change, axis, 0)
        along = np.moveaxis(cells, axis, 0)
        inner[1:-1] = (along[2:] - along[:-2]) / 2
        good = np.abs(change) < 1.0  # false for NaN
        total, count = (
            cv2.boxFilter(part, cv2.CV_32F, (window, window), normalize=False, borderType=cv2.BORDER_CONSTANT)
            for part in (np.where(good, change, 0), good.view(np.uint8))
        )
        slopes.append(total / (count + window * window / 4))

    return slopes[0], slopes[1]


def _first_matched(matched: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Returns the flat index of the first matched cell from (v, u) along each of eight directions; (8, n) int32, -1:
    none.

    Along a line of cells, left to right or top to bottom, flat indices rise, so the last matched one so far is a
    running maximum. Diagonals become columns if every row is shifted by one more cell, that is, read with another row
    length."""
    rows, columns = matched.shape
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    none = np.int32(rows * columns)
    stride = columns + rows
    up = np.where(matched, index, -1)
    down = np.where(matched, index, none)

    found = []
    for axis in (1, 0):
        found += [
            np.maximum.accumulate(up, axis=axis)[v, u],
            np.flip(np.minimum.accumulate(np.flip(down, axis), axis=axis), axis)[v, u],
        ]

    for first, length in ((0, stride - 1), (rows, stride + 1)):
        at = v, u + first + (stride - length) * v
        for own, accumulate, way, nothing in ((up, np.maximum, 1, -1), (down, np.minimum, -1, none)):
            padded = np.full(rows * (stride + 1), nothing, dtype=np.int32)
            padded[: rows * stride].reshape(rows, stride)[:, first : first + columns] = own
            lines = padded[: rows * length].reshape(rows, length)
            found.append(accumulate.accumulate(lines[::way], axis=0)[::way][at])

    return np.stack([np.where(f == none, -1, f) for f in found])
