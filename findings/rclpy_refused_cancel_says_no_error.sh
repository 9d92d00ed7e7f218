#!/usr/bin/env bash
# rclpy 7.1.6 (Jazzy): an action server that refuses to cancel a goal answers with return_code ERROR_NONE.
#
# Guess:    the answer carries ERROR_REJECTED (1): action_msgs/srv/CancelGoal describes ERROR_NONE (0) as "accepted, at
#           least one goal is being cancelled, the list is not empty", and ERROR_REJECTED as "none is, the list is empty".
# Seen:     a server whose cancel callback returns REJECT answers 0 with an empty list. For a goal that nobody knows the
#           answer is 2 (ERROR_UNKNOWN_GOAL_ID), as described.
# So what:  an executive that looks at the return code believes that the robot is stopping while the goal goes on, and may
#           send the next one. Look at goals_canceling: only a goal that stands there is being cancelled.
#
# Exits with 0 while this holds, with 1 when it has changed. Needs x86-64 Linux.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "ros-rclpy[fastrtps]==7.1.6" "ros-test-msgs==2.0.3"

cd "$folder"
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((1 + $$ % 100))
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading
import time

import rclpy
from action_msgs.srv import CancelGoal
from rclpy.action import ActionClient, ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from test_msgs.action import Fibonacci

rclpy.init()
robot, executive = rclpy.create_node("robot"), rclpy.create_node("executive")
over = threading.Event()


def run(handle):
    over.wait(30.0)
    handle.succeed()
    return Fibonacci.Result()


ActionServer(
    robot,
    Fibonacci,
    "drive",
    run,
    cancel_callback=lambda _: CancelResponse.REJECT,
    callback_group=ReentrantCallbackGroup(),
)
client = ActionClient(executive, Fibonacci, "drive")
executor = MultiThreadedExecutor(4)
for node in (robot, executive):
    executor.add_node(node)
threading.Thread(target=executor.spin, daemon=True).start()


def wait(future):
    until = time.monotonic() + 20.0
    while not future.done() and time.monotonic() < until:
        time.sleep(0.02)
    assert future.done(), "no answer within 20 s"
    return future.result()


assert client.wait_for_server(20.0), "no server within 20 s"
goal = wait(client.send_goal_async(Fibonacci.Goal(order=5)))
refused = wait(goal.cancel_goal_async())
still_running = not over.is_set() and goal.status in (1, 2)

cancel = executive.create_client(CancelGoal, "drive/_action/cancel_goal")
request = CancelGoal.Request()
request.goal_info.goal_id.uuid = [7] * 16
unknown = wait(cancel.call_async(request))
over.set()

print(f"refused: return_code {refused.return_code}, {len(refused.goals_canceling)} goals being cancelled")
print(f"unknown goal: return_code {unknown.return_code}")
print(f"the goal goes on: {still_running}")
as_described = (
    refused.return_code == CancelGoal.Response.ERROR_NONE
    and not refused.goals_canceling
    and unknown.return_code == CancelGoal.Response.ERROR_UNKNOWN_GOAL_ID
)
print("as described" if as_described else "this has changed")
sys.stdout.flush()
import os

os._exit(0 if as_described else 1)
PYTHON
