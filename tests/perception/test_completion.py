"""Completion carries surfaces on, prefers what lies behind, and says how far to trust it."""

import numpy as np

from rarrl.perception.completion import _first_matched, _lower_quantile, complete

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

    directions = [(0, -1), (0, 1), (-1, 0), (1, 0), (-1, 1), (1, -1), (-1, -1), (1, 1)]
    v, u = np.nonzero(~matched)
    for found, step in zip(_first_matched(matched, v, u), directions, strict=True):
        assert found.tolist() == [walk(*at, *step) for at in zip(v, u, strict=True)]


def test_the_lower_weighted_quantile_against_sorting():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=(2, 8, 50)).astype(np.float32)
    weights = np.abs(weights) * (rng.random((8, 50)) < 0.7)
    wanted = 0.4 * weights.sum(axis=0)
    for found, column, weight, goal in zip(
        _lower_quantile(values, weights, wanted), values.T, weights.T, wanted, strict=True
    ):
        order = np.argsort(column)
        assert found == column[order][np.argmax(np.cumsum(weight[order]) >= goal)]


def test_matched_pixels_have_no_votes_and_nothing_near_is_nan():
    full = np.full((80, 120), 7.0, np.float32)
    assert not complete(full, GREY).votes.any()
    nothing = complete(np.full((80, 120), np.nan, np.float32), GREY)
    assert np.isnan(nothing.disparity).all() and not nothing.votes.any()


def test_a_slanted_wall_goes_on_as_a_plane():
    plane = np.repeat((10 + 0.05 * np.arange(120, dtype=np.float32))[None], 80, axis=0)
    holed = plane.copy()
    holed[:, 50:70] = np.nan
    done = complete(holed, GREY)
    np.testing.assert_allclose(done.disparity, plane[2::4, 2::4], atol=0.5)
    assert not done.votes[:, :12].any() and not done.votes[:, 18:].any()
    assert (done.votes[:, 13:17] > 16 * 0.4).all() and (done.votes <= 16.1).all()
    np.testing.assert_allclose(done.votes[:, 17], 8, atol=0.2)  # matched, and half of its pixels are empty


def test_between_near_and_far_it_takes_the_far_side_and_the_like_colour():
    disparity = np.full((80, 120), 20.0, np.float32)
    disparity[:, 60:] = 5.0
    disparity[:, 50:60] = np.nan
    assert (complete(disparity, GREY).disparity[3:17, 14] == 5.0).all()
    image = GREY.copy()
    image[:, 60:] = 20  # the hole looks like the near side
    near = complete(disparity, image).disparity[3:17, 12:15]
    assert np.median(near) == 20.0


def test_trust_falls_with_distance():
    disparity = np.full((80, 120), np.nan, np.float32)
    disparity[:, :20] = 6.0
    votes = complete(disparity, GREY).votes[10]
    assert votes[6] > votes[15] > votes[27] > 0
    assert votes[0] == 0  # matched
