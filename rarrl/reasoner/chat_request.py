"""A request for a chat completion in the dialect of a server: fields that one needs and another refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from rarrl.reasoner.refusal import ANSWER_WORDS, FORMAT_WORDS, UNKNOWN_WORDS, RefusedError

FORMATS = ("json_schema", "json_object with schema", "json_object", "none")
"""How the form of the answer is asked for, the strictest first. The second is llama-cpp-python's."""
OPTIONAL = ("logprobs", "top_logprobs", "seed", "stream_options", "temperature", "stream")
"""Fields of a request that a server may do without."""


@dataclass(frozen=True)
class Dialect:
    """What a server accepts. format: an index of FORMATS. limit: the field that holds the token cap. left_out: fields
    of OPTIONAL that it does not know. short: whether the cap leaves out thoughts, because it would not fit."""

    format: int = 0
    limit: str = "max_tokens"
    left_out: frozenset[str] = frozenset()
    short: bool = False

    def without(self, refused: RefusedError, asked: Asked) -> Dialect | None:
        """The dialect without what the server names as the reason of its refusal; None if it names nothing of ours."""
        words = refused.words
        if refused.is_overflow:
            fits = asked.thinking > 0 and not self.short and ANSWER_WORDS.search(words)
            return replace(self, short=True) if fits else None

        if not refused.is_about_the_request:
            return None
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[self.limit]
        if _names(words, self.limit) and (_names(words, other) or UNKNOWN_WORDS.search(words)):
            return replace(self, limit=other)

        named = {key for key in OPTIONAL if key not in self.left_out and _names(words, key)}
        if named:
            named |= {"top_logprobs"} & {"top_logprobs" if "logprobs" in named else ""}
            return replace(self, left_out=self.left_out | named)
        if asked.schema is not None and self.format < len(FORMATS) - 1 and FORMAT_WORDS.search(words):
            return replace(self, format=self.format + 1)
        return None

    def plainer(self) -> Dialect | None:
        """The dialect to try where the server does not say what it minds: without a format, then without all else."""
        if self.format < len(FORMATS) - 1:
            return replace(self, format=len(FORMATS) - 1)
        if self.left_out < set(OPTIONAL):
            return replace(self, left_out=frozenset(OPTIONAL))
        return None


@dataclass(frozen=True)
class Asked:
    """What one request asks for; the arguments are those of `LanguageModel.complete`. thinking: tokens of thoughts."""

    messages: list[dict[str, str]]
    schema: dict[str, Any] | None
    max_tokens: int
    thinking: int
    temperature: float
    seed: int
    alternatives: int

    def body(self, dialect: Dialect, model: str, extra: dict[str, Any]) -> dict[str, Any]:
        """The request. What `extra` holds wins; a field that is null there is left out."""
        fields = {
            "temperature": self.temperature,
            "seed": self.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            "logprobs": True,
            "top_logprobs": max(self.alternatives, 1),
        }
        body: dict[str, Any] = {
            "model": model,
            "messages": self.messages,
            **{name: value for name, value in fields.items() if name not in dialect.left_out},
        }
        if not {"max_tokens", "max_completion_tokens"} & set(extra):
            body[dialect.limit] = self.max_tokens + (0 if dialect.short else self.thinking)

        if self.schema is not None:
            body |= _response_format(dialect.format, self.schema)
        if not body.get("stream"):
            body.pop("stream_options", None)
        return {name: value for name, value in {**body, **extra}.items() if value is not None}


def _response_format(number: int, schema: dict[str, Any]) -> dict[str, Any]:
    kind = FORMATS[number]
    if kind == "none":
        return {}
    if kind == "json_schema":
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        }
    return {"response_format": {"type": "json_object", **({"schema": schema} if "schema" in kind else {})}}


def _names(words: str, key: str) -> bool:
    return re.search(rf"(?<![A-Za-z_]){key}(?![A-Za-z_])", words) is not None
