"""Folders of real scenes: read whole, or refused by name; and rendered scenes."""

import json

import cv2
import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl_learning.perception.scenes import load_scene, load_scenes, rendered_scene

CALIB = {"kind": "indoor", "f": 300.0, "cx": 40.0, "cy": 30.0, "baseline": 0.1, "doffs": 2.0}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "desk"
    place.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    for name in ("left.png", "right.png"):
        cv2.imwrite(str(place / name), image)
    disparity = np.full((80, 100), 10.0, np.float32)
    disparity[:5] = 0.0
    np.savez(place / "disp_gt.npz", disp=disparity)
    (place / "calib.json").write_text(json.dumps(CALIB))
    return place


def test_a_scene_is_read_whole(folder):
    scene = load_scene(folder)
    assert (scene.name, scene.group) == ("desk", "indoor")
    assert (scene.rig.fx, scene.rig.baseline, scene.rig.doffs) == (300.0, 0.1, 2.0)
    assert np.isnan(scene.disparity[:5]).all() and (scene.disparity[5:] == 10.0).all()
    assert [one.name for one in load_scenes(folder.parent)] == ["desk"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "moon"}, "kind 'moon' is unknown"),
        ({"f": "long"}, "needs kind, f"),
        ({"baseline": None}, "needs kind, f"),
    ],
)
def test_a_wrong_calibration_is_refused(folder, change, says):
    (folder / "calib.json").write_text(json.dumps(CALIB | change))
    with pytest.raises(InputError, match=says):
        load_scene(folder)


def test_truth_of_another_size_is_refused(folder):
    np.savez(folder / "disp_gt.npz", disp=np.ones((6, 8), np.float32))
    with pytest.raises(InputError, match="truth"):
        load_scene(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"calib\.json"):
        load_scenes(tmp_path)


def test_rendered_scenes_are_the_same_for_the_same_seed():
    one, again, other = (rendered_scene(seed, 0, 160, 120) for seed in (1, 1, 2))
    assert np.array_equal(one.pair.left, again.pair.left) and not np.array_equal(one.pair.left, other.pair.left)
    assert one.group == "rendered_indoor" and one.disparity.shape == (120, 160)
