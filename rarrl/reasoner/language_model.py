"""A language model as the recipes of `ask` see it: text in, bounded text out, probabilities of given texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.worker_process import KEY_VARIABLES as KEY_VARIABLES
from rarrl.worker_process import CallFailedError as CallFailedError

Message = tuple[str, str]
"""(role, content); role is system, user or assistant."""
Prompt = str | Sequence[Message]
"""A text as the model was trained on, or messages that go through its chat template."""


@dataclass(frozen=True)
class Completion:
    """A whole text: one that was cut at the token cap is no completion but CallFailedError(BUDGET).

    confidence: mean log-probability a token, of the model before the grammar, NaN where unknown. ttft_s, seconds: of
    this completion. alternatives: per token, text -> log-probability of the likeliest, where they were asked for."""

    text: str
    tokens_in: int
    tokens_out: int
    ttft_s: float
    seconds: float
    confidence: float
    alternatives: tuple[dict[str, float], ...] = ()


class LanguageModel(Protocol):
    """What a recipe may ask within one call. The model keeps the deadline and the token cap of the whole call: each
    method raises CallFailedError(TIMEOUT, BUDGET, INVALID, REFUSED or BACKEND_DOWN)."""

    def complete(
        self,
        prompt: Prompt,
        *,
        schema: dict[str, Any] | None = None,
        grammar: str = "",
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        alternatives: int = 0,
    ) -> Completion:
        """Writes on, at most `max_tokens` and what the call has left. The text follows the JSON `schema`, or the GBNF
        `grammar` where the backend knows GBNF. temperature 0: the likeliest token each time.
        alternatives: how many to tell per token."""
        ...

    def score(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """The log-probability of each text as the continuation of `prompt`, summed over its tokens."""
        ...


@dataclass(frozen=True)
class CallOutcome:
    """What a recipe found: a plan or a verdict, its confidence as in `Answer`, and the text it was read from."""

    result: Plan | Verdict
    confidence: float
    text: str


Recipe = Callable[[Request, LanguageModel], CallOutcome]
"""How a request is carried out on a model: prompts, number of samples, reading of the answer. Raises: CallFailedError;
ValueError where what the model wrote is no plan (the answer is then INVALID)."""
