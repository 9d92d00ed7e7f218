"""Calibration frames of a policy: embeddings in, expert actions out, and the head between; and their file."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.files import MAX_WEIGHTS_BYTES, read_file, write_bytes_atomic
from rarrl.strict_json import parse_json

FILE = "calibration.safetensors"
# What a head may have between its layers, by the names of torch.nn.functional.
ACTIVATIONS = ("gelu", "relu", "silu", "tanh")


@dataclass(frozen=True)
class Head:
    """A small MLP from hidden states to actions.

    weights: pairs of (outputs, inputs) and (outputs,) float32; activation: between them, none after the last."""

    weights: tuple[tuple[np.ndarray, np.ndarray], ...]
    activation: str = "gelu"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise InputError(f"head activation: {self.activation!r} is not one of {', '.join(ACTIVATIONS)}")
        sizes = [w.shape for w, _ in self.weights]
        fits = all(w.ndim == 2 and b.shape == w.shape[:1] for w, b in self.weights)
        if not fits or not sizes or any(a[0] != b[1] for a, b in itertools.pairwise(sizes)):
            raise InputError(f"head: layers do not fit one another: {sizes}; each is (outputs, inputs) with a bias")


@dataclass(frozen=True)
class Calibration:
    """Frames of a policy.

    inputs: (frames, tokens, width) float32 embeddings, all sequences of one length
    targets: (frames, chunk, action) float32: the expert's actions, in the units of the head's output
    blocks: tokens of each block; a token sees its own block and those before it (`torch_llama.block_mask`)
    first_action: position of the first action token; the action tokens are the last of the sequence. Their hidden
        states, chunk-wise concatenated where there are several to a row, go through the head.
    episode: (frames,) int: frames of one episode are never split between calibration and held-out ones
    """

    inputs: np.ndarray
    targets: np.ndarray
    head: Head
    blocks: tuple[int, ...]
    first_action: int
    episode: np.ndarray

    def __post_init__(self) -> None:
        if self.inputs.ndim != 3 or self.targets.ndim != 3 or min(self.inputs.shape + self.targets.shape) < 1:
            raise InputError(
                "calibration: inputs must be (frames, tokens, width) and targets (frames, chunk, action), "
                f"got {self.inputs.shape} and {self.targets.shape}"
            )

        (frames, tokens, width), (rows, chunk, action) = self.inputs.shape, self.targets.shape
        if rows != frames or self.episode.shape != (frames,):
            raise InputError(f"calibration: {frames} inputs, {rows} targets, {self.episode.shape} episodes: one each")
        if min(self.blocks, default=0) < 1 or sum(self.blocks) != tokens or not 0 <= self.first_action < tokens:
            raise InputError(
                f"calibration: blocks {self.blocks} or first_action {self.first_action} do not fit {tokens} tokens"
            )
        if (tokens - self.first_action) % chunk:
            raise InputError(f"calibration: {tokens - self.first_action} action tokens for {chunk} rows; whole numbers")

        asked = ((tokens - self.first_action) // chunk * width, action)
        found = (self.head.weights[0][0].shape[1], self.head.weights[-1][0].shape[0])
        if asked != found:
            raise InputError(f"calibration: the head must map {asked} numbers (in, out), it maps {found}")
        if not (np.isfinite(self.inputs).all() and np.isfinite(self.targets).all()):
            raise InputError("calibration: inputs and targets must be finite")

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, frames: np.ndarray) -> Calibration:
        """The frames of these indices."""
        return Calibration(
            self.inputs[frames], self.targets[frames], self.head, self.blocks, self.first_action, self.episode[frames]
        )

    def split(self, frames: int, seed: int) -> tuple[Calibration, Calibration]:
        """About `frames` frames to calibrate with, and the frames of all other episodes to judge by.

        Raises: InputError where no episode would be left to judge by."""
        used, others = split_episodes(self.episode, frames, seed)
        return self.select(used), self.select(others)


def split_episodes(episode: np.ndarray, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of about `frames` frames to calibrate with, and of the frames of all other episodes.

    Raises: InputError where no episode would be left to judge by."""
    rng = np.random.default_rng(seed)
    episodes = rng.permutation(np.unique(episode))
    counts = np.cumsum([(episode == e).sum() for e in episodes])
    taken = 1 + int(np.searchsorted(counts, frames))
    if taken >= len(episodes):
        raise InputError(f"calibration: {frames} of {len(episode)} frames leave no episode to judge by; ask for fewer")

    chosen = np.isin(episode, episodes[:taken])
    return np.flatnonzero(chosen)[:frames], np.flatnonzero(~chosen)


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Writes `calibration.safetensors`; inputs as float16, which is far below what quantization changes."""
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {
        "inputs": calibration.inputs.astype(np.float16),
        "targets": calibration.targets.astype(np.float32),
        "episode": calibration.episode.astype(np.int64),
    }
    for i, (weight, bias) in enumerate(calibration.head.weights):
        arrays |= {f"head.{i}.weight": weight.astype(np.float32), f"head.{i}.bias": bias.astype(np.float32)}
    facts = {
        "blocks": calibration.blocks,
        "first_action": calibration.first_action,
        "activation": calibration.head.activation,
    }
    write_bytes_atomic(folder / FILE, save(arrays, metadata={"calibration": json.dumps(facts)}))


def load_calibration(folder: Path) -> Calibration:
    """Reads what `save_calibration` wrote.

    Raises: InputError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / FILE
    data = read_file(path, "calibration", MAX_WEIGHTS_BYTES)
    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"calibration: {path} is not a safetensors file ({error}); record it again") from None

    facts = _facts(path, header)
    try:
        layers = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("head.")})
        pairs = [(arrays[f"head.{i}.weight"], arrays[f"head.{i}.bias"]) for i in layers]
        head = Head(tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in pairs), facts["activation"])
        inputs = arrays["inputs"].astype(np.float32)
        targets = arrays["targets"].astype(np.float32)
        episode = arrays.get("episode", np.arange(len(inputs)))
        return Calibration(inputs, targets, head, tuple(facts["blocks"]), facts["first_action"], episode)
    except (KeyError, ValueError) as error:
        raise InputError(f"calibration: {path} lacks {error}; record it again") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _facts(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    about = header.get("__metadata__")
    told = about.get("calibration", "{}") if isinstance(about, dict) else "{}"
    facts = parse_json(str(told).encode("utf-8", "replace"), "calibration", str(path))
    whole = isinstance(facts, dict) and isinstance(facts.get("blocks"), list)
    whole = whole and all(type(number) is int for number in [*facts["blocks"], facts.get("first_action")])
    if not whole or facts.get("activation") not in ACTIVATIONS:
        raise InputError(
            f"calibration: {path} must carry the metadata 'calibration' with blocks (whole numbers), first_action "
            f"and activation (one of {', '.join(ACTIVATIONS)}); record it again"
        )

    return facts
