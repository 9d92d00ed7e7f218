"""The process that runs llama.cpp: `python -m rarrl.reasoner.worker`, started by `process.py`.

A model file is untrusted input to C++ code, and a computation cannot be stopped from outside, so both live here, where
a crash or a hang costs one process. Each line on stdin and stdout is one JSON object of at most `MAX_LINE` bytes. The
first line in is {"model", "n_ctx", "threads", "max_gb"}, the first one out {"ready": {...}} or {"error": why}.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import math
import os
import resource
import sys
import time
from typing import Any, BinaryIO

import numpy as np

from rarrl.worker_process import worker_streams

MAX_LINE = 60_000
"""Bytes of one message. It fits into an empty pipe (64 KiB on Linux), so writing never waits for a process that
hangs."""
_BATCH = 512
"""Tokens that llama.cpp reads at a time: its own default for physical batches."""
_ABORTED = 2
"""What llama_decode returns if the abort callback ended it."""
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class DeadlineError(Exception):
    """The deadline of the call has passed."""


class RefusedError(Exception):
    """The request cannot be carried out; the message says why."""


class Model:
    """One model with one context. It writes greedy or sampled text under a grammar, and computes what two successive
    prompts share only once."""

    def __init__(self, path: str, n_ctx: int, threads: int, max_gb: float) -> None:
        """Loads the file `path`. n_ctx: tokens of prompt and answer. max_gb: address space without a GPU, GiB.

        Raises: RefusedError if llama.cpp does not take the file."""
        from llama_cpp import llama_cpp as lib

        self._lib = lib
        self._log: list[str] = []
        self._log_callback = lib.llama_log_callback(self._keep_log)
        lib.llama_log_set(self._log_callback, ctypes.c_void_p(0))

        lib.llama_backend_init()
        params = lib.llama_model_default_params()

        if lib.llama_supports_gpu_offload():
            params.n_gpu_layers = 999
        else:  # not with a GPU, because CUDA maps far more addresses than it uses
            _limit_memory(max_gb)

        params.check_tensors = True
        params.use_extra_bufts = False  # its AMX kernels crash: they load a tile configuration half of which is not set
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise RefusedError("llama.cpp refuses the file: " + (" ".join(" ".join(self._log).split()) or "no reason"))

        self._model = model
        self._vocab = lib.llama_model_get_vocab(model)
        self._n_vocab = int(lib.llama_vocab_n_tokens(self._vocab))
        context = lib.llama_context_default_params()
        trained = int(lib.llama_model_n_ctx_train(model))
        context.n_ctx = min(n_ctx, trained) if trained > 0 else n_ctx
        context.n_batch = context.n_ubatch = _BATCH
        context.n_threads = context.n_threads_batch = threads
        self._deadline = math.inf
        self._abort = lib.ggml_abort_callback(lambda _: time.monotonic() > self._deadline)

        self._ctx = lib.llama_init_from_model(model, context)
        if not self._ctx:
            raise RefusedError("llama.cpp makes no context: " + " ".join(" ".join(self._log).split()))

        lib.llama_set_abort_callback(self._ctx, self._abort, ctypes.c_void_p(0))
        self.n_ctx = int(lib.llama_n_ctx(self._ctx))
        self._memory = lib.llama_get_memory(self._ctx)
        self._batch = lib.llama_batch_init(_BATCH, 0, 1)
        self._cached: list[int] = []

    def _keep_log(self, level: int, text: bytes, _: Any) -> None:
        if level >= 3:  # warnings and errors
            self._log = [*self._log[-5:], text.decode("utf-8", "replace").strip()]

    def describe(self) -> dict[str, Any]:
        """Returns what the parent process should know about the model."""
        return {
            "name": self.metadata("general.name"),
            "n_ctx": self.n_ctx,
            "n_vocab": self._n_vocab,
            "parameters": int(self._lib.llama_model_n_params(self._model)),
            "chat": self._lib.llama_model_chat_template(self._model, None) is not None,
        }

    def metadata(self, key: str) -> str:
        """Returns a text of the file's metadata, or "" if there is none."""
        buffer = ctypes.create_string_buffer(256)
        found = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if found >= 0 else ""

    def tokens(self, prompt: str | list[list[str]]) -> list[int]:
        """Returns the token ids of a text, or of [role, content] messages, which go through the model's chat
        template."""
        return (
            self._tokenize(prompt, start=False) if isinstance(prompt, str) else self._tokenize(self._chat(prompt), True)
        )

    def _tokenize(self, text: str, start: bool) -> list[int]:
        data = text.encode("utf-8")
        size = len(data) + 8
        buffer = (self._lib.llama_token * size)()

        n = self._lib.llama_tokenize(self._vocab, data, len(data), buffer, size, start, True)
        if n < 0:
            raise RefusedError("the prompt has no tokens of this model")
        return list(buffer[:n])

    def _chat(self, messages: list[list[str]]) -> str:
        lib = self._lib
        template = lib.llama_model_chat_template(self._model, None)
        if template is None:
            raise RefusedError("the model has no chat template: it is no instruction-tuned model")

        # This uses llama.cpp's built-in templates: the file's own one is code (Jinja) and is not run.
        array = (lib.llama_chat_message * len(messages))(
            *(lib.llama_chat_message(role.encode(), content.encode()) for role, content in messages)
        )
        buffer = ctypes.create_string_buffer(2 * sum(len(c.encode()) for _, c in messages) + 4096)
        n = lib.llama_chat_apply_template(template, array, len(messages), True, buffer, len(buffer))
        if not 0 <= n <= len(buffer):
            raise RefusedError("llama.cpp does not know the model's chat template")

        return buffer.raw[:n].decode("utf-8")

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Writes text for a prompt. The fields of `request` are the arguments of `LanguageModel.complete`.

        Raises: DeadlineError, RefusedError."""
        started = time.monotonic()
        self._deadline = request["deadline"]
        prompt = self.tokens(request["prompt"])

        room = self.n_ctx - len(prompt)
        if not prompt or room < 1:
            raise RefusedError(f"the prompt has {len(prompt)} tokens (allowed: 1 to {self.n_ctx - 1})")

        grammar = request["grammar"] or (_gbnf(json.dumps(request["schema"])) if request["schema"] else "")
        rng = np.random.default_rng(request["seed"])

        text = b""
        out = 0
        total = 0.0
        ttft = 0.0
        finish = "length"
        alternatives = []
        with self._grammar(grammar) as rules:
            logits = self._feed(prompt)[0]
            while out < min(request["max_tokens"], room):
                if time.monotonic() > self._deadline:
                    raise DeadlineError

                token, log_p = self._choose(logits, rules, request["temperature"], rng)
                if out == 0:
                    ttft = time.monotonic() - started

                out = out + 1
                total = total + log_p
                if request["alternatives"]:
                    alternatives.append(self._likeliest(logits, request["alternatives"]))

                if self._lib.llama_vocab_is_eog(self._vocab, token):
                    finish = "stop"
                    break

                text += self._piece(token)
                if rules:
                    self._lib.llama_sampler_accept(rules, token)

                if out < min(request["max_tokens"], room):
                    logits = self._feed([*self._cached, token])[0]

        return {
            "text": text.decode("utf-8", "replace"),
            "finish": finish,
            "tokens_in": len(prompt),
            "tokens_out": out,
            "ttft_s": ttft,
            "confidence": total / max(out, 1),
            "alternatives": alternatives,
            "seconds": time.monotonic() - started,
        }

    def score(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the summed log-probability of each of `texts` after `prompt`. Raises: DeadlineError, RefusedError."""
        started = time.monotonic()
        self._deadline = request["deadline"]
        prompt = self.tokens(request["prompt"])
        scores = []
        read = len(prompt)

        for text in request["texts"]:
            tokens = self._tokenize(text, start=False)
            if not prompt or not tokens or len(prompt) + len(tokens) > self.n_ctx:
                raise RefusedError(f"{len(prompt)} + {len(tokens)} tokens to score (allowed: 1 + 1 to {self.n_ctx})")

            rows = self._feed([*prompt, *tokens[:-1]], rows=len(tokens))
            log_p = sum(_log_softmax(row)[token] for row, token in zip(rows, tokens, strict=True))
            read += len(tokens)
            scores.append(float(log_p))

        return {"scores": scores, "tokens_in": read, "seconds": time.monotonic() - started}

    def _feed(self, tokens: list[int], rows: int = 1) -> np.ndarray:
        """Returns the logits, (rows, n_vocab) float32, after each of the last `rows` tokens.

        What the model's memory already holds is not computed again."""
        lib = self._lib
        cached = self._cached
        keep = 0
        limit = min(len(cached), len(tokens) - rows)  # logits wanted: those tokens once more

        while keep < limit and cached[keep] == tokens[keep]:
            keep += 1

        if keep < len(cached) and not lib.llama_memory_seq_rm(self._memory, 0, keep, -1):
            lib.llama_memory_clear(self._memory, True)  # a recurrent state cannot be shortened
            keep = 0

        self._cached = tokens[:keep]
        logits = np.empty((rows, self._n_vocab), dtype=np.float32)
        first = len(tokens) - rows

        for at in range(keep, len(tokens), _BATCH):
            part = tokens[at : at + _BATCH]
            self._decode(part, at, first)
            self._cached = tokens[: at + len(part)]

            for i in range(max(first - at, 0), len(part)):
                row = lib.llama_get_logits_ith(self._ctx, i)
                logits[at + i - first] = np.ctypeslib.as_array(row, shape=(self._n_vocab,))

        return logits

    def _decode(self, part: list[int], at: int, first: int) -> None:
        """Feeds `part`, which begins at position `at`, to the model; logits are wanted from position `first` on."""
        batch = self._batch
        batch.n_tokens = len(part)
        for i, token in enumerate(part):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, at + i, 1, 0
            batch.logits[i] = at + i >= first

        code = self._lib.llama_decode(self._ctx, batch)
        if code:
            self._lib.llama_memory_seq_rm(self._memory, 0, at, -1)
            if code == _ABORTED:
                raise DeadlineError
            raise RefusedError(f"llama_decode failed ({code})")

    @contextlib.contextmanager
    def _grammar(self, gbnf: str) -> Any:
        if not gbnf:
            yield None
            return

        rules = self._lib.llama_sampler_init_grammar(self._vocab, gbnf.encode(), b"root")
        if not rules:
            raise RefusedError("llama.cpp does not take the grammar")

        try:
            yield rules
        finally:
            self._lib.llama_sampler_free(rules)

    def _choose(
        self, logits: np.ndarray, rules: Any, temperature: float, rng: np.random.Generator
    ) -> tuple[int, float]:
        """Returns a token and its log-probability; the distribution is the model's, restricted to what the grammar
        allows.

        Most tokens fit the grammar, so one is tried before the whole vocabulary is checked against it."""
        log_p = _log_softmax(logits)
        token = _draw(log_p, temperature, rng)
        if rules and not np.isfinite(self._allowed(rules, np.array([token]), logits)[0]):
            allowed = self._allowed(rules, np.arange(self._n_vocab), logits)
            if not np.isfinite(allowed).any():
                raise RefusedError("no token of this model fits the grammar")
            token = _draw(_log_softmax(allowed), temperature, rng)

        return token, float(log_p[token])

    def _allowed(self, rules: Any, ids: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Returns the logits of `ids`, -inf where the grammar forbids the token."""
        lib = self._lib
        candidates = np.zeros(len(ids), dtype=_CANDIDATE)
        candidates["id"], candidates["logit"] = ids, logits[ids]
        data = candidates.ctypes.data_as(ctypes.POINTER(lib.llama_token_data))
        lib.llama_sampler_apply(rules, ctypes.byref(lib.llama_token_data_array(data, len(ids), -1, False)))

        return candidates["logit"]

    def _likeliest(self, logits: np.ndarray, n: int) -> dict[str, float]:
        """Returns text -> log-probability of the `n` most likely tokens, before the grammar."""
        log_p = _log_softmax(logits)
        best = np.argsort(-log_p)[:n]
        return {self._piece(int(token)).decode("utf-8", "replace"): round(float(log_p[token]), 4) for token in best}

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        n = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(n, 0)]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _draw(log_p: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    if not temperature > 0.0:
        return int(log_p.argmax())
    return int((log_p / temperature + rng.gumbel(size=log_p.shape)).argmax())


@functools.lru_cache(maxsize=16)
def _gbnf(schema: str) -> str:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    return str(json_schema_to_gbnf(schema))


def _limit_memory(gigabytes: float) -> None:
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(requests: BinaryIO, answers: BinaryIO) -> int:
    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value).encode() + b"\n")
        answers.flush()

    first = json.loads(requests.readline(MAX_LINE))
    try:
        model = Model(first["model"], first["n_ctx"], first["threads"], first["max_gb"])
    except ImportError:
        say({"error": "llama-cpp-python is not installed; pip install 'rarrl[llama]'"})
        return 1
    except (RefusedError, MemoryError, OSError, ValueError) as error:
        say({"error": str(error)[:2000] or type(error).__name__})
        return 1

    say({"ready": model.describe()})
    while line := requests.readline(MAX_LINE):
        request = json.loads(line)
        try:
            answer = model.complete(request) if request["op"] == "complete" else model.score(request)
        except DeadlineError:
            answer = {"failed": "TIMEOUT", "why": "the deadline passed"}
        except RefusedError as error:
            answer = {"failed": "REFUSED", "why": str(error)[:500]}

        say({"id": request["id"], **answer})

    return 0


def main() -> int:
    """Answers requests until stdin ends."""
    return _serve(*worker_streams())


if __name__ == "__main__":
    sys.exit(main())
