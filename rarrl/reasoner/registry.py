"""The table of reasoners: from `NAME` or `NAME:TEXT` to a backend. `rarrl.build.make_reasoner` is the way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rarrl.clock import Clock
from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError
from rarrl.plugins import Table, did_you_mean, is_import_path, make_by_path
from rarrl.reasoner.base import Reasoner
from rarrl.reasoner.plan import Plan
from rarrl.secrets import hide_secrets
from rarrl.strict_json import short

WHAT = "language model"
"""Begins the messages about reasoners."""


@dataclass(frozen=True)
class ReasonerOptions:
    """What a backend may need besides its text; see `rarrl.build.make_reasoner`.

    settings: threads, token caps, headers ... plans, seed: of replayed profiles: goal sentence -> right plan, and seed
    of the draws. clock: None for the steady one. node: the ROS node that asks, None outside ROS."""

    settings: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    plans: Mapping[str, Plan] | None = None
    seed: int = 0
    clock: Clock | None = None
    node: Any = None


MakeReasoner = Callable[[str, ReasonerOptions], Reasoner]
"""Takes the text behind the colon, and the options. Raises: InputError, DependencyMissingError."""


@dataclass(frozen=True)
class ReasonerForm:
    """One entry of the table. form: how it is written, for help and messages. text: whether a text behind the colon is
    needed (True), forbidden (False), or may be there (None)."""

    make: MakeReasoner
    form: str
    text: bool | None


REASONERS: Table[ReasonerForm] = Table(WHAT)
"""Every reasoner there is; `register_reasoner` adds to it."""


def register_reasoner(name: str, make: MakeReasoner, *, form: str = "", text: bool | None = True) -> None:
    """Adds a reasoner to the table: `--llm NAME:TEXT`, `reasoner:=NAME:TEXT` then ask it.

    Args:
        name: stands before the colon.
        make: makes the backend of the text behind the colon; the breaker and the plan checker are put around it.
        form: how it is written, for messages; default: NAME:TEXT.
        text: whether a text is needed (True), forbidden (False), or may be there (None).

    Raises: ValueError where the name is taken or is no name."""
    default = {True: f"{name}:TEXT", False: name, None: f"{name}, {name}:TEXT"}[text]
    REASONERS.register(name, ReasonerForm(make, form or default, text))


def reasoner_forms() -> str:
    """All forms, for help and messages."""
    return ", ".join([*(entry.form for entry in REASONERS.values()), "package.module:Class"])


def make_backend(spec: str, options: ReasonerOptions) -> Reasoner:
    """The backend that `spec` names, bare: nothing checks its plans.

    Raises: InputError with the forms that there are; what the backend raises."""
    name, colon, text = spec.partition(":")
    if name in REASONERS:
        entry = REASONERS[name]
        missing = (colon or entry.text is True) and not text
        if not missing and not (text and entry.text is False):
            return entry.make(text, options)
    elif is_import_path(spec) and not _meant(spec):
        backend: Reasoner = make_by_path(spec, WHAT, ("name", "ask", "close"), REASONERS)
        return backend
    raise InputError(
        f"{WHAT}: {short(hide_secrets(spec))} is not known (allowed: {reasoner_forms()})"
        f"{'' if name in REASONERS else hide_secrets(_meant(spec)) or did_you_mean(name, REASONERS)}"
    )


def _meant(spec: str) -> str:
    """The end of a message about a form that looks like one of ours, or of another program's; "" where it does not.

    >>> _meant("http://localhost:8080/v1#m")
    '; did you mean openai:http://localhost:8080/v1#m?'
    """
    name, _, text = spec.partition(":")
    if name == "llama_ros":
        return "; llama_ros works in orchestrator_node alone"
    if name == "ollama":
        return f"; did you mean openai:http://localhost:11434/v1#{text or 'MODEL'}?"
    if name in ("http", "https"):
        return f"; did you mean openai:{spec}{'' if '#' in spec else '#MODEL'}?"
    if spec.endswith(".gguf"):
        return f"; did you mean llama:{spec}?"
    return ""
