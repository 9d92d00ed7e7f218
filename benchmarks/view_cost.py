"""What the live view costs the robot's process, in CPU time, with nobody and with somebody watching.

    python benchmarks/view_cost.py [--rounds 6] [--seconds 6] [--json benchmarks/results/view.json]

A mission with eyes, policy and gate is played first, and what its recorder shows in each step is kept. Then the steps
are shown again at 10 Hz of real time, in rounds: each round has a stretch with every condition, in an order that
changes. `off`: no view; `nobody`: served, but no browser; `one`: a browser that reads, in another process; `four` of
them; `behind`: one that reads nothing. Pictures come as in the mission (3.3 Hz); `one, all pictures`: one in each step.
The CPU time of the process less that of `off` in the same round is what the view costs; a busy machine makes CPU time
somewhat longer, for all conditions alike. What the browser itself takes is not the robot's: it may run elsewhere.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rarrl.results import Figure, make_results, write_results
from rarrl.view.server import ViewServer, viewing
from rarrl.view.state import Moment, Story
from rarrl_learning.household.evaluate import FIRST_SEED, Setting, run_mission
from rarrl_learning.household.live import LiveRecorder

SETTING = Setting(policy="learned", latency="household", costs="household-training")
"""Calls take recorded seconds; the answers are the shipped model's."""
STEPS = 150
"""Of the mission that are kept: 15 s, with several decisions."""
PERIOD_S = 0.1
LIMIT = 0.05
"""Of a core: what one browser may cost."""
READER = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as stream:
    print("open", flush=True)
    {wait}
    total = 0
    while chunk := stream.read1(65536):
        total += len(chunk)
"""
CONDITIONS = {"off": 0, "nobody": 0, "one": 1, "four": 4, "behind": 1, "one, all pictures": 1}
"""Name -> browsers."""


@dataclass(frozen=True)
class Step:
    """What the recorder holds after a step."""

    moment: Moment
    story: Story
    seen: object


class _EnoughError(Exception):
    pass


class Keeper(LiveRecorder):
    """Keeps what it would show."""

    def __init__(self) -> None:
        super().__init__("learned", paced=False)
        self.steps: list[Step] = []

    def step(self, *args: object) -> None:
        super().step(*args)  # type: ignore[arg-type]
        if self._seen is not None:
            self.steps.append(Step(self._moment, self._story, self._seen))
        if len(self.steps) == STEPS:
            raise _EnoughError

    def hold(self, step: Step, seen: object) -> None:
        """As after `step`. seen: the pair and what was seen in it."""
        self._moment, self._story, self._seen = step.moment, step.story, seen  # type: ignore[assignment]


def kept_mission() -> Keeper:
    """A mission, as far as it is needed."""
    keeper = Keeper()
    with suppress(_EnoughError):
        run_mission(SETTING, FIRST_SEED + 3, keeper)
    return keeper


@contextmanager
def watched(server: ViewServer, condition: str) -> Iterator[None]:
    """Browsers in processes of their own."""
    wait = "import time; time.sleep(3600)" if condition == "behind" else ""
    url = server.url.replace("/?", "/events?")
    with ExitStack() as readers:
        children = [
            readers.enter_context(
                subprocess.Popen([sys.executable, "-c", READER.format(wait=wait), url], stdout=subprocess.PIPE)
            )
            for _ in range(CONDITIONS[condition])
        ]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        try:
            yield
        finally:
            for child in children:
                child.kill()


def stretch(keeper: Keeper, condition: str, seconds: float, first: int) -> tuple[float, dict[str, int]]:
    """(CPU seconds a second of showing the steps from `first` on, what the server counted)."""
    with ExitStack() as stack:
        server = None
        if condition != "off":
            server = stack.enter_context(viewing(keeper))
            stack.enter_context(watched(server, condition))
        _show(keeper, condition, 1.0, first)  # the first look, and all threads, are behind it

        before, cpu_s, began = dict(server.counts) if server else {}, time.process_time(), time.monotonic()
        _show(keeper, condition, seconds, first)
        used, took = time.process_time() - cpu_s, time.monotonic() - began
        counts = {name: server.counts[name] - before.get(name, 0) for name in server.counts} if server else {}
        return used / took, counts


def _show(keeper: Keeper, condition: str, seconds: float, first: int) -> None:
    due = time.monotonic()
    for number in range(round(seconds / PERIOD_S)):
        step = keeper.steps[(first + number) % len(keeper.steps)]
        seen = step.seen
        if condition == "one, all pictures":
            pair, reading, rig = seen  # type: ignore[misc]
            seen = (type(pair)(pair.left, pair.right, pair.stamp_s), reading, rig)
        keeper.hold(step, seen)
        due += PERIOD_S
        time.sleep(max(due - time.monotonic(), 0.0))


def measure(keeper: Keeper, rounds: int, seconds: float) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """Condition -> (rounds,) CPU seconds a second; condition -> what was counted in all."""
    names = list(CONDITIONS)
    used = {name: np.zeros(rounds) for name in names}
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            used[name][number], counted = stretch(keeper, name, seconds, 17 * number)
            for key, count in counted.items():
                counts[name][key] = counts[name].get(key, 0) + count
        print(f"round {number + 1} of {rounds}: " + ", ".join(f"{n} {used[n][number]:.4f}" for n in names), flush=True)
    return used, counts


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean of `values`, by bootstrap over rounds."""
    drawn = np.random.default_rng(seed).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)

    keeper = kept_mission()
    used, counts = measure(keeper, given.rounds, given.seconds)
    figures: dict[str, Figure] = {}
    rows = []
    for name in CONDITIONS:
        extra = used[name] - used["off"]
        lo, hi = interval(extra)
        if name != "off":
            key = "view_cpu_" + name.replace(", ", "_").replace(" ", "_")
            figures[key] = Figure(float(extra.mean()), "cores", given.rounds, lo, hi)
        rate = counts[name].get("sent", 0) / (given.rounds * given.seconds)
        rows.append(
            {
                "condition": name,
                "cpu_cores": round(float(used[name].mean()), 5),
                "view_cores": round(float(extra.mean()), 5),
                "lo": round(lo, 5),
                "hi": round(hi, 5),
                "frames_sent_hz": round(rate, 2),
                "frames_skipped": counts[name].get("skipped", 0),
            }
        )
        print(f"{name:18} {extra.mean():+.4f} [{lo:+.4f}, {hi:+.4f}] cores, {rate:.1f} frames/s sent")
    figures["view_frames_hz_one"] = Figure(
        counts["one"].get("sent", 0) / (given.rounds * given.seconds), "Hz", given.rounds
    )
    one = figures["view_cpu_one"]
    print(f"one browser: {100 * one.value:.2f} % of a core, allowed {100 * LIMIT:.0f} %: {one.value <= LIMIT}")
    results = make_results("python benchmarks/view_cost.py", 0, figures, {"conditions": rows})
    if given.json is not None:
        write_results(given.json, results)


if __name__ == "__main__":
    main()
