"""Runs a policy folder with numpy and llama.cpp alone: embeddings and head here, the transformer there.

A folder holds `model.gguf` (the transformer), `policy.safetensors` (what is before and after it) and `card.json` (the
spec, the files' hashes, how it was trained). A file is checked whole before llama.cpp sees it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import ValidationError
from safetensors.numpy import load as load_safetensors

from rarrl.errors import InputError
from rarrl.files import read_file, sha256
from rarrl.llama.gguf import Gguf, read_gguf
from rarrl.llama.runtime import LlamaRuntime
from rarrl.policy.base import ActionChunk, Observation
from rarrl.policy.spec import PolicySpec

MODELS = Path(__file__).parent.parent / "models"
GGUF, OUTER, CARD = "model.gguf", "policy.safetensors", "card.json"
MAX_BYTES = 256_000_000
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".zip")


class LlamaPolicy:
    """A policy folder, loaded. For one thread; close it, or use it with `with`.

    Blocks of tokens whose embeddings are those of the call before (the words, pictures that did not change) stay in
    llama.cpp's cache; the answer is bit for bit the same.

    Args:
        folder: as above
        gguf: another transformer for the same folder (a quantized one); None: the folder's own
        threads: of llama.cpp
        exact: attention in float32 throughout, for comparison with torch

    Raises: InputError in one line for whatever does not fit, DependencyMissingError without llama.cpp."""

    def __init__(self, folder: Path, gguf: Path | None = None, threads: int = 1, exact: bool = False) -> None:
        self._spec, hashes = load_card(folder)
        self._weights = load_outer(folder, self._spec, hashes)
        path = gguf or folder / GGUF
        checked_gguf(path, self._spec, hashes.get(GGUF) if gguf is None else None)
        self._runtime = LlamaRuntime(path, sum(self._spec.blocks), threads, exact)
        self._kept: list[np.ndarray] = []  # embeddings in the cache, block by block

    @property
    def spec(self) -> PolicySpec:
        """What it takes and gives."""
        return self._spec

    def infer(self, observation: Observation, stop: Callable[[], bool] | None = None) -> ActionChunk:
        """See `Policy`."""
        scaled = self.scaled(observation, stop)
        return ActionChunk(self._spec.unscale_actions(scaled), 1 / self._spec.control_hz, observation.observed_at)

    def scaled(self, observation: Observation, stop: Callable[[], bool] | None = None) -> np.ndarray:
        """(horizon, a) float32: the chunk in the network's units, before it is cut to the spec's range."""
        spec, weights = self._spec, self._weights
        hidden = self._hidden(embed(spec, weights, observation), stop)[-spec.horizon :]
        hidden = np.maximum(hidden @ weights["head_in.weight"].T + weights["head_in.bias"], 0)
        scaled = hidden @ weights["head_out.weight"].T + weights["head_out.bias"]
        if not np.isfinite(scaled).all():
            raise InputError("policy: its actions are not finite; the weights are damaged or quantized too far")
        return scaled

    def reset(self) -> None:
        """See `Policy`."""
        self._kept = []

    def close(self) -> None:
        """Frees llama.cpp's memory."""
        self._runtime.close()

    def __enter__(self) -> LlamaPolicy:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _hidden(self, blocks: list[np.ndarray], stop: Callable[[], bool] | None) -> np.ndarray:
        """Hidden states of the last block, (tokens, width)."""
        same = 0
        while same < min(len(self._kept), len(blocks) - 1) and np.array_equal(self._kept[same], blocks[same]):
            same += 1
        self._runtime.forget(sum(map(len, blocks[:same])))
        self._kept = self._kept[:same]
        for block in blocks[same:]:
            hidden = self._runtime.decode(block, stop=stop)
            self._kept.append(block)
        return hidden


def embed(spec: PolicySpec, weights: dict[str, np.ndarray], observation: Observation) -> list[np.ndarray]:
    """The three blocks of embeddings, each (tokens, width) float32: words, pictures, proprioception and slots.

    Raises: InputError where the observation does not fit the spec."""
    images, proprio = observation.images, observation.proprio
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    if images.shape != shape or images.dtype != np.uint8:
        raise InputError(f"observation.images: must be {shape} uint8 RGB, got {images.shape} {images.dtype}")
    if proprio.shape != (len(spec.proprio_names),) or not np.isfinite(proprio).all():
        raise InputError(
            f"observation.proprio: must be {len(spec.proprio_names)} finite numbers ({', '.join(spec.proprio_names)}), "
            f"got {proprio.tolist()}"
        )
    x = images.astype(np.float32) / 255 - 0.5
    layer = 0
    while f"stem.{layer}.weight" in weights:
        x = np.maximum(_convolve(x, weights[f"stem.{layer}.weight"], weights[f"stem.{layer}.bias"], pad=1), 0)
        layer += 1
    x = _convolve(x, weights["patch.weight"], weights["patch.bias"], pad=0)
    pictures = x.reshape(spec.image_tokens, spec.width) + weights["place"]
    own = spec.scale_proprio(proprio) @ weights["proprio_in.weight"].T + weights["proprio_in.bias"]
    own = np.maximum(own, 0) @ weights["proprio_out.weight"].T + weights["proprio_out.bias"]
    words = weights["word.weight"][spec.words(observation.instruction)]
    return [words, pictures.astype(np.float32), np.concatenate((own[None], weights["slot"])).astype(np.float32)]


