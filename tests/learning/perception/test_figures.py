"""Pictures of scenes: what became of each voxel, what is drawn, where it is written."""

import cv2
import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.perception.voxels import Truth
from rarrl.types import VoxelGrid
from rarrl_learning.perception.evaluate import judge
from rarrl_learning.perception.figures import GHOST, HIT, MISSED, UNJUDGED, differences, draw_scene, render_scene
from rarrl_learning.perception.scenes import rendered_scene


def test_every_voxel_is_judged_once():
    predicted, occupied, observed = np.zeros((3, 16, 16, 16), bool)
    occupied[2, 2, 2] = occupied[9, 9, 9] = True
    predicted[2, 2, 3] = predicted[6, 2, 2] = predicted[6, 12, 2] = True
    observed[:, :8] = True
    kinds = differences(predicted, Truth(occupied, observed))
    at = {name: [tuple(cell) for cell in np.argwhere(where)] for name, where in kinds.items()}
    assert at == {HIT: [(2, 2, 3)], GHOST: [(6, 2, 2)], MISSED: [(9, 9, 9)], UNJUDGED: [(6, 12, 2)]}


@pytest.fixture(scope="module")
def judged():
    scene = rendered_scene(3, 0, 463, 370)
    return scene, judge(scene)


def test_a_picture_is_drawn_and_shows_the_pair(judged, tmp_path):
    scene, result = judged
    path = draw_scene(scene, result, tmp_path / "new" / "folder")
    picture = cv2.imread(str(path))
    assert path.name == f"{scene.name}.png" and picture.shape[0] > 1000 and picture.shape[1] > 1000
    # The left image is in it, somewhere in the upper left, at some size.
    upper = picture[: picture.shape[0] // 3, : picture.shape[1] // 3]
    found = max(
        cv2.matchTemplate(upper, cv2.resize(scene.pair.left, (w, w * 370 // 463)), cv2.TM_CCOEFF_NORMED).max()
        for w in range(200, 440, 4)
        if w * 370 // 463 <= upper.shape[0] and w <= upper.shape[1]
    )
    assert found > 0.9


def test_what_is_predicted_changes_the_picture(judged):
    scene, result = judged
    grid = result.grid
    state = grid.state.copy()
    state[:, :, :50] = 0
    other = VoxelGrid(state, grid.probability, grid.origin, grid.voxel_size, grid.frame, grid.stamp_s)
    pictures = [
        cv2.imdecode(np.frombuffer(render_scene(scene, r), np.uint8), cv2.IMREAD_COLOR).astype(int)
        for r in (result, type(result)(**{**vars(result), "grid": other}))
    ]
    third = pictures[0].shape[1] // 3
    lower = slice(pictures[0].shape[0] * 2 // 5, None)
    assert np.abs(pictures[0] - pictures[1])[lower, third : 2 * third].mean() > 1
    assert render_scene(scene, result) == render_scene(scene, result)


def test_bad_places_are_refused(judged, tmp_path):
    scene, result = judged
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--pictures"):
        draw_scene(scene, result, tmp_path / "file")
    with pytest.raises(ValueError, match="grid"):
        render_scene(scene, type(result)(**{**vars(result), "grid": None}))
