"""One call of a language model: what it has used, and the answer that comes of it, whatever the recipe meets."""

from __future__ import annotations

import math
import time

from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.language_model import CallFailedError, LanguageModel, Recipe
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.types import CallStatus

MAX_TEXT = 4000
"""Characters of `Answer.text`."""


class UsageMeter:
    """What a call has used. ttft_s: NaN before the first token."""

    def __init__(self, request: Request) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + request.deadline_s
        self.tokens_left = request.max_new_tokens
        self.tokens_in = self.tokens_out = 0
        self.ttft_s = math.nan
        self.text = ""


class MeteredModel(UsageMeter, LanguageModel):
    """A `LanguageModel` that counts: what backends hand to a recipe."""


def answered(request: Request, session: MeteredModel, recipe: Recipe, name: str) -> Answer:
    """Carries a request out and tells what came of it."""
    status = CallStatus.OK
    why = ""
    outcome = None
    try:
        outcome = recipe(request, session)
    except CallFailedError as error:
        status = error.status
        why = str(error)
    except ValueError as error:  # what the model wrote is no plan or verdict
        status = CallStatus.INVALID
        why = " ".join(str(error).split())[:300]

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
        text=(outcome.text if outcome else session.text)[:MAX_TEXT],
        why=why,
    )
