#!/usr/bin/env bash
# ros-rclpy 7.1.6 with rmw_fastrtps (ROS 2 Jazzy, Fast DDS 2.14): a participant announces itself before it listens.
#
# Guess:    a node that is started beside one that runs finds it within a fifth of a second: it announces itself five times in
#           half a second, and the other one answers.
# Seen:     with unicast discovery (ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST) about half of the starts take 0.5 to 3 s. The
#           answer comes within 0.2 ms, while the new participant still writes its announcement to 32 ports: its receivers
#           are registered after that (RTPSParticipantImpl::enable, so up to 3.6), and what comes before is dropped. The other
#           one answers the later announcements no more, as it knows the participant; its own next one is due each 3 s.
# So what:  a throughput controller in the participant's profile, however wide, makes a thread of its own write the
#           announcement (PDP::create_builtin_writer_attributes of 2.x): the receivers are there in time, and all starts take
#           0.2 s. Fast DDS 3 wants a flow controller instead.
#
# Exits with 0 while this holds, with 1 when it has changed. Linux x86-64, Python 3.10 to 3.12.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
python=${ROS_PYTHON:-$folder/venv/bin/python}
if [ -z "${ROS_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --quiet "ros-rclpy[fastrtps]==7.1.6"
fi
unset ROS_LOCALHOST_ONLY FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE

# What LOCALHOST means, on UDP alone, with and without the controller.
profile() {
  cat <<XML
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors><transport_descriptor>
    <transport_id>udp</transport_id><type>UDPv4</type><maxInitialPeersRange>32</maxInitialPeersRange>
  </transport_descriptor></transport_descriptors>
  <participant profile_name="p" is_default_profile="true"><rtps>
    $1
    <builtin>
      <metatrafficUnicastLocatorList><locator/></metatrafficUnicastLocatorList>
      <initialPeersList><locator><udpv4><address>127.0.0.1</address></udpv4></locator></initialPeersList>
    </builtin>
    <userTransports><transport_id>udp</transport_id></userTransports><useBuiltinTransports>false</useBuiltinTransports>
  </rtps></participant>
</profiles>
XML
}
profile "" > "$folder/plain.xml"
profile "<throughputController><bytesPerPeriod>4000000000</bytesPerPeriod><periodMillisecs>1000</periodMillisecs></throughputController>" > "$folder/thread.xml"

cat > "$folder/starts.py" <<'PYTHON'
import os, sys, time

import rclpy  # before the forks: a start is then as quick as that of a program in C++
from rcl_interfaces.srv import GetParameters


def stays():
    rclpy.init()
    rclpy.spin(rclpy.create_node("stays"))


def comes(number):
    began = time.monotonic()
    rclpy.init()
    node = rclpy.create_node(f"comes_{number}")
    client = node.create_client(GetParameters, "/stays/get_parameters")
    while not client.service_is_ready():
        time.sleep(0.005)
    os.write(1, f"{time.monotonic() - began:.2f} ".encode())


def fork(target, *arguments):
    pid = os.fork()
    if not pid:
        target(*arguments)
        os._exit(0)
    return pid


there = fork(stays)
time.sleep(2.0)
for number in range(12):
    time.sleep(0.37)  # not in step with the announcements of the other one
    os.waitpid(fork(comes, number), 0)
os.kill(there, 9)
PYTHON

export ROS_DOMAIN_ID=$((RANDOM % 100 + 1)) ROS_AUTOMATIC_DISCOVERY_RANGE=SYSTEM_DEFAULT
plain=$(FASTRTPS_DEFAULT_PROFILES_FILE=$folder/plain.xml "$python" "$folder/starts.py" 2>/dev/null)
thread=$(FASTRTPS_DEFAULT_PROFILES_FILE=$folder/thread.xml "$python" "$folder/starts.py" 2>/dev/null)
echo "s until the other node was found:            $plain"
echo "the same, with a thread for the announcement: $thread"

slow() { tr ' ' '\n' | awk '$1 > 0.6' | wc -l; }
if [ "$(echo "$plain" | slow)" -gt 1 ] && [ "$(echo "$thread" | slow)" -eq 0 ]; then echo "as found"; else echo "this has changed"; exit 1; fi
