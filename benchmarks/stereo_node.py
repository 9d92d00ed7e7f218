"""Measures stereo_voxel_node in a process of its own, fed with rendered pairs at camera rate over real topics.

    python benchmarks/stereo_node.py [--pairs 200] [--rate 15] [--width 640 --height 480] [--json FILE]

Latency: from the moment before the left image is published until its cloud is heard here. A pair is dropped where no
cloud with its stamp came. Needs the extra `ros`; shared memory as in config/fastdds_shm.xml, unless --default-dds.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.perception.synth import RenderedPair, SynthConfig, render_pair
from rarrl.results import Figure, make_results, write_results

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = 8  # pictures with sensor noise of their own, in turn
SETTLE_S = 2.0


def variants(scene: RenderedPair, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pair of `scene` with other noise each time: no two pictures in a row are alike."""
    rng = np.random.default_rng(seed)

    def noisy(image: np.ndarray) -> np.ndarray:
        return np.clip(image + rng.normal(0.0, 1.0, image.shape), 0, 255).astype(np.uint8)

    return [(noisy(scene.pair.left), noisy(scene.pair.right)) for _ in range(VARIANTS)]


def measure(args: argparse.Namespace) -> dict[str, Figure]:
    """Starts the node, feeds it, ends it."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    config = SynthConfig(width=args.width, height=args.height, kinds=(args.kind,))
    scene = render_pair(args.seed, 0, config)
    rig = scene.rig
    rclpy.init()
    node = rclpy.create_node("camera")
    best_effort = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
    images = [node.create_publisher(Image, f"{side}/image_rect", best_effort) for side in ("left", "right")]
    infos = [node.create_publisher(CameraInfo, f"{side}/camera_info", best_effort) for side in ("left", "right")]
    heard: dict[int, float] = {}

    def hear(cloud: Any) -> None:
        heard[cloud.header.stamp.sec * 10**9 + cloud.header.stamp.nanosec] = time.monotonic()

    node.create_subscription(PointCloud2, "voxels", hear, 10)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def listen(until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)

    messages = []
    for pair in variants(scene, args.seed):
        messages.append([])
        for image in pair:
            msg = Image(width=args.width, height=args.height, encoding="bgr8", step=3 * args.width)
            msg.data.frombytes(image.tobytes())
            messages[-1].append(msg)
    calibration = []
    for shift, cx in ((0.0, rig.cx), (-rig.fx * rig.baseline, rig.cx + rig.doffs)):
        info = CameraInfo(width=rig.width, height=rig.height)
        info.p = [rig.fx, 0.0, cx, shift, 0.0, rig.fy, rig.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        calibration.append(info)

    command = [sys.executable, "-m", "rarrl_nodes.stereo_voxel_node"]
    command += ["--ros-args", "-p", f"detector.preset:={args.kind}"]
    child = subprocess.Popen(command)
    sent: dict[int, float] = {}
    try:
        while not all(p.get_subscription_count() for p in (*images, *infos)):
            listen(time.monotonic() + 0.1)
            if child.poll() is not None:
                raise SystemExit("stereo_node: the node did not start")
        start = time.monotonic() + SETTLE_S
        warm_up = round(SETTLE_S * args.rate)  # the first pairs, not counted, warm the node's caches
        for k in range(-warm_up, args.pairs):
            listen(start + k / args.rate)
            stamp = node.get_clock().now()
            if k >= 0:
                sent[stamp.nanoseconds] = time.monotonic()
            for publisher, msg in zip((*infos, *images), (*calibration, *messages[k % VARIANTS]), strict=True):
                msg.header.stamp = stamp.to_msg()
                publisher.publish(msg)
        listen(time.monotonic() + SETTLE_S)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=20)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    latencies = 1e3 * np.array([heard[stamp] - at for stamp, at in sent.items() if stamp in heard])
    if not len(latencies):
        raise SystemExit("stereo_node: no cloud came")
    p50, p95 = np.quantile(latencies, (0.5, 0.95))
    foreign = sum(stamp > min(sent) and stamp not in sent for stamp in heard)
    seconds = (args.pairs - 1) / args.rate
    return {
        "node_p50_ms": Figure(float(p50), "ms", len(latencies)),
        "node_p95_ms": Figure(float(p95), "ms", len(latencies)),
        "dropped": Figure(float(args.pairs - len(latencies)), "pairs", args.pairs),
        "clouds_per_s": Figure(len(latencies) / seconds, "1/s", args.pairs),
        "foreign_stamps": Figure(float(foreign), "clouds", len(heard)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--rate", type=float, default=15.0, help="pairs per second")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--kind", choices=("indoor", "outdoor"), default="indoor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--default-dds", action="store_true", help="without the shared-memory profile")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    if not args.default_dds:
        os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds_shm.xml"))
    figures = measure(args)
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/stereo_node.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, args.seed, figures, {}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
