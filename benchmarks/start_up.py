"""What the robot's side of the simulated graph costs, against another commit: memory, processor, start.

    python benchmarks/start_up.py --against c6d8b0e --rounds 3 --json benchmarks/results/start_up.json

Each round plays `rarrl run --sim` once with this tree and once with the other commit's, in turn, so that what else the
machine does meets both. Of all processes of the run the simulator and the command line are left out: neither is on a
robot. Counted:

    robot_pss_ratio     memory while the robot drives: sum of PSS, which splits shared pages among those who share them
    robot_cpu_ratio     processor seconds a second of driving
    start_ratio         seconds from the command to the first motion
    start_cpu_ratio     processor seconds of the robot's side until then: other work changes them less

A ratio is the geometric mean over the rounds; below 1 this tree takes less."""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from mission_graph import Ear

from rarrl.resources.cpu import cpu_seconds
from rarrl.resources.threads import planned
from rarrl.results import Figure, make_results, write_results

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"rarrl": "rarrl", "rarrl_sim_envs": "sim_envs", "rarrl_learning": "learning", "rarrl_nodes": "nodes"}
MARK = "RARRL_BENCHMARK_RUN"
"""Environment variable by which the processes of a run are found."""
SIMULATOR = b"sim_robot_node"
START_S = 400.0
"""Seconds until the robot must move; a busy machine takes many."""
MOVES = 0.02
"""Speed in m/s from which on the robot moves."""
LOOK_S = 2.0
"""Seconds between two readings of the memory."""


@dataclass(frozen=True)
class Cost:
    """Of one run. start_cpu_s, drive_cpu_s: of the robot's side; drive_s: how long it was watched while it drove."""

    start_s: float
    start_cpu_s: float
    drive_s: float
    drive_cpu_s: float
    pss_mb: float
    processes: int

    @property
    def cpu_share(self) -> float:
        """Cores that it kept busy."""
        return self.drive_cpu_s / self.drive_s


def robot_side(mark: str, command_line: int) -> Iterator[int]:
    """Processes of the run without the command line, the simulator and what that has started."""
    ours: dict[int, int] = {}
    simulators = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                pid = int(folder.name)
                ours[pid] = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
                if SIMULATOR in (folder / "cmdline").read_bytes():
                    simulators.add(pid)
    yield from (pid for pid, parent in ours.items() if pid != command_line and not {pid, parent} & simulators)


def pss_mb(pid: int) -> float:
    """Proportional set size, MB; 0 where the process has just ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_of(pids: Iterator[int]) -> dict[int, float]:
    """Processor seconds of each process that is there."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            found[pid] = cpu_seconds(pid)
    return found


def measure(tree: Path, seed: int, domain: int, seconds: float) -> Cost:
    """Plays with the packages under `tree`, until the robot has driven for `seconds`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package, source in PACKAGES.items():
            if (tree / source).exists():
                (folder / "path" / package).parent.mkdir(exist_ok=True)
                (folder / "path" / package).symlink_to(tree / source)
        mark = f"{os.getpid()}-{domain}"
        environment = {
            **{
                name: value for name, value in os.environ.items() if name not in planned(1, {})
            },  # each tree plans its own
            MARK: mark,
            "PYTHONPATH": str(folder / "path"),
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        code = "import sys; from rarrl.cli import main; sys.argv[0] = 'rarrl'; main()"
        arguments = ["run", "--sim", "--policy", "never", "--missions", "20", "--seed", str(seed)]
        os.environ |= {key: environment[key] for key in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")}
        ear = Ear()
        with (folder / "log").open("wb") as log:
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments, "--out", str(folder / "run")],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                ear.until(lambda: process.poll() is not None or any(abs(v) > MOVES for _, v in ear.speeds), START_S)
                if not ear.speeds or process.poll() is not None:
                    raise SystemExit(f"{tree}: the robot did not move\n" + (folder / "log").read_text()[-2000:])
                start_s = time.monotonic() - began
                at_start = cpu_of(robot_side(mark, process.pid))
                memory = []
                moved = time.monotonic()
                while (drive_s := time.monotonic() - moved) < seconds:
                    ear.until(lambda: False, LOOK_S)
                    memory.append(sum(map(pss_mb, robot_side(mark, process.pid))))
                at_end = cpu_of(robot_side(mark, process.pid))
                drive_cpu_s = sum(at_end[pid] - at_start.get(pid, 0.0) for pid in at_end)
                started = sum(at_start.values())
                return Cost(start_s, started, drive_s, drive_cpu_s, statistics.median(memory), len(at_end))
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                ear.close()


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of a commit in a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
        with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
            archive.extractall(name, filter="data")
        yield Path(name)


def ratio(ours: list[float], theirs: list[float]) -> Figure:
    """Geometric mean of the rounds' ratios."""
    return geometric_mean([a / b for a, b in zip(ours, theirs, strict=True)], "ratio")


def geometric_mean(values: list[float], unit: str) -> Figure:
    """Of the rounds, with a 95 % interval over them (normal, of the logarithm)."""
    logs = [math.log(value) for value in values]
    mean, n = statistics.fmean(logs), len(logs)
    half = 1.96 * statistics.stdev(logs) / math.sqrt(n) if n > 1 else math.inf
    low, high = (round(math.exp(mean + side * half), 3) if n > 1 else None for side in (-1, 1))
    return Figure(round(math.exp(mean), 3), unit, n, low, high)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", default="c6d8b0e", help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of driving, a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    costs: Mapping[str, list[Cost]] = {"here": [], args.against: []}
    with tree_of(args.against) as other:
        for number in range(args.rounds):
            trees = [("here", ROOT), (args.against, other)]
            for place, (name, tree) in enumerate(trees if number % 2 == 0 else trees[::-1]):
                domain = 1 + (os.getpid() + 2 * number + place) % 100
                cost = measure(tree, args.seed + number, domain, args.seconds)
                costs[name].append(cost)
                print(name, asdict(cost), f"load {os.getloadavg()[0]:.1f}", flush=True)

    ours, theirs = costs.values()
    figures = {
        "robot_pss_ratio": ratio([c.pss_mb for c in ours], [c.pss_mb for c in theirs]),
        "robot_cpu_ratio": ratio([c.cpu_share for c in ours], [c.cpu_share for c in theirs]),
        "start_ratio": ratio([c.start_s for c in ours], [c.start_s for c in theirs]),
        "start_cpu_ratio": ratio([c.start_cpu_s for c in ours], [c.start_cpu_s for c in theirs]),
    }
    for name, figure in figures.items():
        print(name, figure)
    if args.json:
        command = f"python benchmarks/start_up.py --against {args.against} --rounds {args.rounds}"
        tables = {name: [asdict(cost) for cost in each] for name, each in costs.items()}
        write_results(args.json, make_results(command, args.seed, figures, tables))


if __name__ == "__main__":
    main()
