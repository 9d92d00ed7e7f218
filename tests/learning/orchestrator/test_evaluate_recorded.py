"""The choice of prices on the recordings of training, by hand; whole evaluations: tests/sim_envs/alfred."""

import numpy as np
import pytest

from rarrl_learning.orchestrator.evaluate import PRICES, Sweep
from rarrl_learning.orchestrator.evaluate_recorded import PriceSelection


def sweep(success: list[float], seconds: list[float]) -> Sweep:
    """One profile, one episode a price."""
    shape = (len(success), 1, 1)
    zeros = np.zeros(shape)
    return Sweep(np.reshape(success, shape), np.reshape(seconds, shape), zeros, zeros, zeros)


def selection(success: list[float], seconds: list[float], rule_s: float = 2.0, always: float = 0.9) -> PriceSelection:
    rules = {"interval": sweep([0.5], [rule_s]), "always": sweep([always], [9.0])}
    return PriceSelection([sweep(success, seconds)], rules)


def test_the_best_price_that_spends_no_more_than_the_rule() -> None:
    assert selection([0.9, 0.8, 0.7], [4.0, 2.0, 1.0]).price_against(0, "interval") == 1


def test_of_prices_as_good_the_one_with_fewest_seconds() -> None:
    assert selection([0.9, 0.8, 0.7995], [4.0, 2.0, 1.0]).price_against(0, "interval") == 2


def test_where_every_price_spends_more_the_cheapest() -> None:
    assert selection([0.9, 0.8, 0.7], [6.0, 5.0, 4.0]).price_against(0, "interval") == 2


@pytest.mark.parametrize(("kept", "expected"), [(0, 0), (3, 2), (4, 3)])
def test_the_dearest_price_that_loses_at_most_a_point(kept: int, expected: int) -> None:
    success = [0.895] * kept + [0.8] * (len(PRICES) - kept)
    chosen = selection(success, [1.0] * len(PRICES)).dearest_price()
    assert chosen == PRICES[expected]
