"""`rarrl bench quantize`: every method at every size on held-out frames, over models and calibration draws."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.llama import ggml
from rarrl.llama.gguf import Gguf, read_gguf
from rarrl.results import Figure, make_results, write_results

from ..progress import Progress
from .calibration import Calibration, load_calibration
from .methods import METHODS, Rounder, mean_bits, options, plan, quantizer, rounder
from .quantize import collect_statistics, costs_of, make_probe

OURS = "tuned"  # the method that the figures are about
# Methods with a curve of error against bits; "rtn" has its own table, and "aware" trains anew at each size.
COMPARED = tuple(name for name in METHODS if name not in ("rtn", "aware"))
WEIGHTS = {"plain": "plain", "imatrix": "imatrix", "fisher": "flat", "versions": "fisher", "compensated": "compensated"}
"""Ways to round a matrix in one given type -> a method that has it."""
RIVALS = ("plain", "imatrix", "fisher", "versions")  # what a user of one type for all can have
# Sizes at which every method chooses types, bits per weight: from the least that ggml has to nearly none lost.
BPW = (1.6, 2.0, 2.5, 3.0, 4.0, 8.0)
# Bits per weight of plain rounding to nearest, the baseline of textbooks.
ROUNDED_BITS = (2, 3, 4, 5, 6, 8)
PROBED = ("Q2_K",)  # types at which scores are held against the tensors' real errors
ABOVE = 0.25  # bits per weight by which a uniform type that ours is compared with may be larger
# What `measure` returns, by (what, at which type or size).
Errors = dict[tuple[str, Any], float]


def bench_quantize(
    folders: Sequence[Path],
    draws: int,
    frames: int,
    held_out: int,
    seed: int,
    json: Path | None,
    command: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures all methods on the models of these folders (model.gguf and calibration.safetensors in each).

    Args:
        draws: of the calibration frames, for each model
        frames: to calibrate with, in each draw
        held_out: frames of other episodes, on which every error is measured

    Returns: the results document. Error: mean absolute change of the actions against the unquantized model, in the
    units of the head's output.
    Raises: InputError."""
    models = []
    for folder in folders:
        gguf = read_gguf(folder / "model.gguf")
        # Kept in memory: every tensor in every type is asked for many times.
        plain = functools.cache(rounder(quantizer(functools.cache(gguf.values), {}, {}), gguf.shape.linears()))
        models.append((gguf, plain, load_calibration(folder)))

    measured: list[tuple[int, Errors]] = []
    for draw in range(draws):
        for model, (gguf, plain, calibration) in enumerate(models):
            measured.append((model, measure(gguf, plain, calibration, frames, held_out, seed + draw)))
            tables = {
                "models": [_facts(folder) for folder in folders],
                "frames": {"calibration": frames, "held_out": held_out},
                **_tables(measured),
            }
            results = make_results(command, seed, summarise(measured, seed), tables)
            if json is not None:
                write_results(json, results)  # after each draw: an interrupted run keeps what it measured
            if progress is not None:
                progress(len(measured), f"{folders[model].name}, draw {draw + 1} of {draws}")

    return results


def measure(gguf: Gguf, plain: Rounder, calibration: Calibration, frames: int, held_out: int, seed: int) -> Errors:
    """One model, one draw: ("uniform imatrix", type), (method, bpw), ("rtn", bits) -> held-out action error;
    ("rank of measured", "") -> how well the scores order the tensors.

    Args:
        plain: the weights rounded without an importance, which are the same for all draws
    """
    used, others = calibration.split(frames, seed)
    probe = make_probe(gguf, used)
    judge = make_probe(gguf, others.select(np.arange(min(held_out, len(others)))))
    shapes = gguf.shape.linears()
    choices = options(shapes, ggml.MENU)

    statistics = {by: collect_statistics(METHODS[method], probe) for by, method in WEIGHTS.items()}
    rounded = {"plain": plain}
    for by in WEIGHTS.keys() - rounded.keys():
        found = statistics[by]
        blocks = quantizer(probe.weight, found.importance, found.columns, METHODS[WEIGHTS[by]].rounding)
        rounded[by] = functools.cache(rounder(blocks, shapes))
    errors: Errors = {}

    def weights_of(types: Mapping[str, str], by: str) -> dict[str, np.ndarray]:
        return {name: rounded[by](name, kind) for name, kind in types.items()}

    for by in WEIGHTS:
        for kind in ggml.MENU:
            errors[f"uniform {by}", kind] = judge.error(weights_of(dict.fromkeys(shapes, kind), by))
    for bits in ROUNDED_BITS:
        weights = {name: round_to_nearest(probe.weight(name), bits) for name in shapes}
        errors["rtn", bits] = judge.error(weights)
    real = {(n, k): judge.error({n: rounded["fisher"](n, k)}) for n in shapes for k in PROBED}
    rounded_by = {name: by for by, name in WEIGHTS.items()} | {OURS: "compensated", "actquant": "fisher"}
    for method, by in rounded_by.items():
        recipe = METHODS[method]
        costs = costs_of(recipe, probe, choices, rounded[by], statistics[by])
        for bpw in BPW:
            types = plan(recipe, costs, shapes, bpw)
            weights = weights_of(types, by)
            errors[method, bpw] = judge.error({**weights, **(probe.tuned_norms(weights, seed) if recipe.tuned else {})})
            errors[f"bpw of {method}", bpw] = mean_bits(types, shapes)
        if recipe.score and not recipe.tuned:
            ranks = [rank_correlation([costs[n][k] for n in shapes], [real[n, k] for n in shapes]) for k in PROBED]
            errors[f"rank of {method}", ""] = float(np.mean(ranks))

    return errors


