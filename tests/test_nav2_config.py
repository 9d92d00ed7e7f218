"""config/nav2: its names are Nav2's, and Nav2's rules make of the node's messages what the page promises.

Nav2 itself is not run: its rules are restated in tests/nav2_rules.py."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from nav2_rules import FREE, LETHAL, UNKNOWN, ObstacleLayer, collision_monitor, points_of_cloud, points_of_scan

from rarrl.config import DetectorConfig
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS
from rarrl.types import StereoPair
from rarrl_learning.perception.synthetic import Quad, Scene, draw

pytest.importorskip("sensor_msgs", reason="sensor_msgs is missing: it comes with rarrl[ros] or a ROS 2")
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from rarrl_nodes.stereo_messages import cloud_of, scan_of

FOLDER = Path(__file__).resolve().parents[1] / "config" / "nav2"

# Names that the sources of a3a97043 declare (declare_or_get_parameter), without those of other plugins.
COSTMAP = {
    "always_send_full_costmap",
    "map_vis_z",
    "footprint_padding",
    "footprint",
    "global_frame",
    "height",
    "width",
    "origin_x",
    "origin_y",
    "plugins",
    "filters",
    "publish_frequency",
    "resolution",
    "robot_base_frame",
    "robot_radius",
    "rolling_window",
    "track_unknown_space",
    "transform_tolerance",
    "initial_transform_timeout",
    "update_frequency",
    "subscribe_to_stamped_footprint",
    "lethal_cost_threshold",
    "trinary_costmap",
    "unknown_cost_value",
    "use_maximum",
}
OBSTACLE_LAYER = {
    "plugin",
    "enabled",
    "footprint_clearing_enabled",
    "min_obstacle_height",
    "max_obstacle_height",
    "combination_method",
    "observation_sources",
    "tf_filter_tolerance",
}
OBSERVATION = {
    "topic",
    "sensor_frame",
    "observation_persistence",
    "expected_update_rate",
    "data_type",
    "min_obstacle_height",
    "max_obstacle_height",
    "inf_is_valid",
    "marking",
    "clearing",
    "transport_type",
    "obstacle_max_range",
    "obstacle_min_range",
    "raytrace_max_range",
    "raytrace_min_range",
}
INFLATION = {
    "plugin",
    "enabled",
    "inflation_radius",
    "cost_scaling_factor",
    "inflate_unknown",
    "inflate_around_unknown",
    "num_threads",
    "custom_inscribed_radius",
}
MONITOR = {
    "enabled",
    "base_frame_id",
    "odom_frame_id",
    "cmd_vel_in_topic",
    "cmd_vel_out_topic",
    "state_topic",
    "transform_tolerance",
    "source_timeout",
    "base_shift_correction",
    "stop_pub_timeout",
    "polygons",
    "observation_sources",
    "collision_points_marker_3d",
    "use_realtime_priority",
}
POLYGON = {
    "type",
    "points",
    "radius",
    "action_type",
    "min_points",
    "sources_names",
    "visualize",
    "polygon_pub_topic",
    "enabled",
    "slowdown_ratio",
    "linear_limit",
    "angular_limit",
    "time_before_collision",
    "simulation_time_step",
    "footprint_topic",
    "trigger_consecutive_points",
    "release_consecutive_points",
}
SOURCE = {
    "type",
    "topic",
    "enabled",
    "source_timeout",
    "exclusion_zones",
    "min_height",
    "max_height",
    "min_range",
    "use_global_height",
    "transport_type",
}


def parameters(name, *path):
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    for key in (*path, "ros__parameters"):
        found = found[key]
    return found


@pytest.fixture(scope="module")
def costmap():
    return parameters("costmap", "local_costmap", "local_costmap")


@pytest.fixture(scope="module")
def monitor():
    return parameters("collision_monitor", "collision_monitor")


def test_the_numbers_are_those_of_the_detector(costmap, monitor):
    config, spec = DetectorConfig(), PRESETS[DetectorConfig().preset]
    layer = costmap["stereo_layer"]
    for heights in (layer, layer["voxels"]):
        assert (heights["min_obstacle_height"], heights["max_obstacle_height"]) == (
            config.body_low_m,
            config.body_high_m,
        )
    assert layer["voxels"]["obstacle_max_range"] == layer["scan"]["raytrace_max_range"] == spec.z_far
    assert costmap["resolution"] == spec.voxel_size and monitor["source_timeout"] == config.max_age_s
    assert monitor["Blind"]["min_points"] == math.ceil(config.scan_sectors / 2)


def test_every_name_is_one_that_nav2_declares(costmap, monitor):
    layers = costmap["plugins"]
    sources = costmap["stereo_layer"]["observation_sources"].split()
    assert set(costmap) - set(layers) <= COSTMAP and set(layers) <= set(costmap)
    assert set(costmap["stereo_layer"]) - set(sources) <= OBSTACLE_LAYER
    assert all(set(costmap["stereo_layer"][source]) <= OBSERVATION for source in sources)
    assert set(costmap["inflation_layer"]) <= INFLATION

    parts = {*monitor["polygons"], *monitor["observation_sources"]}
    assert set(monitor) - parts <= MONITOR and parts <= set(monitor)
    assert all(set(monitor[name]) <= POLYGON for name in monitor["polygons"])
    assert all(set(monitor[name]) <= SOURCE for name in monitor["observation_sources"])
    assert all(
        set(monitor[name]["sources_names"]) <= set(monitor["observation_sources"]) for name in monitor["polygons"]
    )


# A room: a wall 4 m ahead, the floor, and, where asked for, a crate.

HEIGHT_M = 0.4
WALL_M = 4.0
CRATE = (1.5, -0.3, 0.3)  # m ahead of the camera; from, to aside (right is positive)
RIG = CameraRig(420.0, 420.0, 320.0, 240.0, 0.12, 640, 480)


def picture_of(crate, bare_wall=False, baseline=0.0, grain=0):
    rng = np.random.default_rng(1)
    textures = [rng.integers(30, 220, (256, 256, 3)).astype(np.uint8) for _ in range(3)]
    one = np.ones(3)

    def quad(corner, along, across, texture):
        repeat = (0.25 * np.linalg.norm(along), 0.25 * np.linalg.norm(across))
        return Quad(np.array(corner, float), np.array(along, float), np.array(across, float), texture, repeat, one)

    quads = [
        quad((-6, HEIGHT_M, 0.2), (12, 0, 0), (0, 0, 6), 0),
        quad((-6, -3, WALL_M), (12, 0, 0), (0, 3 + HEIGHT_M, 0), -1 if bare_wall else 1),
    ]
    if crate:
        z, left, right = CRATE
        quads.append(quad((left, HEIGHT_M - 0.7, z), (right - left, 0, 0), (0, 0.7, 0), 2))
    image, _ = draw(Scene("indoor", RIG, quads, textures, np.full(3, 200.0)), baseline)
    noise = np.random.default_rng([grain, int(100 * baseline)]).standard_normal(image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def pair_of(crate, bare_wall=False):
    return StereoPair(picture_of(crate, bare_wall), picture_of(crate, bare_wall, RIG.baseline))


POSE = camera_pose(HEIGHT_M, 0.0)


@pytest.fixture(scope="module")
def sensor():
    body = Body(low_m=DetectorConfig().body_low_m, high_m=DetectorConfig().body_high_m)
    return ObstacleSensor(ClassicalDetector(RIG, PRESETS["indoor"]), POSE, body, DetectorConfig().scan_sectors)


def messages(sensor, pair):
    """What the node publishes: cloud and scan; of a refused pair the scan alone."""
    reading = sensor.read(pair)
    scan = scan_of(reading.scan, Time(), "stereo_scan")
    return (None if reading.refusal else cloud_of(reading.grid, Header())), scan


def hear(layer, cloud, scan):
    ground = np.eye(4)
    ground[2, 3] = -1e-9  # TF is not exact: Nav2's default of 0 for min_obstacle_height would drop the scan
    if cloud is not None:
        layer.hear("voxels", points_of_cloud(cloud), POSE)
    layer.hear("scan", points_of_scan(scan, layer.layer["scan"]["inf_is_valid"]), ground)
    layer.update()


def at(layer, x, y):
    u, v = layer.cell(np.array([x]), np.array([y]))
    return int(layer.costmap[v[0], u[0]])


def near_crate(layer):
    u, v = np.indices(layer.costmap.shape)[::-1]
    x, y = ((k - layer.n // 2 + 0.5) * layer.resolution for k in (u, v))
    return (np.abs(x - CRATE[0]) < 0.25) & (y < 0.3) & (y > -0.3)


def test_a_crate_is_marked_where_it_stands_and_the_way_to_it_is_free(costmap, sensor):
    layer = ObstacleLayer(costmap, costmap["stereo_layer"])
    hear(layer, *messages(sensor, pair_of(crate=True)))
    assert (layer.costmap[near_crate(layer)] == LETHAL).sum() >= 5
    assert at(layer, 1.0, 0.0) == FREE and at(layer, 3.0, 0.0) == UNKNOWN, "behind it nothing is known"
    assert at(layer, 0.3, 0.0) == UNKNOWN, "nearer than raytrace_min_range the camera sees over low things"


def test_a_crate_that_has_gone_is_cleared_and_none_of_it_is_left(costmap, sensor):
    layer = ObstacleLayer(costmap, costmap["stereo_layer"])
    hear(layer, *messages(sensor, pair_of(crate=True)))
    there = near_crate(layer) & (layer.costmap == LETHAL)
    hear(layer, *messages(sensor, pair_of(crate=False)))
    left = (layer.costmap[there] == LETHAL).sum()
    assert there.sum() >= 5 and left == 0


@pytest.mark.parametrize(("resolution", "holes"), [(0.1, False), (0.05, True)])
def test_cells_as_wide_as_voxels_are_cleared_and_marked_without_holes(costmap, sensor, resolution, holes):
    """Why the map is as coarse as the voxels: rays pass each of its cells, and a voxel fills one."""
    layer = ObstacleLayer({**costmap, "resolution": resolution}, costmap["stereo_layer"])
    layer.costmap[:] = LETHAL
    hear(layer, *messages(sensor, pair_of(crate=False)))
    u, v = np.indices(layer.costmap.shape)[::-1]
    x, y = ((k - layer.n // 2 + 0.5) * layer.resolution for k in (u, v))
    middle = (x > 1.0) & (x < 3.5) & (np.abs(y) < 0.4 * x)
    left = (layer.costmap[middle] == LETHAL).mean()
    assert (left > 0.02) if holes else (left == 0.0)


def test_a_scan_that_also_marks_makes_obstacles_of_the_unknown(costmap, sensor):
    """The usual configuration for a lidar, and why it is not that of this scan."""
    lidar = {**costmap["stereo_layer"], "min_obstacle_height": -0.1}
    lidar["scan"] = {**lidar["scan"], "marking": True, "obstacle_max_range": 6.4}
    cloud, scan = messages(sensor, pair_of(crate=False, bare_wall=True))
    ours, theirs = ObstacleLayer(costmap, costmap["stereo_layer"]), ObstacleLayer(costmap, lidar)
    for layer in (ours, theirs):
        hear(layer, cloud, scan)
    before_wall = np.s_[:, ours.n // 2 : ours.n // 2 + round(3.7 / ours.resolution)]
    phantoms = (theirs.costmap[before_wall] == LETHAL) & (ours.costmap[before_wall] != LETHAL)
    assert phantoms.sum() > 5


def test_a_pair_without_information_changes_nothing(costmap, sensor):
    layer = ObstacleLayer(costmap, costmap["stereo_layer"])
    hear(layer, *messages(sensor, pair_of(crate=True)))
    before = layer.costmap.copy()
    dark = StereoPair(*(image // 60 for image in (picture_of(True), picture_of(True, baseline=RIG.baseline))))
    cloud, scan = messages(sensor, dark)
    assert cloud is None
    layer.costmap[near_crate(layer)] = LETHAL
    hear(layer, cloud, scan)
    assert (layer.costmap[near_crate(layer)] == LETHAL).all()
    assert (layer.costmap == FREE).sum() <= (before == FREE).sum()


# The collision monitor


def heard(cloud, scan, stamp_s=0.0):
    moved = points_of_cloud(cloud) @ POSE[:3, :3].T + POSE[:3, 3] if cloud is not None else None
    return {
        "voxels": None if moved is None else (moved, stamp_s),
        "scan": (points_of_scan(scan, False), stamp_s),
    }


def test_the_monitor_lets_the_robot_drive_where_it_sees_and_nothing_is_near(monitor, sensor):
    cloud, scan = messages(sensor, pair_of(crate=False))
    assert collision_monitor(monitor, heard(cloud, scan), 0.1) == ""
    assert collision_monitor(monitor, heard(cloud, scan), 0.6) == "invalid source", "silence is a stop"


def test_the_monitor_stops_for_what_stands_near(monitor, sensor):
    cloud, scan = messages(sensor, pair_of(crate=True))
    said = heard(cloud, scan)
    assert collision_monitor(monitor, said, 0.1) == "", "a crate at 1.5 m is no reason to stop"
    points, stamp = said["voxels"]
    nearer = {**said, "voxels": (points - [0.9, 0.0, 0.0], stamp)}
    assert collision_monitor(monitor, nearer, 0.1) == "Stop"


def test_the_monitor_stops_at_once_for_pictures_that_tell_nothing(monitor, sensor):
    cloud, _ = messages(sensor, pair_of(crate=True))
    reading = sensor.refuse(0.0, "the left camera is frozen")
    blocked = scan_of(reading.scan, Time(), "stereo_scan")
    assert len(blocked.ranges) >= monitor["Blind"]["min_points"]
    said = heard(cloud, blocked)
    assert collision_monitor(monitor, said, 0.1) == "Blind", "before the cloud is too old"
    assert not math.isinf(max(blocked.ranges)) and max(blocked.ranges) < 0.02
