"""Measures stereo_voxel_node in a process of its own, over real topics: how fast it is, and what bad input makes of it.

    python benchmarks/stereo_node.py [--pairs 200] [--rate 15] [--shots 12] [--json FILE]

Rendered pairs of 640 x 480, other noise in each. Easy and hard scenes: those of hard ones reach nearer, so more
disparities must be searched. Needs the extra `ros`; shared memory as in config/fastdds_shm.xml. Eight
minutes on an idle machine.

Speed (table `rate`, figures of the easy scene). node_p50_ms, node_p95_ms: from the moment before the left image is
published until its cloud is heard here. dropped: pairs without a cloud. stamps_equal: share of the clouds, scans and
maps heard whose stamp is that of a left image (those of the right ones are 1 ms later), and of the clouds whose frame
is the left image's. node_cpu_ms: processor time of the node's process per pair sent; unlike the others it tells little
of what else the machine did (`load`: its load average at the start).

Faults (table `faults`, one row for each fault and scene). Before each block of `--shots` spoiled pairs, sent at
FAULT_RATE, the node must answer good pairs with clouds again (`recovered`).
- false_free: spoiled pairs that hold no information (dark, swapped, stale, ...) and yet made something look free: a
  cloud with the stamp of either image, a map with a free cell, or a scan with a bearing that is not blocked. A frozen
  camera has `grace` pairs, in which it may still be one that stands still (and where stamps run back, the first is
  good); they do not count in n.
- missed_cells, where the pictures still tell something (`usable`): cells that the map calls free although the scene has
  a surface there (rendered depth, same height band), with no occupied cell among the eight around. share_missed is
  over all cells with a surface. The row `clean` is the control: there it should be as low, and `refused` 0.
- noticed_after: how many spoiled pairs in a row were still answered with a cloud. did, said: the node's own counters,
  and its reason on /diagnostics.
exceptions: caught inside of the detector's thread, plus 1 for a process that ended badly.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ros_environment import isolate

from rarrl.config import DetectorConfig
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.obstacles import Body, height_slice
from rarrl.perception.voxels import PRESETS, Voxelizer, truth_voxels
from rarrl.resources.cpu import cpu_seconds
from rarrl.results import Figure, make_results, write_results
from rarrl.types import VoxelState
from rarrl_learning.perception.synthetic import RenderedPair, SynthConfig, render_pair

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 640
HEIGHT = 480
KIND = "indoor"
SCENES = {"easy": 0, "hard": 5, "hardest": 3}  # seeds
FAULT_SCENES = ("easy", "hard")
VARIANTS = 8  # pictures with sensor noise of their own, in turn
FAULT_RATE = 6.0  # pairs per second: slow enough for hard scenes, so that each pair is judged
SETTLE_S = 2.0  # seconds before the first measurement
RIGHT_LATER_NS = 1_000_000  # how much later the right image's stamp is: a pair need not be simultaneous
SETTINGS = DetectorConfig()
BLOCKED_M = 0.0101  # just above what the node says where nothing is known


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`image` with noise of one gray level: no two pictures in a row are alike."""
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def scene_of(name: str) -> RenderedPair:
    return render_pair(SCENES[name], 0, SynthConfig(width=WIDTH, height=HEIGHT, kinds=(KIND,)))


def true_cells(scene: RenderedPair) -> np.ndarray:
    """(nx, ny) bool: places in the node's height band where the left camera sees a surface."""
    voxelizer = Voxelizer(scene.rig, PRESETS[KIND])
    held = truth_voxels(voxelizer, scene.disparity).occupied
    grid = voxelizer.grid((held * int(VoxelState.OCCUPIED)).astype(np.uint8), held.astype(np.float32), 0.0)
    pose = camera_pose(SETTINGS.camera_height_m, math.radians(SETTINGS.camera_pitch_deg))
    places = height_slice(grid, pose, Body(low_m=SETTINGS.body_low_m, high_m=SETTINGS.body_high_m))
    return places.state == VoxelState.OCCUPIED