def round_to_nearest(weights: np.ndarray, bits: int) -> np.ndarray:
    """Every row rounded to 2^bits even steps between its least and its largest weight."""
    low, high = weights.min(1, keepdims=True), weights.max(1, keepdims=True)
    step = np.maximum(high - low, 1e-12) / (2**bits - 1)
    return (np.round((weights - low) / step) * step + low).astype(np.float32)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rho; ties in order of position."""
    return float(np.corrcoef(np.argsort(np.argsort(a, kind="stable")), np.argsort(np.argsort(b, kind="stable")))[0, 1])


def uniform_at(errors: Errors, bpw: float) -> float:
    """The least error of the uniform types of `bpw` to `bpw + ABOVE` bits, with any importance, not compensated."""
    kinds = [kind for kind in ggml.MENU if bpw <= ggml.bits_per_weight(kind) <= bpw + ABOVE]
    return min(errors[f"uniform {by}", kind] for by in RIVALS for kind in kinds)


def summarise(measured: Sequence[tuple[int, Errors]], seed: int) -> dict[str, Figure]:
    """The figures: mean over models and draws, with intervals over both (models first, then their draws)."""

    def figure(value: Callable[[Errors], float], unit: str = "ratio") -> Figure:
        groups: dict[int, list[float]] = {}
        for model, errors in measured:
            groups.setdefault(model, []).append(value(errors))
        lo, hi = interval(list(groups.values()), seed)
        return Figure(float(np.mean([np.mean(g) for g in groups.values()])), unit, len(measured), lo, hi)

    figures = {
        "error_ratio_uniform_2p5": figure(lambda e: e[OURS, 2.5] / uniform_at(e, 2.5)),
        "error_ratio_uniform_3": figure(lambda e: e[OURS, 3.0] / uniform_at(e, 3.0)),
        "error_ratio_flat_3": figure(lambda e: e[OURS, 3.0] / e["flat", 3.0]),
        "error_ratio_compensated_imatrix": figure(
            lambda e: float(np.mean([e["uniform compensated", k] / e["uniform imatrix", k] for k in ggml.MENU]))
        ),
        "error_ratio_imatrix": figure(
            lambda e: float(np.mean([e["uniform versions", k] / e["uniform imatrix", k] for k in ggml.MENU]))
        ),
        "error_ratio_bare_imatrix": figure(
            lambda e: float(np.mean([e["uniform fisher", k] / e["uniform imatrix", k] for k in ggml.MENU]))
        ),
        "error_ratio_compensated_3": figure(lambda e: e[OURS, 3.0] / e["compensated", 3.0]),
        "error_ratio_actquant_3": figure(lambda e: e[OURS, 3.0] / e["actquant", 3.0]),
        "error_ratio_fisher_3": figure(lambda e: e[OURS, 3.0] / e["fisher", 3.0]),
    }

    for method in COMPARED:
        if METHODS[method].score and not METHODS[method].tuned:
            figures[f"rank_{method}"] = figure(lambda e, m=method: e[f"rank of {m}", ""], "Spearman")  # type: ignore[misc]
    return figures


def interval(groups: Sequence[Sequence[float]], seed: int, rounds: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of the groups' means: groups are drawn, then values within them."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(rounds):
        chosen = [np.asarray(groups[i]) for i in rng.integers(len(groups), size=len(groups))]
        means.append(np.mean([rng.choice(g, len(g)).mean() for g in chosen]))
    lo, hi = np.percentile(means, (2.5, 97.5))
    return float(lo), float(hi)


def _tables(measured: Sequence[tuple[int, Errors]]) -> dict[str, Any]:
    def mean(key: tuple[str, Any]) -> float:
        return float(np.mean([errors[key] for _, errors in measured]))

    uniform = [
        {"type": k, "bpw": ggml.bits_per_weight(k), **{by: mean((f"uniform {by}", k)) for by in WEIGHTS}}
        for k in ggml.MENU
    ]
    curves = {m: [{"bpw": mean((f"bpw of {m}", b)), "error": mean((m, b))} for b in BPW] for m in COMPARED}
    rounded = [{"bits": bits, "error": mean(("rtn", bits))} for bits in ROUNDED_BITS]
    each = [
        {"model": model, **{f"{m} {b}": e[m, b] for m in COMPARED for b in (2.0, 2.5, 3.0)}} for model, e in measured
    ]

    return {"uniform": uniform, "curves": curves, "round_to_nearest": rounded, "draws": each}


def _facts(folder: Path) -> dict[str, Any]:
    from rarrl.files import sha256
    from rarrl.strict_json import parse_json

    card = folder / "card.json"
    facts = parse_json(card.read_bytes(), "card", str(card)) if card.is_file() else {}
    return {"name": folder.name, "sha256": sha256((folder / "model.gguf").read_bytes()), **facts}
