"""A voxel grid in a planner's words: how far to the nearest thing, how wide the way, how long until contact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rarrl.types import ObstacleSummary, VoxelGrid

OPTICAL_TO_BASE = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Of a level camera that looks ahead: optical axes (x right, y down, z ahead) to base (x ahead, y left, z up)."""


def level_camera(height_m: float) -> np.ndarray:
    """(4, 4) `T_base_camera` of a camera that looks straight ahead, `height_m` above the ground."""
    T = np.eye(4)
    T[:3, :3] = OPTICAL_TO_BASE
    T[2, 3] = height_m
    return T


@dataclass(frozen=True)
class Body:
    """What must not be hit. Heights in the base frame, metres: obstacles lower than `low_m` are driven over (put it
    above the ground), higher than `high_m` passed under."""

    width_m: float = 0.6
    low_m: float = 0.1
    high_m: float = 1.5

    def __post_init__(self) -> None:
        if not (0 < self.width_m < math.inf and math.isfinite(self.low_m) and self.low_m < self.high_m < math.inf):
            raise ValueError(f"Body needs width_m > 0 and low_m < high_m, got {self}")


def summarize(
    grid: VoxelGrid,
    T_base_camera: np.ndarray,
    body: Body,
    speed: float,
    lookahead_m: float,
    sectors: int = 31,
    field_rad: float = math.pi / 2,
) -> ObstacleSummary:
    """The summary of one grid. speed: m/s ahead, >= 0. lookahead_m: how far ahead the corridor is judged.
    sectors: how many share the field of `field_rad`, which is centred ahead.

    A place (a column of voxels between `low_m` and `high_m`) is blocked where any of them is occupied, free where one
    is free and none occupied, else unseen. Unseen places nearer than the first free one are the camera's blind zone,
    which no image can show; any other unseen place ends the free space.

    Raises: ValueError for a transform that is not rigid, or a speed, lookahead, count or field out of range."""
    _check(T_base_camera, speed, lookahead_m, sectors, field_rad)
    at = grid.centres(np.ones(grid.state.shape, dtype=bool)) @ T_base_camera[:3, :3].T + T_base_camera[:3, 3]
    band = (at[:, 2] >= body.low_m) & (at[:, 2] <= body.high_m) & (at[:, 0] > 0)
    x, y = at[band, 0], at[band, 1]
    occupied, free = grid.occupied.ravel()[band], grid.free.ravel()[band]
    half = grid.voxel_size / 2
    blind = float(np.hypot(x[free], y[free]).min()) + half if free.any() else math.inf

    edges = np.linspace(-field_rad / 2, field_rad / 2, sectors + 1)
    distance, bearing = np.hypot(x, y), np.arctan2(y, x)
    spread = np.arctan2(half, distance)
    nearest, clear = np.full(sectors, np.inf), np.zeros(sectors)
    for i in range(sectors):
        inside = (bearing + spread >= edges[i]) & (bearing - spread <= edges[i + 1])
        if (hit := inside & occupied).any():
            nearest[i] = max(0.0, float(distance[hit].min()) - half)
        clear[i] = _clear_until(distance[inside], occupied[inside], free[inside], grid.voxel_size, blind)

    lane = np.floor(y / grid.voxel_size).astype(int)
    corridor = np.abs(y) <= body.width_m / 2 + half
    ahead = _clear_until(x[corridor], occupied[corridor], free[corridor], grid.voxel_size, blind)
    width = 0.0
    for side in (-1, 1):  # lanes from the middle outwards, to the first that is not clear
        number = 0 if side > 0 else -1
        while (inside := lane == number).any():
            if _clear_until(x[inside], occupied[inside], free[inside], grid.voxel_size, blind) < lookahead_m:
                break
            width += grid.voxel_size
            number += side
        if number in (0, -1) and width == 0.0:
            break  # the middle itself is not clear
    contact = math.inf if ahead >= lookahead_m else (ahead / speed if speed > 0 else (math.inf if ahead else 0.0))
    return ObstacleSummary((edges[:-1] + edges[1:]) / 2, nearest, clear, width, contact, grid.stamp_s)


def _clear_until(distance: np.ndarray, occupied: np.ndarray, free: np.ndarray, step: float, blind: float) -> float:
    """How far from 0 the voxels show free space without a gap, metres; 0 where none is free."""
    if not free.any():
        return 0.0
    ring = np.floor(distance / step).astype(int)
    n = int(ring.max()) + 1
    present, hit, seen = (np.bincount(ring[mask], minlength=n) > 0 for mask in (slice(None), occupied, free))
    ends = hit | (present & ~seen & ((np.arange(n) + 0.5) * step > blind))
    return float((np.argmax(ends) if ends.any() else n) * step)


def _check(T_base_camera: np.ndarray, speed: float, lookahead_m: float, sectors: int, field_rad: float) -> None:
    if T_base_camera.shape != (4, 4) or not np.isfinite(T_base_camera).all():
        raise ValueError(f"T_base_camera must be (4, 4) and finite, got shape {T_base_camera.shape}")
    rotation = T_base_camera[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-6 or np.linalg.det(rotation) < 0:
        raise ValueError("T_base_camera must be a rigid transform: its upper left 3 x 3 part is no rotation")
    if not 0 <= speed < math.inf or not 0 < lookahead_m < math.inf:
        raise ValueError(f"speed must be >= 0 m/s and lookahead_m > 0 m, got {speed} and {lookahead_m}")
    if sectors < 1 or not 0 < field_rad <= math.pi:
        raise ValueError(f"sectors must be >= 1 and field_rad within 0..pi, got {sectors} and {field_rad}")
