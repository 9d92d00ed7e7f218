"""Runs a policy folder with numpy and llama.cpp alone: embeddings and head here, the transformer there.

A folder holds `model.gguf` (the transformer), `policy.safetensors` (what is before and after it) and `card.json` (the
spec, the files' hashes, how it was trained); other transformers, for presets, may stand beside them. A file is checked
whole before llama.cpp sees it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import load as load_safetensors

from rarrl.errors import InputError
from rarrl.files import check_regular_file, read_file, sha256
from rarrl.llama.gguf import Gguf, read_gguf, write_gguf
from rarrl.llama.one_block import OneBlock
from rarrl.llama.runtime import LlamaRuntime
from rarrl.policy.base import ActionChunk, Observation
from rarrl.policy.patches import PatchEncoder
from rarrl.policy.preset import Preset, load_preset
from rarrl.policy.relevance import FILE as RELEVANCE
from rarrl.policy.relevance import Relevance, load_relevance
from rarrl.policy.spec import PolicySpec
from rarrl.strict_json import read_json

MODELS = Path(__file__).parent.parent / "models"
GGUF, OUTER, CARD = "model.gguf", "policy.safetensors", "card.json"
STUDENTS = "students"  # of the card: how each transformer of fewer blocks was made, by its file's name
TYPES = "types"  # metadata of OUTER: a JSON object, ggml's type of each tensor that is quantized
MAX_BYTES = 256_000_000
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".zip")


class LlamaPolicy:
    """A policy folder, loaded. For one thread; close it, or use it with `with`.

    Blocks of tokens whose embeddings are those of the call before (the words, pictures that did not change) stay in
    llama.cpp's cache; pictures that did not change are not even embedded again. The answer is bit for bit the same.

    Args:
        folder: as above
        gguf: another transformer for the same folder (a quantized one); None: the folder's own
        threads: of llama.cpp
        exact: attention in float32 throughout, for comparison with torch
        preset: what to leave out, or the name of a file of the folder's `presets`; None: compute the whole
        any_words: takes an instruction of which it knows no word, for experiments; a robot would act on noise
        numpy_block: computes a transformer of one block with numpy, which is faster, and not with llama.cpp

    Raises: InputError in one line for whatever does not fit, DependencyMissingError without llama.cpp."""

    def __init__(
        self,
        folder: Path,
        gguf: Path | None = None,
        threads: int = 1,
        exact: bool = False,
        preset: Preset | str | None = None,
        any_words: bool = False,
        numpy_block: bool = True,
    ) -> None:
        self._spec, hashes = load_card(folder)
        spec = self._spec
        self._weights = load_outer(folder, spec, hashes)
        self._preset = load_preset(folder, preset) if isinstance(preset, str) else preset or Preset()
        self._preset.check(spec)
        path = gguf or folder / (self._preset.gguf or GGUF)
        digest = hashes.get(path.name) if gguf is None else None
        model = checked_gguf(path, spec, digest, shallower=gguf is None and self._preset.gguf is not None)
        depth = model.shape.layers
        layers = self._preset.layers or depth
        if layers > depth:
            raise InputError(f"preset.layers: {path.name} has {depth}, got {layers}; allowed: 1 to {depth}")
        self._patches = self._preset.patches or spec.image_tokens
        self._relevance: Relevance | None = None
        if self._patches < spec.image_tokens:
            self._relevance = load_relevance(folder, spec, hashes.get(RELEVANCE))
        self._encoder = PatchEncoder(spec, self._weights)
        self._head_in = np.ascontiguousarray(self._weights["head_in.weight"].T)  # quicker than the transposed view
        shallow = first_layers(model, layers)
        self._runtime: LlamaRuntime | OneBlock
        if numpy_block and OneBlock.allows(shallow):
            self._runtime = OneBlock(shallow, sum(spec.blocks))
        else:
            fused = spec.fused_attention and not exact
            with tempfile.TemporaryDirectory() as place:
                if layers < depth:
                    path = Path(place) / GGUF
                    write_layers(shallow, path)
                self._runtime = LlamaRuntime(path, sum(spec.blocks), threads, exact, fused)
        self._any_words = any_words
        self._told: str | None = None
        self._images: np.ndarray | None = None  # those of the kept block of pictures
        self._seen = np.empty(0, np.intp)  # its patches
        self._pictures = np.empty((0, spec.width), np.float32)
        self._kept: list[np.ndarray] = []  # embeddings in the cache, block by block

    @property
    def spec(self) -> PolicySpec:
        """What it takes and gives."""
        return self._spec

    @property
    def preset(self) -> Preset:
        """What is left out."""
        return self._preset

    def infer(self, observation: Observation, stop: Callable[[], bool] | None = None) -> ActionChunk:
        """See `Policy`."""
        scaled = self.scaled(observation, stop)
        return ActionChunk(self._spec.unscale_actions(scaled), 1 / self._spec.control_hz, observation.observed_at)

    def scaled(self, observation: Observation, stop: Callable[[], bool] | None = None) -> np.ndarray:
        """(horizon, a) float32: the chunk in the network's units, before it is cut to the spec's range."""
        weights = self._weights
        hidden = self._hidden(self._blocks(observation), stop)
        hidden = np.maximum(hidden @ self._head_in + weights["head_in.bias"], 0)
        scaled = hidden @ weights["head_out.weight"].T + weights["head_out.bias"]
        if not np.isfinite(scaled).all():
            raise InputError("policy: its actions are not finite; the weights are damaged or quantized too far")
        return scaled

    def reset(self) -> None:
        """See `Policy`."""
        self._kept = []
        self._images = None

    def close(self) -> None:
        """Frees llama.cpp's memory."""
        self._runtime.close()

    def __enter__(self) -> LlamaPolicy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _blocks(self, observation: Observation) -> list[np.ndarray]:
        """As `embed`, of the patches that matter, and without those pictures that are in the cache."""
        spec, images = self._spec, observation.images
        check_observation(spec, observation)
        if observation.instruction != self._told:
            self._words = spec.words(observation.instruction, self._any_words)
            self._told = observation.instruction
        words, own = self._words, spec.scale_proprio(observation.proprio)
        patches = self._encoder.all_patches
        if self._relevance is not None:
            patches = self._relevance.best(words, own, self._patches)
        if (
            self._images is None
            or not np.array_equal(patches, self._seen)
            or self._encoder.differ(images, self._images, patches)
        ):
            self._pictures = self._encoder.encode(images, patches) + self._weights["place"][patches]
            self._images, self._seen = images, patches
        return [self._weights["word.weight"][words], self._pictures, _own_and_slots(self._weights, own)]

    def _hidden(self, blocks: list[np.ndarray], stop: Callable[[], bool] | None) -> np.ndarray:
        """Hidden states of the action slots, (horizon, width)."""
        same = 0
        while same < min(len(self._kept), len(blocks) - 1) and np.array_equal(self._kept[same], blocks[same]):
            same += 1
        self._runtime.forget(sum(map(len, blocks[:same])))
        self._kept = self._kept[:same]
        hidden = self._runtime.decode_blocks(blocks[same:], self._spec.horizon, stop)
        self._kept = blocks[:-1]
        return hidden


