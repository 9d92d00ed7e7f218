"""Each node brought up and down again and again in one process: configure, activate, deactivate, clean up.

`python -m rarrl_nodes.faults.updown NODE CYCLES` is that process; it prints what came of it as one line of JSON. A
trial is a cycle. `updown_failures` are transitions that did not succeed, `left` threads and open files beyond those
after the first tenth. As Nav2's test_updown_reliability does for its own nodes.

rclpy and Fast DDS leave some of each cycle of any node behind, by how many entities it has. So the same cycles are
played with a node of rclpy's own that has the same entities and none of our code (`--bare`), and what counts is the
difference. What rclpy's callback groups keep is thrown away in both (`forget_destroyed`): in the bare node alone it
would hide two kilobytes of ours. Nodes have no rosout: its last 1000 messages are kept, and would look like growth."""

from __future__ import annotations

import ctypes
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

from ..spinning import forget_destroyed
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
    "policy": ("vla_policy_node:VlaPolicyNode", {"policy.preset": "fast"}, 1000),
}
"""Part -> its node, settings, cycles: a policy starts a worker process in each. The deadman has no lifecycle: it is
made and destroyed."""
CYCLE_S = 30.0
"""Seconds that a cycle may take on a busy machine."""
BLOCKS = 10
T_95 = 2.306
"""Student's t for a line through so many blocks, 95 %, two-sided."""
LEAK_KB = 1.0
"""Kilobytes a cycle, beyond what rclpy's own node leaves behind, that count as a leak where their interval is above."""
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
    grown = sizes - sizes[0]  # of what stands still exactly 0: rounding is no growth
    means = [float(block.mean()) for block in np.array_split(grown, BLOCKS)]
    at = np.arange(BLOCKS) * len(sizes) / BLOCKS
    steepness, start = np.polyfit(at, means, 1)
    error = np.sqrt(np.square(means - (start + steepness * at)).sum() / (BLOCKS - 2) / np.square(at - at.mean()).sum())
    return float(steepness), T_95 * float(error)


def usage() -> tuple[int, int, float]:
    """Threads, open files and resident MB of this process, without memory that malloc keeps for later."""
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text("utf-8")
    rss_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return threading.active_count(), len(os.listdir("/proc/self/fd")), rss_kb / 1024


def entities_of(node: Any) -> list[tuple[Any, ...]]:
    """Each ROS entity of `node`: the name of rclpy's method that creates its like, that of the one that destroys it,
    and the arguments."""
    from rclpy.lifecycle import LifecyclePublisher

    def idle(*_: object) -> None:
        """Nothing is heard here."""

    found: list[tuple[Any, ...]] = []
    for each in node.publishers:
        kind = "lifecycle_publisher" if isinstance(each, LifecyclePublisher) else "publisher"
        found.append((each, kind, each.msg_type, each.topic_name, each.qos_profile))
    for each in node.subscriptions:
        found.append((each, "subscription", each.msg_type, each.topic_name, idle, each.qos_profile))
    for each in node.services:
        found.append((each, "service", each.srv_type, each.service_name, idle))
    for each in node.clients:
        found.append((each, "client", each.srv_type, each.service_name))
    for each in node.timers:
        found.append((each, "timer", each.timer_period_ns / 1e9, idle))
    return found


def bare_cycles(part: str, make: Callable[[], Any]) -> Callable[[], int]:
    """A cycle of a node of rclpy's own with the same entities and none of our code: what rclpy itself leaves behind."""
    from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
    from rclpy.node import Node

    model = make()
    own = {id(each) for each, *_ in entities_of(model)} if part != "deadman" else set()
    if part != "deadman":
        model.trigger_configure()
    names = {parameter: value.value for parameter, value in model.get_parameters_by_prefix("").items()}
    wanted: list[list[Any]] = [rest for each, *rest in entities_of(model) if id(each) not in own]
    usual = {(kind, given[1]) for _, kind, *given in entities_of(Node("usual", enable_rosout=False)) if len(given) > 1}
    wanted = [[kind, *given] for kind, *given in wanted if kind == "timer" or (kind, given[1]) not in usual]
    model.destroy_node()

    def fill(node: Any) -> None:
        node.made = [(kind, getattr(node, f"create_{kind}")(*given)) for kind, *given in wanted]
        for kind, made in node.made:
            if kind == "publisher":
                made.publish(made.msg_type())

    def empty(node: Any) -> None:
        while node.made:
            kind, entity = node.made.pop()
            getattr(node, f"destroy_{kind}")(entity)

    class Bare(LifecycleNode):
        def on_configure(self, state: Any) -> TransitionCallbackReturn:
            fill(self)
            return super().on_configure(state)

        def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
            empty(self)
            forget_destroyed(self)
            return super().on_cleanup(state)

    if part != "deadman":
        return partial(cycle, Bare("bare", enable_rosout=False))

    def made_and_destroyed() -> int:
        node = Node("bare", enable_rosout=False)
        for name, value in names.items():
            if not node.has_parameter(name):
                node.declare_parameter(name, value)
        fill(node)
        node.destroy_node()
        return 0

    return made_and_destroyed


