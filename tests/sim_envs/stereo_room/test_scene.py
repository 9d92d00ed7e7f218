"""The MuJoCo stereo scene: two eyes that agree with their geometry, and truth that agrees with both."""

import math
import sys

import numpy as np
import pytest

from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.voxels import PRESETS, GridSpec
from rarrl_learning.perception.metrics import iou, within_one
from rarrl_sim_envs.stereo_room import scene
from rarrl_sim_envs.stereo_room.scene import Solid, StereoScene, furnished_room, solid_voxels

INDOOR = PRESETS["indoor"]
SMALL = GridSpec.cube(1.6, 0.1)


@pytest.fixture(scope="module")
def make_scene():
    made = []

    def make(*args, **kwargs):
        try:
            made.append(StereoScene(*args, **kwargs))
        except DependencyMissingError as error:
            pytest.skip(str(error))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def room(make_scene):
    return make_scene(0)


@pytest.fixture(autouse=True)
def head_at_home(request):
    if "room" in request.fixturenames:
        request.getfixturevalue("room").move_head()


def test_rooms_are_repeatable_and_leave_the_head_alone():
    assert furnished_room(3) == furnished_room(3) != furnished_room(4)
    for seed in range(20):
        solids = furnished_room(seed)
        assert len({s.name.rstrip("0123456789") for s in solids}) >= 9
        for s in solids:
            reach = max(s.half[0], s.half[1]) * math.sqrt(2)
            if "wall" not in s.name and s.name not in ("floor", "ceiling"):
                assert math.hypot(*s.centre[:2]) - reach > 0.6, s


@pytest.mark.parametrize(
    "solid",
    [
        Solid("box", (0.13, -0.02, 0.71), (0.31, 0.17, 0.12), 0, 0.7),
        Solid("board", (0.0, 0.0, 0.9), (0.5, 0.004, 0.3), 0, -0.4),
        Solid("ball", (0.05, 0.11, 0.63), (0.23,) * 3, 0, radius=0.23),
    ],
)
def test_solid_voxels_are_those_that_hold_points_of_the_solid(solid):
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    T = np.eye(4)
    T[:3, :3] = q * np.sign(np.linalg.det(q))
    T[:3, 3] = solid.centre - T[:3, :3] @ (0.02, -0.05, 0.83)  # there the solid is in the camera's frame
    held = solid_voxels([solid], T, SMALL)
    inside = rng.uniform(-1, 1, (400_000, 3))
    if solid.radius:
        inside = inside[(inside**2).sum(axis=1) < 1]
    points = (solid.axes @ (inside * solid.half).T).T + solid.centre
    points = (points - T[:3, 3]) @ T[:3, :3]
    cell = np.floor((points - SMALL.origin) / SMALL.voxel_size).astype(int)
    cell = cell[((cell >= 0) & (cell < SMALL.size)).all(axis=1)]
    sampled = np.zeros(SMALL.shape, bool)
    sampled[tuple(cell.T)] = True
    assert sampled.sum() > 30 and not (sampled & ~held).any()
    assert (held & ~sampled).sum() <= 0.08 * held.sum(), "more than corners that no sample met"


def test_each_eye_sees_a_known_box_where_the_geometry_says(make_scene):
    box = Solid("box", (2.3, -0.2, 0.55), (0.3, 0.25, 0.2), 0)  # its face is 2 m away
    scene = make_scene(0, baseline_m=0.2, noise=0.0, solids=[box])
    rig, pair, z = scene.rig, scene.pair(), 2.0
    columns = [np.flatnonzero(image.max(axis=(0, 2)) > 0)[[0, -1]] for image in (pair.left, pair.right)]
    rows = [np.flatnonzero(image.max(axis=(1, 2)) > 0)[[0, -1]] for image in (pair.left, pair.right)]

    def between(low, high):
        """First and last of the pixels whose centres lie in between."""
        return [math.ceil(low), math.floor(high)]

    left = rig.cx + rig.fx * np.array([-0.05, 0.45]) / z
    assert columns[0].tolist() == between(*left) and columns[1].tolist() == between(*(left - rig.fx * 0.2 / z))
    row = between(*(rig.cy + rig.fy * np.array([-0.2, 0.2]) / z))
    assert rows[0].tolist() == rows[1].tolist() == row
    u, v = (int(np.mean(edges)) for edges in (columns[0], rows[0]))
    assert scene.depth()[v, u] == pytest.approx(z, abs=1e-3)


