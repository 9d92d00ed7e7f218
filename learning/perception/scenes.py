"""Stereo pairs with truth to evaluate detectors on: folders of real ones, and rendered ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import read_file, read_npz
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS, GridSpec
from rarrl.strict_json import read_json
from rarrl.types import StereoPair

from .synthetic import SynthConfig, render_pair

GROUPS = {"indoor": "indoor", "indoor_nominal": "nominal", "outdoor": "outdoor"}
"""`kind` in calib.json: the group in the results. Nominal: calibration made up, so the scale is not metric."""
# Image sizes that are timed, (width, height) px: DrivingStereo's half, VGA, and a small one.
SIZES = ((880, 400), (640, 480), (463, 370))
FIT_STREAM = 2**31
"""Added to the seed of pairs to fit on: pairs to judge by have seeds below, so no pair is ever both."""


@dataclass(frozen=True, eq=False)
class Scene:
    """disparity: (height, width) float32, px, of the left image; NaN where there is no truth."""

    name: str
    group: str
    rig: CameraRig
    spec: GridSpec
    pair: StereoPair
    disparity: np.ndarray


def load_scenes(folder: Path) -> list[Scene]:
    """The scenes in the subfolders of `folder` that hold a calib.json, by name.

    Raises: InputError naming the file that is missing or wrong."""
    if not folder.is_dir():
        raise InputError(f"--data: {folder} is not a folder; give one that holds scenes (left.png, right.png, ...)")

    scenes = [load_scene(path.parent) for path in sorted(folder.glob("*/calib.json"))]
    if not scenes:
        raise InputError(f"--data: no folder in {folder} holds a calib.json with left.png, right.png and disp_gt.npz")

    return scenes


def load_scene(folder: Path) -> Scene:
    """left.png, right.png, disp_gt.npz (`disp`: px, 0 = none) and calib.json (kind, f, cx, cy, baseline, doffs)."""
    path = folder / "calib.json"
    try:
        calib = read_json(path, "calibration")
        kind = calib["kind"]
        values = {key: float(calib[key]) for key in ("f", "cx", "cy", "baseline", "doffs")}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"calibration: {path}: {type(error).__name__} {error}; needs kind, f, cx, cy, baseline, doffs"
        ) from None

    if kind not in GROUPS:
        raise InputError(f"calibration: {path}: kind {kind!r} is unknown; allowed: {', '.join(GROUPS)}")

    left, right = _image(folder / "left.png"), _image(folder / "right.png")
    if left.shape != right.shape:
        raise InputError(
            f"scene: {folder}: left is {left.shape[:2]}, right is {right.shape[:2]} pixels; they must be alike"
        )

    truth_path = folder / "disp_gt.npz"
    try:
        truth = np.asarray(read_npz(truth_path, "truth")["disp"], dtype=np.float32)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"truth: {truth_path}: {type(error).__name__} {error}; needs an array `disp`") from None

    if truth.shape != left.shape[:2]:
        raise InputError(f"truth: {truth_path} is {truth.shape}, the images are {left.shape[:2]}")

    height, width = truth.shape
    rig = CameraRig(
        values["f"], values["f"], values["cx"], values["cy"], values["baseline"], width, height, values["doffs"]
    )
    truth = np.where(np.isfinite(truth) & (truth > 0), truth, np.float32(math.nan))
    spec = PRESETS["outdoor" if kind == "outdoor" else "indoor"]

    return Scene(folder.name, GROUPS[kind], rig, spec, StereoPair(left, right), truth)


def motorcycle_scene() -> Scene:
    """The Motorcycle pair of Middlebury 2014 (Scharstein et al., GCPR 2014) at quarter size, with structured-light
    truth: a real indoor pair that comes with scikit-image. Its calibration is that of the docstring of
    `skimage.data.stereo_motorcycle` (there `doffs` is "principal point dx").

    Raises: DependencyMissingError without scikit-image."""
    try:
        from skimage.data import stereo_motorcycle
    except ImportError:
        raise DependencyMissingError(
            "the real pair Motorcycle needs scikit-image: pip install 'rarrl[eval]'; or name other pairs with --data"
        ) from None

    left, right, truth = stereo_motorcycle()
    height, width = truth.shape
    rig = CameraRig(994.978, 994.978, 311.193, 254.877, 0.193001, width, height, doffs=31.086)
    pair = StereoPair(*(cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in (left, right)))
    disparity = np.where(np.isfinite(truth) & (truth > 0), truth, np.nan).astype(np.float32)

    return Scene("motorcycle", "indoor", rig, PRESETS["indoor"], pair, disparity)


def _image(path: Path) -> np.ndarray:
    data = read_file(path, "image")
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"image: {path} cannot be decoded; give an 8-bit PNG")
    return image


def rendered_scenes(n: int, seed: int) -> Iterator[Scene]:
    """`n` rendered scenes, indoor and outdoor in turn, of three image sizes."""
    for index in range(n):
        width, height = SIZES[index // 2 % len(SIZES)]
        yield rendered_scene(seed, index, width, height)


def rendered_scene(seed: int, index: int, width: int, height: int) -> Scene:
    """One rendered scene, with the preset cube of its kind."""
    drawn = render_pair(seed, index, replace(SynthConfig(), width=width, height=height))
    return Scene(
        f"rendered_{index:03d}_{width}x{height}",
        f"rendered_{drawn.kind}",
        drawn.rig,
        PRESETS[drawn.kind],
        drawn.pair,
        drawn.disparity,
    )
