"""stereo_voxel_node in this process, fed with rendered pairs over real topics: what it sees, and what it refuses."""

import math
import signal
import threading
import time
from copy import deepcopy

import cv2
import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.frames import Mount
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body, HeightSlice, height_slice
from rarrl.perception.voxels import PRESETS
from rarrl.range_scan import RangeScan
from rarrl.resources.rate_keeper import LOOPS
from rarrl.types import StereoPair, VoxelState
from rarrl_learning.perception.drift import Turn, drifted
from rarrl_learning.perception.synthetic import SynthConfig, render_pair

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
pytest.importorskip("sensor_msgs", reason="sensor_msgs is missing: it comes with rarrl[ros] or a ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.duration import Duration
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.readings import pose_of, range_scan_of, seconds
from rarrl_nodes.stereo_messages import BLOCKED_M, cloud_of, occupancy_of, rig_of, same_camera, scan_of
from rarrl_nodes.stereo_voxel_node import StereoVoxelNode

NAME = "stereo_voxel_node: obstacles"
SIDES = ("left", "right")
TOPICS = {
    f"{side}/{what}": kind for side in SIDES for what, kind in (("image_rect", Image), ("camera_info", CameraInfo))
}
RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)


@pytest.fixture(scope="module")
def scene():
    return render_pair(3, 0, SynthConfig(width=320, height=240, kinds=("indoor",), misrectification_px=0.0))


def image_message(image, encoding="bgr8", frame="left_eye"):
    msg = Image(height=image.shape[0], width=image.shape[1], encoding=encoding, step=image[0].nbytes)
    msg.header.frame_id = frame
    msg.data.frombytes(image.tobytes())
    return msg


