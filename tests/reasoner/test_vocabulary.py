"""Names of classes as people and models write them."""

import pytest

from rarrl.reasoner.vocabulary import ALFRED, Vocabulary

OWN = ALFRED.extended(["drill", "power_drill"], ["toolbox"])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("mug", "mug"),
        ("Mug", "mug"),
        ("mugs", "mug"),
        ("the mug", "mug"),
        ("mug 1", "mug"),
        ("Mug_2", "mug"),
        ("Mug|+01.25", "mug"),
        ("AlarmClock", "alarmclock"),
        ("alarm-clock", "alarmclock"),
        ("clock", "alarmclock"),
        ("knives", "knife"),
        ("potatoes", "potato"),
        ("WATCHES", "watch"),
        ("cds", "cd"),
        ("Power Drill", "power_drill"),
        ("drills", "drill"),
    ],
)
def test_an_object_is_read_however_it_is_written(written, name):
    assert OWN.read(written, OWN.objects) == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("coffee machine", "coffeemachine"),
        ("Coffee_Machine", "coffeemachine"),
        ("CoffeeMachine", "coffeemachine"),
        ("Sink", "sinkbasin"),
        ("refrigerator", "fridge"),
        ("shelves", "shelf"),
        ("trash can", "garbagecan"),
        ("tool box", "toolbox"),
    ],
)
def test_a_place_is_read_however_it_is_written(written, name):
    assert OWN.read(written, OWN.places) == name


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("table", "may mean coffeetable, diningtable, sidetable"),
        ("bottle", "no name"),  # an object, and here a place is asked for
        ("car", "no name"),  # no cart
        ("", "no name"),
        ("12", "no name"),
        ("<|end|>", "no name"),
        ("кружка", "no name"),
    ],
)
def test_what_may_mean_several_or_none_is_refused(written, says):
    with pytest.raises(ValueError, match=says):
        ALFRED.read(written, ALFRED.places)


@pytest.mark.parametrize("name", sorted(ALFRED.classes))
def test_every_class_is_read_by_each_of_its_own_spellings(name):
    for written in (name, name.upper(), f"{name}s", f"a {name}"):
        assert ALFRED.read(written, ALFRED.classes) == name


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("Put the apple in the fridge.", {"apple", "fridge"}),
        ("put it on the table", set()),  # which table, it does not say
        ("a bottle of wine for the dining table", {"winebottle", "diningtable"}),
        ("the butter knife, not the knife", {"butterknife", "knife"}),
        ("put the drill in the tool box", {"drill", "toolbox"}),
        ("", set()),
    ],
)
def test_what_a_sentence_names(sentence, names):
    assert OWN.named(sentence) == names


def test_a_word_may_mean_a_class_without_naming_it():
    assert ALFRED.mentions("put it on the table", "diningtable") and not ALFRED.named("put it on the table")
    assert not ALFRED.mentions("put it on the shelf", "diningtable")


def test_names_of_the_operators_own_are_known_apart():
    assert OWN.own == ("drill", "power_drill", "toolbox") and ALFRED.own == ()
    assert {"drill", "toolbox", "mug"} <= OWN.classes
    assert ALFRED.extended(["mug"], ["shelf"]) == ALFRED
    assert "basket" in ALFRED.extended(["basket"], ["basket"]).containers


def test_what_is_withheld_is_known_and_not_offered():
    some = Vocabulary(withheld_objects=frozenset({"mug", "desklamp"}), withheld_places=frozenset({"bed"}))
    assert some.read("Mug", some.objects) == "mug"
    offered = some.offered
    assert not {"mug", "desklamp", "bed"} & offered.classes
    assert some.offered_arguments["ToggleObject"] == (("floorlamp",),)
    assert "HeatObject" not in Vocabulary(withheld_verbs=frozenset({"HeatObject"})).offered_arguments
