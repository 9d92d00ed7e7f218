"""A stereo pair that has lost its calibration: `drifted` pictures, and how wrong obstacles become by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rarrl.perception.classical import ClassicalDetector, Refusal
from rarrl.perception.rig import CameraRig
from rarrl.types import StereoPair

SECTORS = 9
"""Vertical strips of the picture, each with its nearest obstacle."""
NEAREST = 0.1
"""Share of a strip's matches that are nearer than its obstacle's distance: not a single false match."""
FEW = 200
"""Pixels: a strip with fewer matches shows no obstacle."""
BAND_M = 0.5
"""Metres above and below the optical axis between which something is an obstacle."""


@dataclass(frozen=True)
class Turn:
    """How the right camera has turned since it was calibrated, as `rarrl.perception.stereo_health.Drift` has it: pitch
    down, yaw to the left, roll clockwise, degrees. rows_px: shift of its rows, downwards, as of another readout."""

    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0
    rows_px: float = 0.0


def drifted(pair: StereoPair, rig: CameraRig, turn: Turn) -> StereoPair:
    """`pair` with the right image as the turned camera sees it: by the homography K R K^-1, exact for any scene.

    Interpolated linearly. OpenCV's cubic kernel (a = -0.75) does not keep slopes: it moves a picture by 0.14 px where
    0.1 px is asked, and a sixth of a pixel is what is measured here."""
    # Points turn the other way than the camera; optical axes are x right, y down, z ahead.
    points = np.radians([turn.pitch_deg, turn.yaw_deg, -turn.roll_deg])
    rotation, _ = cv2.Rodrigues(points)
    K = np.array([[rig.fx, 0.0, rig.cx + rig.doffs], [0.0, rig.fy, rig.cy], [0.0, 0.0, 1.0]])
    homography = K @ rotation @ np.linalg.inv(K)
    homography = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, turn.rows_px], [0.0, 0.0, 1.0]]) @ homography

    size = (rig.width, rig.height)
    right = cv2.warpPerspective(pair.right, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return StereoPair(pair.left, right, pair.stamp_s)


def obstacle_distances(detector: ClassicalDetector, pair: StereoPair) -> np.ndarray | None:
    """(SECTORS,) metres to the nearest obstacle of each strip by the detector's matches, NaN where there is none; None
    where the detector refuses the pair."""
    found = detector.matches(pair)
    if isinstance(found, Refusal):
        return None

    rig = detector.voxelizer.rig
    depth = rig.depth(found.disparity)
    slope = ((np.arange(rig.height) - rig.cy) / rig.fy)[:, None]
    with np.errstate(invalid="ignore"):
        there = (np.abs(slope * depth) < BAND_M) & (depth < detector.voxelizer.spec.z_far)
    strips = zip(np.array_split(depth, SECTORS, axis=1), np.array_split(there, SECTORS, axis=1), strict=True)
    return np.array([_near(strip[held]) for strip, held in strips])


def _near(depths: np.ndarray) -> float:
    return float(np.quantile(depths, NEAREST)) if len(depths) >= FEW else math.nan


def distance_error(clean: np.ndarray, now: np.ndarray) -> float:
    """Median over the strips of the share by which an obstacle's distance has changed; NaN where none has both."""
    both = ~(np.isnan(clean) | np.isnan(now))
    return float(np.median(np.abs(now[both] / clean[both] - 1))) if both.any() else math.nan


def least_error(clean: Sequence[np.ndarray], now: np.ndarray) -> float:
    """As `distance_error`, against the nearest of what the same scene showed without drift, strip by strip: where two
    surfaces share a strip, noise alone picks one or the other."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(now / np.stack(clean) - 1)
    known = ~np.isnan(apart).all(axis=0)
    return float(np.median(np.nanmin(apart[:, known], axis=0))) if known.any() else math.nan
