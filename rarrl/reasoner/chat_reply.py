"""A chat completion while it arrives: events of a stream, or one response, in the variants that servers write."""

from __future__ import annotations

import http.client
import json
import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rarrl.reasoner.answer_text import UNKNOWN_LOG_P, thoughts_end
from rarrl.reasoner.http_client import blocks, events
from rarrl.reasoner.language_model import CallFailedError
from rarrl.reasoner.refusal import refusal, refusal_of
from rarrl.secrets import hide_secrets
from rarrl.types import CallStatus

MAX_RESPONSE_BYTES = 1 << 20
"""Bytes of a response, events of a stream included; a few hundred tokens need a tenth of it."""
BYTES_PER_TOKEN = 4096
"""Bytes that each token may have in addition: an event with the log-probabilities of five tokens has about 1,000."""
ERROR_BYTES = 4096
"""Bytes of a refusal that are read; servers say in the first line what is wrong."""
MAX_REFUSAL = 200
"""Characters of a model's own refusal in `why`."""


@dataclass
class Reply:
    """One reply while it arrives: filled by the thread that reads it.

    max_answer, max_all: pieces of answer, and of thoughts and answer. first_s: when the first piece arrived, on the
    steady clock. kind: its content type. answers: whether what comes now is the answer for sure, and no thought.
    tokens: (text, log-probability) of the answer's tokens, NaN where the server does not tell. calls_tool: whether the
    model calls a function."""

    max_answer: int
    max_all: int
    first_s: float = math.nan
    kind: str = ""
    text: str = ""
    thoughts: str = ""
    finish: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    pieces: int = 0
    answer_pieces: int = 0
    answers: bool = False
    tokens: list[tuple[str, float]] = field(default_factory=list)
    alternatives: list[dict[str, float]] = field(default_factory=list)
    calls_tool: bool = False

    @property
    def thought_share(self) -> float:
        """The share of the pieces, 0 to 1, that are thoughts."""
        if not self.pieces:
            return 0.0
        only_thoughts = thoughts_end(self.text) == len(self.text)  # also of an answer that has not begun
        return 1.0 if only_thoughts else 1.0 - self.answer_pieces / self.pieces

    def begin(self) -> None:
        """Forgets an earlier reply, before the request is sent again."""
        self.__dict__.update(Reply(self.max_answer, self.max_all).__dict__)

    def read(self, response: http.client.HTTPResponse) -> None:
        """Takes a response in. Raises: RefusedError, CallFailedError; what JSON of another shape leads to."""
        self._read(response)
        if self.calls_tool and not self.text:
            raise CallFailedError(
                CallStatus.INVALID,
                "the model called a tool in place of an answer; start the server without tools, or take them out of "
                "language_model.extra_body",
            )

    def _read(self, response: http.client.HTTPResponse) -> None:
        self.kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        compressed = response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
        if not 200 <= response.status < 300:
            said = b"" if compressed else response.read(ERROR_BYTES)
            location = response.headers.get("Location", "")
            if 300 <= response.status < 400:
                said = f"moved to {location}".encode()
            raise refusal(response.status, said, response.headers.get("Retry-After", ""))

        if compressed:
            raise CallFailedError(
                CallStatus.INVALID, "the answer is compressed, which was not asked for; turn that off in the server"
            )

        pieces = blocks(response, MAX_RESPONSE_BYTES + BYTES_PER_TOKEN * self.max_all)
        first = next(pieces, b"")
        streamed = "event-stream" in self.kind or first.lstrip().startswith((b"data:", b"event:", b":"))
        if not streamed:
            whole = first + b"".join(pieces)
            self._take(json.loads(whole.decode("utf-8")))
            return

        ended = False
        for event in events(_chained(first, pieces)):
            if event is None:
                ended = True
                break
            self._take(event)
        if not ended and not self.finish:
            raise http.client.IncompleteRead(b"")

    def _take(self, event: Any) -> None:
        """Takes one event of a stream, or a whole response."""
        if event.get("error") or (event.get("object") == "error"):
            raise refusal_of(event, 200)

        usage = event.get("usage")
        self.usage = usage if isinstance(usage, dict) and usage else self.usage
        choices = event.get("choices") or []
        for choice in [each for each in choices if not each.get("index")][:1]:
            part = choice.get("delta") or choice.get("message") or {}
            if part.get("refusal") or choice.get("finish_reason") == "content_filter":
                why = hide_secrets(str(part.get("refusal") or "content filter"))[:MAX_REFUSAL]
                raise CallFailedError(CallStatus.REFUSED, f"the model declined: {why}")

            self.calls_tool = self.calls_tool or bool(part.get("tool_calls") or part.get("function_call"))
            thoughts, text = _texts(part)
            if thoughts or text:
                self._add(thoughts, text)
            if text:
                self._take_log_probabilities(choice.get("logprobs"))
            self.finish = choice.get("finish_reason") or self.finish

    def _add(self, thoughts: str, text: str) -> None:
        if math.isnan(self.first_s):
            self.first_s = time.monotonic()

        self.thoughts += thoughts
        self.text += text
        self.pieces += 1
        if text:
            self.answer_pieces += 1
            if re.search(r"[>\]▷]|assistantfinal", text) and 0 < thoughts_end(self.text) < len(self.text):
                self.answer_pieces = 1  # what came before were thoughts
                self.answers = True
            self.answers = self.answers or bool(self.thoughts) or self.text.lstrip().startswith(("{", "```"))

        if self.pieces > self.max_all or (self.answers and self.answer_pieces > self.max_answer):
            raise CallFailedError(CallStatus.BUDGET, "the server writes on beyond the cap")

    def _take_log_probabilities(self, told: Any) -> None:
        content = told.get("content") if isinstance(told, dict) else None
        for token in content if isinstance(content, list) else ():
            log_p = _log_probability(token)
            if log_p is not None:
                self.tokens.append((token["token"], log_p))
                likeliest = token.get("top_logprobs")
                known = [(each, _log_probability(each)) for each in likeliest or ()]
                others = {each["token"]: p for each, p in known if p is not None and not math.isnan(p)}
                self.alternatives.append({token["token"]: log_p} | others)


def _chained(first: bytes, rest: Iterable[bytes]) -> Any:
    yield first
    yield from rest


def _texts(part: dict[str, Any]) -> tuple[str, str]:
    """Thoughts and text of a message or of a piece of one."""
    thoughts = part.get("reasoning_content") or part.get("reasoning") or ""
    text = part.get("content") or ""
    if isinstance(text, list):  # parts, as Mistral's thinking models write them
        said = [each for each in text if isinstance(each, dict)]
        thoughts += "".join(_text_of(each.get("thinking")) for each in said)
        text = "".join(_text_of(each.get("text")) for each in said)
    return thoughts if isinstance(thoughts, str) else "", text


def _text_of(value: Any) -> str:
    if isinstance(value, list):
        return "".join(_text_of(each.get("text")) for each in value if isinstance(each, dict))
    return value if isinstance(value, str) else ""


def _log_probability(token: Any) -> float | None:
    """The log-probability of a token, NaN where the server does not know it; None for what is no token."""
    if not isinstance(token, dict) or not isinstance(token.get("token"), str):
        return None
    value = token.get("logprob")
    if not isinstance(value, int | float) or isinstance(value, bool) or not UNKNOWN_LOG_P < value <= 0.0:
        return math.nan
    return float(value)
