"""What becomes of the robot where its cameras lie: stereo_voxel_node and the safety gate in processes of their own.

Rendered pairs of 320 x 240, other noise in each, sent at RATE_HZ; the base is asked to drive all the time. A trial
sends SHOTS spoiled pairs after good ones, then good ones again. Unsafe are

- spoiled pairs that hold no information (dark, swapped, stale, ...) and yet made something look free: a cloud with the
  stamp of either image, a map with a free cell, or a scan with a bearing that is not blocked. A frozen camera has
  `grace` pairs, in which it may still be one that stands still (where stamps run back, the first is good);
- movement later than STOP_S after the first of them.

Where the pictures still tell something (`usable`), the base may go on, and there is counted instead: `missed_cells`,
cells that the map calls free although the scene has a surface there (rendered depth, same height band) with no occupied
cell among the eight around, and `surface_cells`, all cells with a surface. The row K-camera is the control."""

from __future__ import annotations

import math
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import cv2
import numpy as np

from rarrl.config import DetectorConfig
from rarrl.errors import RarrlError
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.obstacles import Body, height_slice
from rarrl.perception.voxels import PRESETS, Voxelizer, truth_voxels
from rarrl.types import VoxelState
from rarrl_learning.perception.synthetic import RenderedPair, SynthConfig, render_pair

from ..readings import nanoseconds
from .gate import STOP_S
from .gate_graph import command_message, odom_message
from .row import Row, Trial
from .station import STAGE, Station, own_domain, start_node

SIZE = (320, 240)
"""Pixels; small, so that the node keeps up on a busy machine."""
VARIANTS = 8
"""Pictures with sensor noise of their own, in turn: no two in a row are alike."""
KIND = "indoor"
SCENES = {"easy": 0, "hard": 5, "hardest": 3}
"""Seeds. Those of hard ones reach nearer, so that more disparities must be searched."""
PLAYED = ("easy", "hard")
RATE_HZ = 6.0
"""Pairs per second: slow enough for hard scenes, so that each pair is judged."""
CAMERA_HZ = 15.0
"""Of frozen cameras, which cost the node nothing: how soon they are found out depends on it."""
SHOTS = 8
"""Spoiled pairs of a trial."""
WATCH_S = 0.5
"""Seconds after the last spoiled pair in which answers to it are awaited."""
BACK = 20
"""Good pairs at most until one makes a cloud again."""
DRIVE = 60
"""Good pairs at most until the base drives on one."""
BUSY = "the machine was too busy for the base to drive before"
SPEED_MPS = 0.1
"""What the base is asked for."""
COMMAND_HZ = 20.0
RIGHT_LATER_NS = 1_000_000
"""How much later the right image's stamp is: a pair need not be simultaneous."""
SETTINGS = DetectorConfig()
BLOCKED_M = 0.0101
"""Just above what the node says where nothing is known."""


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`image` with noise of one gray level: no two pictures in a row are alike."""
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


@cache
def scene_of(name: str, size: tuple[int, int] = SIZE) -> RenderedPair:
    """A rendered pair by its name in SCENES. size: width and height."""
    return render_pair(SCENES[name], 0, SynthConfig(width=size[0], height=size[1], kinds=(KIND,)))


def true_cells(scene: RenderedPair) -> np.ndarray:
    """(nx, ny) bool: places in the node's height band where the left camera sees a surface."""
    voxelizer = Voxelizer(scene.rig, PRESETS[KIND])
    held = truth_voxels(voxelizer, scene.disparity).occupied
    grid = voxelizer.grid((held * int(VoxelState.OCCUPIED)).astype(np.uint8), held.astype(np.float32), 0.0)
    pose = camera_pose(SETTINGS.camera_height_m, math.radians(SETTINGS.camera_pitch_deg))
    places = height_slice(grid, pose, Body(low_m=SETTINGS.body_low_m, high_m=SETTINGS.body_high_m))
    return places.state == VoxelState.OCCUPIED


