"""Our detector: sees what is there, and says unknown where it cannot know."""

import numpy as np
import pytest
from perception_fixtures import UNUSABLE, wall

from rarrl.perception import quick_look
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS, truth_voxels
from rarrl.types import StereoPair
from rarrl_learning.perception.metrics import within_one

INDOOR = PRESETS["indoor"]


@pytest.fixture(scope="module")
def seen(indoor_pair):
    detector = ClassicalDetector(indoor_pair.rig, INDOOR)
    return detector, detector.detect(indoor_pair.pair)


def test_it_sees_a_rendered_room(seen, indoor_pair):
    detector, grid = seen
    assert grid.refusal == ""
    truth = truth_voxels(detector.voxelizer, indoor_pair.disparity)
    precision, recall = within_one(grid.occupied, truth.occupied)
    assert precision > 0.85 and recall > 0.8
    assert np.mean(truth.occupied[grid.free]) < 0.03
    assert grid.stamp_s == indoor_pair.pair.stamp_s and grid.frame == indoor_pair.rig.frame


def test_it_sees_a_rendered_street(outdoor_pair):
    detector = ClassicalDetector(outdoor_pair.rig, PRESETS["outdoor"])
    grid = detector.detect(outdoor_pair.pair)
    truth = truth_voxels(detector.voxelizer, outdoor_pair.disparity)
    precision, recall = within_one(grid.occupied, truth.occupied)
    assert precision > 0.6 and recall > 0.5


def test_states_and_probabilities_agree(seen):
    detector, grid = seen
    assert grid.probability[grid.occupied].min() >= 0.2
    assert grid.probability[grid.free].max() < 0.05
    strict = ClassicalDetector(detector.voxelizer.rig, INDOOR, threshold=0.8)
    with pytest.raises(ValueError, match="threshold"):
        ClassicalDetector(detector.voxelizer.rig, INDOOR, threshold=1.5)
    assert strict.detect(StereoPair(*[np.zeros((370, 463), np.uint8)] * 2)).unknown.all()


def test_twice_the_same(seen, indoor_pair):
    detector, grid = seen
    again = detector.detect(indoor_pair.pair)
    assert again.state.tobytes() == grid.state.tobytes()
    assert again.probability.tobytes() == grid.probability.tobytes()


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_pairs_end_in_unknown_never_in_free(what, indoor_pair):
    detector = ClassicalDetector(indoor_pair.rig, INDOOR)
    grid = detector.detect(UNUSABLE[what](indoor_pair.pair))
    assert grid.unknown.all() and (grid.probability == 0.5).all()
    assert grid.refusal
    assert detector.detect(indoor_pair.pair).refusal == ""  # the next good pair is used again


def test_a_bare_board_is_not_seen_through(indoor_pair):
    """Half of the image covered by something without texture: what is behind the cover stays unknown."""
    left, right = indoor_pair.pair.left.copy(), indoor_pair.pair.right.copy()
    left[:, 231:], right[:, 200:] = 128, 128
    detector = ClassicalDetector(indoor_pair.rig, INDOOR)
    grid = detector.detect(StereoPair(left, right))
    covered = np.zeros(indoor_pair.disparity.shape, dtype=bool)
    covered[:, 260:] = True
    behind = detector.voxelizer.footprints(covered) & ~detector.voxelizer.footprints(~covered)
    assert np.count_nonzero(grid.free & behind) <= 0.01 * np.count_nonzero(behind)


def lamp(image: np.ndarray, strength: float) -> np.ndarray:
    """`image` with a spot of light in its middle: saturated inside, pale around it."""
    height, width = image.shape[:2]
    v, u = np.indices((height, width))
    glow = np.exp(-(((u - width / 2) / (width / 5)) ** 2 + ((v - height / 2) / (height / 4)) ** 2))
    return np.clip(image + strength * glow[..., None], 0, 255).astype(np.uint8)


def test_a_glare_spot_is_not_seen_through(indoor_pair, monkeypatch):
    """Its halo lies alike in both eyes and matches at infinity: what it hides is not free."""
    detector = ClassicalDetector(indoor_pair.rig, INDOOR)
    surface = truth_voxels(detector.voxelizer, indoor_pair.disparity).occupied
    glaring = StereoPair(lamp(indoor_pair.pair.left, 900), lamp(indoor_pair.pair.right, 900))
    grid = detector.detect(glaring)
    missed = np.mean(grid.free[surface])
    assert grid.refusal == ""
    monkeypatch.setattr(quick_look, "BEND", quick_look.SLOPE)  # as if slopes could be trusted
    monkeypatch.setattr(quick_look, "SATURATED", 256)
    assert missed < 0.06 and missed < 0.5 * np.mean(detector.detect(glaring).free[surface])


def test_gray_images_do_as_well(indoor_pair):
    grey = StereoPair(*(np.ascontiguousarray(i[..., 1]) for i in (indoor_pair.pair.left, indoor_pair.pair.right)))
    assert ClassicalDetector(indoor_pair.rig, INDOOR).detect(grey).occupied.sum() > 500


@pytest.mark.parametrize(("width", "height"), [(64, 64), (101, 67), (333, 251)])
def test_any_size_works(width, height):
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (height, width + 4), dtype=np.uint8)
    pair = StereoPair(np.ascontiguousarray(wide[:, :width]), np.ascontiguousarray(wide[:, 4:]))
    rig = CameraRig(fx=80.0, fy=80.0, cx=width / 2, cy=height / 2, baseline=0.1, width=width, height=height)
    ClassicalDetector(rig, INDOOR).detect(pair)
    with pytest.raises(ValueError, match="the camera has"):
        ClassicalDetector(rig, INDOOR).detect(StereoPair(pair.left[1:], pair.right[1:]))


@pytest.mark.parametrize("doffs", [-15.0, 0.0, 1e-13, 0.5, 15.0, 40.0])
@pytest.mark.parametrize("z", [2.8, 3.2, 5.5])
def test_a_far_wall_is_where_it_is_whatever_the_doffs(doffs, z):
    disparity = 300.0 * 0.12 / z - doffs
    pair, rig = wall(disparity, doffs)
    found = ClassicalDetector(rig, INDOOR).matches(pair)
    inner = found.disparity[20:-20, 60:-60]
    assert np.nanmedian(inner) == pytest.approx(disparity, abs=0.1)
    assert np.mean(np.abs(inner - disparity) < 0.5) > 0.9, "next to no ghosts"
