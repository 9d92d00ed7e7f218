"""Reads Llama-architecture GGUF files strictly and writes them tensor by tensor.

What a file says of its own layout (alignment, byte order, parts) and of the computation (scaled positions, scores) is
either honoured or refused by name.

The format is described at https://github.com/ggml-org/ggml (gguf.md)."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError
from rarrl.llama.shape import LlamaShape

if TYPE_CHECKING:
    import gguf

OPTIONAL = ("output.weight", "rope_freqs.weight")
"""Tensors that a Llama may have besides those of `LlamaShape.tensors`."""
ALIGNMENT = 32
"""Bytes at whose multiples tensors begin, where a file does not say so (`general.alignment`); llama.cpp's CPU backend
ends the process for less."""
MAX_PARTS = 999
"""Parts of one model; more is a wrong file."""
_PART = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")
"""Name of a part, as llama.cpp writes and expects it."""
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "rope.scaling.type": ("none", "linear"),
    "rope.scaling.factor": (0, 1),
    "rope.scale_linear": (0, 1),
    "rope.scaling.attn_factor": (0, 1),
    "rope.scaling.yarn_log_multiplier": (0,),
    "rope.dimension_sections": (),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "attention.scale": (0,),
    "attention.clamp_kqv": (0,),
    "attention.sliding_window": (0,),
    "attention.max_alibi_bias": (0,),
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "logit_scale": (0, 1),
    "embedding_scale": (0, 1),
    "residual_scale": (0, 1),
    "use_parallel_residual": (False,),
}
"""Keys behind `llama.` that change what is computed -> values with which they change nothing. A factor without a type
is one of linear scaling to llama.cpp."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file. A tensor that was read is a view of the file and costs nothing until it is used.

    type: ggml's name ("F32", "Q4_K"). shape: rows first. data: float32 or float16 of that shape, else the raw blocks,
    (rows, bytes of a row) uint8."""

    type: str
    shape: tuple[int, ...]
    data: np.ndarray

    @property
    def bits(self) -> int:
        """The size of the tensor in the file, bits."""
        return 8 * self.data.nbytes


@dataclass(frozen=True)
class Gguf:
    """A Llama in a file: its shape, its metadata (key -> (value, GGUF's name of the value's type)) and its tensors."""

    path: Path
    shape: LlamaShape
    metadata: dict[str, tuple[Any, str]]
    tensors: dict[str, Tensor]

    def values(self, name: str) -> np.ndarray:
        """Returns a dequantized copy of the tensor, float32.

        Raises: InputError if it is not finite."""
        tensor = self.tensors[name]
        values = _dequantize(tensor).reshape(tensor.shape)
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: {name} holds NaN or infinity; export the model again")
        return values

    def rows(self, name: str, index: Sequence[int]) -> np.ndarray:
        """Returns some rows of a tensor, dequantized: (len(index), columns) float32."""
        tensor = self.tensors[name]
        shape = (len(index), *tensor.shape[1:])
        return _dequantize(Tensor(tensor.type, shape, tensor.data[list(index)])).reshape(shape)


def read_gguf(path: Path) -> Gguf:
    """Reads and checks the file's head; tensors stay on disk until they are used.

    Raises: InputError if it is not GGUF, not a Llama that our torch model and llama.cpp compute alike, a key or tensor
        is missing, or a tensor has another shape than the keys say."""
    metadata: dict[str, tuple[Any, str]] = {}
    tensors: dict[str, Tensor] = {}
    parts = gguf_parts(path)
    for number, part in enumerate(parts):
        more, found = _read_part(part)
        metadata = metadata or more
        _check_part(part, number, len(parts), metadata, more)
        twice = sorted(tensors.keys() & found.keys())
        if twice:
            raise InputError(f"{part}: {twice[0]} is in an earlier part already; put the parts of one model together")
        tensors |= found

    counted = metadata.get("split.tensors.count", (len(tensors), ""))[0]
    if counted != len(tensors):
        raise InputError(f"{path}: its parts hold {len(tensors)} tensors, split.tensors.count says {counted}")
    metadata = {name: entry for name, entry in metadata.items() if not name.startswith("split.")}

    try:
        shape = _shape({name: value for name, (value, _) in metadata.items()})
        if shape.layers > len(tensors):  # before the names of so many layers are listed
            raise InputError(
                f"llama.block_count is {shape.layers}, with {len(tensors)} tensors; export the model again"
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None

    gguf = Gguf(path, shape, metadata, tensors)
    _check_tensors(gguf)
    return gguf


def gguf_parts(path: Path) -> list[Path]:
    """The files of the model that `path` is, or is the first part of: usually itself alone.

    Raises: InputError for a part that is not the first, or one that is missing."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .gguf file")
    name = _PART.match(path.name)
    if name is None:
        return [path]

    count = int(name["count"])
    if not 1 <= count <= MAX_PARTS:
        raise InputError(f"{path}: a model of {count} parts (allowed: 1 to {MAX_PARTS}); rename the file")
    parts = [path.with_name(f"{name['stem']}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1)]
    missing = [(number, part) for number, part in enumerate(parts, start=1) if not part.is_file()]
    if missing:
        number, part = missing[0]
        raise InputError(f"{path}: part {number} of {count} is missing: {part.name}; put it into the same folder")
    if int(name["number"]) != 1:
        raise InputError(f"{path}: part {int(name['number'])} of {count}; give the first one, {parts[0].name}")
    return parts


def _read_part(path: Path) -> tuple[dict[str, tuple[Any, str]], dict[str, Tensor]]:
    """Metadata and tensors of one file. Raises: InputError."""
    module = _gguf()
    try:
        reader = module.GGUFReader(path)
        big = reader.endianess != module.GGUFEndian.LITTLE
        entries = {name: _entry(field) for name, field in reader.fields.items() if not name.startswith("GGUF.")}
        tensors = {} if big else {t.name: _tensor(t) for t in reader.tensors}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError, TypeError) as error:
        # numpy and gguf fail on a damaged file in many ways; all of them mean the same.
        text = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a whole GGUF file ({text}); copy or export it again") from None

    if big:
        raise InputError(f"{path}: a big-endian file; convert it with gguf-convert-endian (pip install gguf)")
    nested = [name for name, (_, kind) in entries.items() if kind == "ARRAY[]"]
    if nested:
        raise InputError(f"{path}: key {nested[0]} holds lists in a list, which is not known here; remove it")

    alignment = entries.get("general.alignment", (ALIGNMENT, ""))[0]
    if not isinstance(alignment, int) or alignment < ALIGNMENT or alignment & (alignment - 1):
        raise InputError(
            f"{path}: general.alignment is {alignment} (allowed: powers of two from {ALIGNMENT}; llama.cpp computes "
            "with no other); export the model again"
        )

    count = entries.get("split.count", (1, ""))[0]
    if count not in (0, 1) and _PART.match(path.name) is None:
        number = entries.get("split.no", (0, ""))[0]
        raise InputError(
            f"{path}: this is part {int(number) + 1} of {count}, under another name; name the parts "
            f"NAME-00001-of-{int(count):05d}.gguf and so on, as llama.cpp expects them"
        )
    # gguf cannot write a list without entries, and no key means the same.
    return {name: entry for name, entry in entries.items() if entry[1] != "[]"}, tensors


def _check_part(path: Path, number: int, count: int, first: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raises: InputError where part `number` (from 0) says that it belongs to another model than the first one."""
    expected = {"split.no": (number,), "split.count": (count,) if count > 1 else (0, 1)}
    if "general.architecture" in first:
        expected["general.architecture"] = (first["general.architecture"][0],)
    for key, allowed in expected.items():
        value = found.get(key, (allowed[0], ""))[0]
        if value not in allowed:
            raise InputError(
                f"{path}: {key} is {str(value)[:40]!r}, {str(allowed[0])!r} was expected of part {number + 1} of "
                f"{count}; put the parts of one model together"
            )


def write_gguf(
    path: Path,
    metadata: Mapping[str, tuple[Any, str]],
    layout: Mapping[str, tuple[str, tuple[int, ...]]],
    data: Callable[[str], np.ndarray],
) -> None:
    """Writes a file, whole or not at all, and keeps one tensor at a time in memory.

    Args:
        metadata: as in `Gguf`; `llama_metadata` makes it for a new model
        layout: name -> (ggml type, shape rows first), in the order of the file
        data: called once per name in that order; returns what `Tensor.data` holds
    """
    module = _gguf()
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(fd)

    try:
        writer = module.GGUFWriter(temporary, "llama")
        writer.data_alignment = metadata.get("general.alignment", (ALIGNMENT, ""))[0]
        for key, (value, kind) in metadata.items():
            if key != "general.architecture":  # the writer sets it
                item, _, _ = kind.partition("[]")
                types = module.GGUFValueType
                kinds = (types.ARRAY, types[item]) if kind.endswith("[]") else (types[item], None)
                writer.add_key_value(key, value, *kinds)

        sizes = {}
        for name, (kind, shape) in layout.items():
            ggml_type = module.GGMLQuantizationType[kind]
            sizes[name] = tensor_bytes(kind, shape)
            writer.add_tensor_info(name, shape, np.dtype(np.float32), sizes[name], raw_dtype=ggml_type)

        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()

        for name, (kind, shape) in layout.items():
            values = np.ascontiguousarray(data(name))
            if values.nbytes != sizes[name]:
                raise ValueError(f"{name}: {kind} of shape {shape} takes {sizes[name]} bytes, got {values.nbytes}")
            writer.write_tensor_data(values)

        writer.close()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_llama(
    path: Path, shape: LlamaShape, weights: Mapping[str, np.ndarray], extra: Mapping[str, tuple[Any, str]] | None = None
) -> None:
    """Writes a new model.

    Linear layers and the token table keep the type of their array (float32 or float16); the norms are written as
    float32, which llama.cpp requires.

    Args:
        weights: name -> array, for every name of `shape.tensors()`; a missing token table is filled with zeros
        extra: more metadata, as in `Gguf`
    """
    arrays = {"token_embd.weight": np.zeros((shape.vocab, shape.width), np.float32), **weights}
    wrong = {n: a.shape for n, a in arrays.items() if shape.tensors().get(n, ()) != a.shape}
    missing = shape.tensors().keys() - arrays.keys()
    if wrong or missing:
        raise ValueError(f"weights do not fit {shape}: wrong {wrong}, missing {sorted(missing)}")

    arrays = {n: a.astype(np.float32) if a.ndim == 1 else a for n, a in arrays.items()}
    kinds = {n: {"float32": "F32", "float16": "F16"}[str(a.dtype)] for n, a in arrays.items()}
    layout = {n: (kinds[n], a.shape) for n, a in arrays.items()}
    write_gguf(path, {**llama_metadata(shape), **(extra or {})}, layout, arrays.__getitem__)


def llama_metadata(shape: LlamaShape) -> dict[str, tuple[Any, str]]:
    """Returns the keys that llama.cpp requires. There is no tokenizer, because such a model is fed embeddings."""
    whole = {
        "block_count": shape.layers,
        "context_length": shape.context,
        "embedding_length": shape.width,
        "feed_forward_length": shape.ffn,
        "vocab_size": shape.vocab,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "rope.dimension_count": shape.head_width,
    }
    real = {"attention.layer_norm_rms_epsilon": shape.norm_eps, "rope.freq_base": shape.rope_base}

    return {
        "general.architecture": ("llama", "STRING"),
        "tokenizer.ggml.model": ("no_vocab", "STRING"),
        **{f"llama.{key}": (value, "UINT32") for key, value in whole.items()},
        **{f"llama.{key}": (value, "FLOAT32") for key, value in real.items()},
    }


def tensor_bytes(kind: str, shape: tuple[int, ...]) -> int:
    """Returns the bytes of a tensor.

    Raises: ValueError if a row is not a whole number of the type's blocks."""
    module = _gguf()
    block, size = module.GGML_QUANT_SIZES[module.GGMLQuantizationType[kind]]
    if shape[-1] % block:
        raise ValueError(f"{kind} needs rows of a multiple of {block}, got {shape}")
    return int(np.prod(shape)) // block * size


def _gguf() -> Any:
    try:
        import gguf
    except ImportError:
        raise DependencyMissingError("GGUF files need the package gguf: pip install 'rarrl[llama]'") from None
    return gguf


def _entry(field: gguf.ReaderField) -> tuple[Any, str]:
    kinds = [kind.name for kind in field.types]
    if kinds == ["ARRAY"]:  # without entries; their type is not read
        return [], "[]"
    return field.contents(), f"{kinds[1]}[]" if kinds[0] == "ARRAY" else kinds[0]


def _tensor(found: gguf.ReaderTensor) -> Tensor:
    shape = tuple(int(n) for n in reversed(found.shape))
    if not shape or min(shape) < 1:
        raise ValueError(f"{found.name} has shape {shape}")
    if not _readable(found.tensor_type.name):
        raise InputError(
            f"tensor {found.name} is {found.tensor_type.name}, which is no type of weights here; export F16"
        )
    if found.data.nbytes != tensor_bytes(found.tensor_type.name, shape):
        raise ValueError(f"{found.name} is cut off")

    return Tensor(found.tensor_type.name, shape, found.data)


@functools.cache
def _readable(kind: str) -> bool:
    """Whether the values of such a tensor can be read here: not those of integers, F64, or the newest types."""
    if kind in ("F32", "F16"):
        return True
    module = _gguf()
    number = module.GGMLQuantizationType[kind]
    try:
        module.quants.dequantize(np.zeros((1, module.GGML_QUANT_SIZES[number][1]), np.uint8), number)
    except NotImplementedError:
        return False
    return True


def _dequantize(tensor: Tensor) -> np.ndarray:
    if tensor.type in ("F32", "F16"):
        return tensor.data.astype(np.float32)
    module = _gguf()
    return module.quants.dequantize(tensor.data, module.GGMLQuantizationType[tensor.type])


def _shape(metadata: dict[str, Any]) -> LlamaShape:
    """Reads the shape. Raises: InputError if the file asks for something that our torch model does not compute."""

    def real(key: str, default: float | None = None) -> float:
        value = metadata.get(f"llama.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise InputError(f"llama.{key} must be one number, got {str(value)[:40]}; export the model again")
        return value

    def whole(key: str, default: int | None = None) -> int:
        value = real(key, default)
        if not isinstance(value, int):
            raise InputError(f"llama.{key} must be a whole number, got {value}; export the model again")
        return value

    architecture = metadata.get("general.architecture")
    if architecture != "llama":
        raise InputError(f"general.architecture is {str(architecture)[:40]!r}, only 'llama' is known here")

    tokens = metadata.get("tokenizer.ggml.tokens")
    known = len(tokens) if isinstance(tokens, list) else metadata.get("llama.vocab_size")
    if known is None:
        raise InputError("neither llama.vocab_size nor tokenizer.ggml.tokens says how many tokens there are; add one")
    if not isinstance(metadata.get("tokenizer.ggml.model"), str):
        raise InputError("tokenizer.ggml.model is missing, which llama.cpp needs; no_vocab means none")

    shape = LlamaShape(
        layers=whole("block_count"),
        width=whole("embedding_length"),
        heads=whole("attention.head_count"),
        kv_heads=whole("attention.head_count_kv", metadata.get("llama.attention.head_count")),
        ffn=whole("feed_forward_length"),
        context=whole("context_length"),
        vocab=len(tokens) if isinstance(tokens, list) else whole("vocab_size"),
        rope_base=real("rope.freq_base", 10000.0),
        norm_eps=real("attention.layer_norm_rms_epsilon"),
    )

    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        if whole(key, shape.head_width) != shape.head_width:
            raise InputError(f"llama.{key} is {whole(key)}, only width / heads = {shape.head_width} is known here")

    for key, neutral in _NEUTRAL.items():
        value = metadata.get(f"llama.{key}")
        if value is not None and value not in neutral and value != []:
            raise InputError(
                f"llama.{key} is {str(value)[:40]}: a Llama with scaled positions or scores, or with experts, is not "
                "known here; take a plain one"
            )
    return shape


def _check_tensors(gguf: Gguf) -> None:
    expected = gguf.shape.tensors()
    for name, shape in expected.items():
        if name not in gguf.tensors:
            raise InputError(f"{gguf.path}: tensor {name} is missing; export the model again")
        if gguf.tensors[name].shape != shape:
            found = gguf.tensors[name].shape
            raise InputError(f"{gguf.path}: {name} has shape {found}, the metadata asks for {shape}")

    optional = {
        "output.weight": (gguf.shape.vocab, gguf.shape.width),
        "rope_freqs.weight": (gguf.shape.head_width // 2,),
    }
    for name in OPTIONAL:
        if name in gguf.tensors and gguf.tensors[name].shape != optional[name]:
            raise InputError(f"{gguf.path}: {name} has shape {gguf.tensors[name].shape}, must be {optional[name]}")

    vectors = [name for name, tensor in gguf.tensors.items() if len(tensor.shape) == 1 and tensor.type != "F32"]
    if vectors:
        raise InputError(
            f"{gguf.path}: {vectors[0]} is {gguf.tensors[vectors[0]].type}; norms must be F32, in which llama.cpp "
            "computes them; export the model again"
        )

    unknown = [name for name in gguf.tensors if name not in (*expected, *OPTIONAL)]
    if unknown:
        raise InputError(
            f"{gguf.path}: tensor {unknown[0]} is not part of a plain Llama, and would be left out of the computation "
            "here; take a model without it"
        )
