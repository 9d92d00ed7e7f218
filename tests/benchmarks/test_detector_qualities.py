"""benchmarks/detector_qualities.py: what it counts."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.detectors import DETECTORS
from rarrl_learning.perception.scenes import rendered_scene

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import detector_qualities as bench


class Blind(ClassicalDetector):
    """Calls everything free."""

    def detect(self, pair):
        shape = self.voxelizer.spec.shape
        return self.voxelizer.grid(np.ones(shape, np.uint8), np.zeros(shape, np.float32), 0.0)


@pytest.fixture(scope="module")
def scene():
    return rendered_scene(0, 0, 160, 120)


def test_a_nearer_reach_holds_fewer_surfaces(scene):
    row = bench.judged(scene)
    for name in DETECTORS:
        missed, surfaces = np.array([row[f"{reach}_{name}"] for reach in bench.REACHES_M]).T
        assert (missed <= surfaces).all() and surfaces.tolist() == sorted(surfaces) and surfaces[0] > 0
        assert missed[-1] < 0.2 * surfaces[-1]


def test_what_calls_everything_free_misses_everything(scene, monkeypatch):
    monkeypatch.setitem(bench.DETECTORS, "quick", Blind)
    rows = [bench.judged(scene), bench.judged(scene) | {"group": "indoor"}]
    figures = bench.figures_of(rows)
    assert figures["missed_free_3m_quick"].value == figures["missed_free_all_quick"].value == 1.0
    assert figures["missed_free_all_accurate"].value < 0.2 and figures["iou_real_quick"].n == 1
