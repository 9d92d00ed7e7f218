"""The network that says how far to trust a match: what it reads, what it says, its file, its training."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from rarrl.errors import InputError
from rarrl.files import sha256
from rarrl.perception.calibration import SHIPPED as CARD
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.confidence import (
    FEATURES,
    SHIPPED,
    WIDTH,
    MatchConfidence,
    clues,
    load_confidence,
    read_confidence,
)
from rarrl.perception.voxels import PRESETS
from rarrl_learning.perception.train import Examples, fit_confidence


def test_clues_say_where_block_matching_agrees_and_where_edges_are():
    wide = np.random.default_rng(0).integers(0, 255, (80, 220), dtype=np.uint8)
    left, right = wide[:, :200].copy(), wide[:, 12:212].copy()  # disparity 12
    disparity = np.full((80, 200), 12.0, np.float32)
    disparity[:, 150:] = 30.0  # wrong
    disparity[:20] = np.nan
    seen = clues(left, right, 0, 32, disparity, np.full((40, 100), 2.0, np.float32))
    by_name = dict(zip(FEATURES, seen.features, strict=True))
    assert seen.agree[14:36, 20:70].mean() > 0.95 and not seen.agree[:, 76:].any() and not seen.agree[:10].any()
    assert by_name["unlike"][14:36, 20:70].mean() < 0.5 < by_name["unlike"][14:36, 80:90].mean()
    assert (by_name["to_far"][20:30, 75:77] == 4).all() and (by_name["to_far"][20:30, 20:70] == 0).all()
    assert (by_name["to_near"][20:30, 73:75] == 4).all() and (by_name["to_near"][20:30, 80:] == 0).all()
    assert by_name["known_near"][10, 50] < by_name["known_near"][20, 50]
    np.testing.assert_allclose(by_name["width"], np.log(2))


def test_training_finds_what_decides():
    """Matches are right where block matching is near and the voxel wide; the rest is noise."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(FEATURES), 60_000)).astype(np.float32)
    features[-1] = 1
    features[0] = rng.uniform(0, 4, 60_000)
    error = np.where(features[0] < 2, 0.2, 5.0).astype(np.float32)
    trust, loss = fit_confidence([Examples(features, error)], seed=0)
    few = [Examples(features[:, :3000], error[:3000])]
    assert fit_confidence(few, seed=0)[0].to_bytes() == fit_confidence(few, seed=0)[0].to_bytes()
    probe = np.zeros((len(FEATURES), 3), np.float32)
    probe[-1], probe[0], probe[WIDTH] = 1, (0.5, 3.5, 0.5), (1.0, 1.0, -2.5)  # e^-2.5: a voxel of .08 px
    near, far, narrow = trust(probe)
    assert near > 0.85 and far < 0.25 and narrow < 0.25
    assert loss < 0.4  # the share of right ones alone: 0.65


def test_the_shipped_network_trusts_confirmed_matches_of_wide_voxels_more():
    inner = np.array([0, 0, 3, 0, 0, 1, 1, np.log(4.0), 1], np.float32)
    alone, narrow = inner.copy(), inner.copy()
    alone[:2], narrow[WIDTH] = (4, 1), np.log(0.05)
    good, unconfirmed, far = load_confidence()(np.stack([inner, alone, narrow], axis=1))
    assert good > 0.9 and good > unconfirmed and far < 0.5


def test_trust_tells_right_from_wrong_on_a_rendered_pair(indoor_pair):
    detector = ClassicalDetector(indoor_pair.rig, PRESETS["indoor"])
    found = detector.matches(indoor_pair.pair)
    trust = load_confidence().image(found.seen, *found.disparity.shape)
    error = np.abs(found.disparity - indoor_pair.disparity)
    assert trust.shape == error.shape and trust.min() >= 0 and trust.max() <= 1
    assert trust[error > 3].mean() < trust[error < 0.5].mean() - 0.1


def test_the_card_names_the_shipped_network():
    assert json.loads(CARD.read_text("utf-8"))["files"] == {SHIPPED.name: sha256(SHIPPED.read_bytes())}


def test_file_round_trip(tmp_path):
    trust = load_confidence()
    (tmp_path / "trust.safetensors").write_bytes(trust.to_bytes())
    again = read_confidence(tmp_path / "trust.safetensors")
    np.testing.assert_array_equal(again.hidden, trust.hidden)
    np.testing.assert_array_equal(again.out, trust.out)


K = len(FEATURES)


@pytest.mark.parametrize(
    "data",
    [
        b"not a file of tensors",
        b"0" * 1_000_001,
        save({"hidden": np.zeros((4, K), np.float32)}),
        save({"hidden": np.zeros((4, K + 1), np.float32), "out": np.zeros(5, np.float32)}),
        save({"hidden": np.zeros((4, K), np.float32), "out": np.zeros(4, np.float32)}),
        save({"hidden": np.full((4, K), np.nan, np.float32), "out": np.zeros(5, np.float32)}),
        save({"hidden": np.zeros((4, K), np.float64), "out": np.zeros(5, np.float64)}),
    ],
)
def test_bad_files_are_refused(tmp_path, data):
    path = tmp_path / "trust.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="trust"):
        read_confidence(path)


def test_trust_is_a_probability_for_any_input():
    wild = np.array([[1e6], [1], [-50], [1e6], [0], [0], [0], [40], [1]], np.float32)
    trust = MatchConfidence(*(np.float32(100) * part for part in (load_confidence().hidden, load_confidence().out)))
    assert 0 <= trust(wild)[0] <= 1
