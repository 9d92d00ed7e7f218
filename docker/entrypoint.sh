#!/bin/bash
# Runs a command with ROS, rarrl and its Python packages; `ros2` itself runs in Debian's Python, which finds them by PYTHONPATH.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /opt/rarrl/install/local_setup.bash
PYTHONPATH="$(/opt/rarrl/env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'):$PYTHONPATH"
export PYTHONPATH PATH="/opt/rarrl/env/bin:$PATH"
exec "$@"
