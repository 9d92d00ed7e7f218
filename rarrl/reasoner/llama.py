"""llama.cpp as a reasoner: the model runs in a worker process; the recipe and all checks are here."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rarrl.alfred import read_alfred
from rarrl.config import LanguageModelConfig
from rarrl.reasoner import deliberate
from rarrl.reasoner.base import Answer, Request, capped
from rarrl.reasoner.call import BackendSession, CallsUnderWay, Generation, answered
from rarrl.reasoner.fewshot import FewShot, known_goals
from rarrl.reasoner.language_model import CallFailedError, Prompt, Recipe
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.process import WorkerProcess, WorkerSettings
from rarrl.types import CallStatus

WARM_S = 10.0
"""Seconds that loading may be prolonged by for reading the prompts' fixed beginning, which is most of the first call
otherwise. The rest of it is read between the calls."""


class LlamaReasoner:
    """A GGUF model on this computer. One that `rarrl train planner` has made is asked as it was trained, others by
    examples: a text that the model continues; as messages where it can think before it answers."""

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
        examples = self._settings.examples
        known = NearestGoal(read_alfred(examples).plans) if examples else known_goals()
        if not isinstance(model, WorkerSettings):
            model = WorkerSettings(
                model,
                self._settings.context_tokens,
                self._settings.threads,
                gpu_layers=self._settings.gpu_layers,
                warm=None if examples else dict.fromkeys(("chat", "base"), FewShot(known).warm_prompts()),
            )

        self._calls = CallsUnderWay()
        self._worker = WorkerProcess(model)
        self.name = f"llama:{model.model.name}"
        about = self._worker.model
        kind = about.get("kind")
        thinks = bool(about.get("thinks")) and self._settings.thinking_tokens > 0
        fewshot = FewShot(known, thinks, thinks, bool(examples))  # plain text is better for small models
        planner = deliberate.recipe_for(str(about.get("name")))
        self._recipe = recipe or (fewshot if kind in ("chat", "base") else planner)

        if about.get("prefix"):
            with contextlib.suppress(CallFailedError):  # the first calls go on with it
                self._worker.call("warm", time.monotonic() + WARM_S)

    @property
    def worker(self) -> WorkerProcess:
        """The worker process, for diagnostics."""
        return self._worker

    @property
    def down(self) -> str:
        """Why nobody would answer now; "" while the worker is there."""
        return self._worker.down

    def answer_always(self) -> None:
        """Asks the shipped planner as it was trained from now on: it abstains from nothing. For comparisons."""
        if self._recipe is deliberate.carry_out:
            self._recipe = deliberate.as_trained

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        request = capped(request, self._settings)
        session = _Session(self._worker, request)
        with self._calls.add(request, session):
            return answered(request, session, self._recipe, self.name)

    def cancel(self, decision: int) -> bool:
        """See `Withdrawable.cancel`: llama.cpp is aborted within the token that it computes."""
        return self._calls.withdraw(decision)

    def close(self) -> None:
        """Ends the worker process."""
        self._worker.close()


class _Words(BaseModel):
    # The worker has parsed a file from outside, so its answers are checked like any other input.
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    tokens_in: int = Field(ge=0)
    seconds: float = Field(ge=0)


class _Used(BaseModel):
    # What the worker says of a call that came to no answer.
    model_config = ConfigDict(allow_inf_nan=False)

    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)
    tokens_thought: int = Field(default=0, ge=0)
    ttft_s: float | None = Field(default=None, ge=0)


class _Said(_Words):
    text: str
    finish: Literal["stop", "length"]
    tokens_out: int = Field(ge=0)
    tokens_thought: int = Field(default=0, ge=0)
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
        thoughts = self.thinking_left if self.level == 2 and temperature == 0.0 else 0  # level 1 answers at once
        asked = time.monotonic()
        try:
            got = self._worker.call(
                "complete",
                self.deadline,
                self.withdrawal,
                prompt=_content(prompt),
                schema=schema,
                grammar=grammar,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                alternatives=alternatives,
                thoughts=thoughts,
            )
        except CallFailedError as error:
            self._count_unfinished(error.used, asked)
            raise

        said = _trusted(_Said, got)
        if said.tokens_thought > thoughts or said.tokens_out - said.tokens_thought > max_tokens:
            why = f"{said.tokens_out} tokens from the worker, the cap is {max_tokens} and {thoughts} of thoughts"
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
            tokens_thought=said.tokens_thought,
        )

    def _count_unfinished(self, used: dict[str, Any], asked: float) -> None:
        """Counts what a call used that came to no answer, as far as the worker told."""
        with contextlib.suppress(ValidationError):
            got = _Used.model_validate(used)
            ttft_s = math.nan if got.ttft_s is None else got.ttft_s
            seconds = time.monotonic() - asked
            self.count(
                Generation("", got.tokens_in, got.tokens_out, ttft_s, seconds, True, tokens_thought=got.tokens_thought),
                asked,
            )

    def score(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """See `LanguageModel`."""
        try:
            got = self._worker.call("score", self.deadline, self.withdrawal, prompt=_content(prompt), texts=list(texts))
        except CallFailedError as error:
            with contextlib.suppress(ValidationError):
                self.tokens_in += _Used.model_validate(error.used).tokens_in
            raise
        said = _trusted(_Scores, got)
        if len(said.scores) != len(texts):
            raise CallFailedError(CallStatus.INVALID, f"{len(said.scores)} scores for {len(texts)} texts")

        self.tokens_in += said.tokens_in
        return said.scores


def _content(prompt: Prompt) -> str | list[list[str]]:
    """Converts `prompt` to JSON's types."""
    return prompt if isinstance(prompt, str) else [list(message) for message in prompt]
