"""How soon an executive that was killed goes on: started anew at once, over real ROS processes.

    python benchmarks/executive_resume.py [--trials 24] [--default-trials 8] [--first 0] [--block 8] [--json FILE]

A task of the fault campaign (`rarrl_nodes.faults.executive`: a cart that is not ours, executive_node,
orchestrator_node) is under way for 0.2 to 4 s when the executive gets kill -9 and is forked anew, as a supervisor does.
Seconds from the kill on:
- active_s: until the next one has read the journal and is active.
- held_s: until it holds its goal again. Where one was at work, that is when its server has told the new process that
  it has it, or how it ended: the goal is taken up by its UUID and never sent twice. Where none was, it is when a server
  has got the next one; the half second in which a new executive listens for others is in it.
held_after_active_s is the second less the first: from the restart on.

Two faults: `killed`, where servers answer at once, and `thinks`, where each thinks for 1.2 s before it takes a goal: a
new goal counts from when its server thinks about it. Each is played twice, in turns of `--block` trials: `udp`, as
nodes are started, and `default`, with a Fast DDS profile of the user's that sets nothing: the executive then uses
shared memory, as nodes did before.

Two idle cores: what else runs there is measured too, and the load average of each trial stands in the table. A trial
takes 10 s, all of them a quarter of an hour: with --first, trials are added to those that FILE holds. Where the task
had ended before the kill, a trial does not count."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl_nodes.faults.executive import bench
from rarrl_nodes.loopback import PROFILES

FAULTS = {"killed": "executive_killed", "thinks": "thinks_and_executive_killed"}
NOTHING = """<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"/>
"""
LIMIT_S = 2.0
NEVER_S = 30.0
"""Stands for a goal that was not held again; so long is waited for it."""


def played(fault: str, numbers: Sequence[int], profile: str) -> list[dict[str, float]]:
    """Those trials in which an executive was killed. profile: of Fast DDS; "": none."""
    found = []
    with suppress(KeyError):
        del os.environ[PROFILES]
    if profile:
        os.environ[PROFILES] = profile
    with bench(fault) as graph:
        for number in numbers:
            graph.luck.seed(f"{fault} {number}")
            task = graph.task()
            if task.active_s is not None:
                held_s = NEVER_S if task.resume_s is None else task.resume_s
                row = {"number": number, "active_s": round(task.active_s, 3), "held_s": round(held_s, 3)}
                found.append(row | {"load": round(os.getloadavg()[0], 1)})
                print(f"{fault} {number}: active {task.active_s:.2f}, held {held_s:.2f} s, {task.status}", flush=True)
    return found


def figures(name: str, trials: Sequence[dict[str, float]]) -> dict[str, Figure]:
    """The figures of one fault with one profile."""
    active, held = (np.array([each[what] for each in trials]) for what in ("active_s", "held_s"))
    values = {"active_s": active, "held_s": held, "held_after_active_s": held - active}
    found = {}
    for what, seconds in values.items():
        for quantile, label in ((0.5, "p50"), (0.99, "p99"), (1.0, "max")):
            value = float(np.quantile(seconds, quantile, method="higher"))
            found[f"{name}_{what}_{label}"] = Figure(value, "s", len(seconds))
    within, n = int((held <= LIMIT_S).sum()), len(held)
    found[f"{name}_held_within_2_s"] = Figure(within / n, "share of trials", n, *wilson(within, n))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24, help="of each fault with each profile")
    parser.add_argument("--default-trials", type=int, default=8, help="of them with Fast DDS as it comes")
    parser.add_argument("--first", type=int, default=0, help="number of the first one; after 0, FILE is added to")
    parser.add_argument("--block", type=int, default=8, help="trials before the other profile's turn")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    all_trials: dict[str, list[dict[str, float]]] = {}
    if args.first and args.json is not None:
        all_trials = json.loads(args.json.read_text("utf-8"))["tables"]["trials"]
    end = args.first + args.trials
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder, "nothing.xml")
        nothing.write_text(NOTHING)
        for begin in range(args.first, end, args.block):
            numbers = range(begin, min(begin + args.block, end))
            for name, fault in FAULTS.items():
                for label, profile, n in (("udp", "", end), ("default", str(nothing), args.default_trials)):
                    some = [number for number in numbers if number < n]
                    if some:
                        all_trials.setdefault(f"{name}_{label}", []).extend(played(fault, some, profile))

    found: dict[str, Figure] = {}
    for name, trials in all_trials.items():
        if trials:
            found |= figures(name, trials)
    for name, figure in found.items():
        print(f"{name:40} {figure.text()} {figure.unit}, n={figure.n}")
    if args.json:
        options = f"--trials {end} --default-trials {args.default_trials} --block {args.block} --json {args.json}"
        command = f"python benchmarks/executive_resume.py {options}"
        write_results(args.json, make_results(command, 0, found, {"trials": all_trials}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
