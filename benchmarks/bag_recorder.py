"""What recording costs: the recorder's processor time, what it loses, and how late others hear the robot beside it, at
the rates of the simulated robot (docs/reference/nodes.md): without a recorder, with one, and with images too.

    python benchmarks/bag_recorder.py --seconds 30 --json benchmarks/results/bag_recorder.json"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from ros_environment import isolate
from sensor_msgs.msg import CameraInfo, Image, JointState, LaserScan
from std_msgs.msg import Bool, Empty

from rarrl.bag.reader import Bag
from rarrl.results import Figure, make_results, write_results
from rarrl_nodes.bag_run import recording

STEP_S = 0.05
EVERY = {  # topic -> steps of 20 Hz from one message to the next
    "cmd_vel": 1,
    "alive": 1,
    "command": 2,
    "interact": 2,
    "odom": 2,
    "scan": 4,
    "proprio": 4,
    "left/camera_info": 4,
    "right/camera_info": 4,
    "left/image_rect": 4,
    "right/image_rect": 4,
    "head/image": 4,
    "/diagnostics": 4,
    "state": 20,
}
IMAGES = ("left/image_rect", "right/image_rect", "head/image")
CASES = {"none": None, "topics": False, "topics and images": True}


def messages() -> dict[str, Callable[[], object]]:
    """Topic -> what makes a message of the size that it has there."""
    rng = np.random.default_rng(0)
    picture = Image(height=240, width=320, encoding="bgr8", step=960)
    picture.data = rng.integers(0, 255, 240 * 960, dtype=np.uint8).tobytes()
    small = Image(height=64, width=64, encoding="rgb8", step=192)
    small.data = picture.data[: 64 * 192]
    scan = LaserScan(ranges=rng.uniform(0.5, 5.0, 120).tolist())
    values = [KeyValue(key=f"key_{number}", value="0.123456") for number in range(30)]
    status = DiagnosticArray(status=[DiagnosticStatus(name="node: task", values=values)])
    joints = JointState(name=[f"number_{number}" for number in range(20)], position=[0.0] * 20)
    fixed = {"left/image_rect": picture, "right/image_rect": picture, "head/image": small, "scan": scan}
    fixed |= {"/diagnostics": status, "state": status, "proprio": joints, "odom": Odometry(), "alive": Empty()}
    fixed |= {"interact": Bool(), "left/camera_info": CameraInfo(), "right/camera_info": CameraInfo()}
    fixed |= {"command": TwistStamped(), "cmd_vel": TwistStamped()}
    return {topic: (lambda message=message: message) for topic, message in fixed.items()}


class Robot(Node):
    """Publishes at the robot's rates."""

    def __init__(self) -> None:
        super().__init__("robot", start_parameter_services=False, enable_rosout=False)
        self.step = 0
        self.sent = dict.fromkeys(EVERY, 0)
        self._messages = messages()
        self._out = {topic: self.create_publisher(type(make()), topic, 10) for topic, make in self._messages.items()}

    def is_heard(self, topics: Sequence[str]) -> bool:
        """cmd_vel is heard by the base too."""
        least = dict.fromkeys(topics, 1) | {"cmd_vel": 2 if topics else 1}
        return all(self._out[topic].get_subscription_count() >= count for topic, count in least.items())

    def tick(self) -> None:
        self.step += 1
        for topic, every in EVERY.items():
            if self.step % every == 0:
                message = self._messages[topic]()
                if topic == "cmd_vel":
                    message.header.stamp = self.get_clock().now().to_msg()
                self._out[topic].publish(message)
                self.sent[topic] += 1


class Base(Node):
    """Hears cmd_vel, and how late."""

    def __init__(self) -> None:
        super().__init__("base", start_parameter_services=False, enable_rosout=False)
        self.late_s: list[float] = []
        self.create_subscription(TwistStamped, "cmd_vel", self._on_twist, 10)

    def _on_twist(self, message: TwistStamped) -> None:
        stamp = message.header.stamp
        self.late_s.append(self.get_clock().now().nanoseconds / 1e9 - stamp.sec - stamp.nanosec / 1e9)


def play(seconds: float, heard: Sequence[str] = ()) -> tuple[dict[str, int], list[float], float]:
    """Messages sent by topic, how late cmd_vel was heard, s, and how long it took, s. heard: topics that somebody must
    listen to before it begins."""
    robot, base, executor = Robot(), Base(), SingleThreadedExecutor()
    executor.add_node(base)
    until = time.monotonic() + 30.0
    while not robot.is_heard(heard) and time.monotonic() < until:
        executor.spin_once(timeout_sec=0.1)
    began = time.monotonic()
    due = began
    while due < began + seconds:
        robot.tick()
        due += STEP_S
        while (left := due - time.monotonic()) > 0.0:
            executor.spin_once(timeout_sec=left)
    took = time.monotonic() - began
    executor.shutdown()
    robot.destroy_node()
    base.destroy_node()
    return robot.sent, base.late_s, took


def measure(images: bool | None, seconds: float) -> dict[str, float | int | str]:
    """A row of the table."""
    row: dict[str, float | int | str] = {"recorder": next(name for name, case in CASES.items() if case is images)}
    if images is None:
        sent, late, _ = play(seconds)
        return row | {"sent": sum(sent.values()), **lateness(late)}

    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        before = os.times()
        with recording(bag, images, os.environ, lambda _: None):
            sent, late, took = play(seconds, [topic for topic in EVERY if images or topic not in IMAGES])
        after = os.times()  # a child is counted once it has ended
        busy_s = after.children_user + after.children_system - before.children_user - before.children_system
        kept = {topic: count for topic, count in sent.items() if images or topic not in IMAGES}
        read = Bag(bag)
        written = sum(read.counts.get(topic if topic.startswith("/") else f"/{topic}", 0) for topic in kept)
        row |= {"sent": sum(kept.values()), "written": written, "mb": round(read.files[0].stat().st_size / 1e6, 2)}
        return row | {"processor_s": round(busy_s, 2), "seconds": round(took, 1), **lateness(late)}


def lateness(late_s: list[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {f"cmd_vel_{name}_ms": round(float(np.quantile(late_s, q)) * 1e3, 2) for name, q in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each case")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    arguments = parser.parse_args()

    isolate()
    rclpy.init()
    start_s = measure(False, 0.1)["processor_s"]  # to start, import ROS and end
    rows = [measure(images, arguments.seconds) for images in CASES.values()]
    rclpy.try_shutdown()
    figures: dict[str, Figure] = {}
    for row in rows:
        print(row)
        if "written" not in row:
            continue
        name = "images" if row["recorder"] == "topics and images" else "topics"
        share = (float(row["processor_s"]) - float(start_s)) / float(row["seconds"])
        lost = int(row["sent"]) - int(row["written"])
        figures[f"{name}_processor_share"] = Figure(round(share, 4), "of a core", 1)
        figures[f"{name}_lost"] = Figure(lost, "messages", int(row["sent"]))
    print(f"to start and end: {start_s} s; { ({name: figure.value for name, figure in figures.items()}) }")
    if arguments.json:
        command = f"python benchmarks/bag_recorder.py --seconds {arguments.seconds:g} --json {arguments.json}"
        write_results(arguments.json, make_results(command, 0, figures, {"cases": rows}))


if __name__ == "__main__":
    main()
