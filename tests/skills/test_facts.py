"""What conditions say, and how a state changes."""

import pytest

from rarrl.skills.facts import Condition, State

HOME = State(
    "shelf", "kitchen", (), frozenset({("cup", "shelf", 2), ("spoon", "cup", 1)}), frozenset({("open", "door")})
)


@pytest.mark.parametrize(
    ("text", "words", "negated"),
    [
        ("hand_empty", ("hand_empty",), False),
        ("not open {what}", ("open", "{what}"), True),
        ("at {thing.place}", ("at", "{thing.place}"), False),
        ("holding <knives>", ("holding", "<knives>"), False),
    ],
)
def test_a_condition_is_read(text, words, negated):
    condition = Condition.parse(text)
    assert (condition.words, condition.negated) == (words, negated)
    assert str(condition) == text


@pytest.mark.parametrize(
    "text", ["", "not", "a b c d e", "at {Place}!", "at {thing.pose}", "at <>", "at", "not holding"]
)
def test_what_is_no_condition(text):
    with pytest.raises(ValueError, match="is no fact"):
        Condition.parse(text)


def test_placeholders_are_filled():
    condition = Condition.parse("{thing} at {to}")
    assert condition.parameters == {"thing", "to"}
    assert condition.filled({"thing": "cup", "to": "table"}).words == ("cup", "at", "table")
    assert Condition.parse("at {thing.place}").filled({"thing": "cup"}).words == ("at", "{cup.place}")
    assert Condition.parse("at {thing.place}").filled({"thing": "cup"}).thing_sought == "cup"
    assert Condition.parse("holding {thing}").filled({"thing": "cup"}).thing_sought in ("", "cup")


@pytest.mark.parametrize(
    ("fact", "negated", "changed"),
    [
        (("at", "table"), False, {"at": "table"}),
        (("holding", "cup"), False, {"held": ("cup",), "located": {("cup", "shelf", 1), ("spoon", "cup", 1)}}),
        (("cup", "at", "table"), False, {"located": {*HOME.located, ("cup", "table", 1)}}),
        (("cup", "at", "shelf"), True, {"located": {("cup", "shelf", 1), ("spoon", "cup", 1)}}),
        (("cup", "at", "table"), True, {}),
        (("open", "door"), True, {"flags": set()}),
        (("clean", "cup"), False, {"flags": {("open", "door"), ("clean", "cup")}}),
        (("hand_empty",), True, {}),
    ],
)
def test_a_fact_changes_the_state(fact, negated, changed):
    after = HOME.with_fact(fact, negated)
    for name in ("at", "room", "held", "located", "flags"):
        assert getattr(after, name) == changed.get(name, getattr(HOME, name)), name


def test_what_is_put_down_leaves_the_hand():
    held = HOME.with_fact(("holding", "cup")).with_fact(("holding", "cup"))
    assert held.held == ("cup", "cup")
    assert held.count("cup", "shelf") == 0
    assert held.with_fact(("cup", "at", "table")).held == ("cup",)
    assert held.with_fact(("holding", "cup"), negated=True).held == ("cup",)
    assert held.with_fact(("hand_empty",)).held == ()


def test_what_is_in_a_thing_is_where_that_is():
    assert set(HOME.within("shelf")) == {"cup", "spoon"}
    assert set(HOME.around("spoon")) == {"cup", "shelf"}
    assert HOME.things_at("shelf") == ("cup",)
    loop = HOME.counted("cup", "spoon", 1)  # no world, but it must end
    assert set(loop.within("shelf")) == {"cup", "spoon"}
