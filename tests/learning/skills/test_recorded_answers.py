import json
from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Request
from rarrl.skills.domain import load_robot
from rarrl.skills.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_learning.skills.evaluate import ANSWERS, sentences
from rarrl_learning.skills.recorded_answers import RecordedAnswers, record

DOMAIN = load_robot("pyrobosim")
GOAL = "Something to drink on the desk, please."


def request(goal: str = GOAL, deadline_s: float = 60.0, level: int = 1) -> Request:
    return Request(7, Role.PLANNER, level, goal, deadline_s, domain=DOMAIN)


class Model:
    """Answers every question alike, and counts them."""

    name = "model"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def ask(self, request: Request) -> Answer:
        self.asked.append((request.goal, request.level))
        plan = Plan.from_rows([["place", "soda", "desk"]])
        return Answer(
            0,
            request.role,
            request.level,
            CallStatus.OK,
            0.0,
            "m",
            100,
            10,
            plan=plan,
            where={"soda": (("desk", 1.0),)},
        )

    def close(self) -> None:
        pass


def test_an_answer_comes_back_as_it_was_given(tmp_path: Path) -> None:
    model, path = Model(), tmp_path / "answers.json"
    record(model, "m", DOMAIN, [(GOAL, 1)], path)
    record(model, "m", DOMAIN, [(GOAL, 1), (GOAL, 2)], path)

    answer = RecordedAnswers(path).ask(request())

    assert model.asked == [(GOAL, 1), (GOAL, 2)]
    assert (answer.decision, answer.status, str(answer.plan), answer.tokens) == (
        7,
        CallStatus.OK,
        "place(soda, desk)",
        110,
    )
    assert answer.where == {"soda": (("desk", 1.0),)}


def test_another_question_or_robot_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    record(Model(), "m", DOMAIN, [(GOAL, 1)], path)

    with pytest.raises(InputError, match="was not asked about"):
        RecordedAnswers(path).ask(request("Sing."))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"robot": "other"}))
    with pytest.raises(InputError, match="other files of the robot"):
        RecordedAnswers(path)


def test_an_answer_after_the_deadline_is_none() -> None:
    answers = RecordedAnswers(ANSWERS)
    assert answers.entries[GOAL, 1].seconds > 0.1

    answer = answers.ask(request(deadline_s=0.1))

    assert (answer.status, answer.seconds, answer.plan) == (CallStatus.TIMEOUT, 0.1, None)


def test_every_sentence_was_asked_about() -> None:
    answers = RecordedAnswers(ANSWERS)
    assert set(answers.entries) == {(s, level) for test in (False, True) for s in sentences(test) for level in (1, 2)}
    assert ANSWERS.stat().st_size < 100_000