def info_messages(rig):
    infos = []
    for shift, cx in ((0.0, rig.cx), (-rig.fx * rig.baseline, rig.cx + rig.doffs)):
        info = CameraInfo(width=rig.width, height=rig.height)
        info.header.frame_id = "left_eye"
        info.p = [rig.fx, 0.0, cx, shift, 0.0, rig.fy, rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        infos.append(info)
    return infos


class Camera:
    """Publishes to the node under test and hears it."""

    def __init__(self, ear, scene):
        self.ear, self.scene, self.sent = ear, scene, 0
        self.publishers = {topic: ear.node.create_publisher(kind, topic, RELIABLE) for topic, kind in TOPICS.items()}
        self.clouds, self.scans, self.maps = [], [], []
        ear.node.create_subscription(PointCloud2, "voxels", self.clouds.append, 100)
        ear.node.create_subscription(LaserScan, "scan", self.scans.append, 100)
        ear.node.create_subscription(OccupancyGrid, "occupancy", self.maps.append, 100)

    def connect(self):
        assert self.ear.until(lambda: all(p.get_subscription_count() for p in self.publishers.values()))
        self.calibrate(*info_messages(self.scene.rig))
        return self

    def calibrate(self, *infos):
        for side, info in zip(SIDES, infos, strict=True):
            self.publishers[f"{side}/camera_info"].publish(info)
        self.listen(0.1)

    def listen(self, seconds):
        self.ear.until(lambda: False, seconds)

    def messages(self, left=None, right=None, encoding="bgr8", age_s=0.0, lag_s=0.0):
        """Both images, stamped `age_s` ago, the right one `lag_s` later; no two frames are quite alike."""
        self.sent += 1
        stamp = self.ear.node.get_clock().now() - Duration(seconds=age_s)
        pair = self.scene.pair
        result = []
        for image, late in (
            (pair.left if left is None else left, 0.0),
            (pair.right if right is None else right, lag_s),
        ):
            image = image.copy()
            image[0, 0] = self.sent % 251
            msg = image_message(image, encoding)
            msg.header.stamp = (stamp + Duration(seconds=late)).to_msg()
            result.append(msg)
        return result

    def send(self, left, right):
        self.publishers["left/image_rect"].publish(left)
        self.publishers["right/image_rect"].publish(right)

    def answer(self, left, right):
        """The cloud and the scan that answer a good pair."""
        before = len(self.clouds), len(self.scans), len(self.maps)
        self.send(left, right)

        def heard():
            return all(len(o) > n for o, n in zip((self.clouds, self.scans, self.maps), before, strict=True))

        assert self.ear.until(heard), "no answer"
        return self.clouds[-1], self.scans[-1]

    def works(self):
        return self.answer(*self.messages())

    def values(self, node):
        level, message, values = node.diagnose()
        return {"level": level, "message": message, **values}

    def nothing_free(self, clouds, scans):
        """No cloud since there were `clouds`, no scan since `scans` that shows free space, and no map of theirs."""
        new = self.scans[scans:]
        assert self.ear.until(lambda: not new or self.maps[-1].header == new[-1].header), "a scan without its map"
        of_them = [m for m in self.maps if any(m.header == scan.header for scan in new)]
        blocked = all(max(scan.ranges) <= 1.01 * BLOCKED_M for scan in new) and all(max(m.data) < 0 for m in of_them)
        return len(self.clouds) == clouds and len(of_them) == len(new) and blocked


@pytest.fixture
def camera(ear, scene):
    return Camera(ear, scene)


@pytest.fixture
def node(camera, local_node):
    node = local_node(StereoVoxelNode)
    camera.connect()
    return node


def points_of(cloud):
    assert [f.name for f in cloud.fields] == ["x", "y", "z", "probability"]
    assert (cloud.point_step, cloud.row_step, cloud.height) == (16, 16 * cloud.width, 1)
    return np.frombuffer(cloud.data, np.float32).reshape(-1, 4)


def test_a_pair_becomes_a_cloud_with_the_header_of_the_left_image(camera, node):
    left, right = camera.messages()
    cloud, scan = camera.answer(left, right)
    assert cloud.header == left.header
    images = [np.frombuffer(m.data, np.uint8).reshape(240, 320, 3) for m in (left, right)]
    grid = ClassicalDetector(camera.scene.rig, PRESETS["indoor"]).detect(StereoPair(*images))
    points = points_of(cloud)
    assert len(points) == grid.occupied.sum() > 100
    np.testing.assert_allclose(points[:, :3], grid.centres(grid.occupied), atol=1e-5)
    np.testing.assert_array_equal(points[:, 3], grid.probability[grid.occupied])
    assert scan.header.stamp == left.header.stamp and scan.header.frame_id == "stereo_scan"
    assert len(scan.ranges) == 2 * 31 and scan.angle_min < 0 < scan.angle_increment, "each sector is told by two beams"
    assert math.isclose(scan.angle_min + 61 * scan.angle_increment, scan.angle_max, abs_tol=1e-5)
    assert scan.range_min < min(scan.ranges) and max(scan.ranges) > 0.5, "some of the room is seen to be free"


def test_the_occupancy_is_the_slice_of_the_voxels_and_waits_for_those_who_come_late(camera, node, ear):
    left, right = camera.messages()
    camera.answer(left, right)
    late = []
    ear.node.create_subscription(OccupancyGrid, "occupancy", late.append, LATCHED)
    assert ear.until(lambda: late)
    msg = late[0]
    assert msg == camera.maps[-1] and msg.header.stamp == left.header.stamp and msg.header.frame_id == "stereo_scan"
    images = [np.frombuffer(m.data, np.uint8).reshape(240, 320, 3) for m in (left, right)]
    grid = ClassicalDetector(camera.scene.rig, PRESETS["indoor"]).detect(StereoPair(*images))
    places = height_slice(grid, camera_pose(0.4, 0.0), Body(low_m=0.15, high_m=1.5))
    assert msg.info.resolution == pytest.approx(0.1) and (msg.info.width, msg.info.height) == places.state.shape
    assert (msg.info.origin.position.x, msg.info.origin.position.y) == pytest.approx((0.0, -3.2))
    cells = np.array(msg.data, np.int8).reshape(msg.info.height, msg.info.width).T
    assert (cells == 100).sum() > 20 and (cells == 0).sum() > 20 and (cells == -1).sum() > 20
    for state, value in ((VoxelState.OCCUPIED, 100), (VoxelState.FREE, 0), (VoxelState.UNKNOWN, -1)):
        np.testing.assert_array_equal(cells == value, places.state == state)


def test_cells_lie_where_the_message_says():
    state = np.zeros((4, 3), np.uint8)
    state[1, 2], state[3, 0] = VoxelState.OCCUPIED, VoxelState.FREE
    msg = occupancy_of(HeightSlice(state, state > 0, (2.0, -1.0), 0.5), Image().header.stamp, "base")
    assert (msg.info.width, msg.info.height, msg.info.origin.orientation.w) == (4, 3, 1.0)
    assert list(msg.data) == [-1, -1, -1, 0, -1, -1, -1, -1, -1, 100, -1, -1]  # row by row, along x


def odometry(node, stamp, x=0.0):
    msg = Odometry()
    msg.header.stamp, msg.pose.pose.position.x, msg.pose.pose.orientation.w = stamp, x, 1.0
    return msg


@pytest.mark.parametrize("told", [True, False])
def test_voxels_are_added_up_where_odometry_tells_how_the_robot_moved(camera, local_node, ear, told):
    node = local_node(StereoVoxelNode, detector__fuse=True)
    camera.connect()
    odom = ear.node.create_publisher(Odometry, "odom", RELIABLE)
    assert ear.until(odom.get_subscription_count)

    def answer(**images):
        pair = camera.messages(**images)
        if told:
            odom.publish(odometry(node, pair[0].header.stamp))
            camera.listen(0.05)
        return points_of(camera.answer(*pair)[0])

    def aside(points):
        return int((points[:, 0] < -0.2).sum())

    for _ in range(3):
        seen = aside(answer())
    half = [image.copy() for image in (camera.scene.pair.left, camera.scene.pair.right)]
    for image in half:
        image[:, :130] = 128  # something bare comes before the left half
    then = aside(answer(left=half[0], right=half[1]))
    assert seen > 50 and (then > 0.7 * seen if told else then < 0.5 * seen)
    values = camera.values(node)
    assert (values["pairs_fused"], values["pairs"]) == (4 * told, 4)
    bad = odometry(node, camera.messages()[0].header.stamp, math.nan)
    odom.publish(bad)
    assert ear.until(lambda: camera.values(node)["dropped_odom"] == 1)


def test_the_pose_is_looked_up_after_detection(camera, local_node, monkeypatch):
    node = local_node(StereoVoxelNode, detector__fuse=True)
    camera.connect()
    assert camera.ear.until(lambda: node._sensor is not None)
    left, right = camera.messages()
    after = (Time.from_msg(left.header.stamp) + Duration(seconds=0.02)).to_msg()
    before = (Time.from_msg(left.header.stamp) - Duration(seconds=0.02)).to_msg()
    detector = node._sensor.detector
    detect = detector.detect

    def detect_slowly(pair):
        grid = detect(pair)
        node._on_odom(odometry(node, after, 0.2))
        return grid

    monkeypatch.setattr(detector, "detect", detect_slowly)
    node._on_odom(odometry(node, before, 0.1))
    camera.answer(left, right)
    assert camera.values(node)["pairs_fused"] == 1
    fused_at = node._sensor._fused_at @ np.linalg.inv(camera_pose(0.4, 0.0))
    assert fused_at[0, 3] == pytest.approx(0.15, abs=1e-3)  # between both poses, not the one before


def test_while_pairs_take_too_long_a_quicker_detector_is_used_and_it_says_so_once(
    camera, local_node, monkeypatch, capfd
):
    node = local_node(StereoVoxelNode, detector__target_hz=20.0, detector__max_age_s=60.0)
    camera.connect()
    assert camera.ear.until(lambda: node._detector is not None)
    ladder = node._detector
    detect = ladder.detect

    def on_a_busy_computer(pair):
        grid = detect(pair)
        if ladder.quality == "accurate":
            time.sleep(0.06)
        return grid

    monkeypatch.setattr(ladder, "detect", on_a_busy_computer)
    assert camera.values(node)["quality"] == "accurate"
    for _ in range(10 * LOOPS):  # a pause of a busy computer begins anew
        camera.works()
        if camera.values(node)["quality_switches"]:
            break
    for _ in range(LOOPS):
        camera.works()
    values = camera.values(node)
    assert values["quality"] in ("fast", "quick") and values["level"] == DiagnosticStatus.OK
    assert values["message"] == f"detecting with quality {values['quality']} to keep 20 Hz"
    told = [line for line in capfd.readouterr().err.splitlines() if "instead of" in line]
    assert len(told) == values["quality_switches"] and "at 20 Hz it may take 50 ms" in told[0]

    assert node.trigger_deactivate() is node.trigger_activate() is TransitionCallbackReturn.SUCCESS
    assert (camera.values(node)["quality"], camera.values(node)["quality_switches"]) == ("accurate", 0)


def test_without_a_rate_the_detector_is_the_one_that_is_set(camera, local_node):
    node = local_node(StereoVoxelNode, detector__quality="quick")
    camera.connect()
    for _ in range(LOOPS + 1):
        camera.works()
    values = camera.values(node)
    assert (values["quality"], values["quality_switches"], values["exceptions"]) == ("quick", 0, 0)


def test_a_pose_turns_points_of_the_robot_into_the_frame_of_odometry():
    msg = odometry(None, Image().header.stamp, 3.0)
    msg.pose.pose.orientation.z = msg.pose.pose.orientation.w = math.sqrt(0.5)  # a quarter turn to the left
    np.testing.assert_allclose(pose_of(msg) @ [1, 0, 0, 1], [3, 1, 0, 1], atol=1e-9)
    msg.pose.pose.orientation.z = 0.0
    with pytest.raises(ValueError, match="quaternion"):
        pose_of(msg)


@pytest.mark.parametrize("encoding", ["mono8", "rgb8"])
def test_other_encodings_give_about_the_same(camera, node, encoding):
    code = {"mono8": cv2.COLOR_BGR2GRAY, "rgb8": cv2.COLOR_BGR2RGB}[encoding]
    expected = camera.works()[0].width
    images = [cv2.cvtColor(image, code) for image in (camera.scene.pair.left, camera.scene.pair.right)]
    cloud, _ = camera.answer(*camera.messages(*images, encoding=encoding))
    assert abs(cloud.width - expected) <= (0.15 * expected if encoding == "mono8" else 5)


def truncated(msg):
    msg.data = msg.data[: len(msg.data) // 2]


def emptied(msg):
    msg.data, msg.width, msg.height, msg.step = msg.data[:0], 0, 0, 0


def gigantic(msg):
    msg.width = msg.height = msg.step = 16384


def unbounded(msg):
    msg.width = msg.height = msg.step = 2**32 - 1


CORRUPT = [
    truncated,
    emptied,
    gigantic,
    unbounded,
    lambda msg: setattr(msg, "step", 7),
    lambda msg: setattr(msg, "encoding", "32FC1"),
    lambda msg: setattr(msg, "encoding", "\x07 no such thing"),
    lambda msg: setattr(msg, "encoding", "mono8"),
    lambda msg: setattr(msg, "height", 239),
]


def test_corrupt_images_are_dropped_and_counted(camera, node):
    camera.works()
    clouds, scans, sent = len(camera.clouds), len(camera.scans), 0
    for spoil in CORRUPT:
        for side in (0, 1):
            pair = camera.messages()
            spoil(pair[side])
            camera.send(*pair)
            camera.listen(0.05)
            sent += 1
    assert camera.ear.until(lambda: camera.values(node)["dropped_corrupt"] == sent), camera.values(node)
    assert camera.nothing_free(clouds, scans)
    values = camera.values(node)
    assert values["exceptions"] == 0 and values["last_drop"].startswith("corrupt: ")
    camera.works()


@pytest.mark.parametrize(("age_s", "reason"), [(0.6, "stale"), (30.0, "stale"), (1.5e9, "stale"), (-5.0, "future")])
def test_stamps_of_another_time_are_refused(camera, node, age_s, reason):
    clouds, scans = len(camera.clouds), len(camera.scans)
    for _ in range(3):
        camera.send(*camera.messages(age_s=age_s))
    assert camera.ear.until(lambda: camera.values(node)[f"dropped_{reason}"] == 6)
    assert camera.nothing_free(clouds, scans)
    camera.works()


def test_images_of_different_moments_are_no_pair(camera, node):
    clouds, scans = len(camera.clouds), len(camera.scans)
    for _ in range(5):
        camera.send(*camera.messages(lag_s=0.05))
        camera.listen(0.1)
    assert camera.ear.until(lambda: camera.values(node)["dropped_unmatched"] >= 8)
    assert camera.nothing_free(clouds, scans)
    camera.works()


def test_frames_that_come_again_or_late_are_dropped(camera, node):
    first, second = camera.messages(), camera.messages()
    camera.answer(*second)
    clouds = len(camera.clouds)
    camera.send(*first)
    camera.send(*second)
    assert camera.ear.until(lambda: camera.values(node)["dropped_out_of_order"] == 4)
    assert len(camera.clouds) == clouds


def images_of_c7(scene):
    """Pictures of which nothing can be known."""
    rng = np.random.default_rng(0)
    left, right = scene.pair.left, scene.pair.right
    wall = np.full_like(left, 128)

    def noisy(image):
        return np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8)

    return {
        "swapped": (right, left),
        "dark": (noisy(left // 60), noisy(right // 60)),
        "black": (np.zeros_like(left), np.zeros_like(right)),
        "glare": (np.full_like(left, 255), np.full_like(right, 255)),
        "bare wall": (noisy(wall), noisy(wall)),
        "covered eye": (left, np.zeros_like(right)),
        "one image twice": (left, left),
        "other scenes": (left, rng.permutation(right.reshape(-1, 3)).reshape(right.shape)),
        "upside down": (left, right[::-1]),
    }


def test_pictures_that_tell_nothing_leave_no_bearing_free(camera, node):
    camera.works()
    for name, (left, right) in images_of_c7(camera.scene).items():
        clouds, scans = len(camera.clouds), len(camera.scans)
        sent = camera.messages(left, right)
        camera.send(*sent)
        assert camera.ear.until(lambda n=scans: len(camera.scans) > n), name
        assert camera.scans[-1].header.stamp == sent[0].header.stamp
        assert camera.nothing_free(clouds, scans), name
        values = camera.values(node)
        assert values["level"] == DiagnosticStatus.WARN and values["message"].startswith("refused: "), name
    assert camera.values(node)["exceptions"] == 0
    camera.works()
    assert camera.values(node)["level"] == DiagnosticStatus.OK


@pytest.mark.parametrize("eye", [0, 1])
def test_a_frozen_camera_is_noticed_within_its_frames_and_may_thaw(camera, node, eye):
    stuck = camera.messages()[eye].data
    clouds, scans = len(camera.clouds), len(camera.scans)
    for k in range(8):
        pair = camera.messages()
        pair[eye].data = stuck
        camera.send(*pair)
        assert camera.ear.until(lambda n=scans + k: len(camera.scans) > n)
    assert len(camera.clouds) - clouds == 4 and all(max(s.ranges) <= 1.01 * BLOCKED_M for s in camera.scans[-4:])
    assert "camera is frozen" in camera.values(node)["message"]
    camera.works()


def off_by(scene, rows):
    return drifted(scene.pair, scene.rig, Turn(rows_px=rows)).right


def test_a_pair_that_has_lost_its_calibration_blocks_every_bearing_until_it_is_back(camera, local_node, scene):
    node = local_node(StereoVoxelNode, detector__health_period_s=0.0)
    camera.connect()
    for _ in range(3):
        camera.works()
    values = camera.values(node)
    assert values["health"] == "ok" and values["drift_points"] > 25 and values["level"] == DiagnosticStatus.OK
    assert values["drift_rows_rms_px"] < 0.2 and values["drift_pitch_sd_deg"] < 0.05

    turned = off_by(scene, 1.5)
    assert camera.ear.until(
        lambda: (
            (camera.send(*camera.messages(right=turned)), camera.listen(0.2), camera.values(node)["health"])[-1]
            == "alarm"
        ),
        20.0,
    )
    camera.listen(0.5)  # what is still on its way
    before = len(camera.clouds), len(camera.scans)
    camera.send(*camera.messages(right=turned))
    assert camera.ear.until(lambda: len(camera.scans) > before[1]) and camera.nothing_free(*before)
    values = camera.values(node)
    assert values["level"] == DiagnosticStatus.WARN and "recalibrate" in values["message"]
    assert values["drift_rows_px"] > 0.9 and values["refused"] >= 1

    assert camera.ear.until(
        lambda: (camera.send(*camera.messages()), camera.listen(0.2), len(camera.clouds))[-1] > before[0], 20.0
    ), "a pair that is aligned again is used again"


@pytest.mark.parametrize(("health", "told"), [("warn", "alarm"), ("off", "off")])
def test_with_warn_or_off_it_drives_on(camera, local_node, scene, health, told):
    node = local_node(StereoVoxelNode, detector__health=health, detector__health_period_s=0.0)
    camera.connect()
    turned = off_by(scene, 1.5)
    for _ in range(4):
        camera.answer(*camera.messages(right=turned))
    assert camera.ear.until(lambda: camera.values(node)["health"] == told), camera.values(node)
    values = camera.values(node)
    assert values["refused"] == 0 and (values["level"] == DiagnosticStatus.WARN) == (health == "warn")


def broken_infos(rig):
    def changed(side, **changes):
        infos = info_messages(rig)
        for name, value in changes.items():
            if name.startswith("p"):
                infos[side].p[int(name[1:])] = value
            else:
                setattr(infos[side], name, value)
        return infos

    return [
        changed(0, p0=math.nan),
        changed(1, p3=math.inf),
        changed(0, p0=0.0, p5=0.0),
        changed(1, p3=0.0),
        changed(0, p2=1e9),
        changed(1, p6=1e3),
        changed(1, width=64),
        changed(0, width=2**32 - 1, height=2**32 - 1),
        changed(0, width=0, height=0),
        info_messages(rig)[::-1],
    ]


def test_invalid_camera_infos_are_refused_with_their_reason(camera, node):
    camera.works()
    for infos in broken_infos(camera.scene.rig):
        camera.calibrate(*infos)
        clouds, scans = len(camera.clouds), len(camera.scans)
        dropped = camera.values(node)["dropped_no_camera"]
        camera.send(*camera.messages())
        assert camera.ear.until(lambda n=dropped: camera.values(node)["dropped_no_camera"] > n), infos
        assert camera.nothing_free(clouds, scans)
        values = camera.values(node)
        assert values["level"] == DiagnosticStatus.WARN and values["message"].startswith("camera: ")
    assert camera.values(node)["exceptions"] == 0
    camera.calibrate(*info_messages(camera.scene.rig))
    camera.works()


def test_another_camera_rebuilds_and_another_size_is_dropped(camera, node):
    first, _ = camera.works()
    half = deepcopy(info_messages(camera.scene.rig))
    for info in half:
        info.p[3] /= 2  # half the baseline: all is half as far
    camera.calibrate(*half)
    second, _ = camera.works()
    assert points_of(second)[:, 2].mean() < 0.8 * points_of(first)[:, 2].mean()
    clouds, scans = len(camera.clouds), len(camera.scans)
    camera.send(*camera.messages(camera.scene.pair.left[:200], camera.scene.pair.right[:200]))
    assert camera.ear.until(lambda: camera.values(node)["dropped_size"] == 1)
    assert camera.nothing_free(clouds, scans)


def test_a_camera_that_stops_is_told_as_stale(camera, node):
    camera.works()

    def stale():
        return any(s.level == DiagnosticStatus.STALE and "silent" in s.message for s in camera.ear.statuses(NAME))

    start = time.monotonic()
    while not stale() and time.monotonic() < start + 5:
        camera.send(camera.messages()[0], Image())  # the left one goes on
        camera.listen(0.1)
    assert stale()


def test_the_worker_lives_while_the_node_is_active(camera, node):
    def workers():
        return [t for t in threading.enumerate() if t.name == "stereo_voxels"]

    camera.works()
    assert len(workers()) == 1
    change = lambda transition: camera.ear.change_state("stereo_voxel_node", transition)  # noqa: E731
    assert change(Transition.TRANSITION_DEACTIVATE) and not workers()
    clouds, scans = len(camera.clouds), len(camera.scans)
    camera.send(*camera.messages())
    camera.listen(0.3)
    assert (len(camera.clouds), len(camera.scans)) == (clouds, scans)
    assert change(Transition.TRANSITION_CLEANUP) and change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE) and len(workers()) == 1
    camera.connect().works()


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"detector__preset": "cube", "detector__size_m": 64.0}, "grid: size"),
        ({"detector__body_low_m": 2.0}, "body_low_m must be below"),
        ({"detector__preset": "garden"}, "allowed: indoor, near, outdoor, cube"),
        ({"detector__slop_s": 2.0}, "allowed: number 0 to 1"),
        ({"detector__slup_s": 0.1}, "is unknown"),
        ({"scan_frame": ""}, "key scan_frame"),
    ],
)
def test_parameters_that_cannot_be_are_told_in_one_line(local_node, parameters, says):
    with pytest.raises(InputError, match=says):
        local_node(StereoVoxelNode, **parameters)


