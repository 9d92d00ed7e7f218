"""What Ray adds to, and takes from, a sweep on this machine: equal results, a killed worker, speed-up, bytes.

    python benchmarks/ray_scaling.py [--cells 6] [--steps 131072] [--rounds 2] [--ray local] [--json FILE]

Cells of `rarrl sweep orchestrator` are trained serially and by two workers, in turn, in one run. Other work on the
machine moves the times on the clock; the CPU seconds of each cell are measured where it is trained, and give the
speed-up that two free cores would show (`speed_up_by_cpu`): all CPU seconds, over those of the busier worker.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections import defaultdict
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load

from rarrl.results import Figure, make_results, write_results
from rarrl_learning.orchestrator.sweep import Cell, grid, train_cell
from rarrl_learning.progress import done_on_each
from rarrl_learning.spread import crew

RESULTS = Path("benchmarks/results/ray.json")
EMPTY = 200
"""Tasks without work whose round trips are measured."""
KILL_AFTER_S = 2.0
"""Seconds of a cell's training after which its worker is killed."""


def measured(folder: str, cell: Cell) -> tuple[bytes, dict[str, Any], int, float]:
    """A cell: weights, row, which process trained it, and its CPU seconds. Says in `folder` who is at it."""
    mark = Path(folder) / cell.name
    mark.write_text(str(os.getpid()))
    before = time.process_time()
    weights, card = train_cell(cell, "", None, 1)
    mark.unlink(missing_ok=True)
    return weights, card["row"], os.getpid(), time.process_time() - before


def nothing(number: int) -> tuple[int, float]:
    """A task without work: itself, and the CPU seconds of its process so far."""
    return number, time.process_time()


def difference(one: Any, other: Any) -> float:
    """The greatest between the weights and figures of two runs of the same cells."""
    found = [0.0]
    for (weights, row, *_), (others, their_row, *_) in zip(one, other, strict=True):
        mine, theirs = load(weights), load(others)
        found += [float(np.abs(mine[name].astype(float) - theirs[name].astype(float)).max()) for name in mine]
        found += [abs(row[name] - their_row[name]) for name in row]
    return max(found)


def by_worker(runs: Any) -> list[float]:
    """CPU seconds of each process."""
    total: dict[int, float] = defaultdict(float)
    for _, _, pid, cpu_s in runs:
        total[pid] += cpu_s
    return sorted(total.values())


def kill_one(folder: Path, within_s: float) -> int:
    """Kills the process of a cell that has been under way for a while; its id."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for mark in folder.iterdir():
            if time.time() - mark.stat().st_mtime > KILL_AFTER_S and (pid := mark.read_text()):
                os.kill(int(pid), signal.SIGKILL)
                return int(pid)
        time.sleep(0.1)
    raise SystemExit("no cell was under way: nothing to kill")


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=6, help="seeds that are trained")
    parser.add_argument("--steps", type=int, default=131_072, help="decisions of each")
    parser.add_argument("--rounds", type=int, default=2, help="serial and spread, in turn")
    parser.add_argument("--ray", default="local", help="or the address of a cluster of this machine, of two cores")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cells = grid(range(arguments.cells), [6.0], ["groq-70b"], [0.01], arguments.steps)
    load_before = os.getloadavg()[0]

    with TemporaryDirectory() as name:
        one = partial(measured, name)
        one(cells[0])  # imports are nobody's gain
        begun = time.monotonic()
        with crew(2 if arguments.ray == "local" else 1, arguments.ray) as pool:
            start_s = time.monotonic() - begun
            assert pool is not None

            def spread(work: Any, items: Any) -> list[Any]:
                return done_on_each(work, items, pool, lambda text, share: None, "cells")

            spread(one, cells[:2])  # likewise
            serial_s, spread_s, serial_runs, spread_runs = [], [], [], []
            for number in range(arguments.rounds):
                begun = time.monotonic()
                serial_runs.append([one(cell) for cell in cells])
                serial_s.append(time.monotonic() - begun)
                begun = time.monotonic()
                spread_runs.append(spread(one, cells))
                spread_s.append(time.monotonic() - begun)
                print(f"round {number + 1}: serial {serial_s[-1]:.1f} s, two workers {spread_s[-1]:.1f} s", flush=True)

            futures = [pool.submit(one, cell) for cell in cells]
            kill_one(Path(name), within_s=300.0)
            killed_run = [future.result() for future in futures]

            begun = time.monotonic()
            empty = spread(nothing, range(EMPTY))
            empty_s = (time.monotonic() - begun) / EMPTY

    serial_cpu = [sum(by_worker(run)) for run in serial_runs]
    spread_cpu = [sum(by_worker(run)) for run in spread_runs]
    ideal = [cpu / max(by_worker(run)) for cpu, run in zip(serial_cpu, spread_runs, strict=True)]
    clock = [a / b for a, b in zip(serial_s, spread_s, strict=True)]
    apart = max(difference(serial_runs[0], run) for run in (*serial_runs, *spread_runs, killed_run))
    sent = len(ForkingPickler.dumps((one, (cells[0],), {})))
    back = max(len(ForkingPickler.dumps(each)) for each in spread_runs[0])
    n = arguments.rounds

    def over(values: list[float], unit: str) -> Figure:
        return Figure(float(np.mean(values)), unit, n, min(values), max(values))

    figures = {
        "max_abs_difference": Figure(apart, "weights and figures, serial against spread and killed", len(cells)),
        "lost_after_kill": Figure(len(cells) - len(killed_run), f"cells of {len(cells)}, a worker killed", 1),
        "speed_up": over(clock, "on the clock; bounds: rounds"),
        "speed_up_by_cpu": over(ideal, "on two free cores, by CPU seconds; bounds: rounds"),
        "cpu_ratio": over([b / a for a, b in zip(serial_cpu, spread_cpu, strict=True)], "CPU seconds, Ray over serial"),
        "cell_cpu_s": over([cpu / len(cells) for cpu in serial_cpu], "s a cell, serial"),
        "start_s": Figure(start_s, "s until the cluster is there", 1),
        "empty_task_ms": Figure(1e3 * empty_s, "ms a task without work", len(empty)),
        "sent_bytes": Figure(sent, "bytes a task"),
        "returned_bytes": Figure(back, "bytes a task, the largest"),
    }
    setup = {
        **{key: getattr(arguments, key) for key in ("cells", "steps", "rounds")},
        "cluster": "started here" if arguments.ray == "local" else "of this machine, it ran already",
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "serial_s": serial_s,
        "spread_s": spread_s,
        "worker_cpu_s": [by_worker(run) for run in spread_runs],
    }
    command = f"python benchmarks/ray_scaling.py --cells {arguments.cells} --steps {arguments.steps} --rounds {n}"
    command += "" if arguments.ray == "local" else " --ray HOST:PORT"
    results = make_results(command, 0, figures, {"setup": setup})
    results["versions"]["ray"] = __import__("ray").__version__
    write_results(arguments.json, results)
    for key, figure in figures.items():
        print(f"{key}: {figure.text()} {figure.unit}")


if __name__ == "__main__":
    main()
