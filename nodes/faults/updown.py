"""Each node brought up and down again and again in one process: configure, activate, deactivate, clean up.

`python -m rarrl_nodes.faults.updown NODE CYCLES` is that process; it prints what came of it as one line of JSON. A
trial is a cycle. `updown_failures` are transitions that did not succeed, `left` threads and open files beyond those
after the first tenth; what the memory grew by is told. As Nav2's test_updown_reliability does for its own nodes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import RarrlError

from .row import Row, Trial
from .station import own_domain

NODES: dict[str, tuple[str, dict[str, Any], int]] = {
    "gate": ("safety_gate_node:SafetyGateNode", {}, 1000),
    "detector": ("stereo_voxel_node:StereoVoxelNode", {}, 1000),
    "orchestrator": ("orchestrator_node:OrchestratorNode", {}, 1000),
    "executive": (
        "executive_node:ExecutiveNode",
        {"executive.skills": "robot:alfred", "executive.world": "robot:alfred"},
        1000,
    ),
    "deadman": ("deadman_node:DeadmanNode", {}, 1000),
    "policy": ("vla_policy_node:VlaPolicyNode", {"policy.preset": "fast"}, 50),
}
"""Part -> its node, settings, cycles: a policy starts a worker process in each. The deadman has no lifecycle: it is
made and destroyed."""
CYCLE_S = 30.0
"""Seconds that a cycle may take on a busy machine."""
BLOCKS = 10
T_95 = 2.306
"""Student's t for a line through so many blocks, 95 %, two-sided."""
TRANSITIONS = ("configure", "activate", "deactivate", "cleanup")


def cycle(node: Any) -> int:
    """Brings the node up and down; how many transitions failed."""
    from rclpy.lifecycle import TransitionCallbackReturn

    results = [getattr(node, f"trigger_{name}")() for name in TRANSITIONS]
    return sum(result is not TransitionCallbackReturn.SUCCESS for result in results)


def slope(sizes: np.ndarray) -> tuple[float, float]:
    """What a series grows by from one value to the next, and half the width of its 95 % interval: a line through the
    means of ten blocks, since values side by side resemble one another."""
    if len(sizes) < BLOCKS:
        return 0.0, math.inf
    means = [float(block.mean()) for block in np.array_split(sizes, BLOCKS)]
    at = np.arange(BLOCKS) * len(sizes) / BLOCKS
    steepness, start = np.polyfit(at, means, 1)
    error = np.sqrt(np.square(means - (start + steepness * at)).sum() / (BLOCKS - 2) / np.square(at - at.mean()).sum())
    return float(steepness), T_95 * float(error)


def usage() -> tuple[int, int, float]:
    """Threads, open files and resident MB of this process."""
    status = Path("/proc/self/status").read_text("utf-8")
    rss_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return threading.active_count(), len(os.listdir("/proc/self/fd")), rss_kb / 1024


def updown(part: str, cycles: int) -> dict[str, Any]:
    """The whole of it, in this process."""
    import rclpy
    from rclpy.parameter import Parameter

    where, settings, _ = NODES[part]
    module, _, kind = where.partition(":")
    rclpy.init()
    overrides = [Parameter(name, value=value) for name, value in {"autostart": False, **settings}.items()]
    make = partial(getattr(import_module(f"..{module}", __package__), kind), parameter_overrides=overrides)
    node = None if part == "deadman" else make()
    failures: list[int] = []
    sizes: list[float] = []
    first = usage()
    for number in range(cycles):
        if node is None:
            make().destroy_node()
        failures.append(0 if node is None else cycle(node))
        sizes.append(usage()[2])
        if number == cycles // 10:
            first = usage()
    last = usage()
    if node is not None:
        node.destroy_node()
    rclpy.try_shutdown()

    grown, error = slope(1024 * np.array(sizes[cycles // 10 :]))
    left = max(last[0] - first[0], 0) + max(last[1] - first[1], 0)
    return {"failures": failures, "left": left, "kb_per_cycle": grown, "kb_error": error}


def played(part: str) -> Callable[[int, int], list[Trial]]:
    """Plays cycles of one node."""

    def play(trials: int, seed: int) -> list[Trial]:
        command = [sys.executable, "-m", "rarrl_nodes.faults.updown", part, str(trials)]
        with own_domain():
            done = subprocess.run(command, capture_output=True, text=True, timeout=60 + trials * CYCLE_S)
        try:
            told = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            raise RarrlError(f"faults: {part} ended with {done.returncode}: {done.stderr[-200:]}") from None
        note = f"{told['kb_per_cycle']:.3g} kB a cycle after the first tenth, ± {told['kb_error']:.2g}"
        counts = [{"updown_failures": failed} for failed in told["failures"]]
        counts[-1] |= {"left": told["left"], "parent_crashes": int(done.returncode != 0)}
        return [Trial(counts=each, note=note) for each in counts]

    return play


def rows() -> tuple[Row, ...]:
    """A row for each node."""
    return tuple(
        Row(
            f"N3-{part}",
            part,
            f"{where.partition(':')[0]} up and down",
            "made, destroyed" if part == "deadman" else ", ".join(TRANSITIONS),
            "each transition succeeds; no thread and no file is left",
            "graph",
            played(part),
            cycles,
            10 if part == "gate" else 0,
        )
        for part, (where, _, cycles) in NODES.items()
    )


if __name__ == "__main__":
    print(json.dumps(updown(sys.argv[1], int(sys.argv[2]))))
