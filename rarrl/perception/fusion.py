"""Accumulates voxels over time as log-odds in the robot's moving cube, with decay, clearing and hysteresis.

Each frame adds the log-odds of its probabilities to a map (Moravec and Elfes, "High resolution maps from wide angle
sonar", ICRA 1985), clamped so that the map can change its mind (OctoMap: Hornung et al., Autonomous Robots 34, 2013).
The map travels with the camera, fades towards unknown with time, and a voxel that is seen through loses what it held.
Two thresholds in each direction keep a still scene from flickering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rarrl.types import VoxelGrid, VoxelState

RIGID_TOLERANCE = 1e-3
"""How far a transform may be from a rigid one, per matrix entry: poses in ROS messages are rounded."""


@dataclass(frozen=True)
class FusionConfig:
    """How frames are fused. Log-odds (natural logarithm) are relative to `prior`.

    prior: probability at which a frame says neither occupied nor free; the detector's threshold, so that what it calls
    occupied adds and never subtracts. hit, miss: the most that one frame adds and takes away. highest, lowest: where
    the map is clamped. enter, leave: log-odds from which a voxel becomes occupied, and down to which it stays so.
    free_enter, free_leave: likewise for free. memory_s: seconds in which the map's log-odds fall to 1/e. fade_s: the
    same for voxels within the camera's view of which a frame says nothing although it says something of others: what
    stood there is gone, or hidden. fade_voxels: the same by travel, in voxels: while the camera moves, a surface is
    marked beside its old mark, which must fade at once. max_gap_s: seconds between stamps beyond which the map is
    reset.

    Raises: ValueError that names the value out of range."""

    prior: float = 0.24
    hit: float = 0.85
    miss: float = 0.7
    highest: float = 2.5
    lowest: float = -1.5
    enter: float = 0.8
    leave: float = 0.5
    free_enter: float = -0.6
    free_leave: float = -0.3
    memory_s: float = 2.0
    fade_s: float = 0.3
    fade_voxels: float = 0.5
    max_gap_s: float = 2.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"FusionConfig.{name} must be a finite number, got {value!r}")

        if not 0.0 < self.prior < 1.0:
            raise ValueError(f"FusionConfig.prior must be between 0 and 1, got {self.prior}")

        for name, low, high in (
            ("hit", 0.01, 10),
            ("miss", 0.01, 10),
            ("memory_s", 0.01, 3600),
            ("fade_s", 0.01, 3600),
            ("fade_voxels", 0.01, 3600),
            ("max_gap_s", 0.01, 3600),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"FusionConfig.{name} must be {low} to {high}, got {getattr(self, name)}")

        if self.fade_s > self.memory_s:
            raise ValueError(f"FusionConfig.fade_s must be <= memory_s, got {self.fade_s} and {self.memory_s}")
        if not 0.0 < self.leave <= self.enter < self.highest <= 20.0:
            raise ValueError(
                "FusionConfig needs 0 < leave <= enter < highest <= 20, got "
                f"leave {self.leave}, enter {self.enter}, highest {self.highest}"
            )
        if not -20.0 <= self.lowest < self.free_enter <= self.free_leave < 0.0:
            raise ValueError(
                "FusionConfig needs -20 <= lowest < free_enter <= free_leave < 0, got "
                f"lowest {self.lowest}, free_enter {self.free_enter}, free_leave {self.free_leave}"
            )


class VoxelFusion:
    """Fuses the grids of one camera. It must not be used by several threads at once.

    in_view: (nx, ny, nz) bool, voxels that the camera's images cover (`Voxelizer.footprints` of an image full of True);
    there things fade after fade_s instead of memory_s. None: all of them. Voxels of which a frame says anything join
    them, because at the border of the image a voxel may be hit whose middle is not seen.

    The fused probability is computed from the map's log-odds. It ranks voxels, but errors of neighbouring frames are
    alike, so it is not calibrated as the frame's own is."""

    def __init__(self, config: FusionConfig | None = None, in_view: np.ndarray | None = None) -> None:
        self.config = config or FusionConfig()
        self._in_view = None if in_view is None else np.array(in_view, dtype=bool)
        self.reason = ""
        """Why the last update reset the map; empty if it did not."""
        self._prior = math.log(self.config.prior / (1 - self.config.prior))
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next frame begins a new map."""
        self._before: tuple[tuple[int, ...], tuple[float, ...], float, str] | None = None
        self._stamp_s = 0.0
        self._log_odds = np.zeros((0, 0, 0), dtype=np.float32)
        self._state = np.zeros((0, 0, 0), dtype=np.uint8)
        self._pending = np.eye(4)

    def update(self, grid: VoxelGrid, T_previous_current: np.ndarray | None = None) -> VoxelGrid:
        """Adds `grid` and returns the map, in the camera's frame at the stamp of `grid`.

        T_previous_current: (4, 4) rigid, metres: the camera's pose now in its optical frame at the last update. None:
        it did not move. A frame with the stamp of the last one moves the map and adds nothing (it is no new evidence).
        A stamp that runs back, a gap above max_gap_s or another cube reset the map; `reason` then says so.

        Raises: ValueError if the transform is not rigid or `in_view` is not of the grid's shape."""
        if self._in_view is not None and self._in_view.shape != grid.state.shape:
            raise ValueError(
                f"VoxelFusion: in_view is {self._in_view.shape}, the grid {grid.state.shape}; alike, please"
            )

        T = np.eye(4) if T_previous_current is None else _rigid(T_previous_current)
        if self._in_view is not None:
            self._in_view |= ~grid.unknown

        c = self.config
        dt = grid.stamp_s - self._stamp_s
        self.reason = self._why_anew(grid, dt)
        if self.reason or self._before is None:
            self.reset()
            self._before = _cube(grid)
            self._log_odds = np.zeros(grid.state.shape, dtype=np.float32)
            self._state = np.zeros(grid.state.shape, dtype=np.uint8)
            dt = math.inf
        else:
            self._move(T, grid)
            self._fade(dt, _travel(T, grid), grid)

        self._stamp_s = grid.stamp_s
        if dt > 0:
            seen = np.flatnonzero(grid.state)
            p = np.clip(grid.probability.ravel()[seen], 1e-6, 1 - 1e-6)
            change = np.clip(np.log(p / (1 - p)) - np.float32(self._prior), -c.miss, c.hit)
            flat = self._log_odds.reshape(-1)
            flat[seen] = np.clip(flat[seen] + change, c.lowest, c.highest)

        self._judge()
        return self._grid(grid)

    def _why_anew(self, grid: VoxelGrid, dt: float) -> str:
        if self._before is None:
            return ""
        if _cube(grid) != self._before:
            return "another cube or frame than before"
        if dt < 0:
            return f"the stamp ran back by {-dt:.3f} s"
        if dt > self.config.max_gap_s:
            return f"the stamp jumped by {dt:.3f} s, more than {self.config.max_gap_s:g} s"

        return ""

    def _move(self, T: np.ndarray, grid: VoxelGrid) -> None:
        """Moves the map by `T`.

        Motion below half a voxel, small rotations included, is kept until it adds up, so that slow motion becomes
        shifts by whole voxels, which blur nothing. Larger rotations resample by the nearest voxel."""
        pending = self._pending @ T
        shape = grid.state.shape
        size = grid.voxel_size
        corners = np.asarray(grid.origin) + size * np.array(shape) * np.stack(
            np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1
        ).reshape(-1, 3)

        turned = np.abs(corners @ (pending[:3, :3] - np.eye(3)).T).max()
        if turned < 0.5 * size:
            cells = np.round(pending[:3, 3] / size).astype(int)
            if cells.any():
                self._log_odds = _shifted(self._log_odds, cells)
                self._state = _shifted(self._state, cells)
                pending[:3, 3] -= cells * size
        else:
            source, inside = _nearest(pending, grid)
            self._log_odds = np.where(inside, self._log_odds.reshape(-1)[source], np.float32(0)).reshape(shape)
            self._state = np.where(inside, self._state.reshape(-1)[source], np.uint8(0)).reshape(shape)
            pending = np.eye(4)

        self._pending = pending

    def _fade(self, dt: float, travel: float, grid: VoxelGrid) -> None:
        c = self.config
        slow, fast = (np.float32(math.exp(-x)) for x in (dt / c.memory_s, dt / c.fade_s + travel / c.fade_voxels))
        silent = grid.unknown
        if silent.all():  # the frame has no information and is no reason to doubt the map
            self._log_odds *= slow
            return

        if self._in_view is not None:
            silent &= self._in_view

        self._log_odds *= np.where(silent, fast, slow)

    def _judge(self) -> None:
        c = self.config
        log_odds = self._log_odds
        occupied = (log_odds >= c.enter) | ((self._state == VoxelState.OCCUPIED) & (log_odds >= c.leave))
        free = (log_odds <= c.free_enter) | ((self._state == VoxelState.FREE) & (log_odds <= c.free_leave))
        self._state = occupied * np.uint8(VoxelState.OCCUPIED) + free * np.uint8(VoxelState.FREE)

    def _grid(self, grid: VoxelGrid) -> VoxelGrid:
        known = np.flatnonzero(self._state)
        probability = np.full(self._state.size, 0.5, dtype=np.float32)
        probability[known] = 1 / (1 + np.exp(-self._log_odds.reshape(-1)[known] - np.float32(self._prior)))
        return VoxelGrid(
            self._state, probability.reshape(self._state.shape), grid.origin, grid.voxel_size, grid.frame, grid.stamp_s
        )