def embed(spec: PolicySpec, weights: dict[str, np.ndarray], observation: Observation) -> list[np.ndarray]:
    """The three blocks of embeddings, each (tokens, width) float32: words, pictures, proprioception and slots.

    Raises: InputError where the observation does not fit the spec."""
    check_observation(spec, observation)
    encoder = PatchEncoder(spec, weights)
    words, own = spec.words(observation.instruction), spec.scale_proprio(observation.proprio)
    pictures = encoder.encode(observation.images, encoder.all_patches) + weights["place"]
    return [weights["word.weight"][words], pictures, _own_and_slots(weights, own)]


def check_observation(spec: PolicySpec, observation: Observation) -> None:
    """Raises: InputError where the observation does not fit the spec."""
    images, proprio = observation.images, observation.proprio
    shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
    if images.shape != shape or images.dtype != np.uint8:
        raise InputError(f"observation.images: must be {shape} uint8 RGB, got {images.shape} {images.dtype}")
    if proprio.shape != (len(spec.proprio_names),) or not np.isfinite(proprio).all():
        raise InputError(
            f"observation.proprio: must be {len(spec.proprio_names)} finite numbers ({', '.join(spec.proprio_names)}), "
            f"got {proprio.tolist()}"
        )


def _own_and_slots(weights: dict[str, np.ndarray], proprio: np.ndarray) -> np.ndarray:
    own = np.maximum(proprio @ weights["proprio_in.weight"].T + weights["proprio_in.bias"], 0)
    own = own @ weights["proprio_out.weight"].T + weights["proprio_out.bias"]
    return np.concatenate((own[None], weights["slot"])).astype(np.float32)