def test_an_empty_grid_makes_an_empty_cloud_and_nothing_known_a_blocked_scan(scene):
    detector = ClassicalDetector(scene.rig, PRESETS["indoor"])
    header = image_message(scene.pair.left).header
    cloud = cloud_of(detector.voxelizer.nothing_seen(0.0), header)
    assert cloud.width == 0 and len(cloud.data) == 0
    sensor = ObstacleSensor(detector, camera_pose(0.4, 0.0), Body(), sectors=5)
    scan = scan_of(sensor.refuse(0.0, "dark").scan, header.stamp, "base")
    assert len(scan.ranges) % 5 == 0 and all(scan.range_min < r <= 1.01 * BLOCKED_M for r in scan.ranges)


def test_wide_bearings_arrive_as_far_as_they_were_seen():
    """They have no gaps between them, and must not be taken for a lidar's beams."""
    sent = RangeScan(-0.5, 0.5, np.array([2.0, 6.0, 4.0]), 6.0)
    heard = range_scan_of(scan_of(sent, Time().to_msg(), "stereo_scan"))
    bearings = np.linspace(-0.74, 1.24 - 0.5, 100)
    np.testing.assert_allclose(heard.reach(bearings), sent.reach(bearings), rtol=1e-6)


def test_camera_infos_give_back_the_rig(scene):
    left, right = info_messages(scene.rig)
    rig = rig_of(left, right)
    assert rig.baseline == pytest.approx(scene.rig.baseline) and rig.doffs == pytest.approx(scene.rig.doffs)
    assert same_camera(left, deepcopy(left)) and not same_camera(left, right) and not same_camera(None, left)
    left.p[0] = math.nan
    assert same_camera(left, deepcopy(left)), "NaN does not make a new camera of each message"


