"""stereo_voxel_node: obstacles from a rectified stereo pair. Thin over `rarrl.perception.obstacle_sensor`.

Callbacks check and pair; one worker thread detects, always on the latest pair."""

from __future__ import annotations

import math
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from rarrl.diagnostics import Heartbeat, Latencies
from rarrl.errors import InputError, RarrlError
from rarrl.frames import Mount, base_frames, foreign, plain
from rarrl.perception.camera_input import FrozenImageCheck, camera_pose, grid_of
from rarrl.perception.ladder import DetectorLadder
from rarrl.perception.obstacle_sensor import ObstacleReading, ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.perception.pairing import SIDES, PairMatcher
from rarrl.perception.stereo_health import HealthWatch
from rarrl.poses import PoseBuffer
from rarrl.types import StereoPair

from .lifecycle import LATCHED, RarrlNode, now, run_node
from .loopback import Shared
from .params import STEREO_SPECS, StereoNodeConfig, read_config
from .readings import nanoseconds, pose_of, seconds
from .stereo_messages import cloud_of, image_of, occupancy_of, rig_of, same_camera, scan_of

SENSOR = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
OUT = QoSProfile(depth=2)
LOST_S = 0.1
"""Seconds. Stamps further apart are not of two cameras that run freely at 10 Hz or more: images between are missing."""
NO_INFO = "no CameraInfo of both cameras yet"
DROPS = (
    "busy",
    "corrupt",
    "frame",
    "stale",
    "future",
    "no_camera",
    "size",
    "out_of_order",
    "unmatched",
    "overflow",
    "odom",
)


@dataclass(frozen=True, eq=False)
class Job:
    """A pair on its way to the worker. frozen: the camera that is frozen, "" if none."""

    header: Header
    pair: StereoPair
    sensor: ObstacleSensor
    health: HealthWatch | None
    frozen: str
    since: float  # seconds, steady clock: when it was complete


