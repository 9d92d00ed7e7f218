"""A robot that drives, with nothing wrong: what memory, threads and open files of its processes do meanwhile (N5).

Played on the light robot; a trial is SAMPLE_S of driving. Judged is the second half of the samples: the longest of our
buffers, a thousand durations of the detector at 5 Hz, is full after FILLED_S, and caches and the queues of middleware
fill meanwhile too. More trials, narrower intervals: an hour of them by default.

rclpy and Fast DDS keep something of so many messages as well. So each of CONTROLLED has a node of rclpy's own beside it
that hears and says the same and has none of our code (`bare_node.py`), and what counts is the difference."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bringup import GATE
from ..graph import STEREO
from ..processes import still_running
from .bare_node import OURS, name_beside
from .row import Row, Trial
from .station import STAGE, start_node
from .supervision import light_stage
from .updown import slope

SAMPLE_S = 10.0
PER_HOUR = 3600 / SAMPLE_S
HOUR = 360
"""Trials."""
FILLED_S = 200.0
"""Seconds; a soak whose first half is shorter says little."""
CONTROLLED = (GATE.name, STEREO.name)
"""Nodes with so many messages that what rclpy keeps of them can be seen."""
BARE = "rclpy's own "
"""Begins the name of the node beside one of these."""

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
    interval, beyond the process of `BARE` and their name where there is one; left: threads and files more at the end
    than at half-time."""
    rates = {name: _growth(samples) for name, samples in kept.items()}
    grown = left = 0
    told = []
    for name, samples in kept.items():
        if name.startswith(BARE):
            continue
        rate, error = rates[name]
        words = f"{name} {rate:+.2f} ± {error:.2f}" if math.isfinite(error) else f"{name} too few samples"
        if BARE + name in kept:
            theirs, their_error = rates[BARE + name]
            rate, error = rate - theirs, math.hypot(error, their_error)
            words += f" (rclpy's own {theirs:+.2f} ± {their_error:.2f}: ours {rate:+.2f} ± {error:.2f})"
        grown += rate - error > 0.0
        late = samples[len(samples) // 2 :]
        if late:
            left += max(late[-1][1] - late[0][1], 0) + max(late[-1][2] - late[0][2], 0)
        told.append(words)
    return {"grown": grown, "left": left}, "rss_slope_mb_h " + ", ".join(told)


def _growth(samples: Sequence[Sample]) -> tuple[float, float]:
    """MB an hour in the second half of the samples, and half the width of the 95 % interval."""
    rate, error = slope(np.array([size for size, *_ in samples[len(samples) // 2 :]]))
    return PER_HOUR * rate, PER_HOUR * error


@contextmanager
def bare_nodes(station: Any, names: Iterable[str]) -> Iterator[dict[str, int]]:
    """A bare node beside each of `names`, until the block ends. Yields: name of the process -> its number."""
    from rclpy.node import NodeNameNonExistentError

    started = {name: start_node("faults.bare_node", name) for name in names}

    def said(name: str) -> bool:
        topics = station.node.get_publisher_names_and_types_by_node(name_beside(name), "/")
        return any(topic.startswith(OURS) for topic, _ in topics)

    def are_there() -> bool:
        with suppress(NodeNameNonExistentError):
            return all(said(name) for name in started)
        return False

    try:
        station.need(are_there, "the bare nodes do not speak")
        yield {BARE + name: process.pid for name, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait()


def _pids(folder: Path) -> Iterable[tuple[str, int]]:
    for name, pid in sorted(still_running(folder).items()):
        yield name, pid
        yield from ((f"{name}'s child {k}", child) for k, child in enumerate(children(pid), 1))


def play(trials: int, seed: int) -> list[Trial]:
    """Drives for `trials` samples."""
    robot, _, folder = STAGE.keep("light robot", light_stage)
    robot.station.need(lambda: robot.mode == "normal" and robot.moving(), "the robot does not drive")
    first = dict(_pids(folder))
    with bare_nodes(robot.station, [name for name in CONTROLLED if name in first]) as bare:
        return _drive(robot, {**first, **bare}, trials)


def _drive(robot: Any, pids: Mapping[str, int], trials: int) -> list[Trial]:
    kept: dict[str, list[Sample]] = {name: [] for name in pids}
    told = []
    for _ in range(trials):
        modes, commands = len(robot.modes), len(robot.commands)
        robot.station.listen(SAMPLE_S)
        for name, pid in pids.items():
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
            "no thread, no file and no memory more in the second half, beside rclpy's own; no mode but normal",
            "graph",
            play,
            HOUR,
        ),
    )
