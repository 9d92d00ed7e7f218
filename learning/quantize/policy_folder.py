"""Quantizes a whole policy folder: the transformer, and the convolutions, tables and head around it.

The rest of `rarrl_learning.quantize` knows transformers and chooses types; here is what lies around them. The quantized
folder is one like any other (`serve.py`): llama.cpp computes with the transformer's blocks as they are, the rest is
kept so in the file and unpacked to float32 when it is loaded. Needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rarrl.errors import InputError
from rarrl.files import read_file, sha256, write_bytes_atomic, write_json_atomic
from rarrl.llama import ggml
from rarrl.llama.gguf import read_gguf
from rarrl.policy.preset import FOLDER, load_preset
from rarrl.policy.relevance import FILE as RELEVANCE
from rarrl.policy.serve import CARD, GGUF, OUTER, STUDENTS, TYPES, load_card, load_outer, outer_shapes
from rarrl.policy.spec import PolicySpec
from rarrl.results import Figure, make_results, write_results

from ..policy.calibration import choose_frames, episodes_of
from ..policy.demonstrations import Demonstrations, load_demonstrations
from ..policy.model import PolicyModel, load_model
from ..progress import Progress
from .benchmark import round_to_nearest
from .calibration import split_episodes
from .methods import METHODS, options
from .quantize import Quantized, fitted, method_named, write_quantized
from .scores import ActionProbe, Curvature

TABLES = ("word.weight", "place", "slot")
"""Tables: a token's embedding is a row of them, so no matrix product is computed."""
TUNING_FRAMES = 3000  # for the method "aware"
NARROW = METHODS["rtn"].menu
"""For rows that are no whole blocks of the other types."""


@dataclass(frozen=True)
class PolicyInputs:
    """n frames as the network sees them.

    words: (n, max_words) int64; images: (n, cameras, size, size, 3) uint8; proprio: (n, p) float32, scaled; targets:
    (n, horizon, a) float32, the expert's chunk, scaled; episode: (n,), one number for each start of each task."""

    words: np.ndarray
    images: np.ndarray
    proprio: np.ndarray
    targets: np.ndarray
    episode: np.ndarray

    def select(self, rows: np.ndarray) -> PolicyInputs:
        """The frames of these indices."""
        return PolicyInputs(*(array[rows] for array in vars(self).values()))

    def split(self, frames: int, seed: int) -> tuple[PolicyInputs, PolicyInputs]:
        """About `frames` frames to calibrate with, and the frames of all other episodes. Raises: InputError."""
        used, others = split_episodes(self.episode, frames, seed)
        return self.select(used), self.select(others)


def policy_inputs(spec: PolicySpec, data: Demonstrations, count: int, seed: int) -> PolicyInputs:
    """`count` frames, as many of each task. Raises: InputError, see `choose_frames`."""
    chosen, instructions = choose_frames(spec, data, count, seed)
    return PolicyInputs(
        np.stack([spec.words(text) for text in instructions]),
        data.frames.images[chosen],
        spec.scale_proprio(data.frames.proprio[chosen]),
        spec.scale_actions(data.frames.chunks[chosen, : spec.horizon]),
        episodes_of(data, chosen),
    )


def tuning_inputs(spec: PolicySpec, data: Demonstrations, seed: int) -> PolicyInputs:
    """Up to `TUNING_FRAMES` frames for the method "aware", as many of each task as the task with the fewest has."""
    fewest = int(np.bincount(data.task).min())
    return policy_inputs(spec, data, min(TUNING_FRAMES, fewest * len(data.tasks)), seed)


