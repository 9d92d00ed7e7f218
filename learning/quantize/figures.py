"""Pictures of quantization: the types of a model's tensors, and error against bits for all methods."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.files import write_bytes_atomic
from rarrl.llama import ggml
from rarrl.llama.shape import LINEARS


def draw_types(path: Path, types: Mapping[str, str], title: str) -> None:
    """Writes a PNG: a row for each block, a column for each linear layer, coloured by bits per weight."""
    plt = _pyplot()
    layers = 1 + max(int(name.split(".")[1]) for name in types)

    bits = np.full((layers, len(LINEARS)), np.nan)
    figure, axes = plt.subplots(figsize=(8, 1.6 + 0.4 * layers), constrained_layout=True)
    for name, kind in types.items():
        _, layer, linear, _ = name.split(".")
        bits[int(layer), LINEARS.index(linear)] = ggml.bits_per_weight(kind)
        axes.text(LINEARS.index(linear), int(layer), kind, ha="center", va="center", fontsize=8)

    image = axes.imshow(bits, cmap="YlGnBu", vmin=1.5, vmax=10, aspect="auto")
    axes.set_xticks(range(len(LINEARS)), LINEARS, fontsize=8)
    axes.set_yticks(range(layers))
    axes.set_ylabel("block")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, label="bits per weight")
    _save(plt, figure, path)


def draw_curves(path: Path, tables: Mapping[str, Any]) -> None:
    """Writes a PNG of the tables of `rarrl bench quantize`: methods as lines, uniform types as marks."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 5), constrained_layout=True)
    for method, points in tables["curves"].items():
        axes.plot([p["bpw"] for p in points], [p["error"] for p in points], label=method, marker=".", ms=4)
    for by, mark in (("plain", "s"), ("imatrix", "^"), ("fisher", "o"), ("compensated", "D")):
        rows = tables["uniform"]
        label = f"one type for all, {by}"
        axes.plot([r["bpw"] for r in rows], [r[by] for r in rows], mark, ms=4, alpha=0.5, label=label)

    rows = tables["round_to_nearest"]
    axes.plot([r["bits"] for r in rows], [r["error"] for r in rows], "kx", label="rows rounded to nearest")
    axes.set(xlabel="bits per weight", ylabel="change of the actions (mean, held out)", xscale="log", yscale="log")
    axes.set_xticks([1.5, 2, 2.5, 3, 4, 5, 6, 8], ["1.5", "2", "2.5", "3", "4", "5", "6", "8"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(plt, figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(plt: Any, figure: Any, path: Path) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    plt.close(figure)
    write_bytes_atomic(path, stream.getvalue())