@pytest.mark.slow
def test_at_camera_rate_no_pair_is_lost_silently(camera, node):
    camera.works()
    before = camera.values(node)
    clouds, stamps, period = len(camera.clouds), set(), 1 / 15
    start = time.monotonic()
    for k in range(75):
        pair = camera.messages()
        stamps.add((pair[0].header.stamp.sec, pair[0].header.stamp.nanosec))
        camera.send(*pair)
        camera.listen(max(0.0, start + (k + 1) * period - time.monotonic()))
    camera.listen(0.5)
    after = camera.values(node)
    heard = [(c.header.stamp.sec, c.header.stamp.nanosec) for c in camera.clouds[clouds:]]
    assert set(heard) <= stamps and heard == sorted(heard)
    assert after["exceptions"] == after["refused"] == 0
    assert after["pairs"] - before["pairs"] == len(heard) and len(heard) + after["dropped_busy"] == 75


@pytest.fixture
def quiet(ros, namespace):
    """The node alone: messages are handed to it."""
    made = StereoVoxelNode(namespace=namespace, parameter_overrides=[Parameter("detector.fuse", value=True)])
    made.autostart()
    yield made
    made.destroy_node()


def hand(node, scene, infos=None, lag_s=0.0, left=None, frames=("left_eye", "left_eye"), sides=SIDES):
    """Calibration and one pair; what the node then says."""
    for side, info in zip(SIDES, infos or info_messages(scene.rig), strict=True):
        if side in sides:
            node._on_info(side, info)
    stamp = node.get_clock().now() - Duration(seconds=0.1)
    images = (scene.pair.left if left is None else left, scene.pair.right)
    for side, image, frame, late in zip(SIDES, images, frames, (0.0, lag_s), strict=True):
        msg = image_message(image, frame=frame)
        msg.header.stamp = (stamp + Duration(seconds=late)).to_msg()
        if side in sides:
            node._on_image(side, msg)
    return node.diagnose()[1]


