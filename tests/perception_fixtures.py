"""What the perception tests share: a small camera, a rendered pair, the folder of real pairs where there is one."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from rarrl.perception.rig import CameraRig
from rarrl.types import StereoPair
from rarrl_learning.perception.synthetic import RenderedPair, SynthConfig, render_pair

cv2.setNumThreads(1)


@pytest.fixture
def rig() -> CameraRig:
    """f 100 px, baseline 0.2 m: f b = 20 px m."""
    return CameraRig(fx=100.0, fy=100.0, cx=64.0, cy=48.0, baseline=0.2, width=128, height=96)


@pytest.fixture(scope="session")
def indoor_pair() -> RenderedPair:
    return render_pair(3, 0, SynthConfig(width=463, height=370, kinds=("indoor",)))


@pytest.fixture(scope="session")
def outdoor_pair() -> RenderedPair:
    return render_pair(3, 1, SynthConfig(width=640, height=320, kinds=("outdoor",)))


@pytest.fixture(scope="session")
def stereo_data() -> Path:
    """The folder in RARRL_STEREO_DATA: the six real pairs are not ours to ship."""
    folder = os.environ.get("RARRL_STEREO_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real pairs: set RARRL_STEREO_DATA to their folder (docs/explanation/detector.md)")
    return Path(folder)


def wall(disparity: float, doffs: float, seed: int = 0) -> tuple[StereoPair, CameraRig]:
    """A textured wall that both cameras see, at one disparity."""
    rng = np.random.default_rng(seed)
    cells = [rng.standard_normal((240 // side, 480 // side)).astype(np.float32) for side in (2, 4, 8)]
    texture = sum(25 * cv2.resize(cell, (480, 240)) for cell in cells)
    texture = np.clip(125 + texture, 0, 255).astype(np.float32)
    rows, columns = np.mgrid[0:240, 0:320].astype(np.float32)
    left = cv2.remap(texture, columns + 80, rows, cv2.INTER_LINEAR)
    right = cv2.remap(texture, columns + 80 + np.float32(disparity), rows, cv2.INTER_LINEAR)
    images = [np.clip(i + rng.normal(0, 1, i.shape), 0, 255).astype(np.uint8) for i in (left, right)]
    return StereoPair(*images), CameraRig(300.0, 300.0, 160.0, 120.0, 0.12, 320, 240, doffs=doffs)


def noise(scale: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(4 + scale * rng.standard_normal((370, 463, 3)), 0, 255).astype(np.uint8)


UNUSABLE = {
    "black": lambda pair: StereoPair(np.zeros_like(pair.left), np.zeros_like(pair.left)),
    "dark, with sensor noise": lambda pair: StereoPair(noise(2.0, 0), noise(2.0, 1)),
    "without texture": lambda pair: StereoPair(np.full_like(pair.left, 130), np.full_like(pair.left, 126)),
    "saturated": lambda pair: StereoPair(np.full_like(pair.left, 255), np.full_like(pair.left, 255)),
    "swapped": lambda pair: StereoPair(pair.right, pair.left),
    "unrelated": lambda pair: StereoPair(pair.left, np.ascontiguousarray(pair.right[::-1])),
    "noise": lambda pair: StereoPair(noise(60.0, 0), noise(60.0, 1)),
    "one image twice": lambda pair: StereoPair(pair.left, pair.left.copy()),
    "one eye covered": lambda pair: StereoPair(pair.left, np.zeros_like(pair.right)),
    "rows not aligned": lambda pair: StereoPair(pair.left, np.roll(pair.right, 8, axis=0)),
}
