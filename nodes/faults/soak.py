"""A robot that drives, with nothing wrong: what memory, threads and open files of its processes do meanwhile (N5).

Played on the light robot; a trial is SAMPLE_S of driving. Judged is the second half of the samples, since caches and
the queues of middleware fill in the first one. More trials, narrower intervals: an hour of them by default."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..processes import still_running
from .row import Row, Trial
from .station import STAGE
from .supervision import light_stage
from .updown import slope

SAMPLE_S = 10.0
PER_HOUR = 3600 / SAMPLE_S
HOUR = 360
"""Trials."""

Sample = tuple[float, int, int]
"""Resident MB, threads and open files of a process."""


def sample(pid: int) -> Sample | None:
    """Of a process that may have ended: None."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    values = {
        line.split()[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith(("VmRSS", "Threads"))
    }
    return (values["VmRSS:"] / 1024, values["Threads:"], files) if "VmRSS:" in values else None


def children(pid: int) -> list[int]:
    """Processes that `pid` has started, such as the worker of a policy."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text("ascii").split()]
    except OSError:
        return []


def judged(kept: Mapping[str, Sequence[Sample]]) -> tuple[dict[str, int], str]:
    """Counts and a note on the processes' samples, by name. grown: processes whose memory grew by more than its 95 %
    interval; left: threads and files more at the end than at half-time."""
    grown = left = 0
    told = []
    for name, samples in kept.items():
        late = samples[len(samples) // 2 :]
        rate, error = (PER_HOUR * value for value in slope(np.array([size for size, *_ in late])))
        grown += rate - error > 0.0
        if late:
            left += max(late[-1][1] - late[0][1], 0) + max(late[-1][2] - late[0][2], 0)
        told.append(f"{name} {rate:+.2f} ± {error:.2f}" if math.isfinite(error) else f"{name} too few samples")
    return {"grown": grown, "left": left}, "rss_slope_mb_h " + ", ".join(told)


def _pids(folder: Path) -> Iterable[tuple[str, int]]:
    for name, pid in sorted(still_running(folder).items()):
        yield name, pid
        yield from ((f"{name}'s child {k}", child) for k, child in enumerate(children(pid), 1))


def play(trials: int, seed: int) -> list[Trial]:
    """Drives for `trials` samples."""
    robot, _, folder = STAGE.keep("light robot", light_stage)
    robot.station.need(lambda: robot.mode == "normal" and robot.moving(), "the robot does not drive")
    first = dict(_pids(folder))
    kept: dict[str, list[Sample]] = {name: [] for name in first}
    told = []
    for _ in range(trials):
        modes, commands = len(robot.modes), len(robot.commands)
        robot.station.listen(SAMPLE_S)
        for name, pid in first.items():
            if (now := sample(pid)) is not None:
                kept[name].append(now)
        alarms = [mode for _, mode, _ in robot.modes[modes:] if mode != "normal"]
        counts = {"false_stops": sum(mode in ("stop", "hold") for mode in alarms), "false_alarms": len(alarms)}
        told.append(Trial(outputs=len(robot.commands) - commands, counts=counts))

    counts, note = judged(kept)
    counts["nodes_restarted"] = sum(len(samples) < trials for samples in kept.values())
    return [*told[:-1], replace(told[-1], counts={**told[-1].counts, **counts}, note=note)]


def rows() -> tuple[Row, ...]:
    """One row."""
    return (
        Row(
            "N5-soak",
            "supervisor",
            "nothing: the robot drives",
            f"{SAMPLE_S:.0f} s of driving a trial",
            "no memory, thread or file more in the second half; no mode but normal",
            "graph",
            play,
            HOUR,
        ),
    )
