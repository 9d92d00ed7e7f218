"""Matching: where things are, without crowding at whole pixels, specks and lost edges."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from rarrl.perception.fast import FAST
from rarrl.perception.matching import ACCURATE, Matching, match, smooth
from rarrl.perception.quick_look import SearchRange


@pytest.mark.parametrize(("how", "better"), [(ACCURATE, 0.8), (FAST, 0.85)])
def test_matches_do_not_crowd_at_whole_pixels(how, better):
    """A slanted surface: disparities of 8 to 14 px, alike in number at every fraction."""
    fine = np.random.default_rng(0).integers(0, 255, (100, 600 * 4)).astype(np.float32)
    fine = cv2.GaussianBlur(fine, (0, 0), 3.0)  # about a pixel of the image
    u = np.arange(480, dtype=np.float32)
    slanted = 8 + 6 * u / 480
    at = np.broadcast_to(4 * (u + 40), (100, 480)).astype(np.float32), np.indices((100, 480))[0].astype(np.float32)
    right = cv2.remap(fine, *at, cv2.INTER_LINEAR)
    left = cv2.remap(fine, at[0] - 4 * slanted, at[1], cv2.INTER_LINEAR)
    images = [np.clip(128 + 4 * (image - 128), 0, 255).astype(np.uint8) for image in (left, right)]

    def error(how: Matching) -> float:
        found = match(*images, SearchRange(0, 32), how)
        return float(np.sqrt(np.nanmean((found[5:-5, 40:-20] - slanted[40:-20]) ** 2)))

    unlocked, locked = error(how), error(replace(how, unlock=(0.0,) * 16))
    assert unlocked < better * locked


@pytest.mark.parametrize("how", [ACCURATE, FAST])
@pytest.mark.parametrize("count", [32, 112])  # 112 of 112: pairs of rows, or of columns too, are matched as one
def test_a_shifted_image_is_matched_and_a_speck_is_not(count, how):
    wide = np.random.default_rng(0).integers(0, 255, (90, 532), dtype=np.uint8)
    left, right = wide[:, :500].copy(), wide[:, 20:520].copy()  # disparity 20
    left[40:46, 300:306] = right[40:46, 275:281]  # 36 pixels of disparity 25
    found = match(left, right, SearchRange(0, count), how)
    assert found.shape == (90 // how.usual.rows, 500)
    found = np.repeat(found, how.usual.rows, axis=0)
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
