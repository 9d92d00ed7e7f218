"""OpenCV's stereo matchers, padded so that the left border is matched too, and the baseline detectors made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.perception.calibration import FREE_SHARE
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import GridSpec, Voxelizer
from rarrl.types import StereoPair, VoxelGrid, VoxelState

RIVALS = ("colour", "gray", "bm", "half")
"""The baselines that the shipped detector is compared with; see `Matcher.kind`."""
NO_DOFFS_PX = 1 / 16
"""Pixels: doffs below the matcher's resolution are rounding of a calibration."""


def gray(image: np.ndarray) -> np.ndarray:
    """Converts a gray or BGR image to (height, width) uint8."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def colour(image: np.ndarray) -> np.ndarray:
    """Converts a gray or BGR image to (height, width, 3) uint8."""
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def disparity_range(width: int) -> int:
    """Returns how many disparities are searched, a multiple of 16: 192 for 880 columns, in proportion for others."""
    return max(16, 16 * round(0.22 * width / 16))


def least_disparity(doffs: float) -> int:
    """Returns the first disparity to search, in pixels: below that of infinity (-doffs) where there are doffs, else 0.

    >>> least_disparity(0.0), least_disparity(15.0), least_disparity(-4.5)
    (0, -16, 4)
    """
    return -math.floor(doffs) - 1 if abs(doffs) >= NO_DOFFS_PX else 0


def match_padded(matcher: cv2.StereoMatcher, left: np.ndarray, right: np.ndarray, margin: int) -> np.ndarray:
    """Returns the disparity, (height, width) float32 in pixels, NaN where there is none.

    OpenCV leaves the left `margin` columns empty, so the images are padded by as many."""
    raw = fixed_padded(matcher, left, right, margin)
    floor = 16 * matcher.getMinDisparity()
    return np.where(raw >= floor, raw / np.float32(16), np.float32(np.nan))


def fixed_padded(matcher: cv2.StereoMatcher, left: np.ndarray, right: np.ndarray, margin: int) -> np.ndarray:
    """Does the same in OpenCV's format: (height, width) int16 in 1/16 pixel; below 16 * the least disparity is none."""
    pads = [cv2.copyMakeBorder(image, 0, 0, margin, 0, cv2.BORDER_REPLICATE) for image in (left, right)]
    return np.ascontiguousarray(matcher.compute(*pads)[:, margin:])


def sgbm(channels: int, min_disparity: int, n_disparities: int, window: int, smoothness: float = 1.0) -> cv2.StereoSGBM:
    """Makes a StereoSGBM in 3WAY mode; `smoothness` scales the P1 and P2 that OpenCV recommends."""
    return cv2.StereoSGBM.create(
        minDisparity=min_disparity,
        numDisparities=n_disparities,
        blockSize=window,
        P1=round(8 * smoothness * channels * window**2),
        P2=round(32 * smoothness * channels * window**2),
        disp12MaxDiff=1,
        preFilterCap=63,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )


def block_matcher(min_disparity: int, n_disparities: int, window: int = 15) -> cv2.StereoBM:
    """Makes a StereoBM with a square window of `window` pixels a side."""
    block = cv2.StereoBM.create(n_disparities, window)
    block.setMinDisparity(min_disparity)
    block.setSpeckleWindowSize(100)
    block.setSpeckleRange(2)
    block.setDisp12MaxDiff(1)

    return block


@dataclass(frozen=True)
class Matcher:
    """How a baseline finds disparities. kind: `colour`, `gray`, `half` (gray at half size) or `bm`. n_disparities:
    pixels that are searched, a multiple of 16, from `start` on (at most 0)."""

    kind: str
    n_disparities: int
    start: int = 0

    def disparity(self, pair: StereoPair) -> np.ndarray:
        """Returns the disparity of a pair, (height, width) float32 in pixels, NaN where there is none."""
        if self.kind == "colour":
            matcher = sgbm(3, self.start, self.n_disparities, 5)
            return match_padded(matcher, colour(pair.left), colour(pair.right), self.n_disparities)

        left, right = gray(pair.left), gray(pair.right)
        if self.kind == "gray":
            return match_padded(sgbm(1, self.start, self.n_disparities, 5), left, right, self.n_disparities)
        if self.kind == "bm":
            return match_padded(block_matcher(self.start, self.n_disparities), left, right, self.n_disparities)

        size = (left.shape[1] // 2, left.shape[0] // 2)
        small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (left, right)]
        half = max(16, 16 * round(self.n_disparities / 32))
        found = match_padded(sgbm(1, self.start // 2, half, 5), small[0], small[1], half)
        scale = np.float32(left.shape[1] / size[0])

        return cv2.resize(found, left.shape[::-1], interpolation=cv2.INTER_NEAREST) * scale


class CountDetector:
    """A baseline detector: a voxel is occupied if at least `min_points` matched pixels fall into it.

    from_zero: it searches from disparity 0 on, whatever the doffs. That takes fewer disparities, and is better where
    nothing lies farther away than 0 px."""

    def __init__(self, name: str, rig: CameraRig, spec: GridSpec, min_points: int = 1, from_zero: bool = False) -> None:
        if min_points < 1:
            raise ValueError(f"min_points must be >= 1, got {min_points}")

        self.name = name
        self.min_points = min_points
        self.voxelizer = Voxelizer(rig, spec)
        start = 0 if from_zero else min(least_disparity(rig.doffs), 0)
        searched = 16 * math.ceil((disparity_range(rig.width) - start) / 16)
        self.matcher = Matcher(name, searched, start)

    def detect(self, pair: StereoPair) -> VoxelGrid:
        """Returns the voxels of one pair. Raises: ValueError if the images are not of the camera's size."""
        self.voxelizer.rig.check_size(pair.left)
        return self.voxelize(self.matcher.disparity(pair), pair.stamp_s)

    def occupied(self, pair: StereoPair) -> np.ndarray:
        """Returns the occupied voxels alone, (size, size, size) bool: the least that a user must compute."""
        return self.voxelizer.hits(self.matcher.disparity(pair)) >= self.min_points

    def voxelize(self, disparity: np.ndarray, stamp_s: float) -> VoxelGrid:
        """Makes voxels of a disparity image: occupied by count, free where seen through.

        There is no calibration: the probability is 0, 0.5 or 1."""
        occupied = self.voxelizer.hits(disparity) >= self.min_points
        free = ~occupied & (self.voxelizer.seen_through(disparity) >= FREE_SHARE)
        state = np.where(occupied, VoxelState.OCCUPIED, np.where(free, VoxelState.FREE, VoxelState.UNKNOWN))
        probability = np.where(occupied, 1.0, np.where(free, 0.0, 0.5))
        return self.voxelizer.grid(state.astype(np.uint8), probability.astype(np.float32), stamp_s)
