"""Train, evaluate and benchmark the stereo detector: the functions behind `rarrl train/eval/bench detector`.

Nothing here prints, so that a notebook can call it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.detectors import detector_class
from rarrl.results import make_results, versions, write_results

from ..progress import Progress, counted
from .benchmark import bench_detectors, load_peer
from .evaluate import SceneResult, evaluate_detectors
from .scenes import FIT_STREAM, SIZES, Scene, load_scenes, motorcycle_scene, rendered_scene, rendered_scenes
from .train import save, train


def eval_detector(
    data: Path | None = None,
    rendered: int = 24,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl eval detector",
    progress: Progress | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Compares our detector with OpenCV's matchers, on real and on rendered pairs.

    Args:
        data: Folder of scenes (`scenes.load_scenes`); None: the Motorcycle pair that comes with scikit-image.
        rendered: Number of rendered pairs.
        seed: Of the rendered pairs and of the bootstrap.
        json_path: File of the results document; None: it is not written.
        command: What the document names as its origin.
        progress: Called with the number of scenes that are done, and the name of the next.
        pictures: Folder that gets a picture of each scene; None: none are drawn.

    Returns: The results document.

    Raises:
        InputError: For wrong numbers, or a scene that cannot be read.
        DependencyMissingError: Without scikit-image where `data` is None.
    """
    _check(seed, rendered)
    real = load_scenes(data) if data is not None else [motorcycle_scene()]
    scenes = (scene for part in (real, rendered_scenes(rendered, seed)) for scene in part)
    figures, tables = evaluate_detectors(scenes, seed, counted(progress), _painter(pictures))

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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Times the detector and its rivals on rendered pairs, indoor and outdoor in three sizes, and on real ones.

    What is not installed is left out; the table `left_out` says so.

    Args:
        data: Folder of scenes; None: the Motorcycle pair that comes with scikit-image.
        rounds: Timed runs of each contender on each pair.
        seed: Of the rendered pairs and of the bootstrap.
        json_path: File of the results document; None: it is not written.
        command: What the document names as its origin.
        progress: Called with the number of pairs that are done, and the name of the next.

    Returns: The results document; times are in milliseconds.

    Raises:
        InputError: For wrong numbers, or a scene that cannot be read.
    """
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
    figures, tables = bench_detectors(scenes, rounds, seed, optional(load_peer), counted(progress))

    return _finish(make_results(command, seed, figures, {**tables, "left_out": left_out}), json_path)


def train_detector(
    pairs: int = 192,
    seed: int = 0,
    out: Path = Path("runs/detector/card.json"),
    command: str = "rarrl train detector",
    progress: Progress | None = None,
    quality: str = "accurate",
) -> dict[str, Any]:
    """Fits the confidence of matches and the probability per voxel on rendered pairs.

    Pairs that the detector refuses are left out.

    Args:
        pairs: Rendered pairs, at least 8.
        seed: Of the pairs and of the network's weights.
        out: File of the card (JSON); the network is written beside it.
        command: What the card names as its origin.
        progress: Called with the number of pairs that are done (each is used twice and counts half), and the name of
            the next.
        quality: Of the detector that is fitted, as in the setting `detector.quality`.

    Returns: The card.

    Raises:
        InputError: For wrong numbers, an unknown quality, or where too few pairs can be used.
    """
    detector = detector_class(quality)
    _check(seed, pairs)
    if pairs < 8:
        raise InputError(f"--pairs: must be >= 8, got {pairs}")

    report = counted((lambda done, name: progress(done / 2, name)) if progress else None)  # every pair is used twice
    fitted = train(lambda: rendered_scenes(pairs, FIT_STREAM + seed), seed, report, detector, detector.iou_for_recall)
    return save(
        fitted, out, detector.model.name, command=command, seed=seed, pairs=pairs, data="rendered", versions=versions()
    )


def _check(seed: int, count: int) -> None:
    if not 0 <= seed < FIT_STREAM:
        raise InputError(f"--seed: must be 0 to {FIT_STREAM - 1}, got {seed}")
    if count < 0:
        raise InputError(f"number of rendered pairs: must be >= 0, got {count}")


def _finish(results: dict[str, Any], json_path: Path | None) -> dict[str, Any]:
    if json_path is not None:
        write_results(json_path, results)
    return results
