#!/usr/bin/env bash
# ros-rclpy 7.1.6 with rmw_fastrtps (ROS 2 Jazzy): FASTDDS_BUILTIN_TRANSPORTS=UDPv4 leaves shared memory on.
#
# Guess:    with FASTDDS_BUILTIN_TRANSPORTS=UDPv4 a participant has UDP alone, as Fast DDS documents it: the way to keep a
#           node that must not wait for others (a watchdog) off locks in shared memory that a stopped process may hold.
# Seen:     with ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST rmw_fastrtps chooses the transports itself, and the participant has
#           threads of shared memory (dds.shm.*) in spite of the variable. With SUBNET the variable counts: none.
# So what:  restricting ROS to this computer, which sounds like the safer setting, brings shared memory back. A profile in XML
#           with useBuiltinTransports false decides in both cases; look for the threads' names to be sure.
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
unset ROS_LOCALHOST_ONLY FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE

cat > "$folder/threads.py" <<'PYTHON'
import time
from pathlib import Path

import rclpy

rclpy.init()
node = rclpy.create_node("looks_at_its_threads")
deadline = time.monotonic() + 20
names = set()
while time.monotonic() < deadline and not any(name.startswith("dds.udp") for name in names):
    time.sleep(0.5)
    names = {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
time.sleep(2)
names = {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
print(sum(name.startswith("dds.shm") for name in names), "kinds of threads of shared memory:", *sorted(names))
PYTHON

export FASTDDS_BUILTIN_TRANSPORTS=UDPv4 ROS_DOMAIN_ID=$((RANDOM % 100 + 1))
localhost=$(ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST "$python" "$folder/threads.py" 2>/dev/null)
subnet=$(ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET "$python" "$folder/threads.py" 2>/dev/null)
echo "LOCALHOST: $localhost"
echo "SUBNET:    $subnet"

if [ "${localhost%% *}" -gt 0 ] && [ "${subnet%% *}" -eq 0 ]; then echo "as found"; else echo "this has changed"; exit 1; fi
