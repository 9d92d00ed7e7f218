"""A pair in, a whole reading out; what cannot be used leaves nothing free."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.perception.camera_input import camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleSensor, range_scan
from rarrl.perception.obstacles import Body, HeightSlice, height_slice, summarize_slice
from rarrl.perception.opencv_matchers import CountDetector
from rarrl.perception.voxels import PRESETS, GridSpec
from rarrl.poses import PoseBuffer, pose_matrix
from rarrl.types import ObstacleSummary, StereoPair, VoxelState

INDOOR = PRESETS["indoor"]
BODY = Body(0.6, 0.15, 1.5)
POSE = camera_pose(0.4, 0.0)


@pytest.fixture(scope="module")
def sensor(indoor_pair):
    return ObstacleSensor(ClassicalDetector(indoor_pair.rig, INDOOR), POSE, BODY, sectors=31)


def test_a_reading_is_the_detectors_grid_its_slice_its_summary_and_its_scan(sensor, indoor_pair):
    reading = sensor.read(indoor_pair.pair)
    grid = ClassicalDetector(indoor_pair.rig, INDOOR).detect(indoor_pair.pair)
    np.testing.assert_array_equal(reading.grid.state, grid.state)
    np.testing.assert_array_equal(reading.places.state, height_slice(grid, POSE, BODY).state)
    assert reading.refusal == "" and not reading.fused and reading.summary.stamp_s == grid.stamp_s
    np.testing.assert_array_equal(reading.scan.ranges, np.minimum(reading.summary.clear_m, INDOOR.z_far))
    assert 0.5 < reading.scan.ranges.max() <= reading.scan.range_max == INDOOR.z_far


def test_bearings_of_scan_and_summary_are_the_same_and_fill_the_field_of_view(sensor, indoor_pair):
    reading = sensor.read(indoor_pair.pair)
    bearings = reading.scan.angle_min + reading.scan.increment * np.arange(31)
    np.testing.assert_allclose(bearings, reading.summary.bearings, atol=1e-12)
    assert 31 * reading.scan.increment == pytest.approx(indoor_pair.rig.field_rad)


UNUSABLE = {
    "dark": lambda pair: StereoPair(np.zeros_like(pair.left), np.zeros_like(pair.right)),
    "swapped": lambda pair: StereoPair(pair.right, pair.left),
    "one image": lambda pair: StereoPair(pair.left, pair.left),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_pair_that_cannot_be_used_says_why_and_blocks_every_bearing(what, sensor, indoor_pair):
    reading = sensor.read(UNUSABLE[what](indoor_pair.pair))
    assert reading.refusal == reading.grid.refusal != ""
    assert reading.grid.unknown.all() and not reading.scan.ranges.any()
    assert (reading.places.state == VoxelState.UNKNOWN).all()
    assert sensor.read(indoor_pair.pair).refusal == ""  # nothing is left of it in the next one


def test_a_pair_that_is_refused_beforehand_looks_the_same(sensor):
    reading = sensor.refuse(3.0, "the left camera is frozen")
    assert reading.refusal == "the left camera is frozen" and reading.grid.stamp_s == 3.0
    assert reading.grid.unknown.all() and not reading.scan.ranges.any() and reading.summary.time_to_contact_s == 0.0


def test_images_of_another_size_are_the_callers_mistake(sensor, indoor_pair):
    half = StereoPair(indoor_pair.pair.left[::2, ::2], indoor_pair.pair.right[::2, ::2])
    with pytest.raises(ValueError, match="185"):
        sensor.read(half)


def test_any_detector_will_do(indoor_pair):
    reading = ObstacleSensor(CountDetector("gray", indoor_pair.rig, INDOOR, 5), POSE, BODY, 9).read(indoor_pair.pair)
    assert len(reading.scan.ranges) == 9 and reading.grid.occupied.any()


def test_grids_are_added_up_only_where_poses_are_known_and_a_reset_forgets(indoor_pair):
    sensor = ObstacleSensor(ClassicalDetector(indoor_pair.rig, INDOOR), POSE, BODY, 31, fuse=True)

    def read(stamp_s, known, left=None):
        pair = indoor_pair.pair
        pair = StereoPair(pair.left if left is None else left, pair.right if left is None else left, stamp_s)
        return sensor.read(pair, pose_matrix(0.0, 0.0, 0.0) if known else None)

    single = read(0.0, known=False)
    assert not single.fused
    readings = [read(0.1 * k, known=True) for k in range(1, 4)]
    assert all(reading.fused for reading in readings)
    dark = np.zeros_like(indoor_pair.pair.left)
    refused = read(0.4, known=True, left=dark)
    assert refused.refusal and not refused.fused and not refused.scan.ranges.any()
    assert read(0.5, known=True).grid.occupied.sum() > 100
    sensor.reset()
    again = read(0.6, known=True)
    alone = ObstacleSensor(ClassicalDetector(indoor_pair.rig, INDOOR), POSE, BODY, 31, fuse=True).read(
        StereoPair(indoor_pair.pair.left, indoor_pair.pair.right, 0.6), pose_matrix(0.0, 0.0, 0.0)
    )
    np.testing.assert_array_equal(again.grid.state, alone.grid.state)


def test_a_pose_that_arrives_during_detection_is_the_one_that_counts(indoor_pair, monkeypatch):
    """Odometry at 10 Hz, an image at 10.09 s: the pose of 10.1 s comes while the image is looked at."""
    poses = PoseBuffer()
    poses.add(10.0, pose_matrix(0.0, 0.0, 0.0))
    poses.add(10.05, pose_matrix(0.0, 0.0, 0.0))
    detector = ClassicalDetector(indoor_pair.rig, INDOOR)
    detect = detector.detect

    def detect_slowly(pair):
        grid = detect(pair)
        poses.add(10.1, pose_matrix(0.05, 0.0, 0.0))
        return grid

    asked = []

    def pose():
        asked.append(poses.at(10.09))
        return asked[-1]

    monkeypatch.setattr(detector, "detect", detect_slowly)
    sensor = ObstacleSensor(detector, POSE, BODY, 31, fuse=True)
    pair = StereoPair(indoor_pair.pair.left, indoor_pair.pair.right, 10.09)
    assert sensor.read(pair, pose).fused
    assert [T[0, 3] for T in asked] == [pytest.approx(0.04)]  # four fifths of the way from 10.05 to 10.1 s
    np.testing.assert_allclose(sensor._fused_at, asked[0] @ POSE)
    assert not sensor.read(pair, lambda: None).fused  # asked for, but not known


# The formula of the scan


def test_a_bearing_is_as_long_as_it_is_seen_to_be_free():
    summary = ObstacleSummary(np.array([-0.1, 0.1]), np.array([math.inf, 1.0]), np.array([0.0, 0.9]), 0.0, 0.0)
    scan = range_scan(summary, 0.4, 3.0)
    assert scan.ranges.tolist() == [0.0, 0.9]  # no obstacle seen is no freedom
    assert (scan.angle_min, scan.increment, scan.range_max) == pytest.approx((-0.1, 0.2, 3.0))


@settings(max_examples=200)
@given(
    state=st.lists(st.sampled_from([0, 1, 2]), min_size=96, max_size=96),
    present=st.lists(st.booleans(), min_size=96, max_size=96),
    origin=st.tuples(st.floats(0.0, 0.5), st.floats(-1.0, 0.0)),
)
def test_the_nearest_obstacle_is_never_nearer_than_free_space_ends(state, present, origin):
    """So the nearer of the two is `clear_m` itself, whatever a detector makes of a pair."""
    there = np.array(present).reshape(12, 8)
    places = HeightSlice(np.array(state, np.uint8).reshape(12, 8) * there, there, origin, 0.1)
    summary = summarize_slice(places, Body(), 0.0, 1.0, 1.2, 9)
    np.testing.assert_array_equal(np.minimum(summary.nearest_m, summary.clear_m), summary.clear_m)


def test_the_smallest_cube_still_makes_a_scan(indoor_pair):
    spec = GridSpec.cube(0.8, 0.1)
    scan = ObstacleSensor(ClassicalDetector(indoor_pair.rig, spec), POSE, BODY, 1).read(indoor_pair.pair).scan
    assert len(scan.ranges) == 1 and scan.range_max == spec.z_far


@pytest.mark.parametrize("pitch", [0.0, 0.3, 0.7])
def test_the_blind_zone_is_what_no_bearing_of_the_scan_shows(sensor, pitch):
    """Against the projection: a low thing at the outermost bearings appears in the picture just beyond `blind_m`."""
    pose = camera_pose(1.5, pitch)
    looking = ObstacleSensor(sensor.detector, pose, BODY, sectors=31)
    rig = sensor.detector.voxelizer.rig
    blind_m = looking.blind_m(0.3)

    def rows(distance: float) -> np.ndarray:
        bearings = np.linspace(-0.97, 0.97, 41) * looking.field_rad / 2
        at = np.stack([distance * np.cos(bearings), distance * np.sin(bearings), np.full(41, 0.3), np.ones(41)])
        return rig.project((np.linalg.inv(pose) @ at)[:3].T)[:, 1]

    assert (rows(1.02 * blind_m) <= rig.height - 1).all()
    assert (rows(0.9 * blind_m) > rig.height - 1).any()
    middle_m = 1.2 / math.tan(pitch + math.atan((rig.height - 1 - rig.cy) / rig.fy))
    assert blind_m > middle_m
    assert looking.blind_m(1.5) == 0.0
    assert looking.blind_m(0.0) > looking.blind_m(0.2) > blind_m


def test_a_camera_that_looks_up_never_sees_what_is_low(sensor):
    assert ObstacleSensor(sensor.detector, camera_pose(1.0, -1.2), BODY, sectors=31).blind_m(0.2) == math.inf
