"""The picture of what the detector sees: voxels where they are, refusals said, and the command that draws it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.errors import DependencyMissingError
from rarrl.perception.rig import CameraRig
from rarrl.types import StereoPair, VoxelGrid, VoxelState
from rarrl_learning.perception.demo import HEAD, SECTORS, colours, draw, look, overlay, space
from rarrl_learning.perception.scenes import rendered_scene


@pytest.fixture(scope="module")
def scene():
    return rendered_scene(0, 0, 320, 240)


@pytest.fixture(scope="module")
def seen(scene):
    return look(scene)


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def one_voxel(i, j, k):
    state = np.zeros((16, 16, 16), np.uint8)
    state[i, j, k] = VoxelState.OCCUPIED
    return VoxelGrid(state, np.full(state.shape, 0.5, np.float32), (-0.8, -0.8, 0.0), 0.1, "cam")


def test_a_look_holds_what_the_detector_said_and_what_is_true(seen):
    assert seen.refusal == "" and seen.ms > 0
    assert seen.grid.occupied.sum() > 100 and 0.3 < seen.recall <= 1 and 0.1 < seen.iou < 1
    assert len(seen.summary.nearest_m) == SECTORS
    assert len(seen.row()) == len(HEAD) and seen.row()[5] == str(seen.grid.occupied.sum())


def test_a_refused_pair_is_drawn_with_its_reason_and_without_voxels(scene, seen):
    dark = StereoPair(*(np.zeros_like(image) for image in (scene.pair.left, scene.pair.right)))
    refused = look(replace(scene, pair=dark))
    assert "dark" in refused.refusal and refused.grid.occupied.sum() == 0 and refused.row()[-1] == "none"
    one, two = decoded(draw([seen])), decoded(draw([seen, refused]))
    assert one.shape[1] == two.shape[1] == 1404 and one.shape[0] < two.shape[0]
    assert one.std() > 20


def test_a_voxel_is_painted_where_the_camera_sees_it():
    rig = CameraRig(200.0, 200.0, 159.5, 119.5, 0.1, 320, 240)
    painted = overlay(np.full((240, 320, 3), 90, np.uint8), one_voxel(9, 8, 9), rig, 2.0)  # centre (0.15, 0.05, 0.95)
    coloured = np.ptp(painted.astype(int), axis=2) > 20
    v, u = np.nonzero(coloured)
    assert np.mean(u) == pytest.approx(159.5 + 200 * 0.15 / 0.95, abs=1.0)
    assert np.mean(v) == pytest.approx(119.5 + 200 * 0.05 / 0.95, abs=1.0)
    assert np.ptp(u) == pytest.approx(200 * 0.1 / 0.95, abs=2)


def test_near_is_red_and_far_is_blue():
    near, far = colours(np.array([0.2, 4.0]), 4.0).astype(int)
    assert near[2] > near[0] and far[0] > far[2]


def cubes(*occupied):
    """A picture of these voxels and of two far apart, which keep the scale."""
    state = np.zeros((16, 16, 16), np.uint8)
    for at in ((0, 15, 0), (15, 15, 15), *occupied):
        state[at] = VoxelState.OCCUPIED
    grid = VoxelGrid(state, np.full(state.shape, 0.5, np.float32), (-0.8, -0.8, 0.0), 0.1, "cam")
    return (space(grid, 1.6) < 255).any(axis=2)


def test_in_space_what_is_ahead_or_high_is_up_and_what_is_right_is_right():
    places = {"near": (7, 15, 3), "ahead": (7, 15, 12), "high": (7, 11, 3), "right": (11, 15, 3)}
    rows, columns = {}, {}
    for name, at in places.items():
        v, u = np.nonzero(cubes(at) & ~cubes())
        rows[name], columns[name] = v.mean(), u.mean()
    assert max(rows["ahead"], rows["high"]) < rows["near"] and columns["right"] > columns["near"]


def test_an_empty_grid_is_an_empty_picture():
    nothing = VoxelGrid(np.zeros((8, 8, 8), np.uint8), np.full((8, 8, 8), 0.5, np.float32), (0, 0, 0), 0.1, "cam")
    assert (space(nothing, 1.0) == 255).all()


def test_the_demo_needs_neither_mujoco_nor_a_real_pair(tmp_path, monkeypatch):
    demo = pytest.importorskip("rarrl_nodes.demo")

    def missing(seed):
        raise DependencyMissingError("no such package: pip install it")

    monkeypatch.setattr(demo, "_simulated", missing)
    monkeypatch.setattr(demo, "_real", missing)
    result = CliRunner().invoke(app, ["demo", "--perception", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "rendered room" in result.output and result.output.count("left out: no such package") == 2
    assert decoded((tmp_path / "run" / "perception.png").read_bytes()).shape[1] == 1404


def test_the_real_pair_has_truth(seen):
    pytest.importorskip("skimage", reason="scikit-image is missing: it ships the real pair")
    from rarrl_nodes.demo import perception_scenes

    real = next(scene for scene in perception_scenes(0)[0] if "Motorcycle" in scene.name)
    assert real.disparity.shape == real.pair.left.shape[:2] and 0.8 < np.isfinite(real.disparity).mean() < 1
    found = look(real)
    assert found.refusal == "" and found.precision > 0.9 and found.recall > 0.7
