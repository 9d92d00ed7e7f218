"""What a reasoner is asked and what it answers. Made from a user's words by `rarrl.build`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from rarrl.config import LanguageModelConfig
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome
from rarrl.types import MAX_NEW_TOKENS, CallStatus, Role

MAX_GOAL_CHARS = 500
"""Longer instructions are refused before a model sees them."""
Shares = tuple[tuple[str, float], ...]
"""Places with the probability that a thing is there, the likeliest first; they sum to 1."""


class BrokenRuleError(ValueError):
    """What a model wrote is a plan, and our rules refuse it: an unknown name, a forbidden step. Its backend works."""


def no_rules(plan: Plan) -> str:
    """The rules of nobody: no plan breaks one."""
    return ""


@dataclass(frozen=True)
class Request:
    """One call. `decision`: id of the decision that asked; the answer carries it: late ones are recognised by it.

    goal: the user's sentence (data, never instructions). scene: ALFRED class names that the robot knows of, may be
    empty. plan: what the verifier judges; for the planner the plan that failed, if one did. failed: index of the step
    of `plan` that failed, None where none did. deadline_s: seconds of this call, from its start. seed: of sampling.
    vocabulary: the names that a plan may hold; `GuardedReasoner` sets that of the operator's policy.

    domain: the skills and the world that plans are made of; None: ALFRED's household. beliefs: what the robot believes
    about the names in play, short sentences (`Beliefs.about`). outcome: how the step `failed` ended, a
    value of `Outcome`, "" where none did. why: the robot's own words of that failure; data, as the goal is.
    rules: why a plan may not be carried out, "" where it may; `GuardedReasoner` sets it, and a model may mend its plan
    once by what it says.

    answer_tokens: cap on the tokens of the answer, 0 for the level's default. thinking_tokens: how many more may be
    thoughts. Backends fill both in from the settings: see `capped`."""

    decision: int
    role: Role
    level: int  # 1 or 2
    goal: str
    deadline_s: float
    scene: tuple[str, ...] = ()
    plan: Plan | None = None
    failed: int | None = None
    seed: int = 0
    vocabulary: Vocabulary = ALFRED
    answer_tokens: int = 0
    thinking_tokens: int = 0
    domain: Domain | None = None
    beliefs: tuple[str, ...] = ()
    outcome: str = ""
    why: str = ""
    rules: Callable[[Plan], str] = no_rules

    def __post_init__(self) -> None:
        if self.level not in MAX_NEW_TOKENS:
            raise ValueError(f"Request.level must be 1 or 2, got {self.level}")
        if not 0.0 < self.deadline_s < float("inf"):
            raise ValueError(f"Request.deadline_s must be finite and above 0 s, got {self.deadline_s}")
        if self.role is Role.VERIFIER and self.plan is None:
            raise ValueError("Request.plan: a verifier needs the plan to judge")
        if self.outcome and self.outcome not in _OUTCOMES:
            raise ValueError(f"Request.outcome must be one of {', '.join(_OUTCOMES)}, got {self.outcome[:40]!r}")

    @property
    def max_new_tokens(self) -> int:
        """The cap on generated tokens, without those of thoughts."""
        return self.answer_tokens or MAX_NEW_TOKENS[self.level]


_OUTCOMES = tuple(outcome.value for outcome in Outcome)


def capped(request: Request, settings: LanguageModelConfig) -> Request:
    """`request` with the token caps of `settings`, where it has none of its own."""
    return replace(
        request,
        answer_tokens=request.answer_tokens or settings.max_new_tokens(request.level),
        thinking_tokens=request.thinking_tokens or settings.thinking_tokens,
    )


@dataclass(frozen=True)
class Answer:
    """What came of a `Request`. plan: of a planner, verdict: of a verifier; None unless status is OK.

    status: OK; TIMEOUT (deadline); BUDGET (token cap reached before the end, or nothing left to spend); INVALID (not
    parseable, or not what the schema allows); REFUSED (the plan checker or the backend declined); BACKEND_DOWN;
    WITHDRAWN (`Reasoner.cancel` stopped it).
    tokens_in, tokens_out: read and generated; tokens_thought: of the generated ones, those of a model's thoughts.
    ttft_s, seconds: to the first token and in all, on the steady clock.
    confidence: mean log-probability of the generated plan or verdict tokens, NaN where the backend does not tell. It
    says how sure a model is of its words, not that they suit the goal, and differs from model to model.
    p_right: probability that the plan is the right one, which only the shipped planner is calibrated to tell; else NaN.
    where: thing -> where such a thing usually is, by what the model knows of homes; of a planner at level 2 that was
    asked with a domain. Places that the robot has looked at in vain are in it, too: its beliefs rule them out.
    text: what the model wrote, cut to 4,000 characters, for people. why: one line where status is not OK.
    tokens_saved: of a call that was WITHDRAWN, what it would have read and written besides, as far as known."""

    decision: int
    role: Role
    level: int
    status: CallStatus
    seconds: float
    backend: str
    tokens_in: int = 0
    tokens_out: int = 0
    ttft_s: float = float("nan")
    plan: Plan | None = None
    verdict: Verdict | None = None
    confidence: float = float("nan")
    text: str = ""
    why: str = ""
    tokens_thought: int = 0
    p_right: float = float("nan")
    where: Mapping[str, Shares] = field(default_factory=dict, hash=False)
    tokens_saved: int = 0

    @property
    def tokens(self) -> int:
        """Read and generated."""
        return self.tokens_in + self.tokens_out

    @property
    def summary(self) -> str:
        """One line for people: the plan, the verdict, or why there is neither."""
        if self.plan is not None:
            return str(self.plan)
        if self.verdict is not None:
            return "ok" if self.verdict.ok else (self.verdict.fault.value if self.verdict.fault else "wrong")
        return self.why or self.status.value


class Reasoner(Protocol):
    """A language model behind one call. `ask` never raises for what the model does: that is in the status."""

    @property
    def name(self) -> str:
        """The backend, as in `Answer.backend`: `llama:rarrl-planner`, `openai:http://localhost:8080/v1#qwen3`, ..."""
        ...

    def ask(self, request: Request) -> Answer:
        """Blocks for at most `request.deadline_s` and a little; the answer never counts more seconds than passed."""
        ...

    def close(self) -> None:
        """Ends worker processes and connections; `ask` then answers BACKEND_DOWN."""
        ...


@runtime_checkable
class Withdrawable(Protocol):
    """A `Reasoner` whose calls can be stopped. One that is not computes to the end, and its answer is dropped."""

    def cancel(self, decision: int) -> bool:
        """Stops the call for the decision with the id `decision`, from another thread than the one that waits in `ask`:
        that gets an answer WITHDRAWN at once, with what was spent until then. False where no such call is under way."""
        ...
