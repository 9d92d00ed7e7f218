"""Rendered pairs: the same seed, the same bytes; and a truth that is true."""

import cv2
import numpy as np
import pytest

from rarrl.perception.rig import CameraRig
from rarrl_learning.perception.synthetic import Quad, Scene, SynthConfig, draw, render_pair, render_pairs

SMALL = SynthConfig(width=320, height=240)


def test_the_same_seed_gives_the_same_pair():
    one, two, other = render_pair(5, 2, SMALL), render_pair(5, 2, SMALL), render_pair(6, 2, SMALL)
    assert one.pair.left.tobytes() == two.pair.left.tobytes()
    assert one.pair.right.tobytes() == two.pair.right.tobytes()
    assert one.disparity.tobytes() == two.disparity.tobytes()
    assert one.rig == two.rig != other.rig


def test_a_pair_does_not_depend_on_the_others():
    alone = render_pair(5, 1, SMALL)
    last = list(render_pairs(2, 5, SMALL))[1]
    assert last.pair.left.tobytes() == alone.pair.left.tobytes()
    assert last.kind == alone.kind == "outdoor"


def scene(*quads: Quad) -> Scene:
    rig = CameraRig(fx=200.0, fy=200.0, cx=160.0, cy=120.0, baseline=0.1, width=320, height=240)
    return Scene("indoor", rig, list(quads), [], np.array([10.0, 20.0, 30.0]))


def board(x: float, z: float, width: float, grey: float, slope: float = 0.0) -> Quad:
    return Quad(
        np.array([x, -0.5, z]), np.array([width, 0, slope]), np.array([0, 1.0, 0]), -1, (1, 1), np.full(3, grey / 160)
    )


def test_depth_is_exact_also_on_slanted_boards():
    rig = scene().rig
    _, inverse = draw(scene(board(-1.0, 2.0, 2.0, 100.0, slope=1.0)), 0.0)
    v, u = np.nonzero(inverse)
    x = (u - rig.cx) / rig.fx / inverse[v, u]
    np.testing.assert_allclose(1 / inverse[v, u], 2.0 + (x + 1.0) / 2, rtol=1e-5)


def test_the_nearer_board_hides_the_farther_in_any_order():
    far, near = board(-1.0, 4.0, 2.0, 50.0), board(-0.2, 2.0, 0.4, 200.0)
    for order in ((far, near), (near, far)):
        image, inverse = draw(scene(*order), 0.0)
        assert inverse[120, 160] == pytest.approx(0.5)
        assert inverse[120, 180 + 10] == pytest.approx(0.25)
        assert image[120, 160].tolist() == [200] * 3
        assert image[5, 5].tolist() == [10, 20, 30]  # sky


def test_a_board_moves_by_its_disparity():
    quads = scene(board(-0.2, 2.0, 0.4, 200.0))
    (left, _), (right, _) = draw(quads, 0.0), draw(quads, 0.1)
    # f b / z = 200 * 0.1 / 2 = 10 px
    np.testing.assert_array_equal(left[:, 10:], right[:, :-10])


def test_a_floor_that_passes_under_the_camera_is_drawn_to_the_lower_edge():
    floor = Quad(np.array([-50.0, 1.0, -1.0]), np.array([100.0, 0, 0]), np.array([0, 0, 100.0]), -1, (1, 1), np.ones(3))
    _, inverse = draw(scene(floor), 0.0)
    assert (inverse[125:] > 0).all() and not inverse[:118].any()
    assert inverse[220, 0] == inverse[220, 319] == pytest.approx(0.5)  # 100 px below the axis: 1 m * 200 / 100


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_warping_the_right_image_by_the_truth_gives_the_left(index):
    drawn = render_pair(8, index, SynthConfig(width=463, height=370, misrectification_px=0.0))
    left, right = (cv2.cvtColor(i, cv2.COLOR_BGR2GRAY).astype(np.float32) for i in (drawn.pair.left, drawn.pair.right))
    v, u = np.mgrid[0:370, 0:463].astype(np.float32)
    seen = ~np.isnan(drawn.disparity) & (u - drawn.disparity >= 0)
    errors = []
    for shift in (-4, 0, 4):
        warped = cv2.remap(right, u - np.nan_to_num(drawn.disparity) + shift, v, cv2.INTER_LINEAR)
        detail = [image - cv2.blur(image, (15, 15)) for image in (left, warped)]  # the eyes differ in exposure
        errors.append(np.median(np.abs(detail[0] - detail[1])[seen]))
    assert errors[1] < min(errors[0], errors[2])


def test_cameras_and_depths_vary_within_what_was_asked():
    for drawn in render_pairs(6, 11, SMALL):
        assert 0.05 <= drawn.rig.baseline <= 0.6
        assert drawn.pair.left.shape == (240, 320, 3)
        assert np.nanmin(drawn.disparity) > 0
    with pytest.raises(ValueError, match="allowed: indoor, outdoor"):
        render_pair(0, 0, SynthConfig(kinds=("lunar",)))