def _cube(grid: VoxelGrid) -> tuple[tuple[int, ...], tuple[float, ...], float, str]:
    return grid.state.shape, tuple(grid.origin), grid.voxel_size, grid.frame


def _rigid(T: np.ndarray) -> np.ndarray:
    """Returns `T` as float64. Raises: ValueError if it is not a rigid transform."""
    T = np.array(T, dtype=np.float64)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise ValueError(f"T_previous_current must be a finite 4 x 4 matrix, got shape {T.shape}")

    R = T[:3, :3]
    rotates = np.abs(R @ R.T - np.eye(3)).max() <= RIGID_TOLERANCE and np.linalg.det(R) > 0
    if not rotates or np.abs(T[3] - (0, 0, 0, 1)).max() > RIGID_TOLERANCE:
        raise ValueError("T_previous_current must be rigid: a rotation, a translation, and a last row of 0 0 0 1")

    return T


def _travel(T: np.ndarray, grid: VoxelGrid) -> float:
    """Returns how far, in voxels, `T` moves the middle of the cube; rotation counts too."""
    middle = np.asarray(grid.origin) + grid.voxel_size * np.array(grid.state.shape) / 2
    return float(np.linalg.norm(T[:3, :3] @ middle + T[:3, 3] - middle)) / grid.voxel_size


