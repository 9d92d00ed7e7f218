"""The fit of the confidence: its gradients and too little data; what it learns: tests/perception/test_confidence.py."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.perception.confidence import FEATURES
from rarrl_learning.perception.train import UNITS, _loss, train


def test_gradients_are_those_of_the_loss():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(UNITS, len(FEATURES))), rng.normal(size=UNITS + 1)]
    x = rng.normal(size=(len(FEATURES), 20))
    right = rng.random(20) < 0.5
    _, gradients = _loss(weights, x, right)
    for layer, gradient in enumerate(gradients):
        for index in ((0,) * gradient.ndim, (-1,) * gradient.ndim):
            moved = [w.copy() for w in weights]
            moved[layer][index] += 1e-6
            slope = (_loss(moved, x, right)[0] - _loss(weights, x, right)[0]) / 1e-6
            assert gradient[index] == pytest.approx(slope, abs=1e-4)


def test_no_pairs_are_too_few():
    with pytest.raises(InputError, match="give more pairs"):
        train(lambda: [], seed=0)
