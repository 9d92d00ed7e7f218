#!/usr/bin/env bash
# ros-rclpy 7.1.6 (ROS 2 Jazzy): the events executor cannot call a subscription's callback that takes MessageInfo.
#
# Guess:    rclpy.experimental.events_executor.EventsExecutor, which takes a third of the wait-set executors' processor
#           time, runs every callback that create_subscription accepts: those of (message) and of (message, info) alike.
# Seen:     a callback of (message) runs. With one of (message, info) spin_once raises "SystemError: null argument to
#           internal routine" at the first message, and the callback is never called. SingleThreadedExecutor runs both.
#           What it passes is the pair as one argument: a callback of two parameters that takes them from a tuple runs.
# So what:  a node that looks at who sent a message (info["publisher_gid"]) dies with its first message, from a line that
#           names neither the topic nor the callback. A wrapper that unpacks a single argument serves both executors.
#
# Exits with 0 while this holds, with 1 when it has changed. Linux x86-64, Python 3.10 to 3.12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${ROS_PYTHON:-$folder/venv/bin/python}
if [ -z "${ROS_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --quiet "ros-rclpy[fastrtps]==7.1.6" "ros-std-msgs==5.3.6"
fi

cat > "$folder/hear.py" <<'PYTHON'
import functools
import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor
from std_msgs.msg import String

rclpy.init()
node = rclpy.create_node("hears_itself")
heard = []
if sys.argv[2] == "message":
    node.create_subscription(String, "words", lambda message: heard.append(message.data), 10)
else:
    def hear(message, info):
        heard.append(message.data)

    @functools.wraps(hear)  # rclpy counts the parameters of what is wrapped
    def hear_either(*given):
        hear(*(given if len(given) == 2 else given[0]))

    node.create_subscription(String, "words", hear_either if sys.argv[2] == "unpacked" else hear, 10)
publisher = node.create_publisher(String, "words", 10)
node.create_timer(0.1, lambda: publisher.publish(String(data="a word")))

executor = EventsExecutor() if sys.argv[1] == "events" else SingleThreadedExecutor()
executor.add_node(node)
deadline = time.monotonic() + 10
try:
    while not heard and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.5)
    print("heard" if heard else "nothing")
except SystemError as error:
    print(f"SystemError: {error}")
PYTHON

export ROS_DOMAIN_ID=$((RANDOM % 100 + 1)) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
found=""
for executor in single events; do
  for callback in message message,info unpacked; do
    said=$("$python" "$folder/hear.py" "$executor" "$callback" 2>/dev/null)
    printf '%-7s executor, callback of (%s): %s\n' "$executor" "$callback" "$said"
    found+="$said|"
  done
done

expected="heard|heard|heard|heard|SystemError: null argument to internal routine|heard|"
if [ "$found" = "$expected" ]; then echo "as found"; else echo "this has changed"; exit 1; fi
