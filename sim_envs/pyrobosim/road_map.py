"""Paths for pyrobosim's robot that depend on the world alone.

The workshop's own planner (RRT) draws at random and gives up after so many seconds of wall time, so what happens
depends on how busy the computer is. This one takes the shortest way along straight lines between the world's navigation
poses."""

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .robot import CountingClock

GIVES_UP_S = 5.0
"""Simulated seconds until it says that there is no path: the workshop's `max_time`, which RRT uses up in that case."""
SAME_SPOT_M = 1e-6
"""Poses nearer than this are one: the robot stands exactly at the end of the path that it drove."""


class RoadMap:
    """Straight lines between the navigation poses of a world, and the doors that each of them passes.

    poses: pyrobosim's `Pose`s.  xy: (n, 2) their metres.  It serves all worlds of the same rooms, doors and places."""

    def __init__(self, world: Any) -> None:
        import shapely

        entities = [*world.rooms, *world.hallways, *(spawn for place in world.locations for spawn in place.children)]
        self.doors = [hall.name for hall in world.hallways]
        self.poses = [node.pose for entity in entities for node in entity.graph_nodes]
        self.xy = np.array([(pose.x, pose.y) for pose in self.poses], np.float64)
        self._free = shapely.unary_union([room.internal_collision_polygon for room in (*world.rooms, *world.hallways)])
        self._shut_doors = [hall.inflated_closed_polygon for hall in world.hallways]
        for polygon in (self._free, *self._shut_doors):
            shapely.prepare(polygon)

        lines = [self._lines(xy, self.xy) for xy in self.xy]
        self._lengths = np.array(
            [lengths for lengths, _ in lines]
        )  # (n, n) metres, infinite where something is between
        self._passes = np.array([passes for _, passes in lines])  # (n, n, doors) the doors on the line

    def way(self, start: Any, goal: Any, shut: Collection[str] = ()) -> list[Any]:
        """Poses from the start to the goal, both included; empty where the shut doors leave no way.

        Those between are copies, since pyrobosim turns them to where the path goes."""
        from scipy.sparse.csgraph import dijkstra

        first, lengths, xy = self._joined(start, self._open_lengths(shut), self.xy, shut)
        last, lengths, xy = self._joined(goal, lengths, xy, shut)
        if first == last:
            return [start, goal]
        far, before = dijkstra(np.where(np.isinf(lengths), 0.0, lengths), indices=first, return_predecessors=True)
        if np.isinf(far[last]):
            return []

        rows = [int(before[last])]
        while rows[-1] != first:
            rows.append(int(before[rows[-1]]))
        return [start, *(copy.copy(self.poses[row]) for row in reversed(rows[:-1])), goal]

    def lengths(self, shut: Collection[str] = ()) -> np.ndarray:
        """(n, n) metres of the shortest ways between all poses; infinite where there is none."""
        from scipy.sparse.csgraph import dijkstra

        lengths = self._open_lengths(shut)
        return np.asarray(dijkstra(np.where(np.isinf(lengths), 0.0, lengths)))

    def _joined(
        self, pose: Any, lengths: np.ndarray, xy: np.ndarray, shut: Collection[str]
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """The row of a pose, and the map with it: where it is none of those that are there, it becomes the last."""
        here = np.array([pose.x, pose.y])
        there = np.flatnonzero(np.linalg.norm(xy - here, axis=1) < SAME_SPOT_M)
        if there.size:
            return int(there[0]), lengths, xy

        row, passes = self._lines(here, xy)
        row = np.where(passes[:, self._rows_of(shut)].any(axis=1), np.inf, row)
        n = len(xy)
        grown = np.full((n + 1, n + 1), np.inf)
        grown[:n, :n] = lengths
        grown[n, :n] = grown[:n, n] = row
        return n, grown, np.vstack([xy, here])

    def _open_lengths(self, shut: Collection[str]) -> np.ndarray:
        blocked = self._passes[:, :, self._rows_of(shut)].any(axis=2)
        return np.where(blocked, np.inf, self._lengths)

    def _rows_of(self, shut: Collection[str]) -> list[int]:
        return [row for row, door in enumerate(self.doors) if door in shut]

    def _lines(self, here: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres to each of the others where nothing that stays is between, and (others, doors) those on the line."""
        import shapely

        lines = shapely.linestrings(np.stack([np.broadcast_to(here, others.shape), others], axis=1))
        clear = shapely.covers(self._free, lines)
        passes = np.array([shapely.intersects(door, lines) for door in self._shut_doors]).T
        return np.where(clear, np.linalg.norm(others - here, axis=1), np.inf), passes


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
