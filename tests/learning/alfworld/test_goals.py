"""ALFWorld's sentences: what rules read of them, and which plans are right."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from rarrl.alfred import read_alfred
from rarrl.errors import InputError
from rarrl.reasoner.nearest import NearestGoal
from rarrl.skills.plan import Plan
from rarrl_learning.alfworld.goals import (
    Game,
    Kind,
    known_sentences,
    learning_games,
    nearest_plan,
    read_games,
    rules_plan,
    sentences,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
PROBLEM = (
    "(:init (receptacleType Desk_1 DeskType) (receptacleType Desk_2 DeskType) (receptacleType Rack_1 TowelHolderType) "
    "(objectType Mug_1 MugType) (objectType Lamp_1 DeskLampType) (objectType W_1 WindowType))"
)

ROW = {
    "task_type": "pick_heat_then_place_in_recep",
    "scene": "FloorPlan7",
    "trial": "trial_1",
    "plan": [["PickupObject", "mug"], ["HeatObject", "mug"], ["PutObject", "mug", "desk"]],
    "low_steps": [1, 1, 1],
    "annotations": [{"goal": "Warm the mug for the desk.", "steps": []}],
}


def game(**changes: str) -> dict[str, object]:
    entry = {
        "task": "pick_heat_then_place_in_recep-Mug-None-Desk-7",
        "trial": "trial_1",
        "goal": "Your task is to: heat some mug and put it in desk.",
        "pddl_problem": PROBLEM,
    }
    return entry | changes


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    with gzip.open(tmp_path / "alfred_train.jsonl.gz", "wt") as stream:
        stream.write(json.dumps(ROW) + "\n")
    write(tmp_path, game())
    return tmp_path, tmp_path


def write(folder: Path, *games: object) -> None:
    with lzma.open(folder / "alfworld_train.jsonl.xz", "wt") as stream:
        stream.writelines(json.dumps(each) + "\n" for each in games)


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        ("put a mug in coffeemachine.", "PickupObject(mug); PutObject(mug, coffeemachine)"),
        ("put some vase on safe.", "PickupObject(vase); PutObject(vase, safe)"),
        ("put a clean mug in coffeemachine.", "PickupObject(mug); CleanObject(mug); PutObject(mug, coffeemachine)"),
        ("put a hot egg in fridge.", "PickupObject(egg); HeatObject(egg); PutObject(egg, fridge)"),
        ("cool some cup and put it in microwave.", "PickupObject(cup); CoolObject(cup); PutObject(cup, microwave)"),
        ("put two cd in safe.", "PickupObject(cd); PutObject(cd, safe); PickupObject(cd); PutObject(cd, safe)"),
        ("look at pillow under the desklamp.", "PickupObject(pillow); ToggleObject(desklamp)"),
        ("examine the book with the desklamp.", "PickupObject(book); ToggleObject(desklamp)"),
    ],
)
def test_rules_read_each_template(sentence: str, plan: str) -> None:
    assert str(rules_plan(sentence)) == str(rules_plan(f"Your task is to: {sentence}")) == plan


@pytest.mark.parametrize("sentence", ["", "Warm the mug.", "put a unicorn in fridge.", "put two book in moon."])
def test_rules_read_nothing_else(sentence: str) -> None:
    assert rules_plan(sentence) is None


def test_a_game_has_both_kinds_of_sentences_and_its_home(folders: tuple[Path, Path]) -> None:
    found = read_games(*folders, "train")[0]

    assert sentences(found, Kind.TEMPLATE) == ("heat some mug and put it in desk.",)
    assert sentences(found, Kind.HUMAN) == ("Warm the mug for the desk.",)
    assert (found.furniture, found.things) == (("desk",), ("desklamp", "mug"))
    assert found.wanted == ("pick_heat_then_place_in_recep", "mug", "desk", "")
    assert found.scene == "FloorPlan7"


def test_a_plan_is_right_by_what_it_does(folders: tuple[Path, Path]) -> None:
    found = read_games(*folders, "train")[0]
    right = rules_plan(found.template)
    assert right is not None and found.is_right(right)

    rows = right.to_rows()
    for wrong in (rows[:2], [rows[0], rows[2]], [[*row[:-1], "cup"] for row in rows]):
        assert not found.is_right(Plan.from_rows(wrong)), wrong
    assert not found.is_right(None)


def test_the_nearest_sentence_of_a_game_to_learn_from_is_not_its_own(folders: tuple[Path, Path]) -> None:
    held = next(f"trial_{n}" for n in range(1000) if learning_games([_named(folders, f"trial_{n}")]))
    games = (_named(folders, held), *read_games(*folders, "train"))
    plans = read_alfred(folders[1], "train").plans

    known = known_sentences(plans, games)
    assert isinstance(known, NearestGoal)
    assert [said for said, _ in known.examples("x", 9)] == ["Warm the mug for the desk."]
    assert str(nearest_plan("a warm mug", known)) == "PickupObject(mug); HeatObject(mug); PutObject(mug, desk)"


def _named(folders: tuple[Path, Path], trial: str) -> Game:
    task = "pick_and_place_simple-Pen-None-Desk-7"
    write(folders[0], game(trial=trial, goal="Your task is to: put a pen in desk.", task=task))
    found = read_games(*folders, "train")[0]
    write(folders[0], game())
    return found


def test_what_is_no_list_of_games_is_refused(folders: tuple[Path, Path]) -> None:
    with gzip.open(folders[1] / "alfred_valid_seen.jsonl.gz", "wt") as stream:
        stream.write(json.dumps(ROW) + "\n")
    with pytest.raises(InputError, match="holds no games of split valid_seen"):
        read_games(*folders, "valid_seen")


@pytest.mark.skipif(not (SHARED / "alfworld").is_dir(), reason="the ALFWorld games are not at hand (see docs)")
def test_rules_read_every_sentence_of_valid_seen() -> None:
    games = read_games(SHARED / "alfworld", SHARED / "alfred", "valid_seen")
    assert len(games) == 140
    assert all(found.is_right(rules_plan(found.template)) for found in games)
    assert all(2 <= len(found.human) <= 6 for found in games)
