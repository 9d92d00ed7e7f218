"""The ROS environment of a benchmark: its own domain, on this machine alone, images through shared memory."""

from __future__ import annotations

import os
from pathlib import Path

FASTDDS_PROFILE = Path(__file__).resolve().parents[1] / "config" / "fastdds_shm.xml"


def isolate(shared_memory: bool = True) -> None:
    """Sets the variables that `rclpy` reads, for this process and those that it starts; what is set already stays.

    Call it before `rclpy.init`. The domain is 1 to 100, by the number of the process, so that two benchmarks do not
    hear each other.

    Args:
        shared_memory: also the profile that sends images through shared memory. Without it, ROS_LOCALHOST_ONLY is set
            only where ROS_DISTRO says Humble: later distributions take ROS_AUTOMATIC_DISCOVERY_RANGE instead.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if shared_memory or os.environ.get("ROS_DISTRO") == "humble":
        os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    if shared_memory:
        os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(FASTDDS_PROFILE))
