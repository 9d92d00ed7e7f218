"""llama.cpp as a reasoner: the model runs in a worker process; the recipe and all checks are here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rarrl.config import LanguageModelConfig
from rarrl.reasoner import chat, deliberate
from rarrl.reasoner.base import Answer, Request, capped
from rarrl.reasoner.call import BackendSession, Generation, answered
from rarrl.reasoner.language_model import CallFailedError, Prompt, Recipe
from rarrl.reasoner.process import WorkerProcess, WorkerSettings
from rarrl.types import CallStatus


class LlamaReasoner:
    """A GGUF model on this computer. A file with a chat template is asked as a chat model, others by the recipe of the
    shipped planner."""

    def __init__(
        self,
        model: Path | WorkerSettings,
        *,
        settings: LanguageModelConfig | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        """Loads the model in its own process.

        model: a GGUF file, or how it is loaded. settings: threads, context, token caps ...
        None: the defaults. recipe: None means the one that fits the file.

        Raises: InputError if it cannot be loaded; DependencyMissingError without llama-cpp-python."""
        self._settings = settings or LanguageModelConfig()
        if not isinstance(model, WorkerSettings):
            model = WorkerSettings(model, self._settings.context_tokens, self._settings.threads)
        self._worker = WorkerProcess(model)
        self._recipe = recipe or (chat.carry_out if self._worker.model.get("chat") else deliberate.carry_out)
        self.name = f"llama:{model.model.name}"

    @property
    def worker(self) -> WorkerProcess:
        """The worker process, for diagnostics."""
        return self._worker

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        request = capped(request, self._settings)
        session = _Session(self._worker, request)
        return answered(request, session, self._recipe, self.name)

    def close(self) -> None:
        """Ends the worker process."""
        self._worker.close()


class _Words(BaseModel):
    # The worker has parsed a file from outside, so its answers are checked like any other input.
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


class _Session(BackendSession):
    """One call on the worker process."""

    def __init__(self, worker: WorkerProcess, request: Request) -> None:
        super().__init__(request)
        self._worker = worker

    def generate(
        self,
        prompt: Prompt,
        *,
        schema: dict[str, Any] | None,
        grammar: str,
        max_tokens: int,
        temperature: float,
        seed: int,
        alternatives: int,
    ) -> Generation:
        """See `BackendSession.generate`."""
        got = self._worker.call(
            "complete",
            self.deadline,
            prompt=_content(prompt),
            schema=schema,
            grammar=grammar,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            alternatives=alternatives,
        )

        said = _trusted(_Said, got)
        if said.tokens_out > max_tokens:
            why = f"{said.tokens_out} tokens from the worker, the cap is {max_tokens}"
            raise CallFailedError(CallStatus.INVALID, why)

        return Generation(
            text=said.text,
            tokens_in=said.tokens_in,
            tokens_out=said.tokens_out,
            ttft_s=said.ttft_s,
            seconds=said.seconds,
            cut_off=said.finish == "length",
            confidence=said.confidence,
            alternatives=tuple(said.alternatives),
        )

    def score(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """See `LanguageModel`."""
        got = self._worker.call("score", self.deadline, prompt=_content(prompt), texts=list(texts))
        said = _trusted(_Scores, got)
        if len(said.scores) != len(texts):
            raise CallFailedError(CallStatus.INVALID, f"{len(said.scores)} scores for {len(texts)} texts")

        self.tokens_in += said.tokens_in
        return said.scores


def _content(prompt: Prompt) -> str | list[list[str]]:
    """Converts `prompt` to JSON's types."""
    return prompt if isinstance(prompt, str) else [list(message) for message in prompt]
