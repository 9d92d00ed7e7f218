"""Recorded answers: what is asked once is never asked again, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import CallStatus, Role
from rarrl_learning.recorded_answers import AnswerFile, Question, ReplayedAnswers

PLAN = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])


class Model:
    """Finds every plan wrong, and writes the same one."""

    name = "model"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        answer = Answer(0, request.role, request.level, CallStatus.OK, 0.0, "m", 100, 10, p_right=0.75)
        if request.role is Role.PLANNER:
            return Answer(**{**answer.__dict__, "plan": PLAN, "confidence": -0.25})
        return Answer(**{**answer.__dict__, "verdict": Verdict(False, Fault.PLACE, 0.125)})

    def close(self) -> None:
        pass


def question_of(request: Request) -> Question:
    return Question(request.goal, request.role, request.level, request.plan, request.scene)


def request(role: Role = Role.PLANNER, plan: Plan | None = None, scene: tuple[str, ...] = ()) -> Request:
    return Request(7, role, 2, "put a mug away", 60.0, scene, plan)


ASKED = [
    request(),
    request(scene=("desk", "shelf")),
    request(plan=PLAN, scene=("desk", "shelf")),
    request(Role.VERIFIER, PLAN),
]


def recorded(path: Path, model: Model) -> AnswerFile:
    file = AnswerFile(path, "m", "robot")
    for each in ASKED:
        file.ask(model, question_of(each), each)
    return file


@pytest.mark.parametrize("name", ["answers.json", "answers.json.gz"])
def test_each_question_has_its_answer(name: str, tmp_path: Path) -> None:
    model = Model()
    recorded(tmp_path / name, model).save()
    assert len(model.asked) == len(ASKED)
    assert [path.name for path in tmp_path.iterdir()] == [name]

    replayed = ReplayedAnswers(AnswerFile(tmp_path / name), question_of, "record")
    assert len(list(replayed)) == len(ASKED)
    plan = replayed.ask(ASKED[1])
    assert (plan.decision, plan.plan, plan.tokens, plan.confidence, plan.p_right) == (7, PLAN, 110, -0.25, 0.75)
    verdict = replayed.ask(ASKED[3])
    assert (verdict.plan, verdict.verdict) == (None, Verdict(False, Fault.PLACE, 0.125))
    with pytest.raises(InputError, match="verifier 2 was not asked about 'put a mug away' on PickupObject"):
        replayed.ask(request(Role.VERIFIER, PLAN, ("desk",)))


def test_a_recording_that_was_killed_goes_on(tmp_path: Path) -> None:
    path, model = tmp_path / "answers.json.gz", Model()
    journal = recorded(path, model).journal
    journal.write_text(journal.read_text()[:-20])  # half a line

    assert not path.exists()
    again = Model()
    assert len(recorded(path, again).entries) == len(ASKED)
    assert again.asked == ASKED[3:]


def test_a_file_of_another_model_or_robot_or_none_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.json.gz"
    recorded(path, Model()).save()
    with pytest.raises(InputError, match="is of m, not of other"):
        AnswerFile(path, "other", "robot")
    with pytest.raises(InputError, match="other files of the robot"):
        AnswerFile(path, robot="other")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="cannot be unpacked"):
        AnswerFile(path)
    (tmp_path / "answers.json").write_text('{"model": "m"}')
    with pytest.raises(InputError, match="is none"):
        AnswerFile(tmp_path / "answers.json")
