"""The quick look: which disparities to search, and pairs that it already refuses."""

import numpy as np
import pytest
from perception_fixtures import wall

from rarrl.perception.quick_look import farthest, quick_look


def test_the_quick_look_covers_the_scene(indoor_pair):
    pair, truth = indoor_pair.pair, indoor_pair.disparity
    look = quick_look(pair.left[..., 1].copy(), pair.right[..., 1].copy(), indoor_pair.rig)
    low, high = np.nanquantile(truth, (0.02, 0.98))
    assert look.search.start <= low and high <= look.search.start + look.search.count
    assert look.search.count % 16 == 0


def test_the_quick_look_already_notices_swapped_eyes(indoor_pair):
    right, left = (image[..., 1].copy() for image in (indoor_pair.pair.left, indoor_pair.pair.right))
    look = quick_look(left, right, indoor_pair.rig)
    assert look.search is None and "swapped" in look.why


def test_the_search_begins_where_the_scene_does_and_never_beyond_infinity():
    for doffs, least in ((0.0, 0), (15.0, -16)):
        pair, rig = wall(11.0 - doffs, doffs)
        search = quick_look(pair.left, pair.right, rig).search
        assert search.least == least <= search.start < 11.0 - doffs


def test_false_matches_spread_thin_do_not_widen_the_search():
    rng = np.random.default_rng(0)
    room = rng.uniform(24, 70, 3000).astype(np.float32)
    thin = rng.uniform(-60, 24, 120).astype(np.float32)  # 4 % of the cells, over 21 bands
    assert 18 <= farthest(np.concatenate([room, thin])) <= 24
    far = np.full(40, 3.0, np.float32)  # hardly more than 1 %, but of one surface
    assert farthest(np.concatenate([room, far])) == 0
    assert farthest(np.full(20, -5.5, np.float32)) == -8


@pytest.mark.parametrize(("height", "width"), [(240, 320), (239, 317), (241, 322)])
def test_every_block_of_the_image_has_its_cell(height, width):
    pair, rig = wall(11.0, 0.0)
    left, right = (
        np.ascontiguousarray(np.pad(i, ((0, 1), (0, 2)), mode="edge")[:height, :width]) for i in (pair.left, pair.right)
    )
    look = quick_look(left, right, rig)
    shape = (-(-height // 4), -(-width // 4))
    assert look.small.shape == look.coarse.shape == look.textured.shape == shape
    assert np.nanmedian(look.coarse) == pytest.approx(11.0, abs=1.0)
