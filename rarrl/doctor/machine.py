"""The computer: where reports go, its cores, memory and disk."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .finding import Check, Status

CGROUPS = Path("/sys/fs/cgroup")
LEAST_DISK_MIB = 1
"""What the events of a short run take."""
DISK_MIB = 500
"""What a recording of an hour takes."""
LEAST_RAM_GIB = 0.5


def memory_gib(cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Returns the RAM in GiB that this process may have, None if the system does not say: the computer's, or less in a
    container."""
    try:
        ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    return min([ram, *_limits(cgroups, membership)]) / 2**30


def _limits(cgroups: Path, membership: Path) -> Iterator[int]:
    """Bytes that the control groups of this process allow, their parents' too
    (https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html)."""
    try:
        lines = membership.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        group = Path(path.strip("/"))
        for each in (group, *group.parents):  # a container sees its own group as the root
            try:
                yield int((root / each / name).read_text("ascii"))
            except (OSError, ValueError):  # "max"
                continue


def check_runs(folder: Path) -> Check:
    """Checks whether a report can be written to `folder`, or the folder be made. It leaves nothing behind."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent

    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(LEAST_DISK_MIB << 20))
            file.flush()
        free = shutil.disk_usage(place).free / 2**20
    except OSError as error:
        fix = "free some space there, or work in another folder"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            fix = "work in a folder of your own"
        return Check("reports", Status.FAIL, f"{folder} cannot be written ({error.strerror})", fix)

    if free < DISK_MIB:
        detail = f"go to {folder}, where {free:.0f} MiB are free: a recording takes more"
        return Check("reports", Status.WARN, detail, "free some space there, or work in another folder")

    return Check("reports", Status.OK, f"go to {folder}")


def check_machine(cores: int, ram_gib: float | None, joules: bool = False) -> Check:
    """Checks cores and memory: training needs 2 cores and 2 GiB, the robot's nodes half a GiB."""
    detail = f"{cores} cores" + (f", {ram_gib:.1f} GiB RAM" if ram_gib is not None else "")
    detail += ", reports the joules that it uses" if joules else ""
    if ram_gib is not None and ram_gib < LEAST_RAM_GIB:
        return Check("machine", Status.FAIL, detail, f"the nodes of a robot need {LEAST_RAM_GIB} GiB: raise the limit")
    if cores < 2 or (ram_gib is not None and ram_gib < 2.0):
        return Check("machine", Status.WARN, detail, "train elsewhere: 2 cores and 2 GiB are the least for it")
    return Check("machine", Status.OK, detail)
