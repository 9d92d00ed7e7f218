#!/usr/bin/env bash
# rclpy 7.1.6 (Jazzy): a line of code that logs with two severities ends the node.
#
# Guess:    the severity belongs to the call, as in Python's logging: `(log.info if ok else log.warning)(text)` logs as
#           information or as a warning, whichever it is.
# Seen:     rclpy keeps the severity per place in the source (for `once`, `skip_first` and throttling, also where none is
#           used). The second severity at one place raises "ValueError: Logger severity cannot be changed between calls".
# So what:  a node that reports its state that way works until the state changes for the first time, such as from fault to
#           recovered; then the exception leaves the callback and ends `spin`. Write one call per severity, on two lines.
#
# Exits with 0 while this holds, with 1 when it has changed. Needs x86-64 Linux.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "ros-rclpy[fastrtps]==7.1.6"

cd "$folder"
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((1 + $$ % 100))
cat >"$folder/node.py" <<'PYTHON'
import sys

import rclpy

rclpy.init()
node = rclpy.create_node("driver")
log = node.get_logger()


def report(ok):
    (log.info if ok else log.warning)("the motor answers" if ok else "the motor is silent")


def report_on_two_lines(ok):
    if ok:
        log.info("the motor answers")
    else:
        log.warning("the motor is silent")


for ok in (False, True, False):
    report_on_two_lines(ok)

report(False)
try:
    report(True)
    seen = "nothing was raised"
except ValueError as error:
    seen = f"ValueError: {error}"

print(seen)
as_described = seen.startswith("ValueError") and "severity" in seen
print("as described" if as_described else "this has changed")
sys.exit(0 if as_described else 1)
PYTHON
"$folder/venv/bin/python" "$folder/node.py"
