"""What an instruction gives leave to."""

import pytest
from toy_robot import SKILLS, WORLD, plan, step

from rarrl.errors import InputError
from rarrl.skills.domain import Domain
from rarrl.skills.facts import State
from rarrl.skills.permission import Permission
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World

HEAT = {
    "does": "heats",
    "parameters": {"thing": "portable", "in": "heaters"},
    "confirm": "unasked",
    "words": ["heat", "hot", "warm"],
    "needs": ["holding {thing}", "at {in}"],
    "gives": ["hot {thing}"],
}
OVEN = {"does": "sets the oven", "parameters": {"degrees": {"number": [0, 300]}}, "confirm": "unasked"}
UNLOCK = {"does": "unlocks", "parameters": {"what": "door"}, "confirm": "always"}
SAY = {"does": "says", "parameters": {"text": "text"}, "confirm": "unasked", "words": ["say"]}
PUT = {**SKILLS["skills"]["put"], "confirm": "unasked"}
PLACES = {
    **WORLD["places"],
    "stove": {"room": "hall", "groups": ["heaters"]},
    "side_table": {"room": "hall"},
    "drawer": {"room": "hall"},
}
THINGS = {
    **WORLD["things"],
    "knife": {"groups": ["sharp"], "at": ["shelf"]},
    "pills": {"groups": ["medicine"]},
    "bag": {"holds": True},
}


def home(**confirm):
    skills = {**SKILLS["skills"], "put": PUT, "heat": HEAT, "oven": OVEN, "unlock": UNLOCK, "say": SAY}
    world = {**WORLD, "places": PLACES, "things": THINGS, "confirm": confirm}
    return Domain(SkillSet(**{**SKILLS, "skills": skills}), World(**world))


HOME = home(always=["<medicine>", ["knife", "table"]], unasked=["drawer", "kitchen"])


def why(goal, row, domain=HOME, prepares=False, state=None):
    return Permission(goal, domain).question(step(row), state or State(), prepares)


@pytest.mark.parametrize(
    "goal",
    [
        "put the plate on the side table",
        "Please bring the plate to the side table.",
        "take the plate and put it on the side table",
        "take the plate, wash it, then put it on the side table",
        "on the side table I want the plate",
        "put the cup and the plate on the side table",
        "plates go on the side table",
        "put the plate on the table",  # which may be the side table
    ],
)
def test_what_is_said_has_leave(goal):
    assert why(goal, "put plate side_table") == ""


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("put the cup on the side table", "does not name plate"),
        ("bring me the plate", "does not name side_table"),
        ("put the plate in the cupboard and the cup on the side table", "bring plate and side_table together"),
        ("put the cup on the side table, but do not touch the plate", "does not name plate"),
        ("put the cup on the side table, never the plate", "does not name plate"),
        ('put the cup on the side table; the note says "plate"', "does not name plate"),
        ("hallo", "does not name plate"),
        ("", "does not name plate"),
    ],
)
def test_what_is_not_said_of_them_has_none(goal, said):
    assert said in why(goal, "put plate side_table")


def test_a_word_for_the_skill_has_to_be_said_of_the_thing():
    assert why("warm the plate", "heat plate stove") == ""  # the stove is what it is done with
    assert why("take the plate and heat it", "heat plate stove") == ""
    assert why("I want a hot plate on the table", "heat plate stove") == ""
    assert "does not ask to heat" in why("put the plate on the table", "heat plate stove")
    assert "does not ask to heat plate" in why("heat the cup and put the plate on the table", "heat plate stove")


def test_numbers_and_texts_have_to_be_said():
    assert why("set the oven to 180 degrees", "oven 180") == why("set the oven to 180 degrees", "oven 180.0") == ""
    assert "does not say '280'" in why("set the oven to 180 degrees", "oven 280")
    assert Permission("say 'dinner is ready'", HOME).question(plan("say x").steps[0], State()) != ""


def test_some_skills_things_and_places_need_a_yes_each_time():
    assert "each time" in why("unlock the door", "unlock door")
    assert "each time" in why("bring the pills", "pick pills", prepares=True)
    assert "each time" in why("put the knife on the table", "put knife table")
    assert why("put the cup on the table", "put cup table") == ""


def test_others_need_one_where_they_are_not_named_whatever_they_prepare():
    assert "does not name drawer" in why("find the cup", "go drawer", prepares=True)
    assert "does not name kitchen" in why("find the cup", "go shelf", prepares=True)
    assert why("look into the drawer", "go drawer", prepares=True) == ""
    assert why("find the cup", "go side_table", prepares=True) == ""


def test_what_a_thing_holds_goes_with_it():
    state = State(located=frozenset({("pills", "bag", 1)}))
    assert why("put the bag on the table", "put bag table") == ""
    assert "pills needs" in why("put the bag on the table", "put bag table", state=state)


def test_what_prepares_a_step_with_leave_needs_no_word():
    permission = Permission("put the plate on the side table", HOME)
    assert permission.questions(plan("go side_table", "pick plate", "put plate side_table"), State()) == {}
    assert permission.preparing(plan("put cup side_table", "put plate side_table")) == (False, False)
    assert list(permission.questions(plan("put cup side_table", "put plate side_table"), State())) == [0]


def test_a_skill_asks_nobody_unless_its_maker_says_so():
    bare = Domain(SkillSet(**SKILLS), World(**WORLD))
    assert why("hallo", "put plate table", bare) == why("hallo", "open door", bare) == ""


@pytest.mark.parametrize("confirm", [{"always": ["spoon"]}, {"unasked": [["knife", "<soft>"]]}, {"sometimes": []}])
def test_a_misspelt_rule_is_told(confirm):
    with pytest.raises((InputError, ValueError)):
        home(**confirm)


def meant_for(skill, *freely):
    made = home()
    changed = made.skills.skills[skill].model_copy(update={"freely": freely})
    skills = made.skills.model_copy(update={"skills": {**made.skills.skills, skill: changed}})
    return Domain(skills, made.made)


def test_what_a_skill_is_not_meant_for_needs_a_yes_each_time_however_it_is_asked_for():
    domain = meant_for("heat", "plate", "<sharp>")
    assert why("heat the plate", "heat plate stove", domain) == why("heat the knife", "heat knife stove", domain) == ""
    assert "does not ask to heat" in why("bring the plate", "heat plate stove", domain)  # listed is not asked for
    told = why("Please heat the cup.", "heat cup stove", domain)
    assert told == "heat is not meant for 'cup', which needs a person's yes each time"
    assert why("Please heat the cup.", "heat cup stove", domain, prepares=True) == told
    assert why("put the plate into the cupboard", "open cupboard", meant_for("open", "door"), prepares=True) != ""


def test_a_text_has_to_be_one_that_the_skill_is_meant_for():
    permission = Permission("say dinner is ready, say nobody is home", meant_for("say", "dinner is ready"))
    assert permission.question(Step("say", ("Dinner is ready",)), State()) == ""
    assert "not meant for 'nobody is home'" in permission.question(Step("say", ("nobody is home",)), State())


@pytest.mark.parametrize(
    ("skill", "word"), [("heat", "plat"), ("heat", "<shapr>"), ("say", "<shapr>"), ("open", "cup")]
)
def test_a_misspelt_name_among_them_is_told(skill, word):
    with pytest.raises(InputError, match=f"skill {skill}: freely: .*{word}.* is unknown"):
        meant_for(skill, word)


def test_a_model_need_not_know_a_group_that_only_they_speak_of():
    assert "sharp" in home().told_groups and "sharp" not in meant_for("heat", "<sharp>").told_groups
