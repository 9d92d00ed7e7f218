"""Where the milliseconds of a robot's stages vary, by six views: data, I/O, model, runtime, hardware, end to end.

They are those of "Understanding Time Variations of DNN Inference in Autonomous Driving" (arXiv 2209.05487).

Each view but the last is a cause with levels, and every level is combined with those of all others:

    data      another picture (rendered rooms), another sentence
    I/O       the pictures are in memory, or PNG files that are read and decoded
    model     the detector's quality, the policy's preset
    runtime   threads of OpenCV, of llama.cpp
    hardware  the cores are free, or one busy process runs on each

End to end is the sum of the stages, whose variance the causes explain too. What is left is the run-to-run variation.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rarrl.config import DetectorConfig, GateConfig
from rarrl.errors import InputError
from rarrl.perception import classical, fast, obstacle_sensor
from rarrl.perception.calibration import Calibration
from rarrl.perception.camera_input import camera_pose
from rarrl.perception.confidence import MatchConfidence
from rarrl.perception.detectors import DETECTORS
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.obstacles import Body
from rarrl.policy.base import Observation
from rarrl.policy.registry import PolicyOptions, load_policy
from rarrl.policy.serve import LlamaPolicy
from rarrl.resources.threads import cores
from rarrl.results import Figure
from rarrl.safety.base_gate import BaseGate
from rarrl.types import RobotCommand, StereoPair

from ..perception.scenes import Scene
from .measure import observations, policy_presets
from .stopwatch import Stopwatch
from .variance import LEFT, TOGETHER, Spread, runs, spread

CAUSES = ("data", "I/O", "model", "runtime", "hardware")
MEMORY, FILE = "memory", "file"
FREE, BUSY = "free", "busy"
READ, GATE, REST = "read", "gate", "rest"
END_TO_END = "end to end"
DETECTOR_SPOTS: tuple[tuple[str, Any, str], ...] = (
    ("quick look", classical, "quick_look"),
    ("quick look", fast, "quick_look"),
    ("match", classical, "match"),
    ("match", fast, "match"),
    ("trust", classical, "clues"),
    ("trust", fast, "coarse_clues"),
    ("trust", MatchConfidence, "__call__"),
    ("complete", classical, "complete"),
    ("complete", fast, "extend"),
    ("complete", fast, "empty_share"),
    ("vote", classical, "gather"),
    ("vote", fast, "gather"),
    ("probability", Calibration, "probability"),
    ("scan", obstacle_sensor, "height_slice"),
    ("scan", obstacle_sensor, "summarize_slice"),
    ("scan", obstacle_sensor, "range_scan"),
)
"""Stages of the detector and of the sensor around it, and the functions that they are."""
DETECTOR_STAGES = (READ, *dict.fromkeys(stage for stage, *_ in DETECTOR_SPOTS), GATE, REST, END_TO_END)
POLICY_STAGES = (READ, "pictures", "transformer", REST, END_TO_END)
SETTLE_S = 0.05
"""Seconds after busy processes were started or stopped: the scheduler moves them within a few of its ticks."""
Times = dict[str, np.ndarray]
"""Stage -> milliseconds, (data, I/O, model, runtime, hardware, repetitions)."""


@contextmanager
def busy_processes(count: int) -> Iterator[Callable[[bool], None]]:
    """`count` processes that compute without end while they are told to: call the result with True or False."""
    code = "while True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]

    def work(wanted: bool) -> None:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT if wanted else signal.SIGSTOP)
        time.sleep(SETTLE_S)

    try:
        work(False)
        yield work
    finally:
        for process in processes:
            process.kill()  # a stopped process ends by SIGKILL too
            process.wait()


def detector_times(
    scenes: Sequence[Scene],
    threads: Sequence[int],
    repetitions: int,
    seed: int,
    folder: Path,
    work: Callable[[bool], None],
    progress: Callable[[str], None],
) -> Times:
    """From a pair to what the gate lets pass. folder: for files of the scenes. work: from `busy_processes`."""
    settings = DetectorConfig()
    pose = camera_pose(settings.camera_height_m, 0.0)
    body = Body(low_m=settings.body_low_m, high_m=settings.body_high_m)
    sensors = [
        [ObstacleSensor(make(s.rig, s.spec), pose, body, settings.scan_sectors) for make in DETECTORS.values()]
        for s in scenes
    ]
    files = [_write(folder / f"scene_{i}", (s.pair.left, s.pair.right)) for i, s in enumerate(scenes)]
    watch = Stopwatch()
    gate = BaseGate(GateConfig(odometry=False))
    step = 0

    def judge(reading: Any) -> None:
        nonlocal step
        step += 1
        now = 0.1 * step
        gate.on_scan(reading.scan, now, now)
        gate.check(RobotCommand(0.2, 0.0, now, now), now)

    read, judge = watch.wrap(READ, _read), watch.wrap(GATE, judge)

    def run(data: int, io: int, model: int, runtime: int) -> None:
        cv2.setNumThreads(threads[runtime])
        pair = StereoPair(*read(files[data])) if io else scenes[data].pair
        judge(sensors[data][model].read(pair))

    levels = {"data": len(scenes), "I/O": 2, "model": len(DETECTORS), "runtime": len(threads), "hardware": 2}
    before = cv2.getNumThreads()
    try:
        with watch.watching(DETECTOR_SPOTS):
            return _times(DETECTOR_STAGES, levels, repetitions, seed, run, watch, work, progress)
    finally:
        cv2.setNumThreads(before)


def policy_times(
    policy: str,
    count: int,
    threads: Sequence[int],
    repetitions: int,
    seed: int,
    folder: Path,
    work: Callable[[bool], None],
    progress: Callable[[str], None],
) -> Times:
    """From pictures to a chunk, with nothing kept from the one before. policy: as `policy.folder` names it. count: of
    observations.

    Raises: InputError for what is no policy folder, DependencyMissingError without llama.cpp."""
    presets = policy_presets(policy)
    watch = Stopwatch()
    read = watch.wrap(READ, _read)
    with ExitStack() as stack:
        loaded = [
            [stack.enter_context(load_policy(policy, PolicyOptions(preset=preset, threads=n))) for n in threads]
            for preset in presets
        ]
        seen = observations(loaded[0][0].spec, count, seed)
        files = [_write(folder / f"observation_{i}", list(o.images)) for i, o in enumerate(seen)]
        for one in (one for of_preset in loaded for one in of_preset):
            if not isinstance(one, LlamaPolicy):
                raise InputError(f"--policy: the stages of {policy!r} are not known; give a policy folder, or none")
            spots = (("pictures", one._encoder, "encode"), ("transformer", one._runtime, "decode_blocks"))
            stack.enter_context(watch.watching(spots))

        def run(data: int, io: int, model: int, runtime: int) -> None:
            observation = seen[data]
            if io:
                pictures = np.stack(read(files[data]))
                observation = Observation(pictures, observation.proprio, observation.instruction)
            one = loaded[model][runtime]
            one.reset()
            one.infer(observation)

        levels = {"data": count, "I/O": 2, "model": len(presets), "runtime": len(threads), "hardware": 2}
        return _times(POLICY_STAGES, levels, repetitions, seed, run, watch, work, progress)


def _times(
    stages: Sequence[str],
    levels: Mapping[str, int],
    repetitions: int,
    seed: int,
    run: Callable[[int, int, int, int], None],
    watch: Stopwatch,
    work: Callable[[bool], None],
    progress: Callable[[str], None],
) -> Times:
    """All runs, each once more at first to warm up."""
    shape = (*levels.values(), repetitions)
    times = {stage: np.full(shape, math.nan) for stage in stages}
    is_busy: int | None = None
    for cell, repetition in runs(levels, repetitions + 1, "hardware", seed):
        *which, busy = cell
        if busy != is_busy:
            work(bool(busy))
            is_busy = busy
        watch.clear()
        start = time.perf_counter()
        run(*which)
        total = 1e3 * (time.perf_counter() - start)
        progress((FREE, BUSY)[busy])
        if not repetition:
            continue

        ms = {**watch.ms, REST: total - sum(watch.ms.values()), END_TO_END: total}
        place = (*cell, repetition - 1)
        for stage in stages:
            times[stage][place] = ms.get(stage, 0.0)
    work(False)
    return times


def spreads(times: Times) -> dict[str, Spread]:
    """Of each stage that takes any time."""
    return {stage: spread(ms, CAUSES) for stage, ms in times.items() if ms.any()}


def timing_figures(part: str, found: Mapping[str, Spread]) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """Figures of a part's way from end to end, and a row of the table for each of its stages."""
    whole = found[END_TO_END]
    figures = {
        f"{part}_ms": Figure(whole.mean, "ms from end to end, mean over all causes", whole.n),
        f"{part}_sd_ms": Figure(whole.sd, "ms from end to end, standard deviation", whole.n),
        f"{part}_p99_over_p50": Figure(whole.tail, "times", whole.n),
    }
    for cause, share in whole.shares.items():
        name = cause.lower().replace("/", "")
        figures[f"{part}_variance_{name}"] = Figure(share, "of the variance from end to end", whole.n)
    rows = [
        {
            "part": part,
            "stage": stage,
            "mean_ms": round(s.mean, 3),
            "sd_ms": round(s.sd, 3),
            "p99_over_p50": round(s.tail, 2),
            "n": s.n,
            "variance": {cause: round(share, 4) for cause, share in s.shares.items()},
            "range_ms": {cause: round(ms, 3) for cause, ms in s.range_ms.items()},
        }
        for stage, s in found.items()
    ]
    return figures, rows


def thread_counts() -> list[int]:
    """1 and the number of cores; 1 and 2 where there is one core alone, so that this can be a cause."""
    return [1, max(2, cores())]


def _write(stem: Path, images: Sequence[np.ndarray]) -> list[Path]:
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [Path(f"{stem}_{i}.png") for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return paths


def _read(paths: Sequence[Path]) -> list[np.ndarray]:
    return [np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)) for path in paths]


ORDER = (*CAUSES, TOGETHER, LEFT)
"""Of the shares, in tables and pictures."""
