"""llama.cpp as a reasoner: the model in a worker process, the recipe and all judgement here."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rarrl.reasoner import chat, deliberate
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.call import MeteredModel, answered
from rarrl.reasoner.language_model import CallFailedError, Completion, Prompt, Recipe
from rarrl.reasoner.process import WorkerProcess, WorkerSettings
from rarrl.types import CallStatus


class LlamaReasoner:
    """A GGUF model on this computer: chat where the file has a chat template, else the shipped planner's own recipe."""

    def __init__(
        self, model: Path | WorkerSettings, *, threads: int = 1, n_ctx: int = 2048, recipe: Recipe | None = None
    ) -> None:
        """Loads the model in its own process; None: the recipe that fits the file. Settings win over numbers.

        Raises: InputError where it cannot be loaded; DependencyMissingError without llama-cpp-python."""
        settings = model if isinstance(model, WorkerSettings) else WorkerSettings(model, n_ctx, threads)
        self._worker = WorkerProcess(settings)
        self._recipe = recipe or (chat.carry_out if self._worker.model.get("chat") else deliberate.carry_out)
        self.name = f"llama:{settings.model.name}"

    @property
    def worker(self) -> WorkerProcess:
        """The process, for those who watch it."""
        return self._worker

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        session = _Session(self._worker, request)
        return answered(request, session, self._recipe, self.name)

    def close(self) -> None:
        """Ends the worker process."""
        self._worker.close()


class _Words(BaseModel):
    # The worker has parsed a file from outside: what it says is checked like any other input.
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    tokens_in: int = Field(ge=0)
    seconds: float = Field(ge=0)


class _Said(_Words):
    text: str
    finish: Literal["stop", "length"]
    tokens_out: int = Field(ge=0)
    ttft_s: float = Field(ge=0)
    confidence: float = Field(le=0)
    alternatives: list[dict[str, float]]


class _Scores(_Words):
    scores: list[float]


_W = TypeVar("_W", bound=_Words)


def _trusted(kind: type[_W], got: dict[str, Any]) -> _W:
    try:
        return kind.model_validate(got)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise CallFailedError(CallStatus.INVALID, f"the worker's {first['loc']}: {first['msg']}") from None


class _Session(MeteredModel):
    """One call's `LanguageModel` on the worker: keeps the deadline and the token cap over all its requests."""

    def __init__(self, worker: WorkerProcess, request: Request) -> None:
        super().__init__(request)
        self._worker = worker

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
        """See `LanguageModel`."""
        cap = self.tokens_left if max_tokens is None else min(max_tokens, self.tokens_left)
        if cap < 1:
            raise CallFailedError(CallStatus.BUDGET, "no token left of this call")

        asked = time.monotonic()
        got = self._worker.call(
            "complete",
            self.deadline,
            prompt=prompt if isinstance(prompt, str) else [list(message) for message in prompt],
            schema=schema,
            grammar=grammar,
            max_tokens=cap,
            temperature=temperature,
            seed=seed,
            alternatives=alternatives,
        )
        said = _trusted(_Said, got)
        if said.tokens_out > cap:
            raise CallFailedError(CallStatus.INVALID, f"{said.tokens_out} tokens from the worker, the cap is {cap}")

        if math.isnan(self.ttft_s):
            self.ttft_s = asked - self.started + said.ttft_s

        self.tokens_in += said.tokens_in
        self.tokens_out += said.tokens_out
        self.tokens_left -= said.tokens_out
        self.text = said.text

        if said.finish == "length":
            raise CallFailedError(CallStatus.BUDGET, f"cut off after {said.tokens_out} tokens")
        return Completion(
            said.text,
            said.tokens_in,
            said.tokens_out,
            said.ttft_s,
            said.seconds,
            said.confidence,
            tuple(said.alternatives),
        )

    def score(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """See `LanguageModel`."""
        content = prompt if isinstance(prompt, str) else [list(message) for message in prompt]
        got = self._worker.call("score", self.deadline, prompt=content, texts=list(texts))
        said = _trusted(_Scores, got)
        if len(said.scores) != len(texts):
            raise CallFailedError(CallStatus.INVALID, f"{len(said.scores)} scores for {len(texts)} texts")

        self.tokens_in += said.tokens_in
        return said.scores