def test_rows_agree_and_disparity_is_f_b_over_z(make_scene):
    scene = make_scene(1, baseline_m=0.1, noise=0.0)
    pair, depth, rig = scene.pair(), scene.depth(), scene.rig
    v, u = np.indices(depth.shape)
    there = u - rig.disparity(depth)
    inside = there >= 0

    def difference(rows, aside):
        """Median gray levels between a pixel of the left image and its place in the right one."""
        row, column = np.clip(v + rows, 0, rig.height - 1), np.clip(there + aside, 0, rig.width - 1.001)
        low = column.astype(int)
        part = (column - low)[..., None]
        drawn = (1 - part) * pair.right[row, low] + part * pair.right[row, low + 1]
        return float(np.median(np.abs(drawn - pair.left)[inside]))

    exact = difference(0, 0)
    assert exact < 2.0
    assert all(difference(*wrong) > 1.5 * exact + 1 for wrong in ((1, 0), (-1, 0), (0, 1), (0, -1)))


def test_visible_truth_is_a_part_of_the_solids_and_free_truth_is_not_inside_them(room):
    for place in ({}, {"x": 0.3, "yaw": 0.5}, {"yaw": -2.0, "pitch": 0.3}):
        room.move_head(**place)
        seen, solid = room.truth(INDOOR), room.solid(INDOOR)
        assert seen.occupied.sum() > 500 and not (seen.occupied & ~solid.occupied).any()
        crate = next(s for s in room.solids if s.name == "crate")
        centres = (room.T_world_left[:3, :3] @ seen.centres(seen.free).T).T + room.T_world_left[:3, 3]
        local = np.abs((centres - crate.centre) @ crate.axes)
        assert not (local < np.array(crate.half) - 0.01).all(axis=1).any() and seen.unknown.any()


def test_the_head_moves_through_the_world(room):
    before, visible = room.solid(INDOOR), room.truth(INDOOR)
    room.move_head(x=0.2)
    after = room.solid(INDOOR)
    np.testing.assert_array_equal(after.state[:, :, :-2], before.state[:, :, 2:])
    assert iou(room.truth(INDOOR).occupied[:, :, :-2], visible.occupied[:, :, 2:]) > 0.75


def test_the_head_looks_where_it_is_told(make_scene):
    shell = {s.name: s for s in furnished_room(0) if "wall" in s.name or s.name == "floor"}
    scene = make_scene(0, solids=[s for s in furnished_room(0) if s.name in shell])
    far, side = shell["far wall"], shell["left wall"]
    for place, expected in (
        ({"x": 0.4}, far.centre[0] - far.half[0] - 0.4),
        ({"y": -0.3, "yaw": math.pi / 2}, side.centre[1] - side.half[1] + 0.3),
        ({"height_m": 1.7, "pitch": math.pi / 2}, 1.7),
    ):
        scene.move_head(**place)
        assert scene.depth()[240, 320] == pytest.approx(expected, abs=5e-3), place


def test_the_detector_finds_the_crate(room):
    grid = ClassicalDetector(room.rig, INDOOR).detect(room.pair())
    crate = solid_voxels([s for s in room.solids if s.name == "crate"], room.T_world_left, INDOOR)
    truth = room.truth(INDOOR).occupied
    face = truth & crate
    assert face.sum() > 40
    assert within_one(grid.occupied, face)[1] > 0.9
    precision, recall = within_one(grid.occupied, truth)
    assert precision > 0.9 and recall > 0.85 and iou(grid.occupied, truth) > 0.45


def test_noise_differs_from_frame_to_frame_and_the_same_seed_gives_the_same(make_scene, room):
    again = make_scene(0)
    one, two = again.pair(1.5), again.pair()
    assert one.stamp_s == 1.5 and one.left.shape == (480, 640, 3) and one.left.dtype == np.uint8
    assert 0.3 < np.abs(one.left.astype(int) - two.left).mean() < 3
    third = make_scene(0).pair()
    np.testing.assert_array_equal(one.left, third.left)
    np.testing.assert_array_equal(one.right, third.right)


@pytest.mark.parametrize("wrong", [{"fov_deg": 0.0}, {"fov_deg": 180.0}, {"baseline_m": -0.1}, {"width": 10}])
def test_cameras_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        StereoScene(**wrong)


@pytest.mark.parametrize("missing", ["library", "package"])
def test_what_is_missing_is_told_with_the_way_out(monkeypatch, missing):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if missing == "library":
        monkeypatch.setattr(scene.ctypes.util, "find_library", lambda name: None)
    else:
        monkeypatch.setattr(scene.ctypes.util, "find_library", lambda name: "libEGL.so.1")
        monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(DependencyMissingError, match={"library": "apt install", "package": r"rarrl\[sim\]"}[missing]):
        StereoScene()
