"""What is shown, as JSON: units, rounding, no secrets, and the geometry of voxels, zones and paths."""

import base64
import json
import math

import cv2
import numpy as np
import pytest
from view_fixtures import Circle

from rarrl.config import GateConfig
from rarrl.perception.rig import CameraRig
from rarrl.safety.gate import SafetyGate
from rarrl.secrets import remember
from rarrl.types import VoxelGrid, VoxelState
from rarrl.view.state import (
    MOST_VOXELS,
    Belief,
    Camera,
    Controls,
    Home,
    Moment,
    Path,
    Snapshot,
    Story,
    encode,
    gate_state,
    jpeg_of,
    squares_over,
    voxels_over,
)

RIG = CameraRig(300.0, 300.0, 159.5, 119.5, 0.12, 320, 240)


def test_every_part_is_json_and_comes_back():
    parts = {name: json.loads(encode(part)) for name, part in Circle().look().parts().items()}
    assert set(parts) == {"home", "story", "controls", "camera", "moment"}
    assert parts["story"]["bars"][0]["time_left_s"] == 18.0 and parts["story"]["reason"]["options"][1]["price"] == 0.126
    assert parts["home"]["names"] == ["sink", "shelf"] and len(parts["moment"]["scan"]["ranges_m"]) == 31
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(parts["camera"]["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (240, 320, 3)
    assert np.allclose(picture[0, 200], (160, 90, 40), atol=6), "RGB in, BGR out of OpenCV"


def test_what_is_not_there_is_not_encoded():
    parts = Snapshot(Moment(), Story()).parts()
    assert parts["home"] is None and parts["camera"] is None


def test_numbers_are_rounded_and_what_is_not_finite_is_null():
    moment = Moment(t_s=1.23456, pose=(math.nan, 2.0, math.inf), path=np.array([[0.12345, math.nan]]))
    told = json.loads(encode(moment))
    assert told["t_s"] == 1.235 and told["pose"] == [None, 2.0, None] and told["path"] == [[0.123, None]]
    assert json.loads(encode(Camera(b"jpeg", 320, 240, None)))["voxels"] is None
    far = json.loads(encode(Moment(path=np.array([[1e308, -1e308], [0.12345, 1.0]]))))
    assert far["path"] == [[1e308, -1e308], [0.123, 1.0]]


@pytest.mark.parametrize("focal_px", [1e38, 1e300, 1e308])
def test_a_camera_of_absurd_numbers_shows_only_squares_that_are_finite(focal_px):
    rig = CameraRig(focal_px, focal_px, 159.5, 119.5, 0.12, 320, 240)
    squares = squares_over(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1e-3], [1e38, 0.0, 3e38]]), 0.05, rig)
    assert np.isfinite(squares).all()
    assert json.loads(encode(Camera(b"jpeg", 320, 240, squares)))["voxels"] == squares.tolist()


def test_no_text_shows_a_secret():
    remember("correct-horse-battery")
    story = Story(goal="use correct-horse-battery", beliefs=(Belief("key is correct-horse-battery"),))
    assert "horse" not in encode(story) and encode(story).count("***") == 2
    assert "horse" not in encode(Controls("from https://me:correct-horse-battery@host/"))
    home = Home((1.0, 1.0), np.zeros((0, 4)), np.zeros((1, 4)), ("correct-horse-battery",))
    assert "horse" not in encode(home)


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(TypeError, match="object cannot be shown"):
        encode(object())


def test_pictures_that_are_jpeg_already_stay_as_they_are():
    assert jpeg_of(b"\xff\xd8...") == b"\xff\xd8..."


def test_a_cube_stands_where_the_camera_sees_it():
    squares = squares_over(np.array([[0.0, 0.0, 1.0], [0.5, -0.2, 2.0], [0.0, 0.0, -1.0], [9.0, 0.0, 1.0]]), 0.1, RIG)
    assert np.allclose(squares, [[159.5 + 75, 119.5 - 30, 15, 2.0], [159.5, 119.5, 30, 1.0]]), "the near one last"


def test_the_nearest_are_shown_and_the_floor_is_not():
    z = np.linspace(1.0, 4.0, MOST_VOXELS + 300)
    points = np.column_stack([np.zeros_like(z), np.zeros_like(z), z])
    squares = squares_over(points, 0.05, RIG)
    assert len(squares) == MOST_VOXELS and squares[-1, 3] == 1.0 and (np.diff(squares[:, 3]) <= 0).all()

    # A camera 0.4 m above the ground that looks ahead: y down in its frame is height down in the base's.
    T_base_camera = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0.4], [0, 0, 0, 1]])
    floor_and_chair = np.array([[0.0, 0.39, 1.5], [0.0, 0.1, 1.5]])
    assert len(squares_over(floor_and_chair, 0.05, RIG)) == 2
    (kept,) = squares_over(floor_and_chair, 0.05, RIG, T_base_camera, low_m=0.1)
    assert kept[1] == pytest.approx(119.5 + 300 * 0.1 / 1.5)


def test_the_occupied_voxels_of_a_grid():
    state = np.full((4, 4, 4), VoxelState.FREE, np.uint8)
    state[1, 2, 3] = VoxelState.OCCUPIED
    grid = VoxelGrid(state, np.full((4, 4, 4), 0.5, np.float32), (-0.2, -0.2, 1.0), 0.1, "camera")
    ((u, v, side, distance),) = voxels_over(grid, RIG)
    assert (u, v, distance) == pytest.approx((159.5 - 300 * 0.05 / 1.35, 119.5 + 300 * 0.05 / 1.35, 1.35))
    assert side == pytest.approx(300 * 0.1 / 1.35)
    assert voxels_over(grid, RIG, np.eye(4), low_m=99.0).shape == (0, 4)


def test_the_zones_are_those_of_the_gate():
    config = GateConfig(radius_m=0.25, margin_m=0.05, max_speed_mps=0.5)
    full = gate_state(config, "PASS", "", "", config.max_speed_mps)
    assert full.radius_m == pytest.approx(0.30) and full.stop_m == full.reach_m
    reach_m = SafetyGate(config).reach_m - config.margin_m - config.radius_m - 2 * config.cell_m
    assert max(full.reach_m, config.assumed_clear_m) == pytest.approx(reach_m)
    backward = gate_state(config, "STOP", "blocked", "", -0.1)
    assert backward.stop_m < 0 < backward.reach_m and abs(backward.stop_m) < full.stop_m
    assert gate_state(config, "PASS", "", "", 0.0).stop_m == 0.0


def test_a_path_that_grows_is_thinned_out():
    path = Path(spacing_m=0.1, most=50)
    points = np.zeros((0, 2))
    for x in np.linspace(0.0, 100.0, 20_001):
        points = path.add(float(x), 0.0)
        assert len(points) <= 50
    assert points[0, 0] == 0.0 and points[-1, 0] > 95 and (np.diff(points[:, 0]) > 0).all()
    assert path.add(float(points[-1, 0]), 0.0) is points, "the same while nothing is new"
    path.clear()
    assert len(path.add(1.0, 1.0)) == 1
