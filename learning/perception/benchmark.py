"""Time and memory of the detectors, from images to occupied voxels, in one interleaved run."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rarrl.errors import DependencyMissingError
from rarrl.perception.calibration import Evidence, load_calibration
from rarrl.perception.classical import ClassicalDetector, Refusal
from rarrl.perception.fast import FastDetector
from rarrl.perception.opencv_matchers import RIVALS, CountDetector
from rarrl.perception.voxels import pool
from rarrl.results import Figure
from rarrl.types import StereoPair

from .evaluate import BOOTSTRAPS, OURS, QUICK
from .scenes import Scene, rendered_scene

REFERENCE = "colour"
"""Padded colour SGBM-3WAY: what `speedup_vs_sgbm` is against."""
PEER = "stereovoxelnet"  # its name in the tables
PEER_SIZE = (880, 400)
"""The peer takes part in frames of the size that it was published for."""
THREADS = (1, 2)  # of OpenCV and of the peer
Times = dict[str, list[float]]


def load_peer() -> Any:
    """StereoVoxelNet as published, for images of PEER_SIZE. Raises: DependencyMissingError without torch."""
    try:
        from .stereovoxelnet import PUBLISHED_RIG, PUBLISHED_SPEC, StereoVoxelNet
    except ImportError:
        raise DependencyMissingError("StereoVoxelNet needs torch: pip install 'rarrl[train]'") from None
    return StereoVoxelNet(PUBLISHED_RIG, PUBLISHED_SPEC)


def bench_detectors(
    scenes: Iterable[Scene], rounds: int, seed: int, peer: Any = None, progress: Callable[[str], None] | None = None
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Milliseconds of every detector on every scene, contenders in turn within each round, on one thread and on two.

    Rivals are timed as matcher + bincount, searching from disparity 0 on, which is less than all that the cube may hold
    where there are doffs; ours does its whole work, free space and probabilities too. peer: from
    `load_peer`; its own camera sets its planes, so that its work is the published one whatever the frame. Speed-ups
    are ratios of CPU time on one thread: other processes disturb it least.

    Raises: ValueError where `rounds` < 1."""
    if rounds < 1:
        raise ValueError(f"rounds must be >= 1, got {rounds}")

    frames = []
    for scene in scenes:
        if progress:
            progress(scene.name)
        frames.append(_time_frame(scene, rounds, peer))

    def ratios(name: str, ours: str = OURS) -> list[float]:
        return [f["ms"]["1"][name]["cpu"] / f["ms"]["1"][ours]["cpu"] for f in frames if name in f["ms"]["1"]]

    figures = {}
    for prefix, ours in (("", OURS), (f"{QUICK}_", QUICK)):
        against = ratios(REFERENCE, ours)
        for frame, ratio in zip(frames, against, strict=True):
            frame[f"{prefix}speedup"] = round(ratio, 3)
        figures[f"{prefix}speedup_vs_sgbm"] = _speedup(against, seed)
        figures[f"{prefix}speedup_vs_sgbm_min"] = Figure(min(against), "times, the slowest frame", len(against))
    saved = [f["octree"]["dense_share"] * f["octree"]["empty_parents"] for f in frames]
    figures["octree_headroom"] = Figure(
        float(np.mean(saved)), "of our time, the most that pruning could save", len(saved)
    )
    if peer is not None:
        work = peer.multiply_adds()
        if ratios(PEER):
            figures["speedup_vs_stereovoxelnet"] = _speedup(ratios(PEER), seed)
        figures["stereovoxelnet_gmacs"] = Figure(sum(work.values()) / 1e9, "10^9 multiply-adds a pair", 1)
        figures["stereovoxelnet_parameters"] = Figure(peer.parameters() / 1e6, "millions", 1)
        figures["peak_rss_mb_stereovoxelnet"] = Figure(_peak_rss_mb(_RUN_PEER), "MB, one process with the peer", 1)

    memory = "MB, one process with our detector at 880x400, imports included"
    figures["peak_rss_mb"] = Figure(_peak_rss_mb(_RUN_OURS), memory, 1)
    return figures, {"frames": frames, "rounds": rounds, "threads": list(THREADS)}


def _speedup(ratios: list[float], seed: int) -> Figure:
    """Geometric mean with its bootstrap interval over frames."""
    logs = np.log(ratios)
    low = high = None
    if len(logs) > 1:
        drawn = logs[np.random.default_rng(seed).integers(0, len(logs), (BOOTSTRAPS, len(logs)))].mean(axis=1)
        low, high = (math.exp(q) for q in np.quantile(drawn, (0.025, 0.975)))
    return Figure(math.exp(logs.mean()), "times, geometric mean over frames, CPU time, 1 thread", len(logs), low, high)


