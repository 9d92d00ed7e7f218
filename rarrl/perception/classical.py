"""The shipped obstacle detector: SGBM over the disparities that the scene needs, weighted matches, votes per voxel.

pair -> usable? and disparity range (quarter size) -> gray SGBM-3WAY, padded -> speckle, mean over smooth places
     -> block matching at half size, a small network: how far to trust each match -> completion of what was not matched
     -> votes per voxel, weighted by trust -> probability -> state
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from rarrl.perception.calibration import Calibration, Evidence, load_calibration
from rarrl.perception.completion import STEP, Completion, complete
from rarrl.perception.confidence import MatchConfidence, MatchFeatures, clues, load_confidence
from rarrl.perception.opencv_matchers import (
    disparity_range,
    fixed_padded,
    gray,
    least_disparity,
    match_padded,
    sgbm,
)
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import BLOCK, GridSpec, Voxelizer
from rarrl.types import StereoPair, VoxelGrid, VoxelState

NAN = np.float32(np.nan)
"""Marks a pixel without disparity. It has single precision, so that it does not turn float32 images into float64."""

# Matching.
WINDOW = 5
"""Pixels: side of SGBM's window. OpenCV recommends 3 to 11; chosen by hand with SMOOTHNESS."""
SMOOTHNESS = 0.7
"""Factor on the penalties P1 and P2 that OpenCV recommends for SGBM; below 1 it keeps thin things. Chosen by hand."""
WIDE = 0.75
"""Share of the full disparity range. If more is searched, the scene is near, voxels are large in the image, and half of
the rows are enough."""
SPECKLE_PX = 200
"""Pixels: a region of similar disparities that is smaller is removed as noise. Chosen by hand."""
SPECKLE_RANGE = 1.0
"""Pixels of disparity by which neighbours of one region may differ. Chosen by hand."""
SMOOTH_WINDOW = 7
"""Pixels: side of the window over which smooth places are averaged. Chosen by hand."""
SMOOTH_PX = 1.5
"""Pixels of disparity: a window whose values spread further holds an edge and is not averaged. Chosen by hand."""
UNLOCK = np.array([0.0, 0.9, 1.6, 1.8, 1.7, 1.6, 1.3, 0.9, 0.3, -0.4, -1.1, -1.4, -1.5, -1.7, -1.7, -1.6])
"""(16,): what is added to a disparity by its fraction (0 to 15 sixteenths of a pixel), in sixteenths. SGBM's
disparities crowd near whole pixels; this is the median error on rendered pairs, where the matcher errs by less than a
pixel."""
FILL_SIGMA_PX = 1.5
"""Pixels: standard deviation of a completed disparity. Chosen by hand."""

