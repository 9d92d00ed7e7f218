"""Semi-global matching over the disparities that a scene needs, and what is done to its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from rarrl.perception.opencv_matchers import disparity_range, fixed_padded, sgbm
from rarrl.perception.quick_look import SearchRange

NAN = np.float32(np.nan)
"""Marks a pixel without disparity. It has single precision, so that it does not turn float32 images into float64."""
WIDE = 0.85
"""Share of the full disparity range. If more is searched, the scene is near, voxels are large in the image, and half of
the resolution is enough."""
SPECKLE_RANGE = 1.0
"""Pixels of disparity by which neighbours of one region may differ. Chosen by hand."""
SMOOTH_WINDOW = 7
"""Pixels: side of the window over which smooth places are averaged. Chosen by hand."""
SMOOTH_PX = 1.5
"""Pixels of disparity: a window whose values spread further holds an edge and is not averaged. Chosen by hand."""
UNLOCK = (0.0, 0.9, 1.6, 1.8, 1.7, 1.6, 1.3, 0.9, 0.3, -0.4, -1.1, -1.4, -1.5, -1.7, -1.7, -1.6)
"""What is added to a disparity by its fraction (0 to 15 sixteenths of a pixel), in sixteenths. SGBM's
disparities crowd near whole pixels; this is the median error on rendered pairs, where the matcher errs by less than a
pixel."""


@dataclass(frozen=True)
class Shrunk:
    """How many rows, and how many columns, of the images are matched as one."""

    rows: int = 1
    columns: int = 1


@dataclass(frozen=True)
class Matching:
    """How a pair is matched.

    window: side of SGBM's window, pixels of the matched images. smoothness: factor on the penalties P1 and P2 that
    OpenCV recommends; below 1 it keeps thin things. uniqueness_percent: by how much the best match must beat the second
    best; 0 leaves the check out. speckle_px: a smaller region of similar disparities is removed as noise, pixels.
    averaged: smooth places are averaged. usual, wide: what is matched as one, and where WIDE applies. unlock: as
    UNLOCK."""

    window: int
    smoothness: float
    uniqueness_percent: int
    speckle_px: int
    averaged: bool
    usual: Shrunk
    wide: Shrunk
    unlock: tuple[float, ...] = UNLOCK


ACCURATE = Matching(5, 0.7, 0, 200, averaged=True, usual=Shrunk(), wide=Shrunk(rows=2))
"""Of the preset `accurate`. No uniqueness check: it takes a tenth of the time, and ambiguous matches get a low weight
anyway. Chosen by hand."""


def match(left: np.ndarray, right: np.ndarray, search: SearchRange, how: Matching = ACCURATE) -> np.ndarray:
    """Returns disparities, (height // how.usual.rows, width) float32 in pixels of the full image, NaN where there is
    none.

    left, right: (height, width) uint8. SGBM, then speckles are removed, the bias towards whole pixels is taken out, and
    smooth places are averaged."""
    height, width = left.shape
    wide = search.count > WIDE * disparity_range(width) and height >= 20
    shrunk = how.wide if wide else how.usual
    size = (width // shrunk.columns, height // shrunk.rows)
    left, right = (_shrink(image, shrunk) for image in (left, right))

    start = search.start // shrunk.columns
    end = -(-(search.start + search.count) // shrunk.columns)
    count = 16 * math.ceil((end - start) / 16)
    matcher = sgbm(1, start, count, how.window, how.smoothness)
    matcher.setSpeckleWindowSize(0)
    matcher.setUniquenessRatio(how.uniqueness_percent)
    fixed = fixed_padded(matcher, left, right, max(start + count, 0))
    none = 16 * (start - 1)

    # To the left of this line the match would lie outside the right image, and SGBM guesses.
    fixed[fixed > 16 * (np.arange(size[0], dtype=np.int16) + 1)] = none
    if search.start > search.least:  # what lies further away than the range piles up at its end
        fixed[fixed < 16 * (start + 1)] = none

    speckle_px = how.speckle_px // (shrunk.rows * shrunk.columns)
    cv2.filterSpeckles(fixed, none, speckle_px, round(16 * SPECKLE_RANGE))
    disparity = subpixel(none, count, how.unlock, width / size[0]).take(fixed - none)
    if how.averaged:
        disparity = smooth(disparity)

    whole = (width, height // how.usual.rows)
    return disparity if size == whole else cv2.resize(disparity, whole, interpolation=cv2.INTER_NEAREST)


def _shrink(image: np.ndarray, shrunk: Shrunk) -> np.ndarray:
    """The mean of each `shrunk.rows` rows and `shrunk.columns` columns, of which there are one or two."""
    height, width = (image.shape[0] // shrunk.rows, image.shape[1] // shrunk.columns)
    if shrunk == Shrunk(2):  # ten times quicker than resizing
        return cv2.addWeighted(image[: 2 * height : 2], 0.5, image[1 : 2 * height : 2], 0.5, 0)
    return cv2.resize(
        image[: shrunk.rows * height, : shrunk.columns * width], (width, height), interpolation=cv2.INTER_AREA
    )


@cache
def subpixel(none: int, count: int, unlock: tuple[float, ...], scale: float = 1.0) -> np.ndarray:
    """Returns a (16 * (count + 2),) float32 table of disparities in pixels, times `scale`, with `unlock` added.

    Index i is for `none` + i sixteenths of a pixel; the first entry is NaN."""
    fixed = none + np.arange(16 * (count + 2))
    table = ((fixed + np.asarray(unlock)[fixed % 16]) * (scale / 16)).astype(np.float32)
    table[0] = NAN
    return table


def smooth(disparity: np.ndarray) -> np.ndarray:
    """Averages over SMOOTH_WINDOW^2 pixels wherever these lie within SMOOTH_PX of each other; the rest stays as it
    is."""
    known = disparity == disparity
    filled = np.where(known, disparity, np.float32(-1e4))
    window = np.ones((SMOOTH_WINDOW, SMOOTH_WINDOW), dtype=np.uint8)
    flat = cv2.dilate(filled, window) - cv2.erode(filled, window) < SMOOTH_PX
    return np.where(flat & known, cv2.blur(filled, (SMOOTH_WINDOW, SMOOTH_WINDOW)), disparity)