def _convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, pad: int) -> np.ndarray:
    """Stride 2; x (n, h, w, c), weight as torch keeps it (out, c, k, k); (n, h / 2, w / 2, out)."""
    kernel = weight.shape[-1]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = sliding_window_view(x, (kernel, kernel), axis=(1, 2))[:, ::2, ::2]  # (n, h / 2, w / 2, c, k, k)
    n, height, width = windows.shape[:3]
    columns = windows.reshape(n * height * width, -1) @ weight.reshape(len(weight), -1).T + bias
    return columns.reshape(n, height, width, -1)


def outer_shapes(spec: PolicySpec, stem: tuple[int, ...] = (32, 64, 128), hidden: int = 128) -> dict[str, tuple]:
    """Name -> shape of every tensor of `policy.safetensors`, named as in the torch model."""
    d, p, a = spec.width, len(spec.proprio_names), len(spec.action_names)
    shapes: dict[str, tuple] = {"word.weight": (2 + len(spec.vocabulary), d)}
    for i, (before, after) in enumerate(zip((3, *stem), stem, strict=False)):
        shapes |= {f"stem.{i}.weight": (after, before, 4, 4), f"stem.{i}.bias": (after,)}
    linears = {"proprio_in": (hidden, p), "proprio_out": (d, hidden), "head_in": (d, d), "head_out": (a, d)}
    for name, shape in {"patch": (d, stem[-1], 2, 2), **linears}.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes | {"place": (spec.image_tokens, d), "slot": (spec.horizon, d)}


def load_card(folder: Path) -> tuple[PolicySpec, dict[str, str]]:
    """The spec and the files' hashes.

    Raises: InputError."""
    if folder.suffix in PICKLES:
        raise InputError(
            f"policy: {folder} may hold a pickle, which can run code when it is read; allowed: a folder as "
            "`rarrl train policy` writes it"
        )
    path = folder / CARD
    data = read_file(path, "policy")
    try:
        card = json.loads(data)
        return PolicySpec.model_validate(card["spec"]), {str(k): str(v) for k, v in card["files"].items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"policy: {path}: spec.{where}: {first['msg']}; restore the file") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"policy: {path} is no card of a policy ({type(error).__name__}); restore the file") from None


def load_outer(folder: Path, spec: PolicySpec, hashes: dict[str, str]) -> dict[str, np.ndarray]:
    """The weights before and after the transformer, float32.

    Raises: InputError for a wrong hash, other names or shapes, NaN."""
    path = folder / OUTER
    _check_file(path, hashes.get(OUTER))
    try:
        weights = load_safetensors(read_file(path, "policy"))
    except InputError:
        raise
    except Exception as error:  # the reader raises several kinds for one thing: not our file
        raise InputError(f"policy: {path} is not a safetensors file ({type(error).__name__})") from None
    shapes = {name: array.shape for name, array in weights.items()}
    expected = outer_shapes(spec)
    if shapes != expected:
        name = min(n for n in {*shapes, *expected} if shapes.get(n) != expected.get(n))
        raise InputError(f"policy: {path}: {name} has shape {shapes.get(name)}, the card asks for {expected.get(name)}")
    for name, array in weights.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InputError(f"policy: {path}: {name} must be finite float32; train or export again")
    return weights


def checked_gguf(path: Path, spec: PolicySpec, digest: str | None = None) -> Gguf:
    """The transformer's file, held against the spec, its hash (None: any), and against NaN.

    Raises: InputError."""
    _check_file(path, digest)
    gguf = read_gguf(path)
    found, asked = gguf.shape, spec.llama
    for name in ("layers", "width", "heads", "kv_heads", "ffn", "rope_base"):
        if getattr(found, name) != getattr(asked, name):
            raise InputError(
                f"policy: {path} has {name} {getattr(found, name)}, the card asks for {getattr(asked, name)}"
            )
    if not np.isclose(found.norm_eps, asked.norm_eps):
        raise InputError(f"policy: {path} has norm_eps {found.norm_eps}, the card asks for {asked.norm_eps}")
    for name in asked.tensors():
        gguf.values(name)  # refuses NaN
    return gguf


def _check_file(path: Path, digest: str | None) -> None:
    """Size before reading; then the hash, where one is told."""
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise InputError(f"policy: {path} has {path.stat().st_size} bytes; allowed: at most {MAX_BYTES}")
    if digest is not None and sha256(read_file(path, "policy")) != digest:
        raise InputError(f"policy: {path} does not match the hash in {CARD}: the file is damaged or was changed")
