"""Who answers THINK in ALFWorld: recorded answers of two models, and any model that is asked live.

Both plan in ALFRED's steps; `rarrl_sim_envs.alfworld.plans` makes plans of ALFWorld's robot of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.errors import InputError
from rarrl.reasoner.base import Request
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.types import Role

from ..recorded_answers import AnswerFile, Question, robot_hash

MODELS = ("shipped", "smollm2")
"""Whose answers come with the package: the shipped planner's, and those of SmolLM2-135M-Instruct."""
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


def question_of(request: Request) -> Question:
    """The question that a request of ALFRED's robot is: neither model's level 1 reads what is known of the home."""
    plan = request.plan
    home = tuple(sorted(request.scene)) if request.level == 2 else ()
    return Question(request.goal, request.role, request.level, plan, home)


def needs_plan(role: Role) -> bool:
    """Whether a role judges a plan."""
    return role is Role.VERIFIER
