"""The accurate obstacle detector: SGBM over the disparities that the scene needs, weighted matches, votes per voxel.

pair -> usable? and disparity range (quarter size) -> gray SGBM-3WAY, padded -> speckle, mean over smooth places
     -> block matching at half size, a small network: how far to trust each match -> completion of what was not matched
     -> votes per voxel, weighted by trust -> probability -> state
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from rarrl.perception.calibration import IOU_FOR_RECALL, SHIPPED, Calibration, Evidence, load_calibration
from rarrl.perception.completion import STEP, Completion, complete
from rarrl.perception.confidence import MatchConfidence, MatchFeatures, clues, load_confidence
from rarrl.perception.matching import match
from rarrl.perception.opencv_matchers import gray
from rarrl.perception.quick_look import DO_NOT_MATCH, quick_look
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import BLOCK, GridSpec, Voters, Voxelizer
from rarrl.types import StereoPair, VoxelGrid, VoxelState

FILL_SIGMA_PX = 1.5
"""Pixels: standard deviation of a completed disparity. Chosen by hand."""
MIN_CONFIRMED = 0.15
"""Share of the textured image in which both matchers must agree. Good pairs have 0.4 to 0.85."""


@dataclass(frozen=True, eq=False)
class Matches:
    """The matches of one pair.

    disparity: (height // row_step, width) float32, pixels, NaN where there is none. seen: the features that say how far
    to trust it. textured: bool per block of 4 x 4 pixels, True where there was something to match. row_step: how many
    rows of the image one of `disparity` stands for."""

    disparity: np.ndarray
    seen: MatchFeatures
    textured: np.ndarray
    row_step: int = 1


@dataclass(frozen=True)
class Refusal:
    """A pair that cannot be used, and why, in one line for people."""

    why: str


class ClassicalDetector:
    """Detects obstacles in stereo pairs; the head of this file shows the steps.

    threshold: probability from which a voxel counts as occupied. threshold, calibration and trust may be None, which
    means the fitted ones that come with the package."""

    name: ClassVar[str] = "classical"
    model: ClassVar[Path] = SHIPPED.parent  # the folder with its fitted numbers
    iou_for_recall: ClassVar[float] = IOU_FOR_RECALL
    cost: ClassVar[float] = 1.0  # processor time of a pair relative to this detector's (benchmarks/rate_switching.py)

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

        calibration = self._calibration or load_calibration(self.model)
        probability = calibration.probability(evidence)
        voted = evidence.voted_at
        occupied = probability.take(voted) >= (self._threshold or calibration.threshold)
        state = evidence.seen_free * np.uint8(VoxelState.FREE)
        state.reshape(-1)[voted[occupied]] = VoxelState.OCCUPIED

        return self.voxelizer.grid(state, probability, pair.stamp_s)

    @property
    def trust(self) -> MatchConfidence:
        """How far it trusts a match."""
        return self._trust or load_confidence(self.model)

    def evidence(self, pair: StereoPair) -> Evidence | Refusal:
        """Returns what the pair says about each voxel, or why it cannot be used."""
        found = self.matches(pair)
        if isinstance(found, Refusal):
            return found

        weight = self.trust.image(found.seen, *found.disparity.shape)
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
    """Adds up the votes of matched pixels, weighted by `weight` (float32, as the disparity), and of completed ones.

    Only matched pixels of textured blocks show that a voxel is free."""
    filled = completion.votes * voxelizer.certainty(completion.disparity, np.float32(FILL_SIGMA_PX))
    every = found.row_step  # of columns too: as many votes across as down
    heard = found.disparity[:, every // 2 :: every], weight[:, every // 2 :: every]
    votes = voxelizer.votes(Voters(*heard, (every, every)), Voters(completion.disparity, filled, (STEP, STEP)))
    return Evidence(votes, voxelizer.seen_through(found.disparity, found.textured, found.row_step))
