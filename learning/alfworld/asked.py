"""Who answers THINK in ALFWorld's games: recorded answers, and the model itself where nothing was recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache

from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.skills.plan import Plan
from rarrl.types import Action, Role

from ..recorded_answers import DEADLINE_S, AnswerFile, Question, Recorded, seconds_of_children
from ..trials import CallCosts
from .answers import InPeoplesWords, load_answers, question_of

ACTIONS = {
    (Role.PLANNER, 1): Action.PLANNER_1,
    (Role.PLANNER, 2): Action.PLANNER_2,
    (Role.VERIFIER, 1): Action.VERIFIER_1,
    (Role.VERIFIER, 2): Action.VERIFIER_2,
}


class Known:
    """A `Reasoner` for ALFRED's steps: it answers what was recorded again, and asks a model about the rest, once.

    A planner that is told of a plan that failed, or of a home, and was not recorded so, answers as if it had not been
    told, where that was recorded.

    Args:
        answers: recorded; None: nothing was.
        model: makes the model that is asked about the rest; None: such a question is an error."""

    def __init__(self, answers: AnswerFile | None, model: Callable[[], Reasoner] | None) -> None:
        self._entries: dict[Question, Recorded] = dict(answers.entries) if answers is not None else {}
        self._make = model
        self._model: Reasoner | None = None
        self._is_live = answers is None
        self.name = f"recorded:{answers.model}" if answers is not None else "live"
        self.asked = 0

    def ask(self, request: Request) -> Answer:
        """The answer. Raises: InputError for what was not recorded, where there is no model."""
        question = question_of(request)
        entry = self._entries.get(question) or self._new(question, request)
        return entry.answer(request, self.name)

    def knows(self, sentence: str) -> bool:
        """Whether the planner of both levels can be asked about a sentence, or was."""
        return self._make is not None or all((sentence, level, None) in self._planned for level in (1, 2))

    @cached_property
    def _planned(self) -> dict[tuple[str, int, Plan | None], Recorded]:
        """The planner's answers without the home; of several the one of the robot that knows least of it."""
        rows = sorted(self._entries.items(), key=lambda row: -len(row[0].home))
        return {(q.goal, q.level, q.plan): entry for q, entry in rows if q.role is Role.PLANNER}

    @cached_property
    def costs(self) -> CallCosts:
        """What calls are expected to cost, by what was recorded; the others are out of reach."""
        seconds: dict[Action, list[float]] = {}
        tokens: dict[Action, list[float]] = {}
        for question, entry in self._entries.items():
            action = ACTIONS[question.role, question.level]
            seconds.setdefault(action, []).append(entry.seconds)
            tokens.setdefault(action, []).append(float(entry.tokens_in + entry.tokens_out))
        return CallCosts.of(seconds, tokens)

    def close(self) -> None:
        """Closes the model."""
        if self._model is not None:
            self._model.close()

    def _new(self, question: Question, request: Request) -> Recorded:
        if not self._is_live and question.role is Role.PLANNER:
            near = self._planned.get((question.goal, question.level, question.plan))
            near = near or self._planned.get((question.goal, question.level, None))
            if near is not None:
                return near
        if self._make is None:
            raise InputError(
                f"recorded answers: {request.role.value} {request.level} was not asked about {question}; record it "
                "with `python -m rarrl_learning.alfworld.record`, or ask the model (--model live)"
            )
        if self._model is None:
            self._model = self._make()
        before = seconds_of_children()
        answer = self._model.ask(replace(request, deadline_s=DEADLINE_S))
        took = seconds_of_children() - before or answer.seconds  # a server's seconds are not ours
        self._entries[question] = Recorded.of(question, answer, round(took, 3))
        self.asked += 1
        return self._entries[question]


@lru_cache(maxsize=4)
def known_of(model: str, llm: str = "llama") -> Known:
    """shipped: its recorded answers, and the shipped planner; smollm2: its recorded answers alone; live: what `llm` of
    `rarrl.build.make_reasoner` names."""
    from rarrl.build import make_reasoner

    if model == "live":
        return Known(None, lambda: InPeoplesWords(make_reasoner(llm)))
    answers = load_answers(model)
    return Known(answers, (lambda: InPeoplesWords(make_reasoner("llama"))) if model == "shipped" else None)
