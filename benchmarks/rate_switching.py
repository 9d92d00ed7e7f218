"""Measures how steady the detector's rate is while cores are taken away and given back, with and without switching.

    python benchmarks/rate_switching.py [--rounds 5] [--phase-s 5] [--json FILE]

A drive through a rendered room (640 x 480; another room in each round) goes to the detector as stereo_voxel_node takes
it: always the latest pair, while new ones are due at the target rate. Each drive has the same phases: two cores; one
core; one core shared with one busy process, then with two; two cores again. In each round all variants drive, in turn:

    accurate    the fixed preset that the target rate is made for (detector.quality: accurate)
    switching   the same with detector.target_hz: down to fast and quick, and back
    quick       the fixed preset at the end of that way: what switching can reach at best

The target is the rate at which `accurate` is in time on two free cores, as `rarrl tune robot` chooses it. A window
holds one second's pairs; its rate is how many of those that were due were answered. rate_deviation_*: mean over
windows of |rate - target| / target; intervals over rounds. iou_*: of the answered pairs. missed_free_*: share of the
voxels with a surface that were called free, of all frames, which the gate would drive into. age_p95_ms_*: from when a
pair was due to its answer. Seven minutes on an otherwise idle machine with two cores or more."""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rarrl.perception.detectors import DETECTORS
from rarrl.perception.ladder import DetectorLadder
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS, Truth, Voxelizer, truth_voxels
from rarrl.results import Figure, make_results, write_results
from rarrl.types import StereoPair, VoxelGrid
from rarrl_learning.perception.evaluate_fusion import seen_from
from rarrl_learning.perception.metrics import iou
from rarrl_learning.perception.synthetic import SynthConfig, build_scene, render_frame
from rarrl_learning.speed.preset import IN_TIME

SIZE = (640, 480)
SPEC = PRESETS["indoor"]
FRAMES = 12  # of a drive, there and back again
STEP_M = 0.05  # between two frames
TURN_RAD = math.radians(0.6)
THREADS = 2  # of OpenCV, the default of detector.threads
VARIANTS = {"accurate": ("accurate", False), "switching": ("accurate", True), "quick": ("quick", False)}
FIXED, SWITCHING, QUICKEST = VARIANTS
PHASES = (("two cores", 2, 0), ("one core", 1, 0), ("shared", 1, 1), ("crowded", 1, 2), ("two again", 2, 0))
"""Name, cores that the detector may use, busy processes on the last of them."""
BOOTSTRAPS = 10_000


@dataclass(frozen=True, eq=False)
class Film:
    """A drive through one room: pairs and what is truly there."""

    rig: CameraRig
    pairs: list[StereoPair]
    truths: list[Truth]

    def frame(self, number: int) -> int:
        """Index of the picture that a camera sees at `number` when it drives there and back without end."""
        turn = number % (2 * FRAMES - 2)
        return min(turn, 2 * FRAMES - 2 - turn)


@dataclass(frozen=True)
class Answer:
    """To the pair `number`. due_s, end_s: steady clock. quality: that it was detected with."""

    number: int
    due_s: float
    end_s: float
    quality: str


def film(seed: int) -> Film:
    synth = SynthConfig(*SIZE, kinds=("indoor",))
    scene = build_scene(seed, 0, synth)
    step = np.eye(4)
    c, s = math.cos(TURN_RAD), math.sin(TURN_RAD)
    step[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    step[2, 3] = STEP_M
    pose = np.eye(4)
    pairs, truths = [], []
    voxelizer = Voxelizer(scene.rig, SPEC)
    for number in range(FRAMES):
        drawn = render_frame(seen_from(scene, pose), seed, number, 0.0, synth)
        pairs.append(drawn.pair)
        truths.append(truth_voxels(voxelizer, drawn.disparity))
        pose = pose @ step
    return Film(scene.rig, pairs, truths)


class Cores:
    """What of the computer the detector has: two of its cores, or one of them with busy processes on it."""

    def __init__(self, most: int) -> None:
        self._ours = sorted(os.sched_getaffinity(0))[-2:]
        self._busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(most)]
        for process in self._busy:
            os.sched_setaffinity(process.pid, self._ours[-1:])
        self.leave(2, 0)

    def leave(self, cores: int, busy: int) -> None:
        """All threads of this process on `cores` cores, the last of which `busy` processes share."""
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), self._ours[-cores:])
        for number, process in enumerate(self._busy):
            os.kill(process.pid, signal.SIGCONT if number < busy else signal.SIGSTOP)

    def close(self) -> None:
        for process in self._busy:
            process.kill()
            process.wait()


