"""What the command line does with detectors: plain functions, one per verb, no printing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.perception.bench import bench_detectors
from rarrl.perception.calibration import SHIPPED
from rarrl.perception.evaluate import evaluate_detectors
from rarrl.perception.scenes import FIT_STREAM, SIZES, Scene, load_scenes, rendered_scene, rendered_scenes
from rarrl.perception.train import save, train
from rarrl.results import make_results, versions, write_results

Say = Callable[[float, str], None]


def eval_detector(
    data: Path | None = None,
    rendered: int = 24,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl eval detector",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl eval detector`: our detector and its rivals on the scenes in `data` (None: none) and on `rendered` pairs.

    progress: called with the number of scenes done, and text. Returns: the results document, also written to
    `json_path`. Raises: InputError."""
    _check(seed, rendered, data)
    real = load_scenes(data) if data is not None else []
    scenes = (scene for part in (real, rendered_scenes(rendered, seed)) for scene in part)
    figures, tables = evaluate_detectors(scenes, seed, _counted(progress))
    return _finish(make_results(command, seed, figures, tables), json_path)


def bench_detector(
    data: Path | None = None,
    rounds: int = 15,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl bench detector",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl bench detector`: milliseconds on an indoor and an outdoor rendered pair of three sizes, and on `data`.

    Returns: the results document, also written to `json_path`. Raises: InputError."""
    if rounds < 1:
        raise InputError(f"--rounds: must be >= 1, got {rounds}")
    _check(seed, 1, data)
    scenes: list[Scene] = load_scenes(data) if data is not None else []
    scenes += [rendered_scene(seed, kind, *size) for size in SIZES for kind in (0, 1)]
    figures, tables = bench_detectors(scenes, rounds, _counted(progress))
    return _finish(make_results(command, seed, figures, tables), json_path)


def train_detector(
    pairs: int = 96,
    seed: int = 0,
    out: Path = SHIPPED,
    command: str = "rarrl train detector",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl train detector`: fits trust and the probability per voxel on `pairs` rendered pairs; writes the card to
    `out`, and the trust network beside it.

    Pairs that the detector refuses are left out. Returns: the card. Raises: InputError."""
    _check(seed, pairs, None)
    if pairs < 8:
        raise InputError(f"--pairs: must be >= 8, got {pairs}")
    tell = _counted((lambda done, name: progress(done / 2, name)) if progress else None)  # every pair is used twice
    learnt = train(lambda: rendered_scenes(pairs, FIT_STREAM + seed), seed, tell)
    return save(learnt, out, command=command, seed=seed, pairs=pairs, data="rendered", versions=versions())


def _counted(progress: Say | None) -> Callable[[str], None]:
    """`progress`, told names alone: it counts how many came before."""
    done = 0

    def tell(name: str) -> None:
        nonlocal done
        if progress:
            progress(done, name)
        done += 1

    return tell


def _check(seed: int, count: int, data: Path | None) -> None:
    if not 0 <= seed < FIT_STREAM:
        raise InputError(f"--seed: must be 0 to {FIT_STREAM - 1}, got {seed}")
    if count < 0:
        raise InputError(f"number of rendered pairs: must be >= 0, got {count}")
    if count == 0 and data is None:
        raise InputError("nothing to judge: give --data, or a number of rendered pairs above 0")


def _finish(results: dict[str, Any], json_path: Path | None) -> dict[str, Any]:
    if json_path is not None:
        write_results(json_path, results)
    return results
