"""One format for all measured figures: value, 95 % interval, n and unit, with the machine and the versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rarrl.files import write_json_atomic

PACKAGES = (
    "rarrl",
    "numpy",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "gymnasium",
    "ros-rclpy",
    "opencv-python-headless",
)
"""Packages whose versions can change a figure."""


@dataclass(frozen=True)
class Figure:
    """A measured number. n: the number of samples. lo, hi: bounds of its 95 % interval, None if nothing was sampled."""

    value: float
    unit: str
    n: int | None = None
    lo: float | None = None
    hi: float | None = None

    def text(self, digits: int = 3) -> str:
        """Returns the value and its interval as text, such as `0.82 [0.80, 0.84]`."""
        interval = "" if self.lo is None else f" [{self.lo:.{digits}g}, {self.hi:.{digits}g}]"
        return f"{self.value:.{digits}g}{interval}"


def machine() -> dict[str, Any]:
    """Returns what the figures were measured on: platform, processor, cores, Python."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def versions() -> dict[str, str]:
    """Returns the versions of those of PACKAGES that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue

    return found


def make_results(command: str, seed: int, figures: dict[str, Figure], tables: dict[str, Any]) -> dict[str, Any]:
    """Returns the results document, ready for JSON."""
    return {
        "command": command,
        "seed": seed,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "figures": {name: asdict(figure) for name, figure in figures.items()},
        "tables": tables,
    }


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Writes `results` to `path`, whole or not at all."""
    write_json_atomic(path, results)
