"""A voxel grid in a planner's words: how far to the nearest thing, how wide the corridor, how long until contact."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(frozen=True, eq=False)
class HeightSlice:
    """The places (columns of voxels) ahead between two heights, from above, in the base frame (x ahead, y left).

    state: (nx, ny) uint8 of `VoxelState`: occupied where any voxel of the column is, free where one is free and none
    occupied. Place [i, j] spans `origin + cell * [i, j]` to one `cell` beyond, metres. present: (nx, ny) bool, false
    where the cube has no voxel."""

    state: np.ndarray
    present: np.ndarray
    origin: tuple[float, float]
    cell: float


def height_slice(grid: VoxelGrid, T_base_camera: np.ndarray, body: Body) -> HeightSlice:
    """The slice between `body.low_m` and `body.high_m`; of no places where the cube does not reach there. Its size and
    origin depend on the cube and the pose alone.

    T_base_camera: (4, 4), takes points of the camera's optical frame to the base frame."""
    pose = tuple(map(float, T_base_camera[:3].ravel()))
    columns = _columns(grid.state.shape, tuple(grid.origin), grid.voxel_size, pose, body.low_m, body.high_m)
    state = grid.state.ravel()[columns.band]
    n = columns.shape[0] * columns.shape[1]
    occupied, free = (
        np.bincount(columns.place[state == which], minlength=n).reshape(columns.shape) > 0
        for which in (VoxelState.OCCUPIED, VoxelState.FREE)
    )
    states = np.where(occupied, np.uint8(VoxelState.OCCUPIED), free * np.uint8(VoxelState.FREE))
    return HeightSlice(states, columns.present, columns.origin, grid.voxel_size)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Which voxels (flat, `band`) are in the band, and their `place` (flat); present: (nx, ny) bool; its origin."""

    band: np.ndarray
    place: np.ndarray
    present: np.ndarray
    origin: tuple[float, float]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.present.shape


@lru_cache(maxsize=4)
def _columns(
    shape: tuple[int, ...],
    origin: tuple[float, ...],
    voxel_size: float,
    pose: tuple[float, ...],
    low_m: float,
    high_m: float,
) -> _Columns:
    """The same for every grid of a camera: worked out once."""
    # The centres, axis by axis: quicker than one product, whose BLAS threads would go on spinning.
    x, y, z = (o + voxel_size * (np.arange(n) + 0.5) for o, n in zip(origin, shape, strict=True))
    ahead, aside, up = (
        (row[0] * x + row[3])[:, None, None] + (row[1] * y)[:, None] + row[2] * z for row in np.reshape(pose, (3, 4))
    )
    band = np.flatnonzero((up >= low_m) & (up <= high_m) & (ahead > 0))
    if not len(band):
        return _Columns(band, band, np.zeros((0, 0), dtype=bool), (0.0, 0.0))
    cell = np.floor(np.stack([ahead.ravel()[band], aside.ravel()[band]], axis=1) / voxel_size).astype(np.int64)
    low = cell.min(axis=0)
    nx, ny = cell.max(axis=0) - low + 1
    place = (cell[:, 0] - low[0]) * ny + cell[:, 1] - low[1]
    present = np.bincount(place, minlength=nx * ny).reshape(nx, ny) > 0
    return _Columns(band, place, present, (float(low[0] * voxel_size), float(low[1] * voxel_size)))


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
    places = height_slice(grid, T_base_camera, body)
    return summarize_slice(places, body, speed, lookahead_m, field_rad, sectors, grid.stamp_s)


def summarize_slice(
    places: HeightSlice,
    body: Body,
    speed: float,
    lookahead_m: float,
    field_rad: float,
    sectors: int = 31,
    stamp_s: float = 0.0,
) -> ObstacleSummary:
    """`summarize` of a grid whose slice is there already; the arguments are not checked."""
    size = places.cell
    half = size / 2
    view = _view(places.present.tobytes(), places.present.shape, places.origin, size, field_rad, sectors)
    state = places.state.ravel()[view.index]
    occupied = state == VoxelState.OCCUPIED
    free = state == VoxelState.FREE
    blind = float(view.distance[free].min()) + half if free.any() else math.inf
    judged = occupied | free | view.in_view

    # By sector, as `_clear_until` does it for one.
    nearest = np.maximum(0.0, view.least(occupied) - half)
    end = view.least(occupied | (judged & ~free & (view.distance > blind)))
    reach = np.where(end < np.inf, end - half, view.greatest(judged) + half)
    reach = np.where(view.least(free) < np.inf, np.maximum(0.0, reach), 0.0)
    edges = view.edges

    x, y, occupied, free = (values[judged] for values in (view.x, view.y, occupied, free))
    lane = np.floor(y / size).astype(int)
    corridor = np.abs(y) <= body.width_m / 2 + half
    ahead = _clear_until(x[corridor], occupied[corridor], free[corridor], size, blind)

    def clear(number: int) -> bool:
        """Whether a lane is seen, and free, as far as the lookahead."""
        inside = lane == number
        seen = (x[inside & free] < lookahead_m).any()
        return bool(seen) and (_clear_until(x[inside], occupied[inside], free[inside], size, blind) >= lookahead_m)

    # From the middle outwards to the first lanes that are not clear; none where the middle itself is not.
    left = next(number for number in itertools.count() if not clear(number))
    right = next(number for number in itertools.count(1) if not clear(-number)) - 1
    width = (left + right) * size if left and right else 0.0
    contact = math.inf if ahead >= lookahead_m else (ahead / speed if speed > 0 else (math.inf if ahead else 0.0))
    return ObstacleSummary((edges[:-1] + edges[1:]) / 2, nearest, reach, width, contact, stamp_s)


@dataclass(frozen=True, eq=False)
class _View:
    """The places of a slice that the cube has, which stay as they are from grid to grid: (n,) `index` (flat), their
    middles `x`, `y`, `distance`, and whether they are within the field of view. edges: (sectors + 1,) bearings.
    members: places by sector, one after the other, of those sectors that have any (`filled`), which begin at
    `starts`."""

    index: np.ndarray
    x: np.ndarray
    y: np.ndarray
    distance: np.ndarray
    in_view: np.ndarray
    edges: np.ndarray
    members: np.ndarray
    filled: np.ndarray
    starts: np.ndarray

    def least(self, which: np.ndarray) -> np.ndarray:
        """The distance of the nearest of these places in each sector, metres; infinite where there is none."""
        return self._by_sector(np.minimum, np.inf, which)

    def greatest(self, which: np.ndarray) -> np.ndarray:
        """As `least`, of the furthest; minus infinity where there is none."""
        return self._by_sector(np.maximum, -np.inf, which)

    def _by_sector(self, extreme: np.ufunc, none: float, which: np.ndarray) -> np.ndarray:
        found = np.full(len(self.edges) - 1, none)
        if len(self.filled):
            found[self.filled] = extreme.reduceat(np.where(which, self.distance, none)[self.members], self.starts)
        return found


@lru_cache(maxsize=4)
def _view(
    present: bytes, shape: tuple[int, int], origin: tuple[float, float], size: float, field_rad: float, sectors: int
) -> _View:
    """The same for every slice of a camera: worked out once."""
    row, column = np.nonzero(np.frombuffer(present, dtype=bool).reshape(shape))
    x = origin[0] + size * (row + 0.5)
    y = origin[1] + size * (column + 0.5)
    distance = np.hypot(x, y)
    bearing = np.arctan2(y, x)
    spread = np.arctan2(size / 2, distance)
    edges = np.linspace(-field_rad / 2, field_rad / 2, sectors + 1)
    inside = (bearing + spread >= edges[:-1, None]) & (bearing - spread <= edges[1:, None])
    sector, members = np.nonzero(inside)
    filled, starts = np.unique(sector, return_index=True)
    in_view = np.abs(bearing) + spread <= field_rad / 2
    return _View(row * shape[1] + column, x, y, distance, in_view, edges, members, filled, starts)


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
