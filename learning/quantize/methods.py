"""The table of quantization methods: how weights are rounded, and what decides the type of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rarrl.llama import ggml

from . import candidates, compensate
from .allocate import Costs, allocate, layer_group, own_group

Blocks = Callable[[str, str], np.ndarray]
"""(name of a linear layer's tensor, type) -> its ggml blocks, (outputs, bytes of a row) uint8."""
Rounder = Callable[[str, str], np.ndarray]
"""As `Blocks`, but what the blocks stand for: (outputs, inputs) float32."""
Rounding = Callable[[str, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(type, weights, importance, curvature of the columns) -> blocks: what a method does with a row besides ggml's own."""


@dataclass(frozen=True)
class Method:
    """importance: of the weights within a tensor: "curvature", "fisher", "imatrix" or None; score: of a tensor:
    "curvature", "fisher", "hsic" or None (all alike); rounding: None: ggml's own; menu: types to choose from; tuned:
    the norms' gains are fitted to the rounded weights; aware: all weights are, through the rounding (`aware.py`)."""

    importance: str | None
    score: str | None
    text: str
    rounding: Rounding | None = None
    menu: tuple[str, ...] = ggml.MENU
    tuned: bool = False
    aware: bool = False


METHODS = {
    "aware": Method(
        "curvature",
        "curvature",
        "as tuned, then all weights distilled from the unquantized policy, through the rounding",
        compensate.quantize,
        tuned=True,
        aware=True,
    ),
    "tuned": Method(
        "curvature",
        "curvature",
        "as compensated, then norms tuned to the rounded weights",
        compensate.quantize,
        tuned=True,
    ),
    "compensated": Method(
        "curvature", "curvature", "types by the action error left after compensation within rows", compensate.quantize
    ),
    "fisher": Method(
        "fisher",
        "fisher",
        "types by Fisher-weighted error, each row the best of candidates by Fisher",
        candidates.quantize,
    ),
    "actquant": Method("fisher", "hsic", "types by HSIC sensitivity, weights by Fisher (arXiv 2605.24011)"),
    "flat": Method("fisher", None, "types without scores, weights by Fisher"),
    "imatrix": Method("imatrix", None, "types without scores, weights by llama.cpp's importance matrix"),
    "plain": Method(None, None, "types without scores, weights all alike; needs no calibration"),
    "rtn": Method(None, None, "round to nearest in blocks of 32 (Q4_0, Q5_0, Q8_0)", menu=("Q4_0", "Q5_0", "Q8_0")),
}


def quantizer(
    weight: Callable[[str], np.ndarray],
    importance: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray],
    rounding: Rounding | None = None,
) -> Blocks:
    """Quantizes when asked: plainly where a tensor has no importance.

    columns: curvature, for the rounding alone."""

    def blocks(name: str, kind: str) -> np.ndarray:
        if rounding is not None:
            return rounding(kind, weight(name), importance[name], columns[name])
        return ggml.quantize(kind, weight(name), importance.get(name))

    return blocks


def rounder(blocks: Blocks, shapes: Mapping[str, tuple[int, int]]) -> Rounder:
    """What those blocks stand for."""
    return lambda name, kind: ggml.dequantize(kind, blocks(name, kind), shapes[name][1])


def options(shapes: Mapping[str, tuple[int, int]], menu: Iterable[str]) -> dict[str, list[str]]:
    """The types that each tensor can have; Q8_0 where its rows are not whole blocks of any."""
    menu = list(menu)
    return {name: [k for k in menu if ggml.fits(k, columns)] for name, (_, columns) in shapes.items()}


def type_costs(choices: Mapping[str, list[str]], score: Mapping[str, float] | None) -> Costs:
    """Costs from the bits alone: the size of a type's rounding noise, 2^-bpw, the same for all tensors; with a score
    ActQuant's score * 2^(-2 bpw), where a negative score counts as zero."""
    bits = ggml.bits_per_weight
    if score is None:
        return {name: {kind: 2 ** -bits(kind) for kind in kinds} for name, kinds in choices.items()}
    return {name: {k: max(score[name], 0) * 4 ** -bits(k) for k in kinds} for name, kinds in choices.items()}


def plan(method: Method, costs: Costs, shapes: Mapping[str, tuple[int, int]], bpw: float) -> dict[str, str]:
    """A type for every linear layer, at most `bpw` bits per weight over all of them.

    Raises: InputError."""
    weights = {name: rows * columns for name, (rows, columns) in shapes.items()}
    bits = {kind: ggml.bits_per_weight(kind) for kinds in costs.values() for kind in kinds}
    group = layer_group if method.score == "hsic" else own_group
    return allocate(costs, weights, bits, bpw * sum(weights.values()), group)


def mean_bits(types: Mapping[str, str], shapes: Mapping[str, tuple[int, int]]) -> float:
    """Bits per weight over all tensors of the plan."""
    sizes = {name: rows * columns for name, (rows, columns) in shapes.items()}
    return sum(ggml.bits_per_weight(types[name]) * size for name, size in sizes.items()) / sum(sizes.values())
