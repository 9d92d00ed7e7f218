"""A reader that is trained on few sentences has read them, and comes back from its file as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rarrl.reasoner.goal_reader import FIELDS, load_goal_reader
from rarrl_learning.alfworld.goals import Game
from rarrl_learning.reasoner.train_goal_reader import (
    Lesson,
    ReaderConfig,
    accuracy,
    lessons,
    save_reader,
    train_reader,
)

SMALL = ReaderConfig(buckets=512, width=16, hidden=16, epochs=40, batch=4)


def test_lessons_know_what_is_in_the_home(made_up_plans) -> None:
    game = Game("task-Mug-None-Desk-1", made_up_plans[0].trial, "", (), ("desk",), ("mug", "pen"))
    found = lessons(made_up_plans, [game])
    assert len(found) == 2 * len(made_up_plans)
    assert found[0].things == ("mug", "pen") and found[-1].things == ()
    assert len(found[0].goal) == len(FIELDS)


def test_it_learns_and_keeps_what_it_has_learnt(made_up_plans, tmp_path: Path) -> None:
    taught = lessons(made_up_plans)
    reader = train_reader(taught, SMALL)
    assert accuracy(reader, taught, lambda _: ())["all"] > 0.9

    path = tmp_path / "reader.safetensors"
    save_reader(reader, path, {"what": "a test"})
    again = load_goal_reader(path)
    for ours, theirs in zip(reader.read(taught[0].said), again.read(taught[0].said), strict=True):
        assert np.allclose(ours, theirs)


def test_the_home_tells_which_one_is_meant() -> None:
    def lesson(lamp: str) -> Lesson:
        goal = ("look_at_obj_in_light", "book", "", "", lamp, "False")
        return Lesson("read the book under the lamp", goal, ("book", lamp))

    taught = [lesson(lamp) for lamp in ("desklamp", "floorlamp") for _ in range(40)]
    reader = train_reader(taught, SMALL)
    assert accuracy(reader, taught, lambda each: each.things)["lamp"] == 1.0
    assert accuracy(reader, taught, lambda _: ())["lamp"] == 0.5