def image_message(image: np.ndarray, side: str) -> Any:
    from sensor_msgs.msg import Image

    msg = Image(width=image.shape[1], height=image.shape[0], encoding="bgr8", step=3 * image.shape[1])
    msg.header.frame_id = f"{side}_eye"
    msg.data.frombytes(np.ascontiguousarray(image).data)
    return msg


def info_messages(scene: RenderedPair) -> list[Any]:
    from sensor_msgs.msg import CameraInfo

    rig = scene.rig
    infos = []
    for shift, cx in ((0.0, rig.cx), (-rig.fx * rig.baseline, rig.cx + rig.doffs)):
        info = CameraInfo(width=rig.width, height=rig.height)
        info.header.frame_id = "left_eye"
        info.p = [rig.fx, 0.0, cx, shift, 0.0, rig.fy, rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        infos.append(info)

    return infos


@dataclass
class Shot:
    """What one pair is sent as. Images may be None (not sent); age_ns: how old its stamp says it is; lag_ns: the right
    stamp minus the left one. before_first_ns: instead of an age, how long before the first stamp of its block it is."""

    left: Any
    right: Any
    infos: list[Any]
    age_ns: int = 0
    lag_ns: int = RIGHT_LATER_NS
    before_first_ns: int = 0


class Camera(Station):
    """Publishes pairs to the node and commands to the gate, hears what both say. scene: its name and namespace.

    pid: of stereo_voxel_node."""

    pid = 0

    def __init__(self, scene: str, size: tuple[int, int] = SIZE) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import TwistStamped
        from nav_msgs.msg import OccupancyGrid, Odometry
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from rclpy.time import Time
        from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

        super().__init__(f"camera_{scene}")
        self.scene = scene_of(scene, size)
        self.truth = true_cells(self.scene)
        self.rng = np.random.default_rng(SCENES[scene])
        pair = self.scene.pair
        self._variants = [(noisy(pair.left, self.rng), noisy(pair.right, self.rng)) for _ in range(VARIANTS)]
        self._turn = 0
        self._time = Time
        space = f"/{scene}"
        qos = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
        make = self.node.create_publisher
        self.images = [make(Image, f"{space}/{side}/image_rect", qos) for side in ("left", "right")]
        self.infos = [make(CameraInfo, f"{space}/{side}/camera_info", qos) for side in ("left", "right")]
        self._base = [make(TwistStamped, f"{space}/command", 1), make(Odometry, f"{space}/odom", 1)]
        self.heard: dict[str, dict[int, tuple[float, Any]]] = {"voxels": {}, "scan": {}, "occupancy": {}}
        for (topic, heard), kind in zip(self.heard.items(), (PointCloud2, LaserScan, OccupancyGrid), strict=True):
            self.node.create_subscription(kind, f"{space}/{topic}", partial(_hear, heard), 10)
        self.twists: list[tuple[float, float]] = []  # when, |v| + |omega|
        self.node.create_subscription(TwistStamped, f"{space}/cmd_vel", self._on_twist, 100)
        self.statuses: list[Any] = []
        self.said: dict[str, str] = {}
        self.node.create_subscription(DiagnosticArray, f"{space}/diagnostics", self._on_diagnostics, 10)
        self.node.create_timer(1 / COMMAND_HZ, self._drive)

    def _on_twist(self, msg: Any) -> None:
        self.twists.append((time.monotonic(), abs(msg.twist.linear.x) + abs(msg.twist.angular.z)))

    def _on_diagnostics(self, msg: Any) -> None:
        for status in msg.status:
            self.said[status.name] = status.message
            if status.name == "stereo_voxel_node: obstacles":
                self.statuses.append(status)

    def _drive(self) -> None:
        command, odom = command_message(SPEED_MPS, 0.0), odom_message()
        command.header.stamp, odom.header.stamp = self.now_stamp(0.05), self.now_stamp(0.01)
        for publisher, msg in zip(self._base, (command, odom), strict=True):
            publisher.publish(msg)

    def send(self, shot: Shot, first_ns: int = 0) -> tuple[int, int]:
        """Publishes a pair; its two stamps, nanoseconds. first_ns: the left stamp of the first of its block."""
        left_ns = self.node.get_clock().now().nanoseconds - shot.age_ns
        if shot.before_first_ns:
            left_ns = first_ns - shot.before_first_ns
        stamps = [left_ns, left_ns + shot.lag_ns]
        for publisher, msg, stamp in zip(
            (*self.infos, *self.images), (*shot.infos, shot.left, shot.right), (*stamps, *stamps), strict=True
        ):
            if msg is not None:
                msg.header.stamp = self._time(nanoseconds=stamp).to_msg()
                publisher.publish(msg)

        return stamps[0], stamps[1]

    def good(self) -> Shot:
        """A pair with other noise than the one before."""
        self._turn += 1
        left, right = self._variants[self._turn % VARIANTS]
        return Shot(image_message(left, "left"), image_message(right, "right"), infos=info_messages(self.scene))

    def drives(self, pairs: int) -> tuple[bool, bool]:
        """Sends up to so many good pairs; whether one made a cloud, and whether the base drove on it.

        On a machine so busy that scans are too old when they come, it does not drive."""
        cloud = False
        for _ in range(pairs):
            at = time.monotonic()
            stamp, _ = self.send(self.good())
            self.wait(lambda s=stamp: s in self.heard["voxels"], 1.0)  # type: ignore[misc]
            self.listen(at + 1 / RATE_HZ - time.monotonic())
            cloud |= stamp in self.heard["voxels"]
            if cloud and any(moves > 0.0 for t, moves in self.twists[-20:] if t > at):
                return cloud, True
        return cloud, False

    def counted(self) -> dict[str, int]:
        """Exceptions and refused pairs that the node counts, by its next diagnostics."""
        count = len(self.statuses)
        self.need(lambda: len(self.statuses) > count, "stereo_voxel_node's diagnostics fell silent", 10.0)
        return {v.key: int(v.value) for v in self.statuses[-1].values if v.key in ("exceptions", "refused")}


def _hear(heard: dict[int, tuple[float, Any]], msg: Any) -> None:
    heard[nanoseconds(msg.header.stamp)] = (time.monotonic(), msg)


@contextmanager
def running(
    scenes: Sequence[str], size: tuple[int, int] = SIZE, gate: bool = True, parameters: Sequence[str] = ()
) -> Iterator[dict[str, Camera]]:
    """The two nodes (or the first alone) and a camera for each scene, in the scene's namespace.

    parameters: further ones of stereo_voxel_node, `name:=value`."""
    with own_domain(shared_memory=True):
        cameras = {scene: Camera(scene, size) for scene in scenes}
        children: list[subprocess.Popen[bytes]] = []
        for scene in scenes:
            given = ["--ros-args", "-r", f"__ns:=/{scene}", "-r", f"/diagnostics:=/{scene}/diagnostics"]
            settings = [*given, "-p", f"detector.preset:={KIND}", *(a for p in parameters for a in ("-p", p))]
            for module, arguments in (("stereo_voxel_node", settings), ("safety_gate_node", given))[: 1 + gate]:
                children.append(start_node(module, *arguments))
            cameras[scene].pid = children[-1 - gate].pid
        try:
            for camera in cameras.values():
                publishers = (*camera.images, *camera.infos)
                started = lambda: all(p.get_subscription_count() for p in publishers)  # noqa: B023, E731
                camera.need(started, "stereo_voxel_node does not start")
            yield cameras
        finally:
            for child in children:
                child.send_signal(signal.SIGINT)
            for child in children:
                child.wait(timeout=20)
            for camera in cameras.values():
                camera.close()


Spoil = Callable[[Shot, int, RenderedPair, np.random.Generator], None]


@dataclass(frozen=True)
class Fault:
    """spoil: changes a shot, given its number and the scene. usable: the pictures still tell something. grace: pairs
    that may still be those of a camera that stands still. unheralded: before the node has ever seen a good pair."""

    name: str
    what: str
    spoil: Spoil
    usable: bool = False
    grace: int = 0
    rate_hz: float = RATE_HZ
    unheralded: bool = False


def on_message(change: Callable[[Any], None], side: str = "right") -> Spoil:
    return lambda shot, k, scene, rng: change(getattr(shot, side))


def on_info(side: int, **changes: Any) -> Spoil:
    """p3=1.0 sets P[3]; other names are fields."""

    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        for name, value in changes.items():
            if name.startswith("p"):
                shot.infos[side].p[int(name[1:])] = value
            else:
                setattr(shot.infos[side], name, value)

    return spoil


def on_pictures(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Spoil:
    """Other pictures, with the sensor's noise on top."""

    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        left, right = change(scene.pair.left.copy(), scene.pair.right.copy())
        shot.left = image_message(noisy(left, rng), "left")
        shot.right = image_message(noisy(right, rng), "right")

    return spoil


def frozen(*sides: str) -> Spoil:
    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        for side in sides:
            setattr(shot, side, image_message(getattr(scene.pair, side), side))

    return spoil


def stamped(age_s: float = 0.0, lag_s: float = 0.0) -> Spoil:
    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        shot.age_ns = int(1e9 * age_s)
        shot.lag_ns = int(1e9 * lag_s)

    return spoil


def other_time(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
    other = scene_of("hardest").pair.right
    shot.right = image_message(noisy(other, rng), "right")


def backwards(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
    """Each stamp is 2 ms before that of the shot before; the first is good."""
    shot.before_first_ns = 2_000_000 * k


def drop(side: str) -> Spoil:
    return lambda shot, k, scene, rng: setattr(shot, side, None)


def truncate(msg: Any) -> None:
    msg.data = msg.data[: len(msg.data) // 2]


def empty(msg: Any) -> None:
    msg.data = msg.data[:0]
    msg.width = 0
    msg.height = 0
    msg.step = 0


def gigantic(msg: Any) -> None:
    msg.width = msg.height = 16384
    msg.step = 3 * 16384


def both(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return on_pictures(lambda left, right: (change(left), change(right)))


def glare_spot(image: np.ndarray) -> np.ndarray:
    """A lamp in the middle: a third of the image is white, its surroundings pale."""
    height, width = image.shape[:2]
    v, u = np.indices((height, width))
    near = np.exp(-(((u - width / 2) / (width / 5)) ** 2 + ((v - height / 2) / (height / 4)) ** 2))
    return np.clip(image + 900 * near[..., None], 0, 255)


def bare_patch(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 128
    return image


FAULTS = (
    Fault(
        "C6-no-info",
        "no CameraInfo yet",
        lambda shot, k, scene, rng: shot.infos.__setitem__(slice(None), [None, None]),
        unheralded=True,
    ),
    Fault("K-camera", "none: the control", lambda shot, k, scene, rng: None, usable=True),
    Fault("C1-right", "the right camera stops", drop("right")),
    Fault("C1-left", "the left camera stops", drop("left")),
    Fault("C2-left", "the left camera is frozen", frozen("left"), grace=SETTINGS.freeze_frames - 1, rate_hz=CAMERA_HZ),
    Fault(
        "C2-right", "the right camera is frozen", frozen("right"), grace=SETTINGS.freeze_frames - 1, rate_hz=CAMERA_HZ
    ),
    Fault(
        "C2-both",
        "both cameras are frozen",
        frozen("left", "right"),
        grace=SETTINGS.freeze_frames - 1,
        rate_hz=CAMERA_HZ,
    ),
    Fault("C3-image-old", "images 0.6 s old", stamped(age_s=0.6, lag_s=0.001)),
    Fault("C3-image-5s", "images 5 s old", stamped(age_s=5.0, lag_s=0.001)),
    Fault("C3-image-ahead", "images stamped 5 s ahead", stamped(age_s=-5.0, lag_s=0.001)),
    Fault("C3-image-back", "stamps run back", backwards, grace=1),
    Fault("C4-late", "the right image is 40 ms later", stamped(lag_s=0.04)),
    Fault("C4-swapped", "left and right are swapped", on_pictures(lambda left, right: (right, left))),
    Fault("C4-elsewhere", "the right image is of another place", other_time),
    Fault(
        "C4-rows",
        "rows are not aligned, by 12 pixels",
        on_pictures(lambda left, right: (left, np.roll(right, 12, axis=0))),
    ),
    Fault("C5-truncated", "half of an image's data is missing", on_message(truncate)),
    Fault("C5-step", "an image's step is wrong", on_message(lambda msg: setattr(msg, "step", 7), "left")),
    Fault("C5-encoding", "an image's encoding is wrong", on_message(lambda msg: setattr(msg, "encoding", "32FC1"))),
    Fault("C5-empty", "an image has 0 x 0 pixels", on_message(empty, "left")),
    Fault("C5-giant", "an image claims 16384 x 16384 pixels", on_message(gigantic)),
    Fault("C6-nan", "CameraInfo: focal length NaN", on_info(0, p0=math.nan)),
    Fault("C6-zero", "CameraInfo: uncalibrated, all 0", on_info(1, **{f"p{i}": 0.0 for i in range(12)})),
    Fault("C6-baseline", "CameraInfo: no baseline", on_info(1, p3=0.0)),
    Fault("C6-swapped", "CameraInfo: left and right swapped", lambda shot, k, scene, rng: shot.infos.reverse()),
    Fault("C6-size", "CameraInfo: of another size", on_info(0, width=160, height=120)),
    Fault("C7-dark", "it is dark", both(lambda image: image // 60)),
    Fault("C7-glare", "glare everywhere", both(lambda image: np.full_like(image, 255))),
    Fault("C7-blur", "blur that leaves nothing", both(lambda image: cv2.GaussianBlur(image, (0, 0), 60))),
    Fault("C7-bare", "a wall without texture", both(lambda image: np.full_like(image, 128))),
    Fault("C7-right", "the right camera is covered", on_pictures(lambda left, right: (left, np.zeros_like(right)))),
    Fault("C7-left", "the left camera is covered", on_pictures(lambda left, right: (np.zeros_like(left), right))),
    Fault("C7-dim", "dim light", both(lambda image: image // 6), usable=True),
    Fault("C7-spot", "a lamp in the middle", both(glare_spot), usable=True),
    Fault("C7-soft", "blur of 1.5 pixels", both(lambda image: cv2.GaussianBlur(image, (0, 0), 1.5)), usable=True),
    Fault("C7-patch", "a patch without texture in the middle", both(bare_patch), usable=True),
)


def played(fault: Fault) -> Callable[[int, int], list[Trial]]:
    """Plays a fault on the scenes in turn."""

    def play(trials: int, seed: int) -> list[Trial]:
        found = []
        for k in range(trials):
            key = (fault.name, k) if fault.unheralded else "camera"
            cameras = STAGE.keep(key, lambda: running(PLAYED))
            camera = cameras[PLAYED[k % len(PLAYED)]]
            camera.rng = np.random.default_rng([seed, k])
            found.append(_trial(camera, fault))
        if all(trial.note == BUSY for trial in found):
            raise RarrlError(f"faults: {fault.name}: {BUSY}")
        return found

    return play


def _trial(camera: Camera, fault: Fault) -> Trial:
    before = {"exceptions": 0, "refused": 0}
    drives = False
    if not fault.unheralded:
        cloud, _ = camera.drives(BACK)
        if not cloud:
            raise RarrlError(f"faults: {fault.name}: good pairs make no cloud; the nodes say {camera.said}")
        before = camera.counted()
        _, drives = camera.drives(DRIVE)
    spoiled = [camera.good() for _ in range(SHOTS)]
    for k, shot in enumerate(spoiled):
        fault.spoil(shot, k, camera.scene, camera.rng)

    camera.twists.clear()
    start = time.monotonic()
    stamps: list[tuple[int, int]] = []
    for k, shot in enumerate(spoiled):
        camera.listen(start + k / fault.rate_hz - time.monotonic())
        stamps.append(camera.send(shot, stamps[0][0] if stamps else 0))
    camera.listen(WATCH_S)
    twists = [(at - start, moves) for at, moves in camera.twists] if drives else []
    trial = judge(fault, camera.heard, stamps, camera.truth, twists)

    after = camera.counted()
    counts = {**trial.counts, "exceptions": after["exceptions"] - before["exceptions"]}
    if fault.name == CONTROL:
        counts["false_stops"] = after["refused"] - before["refused"]

    again = time.monotonic()
    recover_s = time.monotonic() - again if camera.drives(1)[0] or camera.drives(BACK)[0] else None
    note = "" if drives or fault.unheralded else BUSY
    return replace(trial, recover_s=recover_s, counts=counts, note=note)


def judge(
    fault: Fault,
    heard: Mapping[str, Mapping[int, tuple[float, Any]]],
    stamps: Sequence[tuple[int, int]],
    truth: np.ndarray,
    twists: Sequence[tuple[float, float]],
) -> Trial:
    """What came of spoiled pairs with these stamps. twists: seconds after the first of them, and how fast."""
    maps = [next((heard["occupancy"][s][1] for s in pair if s in heard["occupancy"]), None) for pair in stamps]
    zero = next((at for at, moves in twists if not moves > 0.0), None)
    last = max((at for at, moves in twists if moves), default=0.0) if twists else None
    if fault.usable:
        answered = [cells_of(m) for m in maps if m is not None]
        lost = sum(int(missed(cells, truth).sum()) for cells in answered)
        counts = {"missed_cells": lost, "surface_cells": len(answered) * int(truth.sum())}
        return Trial(outputs=len(stamps), counts=counts)

    clouds = [any(stamp in heard["voxels"] for stamp in pair) for pair in stamps]
    scans = [next((heard["scan"][s][1] for s in pair if s in heard["scan"]), None) for pair in stamps]
    free = [
        cloud or (m is not None and 0 in m.data) or (scan is not None and max(scan.ranges) > BLOCKED_M)
        for cloud, m, scan in zip(clouds, maps, scans, strict=True)
    ]
    unsafe = sum(free[fault.grace :]) + int(last is not None and last > STOP_S)
    return Trial(zero, last, None, len(stamps) - fault.grace + 1, unsafe)


def cells_of(msg: Any) -> np.ndarray:
    """(nx, ny) int8."""
    return np.array(msg.data, dtype=np.int8).reshape(msg.info.height, msg.info.width).T


def missed(cells: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(nx, ny) bool: called free, but a surface is there, and none was seen beside it."""
    seen = cv2.dilate((cells == 100).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return (cells == 0) & truth & ~seen


QUICK = ("K-camera", "C1-right", "C2-both", "C3-image-old", "C4-swapped", "C5-truncated", "C6-nan", "C7-dark")
CONTROL = "K-camera"


def rows() -> tuple[Row, ...]:
    """A row for each fault."""
    found = []
    for fault in FAULTS:
        expected = "what is free stays right" if fault.usable else "nothing looks free; zero on cmd_vel within 0.5 s"
        blind = not fault.usable
        found.append(
            Row(
                fault.name,
                "camera",
                fault.what,
                f"{SHOTS} spoiled pairs at {fault.rate_hz:g} Hz",
                expected,
                "graph",
                played(fault),
                2 if fault.unheralded else 8 if blind else 4,
                int(fault.name in QUICK),
                stops=blind and not fault.unheralded,
                recovers=True,
                limits={"stop_s": STOP_S, "detect_s": 1.0} if blind else {},
            )
        )
    return tuple(found)
