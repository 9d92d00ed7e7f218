"""Corners that both cameras of a stereo pair show, matched to a fraction of a pixel in columns *and rows*.

The detector's matchers look along one row and cannot tell that the rows are off: here each patch is free to move."""

from __future__ import annotations

import math

import cv2
import numpy as np

from rarrl.perception.opencv_matchers import disparity_range, gray, match_padded, sgbm
from rarrl.perception.rig import CameraRig

QUARTER = 4
"""Pixels per pixel of the first look at disparities: rows up to about 6 px apart still match there."""
CORNERS = 300
"""Corners looked for in a pair; 100 matched ones fix pitch and roll to 0.01 degrees."""
APART = 60
"""Corners keep an image's width over this apart: they cover the picture, also where little of it is textured."""
WINDOW = 15
"""Pixels: side of the patch that is matched."""
BLUR_PX = 1.0
"""Pixels: the patches are blurred by this, so that interpolation between pixels does not pull matches to whole rows."""
RETURN_PX = 0.3
"""Pixels: a match whose way back ends farther from its corner is wrong."""
MOST_ROWS = 8.0
"""Pixels: views farther apart than this, beside the rows tried, are no match."""
ROWS_TRIED = (8.0, -8.0, 16.0, -16.0)
"""Pixels by which the right image is moved in turn where few corners match: half a degree of pitch is 5 to 11 rows."""
FEW_MATCHED = 0.25
"""Share of the corners: where fewer match, other rows are tried."""
BORDER_PX = 12
"""Pixels: nearer to the edge a patch is cut."""


def match_points(left: np.ndarray, right: np.ndarray, rig: CameraRig) -> tuple[np.ndarray, np.ndarray]:
    """Corners that both images show: two (n, 2) float32, column and row, to a fraction of a pixel.

    left, right: (height, width) or (height, width, 3) uint8. n may be 0."""
    left, right = gray(left), gray(right)
    even, even_right = _even(left), _even(right)
    apart = max(6.0, left.shape[1] / APART)
    corners: np.ndarray | None = cv2.goodFeaturesToTrack(even, CORNERS, 0.02, apart, blockSize=5)
    if corners is None:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)

    corners = corners.reshape(-1, 2)
    best = _matched(left, right, even, even_right, corners, rig)
    for rows in ROWS_TRIED:
        if len(best[0]) >= FEW_MATCHED * len(corners):
            break
        move = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, rows]])
        moved, even_moved = (
            cv2.warpAffine(image, move, image.shape[::-1], flags=cv2.INTER_NEAREST) for image in (right, even_right)
        )
        at, found = _matched(left, moved, even, even_moved, corners, rig)
        if len(at) > len(best[0]):
            best = at, found - np.array([0.0, rows], np.float32)
    return best


def _matched(
    left: np.ndarray, right: np.ndarray, even: np.ndarray, even_right: np.ndarray, corners: np.ndarray, rig: CameraRig
) -> tuple[np.ndarray, np.ndarray]:
    """Those of `corners` that are found in the right image within MOST_ROWS, and where. even: of `_even`."""
    size = (-(-left.shape[1] // QUARTER), -(-left.shape[0] // QUARTER))
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (left, right)]
    reach = math.ceil(max(rig.doffs, 0.0) / QUARTER) + QUARTER  # behind infinity, where yaw moves far things
    count = 16 * math.ceil((disparity_range(rig.width) / QUARTER + reach) / 16)
    coarse = match_padded(sgbm(1, -reach, count, 5), small[0], small[1], count - reach)

    per_px = left.shape[1] / size[0]
    u, v = (np.minimum((corners[:, k] / per_px).astype(int), size[k] - 1) for k in (0, 1))
    disparity = coarse[v, u] * np.float32(per_px)
    known = ~np.isnan(disparity)
    corners = np.ascontiguousarray(corners[known])
    if not len(corners):
        return corners, corners

    guess = corners - np.stack([disparity[known], np.zeros(known.sum(), np.float32)], axis=1)
    found, there = _follow(even, even_right, corners, guess)
    back, again = _follow(even_right, even, found, corners)
    good = there & again & (np.abs(back - corners).max(axis=1) < RETURN_PX)
    good &= np.abs(found[:, 1] - corners[:, 1]) < MOST_ROWS
    for points in (corners, found):
        for k in (0, 1):
            good &= (points[:, k] > BORDER_PX) & (points[:, k] < left.shape[1 - k] - BORDER_PX)
    return corners[good], found[good]


def _even(image: np.ndarray) -> np.ndarray:
    """`image` with its local brightness and contrast taken out: two cameras see one patch differently bright."""
    value = cv2.GaussianBlur(image, (0, 0), BLUR_PX).astype(np.float32)
    window = (WINDOW, WINDOW)
    mean = cv2.blur(value, window)
    spread = cv2.sqrt(np.maximum(cv2.blur(value * value, window) - mean * mean, 0.0))
    value -= mean
    value *= 50 / (spread + 4)  # 50 gray levels a standard deviation; 4 keep noise from being blown up
    return np.clip(np.rint(value + 128.0), 0, 255).astype(np.uint8)


def _follow(start: np.ndarray, end: np.ndarray, points: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where `points` of the image `start` are in `end` (Lucas-Kanade), and which were found."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
    found, there, _ = cv2.calcOpticalFlowPyrLK(
        start, end, points, guess.copy(), None, None, (WINDOW, WINDOW), 1, criteria, cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    return found, there[:, 0] > 0
