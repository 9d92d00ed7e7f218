"""The fast obstacle detector, for small computers: the accurate one's steps, with pairs of rows matched as one.

pair -> usable? and disparity range (quarter size) -> gray SGBM-3WAY on pairs of rows, with its uniqueness check
     -> the network, at one pixel in sixteen: how far the quick look agrees -> completion, votes, probability, state
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from rarrl.perception.calibration import SHIPPED, Calibration, Evidence
from rarrl.perception.classical import ClassicalDetector, Matches, Refusal, gather
from rarrl.perception.completion import empty_share, extend
from rarrl.perception.confidence import MatchConfidence, coarse_clues
from rarrl.perception.matching import Matching, Shrunk, match
from rarrl.perception.opencv_matchers import gray
from rarrl.perception.quick_look import DO_NOT_MATCH, SearchRange, quick_look
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import BLOCK, GridSpec
from rarrl.types import StereoPair

ROWS = 2
"""Rows of the image that are matched as one."""
UNLOCK = (-0.3, 0.7, 1.1, 1.4, 1.3, 1.2, 1.0, 0.7, 0.3, -0.5, -1.0, -1.2, -1.4, -1.4, -1.4, -1.3)
"""As `matching.UNLOCK`, for FAST: the smaller window crowds less."""
FAST = Matching(3, 0.5, 5, 200, averaged=False, usual=Shrunk(ROWS), wide=Shrunk(ROWS, 2), unlock=UNLOCK)
"""Chosen by hand with the real pairs in view (docs/explanation/detector.md); benchmarks/detector_ideas.py compares."""
QUICK = replace(FAST, usual=Shrunk(ROWS, 2))
"""As FAST, with pairs of columns matched as one too, however near the scene is."""
MIN_CONFIRMED = 0.15
"""Share of the textured image in which the quick look must agree."""


class FastDetector(ClassicalDetector):
    """Detects obstacles in a third of the time, a little less accurately; the head of this file shows the steps.

    how: how pairs are matched; None: as `matching` says. The other arguments are those of `ClassicalDetector`."""

    name: ClassVar[str] = "fast"
    model: ClassVar[Path] = SHIPPED.parents[1] / "fast-detector"
    cost: ClassVar[float] = 0.5
    iou_for_recall: ClassVar[float] = 0.002  # less than the accurate one's, whose IoU is further above the rivals'
    matching: ClassVar[Matching] = FAST

    def __init__(
        self,
        rig: CameraRig,
        spec: GridSpec,
        threshold: float | None = None,
        calibration: Calibration | None = None,
        trust: MatchConfidence | None = None,
        how: Matching | None = None,
    ) -> None:
        super().__init__(rig, spec, threshold, calibration, trust)
        self.how = how or self.matching

    def evidence(self, pair: StereoPair) -> Evidence | Refusal:
        """Returns what the pair says about each voxel, or why it cannot be used."""
        found = self.matches(pair)
        if isinstance(found, Refusal):
            return found

        disparity = found.disparity
        cells = found.seen.disparity
        rows, columns = cells.shape
        weight = np.pad(ROWS**2 * self.trust.of(found.seen), ((0, 1), (0, 1)), mode="edge")
        size = (BLOCK * (columns + 1), BLOCK // ROWS * (rows + 1))
        weight = cv2.resize(weight, size, interpolation=cv2.INTER_NEAREST)[: disparity.shape[0], : disparity.shape[1]]

        # Whole blocks only, because OpenCV is several times quicker where sizes are multiples.
        image = pair.left[: rows * BLOCK, : columns * BLOCK]
        empty = empty_share(disparity[: rows * BLOCK // ROWS, : columns * BLOCK], cells.shape) * np.float32(BLOCK**2)
        completion = extend(cells, empty, cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA))

        return gather(self.voxelizer, found, weight, completion)

    def matches(self, pair: StereoPair) -> Matches | Refusal:
        """Returns the pair's disparities, of pairs of rows, and how far to trust them, or why it cannot be used."""
        rig = self.voxelizer.rig
        rig.check_size(pair.left)
        left, right = (gray(image)[: rig.height // ROWS * ROWS] for image in (pair.left, pair.right))

        look = quick_look(left, right, rig)
        if look.search is None:
            return Refusal(look.why)

        disparity = self.disparity(left, right, look.search)
        cells = np.ascontiguousarray(disparity[1::2, BLOCK // 2 :: BLOCK])
        seen = coarse_clues(look.small, look.coarse, cells, self.voxelizer.width_px(cells))
        there = look.textured[: cells.shape[0], : cells.shape[1]]
        if np.count_nonzero(seen.agree & there) < MIN_CONFIRMED * np.count_nonzero(there):
            return Refusal(DO_NOT_MATCH)

        left_over = -(-rig.height // BLOCK) - len(look.textured)  # a last row of the image that makes no pair
        return Matches(disparity, seen, np.pad(look.textured, ((0, left_over), (0, 0))), ROWS)

    def disparity(self, left: np.ndarray, right: np.ndarray, search: SearchRange) -> np.ndarray:
        """Returns the disparity of pairs of rows, (height // ROWS, width) float32, pixels, NaN where there is none."""
        return match(left, right, search, self.how)


class QuickDetector(FastDetector):
    """Detects obstacles in a third of the accurate detector's time, for when even the fast one is late.

    Surfaces are further off by a part of a voxel (lower IoU); what is free is judged as by the fast one."""

    name: ClassVar[str] = "quick"
    cost: ClassVar[float] = 0.34
    matching: ClassVar[Matching] = QUICK