def drive(shown: Film, variant: str, target_hz: float, phase_s: float, cores: Cores) -> tuple[list[Answer], int, int]:
    """The answers, how many pairs were due, and how often another detector was taken."""
    quality, switches = VARIANTS[variant]
    detector = DetectorLadder(shown.rig, SPEC, quality, target_hz if switches else 0.0)
    for pair in shown.pairs[:2]:  # what is loaded once is not measured
        detector.detect(pair)

    per_phase = round(phase_s * target_hz)
    due = per_phase * len(PHASES)
    answers: list[Answer] = []
    phase = last = -1
    start = time.monotonic()
    while (latest := math.floor((time.monotonic() - start) * target_hz)) < due:
        if latest // per_phase != phase:
            phase = latest // per_phase
            cores.leave(*PHASES[phase][1:])
        if latest == last:
            time.sleep(max(0.0, start + (last + 1) / target_hz - time.monotonic()))
            continue
        last = latest
        begun, used = time.monotonic(), detector.quality
        detector.detect(shown.pairs[shown.frame(latest)])
        end = time.monotonic()
        answers.append(Answer(latest, start + latest / target_hz, end, used))
        detector.took(end, end - begun)
    cores.leave(2, 0)
    return answers, due, detector.switches


def deviations(answers: Sequence[Answer], due: int, target_hz: float) -> np.ndarray:
    """(windows,) |rate - target| / target of each second's pairs."""
    window = max(1, round(target_hz))
    answered = np.zeros(due)
    answered[[answer.number for answer in answers]] = 1.0
    whole = due // window * window
    return 1.0 - answered[:whole].reshape(-1, window).mean(axis=1)


def scores(shown: Film) -> dict[str, tuple[list[float], list[float]]]:
    """By quality: IoU of each frame, and the share of the voxels with a surface that are called free."""
    found = {}
    for name, make in DETECTORS.items():
        grids: list[VoxelGrid] = [make(shown.rig, SPEC).detect(pair) for pair in shown.pairs]
        pairs = list(zip(grids, shown.truths, strict=True))
        found[name] = (
            [iou(grid.occupied & truth.observed, truth.occupied) for grid, truth in pairs],
            [float((grid.free & truth.occupied).sum() / max(truth.occupied.sum(), 1)) for grid, truth in pairs],
        )
    return found


def cpu_costs(shown: Film, rounds: int = 3) -> dict[str, float]:
    """Median processor time of a pair relative to the accurate detector's, one thread."""
    cv2.setNumThreads(1)
    spent: dict[str, list[float]] = {name: [] for name in DETECTORS}
    detectors = {name: make(shown.rig, SPEC) for name, make in DETECTORS.items()}
    for number in range(rounds + 1):
        for pair in shown.pairs[::3]:
            for name, detector in detectors.items():
                begun = time.thread_time()
                detector.detect(pair)
                if number:
                    spent[name].append(time.thread_time() - begun)
    cv2.setNumThreads(THREADS)
    medians = {name: float(np.median(times)) for name, times in spent.items()}
    return {name: median / medians[FIXED] for name, median in medians.items()}


def target_of(films: Sequence[Film]) -> float:
    """The rate, whole hertz, at which the fixed preset is in time on free cores."""
    walls = []
    for shown in films:
        detector = DETECTORS[FIXED](shown.rig, SPEC)
        for pair in [shown.pairs[0], *shown.pairs]:
            begun = time.monotonic()
            detector.detect(pair)
            walls.append(time.monotonic() - begun)
    return float(max(1, math.floor(IN_TIME / float(np.quantile(walls, 0.95)))))


