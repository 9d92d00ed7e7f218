"""A general model's answers on pyrobosim's sentences, asked once for real and replayed exactly.

The planner of general models reads the sentence, and the robot's two files. So an answer is kept under the sentence and
the level, for one pair of files; beliefs change none of it. A plan that failed would change level 2's answer: such
questions are asked here as if nothing had failed, and whoever asks again hears the same again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rarrl.reasoner.base import Reasoner, Request
from rarrl.skills.domain import Domain
from rarrl.types import Role

from ..recorded_answers import DEADLINE_S, AnswerFile, Question, ReplayedAnswers, robot_hash
from ..recorded_answers import LEVELS as LEVELS
from ..recorded_answers import Recorded as Recorded

ROBOT = "pyrobosim"


class RecordedAnswers(ReplayedAnswers):
    """A `Reasoner` that replays. entries: (sentence, level) -> answer.

    Args:
        path: what `record` has written.

    Raises: InputError for a file that is none, or that was recorded with other files of the robot."""

    def __init__(self, path: Path) -> None:
        answers = AnswerFile(path, robot=robot_hash(ROBOT))
        super().__init__(answers, _question, "rarrl profile record-skills")
        self.entries = {(entry.goal, entry.level): entry for entry in self}


def record(
    reasoner: Reasoner, model: str, domain: Domain, questions: Iterable[tuple[str, int]], path: Path
) -> AnswerFile:
    """Asks `questions` (sentence, level) that `path` does not hold yet, and adds the answers to it.

    Raises: InputError where the file belongs to another model or to other files of the robot."""
    answers = AnswerFile(path, model, robot_hash(ROBOT))
    for goal, level in questions:
        request = Request(0, Role.PLANNER, level, goal, DEADLINE_S, domain=domain)
        answers.ask(reasoner, _question(request), request)
    answers.save()
    return answers


def _question(request: Request) -> Question:
    return Question(request.goal, request.role, request.level)