def first_layers(gguf: Gguf, layers: int) -> Gguf:
    """The same transformer with its first `layers` blocks only: an early exit, its tensors as they are."""
    shape = replace(gguf.shape, layers=layers)
    names = {"token_embd.weight", *shape.tensors()}
    tensors = {name: tensor for name, tensor in gguf.tensors.items() if name in names or not name.startswith("blk.")}
    count = (layers, gguf.metadata["llama.block_count"][1])
    return replace(gguf, shape=shape, tensors=tensors, metadata={**gguf.metadata, "llama.block_count": count})


def write_layers(gguf: Gguf, path: Path) -> None:
    """Writes a transformer as it is in memory."""
    layout = {name: (tensor.type, tensor.shape) for name, tensor in gguf.tensors.items()}
    write_gguf(path, gguf.metadata, layout, lambda name: gguf.tensors[name].data)


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
    card = read_json(path, "policy")
    try:
        return PolicySpec.model_validate(card["spec"]), {str(k): str(v) for k, v in card["files"].items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"policy: {path}: spec.{where}: {first['msg']}; restore the file") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"policy: {path} is no card of a policy ({type(error).__name__}); restore the file") from None


def load_outer(folder: Path, spec: PolicySpec, hashes: dict[str, str]) -> dict[str, np.ndarray]:
    """The weights before and after the transformer, float32; quantized ones as what they stand for.

    Raises: InputError for a wrong hash, other names or shapes, NaN."""
    path = folder / OUTER
    _check_file(path, hashes.get(OUTER))
    data = read_file(path, "policy", MAX_BYTES)
    try:
        weights = load_safetensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        types = json.loads(header.get("__metadata__", {}).get(TYPES, "{}"))
    except Exception as error:  # the reader raises several kinds for one thing: not our file
        raise InputError(f"policy: {path} is not a safetensors file ({type(error).__name__})") from None
    if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
        raise InputError(f"policy: {path}: its metadata {TYPES} must map tensors to types; quantize again")
    expected = outer_shapes(spec)
    for name, kind in types.items():
        weights[name] = _unrounded(path, name, kind, weights.get(name), expected.get(name, ()))
    shapes = {name: array.shape for name, array in weights.items()}
    if shapes != expected:
        name = min(n for n in {*shapes, *expected} if shapes.get(n) != expected.get(n))
        raise InputError(f"policy: {path}: {name} has shape {shapes.get(name)}, the card asks for {expected.get(name)}")
    for name, array in weights.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InputError(f"policy: {path}: {name} must be finite float32; train or export again")
    return weights


def _unrounded(path: Path, name: str, kind: str, blocks: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """A matrix whose rows are ggml's blocks, float32 in its own shape."""
    from rarrl.llama import ggml

    columns = int(np.prod(shape[1:]))
    known = blocks is not None and blocks.dtype == np.uint8 and len(shape) > 1 and kind in ggml.TYPES
    if not known or blocks is None or blocks.shape != (shape[0], ggml.row_bytes(kind, columns)):
        raise InputError(f"policy: {path}: {name} is not {shape} in {kind}; quantize again")
    return ggml.dequantize(kind, blocks, columns).reshape(shape)


def checked_gguf(path: Path, spec: PolicySpec, digest: str | None = None, shallower: bool = False) -> Gguf:
    """The transformer's file, held against the spec, its hash (None: any), and against NaN.

    shallower: it may have fewer blocks than the spec tells. Raises: InputError."""
    _check_file(path, digest)
    gguf = read_gguf(path)
    found, asked = gguf.shape, spec.llama
    if shallower and found.layers < asked.layers:
        asked = replace(asked, layers=found.layers)
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
    check_regular_file(path, "policy", MAX_BYTES)
    if digest is not None and sha256(read_file(path, "policy", MAX_BYTES)) != digest:
        raise InputError(f"policy: {path} does not match the hash in {CARD}: the file is damaged or was changed")
