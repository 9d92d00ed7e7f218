"""Quantizes matrices with ggml's own quantizer, through libggml-base of the installed llama-cpp-python.

It is called row by row, so that every weight can have an importance of its own. For an importance per column the bytes
are those that llama.cpp writes. ggml ends the process on some arguments; these are refused before."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError

TYPES = {
    "Q4_0": 2,
    "Q5_0": 6,
    "Q8_0": 8,
    "Q2_K": 10,
    "Q3_K": 11,
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
    "IQ2_XXS": 16,
    "IQ2_XS": 17,
    "IQ3_XXS": 18,
    "IQ1_S": 19,
    "IQ2_S": 22,
    "IQ4_XS": 23,
    "IQ1_M": 29,
}
"""Type -> its number in ggml.h, enum ggml_type. The numbers never change, because they are in the files."""
MENU = (
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS"),
    *("Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0"),
)
"""Types that the allocation chooses from, by rising bits per weight; of two types of one size (Q3_K, IQ3_S) the
faster."""
LARGEST = 3e4
"""Largest size of a weight: beyond it the float16 scales of a block overflow."""
FLOOR = 0.1
"""Share of the mean importance that is added to each one. A weight that never mattered in calibration may matter later,
and ggml cannot weight a block of zeros. The value was chosen by hand."""


class _Traits(ctypes.Structure):
    """ggml.h, struct ggml_type_traits."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleave", ctypes.c_int64),
        ("size", ctypes.c_size_t),
        ("quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_float), ctypes.c_int64)),
        ("from_float", ctypes.c_void_p),
    )


@functools.cache
def _library() -> Any:
    found = importlib.util.find_spec("llama_cpp")
    if found is None or found.origin is None:
        raise DependencyMissingError("quantizing needs llama.cpp: pip install 'rarrl[llama]'")

    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH", Path(found.origin).parent / "lib"))
    for name in ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll"):
        if (folder / name).exists():
            library = ctypes.CDLL(str(folder / name))
            break
    else:
        raise DependencyMissingError(f"{folder} holds no ggml-base library; reinstall llama-cpp-python")

    library.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        *[ctypes.c_void_p] * 2,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
    ]

    for kind, number in TYPES.items():
        # An unknown version could have another layout of the struct or other numbers, so both are checked.
        if library.ggml_get_type_traits(number).contents.type_name.decode().lower() != kind.lower():
            raise DependencyMissingError(f"this llama.cpp numbers {kind} differently; take llama-cpp-python 0.3")

    return library


def _traits(kind: str) -> _Traits:
    return _library().ggml_get_type_traits(TYPES[kind]).contents


@functools.cache
def bits_per_weight(kind: str) -> float:
    """Returns the bits per weight, scales included, such as 4.5 for Q4_K."""
    return 8 * _traits(kind).size / _traits(kind).block


def block_size(kind: str) -> int:
    """Returns how many weights are rounded together: 256 or 32."""
    return _traits(kind).block


def fits(kind: str, columns: int) -> bool:
    """Returns whether a row of `columns` weights is a whole number of blocks of this type."""
    return columns % _traits(kind).block == 0


def row_bytes(kind: str, columns: int) -> int:
    """Returns the bytes of a row in this type, -1 if it is not a whole number of blocks."""
    return columns // _traits(kind).block * _traits(kind).size if fits(kind, columns) else -1


def quantize(kind: str, weights: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
    """Quantizes a matrix to blocks.

    Args:
        weights: (rows, columns) float32, finite, at most 30,000 in size
        importance: of each weight (rows, columns) or of each column (columns,), not negative; only ratios count.
            None: all weights are equally important, as in ggml without an importance matrix

    Returns: (rows, bytes of a row) uint8.
    Raises: InputError for weights or an importance outside these bounds; ValueError for rows of broken blocks."""
    rows, columns = weights.shape
    if not fits(kind, columns):
        raise ValueError(f"{kind} needs rows of a multiple of {_traits(kind).block}, got {columns}")
    if not np.abs(weights).max(initial=0) <= LARGEST:  # NaN too
        raise InputError(f"weights must be finite and at most {LARGEST:.0f} in size to be quantized")

    weights = np.ascontiguousarray(weights, np.float32)
    library = _library()
    number = TYPES[kind]

    if importance is None:
        required = library.ggml_quantize_requires_imatrix(number)
        floored = np.ones((1, columns), np.float32) if required else None
    else:
        floored = _floored(np.atleast_2d(importance), weights.shape)

    blocks = np.empty((rows, row_bytes(kind, columns)), np.uint8)
    together = floored is None or len(floored) == 1  # one importance for all rows needs one call
    for row in range(1 if together else rows):
        library.ggml_quantize_chunk(
            number,
            weights[row:].ctypes.data,
            blocks[row:].ctypes.data,
            0,
            rows if together else 1,
            columns,
            None if floored is None else floored[row:].ctypes.data,
        )

    return blocks


def dequantize(kind: str, blocks: np.ndarray, columns: int) -> np.ndarray:
    """Returns the weights, (rows, columns) float32, in the blocks that `quantize` returned."""
    values = np.empty((len(blocks), columns), np.float32)
    blocks = np.ascontiguousarray(blocks)
    _traits(kind).to_float(blocks.ctypes.data, values.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), values.size)
    return values


def rounded(kind: str, weights: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
    """Returns the weights as they are after quantization, float32."""
    return dequantize(kind, quantize(kind, weights, importance), weights.shape[1])


def _floored(importance: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if importance.shape not in (shape, (1, shape[1])):
        raise ValueError(f"importance must be {shape} or ({shape[1]},), got {importance.shape}")
    if not np.isfinite(importance).all() or importance.min() < 0:
        raise InputError("an importance must be finite and not negative; calibrate with more frames")

    mean = importance.mean(dtype=np.float64)
    if mean == 0:
        return np.ones_like(importance, np.float32)
    return np.ascontiguousarray(importance / mean + FLOOR, np.float32)
