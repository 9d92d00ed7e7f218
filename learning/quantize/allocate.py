"""Chooses a type for every tensor within a budget of bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rarrl.errors import InputError

# Tensor -> type -> cost, not negative.
Costs = Mapping[str, Mapping[str, float]]


def own_group(name: str) -> str:
    """Every tensor errs on its own: the squares of the costs add up."""
    return name


def layer_group(name: str) -> str:
    """The costs of a layer's tensors add up before they are squared (ActQuant)."""
    return name.rpartition(".")[0].rpartition(".")[0]


def allocate(
    costs: Costs,
    weights: Mapping[str, int],
    bits_per_weight: Mapping[str, float],
    budget: float,
    group: Callable[[str], str] = own_group,
) -> dict[str, str]:
    """A type for every tensor, greedily: minimises the sum over groups of (sum of the group's costs)^2.

    All start at their cheapest type. Then, again and again, the upgrade that lowers the objective most per added bit
    among those that fit the budget; an upgrade may skip types, since a larger type is not always a better one. Every
    candidate is computed again at each step: a gain changes when another tensor of its group is upgraded. Of equal
    gains the tensor with the fewest bits per weight is first.

    Args:
        costs: name -> type -> cost, not negative; the types are those that the tensor may have
        weights: name -> number of weights
        bits_per_weight: of each type
        budget: in bits, for all tensors together

    Raises: InputError where the budget does not hold the cheapest types."""
    chosen = {name: min(options, key=bits_per_weight.__getitem__) for name, options in costs.items()}
    left = budget - sum(weights[name] * bits_per_weight[kind] for name, kind in chosen.items())
    if left < 0:
        lowest = (budget - left) / sum(weights.values())
        raise InputError(f"bpw: {budget / sum(weights.values()):.4g} is too few, the least here is {lowest:.4g}")

    totals: dict[str, float] = {}
    for name, kind in chosen.items():
        totals[group(name)] = totals.get(group(name), 0.0) + costs[name][kind]
    while True:
        best = None
        best_key = (0.0, -float("inf"))
        for name, now in chosen.items():
            total = totals[group(name)]
            for kind, cost in costs[name].items():
                added = weights[name] * (bits_per_weight[kind] - bits_per_weight[now])
                if not 0 < added <= left:
                    continue
                after = total - costs[name][now] + cost
                key = ((total**2 - after**2) / added, -bits_per_weight[now])
                if key > best_key:
                    best = (name, kind, added, after)
                    best_key = key

        if best is None:
            return chosen
        name, kind, added, after = best
        chosen[name] = kind
        totals[group(name)] = after
        left -= added
