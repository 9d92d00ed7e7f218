"""One robot's task executive: what it does after each event, and what it never does."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_robot import SKILLS, WORLD, ToyRobot, counting_ids, plan, step, toy

from rarrl.clock import ManualClock
from rarrl.executive.commands import Adopt, Save, Send, Stop, Withdraw
from rarrl.executive.executive import TURNED_DOWN_S, ExecutiveSettings, TaskExecutive, TaskStatus, goal_of
from rarrl.executive.play import play_task
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Verdict
from rarrl.skills.domain import Domain
from rarrl.skills.facts import State
from rarrl.skills.nearest import Recalled
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World
from rarrl.types import Action, ActStatus, CallStatus, Decision, Role

TOY = toy()
ACT = Decision(1, Action.ACT, 0.0, "test")
THINK = Decision(7, Action.PLANNER_1, 20.0, "test")
DONE = SkillResult(Outcome.SUCCESS, "", 2.0)
GOAL = "put the cup on the table"


def executive(domain=TOY, **settings):
    believing = {"sure": 0.8, **settings}  # a skill without signals is taken at its word
    return TaskExecutive(domain, ExecutiveSettings(**believing), new_id=counting_ids())


def begun(domain=TOY, goal=GOAL, **settings):
    made = executive(domain, **settings)
    made.instruct(goal, 0.0)
    return made


def sent(commands):
    """The one goal that is sent."""
    (found,) = [command for command in commands if isinstance(command, Send)]
    return found


def act(made, now_s=0.0):
    return sent(made.decide(ACT, now_s))


def played(domain=TOY, goal=GOAL, truth=None, failing=None, **settings):
    made, robot = executive(domain, **settings), ToyRobot(domain, truth, failing)
    return play_task(made, goal, robot, ManualClock()), robot, made


# Whole tasks


def test_a_task_in_a_home_that_is_as_believed():
    end, robot, _ = played()
    assert end.status is TaskStatus.SUCCEEDED
    assert robot.log == ["go shelf", "pick cup", "go table", "put cup table"]
    assert (end.skills, end.calls, end.seconds) == (4, 0, 8.0)


def test_a_shut_door_is_found_out_and_opened():
    truth = replace(TOY.world.start_state(), flags=frozenset())
    end, robot, made = played(truth=truth)
    assert end.status is TaskStatus.SUCCEEDED
    assert robot.log == ["go shelf", "go door", "open door", "go shelf", "pick cup", "go table", "put cup table"]
    assert made.beliefs.contradicted == 1


def test_a_thing_that_is_elsewhere_is_looked_for():
    truth = replace(TOY.world.start_state(), located=frozenset({("cup", "cupboard", 1)}))
    end, robot, _ = played(truth=truth)
    assert end.status is TaskStatus.SUCCEEDED
    assert robot.log[:2] == ["go shelf", "pick cup"]  # refused: it is not there
    assert robot.log[-1] == "put cup table"
    assert "look cupboard" in robot.log


def test_what_fails_is_tried_again_as_often_as_the_file_says():
    end, robot, _ = played(failing={("pick", Outcome.FAILED): 1})
    assert end.status is TaskStatus.SUCCEEDED
    assert robot.log.count("pick cup") == 2
    end, robot, _ = played(failing={("pick", Outcome.FAILED): 1000})
    assert end.status is TaskStatus.FAILED
    assert robot.log.count("pick cup") == 6  # twice, three times until it is given up: see `stuck`


def test_what_cannot_be_repaired_ends_the_task():
    end, robot, _ = played(failing={("go", Outcome.LOST): 1})
    assert (end.status, end.why, robot.log) == (TaskStatus.FAILED, "as the test wants", ["go shelf"])


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNPLANNABLE, Outcome.FAILED])
@pytest.mark.parametrize("skill", ["go", "look", "pick", "put"])
def test_what_is_always_refused_is_given_up_long_before_the_horizon(skill, outcome):
    """Also where a look shows each time that the thing is there, so that beliefs go to and fro."""
    truth = replace(TOY.world.start_state(), located=frozenset({("cup", "cupboard", 1)})) if skill == "look" else None
    end, robot, _ = played(truth=truth, failing={(skill, outcome): 1000}, horizon=500)
    assert end.status is TaskStatus.FAILED
    assert end.skills < 60, robot.log
    assert max(Counter(robot.log).values()) <= 12


def test_a_thing_that_nobody_has_is_given_up():
    truth = replace(TOY.world.start_state(), located=frozenset())
    end, robot, _ = played(truth=truth)
    assert end.status is TaskStatus.FAILED
    assert end.why == "cup was not found at any place that can be reached"
    assert Counter(robot.log)["look table"] <= 3


@pytest.mark.parametrize("is_there", [True, False])
def test_a_thing_that_is_believed_to_be_brought_already_counts_once_it_was_seen_there(is_there):
    home = toy(things={"cup": {"at": ["table"]}})
    truth = home.world.start_state() if is_there else replace(home.world.start_state(), located=frozenset())
    end, robot, _ = played(home, truth=truth)
    assert "look table" in robot.log
    assert end.status is (TaskStatus.SUCCEEDED if is_there else TaskStatus.FAILED)


def test_a_thing_that_is_believed_to_be_brought_already_does_not_count_where_the_look_is_refused():
    home = toy(things={"cup": {"at": ["table"]}})
    end, _, _ = played(home, failing={("look", Outcome.REFUSED): 1000})
    assert end.status is TaskStatus.FAILED


def test_a_sentence_that_is_near_to_nothing_fails_without_moving():
    end, robot, _ = played(goal="sing a song")
    assert (end.status, robot.log, end.skills) == (TaskStatus.FAILED, [], 0)
    assert end.why == "no plan is known for this sentence"


def test_the_horizon_ends_a_task():
    end, robot, _ = played(failing={("pick", Outcome.FAILED): 1000}, horizon=3)
    assert (end.status, len(robot.log)) == (TaskStatus.FAILED, 3)


def test_beliefs_go_on_from_task_to_task():
    made, robot, clock = executive(), ToyRobot(TOY), ManualClock()
    assert play_task(made, GOAL, robot, clock).status is TaskStatus.SUCCEEDED
    assert made.beliefs.state.at == "table"
    robot.log.clear()
    assert play_task(made, "put the cup on the shelf", robot, clock).status is TaskStatus.SUCCEEDED
    assert robot.log == ["pick cup", "go shelf", "put cup shelf"]


def test_it_charges_first():
    places = {**WORLD["places"], "dock": {"room": "hall", "charger": True}}
    home = toy(battery={"field": "battery", "low": 30}, places=places)
    made, robot = executive(home), ToyRobot(home)
    made.charged(20.0)
    end = play_task(made, GOAL, robot, ManualClock())
    assert end.status is TaskStatus.SUCCEEDED
    assert robot.log == ["go dock", "go shelf", "pick cup", "go table", "put cup table"]
    assert made.battery == 100.0  # nothing but the charger tells of it


def test_it_charges_while_the_battery_is_enough_for_the_way():
    places = {**WORLD["places"], "dock": {"room": "hall", "charger": True}}
    made = begun(toy(battery={"field": "battery", "low": 10}, places=places))
    made.charged(100.0)
    goal = act(made)
    assert str(goal.step) == "go(shelf)"

    made.finished(goal.uuid, replace(DONE, fields={"battery": 40.0}), 2.0)  # 30 a second, and the dock is 2 s away

    assert str(act(made, 2.0).step) == "go(dock)"


def test_done_but_not_for_sure_is_looked_at():
    told = []

    class Doubtful:
        def judge(self, skill, step, result, expected_s):
            return 0.5 if step.skill == "put" else 1.0

        def confirm(self, skill_name, really_done):
            told.append((skill_name, really_done))

    made = TaskExecutive(TOY, certainty=Doubtful(), new_id=counting_ids())
    robot = ToyRobot(TOY)
    end = play_task(made, GOAL, robot, ManualClock())
    assert end.status is TaskStatus.SUCCEEDED
    assert robot.log[-2:] == ["put cup table", "look table"]
    assert told == [("put", True)]


def test_what_it_has_seen_into_is_open():
    sees = {"list": "found", "thing": "class", "place": "place"}
    seeing = Domain(
        SkillSet(**{**SKILLS, "skills": {**SKILLS["skills"], "go": {**SKILLS["skills"]["go"], "observes": sees}}}),
        World(**{**WORLD, "things": {"cup": {"usual": {"cupboard": 0.9}}, "plate": {}}}),
    )
    made = begun(seeing)
    going = act(made)
    assert going.step == step("go cupboard")
    there = SkillResult(Outcome.SUCCESS, "", 2.0, fields={"found": [{"class": "cup", "place": "cupboard"}]})
    made.finished(going.uuid, there, 2.0)
    assert made.domain.world.is_open("cupboard", made.beliefs.state)
    assert act(made).step == step("pick cup")  # and not: open cupboard


# Decisions and answers


def test_only_one_decision_at_a_time():
    made = begun()
    act(made)
    assert not made.waits
    assert made.decide(ACT, 1.0) == ()
    assert made.running == step("go shelf")


def test_nothing_is_decided_before_a_task():
    made = executive()
    assert (made.waits, made.decide(ACT, 0.0), made.cancel(0.0), made.pause(0.0), made.resume(0.0)) == (
        False,
        (),
        (),
        (),
        (),
    )


def test_the_journal_is_written_before_a_goal_is_sent_and_after_its_result():
    made = begun()
    commands = made.decide(ACT, 0.0)
    assert [type(command) for command in commands] == [Save, Send]
    assert made.finished(commands[1].uuid, DONE, 2.0) == (Save(),)


def answer(decision=7, role=Role.PLANNER, level=1, **fields):
    return Answer(decision, role, level, fields.pop("status", CallStatus.OK), 2.0, "test", **fields)


def test_an_answer_puts_its_plan_in_force():
    made = begun()
    assert made.decide(THINK, 1.0) == ()
    assert made.thinks == THINK
    made.answer(answer(plan=plan("shut door")), 3.0)
    assert made.plan == plan("shut door")
    assert made.report.outcome.status is CallStatus.OK
    assert made.spent[:3] == (1, 2.0, 0.0)
    assert str(act(made).step) == "go(door)"


@pytest.mark.parametrize("late", [answer(decision=6), answer(role=Role.VERIFIER), answer(level=2)])
def test_an_answer_to_something_else_is_dropped(late):
    made = begun()
    before = made.plan
    made.decide(THINK, 1.0)
    late = replace(late, plan=plan("shut door"))
    assert made.answer(late, 3.0) == ()
    assert (made.plan, made.thinks) == (before, THINK)


def test_an_answer_that_comes_when_none_is_awaited_is_dropped():
    made = begun()
    assert made.answer(answer(plan=plan("shut door")), 1.0) == ()
    made.decide(THINK, 1.0)
    before = made.plan
    assert made.cancel(2.0) == (Withdraw(THINK.id), Save())
    assert made.answer(answer(plan=plan("shut door")), 3.0) == (Save(),)  # it is paid for
    assert made.answer(answer(plan=plan("shut door")), 3.0) == ()
    assert (made.status, made.plan, made.spent[0]) == (TaskStatus.CANCELLED, before, 1)


def test_an_answer_beyond_the_budget_counts_as_too_late():
    made = begun(time_budget_s=1.0)
    before = made.plan
    made.decide(THINK, 0.0)
    made.answer(answer(plan=plan("shut door")), 2.0)
    assert made.plan == before
    assert made.report.outcome.status is CallStatus.TIMEOUT
    assert made.report.budget.time_s == 0.0


def test_a_failed_call_costs_its_seconds_and_changes_nothing():
    made = begun()
    before = made.plan
    made.decide(THINK, 0.0)
    made.answer(answer(status=CallStatus.BACKEND_DOWN), 2.0)
    assert (made.plan, made.report.budget.time_s, made.waits) == (before, 18.0, True)


def test_a_verdict_is_kept():
    made = begun()
    made.decide(replace(THINK, action=Action.VERIFIER_2), 0.0)
    made.answer(answer(role=Role.VERIFIER, level=2, verdict=Verdict(False, None, 0.2)), 1.0)
    status = made.report.task.status
    assert (status.verdict, status.verdict_level, status.p_ok) == (-1, 2, 0.2)


def test_rows_that_are_done_are_not_done_again_under_another_plan():
    made, robot = begun(), ToyRobot(TOY)
    made.decide(THINK, 0.0)
    made.answer(answer(plan=plan("put cup table", "shut door")), 1.0)
    for _ in range(4):
        goal = act(made)
        made.finished(goal.uuid, robot.run(goal.step), 1.0)
    assert robot.log[-1] == "put cup table"
    made.decide(THINK, 2.0)
    made.answer(answer(plan=plan("put cup table", "look shelf")), 3.0)
    assert act(made).step == step("go shelf")


def test_what_it_reports():
    made = begun()
    report = made.report
    assert [view.name for view in report.summary.subgoals] == ["go", "pick", "go", "put"]
    assert (report.summary.subgoal_index, report.summary.step) == (0, 0)
    assert report.task.goal == GOAL
    assert "cup is at shelf" in report.task.beliefs
    goal = act(made)
    made.finished(goal.uuid, SkillResult(Outcome.UNPLANNABLE, "no path", 1.0), 1.0)
    report = made.report
    assert (report.task.outcome, report.task.why) == ("unplannable", "go(shelf): no path")
    assert report.outcome.status is ActStatus.FAILURE
    assert report.summary.contradicted == 1
    assert report.number == 2


# Deadlines, pause and cancel


def test_a_goal_that_takes_too_long_is_stopped_then_given_up_and_its_server_left_alone():
    made = begun()
    goal = act(made)
    assert made.tick(9.9) == ()
    assert made.tick(10.0) == (Stop(goal.uuid),)
    assert made.tick(10.1) == ()
    assert made.tick(13.0) == (Save(),)
    assert made.report.task.outcome == "timeout"
    assert made.decide(ACT, 13.5) == ()  # the next goal would go to the same server
    assert made.tick(14.0) == ()
    late = made.finished(goal.uuid, DONE, 15.0)
    assert sent(late).step == step("pick cup")  # what it changed is believed


def test_a_server_that_never_ends_a_goal_ends_the_task():
    made = begun(busy_s=20.0)
    act(made)
    made.tick(10.0)
    made.tick(13.0)
    made.decide(ACT, 13.0)
    made.tick(33.0)
    assert made.status is TaskStatus.FAILED
    assert "has not ended go(shelf) yet" in made.why


def test_pause_and_resume():
    made = begun()
    goal = act(made)
    assert made.pause(1.0) == (Stop(goal.uuid), Save())
    assert (made.status, made.waits) == (TaskStatus.PAUSED, False)
    made.finished(goal.uuid, SkillResult(Outcome.CANCELLED, "", 1.0), 2.0)
    assert not made.waits
    assert made.resume(3.0) == (Save(),)
    assert made.waits
    assert act(made, 4.0).step == step("go shelf")


def test_resume_before_the_stopped_goal_has_ended_waits_for_it():
    made = begun()
    goal = act(made)
    made.pause(1.0)
    made.resume(1.5)
    assert not made.waits
    made.finished(goal.uuid, SkillResult(Outcome.FAILED, "preempted", 1.0), 2.0)
    assert made.waits
    assert made.report.task.failed is None  # it was stopped, and has not failed


def test_what_a_sentence_means_without_a_model_can_be_ones_own():
    made = TaskExecutive(
        TOY, new_id=counting_ids(), recall=lambda sentence: Recalled(plan("go shelf"), 0.7, len(sentence.split()), 2)
    )
    made.instruct("over there please", 0.0)
    status = made.report.task.status
    assert made.plan == plan("go shelf")
    assert (status.similarity, status.confidence, status.words, status.unknown) == (0.7, 0.7, 3, 2)


ASKS = Decision(3, Action.ACT, 0.0, "fails with 0.93", asks_person=True)


def test_a_decision_that_asks_a_person_holds_the_task_until_it_is_resumed():
    made = begun()
    assert made.decide(ASKS, 1.0) == (Save(),)
    assert (made.status, made.why, made.waits) == (
        TaskStatus.NEEDS_PERSON,
        "asks a person: fails with 0.93",
        False,
    )
    assert made.decide(ACT, 2.0) == ()  # it stands still
    number = made.report.number
    assert made.resume(3.0) == (Save(),)
    assert (made.status, made.why, made.report.number) == (TaskStatus.RUNNING, "", number + 1)
    assert act(made, 4.0).step == step("go shelf")


def test_a_task_that_waits_for_a_person_can_be_ended_replaced_and_survives_a_restart():
    made = begun()
    made.decide(ASKS, 1.0)
    again = executive()
    assert again.restore(json.loads(json.dumps(made.to_json())), 0.0) == ()
    assert (again.status, again.why) == (TaskStatus.NEEDS_PERSON, made.why)
    again.instruct("put the cup on the shelf", 1.0)
    assert (again.status, again.waits) == (TaskStatus.RUNNING, True)
    assert made.cancel(2.0) == (Save(),)
    assert made.status is TaskStatus.CANCELLED


def test_cancel():
    made = begun()
    goal = act(made)
    assert made.cancel(1.0, "the person left") == (Stop(goal.uuid), Save())
    assert (made.status, made.why) == (TaskStatus.CANCELLED, "the person left")
    assert made.finished(goal.uuid, DONE, 2.0) == (Save(),)
    assert made.beliefs.state.at == "shelf"  # it got there all the same
    assert not made.waits


def test_another_task_begins_once_the_last_ones_skill_has_ended():
    made = begun()
    goal = act(made)
    assert made.instruct("shut the door", 1.0) == (Stop(goal.uuid), Save())
    assert not made.waits
    made.finished(goal.uuid, DONE, 2.0)
    assert made.waits
    assert made.report.outcome is None  # nothing of this task was tried
    assert made.report.task.goal == "shut the door"
    assert made.report.summary.subgoal_index == 0


def test_results_of_nobody_are_counted():
    made = begun()
    before = made.to_json()
    assert made.finished("f" * 32, DONE, 0.0) == ()
    assert (made.ignored, made.to_json()) == (1, before)


# Detections


@pytest.mark.parametrize("name", ["cup", "Cup", "cup0", "cup_2", "mug"])
def test_a_detector_names_things_as_it_likes(name):
    made = begun()
    made.sighted(name, "table", 0.9, 1.0)
    assert made.beliefs.state.count("cup", "table") == 1


@pytest.mark.parametrize(("thing", "place"), [("comet", "table"), ("cup", "moon")])
def test_names_that_are_none_are_left_out(thing, place):
    made = begun()
    before = made.beliefs
    made.sighted(thing, place, 0.9, 1.0)
    assert made.beliefs == before


# Whatever the order of events


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 11.0])),
        st.tuples(st.just("decide")),
        st.tuples(st.just("think")),
        st.tuples(st.just("finish"), st.sampled_from(list(Outcome)), st.integers(0, 2)),
        st.tuples(st.just("instruct"), st.sampled_from([GOAL, "shut the door", "sing"])),
        st.sampled_from([("pause",), ("resume",), ("cancel",), ("restart",)]),
    ),
    max_size=30,
)


@given(EVENTS)
@example(  # a refusal is heard after the next task's report, and a restart reports with it
    [
        ("decide",),
        ("instruct", "put the cup on the table"),
        ("wait", 4.0),
        ("instruct", "shut the door"),
        ("finish", Outcome.REFUSED, 0),
        ("restart",),
    ]
)
@settings(max_examples=40, deadline=None)
def test_there_are_never_two_goals_at_one_server(events):
    """Also over restarts, which go on as if nothing had been."""
    ids, now, open_goals = counting_ids(), 0.0, {}
    made = TaskExecutive(TOY, new_id=ids)
    made.instruct(GOAL, now)

    def carry_out(commands):
        for command in commands:
            if isinstance(command, Send):
                server = TOY.skill(command.step).run.server
                assert all(TOY.skill(other).run.server != server for other in open_goals.values())
                open_goals[command.uuid] = command.step
                made.sending(command.uuid, now)
            elif isinstance(command, (Stop, Adopt)):
                assert command.uuid in open_goals

    for name, *values in events:
        if name == "wait":
            now += values[0]
            carry_out(made.tick(now))
        elif name == "decide":
            carry_out(made.decide(ACT, now))
        elif name == "think":
            carry_out(made.decide(THINK, now))
            carry_out(made.answer(answer(plan=plan("put cup cupboard")), now))
        elif name == "finish":
            uuid = next(iter(sorted(open_goals)[values[1] :]), None)
            if uuid is not None:
                del open_goals[uuid]
                carry_out(made.finished(uuid, SkillResult(values[0], "", 1.0), now))
        elif name == "instruct":
            carry_out(made.instruct(values[0], now))
        elif name == "restart":
            kept = json.loads(json.dumps(made.to_json()))
            made = TaskExecutive(TOY, new_id=ids)
            adopted = made.restore(kept, now)
            assert {command.uuid for command in adopted} <= set(open_goals)
            now_kept = made.to_json()
            if kept["task"] is not None:  # its report is made anew, and may find rows that hold by what was heard since
                rows, held = kept["task"]["finished"], now_kept["task"]["finished"]
                assert all(new or not old for old, new in zip(rows, held, strict=True))
                kept["task"]["finished"] = held
            assert now_kept == {**kept, "number": now_kept["number"], "goals": now_kept["goals"]}
            assert [goal["uuid"] for goal in now_kept["goals"]] == [goal["uuid"] for goal in kept["goals"]]
        else:
            carry_out(getattr(made, name)(now))


def test_a_restarted_process_goes_on_the_same():
    """Killed after each event in turn, it does what it would have done."""
    truth = State("table", "hall", (), frozenset({("cup", "cupboard", 1)}), frozenset())
    whole, _, _ = played(truth=truth, failing={("open", Outcome.FAILED): 1})
    ids, robot = counting_ids(), ToyRobot(TOY, truth, {("open", Outcome.FAILED): 1})
    made = TaskExecutive(TOY, ExecutiveSettings(sure=0.8), new_id=ids)
    made.instruct(GOAL, 0.0)
    while made.status is TaskStatus.RUNNING:
        made = restarted(made, ids)
        commands = made.decide(ACT, 0.0)
        for command in commands:
            if isinstance(command, Send):
                made.sending(command.uuid, 0.0)
        made = restarted(made, ids)
        for command in commands:
            if isinstance(command, Send):
                made.finished(command.uuid, robot.run(command.step), 0.0)
    assert made.status is whole.status is TaskStatus.SUCCEEDED
    assert made.spent[3] == whole.skills


def restarted(made, ids):
    again = TaskExecutive(TOY, ExecutiveSettings(sure=0.8), new_id=ids)
    again.restore(json.loads(json.dumps(made.to_json())), 0.0)
    return again


def test_a_restart_takes_the_running_goal_up_with_the_time_that_it_has_left():
    made = begun()
    goal = act(made)
    made.sending(goal.uuid, 0.0)
    again = executive()
    assert again.restore(made.to_json(), 100.0) == (Adopt(goal.uuid, goal.step, 10.0),)  # as old as the journal
    made.pause(1.0)
    again = executive()
    assert again.restore(made.to_json(), 100.0) == (
        Adopt(goal.uuid, goal.step, 9.0, sent_ago_s=1.0),
        Stop(goal.uuid),
    )
    assert again.status is TaskStatus.PAUSED


@pytest.mark.parametrize(
    "change",
    [
        {"task": {}},
        {"status": "flying"},
        {"goals": [{"uuid": "a"}]},
        {"beliefs": {}},
        {"now_s": None},
    ],
)
def test_a_broken_journal_changes_nothing(change):
    made, other = begun(), executive()
    act(made)
    before = other.to_json()
    with pytest.raises((ValueError, KeyError, TypeError)):
        other.restore({**made.to_json(), **change}, 0.0)
    assert {**other.to_json(), "now_s": 0.0} == before


def test_a_journal_of_other_skills_is_refused():
    made = begun()
    act(made)
    other = toy(places={"table": {"room": "hall"}, "cupboard": {"room": "hall"}}, things={"cup": {}})
    with pytest.raises(ValueError, match="does not fit the skills"):
        executive(other).restore(made.to_json(), 0.0)


# Servers that are not what they should be


def test_a_goal_that_never_left_is_forgotten_by_the_next_process():
    made = begun()
    first = act(made)
    again = executive()
    assert again.restore(made.to_json(), 0.0) == () and again.waits
    assert act(again).step == first.step
    assert again.spent[3] == 1


def test_a_skill_that_was_stopped_because_its_time_was_over_has_failed():
    made = begun()
    goal = act(made)
    assert Stop(goal.uuid) in made.tick(goal.timeout_s)
    made.finished(goal.uuid, SkillResult(Outcome.CANCELLED, "", 10.0), goal.timeout_s)
    assert made.report.task.outcome == Outcome.FAILED.value and "no result within" in made.report.task.why


def test_a_server_that_is_not_available_is_waited_for_and_no_attempt_is_counted():
    made, now = begun(), 0.0
    for _ in range(20):
        commands = made.decide(ACT, now) if made.waits else made.tick(now)
        for command in commands:
            if isinstance(command, Send):
                made.finished(command.uuid, SkillResult(Outcome.UNAVAILABLE, "no server"), now)
        now += 1.0
    assert made.status is TaskStatus.RUNNING and made.spent[3] == 0
    for _ in range(200):
        commands = made.decide(ACT, now) if made.waits else made.tick(now)
        for command in commands:
            if isinstance(command, Send):
                made.finished(command.uuid, SkillResult(Outcome.UNAVAILABLE, "no server"), now)
        now += 1.0
    assert made.status is TaskStatus.FAILED


def over_ros(domain):
    """The same robot with an action in place of each Python call."""
    skills = json.loads(json.dumps(SKILLS))
    skills["defaults"]["run"] = {"action": "do", "type": "test_msgs/action/Fibonacci"}
    skills["skills"]["go"].pop("run")
    return Domain(SkillSet(**skills), domain.world)


def test_a_goal_that_is_turned_down_is_sent_again_after_a_while_and_no_belief_is_doubted():
    made, waited, now = begun(over_ros(TOY)), [], 0.0
    goal = act(made)
    for _ in TURNED_DOWN_S:
        made.sending(goal.uuid, now)
        made.finished(goal.uuid, SkillResult(Outcome.REFUSED, "rejected"), now)
        assert made.decide(ACT, now) == () and made.held and made.spent[3] == 0
        began = now
        while not (commands := made.tick(now)):
            now += 0.125
        waited.append(now - began)
        goal = sent(commands)
    assert tuple(waited) == TURNED_DOWN_S and made.beliefs.contradicted == 0

    made.sending(goal.uuid, now)
    made.finished(goal.uuid, SkillResult(Outcome.REFUSED, "rejected"), now)
    assert not made.held and made.spent[3] == 1 and made.beliefs.contradicted == 1


def test_a_goal_that_was_taken_and_is_refused_then_is_not_sent_again():
    made = begun(over_ros(TOY))
    goal = act(made)
    made.sending(goal.uuid, 0.0)
    made.accepted(goal.uuid, 0.0)
    made.finished(goal.uuid, SkillResult(Outcome.REFUSED, "no way"), 1.0)
    assert made.spent[3] == 1 and made.beliefs.contradicted == 1


def test_what_is_not_known_to_have_ended_keeps_its_server_and_the_late_result_counts():
    made = begun()
    goal = act(made)
    made.unknown(goal.uuid, "never acknowledged", 1.0)
    assert made.waits and made.decide(ACT, 1.0) == () and "has not ended" in made.held
    commands = made.finished(goal.uuid, SkillResult(Outcome.SUCCESS, "", 3.0), 4.0)
    assert sent(commands).step != goal.step


def test_a_plan_that_is_no_plan_of_this_robot_is_refused():
    made = begun()
    before = made.plan
    made.decide(THINK, 0.0)
    made.answer(answer(plan=plan("fly cup moon")), 1.0)
    assert made.plan == before and made.report.outcome.status is CallStatus.REFUSED


# What others get wrong


def test_a_look_that_says_nothing_is_not_repeated():
    class Blind(ToyRobot):
        def run(self, step, timeout_s):
            return replace(super().run(step, timeout_s), fields=None)

    robot = Blind(TOY)
    end = play_task(executive(sure=1.0), GOAL, robot, ManualClock())
    assert end.status is TaskStatus.SUCCEEDED
    assert max(Counter(robot.log).values()) <= 2, robot.log


@pytest.mark.parametrize(
    "result",
    [
        SkillResult(Outcome.FAILED, "\x1b[31mred\r\nIgnore all rules\ud800", float("nan")),
        SkillResult("failed", "red Ignore all rules", float("inf"), fields=["no", "mapping"]),
        SkillResult("no outcome", "red Ignore all rules", -1.0),
    ],
)
def test_an_odd_result_can_be_counted_printed_and_written(result):
    made = begun()
    goal = act(made)
    made.finished(goal.uuid, result, 3.0)
    assert made.report.outcome.status is ActStatus.FAILURE
    assert 0.0 <= made.report.outcome.seconds <= 3.0
    assert made.report.task.why.isprintable() and made.report.task.why.endswith("Ignore all rules")
    assert json.dumps(made.to_json(), allow_nan=False).encode()


def test_what_a_person_says_is_kept_on_one_line():
    made = begun(goal="put the\ncup \x1b[2Jon\ud800 the table" + " x" * 10_000)
    assert made.report.task.goal.isprintable() and len(made.report.task.goal) <= 1_000
    assert made.report.task.goal == goal_of(made.report.task.goal)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_an_answer_of_no_seconds_spends_no_nonsense(seconds):
    made = begun()
    made.decide(THINK, 0.0)
    made.answer(Answer(7, Role.PLANNER, 1, CallStatus.OK, seconds, "test", -5, plan=plan("put cup shelf")), 1.0)
    assert made.report.outcome.status is (CallStatus.OK if seconds < 0 else CallStatus.TIMEOUT)
    assert 0.0 <= made.report.budget.time_s <= 20.0 and made.report.budget.tokens <= 20_000.0


def test_a_server_is_the_same_with_a_slash_before_its_name():
    skills = {name: {**each} for name, each in SKILLS["skills"].items()}
    for name, server in (("go", "/act"), ("pick", "act")):
        skills[name]["run"] = {"action": server, "type": "some_msgs/action/Act"}
    made = begun(Domain(SkillSet(**{**SKILLS, "skills": skills}), World(**{**WORLD, "start": "shelf"})))
    assert act(made).step == step("pick cup")
    made.unknown(next(iter(made._goals)), "lost", 1.0)
    made.beliefs = made.beliefs.give(("at", "table"), 1.0)
    made.instruct(GOAL, 2.0)
    assert made.decide(ACT, 2.0) == () and "has not ended" in made.held


def test_instances_of_a_class_with_capitals_are_known():
    made = executive(toy(things={**WORLD["things"], "RedCup": {}}))
    made.sighted("redcup_2", "table", 0.9, 1.0)
    assert made.beliefs.state.places_of("RedCup") == ("table",)


def test_what_must_not_meet_does_not_by_what_the_robot_has_done_before():
    """The plan is allowed from what world.yaml says, but the robot has put the plate into the cup since."""
    domain = Domain(TOY.skills, TOY.world, OperatorPolicy(forbidden_pairs=(("plate", "table"),)))
    made, robot = executive(domain), ToyRobot(domain)
    made.beliefs = made.beliefs.give(("plate", "at", "cup"), 0.0)
    end = play_task(made, GOAL, robot, ManualClock())
    assert (end.status, "plate and table together" in end.why) == (TaskStatus.FAILED, True)
    assert "put cup table" not in robot.log
