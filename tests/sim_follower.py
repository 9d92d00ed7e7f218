"""A stand-in for vla_policy_node in the simulated home: follows the guide's points, sees nothing."""

import contextlib
import math

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String

from rarrl_nodes.lifecycle import LATCHED

SENSOR = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)


def act(subgoal, p):
    """(v, omega, interact) for a sub-goal and the named proprioception."""
    if not subgoal or p["busy"] > 0.5:
        return 0.0, 0.0, False
    far = math.hypot(p["stand_x_m"], p["stand_y_m"])
    if far < 0.08:
        turn = math.atan2(p["stand_sin"], p["stand_cos"])
        if abs(turn) > 0.1:
            return 0.0, max(-1.0, min(1.0, 2 * turn)), False
        return 0.0, 0.0, not subgoal.startswith("GotoLocation")
    x, y = (p["route_x_m"], p["route_y_m"]) if far > 0.4 else (p["stand_x_m"], p["stand_y_m"])
    turn = math.atan2(y, x)
    speed = min(0.45, 0.8 * far) * max(0.0, math.cos(turn)) ** 3
    return speed, max(-1.2, min(1.2, 2 * turn)), False


class Follower(Node):
    """Publishes `command` and `interact` at 10 Hz."""

    def __init__(self, **kwargs):
        super().__init__("vla_policy_node", **kwargs)
        self._subgoal, self._last = "", None
        self._since = self.get_clock().now()
        self._command = self.create_publisher(TwistStamped, "command", 2)
        self._interact = self.create_publisher(Bool, "interact", 2)
        self.create_subscription(String, "subgoal", self._on_subgoal, LATCHED)
        self.create_subscription(JointState, "proprio", self._on_proprio, SENSOR)
        self.create_subscription(Image, "head/image", lambda _: None, SENSOR)
        self.create_timer(0.1, self._tick)

    def _on_subgoal(self, msg):
        self._subgoal, self._last = msg.data, None
        self._since = self.get_clock().now()

    def _on_proprio(self, msg):
        """Keeps only what was sensed for the sub-goal in force: that of the one before has another route."""
        if Time.from_msg(msg.header.stamp) > self._since:
            self._last = msg

    def _tick(self):
        msg = self._last
        if msg is None:
            return
        v, omega, wish = act(self._subgoal, dict(zip(msg.name, msg.position, strict=True)))
        out = TwistStamped(header=msg.header)
        out.twist.linear.x, out.twist.angular.z = v, omega
        self._command.publish(out)
        self._interact.publish(Bool(data=wish))


def main():
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.spin(Follower())


if __name__ == "__main__":
    main()
