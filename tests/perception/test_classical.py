"""Our detector: sees what is there, and says unknown where it cannot know."""

import cv2
import numpy as np
import pytest

from rarrl.perception import classical
from rarrl.perception.classical import ClassicalDetector, SearchRange, match, quick_look, smooth
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
    monkeypatch.setattr(classical, "BEND", classical.SLOPE)  # as if slopes could be trusted
    monkeypatch.setattr(classical, "SATURATED", 256)
    assert missed < 0.06 and missed < 0.5 * np.mean(detector.detect(glaring).free[surface])


def test_gray_images_do_as_well(indoor_pair):
    grey = StereoPair(*(np.ascontiguousarray(i[..., 1]) for i in (indoor_pair.pair.left, indoor_pair.pair.right)))
    assert ClassicalDetector(indoor_pair.rig, INDOOR).detect(grey).occupied.sum() > 500


def test_the_quick_look_covers_the_scene(indoor_pair):
    pair, truth = indoor_pair.pair, indoor_pair.disparity
    look = quick_look(pair.left[..., 1].copy(), pair.right[..., 1].copy(), indoor_pair.rig)
    low, high = np.nanquantile(truth, (0.02, 0.98))
    assert look.search.start <= low and high <= look.search.start + look.search.count
    assert look.search.count % 16 == 0


def test_the_quick_look_already_notices_swapped_eyes(indoor_pair):
    right, left = (image[..., 1].copy() for image in (indoor_pair.pair.left, indoor_pair.pair.right))
    look = quick_look(left, right, indoor_pair.rig)
    assert look.search is None and "swapped" in look.why


def test_matches_do_not_crowd_at_whole_pixels(monkeypatch):
    """A slanted surface: disparities of 8 to 14 px, alike in number at every fraction."""
    fine = np.random.default_rng(0).integers(0, 255, (100, 600 * 4)).astype(np.float32)
    fine = cv2.GaussianBlur(fine, (0, 0), 3.0)  # about a pixel of the image
    u = np.arange(480, dtype=np.float32)
    slanted = 8 + 6 * u / 480
    at = np.broadcast_to(4 * (u + 40), (100, 480)).astype(np.float32), np.indices((100, 480))[0].astype(np.float32)
    right = cv2.remap(fine, *at, cv2.INTER_LINEAR)
    left = cv2.remap(fine, at[0] - 4 * slanted, at[1], cv2.INTER_LINEAR)
    images = [np.clip(128 + 4 * (image - 128), 0, 255).astype(np.uint8) for image in (left, right)]

    def error() -> float:
        classical.subpixel.cache_clear()
        found = match(*images, SearchRange(0, 32))[10:-10, 40:-20]
        return float(np.sqrt(np.nanmean((found - slanted[40:-20]) ** 2)))

    unlocked = error()
    monkeypatch.setattr(classical, "UNLOCK", np.zeros(16))
    locked = error()
    monkeypatch.undo()
    classical.subpixel.cache_clear()
    assert unlocked < 0.8 * locked


@pytest.mark.parametrize("count", [32, 112])  # 112 of 112: pairs of rows are matched as one
def test_a_shifted_image_is_matched_and_a_speck_is_not(count):
    wide = np.random.default_rng(0).integers(0, 255, (90, 532), dtype=np.uint8)
    left, right = wide[:, :500].copy(), wide[:, 20:520].copy()  # disparity 20
    left[40:46, 300:306] = right[40:46, 275:281]  # 36 pixels of disparity 25
    found = match(left, right, SearchRange(0, count))
    assert found.shape == left.shape
    inner = found[5:-5, 140:-10]
    assert np.mean(np.abs(inner - 20) < 0.25) > 0.9
    assert not (np.abs(found[38:48, 298:308] - 25) < 0.5).any()


def test_smoothing_keeps_edges_and_holes():
    disparity = np.full((20, 20), 5.0, np.float32)
    disparity[:, 10:] = 15.0
    disparity[3, 3] = np.nan
    smoothed = smooth(disparity)
    assert np.isnan(smoothed[3, 3]) and np.isnan(smoothed).sum() == 1
    np.testing.assert_allclose(np.nan_to_num(smoothed, nan=5.0), np.nan_to_num(disparity, nan=5.0), atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (101, 67), (333, 251)])
def test_any_size_works(width, height):
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (height, width + 4), dtype=np.uint8)
    pair = StereoPair(np.ascontiguousarray(wide[:, :width]), np.ascontiguousarray(wide[:, 4:]))
    rig = CameraRig(fx=80.0, fy=80.0, cx=width / 2, cy=height / 2, baseline=0.1, width=width, height=height)
    ClassicalDetector(rig, INDOOR).detect(pair)
    with pytest.raises(ValueError, match="the camera has"):
        ClassicalDetector(rig, INDOOR).detect(StereoPair(pair.left[1:], pair.right[1:]))


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


@pytest.mark.parametrize("doffs", [-15.0, 0.0, 1e-13, 0.5, 15.0, 40.0])
@pytest.mark.parametrize("z", [2.8, 3.2, 5.5])
def test_a_far_wall_is_where_it_is_whatever_the_doffs(doffs, z):
    disparity = 300.0 * 0.12 / z - doffs
    pair, rig = wall(disparity, doffs)
    found = ClassicalDetector(rig, INDOOR).matches(pair)
    inner = found.disparity[20:-20, 60:-60]
    assert np.nanmedian(inner) == pytest.approx(disparity, abs=0.1)
    assert np.mean(np.abs(inner - disparity) < 0.5) > 0.9, "next to no ghosts"


def test_the_search_begins_where_the_scene_does_and_never_beyond_infinity():
    for doffs, least in ((0.0, 0), (15.0, -16)):
        pair, rig = wall(11.0 - doffs, doffs)
        search = quick_look(pair.left, pair.right, rig).search
        assert search.least == least <= search.start < 11.0 - doffs
