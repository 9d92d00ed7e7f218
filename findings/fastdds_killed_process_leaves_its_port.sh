#!/usr/bin/env bash
# ros-rclpy 7.1.6 with rmw_fastrtps (ROS 2 Jazzy, Fast DDS 2.14): a killed process leaves a port that swallows messages.
#
# Guess:    a node that was killed (SIGKILL) and is started anew is answered as soon as it has found the others again.
# Seen:     on one computer, with shared memory as by default, it finds the server of a service and sends its request, and the
#           answer comes 2 to 5 s later. The new process gets the lowest free participant number, that of
#           the killed one, and with it the name of its port in shared memory; it removes the dead port and makes a new one,
#           while the server goes on writing to the one that it had opened, which nobody reads any more.
# So what:  nodes that must be back at once get another <participantID> at each start, and with it another port; or talk over
#           UDP alone (a profile with useBuiltinTransports false). With either the answer comes at once.
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

# What LOCALHOST means, with and without shared memory. The controller: see fastdds_announces_before_it_listens.sh.
profile() {
  cat <<XML
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors><transport_descriptor>
    <transport_id>udp</transport_id><type>UDPv4</type><maxInitialPeersRange>32</maxInitialPeersRange>
  </transport_descriptor><transport_descriptor>
    <transport_id>shm</transport_id><type>SHM</type>
  </transport_descriptor></transport_descriptors>
  <participant profile_name="p" is_default_profile="true"><rtps>
    <throughputController><bytesPerPeriod>4000000000</bytesPerPeriod><periodMillisecs>1000</periodMillisecs></throughputController>
    <builtin>
      <metatrafficUnicastLocatorList><locator/></metatrafficUnicastLocatorList>
      <initialPeersList><locator><udpv4><address>127.0.0.1</address></udpv4></locator></initialPeersList>
    </builtin>
    <userTransports>$1<transport_id>udp</transport_id></userTransports><useBuiltinTransports>false</useBuiltinTransports>
    $2
  </rtps></participant>
</profiles>
XML
}
profile "" "" > "$folder/udp.xml"
profile "<transport_id>shm</transport_id>" "" > "$folder/shm.xml"
profile "<transport_id>shm</transport_id>" '<participantID>${NUMBER}</participantID>' > "$folder/number.xml"

cat > "$folder/kills.py" <<'PYTHON'
import os, signal, sys, time

import rclpy
from rcl_interfaces.srv import GetParameters


def stays():
    rclpy.init()
    rclpy.spin(rclpy.create_node("stays"))


def comes(out):
    rclpy.init()
    node = rclpy.create_node("comes")
    client = node.create_client(GetParameters, "/stays/get_parameters")
    while not client.service_is_ready():
        time.sleep(0.005)
    asked = time.monotonic()
    rclpy.spin_until_future_complete(node, client.call_async(GetParameters.Request()), timeout_sec=5.0)
    os.write(out, f"{time.monotonic() - asked:.2f} ".encode())
    signal.pause()


def fork(target, *arguments):
    os.environ["NUMBER"] = str(int(os.environ.get("NUMBER", "7")) + 1)  # Fast DDS puts it into the profile
    pid = os.fork()
    if not pid:
        target(*arguments)
        os._exit(0)
    return pid


there = fork(stays)
time.sleep(2.0)
for _ in range(5):
    told, tell = os.pipe()
    pid = fork(comes, tell)
    os.write(1, os.read(told, 100))
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
os.kill(there, signal.SIGKILL)
PYTHON

export ROS_DOMAIN_ID=$((RANDOM % 100 + 1)) ROS_AUTOMATIC_DISCOVERY_RANGE=SYSTEM_DEFAULT
shm=$(FASTRTPS_DEFAULT_PROFILES_FILE=$folder/shm.xml "$python" "$folder/kills.py" 2>/dev/null)
number=$(FASTRTPS_DEFAULT_PROFILES_FILE=$folder/number.xml "$python" "$folder/kills.py" 2>/dev/null)
udp=$(FASTRTPS_DEFAULT_PROFILES_FILE=$folder/udp.xml "$python" "$folder/kills.py" 2>/dev/null)
echo "s from the request to the answer, of five processes of which each but the first follows a killed one:"
echo "shared memory and UDP: $shm"
echo "another number each:   $number"
echo "UDP alone:             $udp"

slow() { tr ' ' '\n' | awk '$1 > 0.6' | wc -l; }
if [ "$(echo "$shm" | slow)" -gt 1 ] && [ "$(echo "$number $udp" | slow)" -eq 0 ]; then echo "as found"; else echo "this has changed"; exit 1; fi
