"""Where the robot's surroundings were seen to be free. Everything else counts as an obstacle."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import numpy as np

from rarrl.range_scan import NOTHING_M, THICK_M, RangeScan

TURN_M = 0.5
"""Metres that a turn of one radian counts as: its error moves what is 0.5 m away by as much as half a metre driven."""
JUMP_M = 1.0
"""Metres. A pose this far from the last one is a reset of the odometry: no base covers that between two messages."""

Pose = tuple[float, float, float]
"""x, y (metres), yaw (radians) in a fixed frame."""


class FreeSpace:
    """Cells of side `cell_m`, in a frame that stands still, within `radius_m` of the robot. All metres.

    A cell is free where it was seen to be, or vouched for, unless the newest scan of one of the sensors has it in view
    and does not see that, or something was seen there since; it is forgotten once the robot has driven `memory_m`.

    Each cell also has the moment at which nothing that moves can have been in it: it was in view and free, vouched for,
    or the robot itself stood there. Seconds of the steady clock; infinity, where a caller leaves them out: for ever."""

    def __init__(self, radius_m: float, memory_m: float, cell_m: float) -> None:
        self.cell_m = cell_m
        self._half = math.ceil(radius_m / cell_m) + 1
        side = 2 * self._half + 1
        self._memory = memory_m
        self._seen_at = np.full((side, side), -math.inf)  # the odometer when a cell was last seen free
        self._empty_s = np.full((side, side), -math.inf)  # when nothing that moves can have been in a cell
        self._hidden: dict[
            Hashable, np.ndarray
        ] = {}  # sensor -> in view of its newest scan, which does not see it free
        self._corner = (0, 0)  # cell numbers of [0, 0]
        self._odometer = 0.0
        self._pose: Pose | None = None
        self._views: dict[Hashable, tuple[RangeScan, Pose]] = {}  # sensor -> its newest scan, and where it was taken

    def forget(self) -> None:
        """Nothing is free any more."""
        self._seen_at[:] = -math.inf
        self._empty_s[:] = -math.inf
        self._hidden.clear()

    def move(self, pose: Pose) -> bool:
        """The robot is at `pose` now; False, and all is forgotten, where it cannot have come there by itself."""
        if not all(map(math.isfinite, pose)):
            raise ValueError(f"FreeSpace.move: the pose must be finite, got {pose}")
        known = True
        if self._pose is not None:
            driven = math.hypot(pose[0] - self._pose[0], pose[1] - self._pose[1])
            self._odometer += driven + TURN_M * abs(math.remainder(pose[2] - self._pose[2], 2 * math.pi))
            if driven > JUMP_M:
                self.forget()
                known = False
        self._pose = pose
        self._centre(math.floor(pose[0] / self.cell_m) - self._half, math.floor(pose[1] / self.cell_m) - self._half)
        return known

    def _centre(self, x: int, y: int) -> None:
        """Moves the window so that its corner is the cell (x, y)."""
        dx = x - self._corner[0]
        dy = y - self._corner[1]
        if dx or dy:
            self._seen_at = _shifted(self._seen_at, dx, dy, -math.inf)
            self._empty_s = _shifted(self._empty_s, dx, dy, -math.inf)
            self._hidden = {sensor: _shifted(cells, dx, dy, False) for sensor, cells in self._hidden.items()}
            self._corner = (x, y)

    def vouch(self, radius_m: float, at_s: float = math.inf) -> None:
        """The cells within `radius_m` of the robot are free, at `at_s`."""
        x, y = self._centres()
        here = self._here()
        near = np.hypot(x - here[0], y - here[1]) <= radius_m
        self._seen_at[near] = self._odometer
        self._empty_s[near] = at_s

    def cover(self, stands_in: Callable[[np.ndarray, np.ndarray], np.ndarray], at_s: float) -> None:
        """The robot stands, at `at_s`, in the cells of which `stands_in` says so by their middles x, y (its frame)."""
        here = stands_in(*self._from_robot(*self._centres()))
        self._empty_s[here] = np.maximum(self._empty_s[here], at_s)

    def see(self, scan: RangeScan, sensor: Pose, source: Hashable = None, at_s: float = math.inf) -> None:
        """Takes over what `scan`, taken at `at_s` at the sensor's pose `sensor`, shows of each cell in its view.

        source: which of several sensors that is; what one does not see free is not free, whatever the others see."""
        self._views[source] = scan, sensor
        x, y = self._centres()
        dx = x - sensor[0]
        dy = y - sensor[1]
        distance = np.hypot(dx, dy)
        reach = scan.reach(np.arctan2(dy, dx) - sensor[2])
        # A bearing that ends within the blind zone says nothing either: so near, depth errs by more than is left.
        in_view = (reach == reach) & ~((reach > NOTHING_M) & (reach < scan.blind_m))
        hidden = in_view & (distance + self.cell_m * math.sqrt(0.5) >= reach)
        thing = hidden & (reach > NOTHING_M) & (distance <= reach + THICK_M)
        # A wedge may be thinner than a cell and pass between the middles: what lies in its shadow is not free.
        c = math.cos(sensor[2])
        s = math.sin(sensor[2])
        points, near = scan.shadows(self.cell_m / 2, 2 * self._half * self.cell_m)
        cells = np.floor((points @ [[c, s], [-s, c]] + sensor[:2]) / self.cell_m).astype(int) - self._corner
        inside = ((cells >= 0) & (cells < len(self._seen_at))).all(axis=1)
        cells = cells[inside]
        near = near[inside]
        hidden[cells[:, 0], cells[:, 1]] = True
        thing[cells[near, 0], cells[near, 1]] = True
        hidden &= in_view  # else no later scan would clear it

        self._seen_at[in_view & ~hidden & (distance >= scan.blind_m)] = self._odometer
        self._seen_at[thing & in_view] = -math.inf
        self._empty_s[in_view & ~hidden] = at_s  # who moves is tall: the blind zone hides only what is low
        self._hidden[source] = hidden

    @property
    def yaw(self) -> float:
        """Of the robot, rad."""
        return self._here()[2]

    def in_view(self, bearing: float) -> bool:
        """Whether a sensor's newest scan looked along a bearing of the robot, rad; true where there is none."""
        return not self._views or any(
            np.isfinite(scan.reach(np.array(bearing + self.yaw - sensor[2]))) for scan, sensor in self._views.values()
        )

    def free(self, since_s: float = -math.inf) -> np.ndarray:
        """(n, n) bool, of the cells of the window; [0, 0] has the least x and y. since_s: those alone of which it is
        known that nothing that moves was there at that moment or later."""
        free = (self._seen_at >= self._odometer - self._memory) & (self._empty_s >= since_s)
        for hidden in self._hidden.values():
            free &= ~hidden
        return free

    def edges(self, within_m: float, since_s: float = -math.inf) -> np.ndarray:
        """(n, 2) centres, in the robot's frame, of the cells that are not free but have a free neighbour, or lie
        `within_m` or less from the robot. Whoever leaves free space passes one of them. since_s: as of `free`."""
        free = self.free(since_s)
        beside = np.zeros_like(free)
        beside[1:] |= free[:-1]
        beside[:-1] |= free[1:]
        beside[:, 1:] |= free[:, :-1]
        beside[:, :-1] |= free[:, 1:]
        x, y = self._centres()
        here = self._here()
        near = np.hypot(x - here[0], y - here[1]) <= within_m
        found = ~free & (beside | near)
        middles = (np.broadcast_to(across, free.shape)[found] for across in (x, y))
        return np.stack(self._from_robot(*middles), axis=1)

    def _from_robot(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y in the robot's frame."""
        px, py, yaw = self._here()
        dx = x - px
        dy = y - py
        c = math.cos(yaw)
        s = math.sin(yaw)
        return c * dx + s * dy, c * dy - s * dx

    def _here(self) -> Pose:
        if self._pose is None:
            raise ValueError("FreeSpace: move it to the robot first")
        return self._pose

    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        """x (side, 1) and y (1, side) of the cells' middles."""
        n = np.arange(len(self._seen_at))
        return ((self._corner[0] + n + 0.5) * self.cell_m)[:, None], ((self._corner[1] + n + 0.5) * self.cell_m)[None]


def _shifted(cells: np.ndarray, dx: int, dy: int, empty: float | bool) -> np.ndarray:
    """`cells` of a window that moved by dx, dy cells.

    >>> _shifted(np.array([[1, 2], [3, 4]]), 1, 0, 0).tolist()
    [[3, 4], [0, 0]]
    """
    result = np.full_like(cells, empty)
    side = len(cells)
    if abs(dx) < side and abs(dy) < side:
        result[max(-dx, 0) : side - max(dx, 0), max(-dy, 0) : side - max(dy, 0)] = cells[
            max(dx, 0) : side + min(dx, 0), max(dy, 0) : side + min(dy, 0)
        ]
    return result
