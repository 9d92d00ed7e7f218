"""One call of a language model: it keeps the deadline and the token cap, counts, and always ends in an answer."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rarrl.errors import plain_line
from rarrl.reasoner.base import Answer, BrokenRuleError, Request
from rarrl.reasoner.language_model import CallFailedError, Completion, LanguageModel, Prompt, Recipe
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.secrets import hide_secrets
from rarrl.types import CallStatus
from rarrl.worker_process import Withdrawal

MAX_TEXT = 4000
"""Characters of `Answer.text`, which is for people; a full level 2 answer has about half as many."""


class UsageMeter:
    """What one call has used so far, counted over all of its completions.

    started, deadline: seconds on the steady clock. tokens_left, thinking_left: of the caps on answers and on thoughts.
    ttft_s: from the start of the call to the first token of all, NaN before it. text: what the model wrote last.
    withdrawal: ends the call from another thread."""

    def __init__(self, request: Request) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + request.deadline_s
        self.level = request.level
        self.tokens_left = request.max_new_tokens
        self.thinking_left = request.thinking_tokens
        self.tokens_in = 0
        self.tokens_out = 0
        self.tokens_thought = 0
        self.ttft_s = math.nan
        self.text = ""
        self.withdrawal = Withdrawal()


class MeteredModel(UsageMeter, LanguageModel):
    """A `LanguageModel` that counts what it uses. Backends hand one to a recipe for each call."""


@dataclass(frozen=True)
class Generation:
    """What a backend generated for one prompt.

    tokens_in, tokens_out: read and generated. ttft_s, seconds: of this prompt. cut_off: the text ends at the token cap.
    confidence, alternatives: as in `Completion`. tokens_thought: of those generated, the ones of thoughts."""

    text: str
    tokens_in: int
    tokens_out: int
    ttft_s: float
    seconds: float
    cut_off: bool
    confidence: float = math.nan
    alternatives: tuple[dict[str, float], ...] = ()
    tokens_thought: int = 0


class BackendSession(MeteredModel):
    """One call of a backend: keeps the deadline and the token cap over all completions. A backend adds `generate`."""

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
        """Generates text for `prompt` until `self.deadline`; the arguments are those of `complete`.

        Raises: CallFailedError."""
        raise NotImplementedError

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
        """See `LanguageModel.complete`."""
        self.withdrawal.check()
        cap = self.tokens_left if max_tokens is None else min(max_tokens, self.tokens_left)
        if cap < 1:
            raise CallFailedError(CallStatus.BUDGET, "no token left of this call")

        asked = time.monotonic()
        got = self.generate(
            prompt,
            schema=schema,
            grammar=grammar,
            max_tokens=cap,
            temperature=temperature,
            seed=seed,
            alternatives=alternatives,
        )

        thinking = self.thinking_left
        self.count(got, asked)
        if got.cut_off or got.tokens_out - got.tokens_thought > cap:
            raise CallFailedError(CallStatus.BUDGET, self.cut_off(got, thinking))

        return Completion(
            got.text, got.tokens_in, got.tokens_out, got.ttft_s, got.seconds, got.confidence, got.alternatives
        )

    def count(self, got: Generation, asked: float) -> None:
        """Adds what was generated to what the call has used. A backend calls it before it raises, too, so that a call
        that ran into its deadline is charged for what was written. asked: when, seconds on the steady clock."""
        if math.isnan(self.ttft_s):
            self.ttft_s = asked - self.started + got.ttft_s

        self.tokens_in += got.tokens_in
        self.tokens_out += got.tokens_out
        self.tokens_thought += got.tokens_thought
        self.tokens_left -= got.tokens_out - got.tokens_thought
        self.thinking_left = max(self.thinking_left - got.tokens_thought, 0)
        self.text = got.text

    def cut_off(self, got: Generation, thinking: int) -> str:
        """Why a text ended too early, and which setting changes that."""
        if got.tokens_thought and got.tokens_thought >= got.tokens_out - 1:
            return (
                f"cut off after {got.tokens_out} tokens, all of them thoughts; raise language_model.thinking_tokens "
                f"({thinking}), or make the model think less through language_model.extra_body, such as "
                '{"reasoning_effort": "low"} or {"chat_template_kwargs": {"enable_thinking": false}}'
            )
        return f"cut off after {got.tokens_out} tokens; raise language_model.max_new_tokens_{self.level}"

    def score(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """Refuses; a backend that knows the probabilities of given texts overrides it."""
        raise CallFailedError(CallStatus.REFUSED, "this backend does not score texts")


class CallsUnderWay:
    """The calls of a backend that are under way, so that another thread can withdraw one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meters: dict[int, list[UsageMeter]] = {}

    @contextlib.contextmanager
    def add(self, request: Request, meter: UsageMeter) -> Iterator[None]:
        """While the call of `request` is under way."""
        with self._lock:
            self._meters.setdefault(request.decision, []).append(meter)
        try:
            yield
        finally:
            with self._lock:
                meters = self._meters[request.decision]
                meters.remove(meter)
                if not meters:
                    del self._meters[request.decision]

    def withdraw(self, decision: int) -> bool:
        """Ends the calls of the decision with the id `decision`; False where none is under way."""
        with self._lock:
            meters = list(self._meters.get(decision, ()))
        for meter in meters:
            meter.withdrawal.withdraw()
        return bool(meters)


def answered(request: Request, session: MeteredModel, recipe: Recipe, name: str) -> Answer:
    """Carries out a request with `recipe` and returns the answer, whose status says what went wrong, if anything."""
    status = CallStatus.OK
    why = ""
    outcome = None
    try:
        outcome = recipe(request, session)
    except CallFailedError as error:
        status = error.status
        why = str(error)
    except BrokenRuleError as error:  # a plan that this robot must not, or cannot, carry out
        status = CallStatus.REFUSED
        why = hide_secrets(f"plan refused: {' '.join(str(error).split())}")[:300]
    except ValueError as error:  # what the model wrote is no plan or verdict
        status = CallStatus.INVALID
        why = hide_secrets(" ".join(str(error).split()))[:300]

    result = outcome.result if outcome else None
    return Answer(
        decision=request.decision,
        role=request.role,
        level=request.level,
        status=status,
        seconds=time.monotonic() - session.started,
        backend=name,
        tokens_in=session.tokens_in,
        tokens_out=session.tokens_out,
        ttft_s=session.ttft_s,
        plan=result if isinstance(result, Plan) else None,
        verdict=result if isinstance(result, Verdict) else None,
        confidence=outcome.confidence if outcome else math.nan,
        p_right=outcome.p_right if outcome else math.nan,
        where=outcome.where if outcome else {},
        text=hide_secrets(outcome.text if outcome else session.text)[:MAX_TEXT],
        why=plain_line(hide_secrets(why)),
        tokens_thought=session.tokens_thought,
    )
