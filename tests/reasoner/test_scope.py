"""What the shipped planner was made for, and which of its steps somebody asked for."""

import pytest

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.reasoner import scope
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallFailedError
from rarrl.reasoner.plan import Plan
from rarrl.reasoner.vocabulary import Vocabulary
from rarrl.skills.domain import load_robot
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.types import CallStatus, Role


def plan(text):
    """Of "Pickup mug, Put mug desk"."""
    rows = [part.split() for part in text.split(", ")]
    return Plan.from_rows([[f"{row[0]}Object", *row[1:]] for row in rows])


@pytest.mark.parametrize(
    ("goal", "lost"),
    [
        ("Put the mug on the café’s table — now!", ""),
        ("put the “red” mug on the desk…", ""),
        ("Löffel", ""),  # read without its dots
        ("把干净的杯子放在架子上", "把干净的杯子放在架子上"),
        ("put the 杯子 on the desk", "杯子"),
        ("поставь кружку", "поставькружку"),
        ("put the 🍎 in the fridge", "🍎"),
        ("große", "ß"),
    ],
)
def test_letters_that_it_does_not_read(goal, lost):
    assert scope.unread(goal) == lost


@pytest.mark.parametrize(
    ("goal", "says"), [("放下杯子", "English in the letters a to z"), ("Put the Drill away", "operator's own drill")]
)
def test_what_it_cannot_read_is_refused_with_a_way_out(goal, says):
    vocabulary = Vocabulary(ALFRED_DOMAIN.under(OperatorPolicy(more_objects={"drill"})))
    with pytest.raises(CallFailedError, match=f"{says}.*ask a chat model") as refused:
        scope.check_readable(Request(1, Role.PLANNER, 1, goal, 1.0, vocabulary=vocabulary))
    assert refused.value.status is CallStatus.REFUSED


def test_the_shipped_planner_serves_alfreds_robot_alone():
    narrowed = ALFRED_DOMAIN.under(OperatorPolicy(max_steps=3))
    scope.check_readable(Request(1, Role.PLANNER, 1, "put a mug on the desk", 1.0, domain=narrowed))
    other = Request(1, Role.PLANNER, 1, "bring a coke to the desk", 1.0, domain=load_robot("pyrobosim"))
    with pytest.raises(CallFailedError, match=r"ALFRED's household alone.*pyrobosim.*ask a chat model") as refused:
        scope.check_readable(other)
    assert refused.value.status is CallStatus.REFUSED


@pytest.mark.parametrize(
    ("goal", "rest"),
    [
        ("Please put the mug on the desk, thanks!", "put the mug on the desk"),
        ("I'd like you to bring me my mug", "bring the mug"),
        ("Could you please, for me", "could you please"),
        ("please", "please"),
        ("The fork belongs in the sink, bring it there.", "put the fork in the sink"),
    ],
)
def test_courtesies_do_not_count(goal, rest):
    assert scope.bare(goal).startswith(rest)


@pytest.mark.parametrize(
    ("goal", "written", "wanted"),
    [
        # A treatment that no word asks for.
        ("Put the apple in the fridge", "Pickup apple, Heat apple, Put apple fridge", "Pickup apple, Put apple fridge"),
        ("Put the soap bar in the drawer", "Pickup soapbar, Clean soapbar, Put soapbar drawer",
         "Pickup soapbar, Put soapbar drawer"),
        # Asked for, in words or by the appliance on the way.
        ("Put a reheated egg on the table", "Pickup egg, Heat egg, Put egg diningtable", None),
        ("Put a chilled egg on the table", "Pickup egg, Cool egg, Put egg diningtable", None),
        ("Put the mug in the sink, then on the desk", "Pickup mug, Clean mug, Put mug desk", None),
        ("Unwashed or not, clean the pan for the shelf", "Pickup pan, Clean pan, Put pan shelf", None),
        # Nothing else is left out.
        ("put it on the table", "Pickup mug, Put mug diningtable", None),
        ("do something", "Clean mug", None),
    ],
)  # fmt: skip
def test_treatments_nobody_asked_for_are_left_out(goal, written, wanted):
    assert scope.grounded(plan(written), goal)[0] == plan(wanted or written)


@pytest.mark.parametrize(
    ("goal", "written", "offered"),
    [
        ("Put the cup in the fridge", "Pickup cup, Put cup sinkbasin", "Pickup cup, Put cup fridge"),
        ("Put the fork in the mug", "Pickup fork, Put fork mug, Pickup mug, Put mug sinkbasin",
         "Pickup fork, Put fork mug"),
        ("Put the toilet paper in the drawer", "Pickup toiletpaper, Put toiletpaper drawer, "
         "Pickup toiletpaper, Put toiletpaper drawer", "Pickup toiletpaper, Put toiletpaper drawer"),
    ],
)  # fmt: skip
def test_plans_that_use_what_the_goal_names_are_offered(goal, written, offered):
    assert plan(offered) in scope.grounded(plan(written), goal)[1:]


@pytest.mark.parametrize(
    ("goal", "written"),
    [
        ("Put two pens on the desk", "Pickup pen, Put pen desk, Pickup pen, Put pen desk"),
        ("Put the cup from the fridge on the table", "Pickup cup, Put cup diningtable"),
        ("Move the cup next to the sink to the shelf", "Pickup cup, Put cup shelf"),
        ("Put a fork in a mug and the mug on the table", "Pickup fork, Put fork mug, Pickup mug, Put mug diningtable"),
        ("Look at the book by the lamp on the desk", "Pickup book, Toggle desklamp"),
    ],
)
def test_plans_that_do_what_the_goal_says_are_left_alone(goal, written):
    assert scope.grounded(plan(written), goal) == [plan(written)]


def test_the_less_surprised_the_model_the_likelier_the_plan():
    surprises = [(0.5, 0.01), (1.0, 0.02), (2.0, 0.1), (4.0, 0.3), (11.0, 0.3)]
    seen = [scope.Evidence(*nats) for nats in surprises]
    right = [each.p_right for each in seen]
    assert right == sorted(right, reverse=True) and right[0] > 0.9 and right[-1] < 0.3
    assert [each.p_in_scope > 0.5 for each in seen] == [True, True, True, False, False]
    assert scope.Evidence(0.0, 0.0).p_right <= 1.0 and scope.Evidence(1e6, 1e6).p_in_scope >= 0.0
