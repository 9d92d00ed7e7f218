"""How much memory a model file takes, and how much of it is free."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
"""How the name of one part of a split model ends."""
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def file_bytes(model: Path) -> int:
    """Bytes of a model file, with all parts of one that is split; 0 if it is not there."""
    split = _PART.search(model.name)
    if split is None:
        return model.stat().st_size if model.is_file() else 0

    name = model.name[: split.start()]
    parts = [model.with_name(f"{name}-{i:05d}-of-{split[1]}.gguf") for i in range(1, int(split[1]) + 1)]
    return sum(part.stat().st_size for part in parts if part.is_file())


def free_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that this process may still take: what Linux calls available, or what a container's limit leaves. None if
    neither is known."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = meminfo.read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]

    with contextlib.suppress(OSError, ValueError):
        limit = int((cgroup / "memory.max").read_text())  # "max" where there is no limit
        used = int((cgroup / "memory.current").read_text())
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        found.append(limit - used + int(statistics.get("inactive_file", 0)))  # cached files make room

    return max(min(found), 0) if found else None
