"""The regression from votes to probability, and its card."""

import json

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.perception.calibration import (
    FEATURES,
    SHIPPED,
    Calibration,
    Evidence,
    Sample,
    card,
    fit,
    fit_logistic,
    load_calibration,
    read_card,
    sigmoid,
)


def test_logistic_regression_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 2))])
    y = rng.random(20_000) < sigmoid(x @ np.array([-0.5, 1.0, -2.0]))
    found = fit_logistic(x, y, np.ones(20_000), ridge=0.0)
    np.testing.assert_allclose(found, [-0.5, 1.0, -2.0], atol=0.1)
    with pytest.raises(ValueError, match="one kind"):
        fit_logistic(x, np.ones(20_000, bool), np.ones(20_000))


def synthetic(seed: int) -> Sample:
    """Voxels with many votes are mostly occupied; with few, mostly not."""
    rng = np.random.default_rng(seed)
    votes = np.where(rng.random((16, 16, 16)) < 0.2, rng.exponential(20, (16, 16, 16)), 0.0)
    through = np.where(votes > 0, 0.1, rng.random((16, 16, 16)))
    occupied = (votes >= 0.5) & (rng.random(votes.shape) < 1 - np.exp(-votes / 10))
    return Sample(Evidence(votes, through), occupied, np.ones(votes.shape, bool))


def test_the_fit_is_calibrated_on_what_it_did_not_see():
    found = fit([synthetic(s) for s in range(6)])
    test = synthetic(99)
    stated = found.probability(test.evidence)
    voted = test.evidence.voted
    many = voted & (test.evidence.votes > 20)
    few = voted & (test.evidence.votes < 4)
    assert stated[many].mean() == pytest.approx(test.occupied[many].mean(), abs=0.08)
    assert stated[few].mean() == pytest.approx(test.occupied[few].mean(), abs=0.08)
    assert found.free == 0.0
    assert 0.2 <= found.threshold <= 0.7


def test_unknown_is_one_half_and_free_is_unlikely():
    evidence = Evidence(np.zeros((8, 8, 8)), np.zeros((8, 8, 8)))
    evidence.seen_through[0] = 0.9
    stated = Calibration((0.0,) * len(FEATURES), 0.01, 0.5).probability(evidence)
    assert (stated[0] == np.float32(0.01)).all() and (stated[1:] == 0.5).all()


def test_more_votes_never_make_the_shipped_probability_smaller():
    votes = np.zeros((8, 8, 512))
    votes[::2, ::2, ::2] = np.linspace(0.5, 200, 4096).reshape(4, 4, 256)  # none beside another in depth
    stated = load_calibration().probability(Evidence(votes, np.zeros(votes.shape)))[::2, ::2, ::2].ravel()
    assert (np.diff(stated) >= -1e-6).all()
    assert stated[0] < 0.3 < 0.7 < stated[-1]


def test_neighbours_in_depth_are_told_from_those_beside():
    votes = np.zeros((8, 8, 8))
    votes[2, 3, 4:6] = 3.0, 1.0
    votes[3, 3, 4] = 9.0  # beside
    votes[7, 7, 7], votes[0, 0, 0] = 2.0, 2.0  # at the ends: nothing before or behind, whatever lies next in memory
    votes[1, 0, 0], votes[7, 7, 0] = 5.0, 5.0
    evidence = Evidence(votes, np.zeros(votes.shape))
    rows = {tuple(at): row for at, row in zip(np.argwhere(evidence.voted).tolist(), evidence.features(), strict=True)}
    before, behind = FEATURES.index("before"), FEATURES.index("behind")
    assert (rows[2, 3, 4][before], rows[2, 3, 4][behind]) == (0.0, 0.25)
    assert (rows[2, 3, 5][before], rows[2, 3, 5][behind]) == (0.75, 0.0)
    assert all(rows[at][before] == rows[at][behind] == 0 for at in ((3, 3, 4), (7, 7, 7), (0, 0, 0), (1, 0, 0)))


def test_card_round_trip(tmp_path):
    path = tmp_path / "card.json"
    made = Calibration(tuple(float(i) for i in range(len(FEATURES))), 0.02, 0.4)
    path.write_text(json.dumps(card(made, seed=1)), "utf-8")
    assert read_card(path) == made
    assert read_card(SHIPPED) == load_calibration()


@pytest.mark.parametrize(
    "damage",
    [
        lambda v: v.pop("weights"),
        lambda v: v["weights"].pop("bias"),
        lambda v: v["weights"].update(extra=1.0),
        lambda v: v["weights"].update(bias=float("nan")),
        lambda v: v.update(free=2.0),
        lambda v: v.update(threshold="high"),
    ],
)
def test_bad_cards_are_refused(tmp_path, damage):
    values = json.loads(SHIPPED.read_text("utf-8"))
    damage(values)
    path = tmp_path / "card.json"
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(InputError, match="calibration"):
        read_card(path)
