"""How long detectors take: all in one interleaved run, one thread each, from images to occupied voxels."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np

from rarrl.perception.baselines import RIVALS, CountDetector
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.scenes import Scene, rendered_scene
from rarrl.results import Figure

REFERENCE = "colour"
"""Padded colour SGBM-3WAY: what the speed-up is against."""
OURS = "classical"


def bench_detectors(
    scenes: Iterable[Scene], rounds: int, progress: Callable[[str], None] | None = None
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Milliseconds of every detector on every scene, contenders in turn within each round.

    Rivals are timed as matcher + bincount; ours does its whole work, free space and probabilities too.

    Raises: ValueError where `rounds` < 1."""
    if rounds < 1:
        raise ValueError(f"rounds must be >= 1, got {rounds}")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        frames = [_time_frame(scene, rounds, progress) for scene in scenes]
    finally:
        cv2.setNumThreads(threads)
    ratios = [frame["ms"][REFERENCE]["median"] / frame["ms"][OURS]["median"] for frame in frames]
    figures = {
        "speedup_vs_sgbm": Figure(
            math.exp(float(np.mean(np.log(ratios)))),
            "times, geometric mean over frames",
            len(frames),
            min(ratios),
            max(ratios),
        ),
        "speedup_vs_sgbm_min": Figure(min(ratios), "times", len(frames)),
        "peak_rss_mb": Figure(_peak_rss_mb(), "MB, one process with our detector at 880x400, imports included", 1),
    }
    for frame, ratio in zip(frames, ratios, strict=True):
        frame["speedup"] = round(ratio, 3)
    return figures, {"frames": frames, "rounds": rounds, "threads": 1}


def _time_frame(scene: Scene, rounds: int, progress: Callable[[str], None] | None) -> dict[str, Any]:
    if progress:
        progress(scene.name)
    rivals = {kind: CountDetector(kind, scene.rig, scene.spec, 5) for kind in RIVALS}
    ours = ClassicalDetector(scene.rig, scene.spec)
    contenders: dict[str, Callable[[], object]] = {
        kind: lambda rival=rival: rival.occupied(scene.pair)  # type: ignore[misc]
        for kind, rival in rivals.items()
    }
    contenders[OURS] = lambda: ours.detect(scene.pair)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if index:  # the first round warms up
                times[name].append(1e3 * (time.perf_counter() - started))
    return {
        "scene": scene.name,
        "width": scene.rig.width,
        "height": scene.rig.height,
        "refusal": ours.refusal,
        "ms": {
            name: {"median": round(float(np.median(ms)), 2), "p95": round(float(np.percentile(ms, 95)), 2)}
            for name, ms in times.items()
        },
    }


def _peak_rss_mb() -> float:
    """Of a fresh process that makes our detector and runs it; rendering happens in this one, for it costs more."""
    scene = rendered_scene(0, 1, 880, 400)
    rig, size = scene.rig, scene.pair.left.nbytes
    code = f"""
import sys, numpy as np
from rarrl.perception.bench import own_peak_rss_mb
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS
from rarrl.types import StereoPair
data = np.frombuffer(sys.stdin.buffer.read({2 * size}), dtype=np.uint8).reshape(2, {rig.height}, {rig.width}, 3)
ClassicalDetector({rig!r}, PRESETS["outdoor"]).detect(StereoPair(data[0], data[1]))
print(own_peak_rss_mb())
"""
    sent = scene.pair.left.tobytes() + scene.pair.right.tobytes()
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    return float(done.stdout)


def own_peak_rss_mb() -> float:
    """Peak resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
