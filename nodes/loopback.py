"""Fast DDS with less shared memory, and without any for nodes that nobody else may hold up, or that have to be heard
again at once when they are started anew.

A process that is frozen, or waits for a processor, while it holds the lock of a port in shared memory holds up all who
send to that port, whatever their priority. A process that is killed leaves its port to the one that is started in its
place, and for seconds others go on sending to memory that nobody reads. Needs no ROS."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from .graph import FASTDDS_PROFILE, PACKAGE

PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
ONLY = "ROS_LOCALHOST_ONLY"
LOOPBACK_PROFILE = ("config", "fastdds_loopback.xml")
UDP_PROFILE = ("config", "fastdds_udp.xml")
CLOUD_PROFILE = ("config", "fastdds_clouds.xml")
"""Paths below the package's share folder."""


def without_pictures(environment: MutableMapping[str, str], clouds: bool = False) -> None:
    """Lets a process with this environment have the usual half megabyte of shared memory, or 4 MB to send `clouds`,
    rather than the 32 MB that senders of pictures need: Fast DDS writes to the whole segment as it makes it. Who only
    reads pictures reads them in the sender's. Before `rclpy.init`."""
    if Path(environment.get(PROFILES, "")).name == FASTDDS_PROFILE[-1]:
        del environment[PROFILES]
        if clouds and (found := shared_file(CLOUD_PROFILE, environment)) is not None:
            environment[PROFILES] = str(found)


def without_shared_memory(environment: MutableMapping[str, str]) -> None:
    """Lets a process with this environment talk over UDP alone, and hear all answers to its first announcement. Before
    `rclpy.init`.

    Where discovery is limited to this machine, rmw_fastrtps adds shared memory whatever FASTDDS_BUILTIN_TRANSPORTS
    says (rmw_fastrtps_shared_cpp/src/participant.cpp), so a profile of ours does what that limit would. A profile of
    the user's stays as it is."""
    without_pictures(environment)
    if environment.get(PROFILES):
        return
    if environment.get(RANGE) != "LOCALHOST" and environment.get(ONLY) != "1":
        environment.setdefault(TRANSPORTS, "UDPv4")
        if (found := shared_file(UDP_PROFILE, environment)) is not None:
            environment[PROFILES] = str(found)
        return
    if (found := shared_file(LOOPBACK_PROFILE, environment)) is not None:
        environment.update({PROFILES: str(found), RANGE: "SYSTEM_DEFAULT"})
        environment.pop(ONLY, None)


def shared_file(parts: tuple[str, ...], environment: Mapping[str, str]) -> Path | None:
    """A file of the package, in a checkout, an installation by pip, or one by colcon."""
    prefixes = [sys.prefix, *filter(None, environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    places = (Path(__file__).resolve().parents[1], *(Path(prefix, "share", PACKAGE) for prefix in prefixes))
    return next((path for place in places if (path := place.joinpath(*parts)).is_file()), None)


def uses_shared_memory() -> bool:
    """Whether Fast DDS has threads in this process that listen there, by their names, which they take when they first
    run. Linux."""
    return any(name.read_text("ascii").startswith("dds.shm") for name in Path("/proc/self/task").glob("*/comm"))
