"""From a model and calibration frames to a quantized file and a report on it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.llama import ggml
from rarrl.llama.check import check_in_child
from rarrl.llama.gguf import Gguf, read_gguf, write_gguf
from rarrl.llama.runtime import LlamaRuntime

from ..progress import Progress
from .allocate import Costs
from .calibration import Calibration
from .methods import METHODS, Blocks, Method, Rounder, mean_bits, options, plan, quantizer, rounder, type_costs

if TYPE_CHECKING:
    from .scores import ActionProbe, Probe

TABLE_TYPE = "Q6_K"  # of the token table and the output layer, as llama.cpp does; they are outside the bit budget
# Types of a model that is not quantized yet.
FULL = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Quantized:
    """types: of every linear layer; costs: what the allocation minimised; blocks: the rounded weights, by tensor;
    norms: gains, and biases of a policy folder, that differ from the model's."""

    types: dict[str, str]
    costs: Costs
    blocks: Mapping[str, np.ndarray]
    norms: Mapping[str, np.ndarray]


def quantize_model(
    gguf: Gguf, calibration: Calibration | None, bpw: float, method: str, progress: Progress | None = None
) -> Quantized:
    """Chooses the types and rounds the weights; `write_quantized` then writes the file.

    Args:
        calibration: frames to calibrate with; None only for the methods "plain" and "rtn"
        bpw: at most so many bits per weight, over the linear layers of the blocks

    Raises: InputError, DependencyMissingError (torch, llama.cpp, gguf)."""
    return quantize_to(gguf, calibration, method, progress)(bpw)


def quantize_to(
    gguf: Gguf, calibration: Calibration | None, method: str, progress: Progress | None = None
) -> Callable[[float], Quantized]:
    """`quantize_model` for any number of sizes: the calibration does not depend on them."""
    recipe = method_named(method)
    shapes = gguf.shape.linears()
    check_in_child(gguf.path)
    quantized = [name for name in shapes if gguf.tensors[name].type not in FULL]
    if quantized:
        kind = gguf.tensors[quantized[0]].type
        raise InputError(f"{gguf.path}: {quantized[0]} is {kind} already; quantize the F16 or F32 model")

    choices = options(shapes, recipe.menu)
    unfit = [name for name, kinds in choices.items() if not kinds]
    if unfit:
        raise InputError(f"{gguf.path}: rows of {unfit[0]} fit no type; widths must be multiples of 32")

    probe = None
    if recipe.importance or recipe.score:
        if calibration is None:
            raise InputError(f"method {method}: needs calibration frames; give --calibration or --method plain")
        probe = make_probe(gguf, calibration)

    return fitted(recipe, probe, gguf.values, shapes, choices, progress)


def fitted(
    recipe: Method,
    probe: ActionProbe | None,
    weight: Callable[[str], np.ndarray],
    shapes: Mapping[str, tuple[int, int]],
    choices: Mapping[str, list[str]],
    progress: Progress | None = None,
    teacher: ActionProbe | None = None,
) -> Callable[[float], Quantized]:
    """A function from bits per weight to these matrices as the method quantizes them.

    Args:
        probe: None where the method needs none
        weight: name -> matrix
        choices: the types that each may have
        teacher: the unquantized policy on frames to distil it from, for the method "aware"; None: `probe`"""
    statistics = collect_statistics(recipe, probe) if probe is not None else CalibrationStatistics()
    streamed = quantizer(weight, statistics.importance, statistics.columns, recipe.rounding)
    blocks = functools.cache(streamed)
    rounded = rounder(blocks, shapes)
    costs = costs_of(recipe, probe, choices, rounded, statistics, progress)

    def quantized_to(bpw: float) -> Quantized:
        types = plan(recipe, costs, shapes, bpw)
        if recipe.score in (None, "hsic") and not recipe.tuned:
            return Quantized(types, costs, _Streamed(streamed, types), {})
        weights = {name: rounded(name, kind) for name, kind in types.items()} if recipe.tuned else {}
        norms = probe.tuned_norms(weights) if recipe.tuned and probe else {}
        found = {name: blocks(name, kind) for name, kind in types.items()}
        if recipe.aware and probe:
            from .aware import tune

            found, norms = tune(teacher or probe, probe, types, found, norms, statistics.importance)
        return Quantized(types, costs, found, norms)

    return quantized_to


class _Streamed(Mapping[str, np.ndarray]):
    """Blocks that are made when they are asked for, and not kept: a large model goes through memory by tensors."""

    def __init__(self, blocks: Blocks, types: Mapping[str, str]) -> None:
        self._blocks, self._types = blocks, types

    def __getitem__(self, name: str) -> np.ndarray:
        return self._blocks(name, self._types[name])

    def __contains__(self, name: object) -> bool:
        return name in self._types  # Mapping's own would make them

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)


def make_probe(gguf: Gguf, calibration: Calibration) -> Probe:
    """The policy in torch on these frames.

    Raises: DependencyMissingError without torch; InputError."""
    try:
        from .scores import Probe
    except ImportError:
        raise DependencyMissingError("calibrating needs torch: pip install 'rarrl[train]'") from None
    return Probe(gguf, calibration)


@dataclass(frozen=True)
class CalibrationStatistics:
    """What calibration frames say of each tensor: the importance of its weights, the curvature of its columns."""

    importance: Mapping[str, np.ndarray] = field(default_factory=dict)
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)