# Messages


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


def nanoseconds(stamp: Any) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


@dataclass
class Shot:
    """What one pair is sent as. Images may be None (not sent); age_ns: how old its stamp says it is; lag_ns: the right
    stamp minus the left one."""

    left: Any
    right: Any
    infos: list[Any]
    age_ns: int = 0
    lag_ns: int = RIGHT_LATER_NS


class Camera:
    """Publishes to the node, hears what it says."""

    def __init__(self) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from nav_msgs.msg import OccupancyGrid
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from rclpy.time import Time
        from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

        self._time = Time
        self.node = rclpy.create_node("camera")
        qos = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
        make = self.node.create_publisher
        self.images = [make(Image, f"{side}/image_rect", qos) for side in ("left", "right")]
        self.infos = [make(CameraInfo, f"{side}/camera_info", qos) for side in ("left", "right")]
        self.heard: dict[str, dict[int, tuple[float, Any]]] = {"voxels": {}, "scan": {}, "occupancy": {}}
        for (topic, heard), kind in zip(self.heard.items(), (PointCloud2, LaserScan, OccupancyGrid), strict=True):
            self.node.create_subscription(kind, topic, self._hearer(heard), 10)
        self.statuses: list[Any] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def _hearer(self, heard: dict[int, tuple[float, Any]]) -> Callable[[Any], None]:
        def hear(msg: Any) -> None:
            heard[nanoseconds(msg.header.stamp)] = (time.monotonic(), msg)

        return hear

    def _on_diagnostics(self, msg: Any) -> None:
        self.statuses += [s for s in msg.status if s.name == "stereo_voxel_node: obstacles"]

    def listen(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.listen(time.monotonic() + 0.02)
        return condition()

    def send(self, shot: Shot) -> tuple[int, int, float]:
        """The stamps of left and right, nanoseconds, and when it was sent."""
        sent = time.monotonic()
        left_ns = self.node.get_clock().now().nanoseconds - shot.age_ns

        stamps = [left_ns, left_ns + shot.lag_ns]
        for publisher, msg, stamp in zip(
            (*self.infos, *self.images), (*shot.infos, shot.left, shot.right), (*stamps, *stamps), strict=True
        ):
            if msg is not None:
                msg.header.stamp = self._time(nanoseconds=stamp).to_msg()
                publisher.publish(msg)

        return stamps[0], stamps[1], sent

    def status(self) -> dict[str, str]:
        """The next values on /diagnostics."""
        count = len(self.statuses)
        if not self.wait(lambda: len(self.statuses) > count, 5.0):
            raise SystemExit("stereo_node: the node's diagnostics fell silent")
        return {v.key: v.value for v in self.statuses[-1].values}

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()


@dataclass
class Child:
    """The node's process; peak_mb and badly are known once it has ended."""

    process: subprocess.Popen
    peak_mb: float = 0.0
    badly: bool = False


@contextmanager
def running_node(camera: Camera) -> Iterator[Child]:
    """Starts the node and waits until it listens; ends it."""
    command = [sys.executable, "-m", "rarrl_nodes.stereo_voxel_node"]
    child = Child(subprocess.Popen([*command, "--ros-args", "-p", f"detector.preset:={KIND}"]))
    try:
        publishers = (*camera.images, *camera.infos)
        if not camera.wait(lambda: all(p.get_subscription_count() for p in publishers), 30.0):
            raise SystemExit("stereo_node: the node did not start")
        yield child
        status = Path(f"/proc/{child.process.pid}/status").read_text("utf-8")
        child.peak_mb = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
    finally:
        child.process.send_signal(signal.SIGINT)
        child.badly = child.process.wait(timeout=20) != 0


# Speed


def measure_rate(name: str, pairs: int, rate: float) -> dict[str, Any]:
    """One row of `rate`."""
    print(f"{name}: {pairs} pairs at {rate:g} Hz", file=sys.stderr)
    scene = scene_of(name)
    rng = np.random.default_rng(SCENES[name])
    infos = info_messages(scene)
    shots = [
        Shot(
            image_message(noisy(scene.pair.left, rng), "left"),
            image_message(noisy(scene.pair.right, rng), "right"),
            infos,
        )
        for _ in range(VARIANTS)
    ]

    camera = Camera()
    sent: dict[int, float] = {}
    with running_node(camera) as child:
        start = time.monotonic() + SETTLE_S
        warm_up = round(SETTLE_S * rate)  # the first pairs, not counted, warm the node's caches
        everything = set()
        load = os.getloadavg()[0]
        for k in range(-warm_up, pairs):
            camera.listen(start + k / rate)
            if k == 0:
                before = cpu_seconds(child.process.pid)
            stamp, _, at = camera.send(shots[k % VARIANTS])
            everything.add(stamp)
            if k >= 0:
                sent[stamp] = at

        camera.listen(time.monotonic() + SETTLE_S)
        cpu_ms = 1e3 * (cpu_seconds(child.process.pid) - before) / pairs
        exceptions = int(camera.status()["exceptions"])

    heard = camera.heard
    camera.close()
    latencies = 1e3 * np.array(
        [heard["voxels"][stamp][0] - at for stamp, at in sent.items() if stamp in heard["voxels"]]
    )
    if not len(latencies):
        raise SystemExit("stereo_node: no cloud came")

    right = [stamp in everything for of in heard.values() for stamp in of]
    right += [msg.header.frame_id == "left_eye" for _, msg in heard["voxels"].values()]
    p50, p95 = np.quantile(latencies, (0.5, 0.95))

    return {
        "scene": name,
        "n": pairs,
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "cpu_ms": cpu_ms,
        "load": load,
        "dropped": pairs - len(latencies),
        "clouds_per_s": len(latencies) / ((pairs - 1) / rate),
        "stamps_equal": float(np.mean(right)),
        "stamps_n": len(right),
        "exceptions": exceptions + child.badly,
        "peak_rss_mb": child.peak_mb,
    }


# Faults


@dataclass(frozen=True)
class Fault:
    """spoil: changes a shot, given its number and the scene; usable: the pictures still tell something."""

    name: str
    spoil: Callable[[Shot, int, RenderedPair, np.random.Generator], None]
    usable: bool = False
    grace: int = 0
    unheralded: bool = False  # before the node has ever seen a good pair


def on_message(change: Callable[[Any], None], side: str = "right") -> Callable[..., None]:
    return lambda shot, k, scene, rng: change(getattr(shot, side))


def on_info(side: int, **changes: Any) -> Callable[..., None]:
    """p3=1.0 sets P[3]; other names are fields."""

    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        for name, value in changes.items():
            if name.startswith("p"):
                shot.infos[side].p[int(name[1:])] = value
            else:
                setattr(shot.infos[side], name, value)

    return spoil


def on_pictures(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Callable[..., None]:
    """Other pictures, with the sensor's noise on top."""

    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        left, right = change(scene.pair.left.copy(), scene.pair.right.copy())
        shot.left = image_message(noisy(left, rng), "left")
        shot.right = image_message(noisy(right, rng), "right")

    return spoil


def frozen(*sides: str) -> Callable[..., None]:
    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        for side in sides:
            setattr(shot, side, image_message(getattr(scene.pair, side), side))

    return spoil


def stamped(age_s: float = 0.0, lag_s: float = 0.0) -> Callable[..., None]:
    def spoil(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
        shot.age_ns = int(1e9 * age_s)
        shot.lag_ns = int(1e9 * lag_s)

    return spoil


def other_time(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
    other = scene_of("hardest").pair.right
    shot.right = image_message(noisy(other, rng), "right")


def backwards(shot: Shot, k: int, scene: RenderedPair, rng: np.random.Generator) -> None:
    """Each stamp is 2 ms before that of the shot before; the first is good."""
    shot.age_ns = int(1e9 * k * (1 / FAULT_RATE + 0.002))


def drop(side: str) -> Callable[..., None]:
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


def both(change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., None]:
    return on_pictures(lambda left, right: (change(left), change(right)))


def glare_spot(image: np.ndarray) -> np.ndarray:
    """A lamp in the middle: a third of the image is white, its surroundings pale."""
    v, u = np.indices(image.shape[:2])
    near = np.exp(-(((u - WIDTH / 2) / (WIDTH / 5)) ** 2 + ((v - HEIGHT / 2) / (HEIGHT / 4)) ** 2))
    return np.clip(image + 900 * near[..., None], 0, 255)


def bare_patch(image: np.ndarray) -> np.ndarray:
    image[HEIGHT // 4 : 3 * HEIGHT // 4, WIDTH // 4 : 3 * WIDTH // 4] = 128
    return image


FAULTS = (
    Fault(
        "C6 no CameraInfo yet",
        lambda shot, k, scene, rng: shot.infos.__setitem__(slice(None), [None, None]),
        unheralded=True,
    ),
    Fault("clean", lambda shot, k, scene, rng: None, usable=True),
    Fault("C1 right camera stops", drop("right")),
    Fault("C1 left camera stops", drop("left")),
    Fault("C2 left camera frozen", frozen("left"), grace=SETTINGS.freeze_frames - 1),
    Fault("C2 right camera frozen", frozen("right"), grace=SETTINGS.freeze_frames - 1),
    Fault("C2 both frozen", frozen("left", "right"), grace=SETTINGS.freeze_frames - 1),
    Fault("C3 stamps 0.6 s old", stamped(age_s=0.6, lag_s=0.001)),
    Fault("C3 stamps 5 s old", stamped(age_s=5.0, lag_s=0.001)),
    Fault("C3 stamps 5 s ahead", stamped(age_s=-5.0, lag_s=0.001)),
    Fault("C3 stamps run back", backwards, grace=1),
    Fault("C4 right 40 ms later", stamped(lag_s=0.04)),
    Fault("C4 left and right swapped", on_pictures(lambda left, right: (right, left))),
    Fault("C4 right of another place", other_time),
    Fault("C4 rows not aligned", on_pictures(lambda left, right: (left, np.roll(right, 24, axis=0)))),
    Fault("C5 data truncated", on_message(truncate)),
    Fault("C5 wrong step", on_message(lambda msg: setattr(msg, "step", 7), "left")),
    Fault("C5 wrong encoding", on_message(lambda msg: setattr(msg, "encoding", "32FC1"))),
    Fault("C5 0 x 0 pixels", on_message(empty, "left")),
    Fault("C5 16384 x 16384 pixels", on_message(gigantic)),
    Fault("C6 focal length NaN", on_info(0, p0=math.nan)),
    Fault("C6 uncalibrated: all 0", on_info(1, **{f"p{i}": 0.0 for i in range(12)})),
    Fault("C6 no baseline", on_info(1, p3=0.0)),
    Fault("C6 infos swapped", lambda shot, k, scene, rng: shot.infos.reverse()),
    Fault("C6 of another size", on_info(0, width=320, height=240)),
    Fault("C7 dark", both(lambda image: image // 60)),
    Fault("C7 glare everywhere", both(lambda image: np.full_like(image, 255))),
    Fault("C7 blur, nothing left", both(lambda image: cv2.GaussianBlur(image, (0, 0), 60))),
    Fault("C7 bare wall", both(lambda image: np.full_like(image, 128))),
    Fault("C7 right eye covered", on_pictures(lambda left, right: (left, np.zeros_like(right)))),
    Fault("C7 left eye covered", on_pictures(lambda left, right: (np.zeros_like(left), right))),
    Fault("C7 dim", both(lambda image: image // 6), usable=True),
    Fault("C7 glare spot", both(glare_spot), usable=True),
    Fault("C7 blur, 3 px", both(lambda image: cv2.GaussianBlur(image, (0, 0), 3)), usable=True),
    Fault("C7 bare patch", both(bare_patch), usable=True),
)


@dataclass
class Trial:
    """What came of one scene's faults."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    exceptions: int = 0
    peak_mb: float = 0.0


def good_shot(scene: RenderedPair, rng: np.random.Generator) -> Shot:
    pair = scene.pair
    images = [image_message(noisy(image, rng), side) for image, side in ((pair.left, "left"), (pair.right, "right"))]
    return Shot(*images, infos=info_messages(scene))


def run_faults(name: str, shots: int) -> Trial:
    """All faults on one scene, one process of the node."""
    scene = scene_of(name)
    rng = np.random.default_rng(SCENES[name])
    trial = Trial()

    truth = true_cells(scene)
    camera = Camera()
    with running_node(camera) as child:
        for fault in sorted(FAULTS, key=lambda f: not f.unheralded):
            print(f"{name}: {fault.name}", file=sys.stderr)
            recovered = fault.unheralded or recover(camera, scene, rng)
            before = camera.status()
            spoiled = [good_shot(scene, rng) for _ in range(shots)]
            for k, shot in enumerate(spoiled):
                fault.spoil(shot, k, scene, rng)
            start = time.monotonic() + 0.05
            stamps = []
            for k, shot in enumerate(spoiled):
                camera.listen(start + k / FAULT_RATE)
                stamps.append(camera.send(shot)[:2])
            camera.listen(time.monotonic() + 0.5)
            after = camera.status()
            trial.rows.append(row_of(fault, name, camera.heard, stamps, truth, before, after, recovered))

        trial.exceptions = int(camera.status()["exceptions"])

    camera.close()
    trial.exceptions += child.badly
    trial.peak_mb = child.peak_mb
    return trial


def recover(camera: Camera, scene: RenderedPair, rng: np.random.Generator) -> bool:
    """Whether good pairs make clouds again, within ten."""
    for _ in range(10):
        stamp, _, _ = camera.send(good_shot(scene, rng))
        if camera.wait(lambda s=stamp: s in camera.heard["voxels"], 1.0):
            return True
    return False


def row_of(
    fault: Fault,
    scene: str,
    heard: Mapping[str, Mapping[int, tuple[float, Any]]],
    stamps: list[tuple[int, int]],
    truth: np.ndarray,
    before: Mapping[str, str],
    after: Mapping[str, str],
    recovered: bool,
) -> dict[str, Any]:
    """One row of `faults`."""
    clouds = [any(stamp in heard["voxels"] for stamp in pair) for pair in stamps]
    maps = [next((heard["occupancy"][s][1] for s in pair if s in heard["occupancy"]), None) for pair in stamps]
    scans = [next((heard["scan"][s][1] for s in pair if s in heard["scan"]), None) for pair in stamps]
    looks_free = [
        cloud or (m is not None and 0 in m.data) or (scan is not None and max(scan.ranges) > BLOCKED_M)
        for cloud, m, scan in zip(clouds, maps, scans, strict=True)
    ]
    changed = {
        key: int(after[key]) - int(before[key])
        for key in after
        if key in ("pairs", "refused", "exceptions") or (key.startswith("dropped_") and after[key] != before[key])
    }
    dropped = any(key.startswith("dropped_") for key in changed)
    row: dict[str, Any] = {
        "fault": fault.name,
        "scene": scene,
        "n": len(stamps) - fault.grace,
        "usable": fault.usable,
        "false_free": None if fault.usable else sum(looks_free[fault.grace :]),
        "noticed_after": next((k for k, cloud in enumerate(clouds) if not cloud), len(clouds)),
        "refused": changed["refused"],
        "did": ", ".join(f"{key} {count}" for key, count in changed.items() if count) or "nothing",
        "said": (after["refusal"] if changed["refused"] else after["last_drop"] if dropped else "")[:160],
        "recovered": recovered,
        "missed_cells": None,
        "surface_cells": None,
    }
    if fault.usable:
        answered = [cells_of(m) for m in maps if m is not None]
        row["missed_cells"] = sum(int(missed(cells, truth).sum()) for cells in answered)
        row["surface_cells"] = len(answered) * int(truth.sum())

    return row


def cells_of(msg: Any) -> np.ndarray:
    """(nx, ny) int8."""
    return np.array(msg.data, dtype=np.int8).reshape(msg.info.height, msg.info.width).T


def missed(cells: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(nx, ny) bool: called free, but a surface is there, and none was seen beside it."""
    seen = cv2.dilate((cells == 100).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return (cells == 0) & truth & ~seen


def figures_of(rates: list[dict[str, Any]], trials: list[Trial]) -> dict[str, Figure]:
    easy = rates[0]
    rows = [row for trial in trials for row in trial.rows]
    unusable = [row for row in rows if not row["usable"]]
    n = sum(row["n"] for row in unusable)
    degraded = [row for row in rows if row["usable"] and row["fault"] != "clean"]
    clean = [row for row in rows if row["fault"] == "clean"]
    stamps = sum(row["stamps_n"] for row in rates)
    figures = {
        "node_p50_ms": Figure(easy["p50_ms"], "ms", easy["n"]),
        "node_p95_ms": Figure(easy["p95_ms"], "ms", easy["n"]),
        "node_cpu_ms": Figure(easy["cpu_ms"], "ms", easy["n"]),
        "dropped": Figure(easy["dropped"], "pairs", easy["n"]),
        "clouds_per_s": Figure(easy["clouds_per_s"], "1/s", easy["n"]),
        "stamps_equal": Figure(sum(r["stamps_equal"] * r["stamps_n"] for r in rates) / stamps, "share", stamps),
        "false_free": Figure(sum(row["false_free"] for row in unusable), "pairs", n),
        "false_free_bound": Figure(3 / n, "share", n),
        "exceptions": Figure(
            sum(t.exceptions for t in trials) + sum(r["exceptions"] for r in rates),
            "",
            sum(r["n"] for r in (*rows, *rates)),
        ),
        "not_recovered": Figure(sum(not row["recovered"] for row in rows), "blocks", len(rows)),
        "false_refusals": Figure(sum(row["refused"] for row in clean), "pairs", sum(row["n"] for row in clean)),
        "peak_rss_mb": Figure(max([t.peak_mb for t in trials] + [r["peak_rss_mb"] for r in rates]), "MB"),
    }

    for name, of in (("share_missed_degraded", degraded), ("share_missed_clean", clean)):
        cells = sum(row["surface_cells"] for row in of)
        if cells:
            figures[name] = Figure(sum(row["missed_cells"] for row in of) / cells, "share", cells)

    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="pairs to measure the speed with")
    parser.add_argument("--rate", type=float, default=15.0, help="pairs per second")
    parser.add_argument("--shots", type=int, default=12, help="spoiled pairs per fault and scene")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    isolate()
    import rclpy

    rclpy.init()
    rates = [measure_rate(name, args.pairs, args.rate) for name in SCENES]
    trials = [run_faults(name, args.shots) for name in FAULT_SCENES]
    rclpy.try_shutdown()
    figures = figures_of(rates, trials)
    rows = [row for trial in trials for row in trial.rows]
    for row in (*rates, *rows):
        print("; ".join(f"{key} {value}" for key, value in row.items() if value is not None))
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/stereo_node.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, 0, figures, {"rate": rates, "faults": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
