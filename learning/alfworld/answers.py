"""Who answers THINK in ALFWorld: recorded answers of two models, which plan in ALFRED's steps.

`shipped` is the planner that comes with the package; `smollm2` is SmolLM2-135M-Instruct by the nearest sentences that
the robot was taught, a public model that is often wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.vocabulary import ALFRED

from ..recorded_answers import AnswerFile, Question, robot_hash
from .goals import spoken

MODELS = ("shipped", "smollm2")
"""Whose answers come with the package."""
FOLDER = Path(__file__).parent
ROBOT = "alfred"
"""The robot that both models plan for."""
_NUMBER = re.compile(r"[ _]?\d+$")


def answers_path(model: str) -> Path:
    """Where a model's recorded answers are. Raises: InputError for another model."""
    if model not in MODELS:
        raise InputError(f"recorded answers: {model[:40]!r} is no model (allowed: {', '.join(MODELS)})")
    return FOLDER / f"{model}_answers.json.gz"


def load_answers(model: str) -> AnswerFile:
    """The recorded answers of a model. Raises: InputError."""
    return AnswerFile(answers_path(model), robot=robot_hash(ROBOT))


class InPeoplesWords:
    """A `Reasoner` that is asked for ALFWorld's goals as people would say them (`spoken`)."""

    def __init__(self, inner: Reasoner) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """That of the model."""
        return self._inner.name

    def ask(self, request: Request) -> Answer:
        """See `Reasoner.ask`."""
        return self._inner.ask(replace(request, goal=spoken(request.goal)))

    def close(self) -> None:
        """Closes the model."""
        self._inner.close()


def question_of(request: Request) -> Question:
    """The question that a request of ALFRED's robot is: level 1 reads nothing of what is known of the home."""
    home = tuple(sorted(request.scene)) if request.level == 2 else ()
    return Question(request.goal, request.role, request.level, request.plan, home)


def classes(names: Iterable[str]) -> tuple[str, ...]:
    """ALFRED's classes of names as ALFWorld writes them, sorted; what ALFRED's plans cannot name is left out.

    >>> classes(("cabinet 1", "cabinet 2", "mug_3", "towelholder 1"))
    ('cabinet', 'mug')
    """
    found = {_NUMBER.sub("", name).replace(" ", "").lower() for name in names}
    return tuple(sorted(found & ALFRED_DOMAIN.world.named.keys()))


def furniture(home: Iterable[str]) -> tuple[str, ...]:
    """Those classes of a home that cannot be carried and hold things: all that the opening text tells."""
    known = ALFRED.known
    return tuple(sorted(set(home) & (set(known.places) - set(known.objects))))