class PolicyProbe(ActionProbe):
    """A whole policy on these frames."""

    def __init__(self, model: PolicyModel, inputs: PolicyInputs) -> None:
        self._policy = model
        self._words, self._images, self._proprio = map(torch.from_numpy, (inputs.words, inputs.images, inputs.proprio))
        self._tables = Curvature({}, {})
        super().__init__(model, matrices(model), inputs.targets)

    def entering(self) -> torch.Tensor:
        """See `ActionProbe`."""
        with torch.no_grad():
            return torch.cat([self._embedded(rows).mean(1) for rows in self._batches])

    def curvature(self, seed: int = 0) -> Curvature:
        """See `ActionProbe`; of a table, by the gradient of its rows where they entered."""
        self._tables = Curvature({}, {})
        found = super().curvature(seed)
        tables = self._tables.mean(len(self.targets))
        return Curvature(found.columns | tables.columns, found.weights | tables.weights)

    def _act(self, rows: torch.Tensor, traced: bool = False) -> torch.Tensor:
        x = self._embedded(rows, traced)
        if traced:
            x.register_hook(lambda gradient: self._add_tables(self._words[rows], gradient))
        return self._policy.act(self._policy.slots_after(x)[-1])

    def _embedded(self, rows: torch.Tensor, traced: bool = False) -> torch.Tensor:
        pictures = self._images[rows].permute(0, 1, 4, 2, 3).float() / 255 - 0.5
        proprio = self._proprio[rows]
        return self._policy.embed(self._words[rows], pictures.requires_grad_(traced), proprio.requires_grad_(traced))

    def _add_tables(self, words: torch.Tensor, gradient: torch.Tensor) -> None:
        of_words, of_pictures, rest = gradient.split(self._policy.spec.blocks, dim=1)
        for name, ids, g in (
            ("word.weight", words.flatten(), of_words.flatten(0, 1)),
            ("place", torch.arange(of_pictures.shape[1]).repeat(len(words)), of_pictures.flatten(0, 1)),
            ("slot", torch.arange(rest.shape[1] - 1).repeat(len(words)), rest[:, 1:].flatten(0, 1)),
        ):
            table = torch.zeros(self.weight(name).shape)
            self._tables.add(name, g.T @ g / len(table), table.index_add(0, ids, g.square()))


def matrices(model: PolicyModel) -> list[str]:
    """What may be quantized: all but norms, biases, and matrices whose rows are no whole blocks."""
    inner = [f"llama.{name}" for name in model.spec.llama.linears()]
    named = dict(model.named_parameters())
    outer = [name for name in outer_shapes(model.spec) if named[name].ndim > 1]
    fit = [name for name in outer if ggml.fits("Q8_0", named[name].flatten(1).shape[1])]
    return [*(name.removeprefix("llama.") for name in inner), *fit]


def policy_quantizer(
    folder: Path,
    inputs: PolicyInputs,
    method: str,
    progress: Progress | None = None,
    more: PolicyInputs | None = None,
) -> Callable[[float], Quantized]:
    """A function from bits per weight, all weights of the folder counted, to the policy as the method quantizes it.

    more: frames for the method "aware", which wants thousands; None: those of `inputs`.
    Raises: InputError, also of the result where the bits are too few."""
    recipe = method_named(method)
    model = load_model(folder)
    probe = PolicyProbe(model, inputs)
    shapes = {name: probe.weight(name).shape for name in probe.names()}
    narrow = options(shapes, NARROW)
    choices = {n: kinds if len(kinds) > 1 else narrow[n] for n, kinds in options(shapes, recipe.menu).items()}
    teacher = PolicyProbe(load_model(folder), more) if recipe.aware and more is not None else None
    at = fitted(recipe, probe, probe.weight, shapes, choices, progress, teacher)
    total, rest = _counted(folder, shapes)
    count = sum(rows * columns for rows, columns in shapes.values())

    return lambda bpw: at((bpw * total - rest) / count)


def rounded_to_nearest(folder: Path, bits: int) -> tuple[Quantized, float]:
    """Every matrix with its rows rounded to nearest, as float numbers, and the bits per weight that this would take:
    two float16 numbers a row beside `bits` for each weight."""
    model = load_model(folder)
    named = {n.removeprefix("llama."): p for n, p in model.named_parameters()}
    rounded = {}
    spent = 0.0
    for name in matrices(model):
        rows = named[name].detach().flatten(1).numpy()
        values = round_to_nearest(rows, bits).reshape(named[name].shape)
        rounded[name] = values.astype(np.float16 if name.startswith("blk.") else np.float32)
        spent += bits * rows.size + 32 * len(rows)
    total, rest = _counted(folder, rounded)
    return Quantized({}, {}, rounded, {}), (spent + rest) / total