def _time_frame(scene: Scene, rounds: int, peer: Any) -> dict[str, Any]:
    rivals = {kind: CountDetector(kind, scene.rig, scene.spec, 5, from_zero=True) for kind in RIVALS}
    ours = ClassicalDetector(scene.rig, scene.spec)
    contenders: dict[str, Callable[[StereoPair], object]] = {name: rival.occupied for name, rival in rivals.items()}
    contenders[OURS] = ours.detect
    contenders[QUICK] = FastDetector(scene.rig, scene.spec).detect
    if peer is not None and (scene.rig.width, scene.rig.height) == PEER_SIZE:
        contenders[PEER] = peer.detect
    wall: dict[int, Times] = {threads: {name: [] for name in contenders} for threads in THREADS}
    cpu: Times = {name: [] for name in contenders}
    for index in range(rounds + 1):
        for threads in THREADS:
            with _threads(threads, peer):
                for name, run in contenders.items():
                    started = time.perf_counter()
                    spent = time.thread_time()
                    run(scene.pair)
                    spent = time.thread_time() - spent
                    took = time.perf_counter() - started
                    if index:  # the first round warms up
                        wall[threads][name].append(1e3 * took)
                        if threads == 1:  # with more, the calling thread's time is not the whole
                            cpu[name].append(1e3 * spent)

    table = {str(threads): {name: _summary(ms) for name, ms in wall[threads].items()} for threads in THREADS}
    for name, ms in cpu.items():
        table["1"][name]["cpu"] = round(float(np.median(ms)), 3)
    return {
        "scene": scene.name,
        "width": scene.rig.width,
        "height": scene.rig.height,
        "refusal": ours.detect(scene.pair).refusal,
        "ms": table,
        "octree": _octree(ours, scene.pair, rounds),
    }


def _octree(detector: ClassicalDetector, pair: StereoPair, rounds: int) -> dict[str, float]:
    """What pruning the cube by an octree could save. dense_share: CPU time of the work that visits every voxel, carving
    and stating probabilities, over the whole detector's; empty_parents: share of 8^3 parents of which nothing is known,
    whose voxels a pruned descent would not visit. Zeros where the pair is refused."""
    found = detector.matches(pair)
    evidence = detector.evidence(pair)
    if isinstance(found, Refusal) or isinstance(evidence, Refusal):
        return {"dense_share": 0.0, "empty_parents": 0.0}

    calibration = load_calibration()

    def dense() -> None:
        share = detector.voxelizer.seen_through(found.disparity, found.textured)
        calibration.probability(Evidence(evidence.votes, share))

    spent: dict[Callable[[], object], list[float]] = {dense: [], lambda: detector.detect(pair): []}
    with _threads(1, None):
        for _ in range(rounds + 1):
            for run, times in spent.items():
                started = time.thread_time()
                run()
                times.append(time.thread_time() - started)

    part, whole = (float(np.median(times[1:])) for times in spent.values())
    known = ~detector.detect(pair).unknown
    empty = 1 - pool(known, known.shape[0] // 8).mean()
    return {"dense_share": round(part / whole, 4), "empty_parents": round(float(empty), 4)}


def _summary(ms: list[float]) -> dict[str, float]:
    return {"median": round(float(np.median(ms)), 2), "p95": round(float(np.percentile(ms, 95)), 2)}


@contextmanager
def _threads(count: int, peer: Any) -> Iterator[None]:
    """OpenCV and the peer on `count` threads; then as before."""
    of_cv = cv2.getNumThreads()
    of_peer = peer.use_threads(count) if peer else 0
    cv2.setNumThreads(count)

    try:
        yield
    finally:
        cv2.setNumThreads(of_cv)
        if peer:
            peer.use_threads(of_peer)


_RUN_OURS = """
from rarrl.perception.classical import ClassicalDetector, Refusal
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS
ClassicalDetector({rig!r}, PRESETS["outdoor"]).detect(pair)
"""
_RUN_PEER = """
from rarrl_learning.perception.benchmark import load_peer
load_peer().detect(pair)
"""


def _peak_rss_mb(run: str) -> float:
    """Peak memory of a fresh process that does `run` on one pair; the pair is rendered here: that takes more."""
    scene = rendered_scene(0, 1, *PEER_SIZE)
    size = scene.pair.left.nbytes
    code = f"""
import sys, numpy as np
from rarrl_learning.perception.benchmark import own_peak_rss_mb
from rarrl.types import StereoPair
data = np.frombuffer(sys.stdin.buffer.read({2 * size}), dtype=np.uint8).reshape(2, *{scene.pair.left.shape})
pair = StereoPair(data[0], data[1])
{run.format(rig=scene.rig)}
print(own_peak_rss_mb())
"""
    sent = scene.pair.left.tobytes() + scene.pair.right.tobytes()
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)

    return float(done.stdout)


def own_peak_rss_mb() -> float:
    """Peak resident memory of this process so far, MB."""
    try:  # Linux: getrusage would count the parent's memory too, since it survives fork and exec
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
