"""Computes hidden states or logits of embeddings with llama.cpp, through the C functions of llama-cpp-python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError, RarrlError
from rarrl.llama.gguf import read_gguf
from rarrl.llama.library import llama_library


class InterruptedDecodeError(RarrlError):
    """The caller stopped the computation; the cache is as it was before."""


class LlamaRuntime:
    """A model with one context, for one thread at a time. Close it, or use it in a `with` statement.

    `read_gguf` checks the file first, because llama.cpp ends the process on some damaged files.

    Args:
        path: a Llama-architecture GGUF file
        max_tokens: the largest number of tokens that are kept, and decoded at once
        threads: of the computation
        exact: keep keys and values in float32, not float16 (results differ by up to 1e-2)
        fused: use llama.cpp's flash attention, which rounds differently and is slower on a CPU; not with `exact`

    Raises: InputError, DependencyMissingError."""

    def __init__(self, path: Path, max_tokens: int, threads: int = 1, exact: bool = False, fused: bool = False) -> None:
        llama_cpp: Any = llama_library()
        self._lib = llama_cpp
        self._model: Any = None
        self._context: Any = None

        shape = read_gguf(path).shape
        self._width = shape.width
        self._vocab = shape.vocab
        self._max_tokens = max_tokens
        self._used = 0
        self._stop: Callable[[], bool] = _never

        _quiet(llama_cpp)
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0

        # Its AMX kernels crash on quantized weights (seen with 0.3.36 on Xeons that have AMX); see
        # docs/explanation/quantization.md.
        parameters.use_extra_bufts = False
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise InputError(f"{path}: llama.cpp cannot load it; export the model again")

        self._context = llama_cpp.llama_init_from_model(self._model, self._parameters(threads, exact, fused))
        if not self._context:
            raise InputError(f"{path}: llama.cpp has no memory for {max_tokens} tokens; ask for fewer")

        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(max_tokens, self._width, 1)

        # The batch is used as arrays: filling it field by field would take as long as computing a small block.
        self._embeddings = np.ctypeslib.as_array(self._batch.embd, (max_tokens, self._width))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (max_tokens,))
        self._read = np.ctypeslib.as_array(self._batch.logits, (max_tokens,))

        for i in range(max_tokens):
            self._batch.n_seq_id[i], self._batch.seq_id[i][0] = 1, 0

        # C code calls it at every node of the graph: it must outlive the context and must not raise.
        self._callback = llama_cpp.ggml_abort_callback(lambda _: self._stop())
        self._no_callback = llama_cpp.ggml_abort_callback()

    @property
    def width(self) -> int:
        """The size of an embedding."""
        return self._width

    def decode(
        self,
        embeddings: np.ndarray,
        causal: bool = False,
        stop: Callable[[], bool] | None = None,
        read: bool = True,
    ) -> np.ndarray:
        """Appends tokens to those kept, and returns their hidden states after the last norm.

        Args:
            embeddings: (tokens, width) float32
            causal: each token sees itself and those before it; otherwise all tokens of this call and all kept ones
            stop: called every few milliseconds while computing; True ends the computation
            read: False if only later tokens attend to these; most of the last block is then left out

        Returns: (tokens, width) float32, a copy; (0, width) if nothing is read.
        Raises: ValueError for a wrong shape, InputError for NaN or too many tokens, InterruptedDecodeError."""
        self._compute(embeddings, causal, 0 if read else len(embeddings), read, stop)
        if not read:
            return np.empty((0, self._width), np.float32)
        found = self._lib.llama_get_embeddings(self._context)
        return np.ctypeslib.as_array(found, (len(embeddings), self._width)).copy()

    def decode_blocks(
        self, blocks: Sequence[np.ndarray], read: int, stop: Callable[[], bool] | None = None
    ) -> np.ndarray:
        """Appends blocks, each (tokens, width) float32; a token sees its own block and those before.

        read: how many tokens at the end of the last block are read. Returns: their hidden states after the last norm,
        (read, width) float32, a copy. Raises: as `decode`; of the blocks, none is kept then."""
        before = self._used
        try:
            for block in blocks[:-1]:
                self.decode(block, stop=stop, read=False)
            return self.decode(blocks[-1], stop=stop)[-read:]
        except RarrlError:
            self.forget(before)
            raise

    def logits(self, embeddings: np.ndarray, stop: Callable[[], bool] | None = None) -> np.ndarray:
        """Appends tokens causally, as `decode` does, and returns the logits, (vocab,) float32, of the next token."""
        self._compute(embeddings, True, len(embeddings) - 1, False, stop)
        return np.ctypeslib.as_array(self._lib.llama_get_logits_ith(self._context, -1), (self._vocab,)).copy()

    def tokens(self, text: str) -> list[int]:
        """Returns the ids of `text` by the file's own tokenizer, beginning with the mark of a sequence's start.

        What looks like a control token in `text` is read as text.

        Raises: InputError if the file holds no tokenizer."""
        lib = self._lib
        data = text.encode("utf-8", "replace")
        vocabulary = lib.llama_model_get_vocab(self._model)
        if lib.llama_vocab_type(vocabulary) == lib.LLAMA_VOCAB_TYPE_NONE:  # llama.cpp would end the process
            raise InputError("the GGUF file holds no tokenizer; export the model with its own")

        ids = (lib.llama_token * (len(data) + 8))()
        count = lib.llama_tokenize(vocabulary, data, len(data), ids, len(ids), True, False)
        if count < 0:
            raise RarrlError(f"llama.cpp could not cut {len(data)} bytes into tokens (code {count})")

        return ids[:count]

    def _compute(
        self, embeddings: np.ndarray, causal: bool, read_from: int, hidden: bool, stop: Callable[[], bool] | None
    ) -> None:
        """Decodes the tokens; those from `read_from` on are read: their hidden states if `hidden`, else their
        logits."""
        lib = self._lib
        n = len(embeddings)
        if embeddings.ndim != 2 or embeddings.shape[1] != self._width or n == 0:
            raise ValueError(f"embeddings must be (tokens, {self._width}), got {embeddings.shape}")
        if self._used + n > self._max_tokens:  # llama.cpp would end the process
            raise InputError(f"{self._used} + {n} tokens, the context holds {self._max_tokens}")
        if not np.isfinite(embeddings).all():
            raise InputError("embeddings hold NaN or infinity")

        self._embeddings[:n] = embeddings
        self._positions[:n] = np.arange(self._used, self._used + n)
        self._read[:n] = np.arange(n) >= read_from
        self._batch.n_tokens = n

        lib.llama_set_causal_attn(self._context, causal)
        lib.llama_set_embeddings(self._context, hidden)
        self._stop = stop or _never
        lib.llama_set_abort_callback(self._context, self._callback if stop else self._no_callback, None)
        code = lib.llama_decode(self._context, self._batch)
        self._stop = _never

        if code:
            self.forget(self._used)
            if code == 2:
                raise InterruptedDecodeError("decoding was stopped")
            raise RarrlError(f"llama.cpp could not decode {n} tokens (code {code})")

        self._used += n

    def forget(self, first: int = 0) -> None:
        """Drops all tokens from position `first` on; the prefix before it need not be computed again."""
        self._lib.llama_memory_seq_rm(self._memory, 0, first, -1)
        self._used = min(self._used, first)

    def close(self) -> None:
        """Frees the model. It may be called twice."""
        if self._context:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)

        if self._model:
            self._lib.llama_model_free(self._model)

        self._model = self._context = None

    def __enter__(self) -> LlamaRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parameters(self, threads: int, exact: bool, fused: bool) -> Any:
        lib = self._lib
        parameters = lib.llama_context_default_params()

        # One micro-batch must hold all tokens of bidirectional attention, or llama.cpp ends the process.
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = self._max_tokens
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.embeddings = True
        parameters.pooling_type = lib.LLAMA_POOLING_TYPE_NONE

        # The fused kernel reads 256 cells one by one; on a CPU the plain products are faster and more exact.
        if not fused:
            parameters.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED

        if exact:
            parameters.type_k = parameters.type_v = lib.GGML_TYPE_F32

        return parameters


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _say_nothing(level: int, text: bytes, data: object) -> None:
    """Drops a line of llama.cpp's log: it prints a page for each model, and what matters comes as return codes."""


def _never() -> bool:
    return False


def _quiet(lib: Any) -> None:
    lib.llama_log_set(_say_nothing, None)
