"""Paths for pyrobosim's robot that depend on the world alone.

The workshop's own planner (RRT) draws at random and gives up after so many seconds of wall time, so what happens
depends on how busy the computer is. This one takes the shortest way along straight lines between the world's navigation
poses."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .robot import CountingClock

GIVES_UP_S = 5.0
"""Simulated seconds until it says that there is no path: the workshop's `max_time`, which RRT uses up in that case."""
SAME_SPOT_M = 1e-6
"""Poses nearer than this are one: the robot stands exactly at the end of the path that it drove."""


CLEARANCE_M = 0.02
"""Metres that ways keep from corners, on top of the robot's radius: enough for straight lines past round places."""


class RoadMap:
    """The world's navigation poses and the corners around which a shortest way bends, joined by straight lines.

    xy: (n, 2) metres.  rows_of: room, door or place -> the rows of its poses in it.  doors: their names.
    It serves all worlds of the same rooms, doors and places."""

    def __init__(self, world: Any) -> None:
        import shapely

        self.doors = [hall.name for hall in world.hallways]
        self.rows_of: dict[str, list[int]] = {}
        poses: list[Any] = []
        for entity in (*world.rooms, *world.hallways, *world.locations):
            nodes = [node for part in (entity.children or [entity]) for node in part.graph_nodes]
            self.rows_of[entity.name] = list(range(len(poses), len(poses) + len(nodes)))
            poses += [node.pose for node in nodes]

        self._free = shapely.unary_union([room.internal_collision_polygon for room in (*world.rooms, *world.hallways)])
        self._shut_doors = [hall.inflated_closed_polygon for hall in world.hallways]
        for polygon in (self._free, *self._shut_doors):
            shapely.prepare(polygon)

        self.xy = np.array([(pose.x, pose.y) for pose in poses] + _corners(self._free), np.float64)
        lines = [self._lines(xy, self.xy) for xy in self.xy]
        self._lengths = np.array([lengths for lengths, _ in lines])  # (n, n) metres, infinite where a wall is between
        self._passes = np.array([passes for _, passes in lines])  # (n, n, doors) the doors on the line

    def way(self, start: Any, goal: Any, shut: Collection[str] = ()) -> list[Any]:
        """pyrobosim's poses from the start to the goal, both included; empty where the shut doors leave no way."""
        from pyrobosim.utils.pose import Pose
        from scipy.sparse.csgraph import dijkstra

        first, lengths, xy = self._joined((start.x, start.y), self._open_lengths(shut), self.xy, shut)
        last, lengths, xy = self._joined((goal.x, goal.y), lengths, xy, shut)
        if first == last:
            return [start, goal]
        far, before = dijkstra(np.where(np.isinf(lengths), 0.0, lengths), indices=first, return_predecessors=True)
        if np.isinf(far[last]):
            return []

        rows = [int(before[last])]
        while rows[-1] != first:
            rows.append(int(before[rows[-1]]))
        return [start, *(Pose(x=xy[row, 0], y=xy[row, 1]) for row in reversed(rows[:-1])), goal]

    def lengths(self, start: tuple[float, float], shut: Collection[str] = ()) -> np.ndarray:
        """(n + 1, n + 1) metres of the shortest ways between all rows and the start, which is the last."""
        from scipy.sparse.csgraph import dijkstra

        first, lengths, _ = self._joined(start, self._open_lengths(shut), self.xy, shut)
        far = np.asarray(dijkstra(np.where(np.isinf(lengths), 0.0, lengths)))
        rows = [*range(len(self.xy)), first]
        return far[np.ix_(rows, rows)]

    def _joined(
        self, spot: tuple[float, float], lengths: np.ndarray, xy: np.ndarray, shut: Collection[str]
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """The row of a spot, and the map with it: where no row is there, it becomes the last one."""
        here = np.array(spot)
        there = np.flatnonzero(np.linalg.norm(xy - here, axis=1) < SAME_SPOT_M)
        if there.size:
            return int(there[0]), lengths, xy

        row, passes = self._lines(here, xy)
        row = np.where(passes[:, self._columns_of(shut)].any(axis=1), np.inf, row)
        n = len(xy)
        grown = np.full((n + 1, n + 1), np.inf)
        grown[:n, :n] = lengths
        grown[n, :n] = grown[:n, n] = row
        return n, grown, np.vstack([xy, here])

    def _open_lengths(self, shut: Collection[str]) -> np.ndarray:
        blocked = self._passes[:, :, self._columns_of(shut)].any(axis=2)
        return np.where(blocked, np.inf, self._lengths)

    def _columns_of(self, shut: Collection[str]) -> list[int]:
        return [column for column, door in enumerate(self.doors) if door in shut]

    def _lines(self, here: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres to each of the others where no wall and no place is between, and (others, doors) those on the line."""
        import shapely

        lines = shapely.linestrings(np.stack([np.broadcast_to(here, others.shape), others], axis=1))
        clear = shapely.covers(self._free, lines)
        passes = np.array([shapely.intersects(door, lines) for door in self._shut_doors]).T
        return np.where(clear, np.linalg.norm(others - here, axis=1), np.inf), passes


def _corners(free: Any) -> list[tuple[float, float]]:
    """Corners of free space that stick out into it, moved `CLEARANCE_M` off: what a shortest way bends around."""
    import shapely
    from shapely.geometry.polygon import orient

    inner = free.buffer(-CLEARANCE_M, join_style="mitre").simplify(CLEARANCE_M / 2)
    parts = [orient(part) for part in shapely.get_parts(inner)]
    found = []
    for ring in (ring for part in parts for ring in (part.exterior, *part.interiors)):
        xy = np.array(ring.coords)[:-1]
        into, out = xy - np.roll(xy, 1, axis=0), np.roll(xy, -1, axis=0) - xy
        turns_right = into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0] < 0
        found += [(float(x), float(y)) for x, y in xy[turns_right]]
    return found


class RoadMapPlanner:
    """Plugs into pyrobosim's `Robot.set_path_planner`."""

    def __init__(self, road_map: RoadMap, world: Any, clock: "CountingClock") -> None:
        self.robot: Any = None
        self._road_map = road_map
        self._world = world
        self._clock = clock

    def reset(self) -> None:
        """Nothing is left over from one path to the next."""

    def get_graphs(self) -> list[Any]:
        """There is no search tree to draw."""
        return []

    def plan(self, start: Any, goal: Any) -> Any:
        """pyrobosim's `Path`, without poses where there is none."""
        from pyrobosim.utils.path import Path

        poses = self._road_map.way(start, goal, [hall.name for hall in self._world.hallways if not hall.is_open])
        if not poses:
            self._clock.sleep(GIVES_UP_S)
        path = Path(poses=poses)
        path.fill_yaws()
        return path
