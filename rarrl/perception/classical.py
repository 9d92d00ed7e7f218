"""Our detector without training: SGBM on gray images over the range that the scene needs, refined, completed, voted.

pair -> usable? and disparity range (quarter size) -> gray SGBM-3WAY, padded -> speckle, bilateral
     -> block matching confirms -> completion of what was not matched
     -> votes per voxel, weighted by their certainty -> probability -> state
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.perception.baselines import block_matcher, disparity_range, gray, match_padded, sgbm
from rarrl.perception.calibration import Calibration, Evidence, load_calibration
from rarrl.perception.completion import Completion, complete
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import BLOCK, GridSpec, Voxelizer
from rarrl.types import StereoPair, VoxelGrid, VoxelState

NAN = np.float32(np.nan)
WINDOW = 5
SMOOTHNESS = 0.7
SPECKLE_PX, SPECKLE_RANGE = 200, 1.0
AGREE_PX = 1.0
UNCONFIRMED = 0.3  # weight of a match that block matching does not confirm
MATCH_SIGMA_PX = 0.25  # error of a matched disparity
FILL_SIGMA_PX = 1.5  # error of a completed one
MIN_TEXTURE = 1.5  # gray levels of horizontal change, quarter size; sensor noise stays below
MIN_TEXTURED = 0.05  # share of the image that must show texture
MIN_MATCHES = 20  # cells of the quick look
MIN_CONFIRMED = 0.15  # share of the textured image that both matchers must agree on: good pairs have .4 to .85
MAX_IMPOSSIBLE = 0.5  # share of matches behind infinity: more means swapped or unrelated images


DO_NOT_MATCH = "left and right do not match: other scenes or times, rows not aligned, or one eye covered"


@dataclass(frozen=True)
class SearchRange:
    """Disparities to search, px: `start` and how many, a multiple of 16."""

    start: int
    count: int


@dataclass(frozen=True, eq=False)
class QuickLook:
    """The quarter-size pass. search: None where the pair cannot be used; why: then the reason, for people.
    textured: (rows, columns) bool per block of 4 x 4 pixels: there is something to match on."""

    search: SearchRange | None
    why: str
    textured: np.ndarray


def quick_look(left: np.ndarray, right: np.ndarray, rig: CameraRig) -> QuickLook:
    """Matches the pair at quarter size: which disparities occur, and whether the pair can be what it claims to be.

    left, right: (height, width) uint8. The pass also searches disparities that no scene can have (beyond infinity): a
    swapped pair matches there."""
    size = (-(-left.shape[1] // BLOCK), -(-left.shape[0] // BLOCK))
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (left, right)]
    change = cv2.filter2D(small[0].astype(np.float32), -1, np.array([[-0.5, 0.0, 0.5]], dtype=np.float32))
    textured = cv2.blur(np.abs(change), (3, 3)) > MIN_TEXTURE
    if textured.mean() < MIN_TEXTURED:
        return QuickLook(None, "the left image is dark or without texture", textured)
    full = disparity_range(rig.width)
    reach = math.ceil((max(rig.doffs, 0.0) + full / 2) / BLOCK)  # how far below 0 to look
    start, count = -reach, 16 * math.ceil((reach + full / BLOCK) / 16)
    matcher = sgbm(1, start, count, 5)
    matcher.setSpeckleWindowSize(30)
    matcher.setSpeckleRange(1)
    coarse = match_padded(matcher, small[0], small[1], start + count)
    found = coarse[textured & ~np.isnan(coarse)] * np.float32(left.shape[1] / size[0])
    if len(found) < MIN_MATCHES:
        return QuickLook(None, DO_NOT_MATCH, textured)
    if np.mean(found + rig.doffs < -BLOCK) > MAX_IMPOSSIBLE:
        return QuickLook(None, "matches lie behind infinity: left and right swapped, or not of one time", textured)
    if np.abs(found).max() < BLOCK and cv2.absdiff(small[0], small[1]).mean() < 0.5:
        return QuickLook(None, "left and right are one image", textured)
    # The nearest surface may be small: one cell in 500 sets the range, and a margin for what a quarter cannot show.
    low, high = np.quantile(found, (0.005, 0.998))
    # Below 0 only where the camera's doffs allows it and more than stray matches say so.
    least = -math.ceil(rig.doffs) if rig.doffs > 0 and np.mean(found < -BLOCK) > 0.02 else 0
    first = min(max(int(low) - 2 * BLOCK, least), full - 16)
    wanted = min(int(high) + 3 * BLOCK, full) - first
    return QuickLook(SearchRange(first, max(16, 16 * math.ceil(wanted / 16))), "", textured)


@dataclass(frozen=True, eq=False)
class Matched:
    """disparity, weight: (height, width) float32; px, NaN = none; 1 where two matchers agree."""

    disparity: np.ndarray
    weight: np.ndarray


def match(left: np.ndarray, right: np.ndarray, search: SearchRange) -> Matched:
    """SGBM without speckles, smoothed; averaged with block matching where the two agree.

    Block matching sees less but errs in other ways, and is cheap: what it confirms counts fully, the rest
    UNCONFIRMED. (A Lucas-Kanade step was measured too: no gain on rendered or real pairs, for a fifth of the time.)"""
    margin = max(search.start + search.count, 0)
    smooth_matcher = sgbm(1, search.start, search.count, WINDOW, SMOOTHNESS)
    smooth_matcher.setSpeckleWindowSize(0)
    disparity = match_padded(smooth_matcher, left, right, margin)
    # Left of this line the match would lie outside the right image: SGBM guesses there.
    disparity[disparity > np.arange(disparity.shape[1], dtype=np.float32) + 1] = NAN
    if search.start > 0:  # what lies farther than the range piles up at its end
        disparity[disparity < search.start + 1] = NAN
    disparity = smooth(smooth(without_speckles(disparity)))
    block = match_padded(block_matcher(search.start, search.count), left, right, margin)
    agree = np.abs(disparity - block) < AGREE_PX  # false for NaN
    return Matched(
        np.where(agree, (disparity + block) / 2, disparity), np.where(agree, np.float32(1), np.float32(UNCONFIRMED))
    )


def without_speckles(disparity: np.ndarray) -> np.ndarray:
    """`disparity` without islands of less than SPECKLE_PX pixels."""
    none = -(2**15)
    fixed = np.where(np.isnan(disparity), none, disparity * 16).astype(np.int16)
    kept, _ = cv2.filterSpeckles(fixed, none, SPECKLE_PX, round(16 * SPECKLE_RANGE))
    return np.where(kept == none, NAN, disparity)


def smooth(disparity: np.ndarray) -> np.ndarray:
    """Bilateral filter over 5 x 5 pixels, not across steps of more than about a pixel; NaN stays NaN."""
    none = np.float32(-1e4)
    blurred = cv2.bilateralFilter(np.where(np.isnan(disparity), none, disparity), 5, 1.0, 3.0)
    return np.where(np.isnan(disparity), NAN, blurred)


class ClassicalDetector:
    """See the head of this file. threshold: probability from which a voxel counts as occupied; None: the fitted one."""

    name = "classical"

    def __init__(
        self, rig: CameraRig, spec: GridSpec, threshold: float | None = None, calibration: Calibration | None = None
    ) -> None:
        if threshold is not None and not 0.0 < threshold < 1.0:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        self._threshold, self._calibration = threshold, calibration
        self.voxelizer = Voxelizer(rig, spec)
        self.refusal = ""
        """Why the last pair could not be used; empty where it could."""

    def detect(self, pair: StereoPair) -> VoxelGrid:
        """Voxels of one pair; all unknown where the pair cannot be used (`refusal` then says why).

        Raises: ValueError where the images are not the camera's size."""
        evidence = self.evidence(pair)
        if evidence is None:
            return self.voxelizer.nothing_seen(pair.stamp_s)
        calibration = self._calibration or load_calibration()
        probability = calibration.probability(evidence)
        occupied = (probability >= (self._threshold or calibration.threshold)) & evidence.voted
        state = np.where(
            occupied, VoxelState.OCCUPIED, np.where(evidence.seen_free, VoxelState.FREE, VoxelState.UNKNOWN)
        )
        return self.voxelizer.grid(state.astype(np.uint8), probability, pair.stamp_s)

    def evidence(self, pair: StereoPair) -> Evidence | None:
        """What the pair says about each voxel; None where it cannot be used."""
        rig = self.voxelizer.rig
        rig.check_size(pair.left)
        left, right = gray(pair.left), gray(pair.right)
        look = quick_look(left, right, rig)
        self.refusal = look.why
        if look.search is None:
            return None
        matched = match(left, right, look.search)
        textured = np.repeat(np.repeat(look.textured, BLOCK, axis=0), BLOCK, axis=1)[: rig.height, : rig.width]
        confirmed = textured & (matched.weight == 1)
        if np.count_nonzero(confirmed) < MIN_CONFIRMED * np.count_nonzero(textured):
            self.refusal = DO_NOT_MATCH
            return None
        return gather(self.voxelizer, matched, complete(matched.disparity, pair.left), textured)


def gather(voxelizer: Voxelizer, matched: Matched, completion: Completion, textured: np.ndarray) -> Evidence:
    """Votes of matched and of completed pixels, and what is seen through; free space only by
    matched ones where the image is `textured` ((height, width) bool)."""
    disparity = matched.disparity
    empty = np.isnan(disparity)
    all_of_it = np.where(empty, completion.disparity, disparity)
    sigma_px = np.where(empty, np.float32(FILL_SIGMA_PX), np.float32(MATCH_SIGMA_PX))
    weight = np.where(empty, completion.trust, matched.weight)
    votes = voxelizer.votes(all_of_it, weight * voxelizer.certainty(all_of_it, sigma_px))
    return Evidence(votes, voxelizer.seen_through(np.where(textured, disparity, NAN)))
