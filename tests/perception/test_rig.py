"""Geometry by hand, and cameras that cannot be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl.perception.rig import CameraRig

GOOD = {"fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0, "baseline": 0.1, "width": 640, "height": 480}


def test_depth_by_hand(rig):
    assert rig.depth(np.float32(10.0)) == pytest.approx(2.0)  # 100 px * 0.2 m / 10 px
    assert rig.depth(np.array([0.0, -3.0])).tolist() == [math.inf, math.inf]
    assert rig.disparity(4.0) == pytest.approx(5.0)


def test_field_of_view(rig):
    assert CameraRig(**GOOD | {"cx": 319.5}).field_rad == pytest.approx(2 * math.atan(319.5 / 500))
    assert CameraRig(**GOOD | {"cx": 100.0}).field_rad == pytest.approx(2 * math.atan(100 / 500))
    assert CameraRig(**GOOD | {"cx": -5.0}).field_rad == 0.0


def test_doffs_shifts_the_disparity():
    # Middlebury's formula: depth = f b / (d + doffs)
    rig = CameraRig(**GOOD, doffs=30.0)
    assert rig.depth(np.float32(20.0)) == pytest.approx(1.0)
    assert rig.disparity(1.0) == pytest.approx(20.0)


def test_points_by_hand(rig):
    disparity = np.full((96, 128), np.nan, dtype=np.float32)
    disparity[48, 64] = 10.0  # on the axis, 2 m ahead
    disparity[58, 114] = 20.0  # 1 m ahead, 50 px right of and 10 px below the axis
    np.testing.assert_allclose(rig.points(disparity), [[0, 0, 2], [0.5, 0.1, 1]], atol=1e-6)


@given(
    x=st.floats(-3, 3), y=st.floats(-3, 3), z=st.floats(0.2, 50), doffs=st.floats(-20, 20), baseline=st.floats(0.01, 1)
)
def test_projecting_a_point_and_back(x, y, z, doffs, baseline):
    rig = CameraRig(**(GOOD | {"baseline": baseline}), doffs=doffs)
    u, v, d = rig.project(np.array([[x, y, z]]))[0]
    depth = rig.fx * rig.baseline / (d + rig.doffs)
    assert depth == pytest.approx(z, rel=1e-9)
    assert ((u - rig.cx) * depth / rig.fx, (v - rig.cy) * depth / rig.fy) == pytest.approx((x, y), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fx": 0.0}, "fx"),
        ({"fy": -1.0}, "fy"),
        ({"fx": math.nan}, "fx"),
        ({"cx": math.inf}, "cx"),
        ({"baseline": -0.1}, "baseline"),
        ({"baseline": 0.0}, "baseline"),
        ({"baseline": "0.1"}, "baseline"),
        ({"width": 0}, "width"),
        ({"height": 10**6}, "height"),
        ({"width": 640.0}, "width"),
        ({"cx": 3000.0}, "principal point"),
        ({"doffs": 1000.0}, "doffs"),
        ({"fx": True}, "fx"),
    ],
)
def test_impossible_cameras_are_refused_by_name(change, named):
    with pytest.raises(InputError, match=named) as caught:
        CameraRig(**(GOOD | change))
    assert "\n" not in str(caught.value)


def projections(tx=-50.0, **changes):
    left = [500.0, 0, 320.0, 0, 0, 500.0, 240.0, 0, 0, 0, 1, 0]
    right = list(left)
    right[3] = tx
    for key, value in changes.items():
        side, index = key.split("_")
        (left if side == "left" else right)[int(index)] = value
    return left, right


def test_rig_from_camera_info():
    rig = CameraRig.from_projections(*projections(right_2=325.0), 640, 480, "left_optical")
    assert (rig.fx, rig.cx, rig.baseline, rig.doffs, rig.frame) == (
        500.0,
        320.0,
        pytest.approx(0.1),
        5.0,
        "left_optical",
    )


@pytest.mark.parametrize(
    ("left_right", "named"),
    [
        (projections(tx=50.0), "swapped"),
        (projections(tx=0.0), "tells no baseline"),
        (projections(tx=-60_000.0), "in metres"),
        (projections(tx=0.0, left_3=-50.0), "swapped"),
        (projections(left_3=-50.0), "swapped"),
        (projections(left_0=0.0, right_0=0.0), "fx"),
        (projections(right_0=600.0), "focal length"),
        (projections(right_6=250.0), "not aligned"),
        (projections(left_1=3.0), "is not"),
        (projections(right_3=math.nan), "finite"),
        (([1.0] * 9, [1.0] * 9), "12"),
    ],
)
def test_camera_infos_that_are_no_pair_are_refused(left_right, named):
    with pytest.raises(InputError, match=named):
        CameraRig.from_projections(*left_right, 640, 480, "f")


FULL = (500.0, 0, 320.0, -50.0, 0, 500.0, 240.0, 0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("binning", "offset", "expected"),
    [
        ((0, 0), (0, 0), (500.0, 320.0, -50.0, 500.0, 240.0)),
        ((1, 1), (0, 0), (500.0, 320.0, -50.0, 500.0, 240.0)),
        ((2, 2), (0, 0), (250.0, 160.0, -25.0, 250.0, 120.0)),
        ((2, 1), (0, 0), (250.0, 160.0, -25.0, 500.0, 240.0)),
        ((1, 1), (100, 40), (500.0, 220.0, -50.0, 500.0, 200.0)),
        ((4, 4), (100, 40), (125.0, 55.0, -12.5, 125.0, 50.0)),
    ],
)
def test_a_part_of_an_image_or_one_of_fewer_pixels_has_its_own_projection(binning, offset, expected):
    part = CameraRig.of_part(FULL, binning, offset)
    assert (part[0], part[2], part[3], part[5], part[6]) == expected
    assert -part[3] / part[0] == pytest.approx(0.1), "the baseline stays"


def test_images_of_another_size_are_refused(rig):
    with pytest.raises(ValueError, match="96 x 128"):
        rig.points(np.zeros((48, 64), dtype=np.float32))
