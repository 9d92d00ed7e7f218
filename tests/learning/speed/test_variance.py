"""Analysis of variance: causes that were put in come out."""

import itertools

import numpy as np
import pytest

from rarrl_learning.speed.variance import LEFT, TOGETHER, runs, spread

NAMES = ("a", "b", "c")


def made(a=0.0, b=0.0, both=0.0, noise=0.0, repetitions=400):
    """Times with effects of +-a, +-b, +-both where a and b go together, and noise; c has none."""
    one, two = (np.array([-1.0, 1.0]).reshape(shape) for shape in ((2, 1, 1, 1), (1, 2, 1, 1)))
    grain = np.random.default_rng(0).normal(0.0, noise, (2, 2, 3, repetitions))
    return 100.0 + a * one + b * two + both * one * two + grain


def test_each_cause_gets_its_share():
    found = spread(made(a=3.0, b=1.0, both=2.0, noise=1.0), NAMES)
    for cause, share in {"a": 9, "b": 1, "c": 0, TOGETHER: 4, LEFT: 1}.items():
        assert found.shares[cause] == pytest.approx(share / 15, abs=0.01), cause
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.range_ms["a"] == pytest.approx(6.0, abs=0.1) and found.range_ms["c"] < 0.2
    assert (found.mean, found.sd) == pytest.approx((100.0, 15**0.5), rel=0.01)


def test_the_tail_is_that_of_the_runs():
    ms = np.full((2, 2, 1, 100), 10.0)
    ms[0, 0, 0, :8] = 40.0
    found = spread(ms, NAMES)
    assert found.tail == 4.0 and found.p50 == 10.0 and found.n == 400
    assert spread(np.zeros((1, 1, 1, 2)), NAMES).tail == 1.0


def test_what_does_not_vary_has_no_shares():
    assert set(spread(np.full((2, 2, 2, 3), 7.0), NAMES).shares.values()) == {0.0}


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 2, 2, 1), (2, 2, 2, 2, 2)])
def test_axes_that_are_not_those_are_refused(shape):
    with pytest.raises(ValueError, match="3 axes"):
        spread(np.ones(shape), NAMES)


def test_every_combination_runs_once_in_each_repetition_and_the_costly_cause_changes_seldom():
    levels = {"data": 3, "model": 2, "hardware": 2}
    order = runs(levels, 4, "hardware", seed=1)
    assert len(order) == len(set(order)) == 3 * 2 * 2 * 4
    assert [repetition for _, repetition in order] == sorted(repetition for _, repetition in order)
    busy = [cell[2] for cell, _ in order]
    assert sum(x != y for x, y in itertools.pairwise(busy)) < 2 * 4
    assert order == runs(levels, 4, "hardware", seed=1) != runs(levels, 4, "hardware", seed=2)
