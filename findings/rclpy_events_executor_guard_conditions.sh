#!/usr/bin/env bash
# ros-rclpy 7.1.6 (ROS 2 Jazzy): the events executor refuses a node that has a guard condition, when it spins.
#
# Guess:    Node.create_guard_condition, rclpy's way to wake an executor from another thread, works with every executor of
#           rclpy, or the executor refuses the node as it is added.
# Seen:     SingleThreadedExecutor runs the callback. EventsExecutor takes the node (add_node returns True), and its
#           spin_once then raises "RuntimeError: Guard conditions not supported". A timer of period 0 that is cancelled
#           and whose reset() the other thread calls wakes both.
# So what:  a node that moves to this executor for a tenth of the processor time dies as it starts to spin, or later, as
#           it makes its first guard condition. A cancelled timer does the same work under either.
#
# Exits with 0 while this holds, with 1 when it has changed. Linux x86-64, Python 3.10 to 3.12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${ROS_PYTHON:-$folder/venv/bin/python}
if [ -z "${ROS_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --quiet "ros-rclpy[fastrtps]==7.1.6"
fi

cat > "$folder/wake.py" <<'PYTHON'
import sys
import threading
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor

rclpy.init()
node = rclpy.create_node("wakes")
woken = []


def run():
    if sys.argv[2] == "timer":
        waker.cancel()
    woken.append(threading.current_thread() is threading.main_thread())


if sys.argv[2] == "timer":
    waker = node.create_timer(0.0, run)
    waker.cancel()
    wake = waker.reset
else:
    wake = node.create_guard_condition(run).trigger

executor = EventsExecutor() if sys.argv[1] == "events" else SingleThreadedExecutor()
added = executor.add_node(node)
threading.Timer(0.5, wake).start()
deadline = time.monotonic() + 10
try:
    while not woken and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.2)
    print("woken" if woken == [True] else f"not woken: {woken}")
except RuntimeError as error:
    print(f"added: {added}, then RuntimeError: {error}")
PYTHON

export ROS_DOMAIN_ID=$((RANDOM % 100 + 1)) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
found=""
for executor in single events; do
  for by in guard timer; do
    said=$("$python" "$folder/wake.py" "$executor" "$by" 2>/dev/null)
    printf '%-7s executor, woken by a %s: %s\n' "$executor" "$by" "$said"
    found+="$said|"
  done
done

expected="woken|woken|added: True, then RuntimeError: Guard conditions not supported|woken|"
if [ "$found" = "$expected" ]; then echo "as found"; else echo "this has changed"; exit 1; fi
