"""What Fast DDS is told of a node: how much shared memory it has, if any, and a port there that no killed process had.

A process that is frozen, or waits for a processor, while it holds the lock of a port in shared memory holds up all who
send to that port, whatever their priority: nodes that nobody else may hold up talk over UDP alone.

A process that is killed leaves its port in shared memory, by name, to the one that gets its participant number; others
go on sending to the old memory for seconds, which nobody reads any more. Left to itself Fast DDS takes the lowest
number that is free, which is that of the process that was killed. Needs no ROS."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path

from .graph import FASTDDS_PROFILE, PACKAGE

PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
ONLY = "ROS_LOCALHOST_ONLY"
LOOPBACK_PROFILE = ("config", "fastdds_loopback.xml")
UDP_PROFILE = ("config", "fastdds_udp.xml")
"""Paths below the package's share folder."""
NUMBERS = range(8, 32)
"""Participant numbers of our nodes. Others take the lowest that are free; where discovery is limited to one machine,
those of 32 and more are not asked who they are (rmw_fastrtps)."""
PORTS = Path("/dev/shm")
"""Where Fast DDS keeps the ports of shared memory."""


class Shared(Enum):
    """How much shared memory a node has, bytes, by the largest that it sends: Fast DDS writes to the whole segment as
    it makes it. Who only reads pictures reads them in the sender's."""

    NOTHING = 0
    """UDP alone: small messages of who must not be held up by others."""
    SMALL = 2**19
    CLOUDS = 2**22
    PICTURES = 2**25


@contextmanager
def told(environment: MutableMapping[str, str], shared: Shared) -> Iterator[None]:
    """Lets a process with this environment have that much shared memory, and a port there that nobody else has had for
    the longest time. The first node is made within the block.

    A profile of the user's stays as it is, and so do transports that FASTDDS_BUILTIN_TRANSPORTS names."""
    if shared is Shared.NOTHING:
        without_shared_memory(environment)
        yield
        return
    _drop_ours(environment)
    ours = shared_file(FASTDDS_PROFILE, environment)
    if environment.get(PROFILES) or environment.get(TRANSPORTS) or ours is None:
        yield
        return
    text = with_port(ours.read_text("utf-8"), shared, unused_number(environment))
    with ExitStack() as stack:
        try:
            file = stack.enter_context(
                tempfile.NamedTemporaryFile("w", prefix="rarrl-", suffix=".xml", encoding="utf-8")
            )
            file.write(text)
            file.flush()
        except OSError:  # the disk is full, or read-only: with a port that Fast DDS chooses
            if shared is not Shared.SMALL:
                environment[PROFILES] = str(ours)
        else:
            environment[PROFILES] = file.name
        try:
            yield
        finally:
            environment.pop(PROFILES, None)


OWN = """<participantID>{number}</participantID>
      <throughputController>
        <bytesPerPeriod>4000000000</bytesPerPeriod>
        <periodMillisecs>1000</periodMillisecs>
      </throughputController>
    """
"""What our nodes have besides: a number, and, as fastdds_loopback.xml says, a thread that announces them."""


def with_port(profile: str, shared: Shared, number: int) -> str:
    """The profile of fastdds_shm.xml with another size, and this participant number."""
    sized = profile.replace(f">{Shared.PICTURES.value}<", f">{shared.value}<")
    return sized.replace("</rtps>", OWN.format(number=number) + "</rtps>")


def unused_number(environment: Mapping[str, str], ports: Path = PORTS) -> int:
    """The participant number of NUMBERS that is free and whose port was left longest ago, if it was ever used.

    Among those never used it depends on the process, since nodes start side by side. Where two choose one all the
    same, Fast DDS gives the second the ports of the next."""
    domain = environment.get("ROS_DOMAIN_ID", "")
    first = 7400 + 250 * (int(domain) if domain.isdecimal() else 0)  # PB + DG * domain, RTPS 2.2, 9.6.1.4

    def left(number: int) -> tuple[float, int]:
        try:
            at = (ports / f"fastrtps_port{first + 11 + 2 * number}").stat().st_mtime
        except OSError:
            at = 0.0
        return at, (number - os.getpid()) % len(NUMBERS)

    order = sorted(NUMBERS, key=left)
    return next((number for number in order if _is_free(first + 10 + 2 * number)), order[0])


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.bind(("", port))
        except (OSError, OverflowError):
            return False
    return True


def without_shared_memory(environment: MutableMapping[str, str]) -> None:
    """Lets a process with this environment talk over UDP alone, and hear all answers to its first announcement. Before
    `rclpy.init`.

    Where discovery is limited to this machine, rmw_fastrtps adds shared memory whatever FASTDDS_BUILTIN_TRANSPORTS
    says (rmw_fastrtps_shared_cpp/src/participant.cpp), so a profile of ours does what that limit would. A profile of
    the user's stays as it is."""
    _drop_ours(environment)
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


def _drop_ours(environment: MutableMapping[str, str]) -> None:
    if Path(environment.get(PROFILES, "")).name == FASTDDS_PROFILE[-1]:
        del environment[PROFILES]


def shared_file(parts: tuple[str, ...], environment: Mapping[str, str]) -> Path | None:
    """A file of the package, in a checkout, an installation by pip, or one by colcon."""
    prefixes = [sys.prefix, *filter(None, environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    places = (Path(__file__).resolve().parents[1], *(Path(prefix, "share", PACKAGE) for prefix in prefixes))
    return next((path for place in places if (path := place.joinpath(*parts)).is_file()), None)


def uses_shared_memory() -> bool:
    """Whether Fast DDS has threads in this process that listen there, by their names, which they take when they first
    run. Linux."""
    return any(name.read_text("ascii").startswith("dds.shm") for name in Path("/proc/self/task").glob("*/comm"))
