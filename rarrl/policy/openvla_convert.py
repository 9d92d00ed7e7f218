"""Converts a checkpoint of the OpenVLA kind, as it is downloaded, into the folder that `openvla.py` runs.

Read are safetensors, `config.json`, `tokenizer.json` and, for OpenVLA-OFT, the pickles of its head, as weights alone.
Neither transformers nor the checkpoint's own Python is needed. The Llama's tensors go through memory one at a time;
what is around it, 1 GB in float32, is held whole. The vision tower is not converted: it stays the user's function.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.files import write_json_atomic
from rarrl.llama.gguf import llama_metadata, write_gguf
from rarrl.llama.shape import LlamaShape
from rarrl.policy.openvla import CARD, Robot
from rarrl.strict_json import parse_json, read_json

LLAMA = "language_model."
OUTER = ("projector.", "proprio_projector.", "action_head.")
HEAD_WIDTH = 128
"""Of Llama 2; a head's width where `text_config` does not tell the number of heads."""
HEADER_BYTES = 100_000_000
"""Of a safetensors file, at most: as its own reader allows."""
TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""Types that are read; numpy has no bfloat16, whose bits are the upper half of a float32's."""
FIRST_PIECE = 259
"""Of Llama 2's tokenizer: before it are <unk>, <s>, </s> and the 256 bytes."""
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # token types of GGUF
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_NAMES = {
    "token_embd.weight": f"{LLAMA}model.embed_tokens.weight",
    "output_norm.weight": f"{LLAMA}model.norm.weight",
    "output.weight": f"{LLAMA}lm_head.weight",
}
LIBERO = Robot(
    20.0,
    cameras=("front", "wrist"),
    action_names=("dx", "dy", "dz", "turn_x", "turn_y", "turn_z", "gripper"),
    proprio_names=("x_m", "y_m", "z_m", "turn_x_rad", "turn_y_rad", "turn_z_rad", "finger_left_m", "finger_right_m"),
    horizon=8,
)
"""The robot of OpenVLA-OFT's LIBERO checkpoints; its pictures are turned by 180 degrees."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a safetensors file. kind: a key of `TYPES`; start: byte of the file."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    start: int

    def values(self) -> np.ndarray:
        """Its numbers, float32 or float16."""
        found = np.memmap(self.path, TYPES[self.kind], "r", self.start, self.shape)
        if self.kind == "BF16":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return np.asarray(found)


def convert_openvla(checkpoint: Path, out: Path, robot: Robot, dataset: str | None = None) -> dict[str, int]:
    """Writes `llama.gguf` (float16), `outer.safetensors`, `dataset_statistics.json` and, last, `openvla.json`.

    Args:
        checkpoint: a folder as downloaded
        out: another folder
        robot: what the files do not tell; `LIBERO`, or `Robot(5.0)` for OpenVLA's own
        dataset: whose statistics; None: there is one

    Returns: bytes of the first two files.
    Raises: InputError in one line for what is missing or does not fit; DependencyMissingError."""
    if out.resolve() == checkpoint.resolve():
        raise InputError(f"--out: {out} is the checkpoint itself; name another folder")
    stored = stored_tensors(checkpoint)
    config = read_json(checkpoint / "config.json", "checkpoint")
    statistics = _statistics(checkpoint, config)
    text = config.get("text_config", {}) if isinstance(config, dict) else {}
    shape = llama_shape(checkpoint, stored, text if isinstance(text, dict) else {})
    vocabulary, tokens = tokenizer(checkpoint / "tokenizer.json", shape.vocab)

    names = {**OTHER_NAMES}
    for i in range(shape.layers):
        for ours, theirs in BLOCK_NAMES.items():
            names[f"blk.{i}.{ours}.weight"] = f"{LLAMA}model.layers.{i}.{theirs}.weight"
    expected = {**shape.tensors(), "output.weight": (shape.vocab, shape.width)}
    for ours, theirs in names.items():
        if theirs not in stored or stored[theirs].shape != expected[ours]:
            found = stored[theirs].shape if theirs in stored else "missing"
            raise InputError(f"checkpoint: {checkpoint}: {theirs} is {found}, must be {expected[ours]}")

    layout = {n: ("F32" if len(expected[n]) == 1 else "F16", expected[n]) for n in names}
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}

    def data(name: str) -> np.ndarray:
        values = stored[names[name]].values()
        if not np.isfinite(values).all():
            raise InputError(f"checkpoint: {names[name]} is not finite; download it again")
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if part in heads:
            values = interleaved(values, heads[part])
        return values.astype(np.float32 if layout[name][0] == "F32" else np.float16)

    gguf, outer = out / "llama.gguf", out / "outer.safetensors"
    write_gguf(gguf, {**llama_metadata(shape), **tokens}, layout, data)
    _write_outer(outer, checkpoint, stored)
    write_json_atomic(out / "dataset_statistics.json", statistics)
    told = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(robot).items()}
    card = {"gguf": gguf.name, "weights": outer.name, "statistics": "dataset_statistics.json"}
    write_json_atomic(out / CARD, {**card, "dataset": dataset, "vocabulary": vocabulary, "robot": told})
    return {gguf.name: gguf.stat().st_size, outer.name: outer.stat().st_size}


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """What the safetensors files of a checkpoint hold, by name.

    Raises: InputError."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(f"checkpoint: {folder} holds no .safetensors file; OpenVLA's are on its model page")
    found: dict[str, Stored] = {}
    for path in paths:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(HEADER_BYTES, size - 8):
                raise InputError(f"checkpoint: {path} is no safetensors file; download it again")
            try:
                header = parse_json(file.read(length), "checkpoint", f"the header of {path}", "download it again")
                for name, about in header.items():
                    if name == "__metadata__":
                        continue
                    first, last = about["data_offsets"]
                    if not all(type(n) is int and n >= 0 for n in (first, last, *about["shape"])):
                        raise ValueError(f"{name}: sizes that are none")
                    entry = Stored(path, str(about["dtype"]), tuple(about["shape"]), 8 + length + first)
                    wanted = name.startswith((LLAMA, *OUTER))
                    if wanted and entry.kind not in TYPES:
                        raise InputError(f"checkpoint: {name} is {entry.kind}; allowed: {', '.join(TYPES)}")
                    if wanted and (
                        last - first != math.prod(entry.shape) * TYPES[entry.kind].itemsize
                        or not 0 <= first <= last <= size - 8 - length
                    ):
                        raise InputError(f"checkpoint: {path}: {name} is cut off; download it again")
                    found[name] = entry
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"checkpoint: {path} is no safetensors file ({type(error).__name__})") from None
    return found


