"""How far the robot sees to be free, by bearing: what a sensor gives to the safety gate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

NOTHING_M = 0.05
"""Metres. A bearing that is free for less than that says nothing: a sensor that knows nothing says "blocked" there."""
THICK_M = 0.3
"""Metres. What ended the sight is taken to be so thick: about a chair's leg with what stands behind it."""
END_BEAMS = 1.5
"""Beams by which a scan's last angle may differ from what increment and count give: many drivers are off by one."""
FAR_M = 1000.0
"""Metres. Where a sensor names no largest range, so far is taken: beyond every map of the gate."""
LARGEST_M = 300.0
"""Metres. No planar lidar sees farther; a larger `range_max` is in centimetres or millimetres."""
NO_LARGEST = 3.4e38
"""From this on, the largest single-precision number and infinity, a `range_max` names no largest range."""
BETWEEN_M = 0.25
"""Metres. Beams farther apart than this miss a person's legs, so each tells only of what is nearer: 1 degree is so wide
at 14 m, and one of 31 bearings of the stereo detector at 6.5 m."""
ROUNDING = 1e-6
"""Share by which a single-precision reading of exactly the largest range may exceed it."""


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

    @classmethod
    def from_readings(
        cls,
        angle_min: float,
        angle_max: float,
        increment: float,
        ranges: np.ndarray,
        range_min: float,
        range_max: float,
    ) -> RangeScan:
        """Makes a scan of a sensor's readings, as sensor_msgs/LaserScan and REP 117 define them.

        Beams may run to the left or to the right (a negative increment) and cover more than a full turn; of beams with
        one bearing, such as the first and the last of a closed circle, the nearest reading counts. Infinity means that
        nothing is within `range_max`. A reading that is NaN, minus infinity, 0 or outside of the sensor's limits tells
        nothing, so its bearing counts as blocked. Nothing is told of where neighbouring beams are farther apart than
        `BETWEEN_M`: what stands between them there is not seen.

        Raises: ValueError, one line, where the numbers contradict one another."""
        readings = np.asarray(ranges, dtype=np.float64)
        if readings.ndim != 1 or not len(readings):
            raise ValueError("scan: it has no ranges")
        if not all(map(math.isfinite, (angle_min, angle_max, increment))) or increment == 0.0:
            raise ValueError(
                f"scan: angles must be finite and angle_increment not 0, got angle_min {angle_min:.4g}, angle_max "
                f"{angle_max:.4g}, angle_increment {increment:.4g}"
            )
        if math.isnan(range_min) or math.isnan(range_max) or not max(range_min, 0.0) < range_max:
            raise ValueError(
                f"scan: range_max must be above range_min and above 0 m, got range_min {range_min:.4g} and range_max "
                f"{range_max:.4g}; does the driver fill them in?"
            )

        if LARGEST_M < range_max < NO_LARGEST:
            raise ValueError(
                f"scan: range_max is {range_max:.4g}: are the ranges in metres? No planar lidar sees farther than "
                f"{LARGEST_M:.0f} m"
            )

        last = angle_min + increment * (len(readings) - 1)
        if abs(last - angle_max) > END_BEAMS * abs(increment):
            raise ValueError(
                f"scan: {len(readings)} ranges {increment:.4g} rad apart end at {last:.4g} rad, but angle_max is "
                f"{angle_max:.4g}: which is right is not known; correct it in the driver"
            )

        range_max = min(range_max, FAR_M)
        within = (readings >= range_min) & (readings <= range_max * (1 + ROUNDING))
        readings = np.where(within | (readings == math.inf), readings, 0.0)
        if increment < 0:
            angle_min = last
            increment = -increment
            readings = readings[::-1]
        return cls(*_one_turn(angle_min, increment, readings), min(range_max, BETWEEN_M / increment))

    def seen_upside_down(self) -> RangeScan:
        """The same scan of a sensor that is mounted upside down: what it calls left is right."""
        last = self.angle_min + self.increment * (len(self.ranges) - 1)
        return replace(self, angle_min=-last, ranges=self.ranges[::-1])

    @property
    def field(self) -> float:
        """How wide it looks, rad; at most a turn."""
        return min(self.increment * len(self.ranges), 2 * math.pi)

    @property
    def without_reading(self) -> float:
        """Share of the bearings, 0 to 1, of which the scan tells nothing; these count as blocked."""
        return float(np.mean(self.ranges <= 0.0))

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


def _one_turn(angle_min: float, increment: float, readings: np.ndarray) -> tuple[float, float, np.ndarray]:
    """The same beams within one turn: where several have one bearing, the nearest of their readings counts.

    >>> _one_turn(0.0, math.pi / 2, np.array([3.0, 2.0, 2.0, 2.0, 1.0]))[2].tolist()
    [1.0, 2.0, 2.0, 2.0]
    """
    if increment * len(readings) <= 2 * math.pi + increment / 2:
        return angle_min, increment, readings

    count = max(1, round(2 * math.pi / increment))
    wedge = 2 * math.pi / count
    index = np.round(np.arange(len(readings)) * increment / wedge).astype(np.intp) % count
    nearest = np.full(count, math.inf)
    np.minimum.at(nearest, index, readings)
    return angle_min, wedge, nearest