def _shifted(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Returns `values[i + cells]`, 0 where that lies outside: the camera moved by `cells`, so things come nearer."""
    moved = np.zeros_like(values)
    to = []
    source = []
    for n, step in zip(values.shape, cells, strict=True):
        step = int(np.clip(step, -n, n))
        to.append(slice(max(-step, 0), n - max(step, 0)))
        source.append(slice(max(step, 0), n - max(-step, 0)))

    moved[tuple(to)] = values[tuple(source)]
    return moved


def _nearest(T: np.ndarray, grid: VoxelGrid) -> tuple[np.ndarray, np.ndarray]:
    """Returns, flat, for each voxel of `grid` the index of the old cube's voxel that holds its centre, and whether one
    does (index 0 if not)."""
    shape = grid.state.shape
    size = grid.voxel_size
    origin = np.asarray(grid.origin)

    # The old cell of the new cell i is R i + offset, all in voxels.
    offset = (T[:3, :3] @ (origin + 0.5 * size) + T[:3, 3] - origin) / size
    steps = [np.arange(n, dtype=np.float32) for n in shape]

    index = np.zeros(shape, dtype=np.int32)
    inside = np.ones(shape, dtype=bool)
    for axis in range(3):
        a, b, c = (np.float32(T[axis, k]) * steps[k] for k in range(3))
        plane = a[:, None] + (b[None, :] + np.float32(offset[axis]))

        # Truncation rounds -0.x up to 0. Shifted by one, it is the floor for all cells that matter.
        cell = (plane[:, :, None] + (c + np.float32(1))[None, None, :]).astype(np.int32)
        inside &= (cell >= 1) & (cell <= shape[axis])
        index *= shape[axis]
        index += cell - 1

    index[~inside] = 0
    return index.reshape(-1), inside.reshape(-1)
