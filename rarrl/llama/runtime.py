"""llama.cpp computes hidden states of embeddings, through the plain C functions of llama-cpp-python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import DependencyMissingError, InputError, RarrlError
from rarrl.llama.gguf import read_gguf


class InterruptedDecodeError(RarrlError):
    """The computation was stopped by the caller; the cache is as before it."""


class LlamaRuntime:
    """A model and one context; for one thread at a time. Close it, or use it with `with`.

    The file is checked by `read_gguf` first: llama.cpp ends the process on some damaged files.

    Args:
        path: a Llama-architecture GGUF file
        max_tokens: most tokens kept and decoded at once
        threads: of the computation
        exact: attention in float32 throughout, not float16 (up to 1e-2 of difference)

    Raises: InputError, DependencyMissingError."""

    def __init__(self, path: Path, max_tokens: int, threads: int = 1, exact: bool = False) -> None:
        try:
            import llama_cpp
        except ImportError:
            raise DependencyMissingError("llama.cpp is not installed: pip install 'rarrl[llama]'") from None
        self._lib: Any = llama_cpp
        self._model: Any = None
        self._context: Any = None
        self._width = read_gguf(path).shape.width
        self._max_tokens = max_tokens
        self._used = 0
        self._stop: Callable[[], bool] = _never
        _quiet(llama_cpp)
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise InputError(f"{path}: llama.cpp cannot load it; export the model again")
        self._context = llama_cpp.llama_init_from_model(self._model, self._parameters(threads, exact))
        if not self._context:
            raise InputError(f"{path}: llama.cpp has no memory for {max_tokens} tokens; ask for fewer")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(max_tokens, self._width, 1)
        # The batch as arrays: filling it field by field would take as long as a small block's computation.
        self._embeddings = np.ctypeslib.as_array(self._batch.embd, (max_tokens, self._width))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (max_tokens,))
        self._read = np.ctypeslib.as_array(self._batch.logits, (max_tokens,))
        for i in range(max_tokens):
            self._batch.n_seq_id[i], self._batch.seq_id[i][0] = 1, 0
        # Called at every node of the graph, from C: must outlive the context, must not raise.
        self._callback = llama_cpp.ggml_abort_callback(lambda _: self._stop())
        self._no_callback = llama_cpp.ggml_abort_callback()

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
            causal: each token sees itself and what is before it; otherwise all tokens of this call and all kept ones
            stop: asked often (milliseconds) while computing; True ends it
            read: False where only later tokens look at these: most of the last block is left out

        Returns: (tokens, width) float32, a copy; nothing, (0, width), where it is not read.
        Raises: ValueError for a wrong shape, InputError for NaN or too many tokens, InterruptedDecodeError."""
        lib, n = self._lib, len(embeddings)
        if embeddings.ndim != 2 or embeddings.shape[1] != self._width or n == 0:
            raise ValueError(f"embeddings must be (tokens, {self._width}), got {embeddings.shape}")
        if self._used + n > self._max_tokens:  # llama.cpp would end the process
            raise InputError(f"{self._used} + {n} tokens, the context holds {self._max_tokens}")
        if not np.isfinite(embeddings).all():
            raise InputError("embeddings hold NaN or infinity")
        self._embeddings[:n] = embeddings
        self._positions[:n] = np.arange(self._used, self._used + n)
        self._read[:n] = read
        self._batch.n_tokens = n
        lib.llama_set_causal_attn(self._context, causal)
        lib.llama_set_embeddings(self._context, read)
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
        if not read:
            return np.empty((0, self._width), np.float32)
        return np.ctypeslib.as_array(lib.llama_get_embeddings(self._context), (n, self._width)).copy()

    def forget(self, first: int = 0) -> None:
        """Drops all tokens from position `first` on: a prefix that did not change is not computed again."""
        self._lib.llama_memory_seq_rm(self._memory, 0, first, -1)
        self._used = min(self._used, first)

    def close(self) -> None:
        """Frees the model; calling twice is allowed."""
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

    def _parameters(self, threads: int, exact: bool) -> Any:
        lib = self._lib
        parameters = lib.llama_context_default_params()
        # One micro-batch must hold all tokens of bidirectional attention, or llama.cpp ends the process.
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = self._max_tokens
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.embeddings = True
        parameters.pooling_type = lib.LLAMA_POOLING_TYPE_NONE
        if exact:
            parameters.type_k = parameters.type_v = lib.GGML_TYPE_F32
            parameters.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it rounds queries to float16
        return parameters


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _say_nothing(level: int, text: bytes, data: object) -> None:
    """llama.cpp prints a page for each model; what matters comes back as return codes."""


def _never() -> bool:
    return False


def _quiet(lib: Any) -> None:
    lib.llama_log_set(_say_nothing, None)
