"""What the command line does with detectors: plain functions, one per verb, no printing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.calibration import SHIPPED
from rarrl.results import make_results, versions, write_results

from .benchmark import bench_detectors, load_peer
from .evaluate import SceneResult, evaluate_detectors
from .scenes import FIT_STREAM, SIZES, Scene, load_scenes, motorcycle_scene, rendered_scene, rendered_scenes
from .train import save, train

Say = Callable[[float, str], None]


def eval_detector(
    data: Path | None = None,
    rendered: int = 24,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl eval detector",
    progress: Say | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """`rarrl eval detector`: our detector and its rivals on the scenes in `data` (None: the Motorcycle pair that comes
    with scikit-image) and on `rendered` pairs.

    progress: called with the number of scenes done, and text. pictures: a folder that gets a picture of each scene.
    Returns: the results document, also written to `json_path`. Raises: InputError, DependencyMissingError."""
    _check(seed, rendered)
    real = load_scenes(data) if data is not None else [motorcycle_scene()]
    scenes = (scene for part in (real, rendered_scenes(rendered, seed)) for scene in part)
    figures, tables = evaluate_detectors(scenes, seed, _counted(progress), _painter(pictures))

    return _finish(make_results(command, seed, figures, tables), json_path)


def _painter(folder: Path | None) -> Callable[[Scene, SceneResult], object] | None:
    """Draws each scene into `folder`; None without one."""
    if folder is None:
        return None
    from .figures import draw_scene

    return lambda scene, result: draw_scene(scene, result, folder)


def bench_detector(
    data: Path | None = None,
    rounds: int = 9,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl bench detector",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl bench detector`: milliseconds on an indoor and an outdoor rendered pair of three sizes, and on `data`
    (None: the Motorcycle pair). What is not installed is left out; `tables.left_out` says so.

    Returns: the results document, also written to `json_path`. Raises: InputError."""
    if rounds < 1:
        raise InputError(f"--rounds: must be >= 1, got {rounds}")

    _check(seed, 1)
    left_out: list[str] = []

    def optional(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except DependencyMissingError as error:
            left_out.append(str(error))
            return None

    real = load_scenes(data) if data is not None else [optional(motorcycle_scene)]
    scenes = [scene for scene in real if scene is not None]
    scenes += [rendered_scene(seed, kind, *size) for size in SIZES for kind in (0, 1)]
    figures, tables = bench_detectors(scenes, rounds, seed, optional(load_peer), _counted(progress))

    return _finish(make_results(command, seed, figures, {**tables, "left_out": left_out}), json_path)


def train_detector(
    pairs: int = 192,
    seed: int = 0,
    out: Path = SHIPPED,
    command: str = "rarrl train detector",
    progress: Say | None = None,
) -> dict[str, Any]:
    """`rarrl train detector`: fits trust and the probability per voxel on `pairs` rendered pairs; writes the card to
    `out`, and the trust network beside it.

    Pairs that the detector refuses are left out. Returns: the card. Raises: InputError."""
    _check(seed, pairs)
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


def _check(seed: int, count: int) -> None:
    if not 0 <= seed < FIT_STREAM:
        raise InputError(f"--seed: must be 0 to {FIT_STREAM - 1}, got {seed}")
    if count < 0:
        raise InputError(f"number of rendered pairs: must be >= 0, got {count}")


def _finish(results: dict[str, Any], json_path: Path | None) -> dict[str, Any]:
    if json_path is not None:
        write_results(json_path, results)
    return results