def over_rounds(values: Sequence[float], unit: str) -> Figure:
    """Mean with its bootstrap interval over rounds."""
    array = np.array(values)
    drawn = array[np.random.default_rng(0).integers(0, len(array), (BOOTSTRAPS, len(array)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Figure(float(array.mean()), unit, len(array), float(low), float(high))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each in a room of its own")
    parser.add_argument("--phase-s", type=float, default=5.0, help="seconds of each phase of a drive")
    parser.add_argument("--seed", type=int, default=100, help="of the first room")
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()

    cv2.setNumThreads(THREADS)
    films = [film(args.seed + number) for number in range(args.rounds)]
    costs = [cpu_costs(shown) for shown in films]
    target_hz = target_of(films)
    print(f"target {target_hz:g} Hz; CPU time relative to accurate: {costs}", file=sys.stderr)

    rows: list[dict[str, Any]] = []
    by_quality: dict[str, dict[str, list[float]]] = {name: {"iou": [], "missed_free": []} for name in DETECTORS}
    cores = Cores(max(busy for *_, busy in PHASES))
    try:
        for number, shown in enumerate(films):
            scored = scores(shown)
            for name, (ious, missed) in scored.items():
                by_quality[name]["iou"].append(float(np.mean(ious)))
                by_quality[name]["missed_free"].append(float(np.mean(missed)))
            order = np.random.default_rng(number).permutation(list(VARIANTS))
            for variant in map(str, order):
                answers, due, switches = drive(shown, variant, target_hz, args.phase_s, cores)
                rows.append(_row(number, variant, answers, due, switches, target_hz, shown, scored))
                print("; ".join(f"{key} {value}" for key, value in rows[-1].items()), file=sys.stderr)
    finally:
        cores.close()

    figures = _figures(rows, by_quality, costs, target_hz)
    for name, figure in figures.items():
        print(f"{name}: {figure.text()} {figure.unit} (n = {figure.n})")
    if args.json is not None:
        command = " ".join(["python", "benchmarks/rate_switching.py", *sys.argv[1:]])
        tables = {"drives": rows, "phases": [list(phase) for phase in PHASES], "phase_s": args.phase_s}
        write_results(args.json, make_results(command, args.seed, figures, tables))
    return 0


def _row(
    number: int,
    variant: str,
    answers: Sequence[Answer],
    due: int,
    switches: int,
    target_hz: float,
    shown: Film,
    scored: dict[str, tuple[list[float], list[float]]],
) -> dict[str, Any]:
    deviation = deviations(answers, due, target_hz)
    per_phase = due // len(PHASES)
    ages = [1e3 * (answer.end_s - answer.due_s) for answer in answers]
    used = [answer.quality for answer in answers]
    return {
        "round": number,
        "variant": variant,
        "rate_deviation": round(float(deviation.mean()), 4),
        "rate_deviation_rms": round(float(np.sqrt(np.square(deviation).mean())), 4),
        "answered_share": {
            name: round(sum(answer.number // per_phase == i for answer in answers) / per_phase, 3)
            for i, (name, *_) in enumerate(PHASES)
        },
        "age_p95_ms": round(float(np.quantile(ages, 0.95)), 1),
        "iou": round(float(np.mean([scored[answer.quality][0][shown.frame(answer.number)] for answer in answers])), 4),
        "switches": switches,
        "used": {name: round(used.count(name) / len(used), 3) for name in DETECTORS if name in used},
    }


def _figures(
    rows: Sequence[dict[str, Any]],
    by_quality: dict[str, dict[str, list[float]]],
    costs: Sequence[dict[str, float]],
    target_hz: float,
) -> dict[str, Figure]:
    figures = {"target_hz": Figure(target_hz, "1/s")}
    names = {FIXED: "fixed", SWITCHING: "switching", QUICKEST: "quickest"}
    columns = {
        "rate_deviation": "of the target rate",
        "rate_deviation_rms": "of the target rate, root mean square",
        "age_p95_ms": "ms",
        "iou": "IoU of answered pairs",
    }
    for column, unit in columns.items():
        for variant, name in names.items():
            figures[f"{column}_{name}"] = over_rounds([r[column] for r in rows if r["variant"] == variant], unit)
    fixed, switching = (
        np.array([row["rate_deviation"] for row in rows if row["variant"] == v]) for v in (FIXED, SWITCHING)
    )
    ratio = float(switching.mean() / max(fixed.mean(), 1e-9))
    figures["rate_deviation_ratio"] = Figure(ratio, "switching over fixed", len(fixed))
    switches = [float(row["switches"]) for row in rows if row["variant"] == SWITCHING]
    figures["switches"] = over_rounds(switches, "a drive")
    for name, values in by_quality.items():
        figures[f"frames_iou_{name}"] = over_rounds(values["iou"], "IoU of all frames")
        figures[f"missed_free_{name}"] = over_rounds(values["missed_free"], "of the voxels with a surface")
        figures[f"cost_{name}"] = over_rounds([cost[name] for cost in costs], "CPU time of accurate")
    return figures


if __name__ == "__main__":
    sys.exit(main())
