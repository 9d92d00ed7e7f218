import pytest
from toy_robot import plan, toy

from rarrl.skills.domain import Domain, load_robot
from rarrl.skills.nearest import NearestExample
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World

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


FIXED = NearestExample(
    Domain(
        SkillSet(
            defaults={"does": "x", "run": {"python": "a.b:c"}},
            skills={
                "roof": {"parameters": {"state": ["open", "shut", "ajar"]}},
                "turn": {"parameters": {"by": {"number": [-180, 180]}, "way": ["left", "right"]}},
            },
            examples=[
                {"say": "open the roof", "plan": [["roof", "open"]]},
                {"say": "turn left by 90 degrees", "plan": [["turn", "90", "left"]]},
                {"say": "turn left by 90 and 45", "plan": [["turn", "90", "left"], ["turn", "45", "left"]]},
            ],
        ),
        World(),
    )
)


@pytest.mark.parametrize(
    ("sentence", "row"),
    [
        ("open the roof", "roof open"),
        ("Shut the roof, please", "roof shut"),
        ("turn left by 90 degrees", "turn 90 left"),
        ("turn right by 45.5 degrees", "turn 45.5 right"),
        ("turn right", "turn 90 right"),
    ],
)
def test_fixed_words_and_numbers_are_those_of_the_sentence(sentence, row):
    assert FIXED.recall(sentence).plan == plan(row)


def test_as_many_numbers_as_in_the_example():
    assert FIXED.recall("turn left by 14 and 7").plan == plan("turn 14 left", "turn 7 left")


def test_a_number_out_of_bounds_is_no_plan():
    assert FIXED.recall("turn left by 900 degrees").plan is None


def test_orders_take_the_names_that_are_said_and_leave_the_rest_open():
    orders = {order.say: order for order in PYROBOSIM.orders("something to drink on the desk", {}, ("thing", "place"))}
    assert {f"put the {thing} on the desk" for thing in ("bread", "snacks", "waste")} <= set(orders)
    assert "place(soda, desk)" in {str(order.plan) for order in orders.values()}
    assert not any("table" in say and "desk" in say for say in orders)
    only = PYROBOSIM.orders("something to drink on the desk", {"thing": "soda"}, ())
    assert {str(order.plan) for order in only} >= {"place(soda, desk)"}
    assert "place(bread, desk)" not in {str(order.plan) for order in only}


def test_an_order_says_whether_the_file_shows_it():
    shown = {str(order.plan): order.shown for order in PYROBOSIM.orders("to the desk", {}, ("thing", "place"))}
    assert shown["place(soda, desk)"] == 2 and shown["place(bread, desk)"] == 1


def test_no_order_shuts_what_is_always_open():
    plans = [order.plan for order in PYROBOSIM.orders("clear up and close it", {}, ("thing", "place"))]
    shut = {step.arguments[0] for plan in plans for step in plan.steps if step.skill == "close"}
    assert shut == {"fridge", "pantry", "dumpster"}
