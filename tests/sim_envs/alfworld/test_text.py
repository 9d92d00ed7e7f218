"""What the world says is read, and nothing else."""

import pytest

from rarrl_sim_envs.alfworld.text import read_answer, read_opening

OPENING = """-= Welcome to TextWorld, ALFRED! =-

You are in the middle of a room. Looking quickly around you, you see a bed 1, a drawer 10, a drawer 2, and a desk 1.

Your task is to: look at cd under the desklamp.
"""


def test_the_opening():
    opening = read_opening(OPENING)
    assert opening.places == ("bed 1", "desk 1", "drawer 2", "drawer 10")
    assert opening.task == "look at cd under the desklamp."
    with pytest.raises(ValueError, match="names no receptacles"):
        read_opening("Hello.")


@pytest.mark.parametrize(
    ("text", "happened", "seen", "shut"),
    [
        ("Nothing happens.", False, {}, ()),
        ("You arrive at desk 1. On the desk 1, you see a mug 2, and a pen 1.", True,
         {"desk 1": ("mug 2", "pen 1")}, ()),
        ("You arrive at fridge 1. The fridge 1 is closed.", True, {}, ("fridge 1",)),
        ("You open the fridge 1. The fridge 1 is open. In it, you see nothing.", True, {"fridge 1": ()}, ()),
        ("The safe 1 is open. In it, you see a cd 12.", True, {"safe 1": ("cd 12",)}, ()),
        ("You pick up the mug 2 from the desk 1.", True, {}, ()),
        ("", False, {}, ()),
    ],
)  # fmt: skip
def test_answers(text, happened, seen, shut):
    answer = read_answer(text)
    assert (answer.happened, answer.seen, answer.shut) == (happened, seen, shut)


def test_a_flood_of_text_is_cut():
    assert len(read_answer("x" * 1_000_000).text) <= 20_000