class StereoVoxelNode(RarrlNode):
    """Topics, parameters, and what it does with bad input: docs/explanation/nodes.md."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("stereo_voxel_node", "obstacles", STEREO_SPECS, StereoNodeConfig, **kwargs)
        self._lock = threading.Condition()  # guards _job, _running, and what both threads count
        self._job: Job | None = None
        self._running = False
        self._worker: threading.Thread | None = None

    def load(self) -> None:
        self._config = config = read_config(self).detector
        self._spec = grid_of(config)
        try:
            self._body = Body(low_m=config.body_low_m, high_m=config.body_high_m)
        except ValueError:
            raise InputError("config: detector.body_low_m must be below detector.body_high_m") from None
        pitch = math.radians(config.camera_pitch_deg)
        self._pose = camera_pose(config.camera_height_m, pitch, math.radians(config.camera_roll_deg))
        self._mount = Mount(config.camera_x_m, config.camera_y_m, math.radians(config.camera_yaw_deg)).matrix
        self._scan_frame = str(self.setting("scan_frame"))
        self._base_frames = base_frames(self.setting("base_frame", str))
        cv2.setNumThreads(config.threads)
        self._infos: dict[str, CameraInfo] = {}
        self._sensor: ObstacleSensor | None = None
        self._detector: DetectorLadder | None = None  # the sensor's
        self._health: HealthWatch | None = None
        self._no_camera = NO_INFO
        self._forget()

        self._cloud_pub = self.create_lifecycle_publisher(PointCloud2, "voxels", OUT)
        self._scan_pub = self.create_lifecycle_publisher(LaserScan, "scan", OUT)
        self._occupancy_pub = self.create_lifecycle_publisher(OccupancyGrid, "occupancy", LATCHED)
        for side in SIDES:
            self.create_subscription(Image, f"{side}/image_rect", partial(self._on_image, side), SENSOR)
            self.hear_latched(CameraInfo, f"{side}/camera_info", partial(self._on_info, side))
        if config.fuse:
            self.create_subscription(Odometry, "odom", self._on_odom, SENSOR)

    def _forget(self) -> None:
        self._matcher: PairMatcher[tuple[Header, np.ndarray]] = PairMatcher(round(1e9 * self._config.slop_s))
        self._freeze = FrozenImageCheck(self._config.freeze_frames)
        self._poses = PoseBuffer()
        if self._detector is not None:
            self._detector.reset()
        if self._sensor is not None:
            self._sensor.reset()
            self._health = self._watch(self._sensor)
        self._heartbeat = Heartbeat("stereo pair")
        self._latencies = Latencies()
        self._ages = Latencies()
        self._drops: Counter[str] = Counter()
        self._images: Counter[str] = Counter()  # heard, by side
        self._pairs = 0
        self._refused = 0
        self._exceptions = 0
        self._fused = 0
        self._refusal = ""
        self._last_drop = ""
        self._clock_ns = 0
        self._look_ms = 0.0

    def start(self) -> None:
        self._forget()
        self._running = True
        self._worker = threading.Thread(target=self._work, name="stereo_voxels", daemon=True)
        self._worker.start()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def unload(self) -> None:
        self._stop()

    def _stop(self) -> None:
        with self._lock:
            self._running = False
            self._job = None
            self._lock.notify_all()
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    # The executor's thread: check and pair.

    def _on_info(self, side: str, msg: CameraInfo) -> None:
        if same_camera(self._infos.get(side), msg):
            return
        self._infos[side] = msg
        if len(self._infos) < len(SIDES):
            return
        sensor = detector = None
        why = ""
        try:
            detector = self._make_detector(self._infos["left"], self._infos["right"])
            config = self._config
            sensor = ObstacleSensor(detector, self._pose, self._body, config.scan_sectors, config.fuse)
        except (RarrlError, ValueError) as error:
            why = str(error)[:300]
            self.get_logger().warning(f"CameraInfo refused: {why}")
        with self._lock:
            self._sensor = sensor
            self._detector = detector
            self._health = None if sensor is None else self._watch(sensor)
            self._no_camera = why
            self._job = None  # it belongs to the camera before

    def _make_detector(self, left: CameraInfo, right: CameraInfo) -> DetectorLadder:
        """Raises: RarrlError, ValueError for messages that describe no stereo camera."""
        return DetectorLadder(rig_of(left, right), self._spec, self._config.quality, self._config.target_hz)

    def _watch(self, sensor: ObstacleSensor) -> HealthWatch | None:
        config = self._config
        if config.health == "off":
            return None
        voxelizer = sensor.detector.voxelizer
        return HealthWatch(voxelizer.rig, voxelizer.spec.z_far, config.health_period_s, config.health == "stop")

    def _on_image(self, side: str, msg: Image) -> None:
        if not self.active:
            return
        self._images[side] += 1
        now_ns = self.get_clock().now().nanoseconds
        if now_ns < self._clock_ns:  # a simulation or a bag started again
            self._matcher.reset()
        self._clock_ns = now_ns
        stamp_ns = nanoseconds(msg.header.stamp)
        if reason := self._untimely(stamp_ns, now_ns):
            age = f"{(now_ns - stamp_ns) / 1e9:.2f} s old by its stamp"
            self._drop(reason, f"{side} image {age} (detector.max_age_s {self._config.max_age_s:g}); clocks agree?")
            return
        if other := self._other_camera(side, msg.header.frame_id):
            self._drop("frame", other)
            return
        try:
            image = image_of(msg)
        except ValueError as error:
            self._drop("corrupt", f"{side} image: {error}")
            return
        matched = self._matcher.push(side, stamp_ns, (msg.header, image))
        if matched is not None:
            self._on_pair(matched.left[0], matched.left[1], matched.right[1])

    def _other_camera(self, side: str, frame: str) -> str:
        """What is wrong with the frame of an image, "" if nothing is.

        Of a rectified pair the right camera's frame may be its own or the left one's: it is not looked at."""
        info = self._infos.get(side)
        if (
            side == "left"
            and info is not None
            and info.header.frame_id
            and foreign(frame, (plain(info.header.frame_id),))
        ):
            described = info.header.frame_id[:60]
            return f"{side} image in frame {frame[:60]!r}, but its CameraInfo describes {described!r}: another camera's"
        return ""

    def _on_pair(self, header: Header, left: np.ndarray, right: np.ndarray) -> None:
        sensor = self._sensor
        if sensor is None:
            self._drop("no_camera", self._no_camera)
            return
        rig = sensor.detector.voxelizer.rig
        if left.shape != right.shape or left.shape[:2] != (rig.height, rig.width):
            sizes = [
                f"{'gray' if image.ndim == 2 else 'colour'} {image.shape[1]} x {image.shape[0]}"
                for image in (left, right)
            ]
            self._drop("size", f"images {' and '.join(sizes)} pixels; CameraInfo, binned, {rig.width} x {rig.height}")
            return
        if not header.frame_id:
            header = Header(stamp=header.stamp, frame_id=rig.frame)
        frozen = self._freeze.frozen(left, right)
        job = Job(header, StereoPair(left, right, seconds(header.stamp)), sensor, self._health, frozen, now())
        with self._lock:
            if self._job is not None:
                self._drop("busy")
            self._job = job
            self._lock.notify()

    def _on_odom(self, msg: Odometry) -> None:
        try:
            T_odom_base = pose_of(msg)
        except ValueError as error:
            self._drop("odom", str(error))
            return
        if foreign(msg.child_frame_id, self._base_frames):
            known = " or ".join(self._base_frames)
            self._drop("odom", f"odometry of frame {msg.child_frame_id[:60]!r}, needed: {known}")
            return
        with self._lock:
            self._poses.add(seconds(msg.header.stamp), T_odom_base @ self._mount)

    def _untimely(self, stamp_ns: int, now_ns: int) -> str:
        """Why a stamp is refused: judged by itself, not by when the message came."""
        limit = 1e9 * self._config.max_age_s
        return "stale" if now_ns - stamp_ns > limit else "future" if stamp_ns - now_ns > limit else ""

    def _drop(self, reason: str, what: str = "") -> None:
        with self._lock:
            self._drops[reason] += 1
            if what:
                self._last_drop = f"{reason}: {what}"[:200]

    # The worker's thread: detect and publish.

    def _work(self) -> None:
        while True:
            with self._lock:
                while self._running and self._job is None:
                    self._lock.wait()
                if not self._running:
                    return
                job = self._job
                self._job = None
            if job is None:
                continue
            try:
                self._detect(job)
            except Exception as error:  # nothing may end the thread; no output means no free space
                with self._lock:
                    self._exceptions += 1
                self._refuse(job, f"{type(error).__name__}: {error}"[:300])
                self.get_logger().error(f"pair refused: {self._refusal}", throttle_duration_sec=10.0)

    def _detect(self, job: Job) -> None:
        start = now()
        if self._untimely(nanoseconds(job.header.stamp), self.get_clock().now().nanoseconds):
            self._drop("stale", "pair waited too long")
            return
        if job.frozen:
            self._refuse(job, f"the {job.frozen} camera is frozen: equal images with new stamps")
            return
        if job.health is not None and job.health.refusal:
            self._refuse(job, job.health.refusal)
            self._look(job)
            return
        reading = job.sensor.read(job.pair, partial(self._pose_at, job.pair.stamp_s))
        if reading.refusal:
            self._refuse(job, reading.refusal)
            self._look(job)
            return

        cloud = cloud_of(reading.grid, job.header)
        with self._lock:
            if job.sensor is not self._sensor:  # the camera has changed meanwhile
                self._drops["no_camera"] += 1
                return
            self._cloud_pub.publish(cloud)
            self._count(job, reading)
        self._publish_scan(job, reading)
        self._look(job)
        self._keep_rate(job, start)

    def _keep_rate(self, job: Job, start: float) -> None:
        """Takes another detector where a pair takes too long, or there is time for a better one again."""
        with self._lock:
            detector = self._detector if job.sensor is self._sensor else None
        end = now()
        if detector is not None and (line := detector.took(end, end - start)):
            self.get_logger().info(line)

    def _look(self, job: Job) -> None:
        """At the calibration, once the pair is answered."""
        start = now()
        if job.health is not None and job.health.look(job.pair, start):
            self._look_ms = 1e3 * (now() - start)

    def _pose_at(self, stamp_s: float) -> np.ndarray | None:
        with self._lock:
            return self._poses.at(stamp_s)

    def _count(self, job: Job, reading: ObstacleReading) -> None:
        time = now()
        self._pairs += 1
        self._fused += reading.fused
        self._refusal = ""
        self._heartbeat.hear(time)
        self._latencies.add(time, time - job.since)

        age_ns = self.get_clock().now().nanoseconds - nanoseconds(job.header.stamp)
        self._ages.add(time, age_ns / 1e9)

    def _refuse(self, job: Job, why: str) -> None:
        """A pair that shows nothing: no cloud, as an empty one looks free; a scan that is blocked all round, and an
        occupancy that is unknown throughout."""
        with self._lock:
            self._heartbeat.hear(now())
            self._refused += 1
            self._refusal = why
            if job.sensor is not self._sensor:
                return
        self._publish_scan(job, job.sensor.refuse(job.pair.stamp_s, why))

    def _publish_scan(self, job: Job, reading: ObstacleReading) -> None:
        stamp = job.header.stamp
        self._scan_pub.publish(scan_of(reading.scan, stamp, self._scan_frame))
        self._occupancy_pub.publish(occupancy_of(reading.places, stamp, self._scan_frame))

    def _waits_for(self) -> str:
        """Why there is no pair, in one line; "" where only time has passed."""
        if self._no_camera and self._no_camera != NO_INFO:
            return self._no_camera
        for side in SIDES:
            if side not in self._infos:
                return f"no CameraInfo of the {side} camera: {self.why_silent(f'{side}/camera_info', CameraInfo)}"
        for side in SIDES:
            if not self._images[side]:
                return f"no image of the {side} camera: {self.why_silent(f'{side}/image_rect', Image)}"
        gap_ns = self._matcher.gap_ns
        if gap_ns is not None:
            limit = f"detector.slop_s ({1e3 * self._config.slop_s:.0f} ms)"
            lost = gap_ns / 1e9 > LOST_S
            hint = "images are lost on their way" if lost else "trigger both cameras together"
            return f"left and right are {gap_ns / 1e6:.0f} ms apart, more than {limit}: {hint}"
        return ""

    def diagnose(self) -> tuple[bytes, str, Mapping[str, object]]:
        time = now()
        with self._lock:
            complaint = self._heartbeat.complaint(time, self._config.max_age_s)
            silent = self._heartbeat.silent_s(time)
            quality = self._config.quality if self._detector is None else self._detector.quality
            level, message = DiagnosticStatus.OK, "detecting"
            if quality != self._config.quality:
                message += f" with quality {quality} to keep {self._config.target_hz:g} Hz"
            if self._no_camera or complaint:
                level = DiagnosticStatus.STALE if silent is not None and not self._no_camera else DiagnosticStatus.WARN
                message = self._waits_for() or complaint
                message += f" ({self._last_drop})" if self._last_drop and not self._no_camera else ""
            elif self._refusal:
                level, message = DiagnosticStatus.WARN, f"refused: {self._refusal}"
            elif self._health is not None and self._health.verdict.warns:
                level, message = DiagnosticStatus.WARN, self._health.verdict.text

            drops = {**self._drops, **self._matcher.drops}
            return (
                level,
                message,
                {
                    "pairs": self._pairs,
                    "pairs_fused": self._fused,
                    "quality": quality,
                    "quality_switches": 0 if self._detector is None else self._detector.switches,
                    "pairs_per_s": round(self._latencies.rate(time), 3),
                    "latency_p50_ms": round(self._latencies.quantile_ms(0.5), 2),
                    "latency_p95_ms": round(self._latencies.quantile_ms(0.95), 2),
                    "age_p95_ms": round(self._ages.quantile_ms(0.95), 2),
                    "pair_age_s": "none" if silent is None else round(silent, 3),
                    "refused": self._refused,
                    "refusal": self._refusal,
                    "exceptions": self._exceptions,
                    "last_drop": self._last_drop,
                    "images_left": self._images["left"],
                    "images_right": self._images["right"],
                    "pair_gap_ms": "none" if self._matcher.gap_ns is None else round(self._matcher.gap_ns / 1e6, 1),
                    **{f"dropped_{reason}": drops.get(reason, 0) for reason in DROPS},
                    "health_look_ms": round(self._look_ms, 1),
                    **({"health": "off"} if self._health is None else self._health.values()),
                },
            )


def main() -> int:
    """Entry point of the executable `stereo_voxel_node`."""
    return run_node(StereoVoxelNode, Shared.CLOUDS)


if __name__ == "__main__":
    sys.exit(main())