def llama_shape(folder: Path, stored: Mapping[str, Stored], text: Mapping[str, Any]) -> LlamaShape:
    """Sizes, from the tensors; what they do not tell from `text_config`, with transformers' defaults.

    Raises: InputError where there is no Llama."""
    embed, first = OTHER_NAMES["token_embd.weight"], f"{LLAMA}model.layers.0."
    needed = (embed, f"{first}mlp.gate_proj.weight", f"{first}self_attn.k_proj.weight")
    if missing := [name for name in needed if name not in stored]:
        raise InputError(f"checkpoint: {folder} lacks {missing[0]}: it is not of the OpenVLA kind")
    layers = {int(m[1]) for name in stored if (m := re.match(rf"{LLAMA}model\.layers\.([0-9]{{1,4}})\.", name))}
    if layers != set(range(len(layers))):  # a number alone may not say how long to count
        raise InputError(f"checkpoint: {folder} lacks a layer before layer {max(layers)}; download it again")
    try:
        vocab, width = stored[embed].shape
        heads = int(text.get("num_attention_heads") or max(1, width // HEAD_WIDTH))
        return LlamaShape(
            layers=len(layers),
            width=width,
            heads=heads,
            kv_heads=stored[needed[2]].shape[0] * heads // width,
            ffn=stored[needed[1]].shape[0],
            context=int(text.get("max_position_embeddings", 2048)),
            vocab=vocab,
            rope_base=float(text.get("rope_theta", 10000.0)),
            norm_eps=float(text.get("rms_norm_eps", 1e-6)),
        )
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        why = " ".join(str(error).split())[:100]
        raise InputError(f"checkpoint: {folder}: sizes of no Llama ({why}); download it again") from None


def interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix, from transformers' order within a head (halves) to llama.cpp's (pairs)."""
    rows, columns = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tokenizer(path: Path, vocab: int) -> tuple[int, dict[str, tuple[Any, str]]]:
    """The number of tokens of a Llama 2 tokenizer in transformers' JSON, and GGUF's metadata of it, which fills them up
    to `vocab`.

    Scores are not in that file: Llama 2's pieces are numbered by rank, from which its own follow.
    Raises: InputError."""
    found = read_json(path, "tokenizer")
    try:
        pieces = dict(found["model"]["vocab"])
        pieces |= {str(token["content"]): int(token["id"]) for token in found.get("added_tokens", [])}
        if not all(type(number) is int for number in pieces.values()):
            raise ValueError("tokens that have no number")
    except (KeyError, TypeError, ValueError):
        raise InputError(f"tokenizer: {path} is no tokenizer of transformers; take the checkpoint's own") from None
    numbers = sorted(pieces.values())
    if numbers != list(range(len(numbers))) or not FIRST_PIECE < len(numbers) <= vocab:
        raise InputError(f"tokenizer: {path} must name tokens 0 to at most {vocab - 1}, each once")

    texts = [text for text, _ in sorted(pieces.items(), key=lambda item: item[1])]
    known = len(dict(found["model"]["vocab"]))
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (known - FIRST_PIECE)]
    kinds += [CONTROL] * (vocab - known)
    texts += [f"<PAD{i}>" for i in range(vocab - len(texts))]
    return known, {
        "tokenizer.ggml.model": ("llama", "STRING"),
        "tokenizer.ggml.tokens": (texts, "STRING[]"),
        "tokenizer.ggml.scores": ([-float(max(0, i - FIRST_PIECE)) for i in range(vocab)], "FLOAT32[]"),
        "tokenizer.ggml.token_type": (kinds, "INT32[]"),
        "tokenizer.ggml.unknown_token_id": (0, "UINT32"),
        "tokenizer.ggml.bos_token_id": (1, "UINT32"),
        "tokenizer.ggml.eos_token_id": (2, "UINT32"),
    }


def _write_outer(path: Path, folder: Path, stored: Mapping[str, Stored]) -> None:
    from safetensors.numpy import save_file

    weights = {n: s.values().astype(np.float32) for n, s in stored.items() if n.startswith(OUTER)}
    for part in ("proprio_projector", "action_head"):
        for pickle in sorted(folder.glob(f"{part}--*.pt")):
            weights |= {f"{part}.{n.removeprefix('module.')}": v for n, v in _pickled(pickle).items()}
    if "projector.fc1.weight" not in weights:
        raise InputError(f"checkpoint: {folder} lacks projector.fc1.weight: it is not of the OpenVLA kind")
    save_file(weights, path)


def _pickled(path: Path) -> dict[str, np.ndarray]:
    """The weights of one of OFT's pickles, float32: of nothing else in it is anything made."""
    try:
        import torch
    except ImportError:
        raise DependencyMissingError(f"{path.name} is torch's: pip install 'rarrl[train]'") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.float().contiguous().numpy() for name, tensor in found.items()}
    except Exception as error:  # torch's reader raises several kinds for one thing: not such a file
        raise InputError(f"checkpoint: {path} is no file of weights ({type(error).__name__})") from None


def _statistics(folder: Path, config: Any) -> Any:
    path = folder / "dataset_statistics.json"
    if path.is_file():
        return read_json(path, "statistics")
    if isinstance(config, dict) and isinstance(config.get("norm_stats"), dict):
        return config["norm_stats"]
    raise InputError(f"checkpoint: {folder} has neither {path.name} nor norm_stats in config.json")
