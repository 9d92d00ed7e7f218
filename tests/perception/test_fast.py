"""The fast detector: it sees what the accurate one sees, and refuses what cannot be used as strictly."""

import json

import cv2
import numpy as np
import pytest
from perception_fixtures import UNUSABLE, wall

from rarrl.files import sha256
from rarrl.perception.confidence import SHIPPED
from rarrl.perception.fast import ROWS, FastDetector, QuickDetector
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS, truth_voxels
from rarrl.types import StereoPair
from rarrl_learning.perception.metrics import within_one

INDOOR = PRESETS["indoor"]


@pytest.mark.parametrize("made", [FastDetector, QuickDetector])
@pytest.mark.parametrize(("kind", "precise", "complete"), [("indoor", 0.85, 0.75), ("outdoor", 0.6, 0.5)])
def test_it_sees_rendered_scenes(kind, precise, complete, made, request):
    scene = request.getfixturevalue(f"{kind}_pair")
    detector = made(scene.rig, PRESETS[kind])
    grid = detector.detect(scene.pair)
    truth = truth_voxels(detector.voxelizer, scene.disparity)
    precision, recall = within_one(grid.occupied, truth.occupied)
    assert grid.refusal == "" and precision > precise and recall > complete
    assert np.mean(truth.occupied[grid.free]) < 0.03


@pytest.mark.parametrize("made", [FastDetector, QuickDetector])
@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_pairs_end_in_unknown_never_in_free(what, made, indoor_pair):
    detector = made(indoor_pair.rig, INDOOR)
    grid = detector.detect(UNUSABLE[what](indoor_pair.pair))
    assert grid.unknown.all() and grid.refusal
    assert detector.detect(indoor_pair.pair).refusal == ""  # the next good pair is used again


@pytest.mark.parametrize("made", [FastDetector, QuickDetector])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 65), (101, 67), (333, 251), (334, 250), (320, 253)])
def test_any_size_works(width, height, made):
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (height, width + 4), dtype=np.uint8)
    wide = cv2.GaussianBlur(wide, (0, 0), 1.5)
    pair = StereoPair(np.ascontiguousarray(wide[:, :width]), np.ascontiguousarray(wide[:, 4:]))
    rig = CameraRig(fx=80.0, fy=80.0, cx=width / 2, cy=height / 2, baseline=0.1, width=width, height=height)
    made(rig, INDOOR).detect(pair)
    with pytest.raises(ValueError, match="the camera has"):
        made(rig, INDOOR).detect(StereoPair(pair.left[1:], pair.right[1:]))


@pytest.mark.parametrize("doffs", [-15.0, 0.0, 15.0])
@pytest.mark.parametrize("z", [2.8, 5.5])
def test_a_far_wall_is_where_it_is_whatever_the_doffs(doffs, z):
    disparity = 300.0 * 0.12 / z - doffs
    pair, rig = wall(disparity, doffs)
    found = FastDetector(rig, INDOOR).matches(pair)
    assert found.disparity.shape == (240 // ROWS, 320) and found.row_step == ROWS
    inner = found.disparity[10:-10, 60:-60]
    assert np.nanmedian(inner) == pytest.approx(disparity, abs=0.1)
    assert np.mean(np.abs(inner - disparity) < 0.5) > 0.9, "next to no ghosts"


def test_the_features_are_those_of_the_pixels_that_they_name():
    pair, rig = wall(11.0, 0.0)
    found = FastDetector(rig, INDOOR).matches(pair)
    full = np.repeat(found.disparity, ROWS, axis=0)
    np.testing.assert_array_equal(found.seen.pick(full), found.seen.disparity)


def test_gray_images_do_as_well(indoor_pair):
    grey = StereoPair(*(np.ascontiguousarray(i[..., 1]) for i in (indoor_pair.pair.left, indoor_pair.pair.right)))
    assert FastDetector(indoor_pair.rig, INDOOR).detect(grey).occupied.sum() > 500


def test_the_card_names_the_shipped_network():
    card = json.loads((FastDetector.model / "card.json").read_text("utf-8"))
    trust = FastDetector.model / SHIPPED.name
    assert card["model"] == "fast-detector" and card["files"] == {SHIPPED.name: sha256(trust.read_bytes())}
