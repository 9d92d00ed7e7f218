"""Chat templates in the worker process: how a model wants a conversation written, as its own file says.

A template is a program in Jinja from outside. It runs in Jinja's sandbox, with a bound on its time and its output.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MAX_SOURCE = 256_000
"""Characters of a template; the longest that llama.cpp ships for its tests has 32,000."""
MAX_TEXT = 400_000
"""Characters that a template may write: more than any context of a robot's model holds."""
MAX_CPU_S = 2.0
"""Seconds of CPU time for writing one conversation; ordinary templates take a millisecond."""

_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|channel>thought", "<channel|>"),  # Gemma 4
)
"""What opens and ends a model's thoughts."""
_ANALYSIS = "<|channel|>analysis<|message|>"
_FINAL = "<|channel|>final<|message|>"
"""gpt-oss writes its thoughts and its answer into channels."""
_PROBE = [["system", "Sys tem"], ["user", "Use r one"], ["assistant", "Ass istant"], ["user", "Use r two"]]
"""A conversation with all roles; a template that can be used writes each of its texts."""


class TemplateRefusedError(Exception):
    """The template cannot be used; the message says why."""


class Written(NamedTuple):
    """A conversation as the model reads it, up to where it goes on.

    end: what ends its thoughts, if the text ends within them, else "". closing: what then leads to the answer."""

    text: str
    end: str = ""
    closing: str = ""


class ChatTemplate:
    """The template of one model. Where it refuses system messages, or leaves them out, their text goes into the first
    user message."""

    def __init__(
        self,
        source: str,
        bos: str = "",
        eos: str = "",
        builtin: Callable[[list[list[str]]], str | None] = lambda messages: None,
    ) -> None:
        """source: Jinja. bos, eos: the texts of these tokens. builtin: what llama.cpp itself makes of messages, None
        where it does not know the template; it is asked where Jinja fails.

        Raises: TemplateRefusedError if no conversation can be written with it."""
        self._source = source
        self._words = {"bos_token": bos, "eos_token": eos, "tools": None, "documents": None}
        self._builtin = builtin
        self._template: Any = None
        self._fold = False
        why = ""

        try:
            self._template = _environment().from_string(_without_training_marks(source))
        except Exception as error:
            why = f"Jinja: {error}"

        for jinja in (True, False):
            for fold in (False, True):
                if jinja and self._template is None:
                    continue

                self._fold = fold
                try:
                    text = self._render(_PROBE, False)
                except Exception as error:  # whatever a program from outside does
                    why = why or f"{type(error).__name__}: {error}"
                    continue

                if all(content in text for _, content in _PROBE):
                    return
                why = why or "it leaves messages out"

            self._template = None

        raise TemplateRefusedError(" ".join(why.split())[:300])

    @property
    def thinks(self) -> bool:
        """Whether the model can write thoughts before its answer."""
        return bool(self.write(_PROBE, True).end)

    def write(self, messages: list[list[str]], thinks: bool = False) -> Written:
        """Writes [role, content] messages up to where the model answers, or thinks, if it can and `thinks`.

        Raises: TemplateRefusedError."""
        try:
            text = self._render(messages, thinks)
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise TemplateRefusedError(f"the model's chat template: {why}") from None

        if "<|channel|>" in self._source and text.endswith("<|start|>assistant"):
            if thinks:
                return Written(text + _ANALYSIS, "<|end|>", f"<|end|><|start|>assistant{_FINAL}")
            return Written(text + _FINAL)

        for opening, end in _TAGS:
            opened = text.rstrip().endswith(opening)
            if opened and not thinks:
                return Written(f"{text.rstrip()}\n\n{end}\n\n")
            if thinks and (opened or opening in self._source):
                return Written(text if opened else f"{text}{opening}\n", end, f"\n{end}\n\n")

        return Written(text)

    def _render(self, messages: list[list[str]], thinks: bool) -> str:
        if self._fold:
            messages = _folded(messages)

        if self._template is None:
            text = self._builtin(messages)
            if text is None:
                raise TemplateRefusedError("neither Jinja nor llama.cpp knows it")
            return text

        values = {
            "messages": [{"role": role, "content": content} for role, content in messages],
            "add_generation_prompt": True,
            "enable_thinking": thinks,
            "thinking": thinks,
            **self._words,
        }
        pieces = []
        size = 0
        with _cpu_limit():
            for piece in self._template.generate(values):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_TEXT:
                    raise TemplateRefusedError(f"it writes more than {MAX_TEXT} characters")

        return "".join(pieces)


def _folded(messages: list[list[str]]) -> list[list[str]]:
    """Puts the system messages' text before the first user message."""
    system = [content for role, content in messages if role == "system"]
    others = [list(message) for message in messages if message[0] != "system"]
    first = next((message for message in others if message[0] == "user"), None)
    if system and first is not None:
        first[1] = "\n\n".join([*system, first[1]])
    return others


def _environment() -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], cache_size=0
    )
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return made


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **others: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise(message: str = "") -> None:
    raise TemplateRefusedError(str(message))


def _without_training_marks(source: str) -> str:
    """Replaces `{% generation %}`, with which templates mark what is trained on, by blocks without an effect.

    Raises: TemplateRefusedError if the source is too long."""
    if len(source) > MAX_SOURCE:
        raise TemplateRefusedError(f"a template of {len(source)} characters (allowed: {MAX_SOURCE})")
    source = re.sub(r"(\{%[-+]?\s*)generation(\s*[-+]?%\})", r"\1if true\2", source)
    return re.sub(r"(\{%[-+]?\s*)endgeneration(\s*[-+]?%\})", r"\1endif\2", source)


@contextlib.contextmanager
def _cpu_limit() -> Iterator[None]:
    """Ends the block after `MAX_CPU_S` of CPU time. In the main thread only, as Python's signals are."""

    def end(*_: Any) -> None:
        raise TemplateRefusedError(f"it takes more than {MAX_CPU_S:g} s")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
