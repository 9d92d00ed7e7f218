"""Blind rides with and without the safety gate, and what the gate's node costs a command in time.

    python benchmarks/safety_gate.py [--rides 100] [--clean-s 60] [--seed 0] [--no-ros] [--json FILE]

What is tried to get something unsafe through it: `rarrl faults run`.

Rides (table `rides`): benchmarks/safety_gate_world.py, each once with and once without the gate.

latency: from the moment before a command is published until it is heard on cmd_vel; the gate, and each of the three
that it hears, in processes of their own. Needs the extra `ros`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safety_gate_world import DriveStatistics, ride

from rarrl.config import GateConfig
from rarrl.results import Figure, make_results, write_results

CONFIG = GateConfig(sensor_x_m=0.2)
SETTINGS = {"standing": (12, 0), "some move": (8, 3)}


def run_rides(n: int, seed: int, seconds: float = 30.0) -> list[dict[str, Any]]:
    rows = []
    for name, (standing, movers) in SETTINGS.items():
        for gated in (True, False):
            rides: list[DriveStatistics] = [ride(seed + k, CONFIG, seconds, standing, movers, gated) for k in range(n)]
            rows.append(
                {
                    "world": name,
                    "gate": gated,
                    "n": n,
                    "collisions": sum(bool(r.hit) for r in rides),
                    "collisions_outside_the_view": sum(r.behind for r in rides),
                    "way_m": float(np.mean([r.way_m for r in rides])),
                    "least_distance_m": float(min(r.least_m for r in rides)),
                    "share_stopped": float(np.mean([r.stops for r in rides])) / (seconds * CONFIG.rate_hz),
                }
            )

    return rows


def latencies_ms(seconds: float) -> list[float]:
    """Of the commands that were let through in a clean run of `seconds`."""
    from rarrl_nodes.faults import gate_graph

    with gate_graph.running_gate() as listener:
        for role in gate_graph.RATES:
            listener.start(role)
        listener.until_moving()
        listener.listen(1.0)
        listener.heard.clear()
        listener.listen(seconds)

    found = []
    told = set()
    for at, _, omega in listener.heard:  # the command's omega tells when it was sent
        if omega and omega not in told:  # the gate repeats a command until the next one
            told.add(omega)
            found.append((1e3 * at - 1e5 * omega) % 1000)

    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rides", type=int, default=100, help="per world, with and without the gate")
    parser.add_argument("--clean-s", type=float, default=60.0, help="length of the clean run, s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ros", action="store_true", help="only what runs in this process")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()

    figures: dict[str, Figure] = {}
    if not args.no_ros:
        found = latencies_ms(args.clean_s)
        for name, share in (("latency_p50_ms", 0.5), ("latency_p99_ms", 0.99)):
            figures[name] = Figure(float(np.quantile(found, share)), "ms", len(found))

    rides = run_rides(args.rides, args.seed)
    for gated, name in ((True, "collisions_with_gate"), (False, "collisions_without_gate")):
        of = [row for row in rides if row["gate"] is gated]
        figures[name] = Figure(sum(r["collisions"] for r in of), "rides", sum(r["n"] for r in of))
    for row in rides:
        print("; ".join(f"{key} {value}" for key, value in row.items()))
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/safety_gate.py", *sys.argv[1:]])
        write_results(args.json, make_results(command, args.seed, figures, {"rides": rides}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
