"""Processor time of one callback of a node, by rclpy's events executor and by its wait sets.

    python benchmarks/executors.py [--rounds 8] [--json benchmarks/results/executors.json]

The node has what ours have: the services of a lifecycle node and of its parameters, eight topics that it hears and
eight that it sends. A timer calls it 200 times a second. The executors take turns, a new node for each."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import rclpy
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from start_up import geometric_mean, ratio
from std_msgs.msg import String

from rarrl.results import make_results, write_results
from rarrl_nodes.spinning import make_executor

TOPICS = 8
PERIOD_S = 0.005
WARM_S, RUN_S = 0.5, 2.0


def cpu_us(executor: Executor, number: int) -> float:
    """Microseconds of this process a callback, all its threads."""
    node = LifecycleNode(f"busy_{number}")
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    for topic in range(TOPICS):
        node.create_publisher(String, f"sent_{topic}", 10)
        node.create_subscription(String, f"heard_{topic}", lambda _: None, 10)
    node.create_timer(PERIOD_S, call)
    executor.add_node(node)
    try:
        spin(executor, WARM_S)
        before, began = calls, time.process_time()
        spin(executor, RUN_S)
        return 1e6 * (time.process_time() - began) / (calls - before)
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_node()


def spin(executor: Executor, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds must be at least 2: the interval is over rounds")

    rclpy.init()
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(args.rounds):
        for by_events in (True, False) if number % 2 else (False, True):
            found[by_events].append(cpu_us(make_executor(by_events=by_events), 2 * number + by_events))
    rclpy.shutdown()

    figures = {
        "callback_by_events_us": geometric_mean(found[True], "us of processor time"),
        "callback_by_wait_sets_us": geometric_mean(found[False], "us of processor time"),
        "by_events_ratio": ratio(found[True], found[False]),
    }
    for name, value in figures.items():
        print(f"{name:28} {value.text()} {value.unit}")
    if args.json:
        command = f"python benchmarks/executors.py --rounds {args.rounds}"
        tables = {"us": {"by_events": found[True], "by_wait_sets": found[False]}}
        write_results(args.json, make_results(command, 0, figures, tables))


if __name__ == "__main__":
    main()
