"""The process that runs llama.cpp: `python -m rarrl.reasoner.worker`, started by `process.py`.

A model file is untrusted input to C++ code, and a computation cannot be stopped from outside, so both live here, where
a crash or a hang costs one process. Each line on stdin and stdout is one JSON object of at most `MAX_LINE` bytes. The
first line in holds the arguments of `Model`, the first one out is {"ready": {...}} or {"error": why}.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import math
import os
import resource
import select
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rarrl.errors import DependencyMissingError
from rarrl.llama.library import llama_library
from rarrl.reasoner.memory import file_bytes, free_bytes
from rarrl.reasoner.prefix_cache import MAX_STATE, PrefixCache
from rarrl.reasoner.template import ChatTemplate, TemplateRefusedError, Written
from rarrl.worker_process import withdrawn_call, worker_streams

MAX_LINE = 60_000
"""Bytes of one message. It fits into an empty pipe (64 KiB on Linux), so writing never waits for a process that
hangs."""
PLANNER_MARK = "<|plan|>"
"""A single token of models that `rarrl train planner` has made, and of no others."""
_BATCH = 32
"""Tokens that are read at a time on a processor: a call that its deadline ends keeps the whole batches that it has
read, so they are small. Batches of 512 read 9 % more tokens per second."""
_GPU_BATCH = 512
"""The same on a GPU, which reads so many within milliseconds."""
_ABORTED = 2
"""What llama_decode returns if the abort callback ended it."""
_LIKELIEST = 64
"""Tokens that are tried against the grammar before the whole vocabulary is, which takes longer than the model itself
for 262,000 tokens."""
_MIN_PREFIX = 64
"""Tokens of the shortest prefix that is worth keeping a state of."""
_MIN_PREFIX_S = 0.5
"""Seconds that reading a prefix must have taken for its state to be written to a file."""
_THOUGHT_TEMPERATURE = 0.6
"""Temperature of thoughts; the makers of Qwen3 and DeepSeek-R1 advise it, because greedy thoughts go in circles."""
_THOUGHT_SHARE = 0.6
"""Share of the time until the deadline after which thoughts are ended, so that the answer is still written."""
# llama.h, struct llama_token_data.
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class DeadlineError(Exception):
    """The deadline of the call has passed."""


class WithdrawnError(DeadlineError):
    """Nobody needs the answer to the call any more."""


class RefusedError(Exception):
    """The request cannot be carried out; the message says why."""


class Model:
    """One model with one context. It writes greedy or sampled text under a grammar, and computes what two successive
    prompts share only once."""

    def __init__(
        self,
        path: str,
        n_ctx: int,
        threads: int,
        max_gb: float,
        gpu_layers: int = -1,
        warm: dict[str, Any] | None = None,
    ) -> None:
        """Loads the file `path`. n_ctx: tokens of prompt and answer. max_gb: address space without a GPU, GiB.
        gpu_layers: -1 for all. warm: kind of model (see `describe`) -> two prompts; what they begin with is their fixed
        prefix, which is read ahead of the first call.

        Raises: RefusedError if llama.cpp does not take the file, its memory is not there, or its chat template cannot
        be used."""
        lib = llama_library()
        self._lib: Any = lib
        self._log: list[str] = []
        self._log_callback = lib.llama_log_callback(self._keep_log)
        lib.llama_log_set(self._log_callback, ctypes.c_void_p(0))

        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        gpu = bool(lib.llama_supports_gpu_offload()) and gpu_layers != 0
        size = file_bytes(Path(path))

        params.n_gpu_layers = 0
        if gpu:
            params.n_gpu_layers = 999 if gpu_layers < 0 else gpu_layers
        else:  # not with a GPU, because CUDA maps far more addresses than it uses
            _check_memory("the file", size, "take a smaller model or a smaller quantization of it")
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
        if not gpu:
            advice = "lower language_model.context_tokens, or take a smaller model"
            _check_memory(f"a context of {context.n_ctx} tokens", self._context_bytes(context.n_ctx), advice)

        self._n_batch = _GPU_BATCH if gpu else _BATCH
        context.n_batch = context.n_ubatch = self._n_batch
        context.n_threads = context.n_threads_batch = threads
        self._deadline = math.inf
        self._stop = lambda: False
        self._withdrawn = withdrawn_call()
        self._call = -1  # id of the call under way
        self._abort = lib.ggml_abort_callback(lambda _: self._is_over() or self._stop())

        self._ctx = lib.llama_init_from_model(model, context)
        if not self._ctx:
            raise RefusedError("llama.cpp makes no context: " + " ".join(" ".join(self._log).split()))

        lib.llama_set_abort_callback(self._ctx, self._abort, ctypes.c_void_p(0))
        self.n_ctx = int(lib.llama_n_ctx(self._ctx))
        self._memory = lib.llama_get_memory(self._ctx)
        self._batch = lib.llama_batch_init(self._n_batch, 0, 1)
        self._cached: list[int] = []
        self.used: dict[str, float] = {}

        self._template = self._chat_template()
        self._marks = len(self._tokenize(PLANNER_MARK, False, True)) == 1
        self._prefix: list[int] = []
        self._state: bytes | None = None  # of the model after `_prefix`
        self._prefix_s = 0.0  # seconds that reading it took here
        self._files = PrefixCache(Path(path), self._version())
        self._find_prefix(warm or {})

    def _keep_log(self, level: int, text: bytes, _: Any) -> None:
        if level >= 3:  # warnings and errors
            self._log = [*self._log[-5:], text.decode("utf-8", "replace").strip()]

    def _context_bytes(self, n_ctx: int) -> int:
        """Bytes of the keys and values of `n_ctx` tokens, two bytes a number."""
        lib = self._lib
        heads = max(int(lib.llama_model_n_head(self._model)), 1)
        width = int(lib.llama_model_n_embd(self._model)) * int(lib.llama_model_n_head_kv(self._model)) // heads
        return 4 * n_ctx * width * int(lib.llama_model_n_layer(self._model))

    def _version(self) -> str:
        """Whatever decides whether a state can be read again, besides the model file."""
        try:
            package = version("llama_cpp_python")
        except PackageNotFoundError:  # built under another name
            package = str(Path(self._lib.__file__).stat().st_mtime_ns)
        return f"{package} {self._lib.llama_print_system_info().decode()}"

    def _chat_template(self) -> ChatTemplate | None:
        source = self._lib.llama_model_chat_template(self._model, None)
        if source is None:
            return None

        names = (self._lib.llama_vocab_bos(self._vocab), self._lib.llama_vocab_eos(self._vocab))
        bos, eos = ("" if token < 0 else self._piece(token, True).decode("utf-8", "replace") for token in names)
        try:
            return ChatTemplate(source.decode("utf-8", "replace"), bos, eos, self._builtin_chat)
        except TemplateRefusedError as error:
            raise RefusedError(f"the model's chat template cannot be used ({error})") from None

    def describe(self) -> dict[str, Any]:
        """Returns what the parent process should know about the model.

        kind: "chat" for models with a chat template, "planner" for those that `rarrl train planner` has made, "base"
        for others, which continue text. thinks: whether it can write thoughts before its answer."""
        return {
            "name": self.metadata("general.name"),
            "n_ctx": self.n_ctx,
            "n_vocab": self._n_vocab,
            "parameters": int(self._lib.llama_model_n_params(self._model)),
            "kind": self.kind,
            "thinks": self._template is not None and self._template.thinks,
            "prefix": len(self._prefix),
        }

    @property
    def kind(self) -> str:
        """See `describe`."""
        if self._template is not None:
            return "chat"
        return "planner" if self._marks else "base"

    def metadata(self, key: str) -> str:
        """Returns a text of the file's metadata, or "" if there is none."""
        buffer = ctypes.create_string_buffer(256)
        found = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if found >= 0 else ""

    def tokens(self, prompt: str | list[list[str]]) -> list[int]:
        """Returns the token ids of a text, or of [role, content] messages, which go through the model's chat
        template. Raises: RefusedError."""
        return self._read(prompt, False)[0]

    def _read(self, prompt: str | list[list[str]], thinks: bool) -> tuple[list[int], Written]:
        if isinstance(prompt, str):
            return self._tokenize(prompt, not self._marks, self._marks), Written(prompt)
        if self._template is None:
            raise RefusedError("the model has no chat template: it is no instruction-tuned model")

        try:
            written = self._template.write([[role, self._without_marks(text)] for role, text in prompt], thinks)
        except TemplateRefusedError as error:
            raise RefusedError(str(error)) from None

        return self._tokenize(written.text, True, True), written

    def _tokenize(self, text: str, start: bool, marks: bool) -> list[int]:
        """start: with the token that begins a text, where the model wants one and `text` has none. marks: control
        tokens are read as such."""
        lib = self._lib
        data = text.encode("utf-8")
        size = len(data) + 8
        buffer = (lib.llama_token * size)()

        n = lib.llama_tokenize(self._vocab, data, len(data), buffer, size, start, marks)
        if n < 0:
            raise RefusedError("the prompt has no tokens of this model")

        tokens = list(buffer[:n])
        bos = lib.llama_vocab_bos(self._vocab)
        if start and tokens[:2] == [bos, bos]:  # the template has written it, too
            tokens = tokens[1:]
        if start and len(tokens) > 1 and lib.llama_vocab_get_add_eos(self._vocab):
            tokens = tokens[:-1]  # the text goes on

        return tokens

    def _without_marks(self, text: str) -> str:
        """Puts a space into what would be read as a control token, such as `<|im_end|>` in a user's words."""
        if not set(text) & self._mark_starts:
            return text
        for mark in self._mark_texts:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    @functools.cached_property
    def _mark_texts(self) -> list[str]:
        special = self._lib.LLAMA_TOKEN_ATTR_CONTROL | self._lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        found = set()
        for token in range(self._n_vocab):
            if self._lib.llama_vocab_get_attr(self._vocab, token) & special:
                text = self._piece(token, True).decode("utf-8", "replace")
                if len(text) > 2 and not text.isspace():
                    found.add(text)

        return sorted(found, key=len, reverse=True)

    @functools.cached_property
    def _mark_starts(self) -> set[str]:
        return {mark[0] for mark in self._mark_texts}

    def _builtin_chat(self, messages: list[list[str]]) -> str | None:
        """Writes messages with those templates that llama.cpp itself knows; None for others."""
        lib = self._lib
        template = lib.llama_model_chat_template(self._model, None)
        array = (lib.llama_chat_message * len(messages))(
            *(lib.llama_chat_message(role.encode(), content.encode()) for role, content in messages)
        )
        buffer = ctypes.create_string_buffer(2 * sum(len(c.encode()) for _, c in messages) + 4096)
        n = lib.llama_chat_apply_template(template, array, len(messages), True, buffer, len(buffer))
        return buffer.raw[:n].decode("utf-8") if 0 <= n <= len(buffer) else None

    def _find_prefix(self, warm: dict[str, Any]) -> None:
        prompts = warm.get(self.kind)
        if not prompts:
            return

        first, second = (self.tokens(prompt) for prompt in prompts)
        n = 0
        while n < min(len(first), len(second)) and first[n] == second[n]:
            n += 1

        if _MIN_PREFIX <= n < self.n_ctx:
            self._prefix = first[:n]
            self._state = self._files.load(self._prefix)

    def warm(self, request: dict[str, Any]) -> dict[str, Any]:
        """Reads the fixed prefix; what was read in time is kept. Raises: DeadlineError, RefusedError."""
        self._begin(request)
        if self._prefix and self._state is None:
            self._feed(self._prefix)
        return {"tokens_in": len(self._cached)}

    def idle(self, wanted: Any) -> None:
        """Uses the time between calls until `wanted()` is true: reads the fixed prefix."""
        if self._prefix and self._state is None and len(self._cached) < len(self._prefix):
            self._deadline = math.inf
            self._stop = wanted
            try:
                self._feed(self._prefix)
            except (DeadlineError, RefusedError):
                return
            finally:
                self._stop = lambda: False

    def _begin(self, request: dict[str, Any]) -> None:
        self._deadline = request["deadline"]
        self._call = request.get("id", -1)

    def _is_over(self) -> bool:
        """Whether the call under way is to end."""
        return time.monotonic() > self._deadline or self._withdrawn() == self._call

    def _check_over(self) -> None:
        """Raises: DeadlineError, WithdrawnError where the call under way is to end."""
        if self._withdrawn() == self._call:
            raise WithdrawnError
        if time.monotonic() > self._deadline:
            raise DeadlineError

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Writes text for a prompt. The fields of `request` are the arguments of `LanguageModel.complete`, and
        `thoughts`: tokens that a thinking model may spend before its answer, in addition.

        Raises: DeadlineError, RefusedError; `used` then tells how far it came."""
        started = time.monotonic()
        self._begin(request)
        self.used = {"tokens_in": 0, "tokens_out": 0, "tokens_thought": 0}
        thoughts = int(request.get("thoughts", 0))
        prompt, written = self._read(request["prompt"], thoughts > 0)

        room = self.n_ctx - len(prompt)
        if not prompt or room < 1:
            raise RefusedError(self._too_long(len(prompt)))

        grammar = request["grammar"] or (_gbnf(json.dumps(request["schema"])) if request["schema"] else "")
        rng = np.random.default_rng(request["seed"])
        tokens = prompt
        if written.end:
            thoughts = min(thoughts, room - request["max_tokens"])
            tokens = self._think(prompt, written, thoughts, started)
            room = self.n_ctx - len(tokens)

        text = b""
        out = 0
        total = 0.0
        finish = "length"
        alternatives = []
        with self._grammar(grammar) as rules:
            logits = self._prompt_logits(tokens, len(prompt))
            while out < min(request["max_tokens"], room):
                self._check_over()
                token, log_p = self._choose(logits, rules, request["temperature"], rng)
                self._count(started)
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
            "confidence": total / max(out, 1),
            "alternatives": alternatives,
            "seconds": time.monotonic() - started,
            **self.used,
        }

    def _think(self, prompt: list[int], written: Written, most: int, started: float) -> list[int]:
        """Writes at most `most` tokens of thoughts and ends them. Returns the prompt, the thoughts, and what leads to
        the answer. Raises: DeadlineError, RefusedError."""
        until = started + _THOUGHT_SHARE * (self._deadline - started)
        rng = np.random.default_rng(len(prompt))
        thoughts: list[int] = []
        text = b""
        closing = written.closing
        end = written.end.encode()
        logits = self._prompt_logits(prompt, len(prompt))

        while len(thoughts) < most and time.monotonic() < until:
            self._check_over()
            token = self._choose(logits, None, _THOUGHT_TEMPERATURE, rng)[0]
            self._count(started)
            self.used["tokens_thought"] += 1
            if self._lib.llama_vocab_is_eog(self._vocab, token):
                break

            thoughts.append(token)
            text = (text + self._piece(token, True))[-200:]
            if end in text:
                closing = closing.partition(written.end)[2]
                break

            logits = self._feed([*prompt, *thoughts])[0]

        return [*prompt, *thoughts, *self._tokenize(closing, False, True)]

    def _prompt_logits(self, tokens: list[int], n_prompt: int) -> np.ndarray:
        """Reads a prompt; where the deadline ends that, `used` tells how much was read."""
        try:
            return np.asarray(self._feed(tokens)[0])
        finally:
            self.used["tokens_in"] = min(len(self._cached), n_prompt)

    def _count(self, started: float) -> None:
        self.used["tokens_out"] += 1
        self.used.setdefault("ttft_s", time.monotonic() - started)

    def _too_long(self, n: int) -> str:
        return (
            f"the prompt has {n} tokens, and the context of {self.n_ctx} tokens must hold the answer as well: raise "
            "language_model.context_tokens, up to what the model was trained with"
        )

    def score(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the summed log-probability of each of `texts` after `prompt`. Raises: DeadlineError, RefusedError."""
        started = time.monotonic()
        self._begin(request)
        self.used = {"tokens_in": 0}
        prompt = self.tokens(request["prompt"])
        scores = []

        for text in request["texts"]:
            tokens = self._tokenize(text, False, self._marks)
            if not prompt or not tokens or len(prompt) + len(tokens) > self.n_ctx:
                raise RefusedError(self._too_long(len(prompt) + len(tokens)))

            rows = self._feed([*prompt, *tokens[:-1]], rows=len(tokens))
            log_p = sum(_log_softmax(row)[token] for row, token in zip(rows, tokens, strict=True))
            self.used["tokens_in"] = (self.used["tokens_in"] or len(prompt)) + len(tokens)
            scores.append(float(log_p))

        return {"scores": scores, "seconds": time.monotonic() - started, **self.used}

    def _feed(self, tokens: list[int], rows: int = 1) -> np.ndarray:
        """Returns the logits, (rows, n_vocab) float32, after each of the last `rows` tokens.

        What the model's memory already holds is not computed again, and the state after the fixed prefix is kept."""
        lib = self._lib
        first = len(tokens) - rows
        prefix = len(self._prefix)
        if tokens[:prefix] != self._prefix:
            prefix = 0

        keep = self._keep(tokens, first, prefix)
        logits = np.empty((rows, self._n_vocab), dtype=np.float32)
        at = keep
        while at < len(tokens):
            part = tokens[at : at + self._n_batch]
            if at < prefix and self._state is None:
                part = part[: prefix - at]

            started = time.monotonic()
            self._decode(part, at, first)
            self._cached = tokens[: at + len(part)]
            if at < prefix:
                self._prefix_s += time.monotonic() - started

            for i in range(max(first - at, 0), len(part)):
                row = lib.llama_get_logits_ith(self._ctx, i)
                logits[at + i - first] = np.ctypeslib.as_array(row, shape=(self._n_vocab,))

            at += len(part)
            if at == prefix:
                self._keep_state()

        return logits

    def _keep(self, tokens: list[int], limit: int, prefix: int) -> int:
        """Shortens the model's memory to what `tokens` begins with, at most `limit` of them, because logits are wanted
        after that; or puts back the state after the prefix where that is longer. Returns how many tokens it holds."""
        lib = self._lib
        cached = self._cached
        keep = 0
        while keep < min(len(cached), limit) and cached[keep] == tokens[keep]:
            keep += 1

        shortened = keep == len(cached) or lib.llama_memory_seq_rm(self._memory, 0, keep, -1)
        if not shortened:  # a recurrent state cannot be shortened
            lib.llama_memory_clear(self._memory, True)
            keep = 0

        if keep < prefix <= limit and self._state is not None:
            lib.llama_memory_clear(self._memory, True)
            data = (ctypes.c_uint8 * len(self._state)).from_buffer_copy(self._state)
            keep = prefix
            if not lib.llama_state_seq_set_data(self._ctx, data, len(self._state), 0):
                lib.llama_memory_clear(self._memory, True)
                self._files.forget(self._prefix)
                self._state = None
                keep = 0

        self._cached = tokens[:keep]
        return keep

    def _keep_state(self) -> None:
        """Keeps the state after the prefix, which has just been read."""
        if self._state is not None:
            return

        size = int(self._lib.llama_state_seq_get_size(self._ctx, 0))
        if 0 < size <= MAX_STATE:
            data = (ctypes.c_uint8 * size)()
            got = int(self._lib.llama_state_seq_get_data(self._ctx, data, size, 0))
            if got:
                self._state = bytes(data)[:got]
                if self._prefix_s > _MIN_PREFIX_S:  # in a thread: the first call may be waiting
                    save = threading.Thread(target=self._files.save, args=(self._prefix, self._state), daemon=True)
                    save.start()

    def _decode(self, part: list[int], at: int, first: int) -> None:
        """Feeds `part`, which begins at position `at`, to the model; logits are wanted from position `first` on."""
        batch = self._batch
        batch.n_tokens = len(part)
        for i, token in enumerate(part):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, at + i, 1, 0
            batch.logits[i] = at + i >= first

        code = self._lib.llama_decode(self._ctx, batch)
        if code:
            if not self._lib.llama_memory_seq_rm(self._memory, 0, at, -1):
                self._lib.llama_memory_clear(self._memory, True)
                self._cached = []
            if code == _ABORTED:
                self._check_over()
                raise DeadlineError  # `_stop` wanted it
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

        Most tokens fit the grammar, so one is tried first, then the likeliest ones, then the whole vocabulary."""
        scores = _perturbed(logits, temperature, rng)
        token = int(scores.argmax())
        if rules and not self._allowed(rules, np.array([token]))[0]:
            scores = _perturbed(logits, temperature, rng)
            likeliest = np.argpartition(-scores, min(_LIKELIEST, len(scores)) - 1)[:_LIKELIEST]
            for ids in (likeliest, np.arange(self._n_vocab)):
                allowed = ids[self._allowed(rules, ids)]
                if len(allowed):
                    break
            else:
                raise RefusedError("no token of this model fits the grammar")
            token = int(allowed[scores[allowed].argmax()])

        top = float(logits.max())
        return token, float(logits[token]) - top - math.log(np.exp(logits - top).sum(dtype=np.float64))

    def _allowed(self, rules: Any, ids: np.ndarray) -> np.ndarray:
        """Returns whether the grammar allows each of the tokens `ids`, (n,) bool."""
        lib = self._lib
        candidates = np.zeros(len(ids), dtype=_CANDIDATE)
        candidates["id"] = ids
        data = candidates.ctypes.data_as(ctypes.POINTER(lib.llama_token_data))
        lib.llama_sampler_apply(rules, ctypes.byref(lib.llama_token_data_array(data, len(ids), -1, False)))

        return np.asarray(np.isfinite(candidates["logit"]))

    def _likeliest(self, logits: np.ndarray, n: int) -> dict[str, float]:
        """Returns text -> log-probability of the `n` most likely tokens, before the grammar."""
        log_p = _log_softmax(logits)
        best = np.argsort(-log_p)[:n]
        return {self._piece(int(token)).decode("utf-8", "replace"): round(float(log_p[token]), 4) for token in best}

    def _piece(self, token: int, marks: bool = False) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        n = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, marks)
        return buffer.raw[: max(n, 0)]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _perturbed(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Returns scores whose largest is a draw from the distribution of `logits` (Gumbel's trick), also among any subset;
    the logits themselves at temperature 0."""
    if not temperature > 0.0:
        return logits
    return np.asarray(logits / temperature + rng.gumbel(size=logits.shape))


