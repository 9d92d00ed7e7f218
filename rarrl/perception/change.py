"""Whether something has changed at a spot between two voxel grids, such as where a thing was put down."""

from __future__ import annotations

import numpy as np

from rarrl.types import VoxelGrid

RADIUS_M = 0.1
"""Metres around the spot: of 0.1, 0.15 and 0.25 this told best whether a thing was taken or put down in the simulated
home (area under the curve 0.95 and 0.92)."""
HEIGHTS_M = (0.1, 1.4)
"""Metres above the floor between which voxels count: above the floor's noise, up to where an arm works."""
CHANGED_VOXELS = 3.0
"""Voxels' worth of change from which something has changed: nine of ten things taken or put down come to more, nine of
ten spots where nothing happened to less."""


def change_near(before: VoxelGrid, after: VoxelGrid, T_base_camera: np.ndarray, x: float, y: float) -> float | None:
    """The sum of the changes of probability of all voxels near the vertical line at (x, y), metres in the base frame.

    The base must not have moved between the two. T_base_camera: (4, 4), takes points of the grids' frame to the base
    frame. None where a picture could not be used, the grids are not alike, or the spot is out of view."""
    cubes = {(grid.origin, grid.voxel_size, grid.state.shape) for grid in (before, after)}
    if before.refusal or after.refusal or len(cubes) > 1:
        return None

    corners = np.indices(before.state.shape).reshape(3, -1)
    centres = np.array(before.origin)[:, None] + before.voxel_size * (corners + 0.5)
    points = T_base_camera[:3, :3] @ centres + T_base_camera[:3, 3:]
    low, high = HEIGHTS_M
    near = (np.hypot(points[0] - x, points[1] - y) <= RADIUS_M) & (low <= points[2]) & (points[2] <= high)
    if not near.any():
        return None

    change = after.probability.reshape(-1)[near] - before.probability.reshape(-1)[near]
    return float(np.abs(change).sum())


def has_changed(before: VoxelGrid, after: VoxelGrid, T_base_camera: np.ndarray, x: float, y: float) -> bool | None:
    """Whether `change_near` is more than noise; None where that cannot be told."""
    change = change_near(before, after, T_base_camera, x, y)
    return None if change is None else change >= CHANGED_VOXELS
