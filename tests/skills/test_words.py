"""Names of classes as people and models write them."""

import pytest

from rarrl.alfred_plans import ALFRED_DOMAIN, PLACES
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.words import Lexicon

WORKSHOP = ALFRED_DOMAIN.under(OperatorPolicy(more_things={"drill", "power_drill"}, more_places={"toolbox"}))
OWN = WORKSHOP.lexicon
ALFRED = ALFRED_DOMAIN.lexicon


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
    assert OWN.read(written, WORKSHOP.world.names("portable")) == name


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
    assert OWN.read(written, WORKSHOP.world.names("receptacle")) == name


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
        ALFRED.read(written, PLACES)


@pytest.mark.parametrize("name", sorted(ALFRED_DOMAIN.world.named))
def test_every_class_is_read_by_each_of_its_own_spellings(name):
    for written in (name, name.upper(), f"{name}s", f"a {name}"):
        assert ALFRED.read(written, ALFRED_DOMAIN.world.named) == name


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


def test_what_a_thing_is_comes_before_what_others_are_called_as_well():
    kitchen = Lexicon({"beaker": ("mug", "!"), "mug": ()})
    assert kitchen.named("bring the mug") == {"mug"}
    with pytest.raises(ValueError, match="is no name"):
        kitchen.read("the", ["beaker", "mug"])
