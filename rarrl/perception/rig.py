"""A rectified stereo camera: converts pixels and disparities to metres and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rarrl.errors import InputError

MIN_SIDE = 64
"""Pixels: smallest side of an image; below it the matchers have no room for their windows."""
MAX_SIDE = 8192
"""Pixels: largest side of an image; more is a garbled message, not a camera."""


@dataclass(frozen=True)
class CameraRig:
    """Two cameras with parallel axes and aligned rows, in the left one's optical frame (x right, y down, z ahead).

    fx, fy, cx, cy: intrinsics of the rectified left image, pixels (pixel centres at whole numbers). baseline: metres.
    doffs: cx of the right image minus cx of the left one, pixels (Middlebury's name); 0 for most rectifications.
    depth = fx * baseline / (disparity + doffs).

    Raises: InputError that names the value that no camera has."""

    fx: float
    fy: float
    cx: float
    cy: float
    baseline: float
    width: int
    height: int
    doffs: float = 0.0
    frame: str = "left_camera_optical_frame"

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "cx", "cy", "baseline", "doffs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(f"camera: {name} must be a finite number, got {value!r}; calibrate the camera")

        for name in ("fx", "fy"):
            if getattr(self, name) <= 0:
                raise InputError(
                    f"camera: {name} must be > 0 px, got {getattr(self, name)}; an uncalibrated camera publishes 0"
                )

        if not 0.001 <= self.baseline <= 100:
            raise InputError(
                f"camera: baseline must be 0.001 to 100 m, got {self.baseline:.6g}; P[3] is -fx * baseline, in metres"
            )

        for name in ("width", "height"):
            side = getattr(self, name)
            if isinstance(side, bool) or not isinstance(side, int) or not MIN_SIDE <= side <= MAX_SIDE:
                raise InputError(f"camera: {name} must be {MIN_SIDE} to {MAX_SIDE} px, got {side!r}")

        if not (-self.width <= self.cx <= 2 * self.width and -self.height <= self.cy <= 2 * self.height):
            raise InputError(
                f"camera: principal point ({self.cx}, {self.cy}) is far outside {self.width} x {self.height} pixels; "
                "it belongs to another image size?"
            )
        if abs(self.doffs) > self.width:
            raise InputError(f"camera: doffs {self.doffs} px is wider than the image ({self.width} px)")

    @classmethod
    def from_projections(
        cls, left_p: Sequence[float], right_p: Sequence[float], width: int, height: int, frame: str
    ) -> CameraRig:
        """Makes a rig from the `p` (3 x 4, row by row) of the two sensor_msgs/CameraInfo of a rectified pair.

        The message defines P = [fx' 0 cx' Tx; 0 fy' cy' Ty; 0 0 1 0], with Tx = -fx' * baseline for the right camera.

        Raises: InputError if the two are not the left and right camera of one rectified pair."""
        left, right = (np.asarray(p, dtype=np.float64).ravel() for p in (left_p, right_p))
        for name, p in (("left", left), ("right", right)):
            if p.shape != (12,) or not np.isfinite(p).all():
                raise InputError(f"camera: P of the {name} camera must be 12 finite numbers, got {p.tolist()}")
            if abs(p[1]) > 1e-6 or abs(p[4]) > 1e-6 or np.abs(p[8:] - (0, 0, 1, 0)).max() > 1e-6:
                raise InputError(
                    f"camera: P of the {name} camera is not [fx 0 cx Tx; 0 fy cy Ty; 0 0 1 0]: not rectified"
                )

        if not left[3] and not right[3] and left[0] > 0:
            raise InputError(
                "camera: P[3] of the right camera is 0, so it tells no baseline; a calibrated pair has P[3] = -fx * "
                "baseline (metres) there: calibrate both cameras together, or let the driver fill it in"
            )
        if right[3] > 0:
            raise InputError(
                f"camera: P[3] of the right camera is {right[3]:.6g}, but -fx * baseline is below 0: are left and "
                "right swapped?"
            )
        if abs(left[3]) > 1e-6:
            raise InputError(f"camera: P[3] of the left camera must be 0, got {left[3]}; are left and right swapped?")
        if abs(right[0] - left[0]) > 1e-3 * abs(left[0]) or abs(right[5] - left[5]) > 1e-3 * abs(left[5]):
            raise InputError("camera: left and right differ in focal length; use the P of the rectified images")
        if abs(right[6] - left[6]) > 0.5 or abs(right[7] - left[7]) > 1e-3 * abs(left[5]):
            raise InputError("camera: the rows of left and right are not aligned (cy or Ty differ); rectify the images")
        if left[0] <= 0:
            raise InputError(f"camera: fx must be > 0 px, got {left[0]}; an uncalibrated camera publishes 0")

        return cls(
            fx=float(left[0]),
            fy=float(left[5]),
            cx=float(left[2]),
            cy=float(left[6]),
            baseline=float(-right[3] / right[0]),
            width=width,
            height=height,
            doffs=float(right[2] - left[2]),
            frame=frame,
        )

    @staticmethod
    def of_part(
        p: Sequence[float], binning: tuple[int, int] = (1, 1), offset: tuple[int, int] = (0, 0)
    ) -> tuple[float, ...]:
        """The `p` of a part of the image, or of one of fewer pixels, as image_geometry makes it.

        binning: pixels of the full image per pixel, columns and rows; 0 counts as 1. offset: column and row of the full
        image at which the part begins."""
        bx, by = (max(int(number), 1) for number in binning)
        P = np.array(p, dtype=np.float64).reshape(3, 4)
        P[0, 2] -= offset[0]
        P[1, 2] -= offset[1]
        P[0] /= bx
        P[1] /= by
        return tuple(P.ravel().tolist())

    @property
    def field_rad(self) -> float:
        """The horizontal field of view that reaches equally far to both sides of the optical axis, radians."""
        return 2 * math.atan(max(0.0, min(self.cx, self.width - 1 - self.cx)) / self.fx)

    def depth(self, disparity: np.ndarray) -> np.ndarray:
        """Returns metres along z for disparities in pixels; inf where the rays do not meet in front of the camera."""
        shifted = np.asarray(disparity, dtype=np.float32) + np.float32(self.doffs)
        with np.errstate(divide="ignore"):
            return np.where(shifted > 0, np.float32(self.fx * self.baseline) / np.maximum(shifted, 1e-9), np.inf)

    def disparity(self, depth: np.ndarray | float) -> np.ndarray:
        """Returns disparities in pixels for depths in metres (above 0)."""
        return self.fx * self.baseline / np.asarray(depth, dtype=np.float64) - self.doffs

    def points(self, disparity: np.ndarray) -> np.ndarray:
        """Returns the (n, 3) float32 points, metres, of a (height, width) disparity image; NaN pixels are left out.

        Raises: ValueError if the image is not of the camera's size."""
        self.check_size(disparity)
        v, u = np.nonzero(~np.isnan(disparity))
        z = self.depth(disparity[v, u])
        seen = np.isfinite(z)
        u, v, z = u[seen], v[seen], z[seen]

        return np.stack([(u - self.cx) * z / self.fx, (v - self.cy) * z / self.fy, z], axis=1).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Returns column u, row v and disparity, (n, 3) in pixels, of (n, 3) points in metres with z above 0."""
        x, y, z = np.asarray(points, dtype=np.float64).T
        return np.stack([self.fx * x / z + self.cx, self.fy * y / z + self.cy, self.disparity(z)], axis=1)

    def check_size(self, image: np.ndarray) -> None:
        """Raises: ValueError if `image` is not (height, width, ...) of this camera."""
        if image.shape[:2] != (self.height, self.width):
            raise ValueError(
                f"the camera has {self.height} x {self.width} pixels (rows x columns), the image {image.shape[:2]}; "
                "CameraInfo and images must be of one size"
            )
