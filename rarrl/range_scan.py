"""How far the robot sees to be free, by bearing: what a sensor gives to the safety gate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NOTHING_M = 0.05
"""Metres. A bearing that is free for less than that says nothing: a sensor that knows nothing says "blocked" there."""
THICK_M = 0.3
"""Metres. What ended the sight is taken to be so thick: about a chair's leg with what stands behind it."""


@dataclass(frozen=True, eq=False)
class RangeScan:
    """How far each bearing is *seen* to be free. ranges: (n,) metres; what is NaN, negative or nothing counts as 0,
    infinity as range_max. blind_m: nearer than that the scan says nothing (a low thing there would be below the
    camera's view); what was seen there before counts. Bearing i is `angle_min + i * increment` (rad, left is positive)
    and stands for a wedge one increment wide; increment > 0.

    Raises: ValueError where the numbers make no scan."""

    angle_min: float
    increment: float
    ranges: np.ndarray
    range_max: float
    blind_m: float = 0.0

    def __post_init__(self) -> None:
        ranges = np.array(self.ranges, dtype=np.float64)
        if ranges.ndim != 1 or not 1 <= len(ranges) <= 100_000:
            raise ValueError(f"RangeScan.ranges must be (n,), n from 1 to 100000, got {ranges.shape}")
        if not (math.isfinite(self.angle_min) and 0 < self.increment * len(ranges) <= 2 * math.pi * 1.01):
            raise ValueError(
                f"RangeScan: angle_min must be finite and the field above 0 and at most 2 pi, "
                f"got {self.angle_min} and {self.increment * len(ranges)}"
            )
        if not 0 < self.range_max < math.inf:
            raise ValueError(f"RangeScan.range_max must be finite and > 0 m, got {self.range_max}")
        ranges = np.where(ranges > 0, np.minimum(ranges, self.range_max), 0.0)  # false for NaN
        ranges.setflags(write=False)
        object.__setattr__(self, "ranges", ranges)

    def reach(self, bearings: np.ndarray) -> np.ndarray:
        """How far is free at `bearings` (rad, any shape); NaN outside the field of view."""
        turn = np.mod(bearings - self.angle_min + self.increment / 2, 2 * math.pi)
        index = (turn / self.increment).astype(np.intp)
        return np.where(index < len(self.ranges), self.ranges[np.minimum(index, len(self.ranges) - 1)], np.nan)

    def shadows(self, step: float, within: float) -> tuple[np.ndarray, np.ndarray]:
        """(n, 2) points, metres, on the middle of each wedge, every `step` from where its sight ends to `within`; and
        (n,) bool: those of the thing that ended it, not those behind."""
        bearings = self.angle_min + self.increment * np.arange(len(self.ranges))
        behind = 1e-3 + step * np.arange(math.ceil(within / step))
        along = self.ranges[:, None] + behind
        hidden = (self.ranges[:, None] < self.range_max) & (along <= within)
        thing = (self.ranges[:, None] > NOTHING_M) & (behind <= THICK_M)
        rows, _ = np.nonzero(hidden)
        points = along[hidden][:, None] * np.stack([np.cos(bearings[rows]), np.sin(bearings[rows])], axis=1)
        return points, thing[hidden]
