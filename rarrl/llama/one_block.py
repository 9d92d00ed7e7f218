"""Computes a Llama of one block with numpy: what is read, and what that looks at, and nothing else.

With llama.cpp, a call of a few tokens costs more than their products: its cache has 256 cells, all of which are looked
at, and a token whose hidden state nobody reads goes through the whole block. In one block a token's key and value
depend on its own embedding alone, so that they are all that such a token needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rarrl.errors import InputError
from rarrl.llama.gguf import Gguf
from rarrl.llama.runtime import InterruptedDecodeError

PIECE = 256
"""Columns of a matrix that are multiplied at once."""


class OneBlock:
    """As `LlamaRuntime.decode_blocks` and `forget`, for one thread, in float32. Quantized weights are unpacked.

    Raises: ValueError for a file that `allows` refuses."""

    def __init__(self, gguf: Gguf, max_tokens: int) -> None:
        if not self.allows(gguf):
            raise ValueError("a Llama of one block with as many key heads as heads is needed")
        shape = gguf.shape
        self._width, self._heads, self._head = shape.width, shape.heads, shape.head_width
        self._eps = np.float32(shape.norm_eps)
        self._max_tokens = max_tokens
        self._used = 0

        # (in, out), row by row in memory: a product of few tokens takes six times as long with a transposed view. A
        # norm's factors are part of the matrix after it.
        def matrix(*names: str, norm: str = "") -> np.ndarray:
            rows = np.concatenate([gguf.values(f"blk.0.{name}.weight") for name in names])
            return np.ascontiguousarray((rows * gguf.values(f"blk.0.{norm}.weight") if norm else rows).T, np.float32)

        self._query = matrix("attn_q", norm="attn_norm") / np.sqrt(np.float32(self._head))
        self._key_value = matrix("attn_k", "attn_v", norm="attn_norm")
        self._output = matrix("attn_output")

        # (pieces, in, out): OpenBLAS has quicker kernels for products of less than a million multiplications.
        pieces = shape.ffn // PIECE if shape.ffn % PIECE == 0 else 1
        gate, up = (
            np.stack(np.split(matrix(f"ffn_{name}", norm="ffn_norm"), pieces, axis=1)) for name in ("gate", "up")
        )
        self._gate_up = np.concatenate([gate, up])
        self._down = np.stack(np.split(matrix("ffn_down"), pieces))
        self._last = gguf.values("output_norm.weight").astype(np.float32)

        # Rotary positions turn the pairs (0, 1), (2, 3), ... of each head: complex numbers, times these.
        turns = shape.rope_base ** (-np.arange(0, self._head, 2) / self._head)
        angles = np.outer(np.arange(max_tokens), turns)
        self._rotation = np.exp(1j * angles).astype(np.complex64)[:, None]  # (tokens, 1, half a head)

        kept = (self._heads, max_tokens, self._head)
        self._keys, self._values = np.zeros(kept, np.float32), np.zeros(kept, np.float32)
        self._asked: tuple[int, np.ndarray] | None = None  # position and embeddings of the rows read last
        self._queries = np.empty((self._heads, 0, self._head), np.float32)

    @staticmethod
    def allows(gguf: Gguf) -> bool:
        """Whether a file can be computed here."""
        shape = gguf.shape
        return shape.layers == 1 and shape.heads == shape.kv_heads and "rope_freqs.weight" not in gguf.tensors

    def decode_blocks(
        self, blocks: Sequence[np.ndarray], read: int, stop: Callable[[], bool] | None = None
    ) -> np.ndarray:
        """See `LlamaRuntime`; `stop` is asked once, before the first product."""
        asked = blocks[-1][-read:]
        parts = [*blocks[:-1], blocks[-1][:-read]]
        place = self._used + sum(map(len, parts))
        end = place + read
        if any(x.ndim != 2 or x.shape[1] != self._width for x in blocks) or not 0 < read <= len(blocks[-1]):
            raise ValueError(
                f"embeddings must be (tokens, {self._width}), got {[x.shape for x in blocks]}, read {read}"
            )
        if end > self._max_tokens:
            raise InputError(f"{self._used} + {end - self._used} tokens, the context holds {self._max_tokens}")
        if not all(np.isfinite(x).all() for x in blocks):
            raise InputError("embeddings hold NaN or infinity")
        if stop is not None and stop():
            raise InterruptedDecodeError("decoding was stopped")

        for x in parts:  # not as one product: a row's last bits depend on how many there are
            self._keep(self._used, x)
            self._used += len(x)
        if self._asked is None or self._asked[0] != place or not np.array_equal(self._asked[1], asked):
            self._keep(place, asked)
            self._queries = self._turned(self._normed(asked) @ self._query, place).transpose(1, 0, 2)
            self._asked = place, asked.copy()
        self._used = end

        scores = self._queries @ self._keys[:, :end].transpose(0, 2, 1)
        scores -= scores.max(axis=2, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=2, keepdims=True)
        mixed = (scores @ self._values[:, :end]).transpose(1, 0, 2).reshape(read, self._width)

        x = asked + mixed @ self._output
        gate, up = np.split(self._normed(x) @ self._gate_up, 2)
        x += (_silu(gate) * up @ self._down).sum(axis=0)
        return self._normed(x) * self._last

    def forget(self, first: int = 0) -> None:
        """See `LlamaRuntime`."""
        self._used = min(self._used, first)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _keep(self, place: int, x: np.ndarray) -> None:
        """Keys and values of embeddings, from position `place` on. Rows that were read there are not there any more."""
        if not len(x):
            return
        if self._asked is not None and self._asked[0] < place + len(x):
            self._asked = None
        keys, values = np.split(self._normed(x) @ self._key_value, 2, axis=1)
        self._keys[:, place : place + len(x)] = self._turned(keys, place).transpose(1, 0, 2)
        self._values[:, place : place + len(x)] = values.reshape(len(x), self._heads, self._head).transpose(1, 0, 2)

    def _turned(self, x: np.ndarray, place: int) -> np.ndarray:
        """(tokens, heads, head) of (tokens, width), turned by their positions from `place` on."""
        pairs = np.ascontiguousarray(x).view(np.complex64).reshape(len(x), self._heads, -1)
        return (pairs * self._rotation[place : place + len(x)]).view(np.float32)

    def _normed(self, x: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.einsum("ij,ij->i", x, x)[:, None] / np.float32(self._width) + self._eps)


def _silu(x: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)), without an overflow where x is far below 0."""
    return x * (0.5 + 0.5 * np.tanh(0.5 * x))