def our_cycles(part: str, make: Callable[[], Any]) -> Callable[[], int]:
    """A cycle of our node."""
    if part != "deadman":
        return partial(cycle, make())

    def made_and_destroyed() -> int:
        make().destroy_node()
        return 0

    return made_and_destroyed


def updown(part: str, cycles: int, bare: bool = False) -> dict[str, Any]:
    """The whole of it, in this process. bare: of `bare_cycles`."""
    import rclpy
    from rclpy.parameter import Parameter

    where, settings, _ = NODES[part]
    module, _, kind = where.partition(":")
    rclpy.init()
    overrides = [Parameter(name, value=value) for name, value in {"autostart": False, **settings}.items()]
    node = getattr(import_module(f"..{module}", __package__), kind)
    make = partial(node, parameter_overrides=overrides, enable_rosout=False)
    once = (bare_cycles if bare else our_cycles)(part, make)
    failures: list[int] = []
    sizes: list[float] = []
    first = usage()
    for number in range(cycles):
        failures.append(once())
        sizes.append(usage()[2])
        if number == cycles // 10:
            first = usage()
    last = usage()
    rclpy.try_shutdown()

    grown, error = slope(1024 * np.array(sizes[cycles // 2 :]))
    left = max(last[0] - first[0], 0) + max(last[1] - first[1], 0)
    return {"failures": failures, "left": left, "kb_per_cycle": grown, "kb_error": error}


def _told(part: str, cycles: int, *words: str) -> dict[str, Any]:
    """What `updown` tells, in a process of its own. Raises: RarrlError where that ended otherwise."""
    command = [sys.executable, "-m", "rarrl_nodes.faults.updown", part, str(cycles), *words]
    with own_domain():
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 + cycles * CYCLE_S)
    try:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise RarrlError(f"faults: {part} ended with {done.returncode}: {done.stderr[-200:]}") from None
    if done.returncode:
        raise RarrlError(f"faults: {part} ended with {done.returncode} after its cycles: {done.stderr[-200:]}")
    return told


def played(part: str) -> Callable[[int, int], list[Trial]]:
    """Plays cycles of one node."""

    def play(trials: int, seed: int) -> list[Trial]:
        ours, bare = (_told(part, trials, *words) for words in ((), ("--bare",)))
        grown, error = ours["kb_per_cycle"] - bare["kb_per_cycle"], math.hypot(ours["kb_error"], bare["kb_error"])
        note = (
            f"{ours['kb_per_cycle']:.2f} ± {ours['kb_error']:.2f} kB a cycle in the second half; rclpy's own node with "
            f"the same entities {bare['kb_per_cycle']:.2f} ± {bare['kb_error']:.2f}: ours {grown:+.2f} ± {error:.2f}"
        )
        counts = [{"updown_failures": failed} for failed in ours["failures"]]
        counts[-1] |= {"left": ours["left"], "leaks": int(grown - error > LEAK_KB), "parent_crashes": 0}
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
            "each transition succeeds; no thread, no file and no memory is left, beside rclpy's own",
            "graph",
            played(part),
            cycles,
            10 if part == "gate" else 0,
        )
        for part, (where, _, cycles) in NODES.items()
    )


if __name__ == "__main__":
    print(json.dumps(updown(sys.argv[1], int(sys.argv[2]), "--bare" in sys.argv)))
