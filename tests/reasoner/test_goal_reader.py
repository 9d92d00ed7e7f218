"""The second reader of goal sentences: what it reads, what the home adds, and which files it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.reasoner.goal_reader import (
    CLASSES,
    FIELDS,
    WEIGHTS,
    goal_of,
    is_whole,
    load_goal_reader,
    ngrams,
    plan_of,
    presence,
    shipped_goal_reader,
)
from rarrl.skills.plan import Plan

GOALS = [
    ("look_at_obj_in_light", "book", "", "", "desklamp", "False"),
    ("pick_and_place_simple", "mug", "desk", "", "", "False"),
    ("pick_and_place_with_movable_recep", "fork", "shelf", "cup", "", "False"),
    ("pick_clean_then_place_in_recep", "mug", "shelf", "", "", "False"),
    ("pick_heat_then_place_in_recep", "apple", "fridge", "", "", "True"),
    ("pick_two_obj_and_place", "pillow", "sofa", "", "", "False"),
]


@pytest.mark.parametrize("goal", GOALS)
def test_a_plan_of_a_goal_reaches_that_goal(goal: tuple[str, ...]) -> None:
    assert is_whole(goal)
    assert goal_of(plan_of(goal)) == goal


@pytest.mark.parametrize("field", [1, 2, 3, 4])
def test_a_goal_with_a_field_too_many_or_few_is_not_whole(field: int) -> None:
    goal = list(GOALS[1])
    goal[field] = "" if goal[field] else "cup"
    assert not is_whole(tuple(goal))


def test_it_reads_what_is_asked_for() -> None:
    reader = shipped_goal_reader()
    for sentence, plan in (
        ("Put a clean mug on the desk.", "PickupObject(mug); CleanObject(mug); PutObject(mug, desk)"),
        ("Put two pillows on the couch", "PickupObject(pillow); PutObject(pillow, sofa); " * 2),
        ("Look at the book under the desk lamp.", "PickupObject(book); ToggleObject(desklamp)"),
    ):
        read = reader.read(sentence)
        assert [np.exp(field).sum() for field in read] == pytest.approx([1.0] * len(FIELDS))
        assert str(plan_of(reader.goals(read, 3)[0])) == plan.rstrip("; ")


def test_what_was_seen_adds_to_what_the_words_leave_open() -> None:
    reader = shipped_goal_reader()
    lamps = ("desklamp", "floorlamp")
    goals = [("look_at_obj_in_light", "book", "", "", lamp, "False") for lamp in lamps]
    margins = []
    for seen in lamps:
        read = reader.read("Look at the book in the light of the lamp.", ("book", "pen", seen))
        margins.append(reader.nats(read, goals[1]) - reader.nats(read, goals[0]))
    assert margins[0] < margins[1]


def test_furniture_adds_nothing_to_what_was_seen() -> None:
    assert not presence(("desk", "shelf")).any() and not presence(()).any()
    seen = presence(("mug", "desk"))
    assert seen.shape == (1 + len(CLASSES),) and seen.sum() == 2


def test_goals_are_whole_and_ordered_by_likelihood() -> None:
    reader = shipped_goal_reader()
    read = reader.read("a cup and a spoon")
    goals = reader.goals(read, 9)
    assert len(set(goals)) == 9 and all(map(is_whole, goals))
    nats = [reader.nats(read, goal) for goal in goals]
    assert nats == sorted(nats, reverse=True)


def test_a_plan_that_it_does_not_know_is_the_least_likely() -> None:
    reader = shipped_goal_reader()
    read = reader.read("put the anvil on the shelf")
    anvil = Plan.from_rows([["PickupObject", "anvil"], ["PutObject", "anvil", "shelf"]])
    assert reader.nats(read, goal_of(anvil)) <= reader.nats(read, reader.goals(read, 1)[0])


def test_a_sentence_without_words_is_read_all_the_same() -> None:
    assert ngrams("!?", 8) == [] and all(0 <= bucket < 8 for bucket in ngrams("put a mug", 8))
    assert shipped_goal_reader().goals(shipped_goal_reader().read("!?"), 1)


def test_a_file_that_is_not_the_reader_is_refused(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS.name
    with pytest.raises(InputError, match="does not exist"):
        load_goal_reader(path)
    path.write_bytes(b"x" * 99)
    with pytest.raises(InputError, match="holds no weights"):
        load_goal_reader(path)
    path.write_bytes(WEIGHTS.read_bytes())
    (tmp_path / "card.json").write_text(json.dumps({"files": {path.name: "0" * 64}}))
    with pytest.raises(InputError, match=r"not the file that card\.json describes"):
        load_goal_reader(path)
