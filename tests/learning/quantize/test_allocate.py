"""The allocation: within the budget, exact in what it says, close to the best of all plans."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl_learning.quantize.allocate import allocate, layer_group, own_group

BITS = {"a": 1.5, "b": 2.5, "c": 4.0, "d": 8.0}
SIZES = {"blk.0.x": 100, "blk.0.y": 300, "blk.1.x": 100, "blk.1.y": 200}


def objective(plan, costs, group):
    totals = {}
    for name, kind in plan.items():
        totals[group(name)] = totals.get(group(name), 0) + costs[name][kind]
    return sum(total**2 for total in totals.values())


def used(plan):
    return sum(SIZES[name] * BITS[kind] for name, kind in plan.items())


def random_costs(seed):
    rng = np.random.default_rng(seed)
    return {name: {k: float(rng.lognormal(0, 1)) * 2 ** -BITS[k] for k in BITS} for name in SIZES}


def test_by_hand():
    # 300 bits over the cheapest plan (1050): y of layer 1 takes 200 to reach b; then only an x can go to b with 100.
    costs = {
        "blk.0.x": {"a": 2.0, "b": 1.0, "c": 0.9, "d": 0.9},
        "blk.0.y": {"a": 1.0, "b": 0.9, "c": 0.9, "d": 0.9},
        "blk.1.x": {"a": 1.0, "b": 0.5, "c": 0.4, "d": 0.4},
        "blk.1.y": {"a": 9.0, "b": 1.0, "c": 0.9, "d": 0.9},
    }
    found = allocate(costs, SIZES, BITS, 1050 + 300)
    assert found == {"blk.0.x": "b", "blk.0.y": "a", "blk.1.x": "a", "blk.1.y": "b"}


def test_a_type_that_is_larger_but_worse_is_skipped():
    costs = {"blk.0.x": {"a": 1.0, "b": 2.0, "c": 0.1, "d": 0.0}}
    assert allocate(costs, SIZES, BITS, 250) == {"blk.0.x": "a"}
    assert allocate(costs, SIZES, BITS, 400) == {"blk.0.x": "c"}


def test_gains_are_computed_anew_after_an_upgrade_in_the_group():
    # Alone, both x of layer 0 look best; once one is upgraded the layer's total is small and layer 1 is worth more.
    sizes = {"blk.0.x": 100, "blk.0.y": 100, "blk.1.x": 100}
    costs = {
        "blk.0.x": {"a": 5.0, "b": 0.1},
        "blk.0.y": {"a": 3.0, "b": 0.1},
        "blk.1.x": {"a": 4.0, "b": 0.1},
    }
    bits = {"a": 1.0, "b": 2.0}
    found = allocate(costs, sizes, bits, 500, layer_group)
    assert [name for name, kind in found.items() if kind == "b"] == ["blk.0.x", "blk.1.x"]


def test_without_scores_bits_are_spread_evenly():
    costs = {name: dict.fromkeys(BITS, 0.0) for name in SIZES}
    found = allocate(costs, SIZES, BITS, 700 * 2.5)
    assert set(found.values()) == {"b"}


def test_too_few_bits_name_the_least():
    with pytest.raises(InputError, match=r"1.4 is too few, the least here is 1.5"):
        allocate(random_costs(0), SIZES, BITS, 1.4 * 700)


@given(st.integers(0, 10**6), st.floats(1.5, 8.0), st.sampled_from([own_group, layer_group]))
def test_budget_is_kept_and_no_better_upgrade_is_left(seed, bpw, group):
    costs, budget = random_costs(seed), bpw * 700
    found = allocate(costs, SIZES, BITS, budget, group)
    assert used(found) <= budget
    for name, kind in product(SIZES, BITS):
        changed = {**found, name: kind}
        if used(found) < used(changed) <= budget:
            assert objective(changed, costs, group) >= objective(found, costs, group)


@pytest.mark.parametrize("group", [own_group, layer_group])
def test_close_to_the_best_of_all_plans(group):
    ratios = []
    for seed in range(30):
        costs = random_costs(seed)
        plans = [dict(zip(SIZES, kinds, strict=True)) for kinds in product(BITS, repeat=len(SIZES))]
        best = min(objective(p, costs, group) for p in plans if used(p) <= 2100)
        ratios.append(objective(allocate(costs, SIZES, BITS, 2100, group), costs, group) / best)
    assert min(ratios) > 1 - 1e-9 and np.median(ratios) < 1.1