def collect_statistics(method: Method, probe: ActionProbe) -> CalibrationStatistics:
    """The importance and the curvature that the method asks for."""
    from . import scores

    importances = {"fisher": scores.fisher, "imatrix": scores.mean_square_input}
    if method.rounding is None:
        return (
            CalibrationStatistics(importances[method.importance](probe))
            if method.importance
            else CalibrationStatistics()
        )

    curvature = probe.curvature()
    importance = curvature.weights if method.importance == "curvature" else importances[str(method.importance)](probe)
    return CalibrationStatistics(importance, curvature.columns)


def costs_of(
    method: Method,
    probe: ActionProbe | None,
    choices: Mapping[str, list[str]],
    rounded: Rounder,
    statistics: CalibrationStatistics,
    progress: Progress | None = None,
) -> Costs:
    """What each type of each tensor costs, by the method's score; a method without one needs no probe."""
    if method.score is None or probe is None:
        return type_costs(choices, None)

    from . import scores

    if method.score == "hsic":
        return type_costs(choices, scores.hsic_sensitivity(probe))
    if method.score == "fisher":
        return scores.fisher_errors(probe, statistics.importance, rounded, choices, progress)

    return scores.curvature_errors(probe, statistics.columns, rounded, choices, progress)


def write_quantized(path: Path, gguf: Gguf, quantized: Quantized) -> None:
    """Writes the model in its new types, metadata as they were.

    The file is in its place only once it was read back and llama.cpp has computed with it.
    Raises: InputError where it cannot be; nothing is left then."""
    layout = {}
    for name, tensor in gguf.tensors.items():
        kind = quantized.types.get(name, tensor.type)
        large = name in ("token_embd.weight", "output.weight") and tensor.shape[0] >= 256  # a real vocabulary
        if large and tensor.type in FULL and ggml.fits(TABLE_TYPE, tensor.shape[1]):
            kind = TABLE_TYPE
        layout[name] = (kind, tensor.shape)

    def data(name: str) -> np.ndarray:
        kind = layout[name][0]
        if name in quantized.blocks:
            return quantized.blocks[name]
        if name in quantized.norms:
            return quantized.norms[name]
        same = kind == gguf.tensors[name].type
        return gguf.tensors[name].data if same else ggml.quantize(kind, gguf.values(name))

    # llama.cpp reads general.file_type for display alone; the old one would be wrong.
    metadata = {key: entry for key, entry in gguf.metadata.items() if key != "general.file_type"}
    unchecked = path.with_name(f".{path.name}.unchecked")
    try:
        write_gguf(unchecked, metadata, layout, data)
        read_gguf(unchecked)
        check_in_child(unchecked)
        os.replace(unchecked, path)
    finally:
        unchecked.unlink(missing_ok=True)


def sizes(gguf: Gguf, types: Mapping[str, str]) -> dict[str, float]:
    """Bits per weight of a written file: its linear layers, its blocks with their norms, and all of it."""

    def mean(names: list[str]) -> float:
        bits = sum(8 * gguf.tensors[name].data.nbytes for name in names)
        return bits / sum(int(np.prod(gguf.tensors[name].shape)) for name in names)

    everything = sum(int(np.prod(tensor.shape)) for tensor in gguf.tensors.values())
    return {
        "bpw_linears": mean_bits(types, gguf.shape.linears()),
        "bpw_blocks": mean([name for name in gguf.tensors if name.startswith("blk.")]),
        "bpw_file": 8 * gguf.path.stat().st_size / everything,
    }


def report(original: Gguf, path: Path, quantized: Quantized, held_out: Calibration | None) -> dict[str, Any]:
    """What became of the model: sizes, the action errors on frames that the calibration did not see (in torch with
    the weights of the file, and in llama.cpp itself), errors by layer, and a row for every tensor."""
    small = read_gguf(path)
    found: dict[str, Any] = {**sizes(small, quantized.types), "bytes": path.stat().st_size}

    rows = []
    probe = make_probe(original, held_out) if held_out is not None else None
    for name, kind in quantized.types.items():
        row = {"tensor": name, "type": kind, "bpw": ggml.bits_per_weight(kind), "cost": quantized.costs[name][kind]}
        if probe is not None:
            row["action_error_alone"] = probe.error({name: small.values(name)})
        rows.append(row)

    found["tensors"] = rows
    if probe is not None and held_out is not None:
        weights = {name: small.values(name) for name in (*quantized.types, *quantized.norms)}
        found["action_error"] = probe.error(weights)
        found["action_error_of_layer"] = [
            probe.error({name: w for name, w in weights.items() if name.startswith(f"blk.{layer}.")})
            for layer in range(original.shape.layers)
        ]
        found["action_error_llama_cpp"] = float(np.abs(llama_cpp_actions(path, held_out) - probe.reference).mean())

    return found


def llama_cpp_actions(path: Path, calibration: Calibration) -> np.ndarray:
    """(frames, chunk, action) of the frames in llama.cpp, as a robot would compute them."""
    import torch

    from .scores import head_function

    head = head_function(calibration.head)

    rows = calibration.targets.shape[1]
    chunks = []
    with LlamaRuntime(path, calibration.inputs.shape[1]) as runtime:
        for x in calibration.inputs:
            runtime.forget()
            parts = np.split(x, np.cumsum(calibration.blocks)[:-1])
            hidden = np.concatenate([runtime.decode(part) for part in parts])[calibration.first_action :].reshape(
                rows, -1
            )
            chunks.append(head(torch.from_numpy(hidden)).numpy())

    return np.stack(chunks)


def method_named(name: str) -> Method:
    """Raises: InputError."""
    if name not in METHODS:
        raise InputError(f"method: {name!r} is not one of {', '.join(METHODS)}")
    return METHODS[name]