@functools.lru_cache(maxsize=16)
def _gbnf(schema: str) -> str:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    return str(json_schema_to_gbnf(schema))


def _check_memory(what: str, wanted: int, advice: str) -> None:
    """Raises: RefusedError if `wanted` bytes are not free."""
    free = free_bytes()
    if free is not None and wanted > free:
        needs = f"{what} needs {wanted / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free"
        raise RefusedError(f"{needs}; {advice}")


def _limit_memory(gigabytes: float) -> None:
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(requests: BinaryIO, answers: BinaryIO) -> int:
    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value).encode() + b"\n")
        answers.flush()

    def wanted() -> bool:
        return bool(select.select([requests], [], [], 0.0)[0])

    first = json.loads(requests.readline(MAX_LINE))
    try:
        model = Model(**first)
    except (DependencyMissingError, RefusedError, MemoryError, OSError, ValueError) as error:
        say({"error": str(error)[:2000] or type(error).__name__})
        return 1

    say({"ready": model.describe()})
    model.idle(wanted)
    work = {"complete": model.complete, "score": model.score, "warm": model.warm}
    while line := requests.readline(MAX_LINE):
        request = json.loads(line)
        try:
            answer = work[request["op"]](request)
        except WithdrawnError:
            answer = {"failed": "WITHDRAWN", "why": "withdrawn", **model.used}
        except DeadlineError:
            answer = {"failed": "TIMEOUT", "why": "the deadline passed", **model.used}
        except RefusedError as error:
            answer = {"failed": "REFUSED", "why": str(error)[:500]}

        say({"id": request["id"], **answer})
        model.idle(wanted)

    return 0


def main() -> int:
    """Answers requests until stdin ends."""
    return _serve(*worker_streams())


if __name__ == "__main__":
    sys.exit(main())
