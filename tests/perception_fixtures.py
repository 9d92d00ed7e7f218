"""What the perception tests share: a small camera, a rendered pair, the folder of real pairs where there is one."""

import os
from pathlib import Path

import cv2
import pytest

from rarrl.perception.rig import CameraRig
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