def untold(rig):
    infos = info_messages(rig)
    infos[1].p[3] = 0.0
    return infos


SAYS = [
    ({"sides": ()}, "no CameraInfo of the left camera: nothing publishes /test"),
    ({"sides": ("left",)}, "no CameraInfo of the right camera: nothing publishes /test"),
    ({"lag_s": 0.02}, "left and right are 20 ms apart, more than detector.slop_s (10 ms): trigger both"),
    ({"infos": untold}, "P[3] of the right camera is 0, so it tells no baseline"),
    ({"infos": lambda rig: info_messages(rig)[::-1]}, "swapped"),
    ({"frames": ("other_eye", "left_eye")}, "left image in frame 'other_eye', but its CameraInfo describes 'left_eye'"),
    ({"frames": ("", "right_eye")}, "stereo pair not heard yet"),  # being worked on
    ({"left": np.zeros((120, 160, 3), np.uint8)}, "size: images colour 160 x 120 and colour 320 x 240 pixels"),
]


@pytest.mark.parametrize(("sent", "says"), SAYS)
def test_why_there_are_no_voxels_is_told(quiet, scene, sent, says):
    infos = sent.get("infos")
    assert says in hand(quiet, scene, **(sent | {"infos": infos(scene.rig) if infos else None}))


def test_odometry_of_another_frame_is_dropped_and_the_cameras_place_counts(quiet):
    stamp = quiet.get_clock().now().to_msg()
    quiet._mount = Mount(0.3, 0.1, math.pi / 2).matrix
    msg = odometry(quiet, stamp, 1.0)
    msg.child_frame_id = "camera_link"
    quiet._on_odom(msg)
    assert "odometry of frame 'camera_link', needed: base_link or base_footprint" in quiet._last_drop
    assert quiet._poses.at(seconds(stamp)) is None

    msg.child_frame_id = "base_footprint"
    quiet._on_odom(msg)
    np.testing.assert_allclose(quiet._poses.at(seconds(stamp))[:2, 3], [1.3, 0.1], atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "size", "part"),
    [
        ({}, (640, 480), (1.0, 0, 0)),
        ({"binning_x": 1, "binning_y": 1}, (640, 480), (1.0, 0, 0)),
        ({"binning_x": 2, "binning_y": 2}, (320, 240), (0.5, 0, 0)),
        ({"roi": (100, 40, 400, 300)}, (400, 300), (1.0, 100, 40)),
        ({"roi": (100, 40, 400, 300), "binning_x": 2, "binning_y": 2}, (200, 150), (0.5, 100, 40)),
        ({"roi": (0, 0, 0, 0)}, (640, 480), (1.0, 0, 0)),
    ],
)
def test_binning_and_regions_of_interest_make_a_camera_of_their_own(changes, size, part):
    infos = []
    for tx in (0.0, -50.0):
        info = CameraInfo(width=640, height=480, p=[500.0, 0.0, 320.0, tx, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        for field, value in changes.items():
            if field == "roi":
                info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = value
            else:
                setattr(info, field, value)
        infos.append(info)
    rig = rig_of(*infos)
    scale, x, y = part
    assert (rig.width, rig.height) == size and rig.baseline == pytest.approx(0.1)
    assert (rig.fx, rig.cx, rig.cy) == (500.0 * scale, (320.0 - x) * scale, (240.0 - y) * scale)
    other = deepcopy(infos[0])
    other.roi.x_offset += 1
    assert same_camera(infos[0], deepcopy(infos[0])) and not same_camera(infos[0], other)


def test_a_region_of_interest_outside_of_the_image_is_refused(scene):
    infos = info_messages(scene.rig)
    infos[0].roi.x_offset, infos[0].roi.width, infos[0].roi.height = 300, 100, 240
    infos[1].roi.width, infos[1].roi.height = 100, 240
    with pytest.raises(InputError, match="region of interest"):
        rig_of(*infos)


def test_calibration_that_was_latched_before_the_node_started_is_heard(camera, local_node, ear, scene):
    latched = [ear.node.create_publisher(CameraInfo, f"{side}/camera_info", LATCHED) for side in SIDES]
    for publisher, info in zip(latched, info_messages(scene.rig), strict=True):
        publisher.publish(info)
    node = local_node(StereoVoxelNode)
    assert ear.until(lambda: node._sensor is not None)
    assert ear.until(lambda: all(p.get_subscription_count() for p in camera.publishers.values()))
    camera.works()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_detects_ends_it_in_order(camera, process, number):
    child = process("stereo_voxel_node", {"detector.freeze_frames": 0})
    camera.connect()
    while len(camera.clouds) < 3:
        camera.calibrate(*info_messages(camera.scene.rig))
        camera.send(*camera.messages())
        camera.listen(0.1)
    camera.send(*camera.messages())
    child.send_signal(number)
    assert child.wait(20) == 0
    assert "Traceback" not in child.log.read_text()
