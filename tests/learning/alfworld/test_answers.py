"""The answers that come with the package: which questions they hold, and how sentences are put to the models."""

from __future__ import annotations

import pytest

from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_learning.alfworld.answers import (
    MODELS,
    InPeoplesWords,
    answers_path,
    furniture,
    load_answers,
    question_of,
)
from rarrl_learning.alfworld.goals import rules_plan, spoken

PLAN = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])


class Listener:
    """Keeps what it was asked."""

    name = "listener"
    goal = ""

    def ask(self, request: Request) -> Answer:
        self.goal = request.goal
        return Answer(request.decision, request.role, request.level, CallStatus.OK, 0.1, self.name, plan=PLAN)

    def close(self) -> None:
        self.goal = "closed"


@pytest.mark.parametrize("model", MODELS)
def test_the_planner_was_asked_at_both_levels(model: str) -> None:
    entries = load_answers(model).entries
    planned = [question for question in entries if question.role is Role.PLANNER and question.plan is None]
    sentences = {question.goal for question in planned}
    assert len(sentences) >= 60
    assert all(any(q.goal == s and q.level == level for q in planned) for s in list(sentences)[:50] for level in (1, 2))
    assert all(question.home == () for question in entries if question.level == 1)
    assert all(question.home for question in entries if question.level == 2)
    assert sum(entry.seconds for entry in entries.values()) > 0.005 * len(entries)
    assert answers_path(model).stat().st_size < 2_000_000


def test_the_shipped_planner_reads_what_templates_write() -> None:
    entries = load_answers("shipped").entries
    asked = [entry for q, entry in entries.items() if rules_plan(q.goal) and q.level == 1 and q.role is Role.PLANNER]
    assert sum(entry.status == "OK" for entry in asked) > 0.97 * len(asked)


def test_another_model_is_refused() -> None:
    with pytest.raises(InputError, match="allowed: shipped, smollm2"):
        answers_path("gpt")


def test_a_question_of_level_1_holds_nothing_of_the_home() -> None:
    def asked(level: int) -> Request:
        return Request(1, Role.PLANNER, level, "put a mug in desk.", 1.0, ("shelf", "desk", "mug"), PLAN)

    assert question_of(asked(1)).home == ()
    assert question_of(asked(2)).home == ("desk", "mug", "shelf")
    assert question_of(asked(2)).plan == PLAN
    assert furniture(question_of(asked(2)).home) == ("desk", "shelf")


def test_a_model_is_asked_in_peoples_words() -> None:
    model = Listener()
    reasoner = InPeoplesWords(model)
    sentence = "cool some winebottle and put it in garbagecan."
    answer = reasoner.ask(Request(3, Role.PLANNER, 1, sentence, 1.0))
    assert model.goal == spoken(sentence) == "cool a wine bottle and put it in garbage can."
    assert (answer.decision, answer.plan, reasoner.name) == (3, PLAN, "listener")

    reasoner.ask(Request(3, Role.PLANNER, 1, "Bring me some soapbar.", 1.0))
    assert model.goal == "Bring me some soapbar."
    reasoner.close()
    assert model.goal == "closed"
