"""The quick look at a pair, at quarter size: which disparities occur, where texture is, whether it can be used."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.perception.opencv_matchers import disparity_range, least_disparity, match_padded, sgbm
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import BLOCK

SLOPE = np.array([[-0.5, 0.0, 0.5]], dtype=np.float32)
"""Horizontal first derivative of the image."""
BEND = np.array([[-0.5, 1.0, -0.5]], dtype=np.float32)
"""Horizontal second derivative of the image."""
MIN_TEXTURE = 1.5
"""Gray levels of SLOPE or BEND at quarter size; sensor noise stays below."""
SATURATED = 250
"""Gray level, of 255, from which a pixel counts as glare."""
GLARE = np.ones((9, 9), dtype=np.uint8)
"""Nothing within four blocks of a saturated one counts as texture: the halo of a lamp would match at infinity."""
MIN_TEXTURED = 0.05
"""Share of the image that must show texture. Chosen by hand."""
MIN_MATCHES = 20
"""Cells that the quick look must match. Chosen by hand."""
FARTHER_PX = 6
"""Pixels searched below the farthest surface of the quick look: what only one camera sees must match nothing real."""
NEARER_PX = 4
"""Pixels searched above the largest one: a quarter-size image does not show how near a small thing is."""
BAND_PX = 4
"""Pixels of disparity: width of the bands of which two in a row show the farthest surface."""
IN_BAND = 0.01
"""Share of the matched cells that the farthest surface has in these bands, at least. Chosen on rendered pairs."""
MAX_IMPOSSIBLE = 0.5
"""Share of matches behind infinity; more of them mean swapped or unrelated images."""
DO_NOT_MATCH = "left and right do not match: other scenes or times, rows not aligned, or one camera covered"
"""Why a pair is refused, for the person who reads the diagnostics."""


@dataclass(frozen=True)
class SearchRange:
    """The disparities to search, in pixels: the first one, and how many, which is a multiple of 16. least: the first
    that any scene can have."""

    start: int
    count: int
    least: int = 0


@dataclass(frozen=True, eq=False)
class QuickLook:
    """The result of the quarter-size pass.

    search: None if the pair cannot be used; `why` then holds the reason, for people. textured: (rows, columns) bool per
    block of 4 x 4 pixels, True where there is something to match. coarse: (rows, columns) float32 per block, the
    disparity that was found, in pixels of the full image, NaN where there is none; empty if the pair cannot be used.
    small: (rows, columns) uint8, the left image at quarter size."""

    search: SearchRange | None
    why: str
    textured: np.ndarray
    coarse: np.ndarray
    small: np.ndarray


def quick_look(left: np.ndarray, right: np.ndarray, rig: CameraRig) -> QuickLook:
    """Matches the pair at quarter size to find which disparities occur and whether the pair can be used at all.

    left, right: (height, width) uint8. The pass also searches disparities that no scene can have (beyond infinity),
    because a swapped pair matches there."""
    small = [_quarter(image) for image in (left, right)]
    sloped, bent = (_blurred_change(small[0], kernel) > MIN_TEXTURE for kernel in (SLOPE, BEND))

    # The halo of a lamp has a slope but no bend, the same in both images, and would match at infinity.
    textured = bent & (cv2.dilate(small[0], GLARE) < SATURATED)

    def unusable(why: str) -> QuickLook:
        return QuickLook(None, why, textured, np.empty((0, 0), dtype=np.float32), small[0])

    if sloped.mean() < MIN_TEXTURED:
        return unusable("the left image is dark or without texture")

    full = disparity_range(rig.width)
    reach = math.ceil((max(rig.doffs, 0.0) + full / 2) / BLOCK)  # how far below 0 to look
    start = -reach
    count = 16 * math.ceil((reach + full / BLOCK) / 16)
    matcher = sgbm(1, start, count, 5)
    matcher.setSpeckleWindowSize(30)
    matcher.setSpeckleRange(1)
    coarse = match_padded(matcher, small[0], small[1], start + count)

    coarse *= np.float32(BLOCK)

    found = coarse[sloped & (coarse == coarse)]  # the latter is false for NaN
    if len(found) < MIN_MATCHES:
        return unusable(DO_NOT_MATCH)
    if np.mean(found + rig.doffs < -BLOCK) > MAX_IMPOSSIBLE:
        return unusable("matches lie behind infinity: left and right swapped, or not of one time")
    if np.abs(found).max() < BLOCK and cv2.absdiff(small[0], small[1]).mean() < 0.5:
        return unusable("left and right are one image")

    least = least_disparity(rig.doffs)
    possible = found[found >= least - BLOCK]
    first = min(max(farthest(possible) - FARTHER_PX, least), full - 16)
    # The nearest surface may be small: one cell in 500 sets the range. A margin covers what quarter size cannot show.
    wanted = min(int(np.quantile(possible, 0.998)) + NEARER_PX, full) - first

    search = SearchRange(first, max(16, 16 * math.ceil(wanted / 16)), least)
    return QuickLook(search, "", textured, coarse, small[0])


def farthest(found: np.ndarray) -> int:
    """Returns the disparity, in whole pixels, from which on there are surfaces.

    found: (n,) float32, pixels, n >= 1. False matches, as on smooth or repetitive surfaces, are spread thin over all
    disparities; the farthest surface fills a narrow band."""
    bands = np.floor(found / BAND_PX).astype(np.int64)
    counts = np.bincount(bands - bands.min())
    held = counts + np.append(counts[1:], 0)
    first = int(np.argmax(held >= IN_BAND * len(found)))
    return BAND_PX * (int(bands.min()) + first)


def _quarter(image: np.ndarray) -> np.ndarray:
    """`image` ((height, width) uint8) at quarter size; the last blocks are padded."""
    height, width = image.shape
    whole = cv2.copyMakeBorder(image, 0, -height % BLOCK, 0, -width % BLOCK, cv2.BORDER_REPLICATE)
    for _ in range(2):  # OpenCV has a fast path for halves alone
        whole = cv2.resize(whole, (whole.shape[1] // 2, whole.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return whole


def _blurred_change(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return cv2.blur(np.abs(cv2.filter2D(image, cv2.CV_32F, kernel)), (3, 3))
