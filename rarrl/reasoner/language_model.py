"""A language model as recipes see it: it writes bounded text for a prompt and knows the probabilities of given
texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rarrl.reasoner.base import Request, Shares
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.worker_process import CallFailedError as CallFailedError

Message = tuple[str, str]
"""(role, content); role is system, user or assistant."""
Prompt = str | Sequence[Message]
"""A text in the form that the model was trained on, or messages that go through its chat template."""


@dataclass(frozen=True)
class Completion:
    """A whole text; one that was cut off at the token cap raises CallFailedError(BUDGET) instead.

    tokens_in, tokens_out: read and generated. ttft_s, seconds: to the first token and in all, of this completion.
    confidence: mean log-probability per token, by the model before the grammar; NaN if unknown. alternatives: per
    token, text -> log-probability of the most likely ones, if they were asked for; a server's begin with the one that
    was written."""

    text: str
    tokens_in: int
    tokens_out: int
    ttft_s: float
    seconds: float
    confidence: float
    alternatives: tuple[dict[str, float], ...] = ()


class LanguageModel(Protocol):
    """What a recipe may ask for within one call.

    The model keeps the deadline and the token cap of the whole call: each method raises CallFailedError (TIMEOUT,
    BUDGET, INVALID, REFUSED or BACKEND_DOWN)."""

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
        """Continues `prompt` with at most `max_tokens` tokens, and no more than the call has left.

        The text follows the JSON `schema`, or the GBNF `grammar` if the backend knows GBNF. temperature: 0 takes the
        most likely token each time. alternatives: how many to return per token."""
        ...

    def score(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """Returns the log-probability of each text as the continuation of `prompt`, summed over its tokens."""
        ...


@dataclass(frozen=True)
class CallOutcome:
    """What a recipe returns: a plan or a verdict, the text that it was read from, and as in `Answer` its confidence,
    the probability that a plan is right, and where things usually are."""

    result: Plan | Verdict
    confidence: float
    text: str
    p_right: float = math.nan
    where: Mapping[str, Shares] = field(default_factory=dict)


Recipe = Callable[[Request, LanguageModel], CallOutcome]
"""How a request is carried out on a model: prompts, number of samples, reading of the answer. It raises
CallFailedError, and ValueError if the text is no plan or verdict (the answer is then INVALID)."""
