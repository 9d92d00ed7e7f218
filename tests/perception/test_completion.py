"""Completion carries surfaces on, prefers what lies behind, and says how far to trust it."""

import numpy as np

from rarrl.perception.completion import _first_matched, complete

GREY = np.full((80, 120, 3), 128, dtype=np.uint8)


def test_directions_against_a_plain_walk():
    matched = np.random.default_rng(0).random((7, 9)) < 0.3
    rows, columns = matched.shape

    def walk(v: int, u: int, dv: int, du: int) -> int:
        while 0 <= v < rows and 0 <= u < columns:
            if matched[v, u]:
                return v * columns + u
            v, u = v + dv, u + du
        return -1

    directions = [(0, -1), (-1, -1), (1, -1), (0, 1), (-1, 1), (1, 1), (-1, 0), (1, 0)]
    for found, step in zip(_first_matched(matched), directions, strict=True):
        assert found.tolist() == [[walk(v, u, *step) for u in range(columns)] for v in range(rows)]


def test_matched_pixels_are_left_alone_and_no_hole_means_no_work():
    full = np.full((80, 120), 7.0, np.float32)
    done = complete(full, GREY)
    assert np.isnan(done.disparity).all() and not done.trust.any()
    nothing = complete(np.full((80, 120), np.nan, np.float32), GREY)
    assert np.isnan(nothing.disparity).all() and not nothing.trust.any()


def test_a_slanted_wall_goes_on_as_a_plane():
    plane = np.repeat((10 + 0.05 * np.arange(120, dtype=np.float32))[None], 80, axis=0)
    holed = plane.copy()
    holed[:, 50:70] = np.nan
    done = complete(holed, GREY)
    np.testing.assert_allclose(done.disparity[:, 50:70], plane[:, 50:70], atol=0.5)
    assert np.isnan(done.disparity[:, :50]).all()
    assert (done.trust[:, 50:70] > 0.4).all()


def test_between_near_and_far_it_takes_the_far_side_and_the_like_colour():
    disparity = np.full((80, 120), 20.0, np.float32)
    disparity[:, 60:] = 5.0
    disparity[:, 50:60] = np.nan
    assert (complete(disparity, GREY).disparity[10:70, 54:60] == 5.0).all()
    image = GREY.copy()
    image[:, 60:] = 20  # the hole looks like the near side
    near = complete(disparity, image).disparity[10:70, 50:58]
    assert np.median(near) == 20.0


def test_trust_falls_with_distance():
    disparity = np.full((80, 120), np.nan, np.float32)
    disparity[:, :20] = 6.0
    trust = complete(disparity, GREY).trust[40]
    assert trust[24] > trust[60] > trust[110] > 0
    assert trust[0] == 0  # matched
