"""Processor time of other processes, on Linux."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Processor time that a running process has used so far, seconds. Raises: OSError where it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()  # its name may hold brackets
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
