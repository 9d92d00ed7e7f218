"""A small robot to record: a kinematic base in a room, before a real safety_gate_node, and the decisions of the replay
graph beside it. `python tests/bag_robot.py FOLDER [SECONDS]` makes a bag."""

import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import LaserScan

from rarrl_nodes.bag_run import recording
from rarrl_nodes.bringup import GATE
from rarrl_nodes.graph import NODES
from rarrl_nodes.processes import Processes, environment_for

STEP_S = 0.05
ROOM_M = 3.0  # half a side
POST = (1.7, 0.3, 0.25)  # x, y, radius: in the way of the first leg
FIELD_RAD = 2.4
BEAMS = 61
LEGS = ((0.42, 0.05), (0.42, -0.05), (0.42, 0.0), (0.0, 0.8), (0.3, 0.3), None, (-0.1, 0.0), (0.42, 0.6))
"""What is asked for, two seconds each: (v, omega); None: nothing."""
SETTINGS = {
    GATE.name: {"gate.max_speed_mps": 0.4, "gate.sensor_x_m": 0.1, "gate.margin_m": 0.05},
    "orchestrator_node": {"orchestrator.policy": "learned", "orchestrator.cost_weight": 0.001},
    "replay_node": {"replay.episodes": 4, "replay.seed": 2, "replay.speed": 8.0, "orchestrator.cost_weight": 0.001},
}


class Base(Node):
    """Drives as cmd_vel says, sees walls and a post, wants ahead or to turn, and falls silent now and then."""

    def __init__(self, context):
        super().__init__("base", context=context, start_parameter_services=False)
        self.x = self.y = self.yaw = self.v = self.omega = 0.0
        self.step = 0
        self.stood = self.moved = 0
        self._recorded = False
        self._odom = self.create_publisher(Odometry, "odom", 10)
        self._scan = self.create_publisher(LaserScan, "scan", 10)
        self._command = self.create_publisher(TwistStamped, "command", 10)
        self.create_subscription(TwistStamped, "cmd_vel", self._on_twist, 10)
        self.create_timer(STEP_S, self._tick)

    def _on_twist(self, msg):
        self.v, self.omega = msg.twist.linear.x, msg.twist.angular.z
        self.moved += self.v > 0.01
        self.stood += self.v == 0.0 and self.moved > 20

    def _is_recorded(self):
        """Whether both the gate and the recorder hear what is sent, and the recorder what the gate sends."""
        sent = (self._odom, self._scan, self._command)
        return all(each.get_subscription_count() > 1 for each in sent) and self.count_subscribers("cmd_vel") > 1

    def _tick(self):
        self._recorded = self._recorded or self._is_recorded()
        if not self._recorded:
            return
        self.step += 1
        self.yaw += self.omega * STEP_S
        self.x += self.v * math.cos(self.yaw) * STEP_S
        self.y += self.v * math.sin(self.yaw) * STEP_S
        stamp = self.get_clock().now().to_msg()

        odom = Odometry(child_frame_id="base_link")
        odom.header.frame_id, odom.header.stamp = "odom", stamp
        odom.pose.pose.position.x, odom.pose.pose.position.y = self.x, self.y
        odom.pose.pose.orientation.z, odom.pose.pose.orientation.w = math.sin(self.yaw / 2), math.cos(self.yaw / 2)
        self._odom.publish(odom)
        if self.step % 2 == 0:
            self._scan.publish(self._seen(stamp))
            phase = LEGS[self.step // 40 % len(LEGS)]
            if phase is not None:
                command = TwistStamped()
                command.header.frame_id, command.header.stamp = "base_link", stamp
                command.twist.linear.x, command.twist.angular.z = phase
                self._command.publish(command)

    def _seen(self, stamp):
        bearings = np.linspace(-FIELD_RAD / 2, FIELD_RAD / 2, BEAMS) + self.yaw
        ux, uy = np.cos(bearings), np.sin(bearings)
        sx, sy = self.x + 0.1 * math.cos(self.yaw), self.y + 0.1 * math.sin(self.yaw)
        walls = np.minimum(
            *(
                (np.copysign(ROOM_M, u) - at) / np.copysign(np.maximum(np.abs(u), 1e-9), u)
                for u, at in ((ux, sx), (uy, sy))
            )
        )
        dx, dy = POST[0] - sx, POST[1] - sy
        along, aside = ux * dx + uy * dy, ux * dy - uy * dx
        deep = POST[2] ** 2 - aside**2
        post = np.where((deep > 0) & (along > 0), along - np.sqrt(np.maximum(deep, 0.0)), np.inf)
        msg = LaserScan(angle_min=-FIELD_RAD / 2, angle_max=FIELD_RAD / 2, range_min=0.05, range_max=8.0)
        msg.angle_increment = FIELD_RAD / (BEAMS - 1)
        msg.header.frame_id, msg.header.stamp = "stereo_scan", stamp
        msg.ranges = np.minimum(walls, post).astype(np.float32).tolist()
        return msg


def drive(folder, seconds, say=print, domain_id=None):
    """Records `seconds` of it; how often cmd_vel moved the base, and stood still after it had moved."""
    environment, domain = environment_for(domain_id)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    base, executor = Base(context), SingleThreadedExecutor(context=context)
    executor.add_node(base)
    with (
        tempfile.TemporaryDirectory() as runs,
        recording(folder, False, environment, say),
        Processes(Path(runs), environment) as processes,
    ):
        for node in (GATE, *NODES):
            processes.start(node.name, node.module, SETTINGS[node.name])
        end = time.monotonic() + 60.0
        while not base.moved and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    base.destroy_node()
    context.try_shutdown()
    return base.moved, base.stood


if __name__ == "__main__":
    print(drive(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 30.0))