# Whether a pair can be used.
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
MIN_CONFIRMED = 0.15
"""Share of the textured image in which both matchers must agree. Good pairs have 0.4 to 0.85."""
FARTHER_PX = 2
"""Pixels searched below the smallest disparity of the quick look."""
NEARER_PX = 4
"""Pixels searched above the largest one: a quarter-size image does not show how near a small thing is."""
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
    block of 4 x 4 pixels, True where there is something to match."""

    search: SearchRange | None
    why: str
    textured: np.ndarray


def quick_look(left: np.ndarray, right: np.ndarray, rig: CameraRig) -> QuickLook:
    """Matches the pair at quarter size to find which disparities occur and whether the pair can be used at all.

    left, right: (height, width) uint8. The pass also searches disparities that no scene can have (beyond infinity),
    because a swapped pair matches there."""
    size = (-(-left.shape[1] // BLOCK), -(-left.shape[0] // BLOCK))
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (left, right)]
    sloped, bent = (_blurred_change(small[0], kernel) > MIN_TEXTURE for kernel in (SLOPE, BEND))

    # The halo of a lamp has a slope but no bend, the same in both images, and would match at infinity.
    textured = bent & (cv2.dilate(small[0], GLARE) < SATURATED)
    if sloped.mean() < MIN_TEXTURED:
        return QuickLook(None, "the left image is dark or without texture", textured)

    full = disparity_range(rig.width)
    reach = math.ceil((max(rig.doffs, 0.0) + full / 2) / BLOCK)  # how far below 0 to look
    start = -reach
    count = 16 * math.ceil((reach + full / BLOCK) / 16)
    matcher = sgbm(1, start, count, 5)
    matcher.setSpeckleWindowSize(30)
    matcher.setSpeckleRange(1)
    coarse = match_padded(matcher, small[0], small[1], start + count)

    found = coarse[sloped & ~np.isnan(coarse)] * np.float32(left.shape[1] / size[0])
    if len(found) < MIN_MATCHES:
        return QuickLook(None, DO_NOT_MATCH, textured)
    if np.mean(found + rig.doffs < -BLOCK) > MAX_IMPOSSIBLE:
        return QuickLook(None, "matches lie behind infinity: left and right swapped, or not of one time", textured)
    if np.abs(found).max() < BLOCK and cv2.absdiff(small[0], small[1]).mean() < 0.5:
        return QuickLook(None, "left and right are one image", textured)

    least = least_disparity(rig.doffs)
    # The nearest surface may be small: one cell in 500 sets the range. A margin covers what quarter size cannot show.
    low, high = np.quantile(found[found >= least - BLOCK], (0.005, 0.998))
    first = min(max(int(low) - FARTHER_PX, least), full - 16)
    wanted = min(int(high) + NEARER_PX, full) - first

    return QuickLook(SearchRange(first, max(16, 16 * math.ceil(wanted / 16)), least), "", textured)


def match(left: np.ndarray, right: np.ndarray, search: SearchRange) -> np.ndarray:
    """Returns the disparity of each pixel, (height, width) float32 in pixels, NaN where there is none.

    SGBM, then speckles are removed, the bias towards whole pixels is taken out (UNLOCK), and smooth places are
    averaged. If the range is wide, things are near and voxels large in the image, so two rows are matched as one."""
    height, width = left.shape
    wide = search.count > WIDE * disparity_range(width) and height >= 4 * WINDOW
    if wide:
        left, right = (cv2.resize(i, (width, height // 2), interpolation=cv2.INTER_AREA) for i in (left, right))

    matcher = sgbm(1, search.start, search.count, WINDOW, SMOOTHNESS)
    matcher.setSpeckleWindowSize(0)
    matcher.setUniquenessRatio(0)  # the check takes a tenth of the time, and ambiguous matches get a low weight anyway
    fixed = fixed_padded(matcher, left, right, max(search.start + search.count, 0))
    none = 16 * (search.start - 1)

    # To the left of this line the match would lie outside the right image, and SGBM guesses.
    fixed[fixed > 16 * (np.arange(width, dtype=np.int16) + 1)] = none
    if search.start > search.least:  # what lies further away than the range piles up at its end
        fixed[fixed < 16 * (search.start + 1)] = none

    cv2.filterSpeckles(fixed, none, SPECKLE_PX // 2 if wide else SPECKLE_PX, round(16 * SPECKLE_RANGE))
    disparity = smooth(subpixel(none, search.count).take(fixed - none))
    return cv2.resize(disparity, (width, height), interpolation=cv2.INTER_NEAREST) if wide else disparity


@cache
def subpixel(none: int, count: int) -> np.ndarray:
    """Returns a (16 * (count + 2),) float32 table of disparities in pixels, with UNLOCK applied.

    Index i is for `none` + i sixteenths of a pixel; the first entry is NaN."""
    fixed = none + np.arange(16 * (count + 2))
    table = ((fixed + UNLOCK[fixed % 16]) / 16).astype(np.float32)
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


def _blurred_change(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return cv2.blur(np.abs(cv2.filter2D(image, cv2.CV_32F, kernel)), (3, 3))


@dataclass(frozen=True, eq=False)
class Matches:
    """The matches of one pair.

    disparity: (height, width) float32, pixels, NaN where there is none. seen: the features that say how far to trust
    it. textured: bool per block of 4 x 4 pixels, True where there was something to match."""

    disparity: np.ndarray
    seen: MatchFeatures
    textured: np.ndarray


@dataclass(frozen=True)
class Refusal:
    """A pair that cannot be used, and why, in one line for people."""

    why: str


class ClassicalDetector:
    """Detects obstacles in stereo pairs; the head of this file shows the steps.

    threshold: probability from which a voxel counts as occupied. threshold, calibration and trust may be None, which
    means the fitted ones that come with the package."""

    name = "classical"

    def __init__(
        self,
        rig: CameraRig,
        spec: GridSpec,
        threshold: float | None = None,
        calibration: Calibration | None = None,
        trust: MatchConfidence | None = None,
    ) -> None:
        if threshold is not None and not 0.0 < threshold < 1.0:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")

        self._threshold = threshold
        self._calibration = calibration
        self._trust = trust
        self.voxelizer = Voxelizer(rig, spec)

    def detect(self, pair: StereoPair) -> VoxelGrid:
        """Returns the voxels of one pair. All are unknown if the pair cannot be used: `VoxelGrid.refusal` says why.

        Raises: ValueError if the images are not of the camera's size."""
        evidence = self.evidence(pair)
        if isinstance(evidence, Refusal):
            return self.voxelizer.nothing_seen(pair.stamp_s, evidence.why)

        calibration = self._calibration or load_calibration()
        probability = calibration.probability(evidence)
        occupied = evidence.voted & (probability >= (self._threshold or calibration.threshold))
        state = evidence.seen_free * np.uint8(VoxelState.FREE)
        state[occupied] = VoxelState.OCCUPIED

        return self.voxelizer.grid(state, probability, pair.stamp_s)

    def evidence(self, pair: StereoPair) -> Evidence | Refusal:
        """Returns what the pair says about each voxel, or why it cannot be used."""
        found = self.matches(pair)
        if isinstance(found, Refusal):
            return found

        trust = self._trust or load_confidence()
        weight = trust.image(found.seen, *found.disparity.shape)
        return gather(self.voxelizer, found, weight, complete(found.disparity, pair.left))

    def matches(self, pair: StereoPair) -> Matches | Refusal:
        """Returns the pair's disparities and how far to trust them, or why the pair cannot be used."""
        rig = self.voxelizer.rig
        rig.check_size(pair.left)
        left, right = gray(pair.left), gray(pair.right)

        look = quick_look(left, right, rig)
        if look.search is None:
            return Refusal(look.why)

        disparity = match(left, right, look.search)
        width_px = self.voxelizer.width_px(disparity[::2, ::2])
        seen = clues(left, right, look.search.start, look.search.count, disparity, width_px)
        rows, columns = seen.agree.shape

        there = np.repeat(np.repeat(look.textured, BLOCK // 2, axis=0), BLOCK // 2, axis=1)[:rows, :columns]
        if np.count_nonzero(seen.agree & there) < MIN_CONFIRMED * np.count_nonzero(there):
            return Refusal(DO_NOT_MATCH)

        return Matches(disparity, seen, look.textured)


def gather(voxelizer: Voxelizer, found: Matches, weight: np.ndarray, completion: Completion) -> Evidence:
    """Adds up the votes of matched pixels, weighted by `weight` ((height, width) float32), and of completed ones.

    Only matched pixels of textured blocks show that a voxel is free."""
    votes = voxelizer.votes(found.disparity, weight)
    filled = completion.votes * voxelizer.certainty(completion.disparity, np.float32(FILL_SIGMA_PX))
    votes += voxelizer.votes(completion.disparity, filled, STEP)
    return Evidence(votes, voxelizer.seen_through(found.disparity, found.textured))
