"""A voxel grid in a planner's words: how far to the nearest thing, how wide the way, how long until contact."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from rarrl.types import ObstacleSummary, VoxelGrid, VoxelState

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
    field_rad: float,
    sectors: int = 31,
) -> ObstacleSummary:
    """The summary of one grid. speed: m/s ahead, >= 0. lookahead_m: how far ahead the corridor is judged.
    field_rad: the camera's horizontal field of view (`CameraRig.field_rad`), centred ahead. sectors: how many share it.

    A place (a column of voxels between `low_m` and `high_m`) is blocked where any of them is occupied, free where one
    is free and none occupied, else unseen. Unseen places nearer than the first free one, or beside the field of view,
    are the camera's blind zone, which no image can show: it is passed over. Any other unseen place ends the free space.

    Raises: ValueError for a transform that is not rigid, or a speed, lookahead, count or field out of range."""
    _check(T_base_camera, speed, lookahead_m, sectors, field_rad)
    x, y, occupied, free = _places(grid, T_base_camera, body)
    half = grid.voxel_size / 2
    blind = float(np.hypot(x[free], y[free]).min()) + half if free.any() else math.inf

    distance, bearing = np.hypot(x, y), np.arctan2(y, x)
    spread = np.arctan2(half, distance)
    judged = occupied | free | (np.abs(bearing) + spread <= field_rad / 2)
    x, y, occupied, free, distance, bearing, spread = (
        values[judged] for values in (x, y, occupied, free, distance, bearing, spread)
    )
    edges = np.linspace(-field_rad / 2, field_rad / 2, sectors + 1)
    nearest, reach = np.full(sectors, np.inf), np.zeros(sectors)
    for i in range(sectors):
        inside = (bearing + spread >= edges[i]) & (bearing - spread <= edges[i + 1])
        if (hit := inside & occupied).any():
            nearest[i] = max(0.0, float(distance[hit].min()) - half)
        reach[i] = _clear_until(distance[inside], occupied[inside], free[inside], grid.voxel_size, blind)

    lane = np.floor(y / grid.voxel_size).astype(int)
    corridor = np.abs(y) <= body.width_m / 2 + half
    ahead = _clear_until(x[corridor], occupied[corridor], free[corridor], grid.voxel_size, blind)

    def clear(number: int) -> bool:
        """Whether a lane is seen, and free, as far as the lookahead."""
        inside = lane == number
        seen = (x[inside & free] < lookahead_m).any()
        return bool(seen) and (
            _clear_until(x[inside], occupied[inside], free[inside], grid.voxel_size, blind) >= lookahead_m
        )

    # From the middle outwards to the first lanes that are not clear; none where the middle itself is not.
    left = next(number for number in itertools.count() if not clear(number))
    right = next(number for number in itertools.count(1) if not clear(-number)) - 1
    width = (left + right) * grid.voxel_size if left and right else 0.0
    contact = math.inf if ahead >= lookahead_m else (ahead / speed if speed > 0 else (math.inf if ahead else 0.0))
    return ObstacleSummary((edges[:-1] + edges[1:]) / 2, nearest, reach, width, contact, grid.stamp_s)


def _places(
    grid: VoxelGrid, T_base_camera: np.ndarray, body: Body
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x and y (m, base frame) of the n places ahead, and whether each is blocked, and free; (n,) each."""
    # The centres, axis by axis: quicker than one product, whose BLAS threads would go on spinning.
    x, y, z = (
        origin + grid.voxel_size * (np.arange(n) + 0.5) for origin, n in zip(grid.origin, grid.state.shape, strict=True)
    )
    ahead, aside, up = (
        (row[0] * x + row[3])[:, None, None] + (row[1] * y)[:, None] + row[2] * z for row in T_base_camera[:3]
    )
    band = ((up >= body.low_m) & (up <= body.high_m) & (ahead > 0)).ravel()
    at = np.stack([ahead.ravel()[band], aside.ravel()[band]], axis=1)
    cell = np.floor(at / grid.voxel_size).astype(np.int64)
    if not len(cell):
        return np.empty(0), np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=bool)
    low = cell.min(axis=0)
    columns, rows = cell.max(axis=0) - low + 1
    flat = (cell[:, 0] - low[0]) * rows + cell[:, 1] - low[1]
    state = grid.state.ravel()[band]
    present, blocked, free = (
        np.bincount(flat[chosen], minlength=columns * rows) > 0
        for chosen in (slice(None), state == VoxelState.OCCUPIED, state == VoxelState.FREE)
    )
    places = np.flatnonzero(present)
    x = (places // rows + low[0] + 0.5) * grid.voxel_size
    y = (places % rows + low[1] + 0.5) * grid.voxel_size
    return x, y, blocked[places], free[places] & ~blocked[places]


def _clear_until(distance: np.ndarray, blocked: np.ndarray, free: np.ndarray, step: float, blind: float) -> float:
    """How far from 0 every place is free, metres; 0 where none is. Unseen ones nearer than `blind` are passed over."""
    if not free.any():
        return 0.0
    ends = blocked | (~free & (distance > blind))
    reach = distance[ends].min() - step / 2 if ends.any() else distance.max() + step / 2
    return max(0.0, float(reach))


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