def write_policy(out: Path, folder: Path, quantized: Quantized, facts: Mapping[str, Any]) -> None:
    """Writes a policy folder: `folder` in these types, with its scorer of patches and its presets, but for those with
    a transformer of their own; the card last.

    facts: how it was made, for the card.
    Raises: InputError where `out` is `folder`."""
    if out.resolve() == folder.resolve():
        raise InputError(f"out: {out} is the policy itself; name another folder")

    spec, hashes = load_card(folder)
    outer = load_outer(folder, spec, hashes)
    types = {name: kind for name, kind in quantized.types.items() if name in outer}
    out.mkdir(parents=True, exist_ok=True)
    write_quantized(out / GGUF, read_gguf(folder / GGUF), quantized)
    arrays = {n: quantized.blocks.get(n, quantized.norms.get(n, value)) for n, value in outer.items()}
    write_bytes_atomic(out / OUTER, save_safetensors(arrays, {TYPES: json.dumps(types)}))
    files = [GGUF, OUTER]
    if (folder / RELEVANCE).exists():
        write_bytes_atomic(out / RELEVANCE, read_file(folder / RELEVANCE, "policy"))
        files.append(RELEVANCE)
    for path in sorted((folder / FOLDER).glob("*.json")):
        if load_preset(folder, path.stem).gguf is None:
            write_bytes_atomic(out / FOLDER / path.name, path.read_bytes())
    card = json.loads(read_file(folder / CARD, "policy"))
    card.pop(STUDENTS, None)
    digests = {name: sha256((out / name).read_bytes()) for name in files}
    write_json_atomic(out / CARD, {**card, "quantized": dict(facts), "files": digests})


def policy_bpw(folder: Path) -> float:
    """Bits per weight of the tensors in a folder's files, all counted."""
    inner = read_gguf(folder / GGUF).tensors.values()
    outer = load_safetensors(read_file(folder / OUTER, "policy")).values()
    return (sum(t.bits for t in inner) + 8 * sum(array.nbytes for array in outer)) / _counted(folder, {})[0]


def quantize_policy(
    folder: Path,
    data: Sequence[Path],
    bpw: float,
    method: str,
    frames: int,
    seed: int,
    out: Path,
    report: Path | None,
    command: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """`rarrl quantize POLICY`: writes the folder `out`; returns the results document: sizes, the type of every tensor,
    and the change of the actions on as many frames of other episodes, with what is in the written files.

    Raises: InputError."""
    demonstrations = load_demonstrations(data)
    spec, _ = load_card(folder)
    used, others = policy_inputs(spec, demonstrations, 2 * frames, seed).split(frames, seed)
    more = tuning_inputs(spec, demonstrations, seed) if method_named(method).aware else None
    if more is not None:
        more = more.select(np.flatnonzero(~np.isin(more.episode, others.episode)))
    quantized = policy_quantizer(folder, used, method, progress, more)(bpw)
    facts = {"command": command, "method": method, "bpw": bpw, "frames": len(used.words), "seed": seed}
    write_policy(out, folder, quantized, {**facts, "data_sha256": demonstrations.digest})
    before, after = (PolicyProbe(load_model(path), others).reference for path in (folder, out))
    size = sum((out / name).stat().st_size for name in (GGUF, OUTER))
    figures = {
        "bpw": Figure(policy_bpw(out), "bits per weight, all of the policy"),
        "bytes": Figure(size, "bytes"),
        "action_error": Figure(float(np.abs(after - before).mean()), "the head's units", len(others.words)),
    }
    rows = [{"tensor": n, "type": kind, "bpw": ggml.bits_per_weight(kind)} for n, kind in quantized.types.items()]
    results = make_results(command, seed, figures, {"settings": facts, "tensors": rows})
    if report is not None:
        write_results(report, results)
    return results


def _counted(folder: Path, quantized: Container[str]) -> tuple[int, int]:
    """(weights of the whole policy, bits of those that are not quantized)."""
    spec, _ = load_card(folder)
    outer = {name: 32 * int(np.prod(shape)) for name, shape in outer_shapes(spec).items()}
    inner = read_gguf(folder / GGUF).tensors
    total = sum(bits // 32 for bits in outer.values()) + sum(int(np.prod(t.shape)) for t in inner.values())
    rest = sum(bits for name, bits in outer.items() if name not in quantized)
    return total, rest + sum(t.bits for name, t in inner.items() if name not in quantized)
