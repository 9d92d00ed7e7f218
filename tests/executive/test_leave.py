"""The executive asks a person before a step without leave, and carries nothing of it out until then."""

import json

from toy_robot import SKILLS, WORLD, ToyRobot, counting_ids, plan, step

from rarrl.clock import ManualClock
from rarrl.executive.commands import Send
from rarrl.executive.executive import ExecutiveSettings, TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.reasoner.base import Answer
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World
from rarrl.types import Action, CallStatus, Decision, Role

ACT = Decision(1, Action.ACT, 0.0, "test")
THINK = Decision(7, Action.PLANNER_1, 20.0, "test")
SKILLS_ASKING = {**SKILLS, "skills": {**SKILLS["skills"], "put": {**SKILLS["skills"]["put"], "confirm": "unasked"}}}
GOAL = "put the cup on the table"


def home(**confirm):
    things = {**WORLD["things"], "knife": {"at": ["table"]}, "plate": {"at": ["table"]}}
    return Domain(SkillSet(**SKILLS_ASKING), World(**{**WORLD, "things": things, "confirm": confirm}))


def begun(domain, goal=GOAL, **settings):
    made = TaskExecutive(domain, ExecutiveSettings(**settings), new_id=counting_ids())
    made.instruct(goal, 0.0)
    return made


def answered(made, *rows):
    made.decide(THINK, 1.0)
    return made.answer(Answer(7, Role.PLANNER, 1, CallStatus.OK, 1.0, "test", plan=plan(*rows)), 2.0)


def until_it_stands(made, robot):
    """Steps that were sent until nothing is due any more."""
    sent = []
    now = 3.0
    while made.waits:
        for command in made.decide(ACT, now):
            if isinstance(command, Send):
                sent.append(str(command.step))
                made.finished(command.uuid, robot.run(command.step), now)
        now += 1.0
    return sent


def test_a_plan_that_nobody_asked_for_does_not_replace_one_that_was_asked_for():
    made = begun(home())
    answered(made, "put plate shelf")
    assert made.plan == plan("put cup table")
    assert made.report.outcome.status is CallStatus.REFUSED


def test_without_another_plan_a_person_is_asked_and_nothing_is_sent_before():
    made = begun(home(), goal="make it nice")
    answered(made, "put plate shelf")
    sent = until_it_stands(made, ToyRobot(made.domain))
    assert "put(plate, shelf)" not in sent
    assert made.status is TaskStatus.NEEDS_PERSON and made.asks == step("put plate shelf")
    assert "does not name plate" in made.why
    assert made.decide(ACT, 9.0) == ()


def test_yes_goes_on_with_that_step_in_that_task_alone():
    made = begun(home(), goal="make it nice")
    answered(made, "put plate shelf", "put cup cupboard")
    robot = ToyRobot(made.domain)
    until_it_stands(made, robot)
    made.resume(20.0)
    assert "put(plate, shelf)" in until_it_stands(made, robot)
    assert made.asks == step("put cup cupboard")  # the next one is another question
    made.instruct("make it nice", 40.0)
    answered(made, "put plate table")
    until_it_stands(made, robot)
    assert made.asks == step("put plate table")


def test_no_ends_the_task():
    made = begun(home(), goal="make it nice")
    answered(made, "put plate shelf")
    until_it_stands(made, ToyRobot(made.domain))
    made.cancel(20.0)
    assert made.status is TaskStatus.CANCELLED and made.asks is None


def test_the_way_through_a_place_that_needs_a_word_is_asked_about_too():
    made = begun(home(unasked=["kitchen"]))  # the cup is on the shelf there
    assert until_it_stands(made, ToyRobot(made.domain)) == []
    assert "does not name kitchen" in made.why


def test_a_restarted_executive_still_asks():
    domain = home()
    made = begun(domain, goal="make it nice")
    answered(made, "put plate shelf")
    until_it_stands(made, ToyRobot(domain))
    again = TaskExecutive(domain, new_id=counting_ids())
    again.restore(json.loads(json.dumps(made.to_json())), 30.0)
    assert again.asks == made.asks and again.status is TaskStatus.NEEDS_PERSON
    again.resume(31.0)
    copy = TaskExecutive(domain, new_id=counting_ids())
    copy.restore(json.loads(json.dumps(again.to_json())), 32.0)
    assert copy.asks is None and "put(plate, shelf)" in [
        str(c.step) for c in copy.decide(ACT, 33.0) if isinstance(c, Send)
    ]


def test_nobody_is_asked_in_missions_that_nobody_watches():
    made = begun(home(), goal="make it nice", confirm=False)
    answered(made, "put plate shelf")
    assert "put(plate, shelf)" in until_it_stands(made, ToyRobot(made.domain))


def test_a_thing_counts_as_all_that_it_may_be():
    domain = home(always=[["knife", "shelf"]])
    for others, asks in ((["knife"], True), (["cup"], False), ([], False)):
        made = begun(domain, goal="put the plate on the shelf")
        made.sighted("plate", "table", 0.9, 0.5, others)
        until_it_stands(made, ToyRobot(domain))
        assert (made.status is TaskStatus.NEEDS_PERSON) == asks, others
    assert made.status is TaskStatus.SUCCEEDED


def test_what_has_appeared_where_another_thing_is_missing_may_be_that():
    domain = home(always=[["knife", "shelf"]])
    cup = begun(domain, goal="put the cup on the shelf")
    cup.sighted("cup", "table", 0.9, 0.5, beside=["cup"])  # where the knife is believed to be
    assert cup.beliefs.doubts["cup", "table"] >= {"knife"}
    cup.sighted("knife", "table", 0.9, 0.6)
    assert "knife" not in cup.beliefs.doubts.get(("cup", "table"), ())

    seen = begun(domain)
    seen.finished("none", SkillResult(Outcome.SUCCESS), 1.0)
    beliefs = seen.beliefs.observe("table", ["cup", "plate"], 1.0)
    assert beliefs.doubts == {("cup", "table"): frozenset({"knife"})}
    assert beliefs.observe("shelf", ["cup", "knife"], 2.0).doubts == {}


def test_a_person_at_hand_says_yes_or_no():
    for yes, status in ((True, TaskStatus.SUCCEEDED), (False, TaskStatus.CANCELLED), (None, TaskStatus.NEEDS_PERSON)):
        domain = home(always=["cup"])
        made = TaskExecutive(domain, new_id=counting_ids())
        asked = []

        def person(executive, yes=yes, asked=asked):
            asked.append(executive.asks)
            return yes

        end = play_task(made, GOAL, ToyRobot(domain), ManualClock(), person=None if yes is None else person)
        assert end.status is status
        assert bool(asked) == (yes is not None)
