"""The rules of two Nav2 parts, restated: what the obstacle layer and the collision monitor make of messages.

Written from reading ros-navigation/navigation2 at a3a97043: `nav2_costmap_2d/plugins/obstacle_layer.cpp` (updateBounds,
raytraceFreespace, laserScanValidInfCallback), its `src/observation_buffer.cpp` (bufferCloud), raytraceLine of
`nav2_util`, and of `nav2_collision_monitor/src` the files scan, pointcloud, polygon, circle and collision_monitor_node.
Rays are sampled here instead of Bresenham's algorithm. Transforms are 4 x 4 matrices: what TF would give."""

import ast
import math

import numpy as np

UNKNOWN, FREE, LETHAL = 255, 0, 254
INF_EPSILON = 1e-4
"""Metres below range_max that an infinite reading becomes."""


def points_of_cloud(msg):
    return np.frombuffer(bytes(msg.data), np.float32).reshape(-1, msg.point_step // 4)[:, :3].astype(float)


def points_of_scan(msg, inf_is_valid):
    """As laser_geometry projects: readings outside of the limits are left out."""
    ranges = np.array(msg.ranges, dtype=float)
    if inf_is_valid:
        ranges[np.isposinf(ranges)] = msg.range_max - INF_EPSILON
    angles = msg.angle_min + msg.angle_increment * np.arange(len(ranges))
    held = (ranges >= msg.range_min) & (ranges < msg.range_max)
    return np.stack([np.cos(angles) * ranges, np.sin(angles) * ranges, 0 * ranges], axis=1)[held]


class ObstacleLayer:
    """costmap: (n, n) uint8, row by y, column by x, centred on the robot, which does not move."""

    def __init__(self, costmap_parameters, layer):
        self.resolution = costmap_parameters["resolution"]
        self.n = round(costmap_parameters["width"] / self.resolution)
        default = UNKNOWN if costmap_parameters.get("track_unknown_space", False) else FREE
        self.costmap = np.full((self.n, self.n), default, np.uint8)
        self.layer = layer
        self.kept = {}  # the last observation of each source: observation_persistence is 0

    def cell(self, x, y):
        return (np.floor(np.stack([x, y]) / self.resolution) + self.n // 2).astype(int)

    def hear(self, source, points, T_global_source):
        """A message of `source`; points: (m, 3) in its frame."""
        of = self.layer[source]
        moved = points @ T_global_source[:3, :3].T + T_global_source[:3, 3]
        high = (moved[:, 2] >= of.get("min_obstacle_height", 0.0)) & (moved[:, 2] <= of.get("max_obstacle_height", 0.0))
        self.kept[source] = T_global_source[:3, 3], moved[high]

    def update(self):
        for source, (origin, points) in self.kept.items():
            if self.layer[source].get("clearing", False):
                for x, y in points[:, :2]:
                    self._clear(origin, x, y, self.layer[source])
        for source, (origin, points) in self.kept.items():
            of = self.layer[source]
            if not of.get("marking", True):
                continue
            away = np.hypot(*(points[:, :2] - origin[:2]).T)
            held = (points[:, 2] >= self.layer["min_obstacle_height"]) & (
                points[:, 2] <= self.layer["max_obstacle_height"]
            )
            held &= (away <= of.get("obstacle_max_range", 2.5)) & (away >= of.get("obstacle_min_range", 0.0))
            u, v = self.cell(*points[held, :2].T)
            inside = (u >= 0) & (v >= 0) & (u < self.n) & (v < self.n)
            self.costmap[v[inside], u[inside]] = LETHAL

    def _clear(self, origin, x, y, of):
        length = math.hypot(x - origin[0], y - origin[1])
        least, most = of.get("raytrace_min_range", 0.0), min(of.get("raytrace_max_range", 3.0), length)
        if length < least:
            return
        steps = np.arange(least, most + 1e-9, self.resolution / 4) / max(length, 1e-9)
        u, v = self.cell(origin[0] + steps * (x - origin[0]), origin[1] + steps * (y - origin[1]))
        inside = (u >= 0) & (v >= 0) & (u < self.n) & (v < self.n)
        self.costmap[v[inside], u[inside]] = FREE


def collision_monitor(parameters, heard, now_s):
    """Why it stops, "" if it does not. heard: source -> (points (m, 3) in the base frame, stamp in seconds) or None."""
    sources = {}
    for name in parameters["observation_sources"]:
        last = heard.get(name)
        if last is None or now_s - last[1] > parameters["source_timeout"]:
            return "invalid source"
        points = last[0]
        if parameters[name]["type"] == "pointcloud":
            points = points[
                (points[:, 2] >= parameters[name]["min_height"]) & (points[:, 2] <= parameters[name]["max_height"])
            ]
        sources[name] = points[:, :2]

    for name in parameters["polygons"]:
        polygon = parameters[name]
        points = np.concatenate([sources[source] for source in polygon["sources_names"]])
        if polygon["type"] == "circle":
            inside = np.hypot(*points.T) < polygon["radius"]
        else:
            inside = _in_polygon(points, np.array(ast.literal_eval(polygon["points"])))
        if inside.sum() >= polygon.get("min_points", 4):
            return name
    return ""


def _in_polygon(points, corners):
    """Which of (m, 2) points lie in a polygon, by the crossings of a ray."""
    x, y = points.T
    inside = np.zeros(len(points), bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside
