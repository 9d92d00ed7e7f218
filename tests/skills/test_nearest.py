import pytest
from toy_robot import plan, toy

from rarrl.skills.domain import load_robot
from rarrl.skills.nearest import NearestExample

TOY = NearestExample(toy())
PYROBOSIM = NearestExample(load_robot("pyrobosim"))


@pytest.mark.parametrize(
    ("sentence", "rows"),
    [
        ("put the cup on the table", ["put cup table"]),
        ("Please put a plate on the shelf!", ["put plate shelf"]),
        ("put mugs on the rack", ["put cup shelf"]),  # aliases, plural
        ("shut the door", ["shut door"]),
    ],
)
def test_names_change_places(sentence, rows):
    assert TOY.recall(sentence).plan == plan(*rows)


def test_a_known_sentence_is_wholly_similar_and_holds_no_unknown_word():
    recalled = TOY.recall("put the cup on the table")
    assert (recalled.similarity, recalled.words, recalled.unknown) == (1.0, 6, 0)


def test_unknown_words_are_counted():
    assert TOY.recall("fetch the cup").unknown == 1
    assert TOY.recall("sing a song").plan is None
    assert TOY.recall("sing a song").unknown == 2


@pytest.mark.parametrize("sentence", ["", "...", "the", "xyzzy"])
def test_nothing_is_near_to_nothing(sentence):
    assert TOY.recall(sentence).plan is None


def test_a_plan_that_may_not_run_is_none():
    assert TOY.recall("put the lamp on the table").plan is None  # it cannot be carried


def test_pyrobosim():
    assert str(PYROBOSIM.recall("bring a coke to the desk").plan) == "place(soda, desk)"
    assert str(PYROBOSIM.recall("Put the snacks on the table.").plan) == "place(snacks, table)"
