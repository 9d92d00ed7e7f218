import hashlib
import json

import numpy as np
import pytest

from rarrl.executive.certainty import FEATURES, SIGNS, WEIGHTS_PATH, DoneSignals, shipped_weights
from rarrl.strict_json import read_json
from rarrl_learning.executive.done_trials import Trial
from rarrl_learning.executive.fit_certainty import fingerprint, fit


def trials(wrong_reading, n=300, seed=0):
    """Picks with a gripper that is wrong so often."""
    luck = np.random.default_rng(seed)
    for _ in range(n):
        done = bool(luck.random() < 0.7)
        holding = done != bool(luck.random() < wrong_reading)
        yield Trial("robot", 0, "pick", DoneSignals(holding=holding), done)


def test_a_signal_is_worth_what_its_errors_make_it():
    weights = fit(list(trials(0.1)))
    expected = np.log(0.9 / 0.1)  # log-odds of a sensor that is wrong in one of ten
    assert weights["holds:full"] - weights["holds:empty"] == pytest.approx(2 * expected, abs=0.7)


def test_what_was_never_seen_has_no_weight():
    weights = fit(list(trials(0.1)))
    assert {name for name, weight in weights.items() if weight} == {"holds:full", "holds:empty"}


def test_signs_are_kept_whatever_the_sample_says():
    weights = fit(list(trials(0.9)))
    assert weights["holds:full"] == 0.0
    assert weights["holds:empty"] == 0.0


def test_better_sensors_count_more():
    assert fit(list(trials(0.02)))["holds:empty"] < fit(list(trials(0.3)))["holds:empty"] < 0


def test_no_trials():
    with pytest.raises(ValueError, match="no trials"):
        fit([])


def test_the_shipped_weights_are_whole():
    shipped = shipped_weights()
    document = read_json(WEIGHTS_PATH, "weights")
    assert set(shipped) == set(FEATURES)
    assert all(SIGNS[name] * weight >= 0 for name, weight in shipped.items())
    assert document["sha256"] == fingerprint(shipped)
    assert fingerprint({"a": 1.0}) == hashlib.sha256(json.dumps({"a": 1.0}).encode()).hexdigest()
