#!/usr/bin/env bash
# rclpy 7.1 (Jazzy, rmw_fastrtps_cpp): the depth of a subscription is shared by all publishers of its topic.
#
# Guess:    KEEP_LAST with depth 1 keeps the newest message of each publisher: the messages of an arm's driver do not
#           push those of a gripper's driver out, because DDS keeps a history for each writer.
# Seen:     a subscription of depth 1, read after two publishers have sent one message each, gets one message, the later
#           publisher's; with depth 2 it gets both. The history is one of the reader.
# So what:  `/joint_states` is often published by two drivers. A controller that subscribes with depth 1, "because only
#           the newest counts", may never hear of the gripper while it looks often enough at the topic to hear of the
#           arm. Nothing is reported as lost. Give the subscription a depth of at least the number of publishers, times
#           what comes between two looks.
#
# Exits with 0 while this holds, with 1 when it has changed. Needs x86-64 Linux.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "ros-rclpy[fastrtps]==7.1.6" "ros-sensor-msgs==5.3.6"

cd "$folder"
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((1 + $$ % 100))
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

rclpy.init()
drivers = [rclpy.create_node(name) for name in ("arm_driver", "gripper_driver")]
publishers = [node.create_publisher(JointState, "joint_states", 10) for node in drivers]
reader = rclpy.create_node("controller")


def heard(depth):
    names = []
    subscription = reader.create_subscription(
        JointState, "joint_states", lambda message: names.append(message.name[0]), QoSProfile(depth=depth)
    )
    while subscription.get_publisher_count() < 2 or any(p.get_subscription_count() < 1 for p in publishers):
        time.sleep(0.05)
    time.sleep(0.5)
    for publisher, name in zip(publishers, ("arm", "gripper"), strict=True):
        publisher.publish(JointState(name=[name], position=[0.0]))
        time.sleep(0.2)
    for _ in range(10):
        rclpy.spin_once(reader, timeout_sec=0.1)
    reader.destroy_subscription(subscription)
    return names


found = {depth: heard(depth) for depth in (1, 2)}
for depth, names in found.items():
    print(f"depth {depth}: heard {', '.join(names)}")
sys.exit(found != {1: ["gripper"], 2: ["arm", "gripper"]})
PYTHON
