#!/usr/bin/env bash
# ros-rclpy 7.1.6 (ROS 2 Jazzy): a node remembers every timer, subscription and client that it ever destroyed.
#
# Guess:    Node.destroy_timer and its like leave nothing of the entity in the node.
# Seen:     its callback group keeps a weak reference to each entity that was ever made, dead ones too, for as long as the
#           node lives; the executor walks over all of them each time that it asks the group for its entities. After 1,000
#           timers that were made and destroyed, 1,000 dead references are there beside the living.
# So what:  a lifecycle node that makes its entities as it is configured and destroys them at cleanup grows with each cycle
#           (36 entities: about 2.6 kB), and so does one that makes a client for each call. Give such entities a callback
#           group of their own that goes with them, or remove what is dead from `group.entities`.
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

cat > "$folder/dead.py" <<'PYTHON'
import gc

import rclpy

rclpy.init()
node = rclpy.create_node("remembers")


def kept():
    gc.collect()
    references = list(node.default_callback_group.entities)
    return len(references), sum(reference() is None for reference in references)


living, _ = kept()
for _ in range(1000):
    node.destroy_timer(node.create_timer(1.0, lambda: None))
every, dead = kept()
print(f"timers that the node lists: {len(list(node.timers))}, references beside the first {living}: {every - living}, dead: {dead}")
PYTHON

export ROS_DOMAIN_ID=$((RANDOM % 100 + 1)) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
said=$("$python" "$folder/dead.py" 2>/dev/null)
echo "$said"
case $said in
  *" dead: 1000") echo "as found" ;;
  *) echo "this has changed"; exit 1 ;;
esac
