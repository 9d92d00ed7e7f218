"""Thinking beside acting with a whole task executive: what it does in each case, and never does in any order."""

import itertools
import json
import random
from dataclasses import replace

import pytest
from toy_robot import SKILLS, WORLD, ToyRobot, counting_ids, plan, step, toy

from rarrl.build import make_orchestrator
from rarrl.clock import ManualClock
from rarrl.decision_loop import DecisionSession, Phase
from rarrl.executive.commands import Save, Send, Stop, Withdraw
from rarrl.executive.executive import ExecutiveSettings, TaskExecutive, TaskStatus
from rarrl.executive.play import play_task
from rarrl.executive.question import kind_of_skill
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Verdict
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.search import Search
from rarrl.skills.skill_set import SkillSet
from rarrl.skills.world import World
from rarrl.thinking import TRANSITIONS, Kind, Stage, Tally, Thinking
from rarrl.types import Action, ActStatus, CallStatus, Decision, Role

TOY = toy()
ACT = Decision(1, Action.ACT, 0.0, "test")
BESIDE = Decision(7, Action.PLANNER_1, 20.0, "test", beside=True)
CHECKS = replace(BESIDE, action=Action.VERIFIER_1)
DONE = SkillResult(Outcome.SUCCESS, "", 2.0)
FAILED = SkillResult(Outcome.FAILED, "slipped", 2.0)
GOAL = "put the cup on the table"


def begun(domain=TOY, goal=GOAL, **settings):
    made = TaskExecutive(domain, ExecutiveSettings(**{"sure": 0.8, **settings}), new_id=counting_ids())
    made.instruct(goal, 0.0)
    return made


def at_open_cupboard():
    """Before `shut cupboard`, the one row of the plan."""
    made = TaskExecutive(TOY, ExecutiveSettings(sure=0.8), new_id=counting_ids())
    made.beliefs = made.beliefs.give(("at", "cupboard"), 0.0).give(("open", "cupboard"), 0.0)
    made.instruct("shut the cupboard", 0.0)
    return made


def sent(commands):
    (found,) = [command for command in commands if isinstance(command, Send)]
    return found


def act(made, now_s=1.0):
    return sent(made.decide(ACT, now_s))


def answer(decision=7, role=Role.PLANNER, level=1, status=CallStatus.OK, seconds=2.0, **fields):
    return Answer(decision, role, level, status, seconds, "test", tokens_in=50, tokens_out=10, **fields)


def stopped(decision=7, **fields):
    return answer(decision, status=CallStatus.WITHDRAWN, tokens_saved=20, **fields)


# Going on


def test_the_way_to_the_next_place_goes_on_and_what_changes_a_thing_waits():
    made = begun()
    assert made.decide(BESIDE, 0.0) == ()
    assert (made.thinks, made.waits) == (BESIDE, True)
    assert (made.report.summary.thinking, made.report.summary.can_go_on) == (True, True)
    going = act(made)
    assert going.step == step("go shelf")
    assert not made.waits
    assert made.finished(going.uuid, DONE, 3.0) == (Save(),)
    assert (made.waits, made.report.phase) == (False, Phase.EXECUTING)  # next is `pick`
    assert (made.report.summary.thinking, made.report.summary.can_go_on) == (True, False)
    assert made.decide(ACT, 3.0) == ()
    made.answer(answer(plan=plan("put cup cupboard")), 5.0)
    assert (made.waits, made.plan, made.thinks) == (True, plan("put cup cupboard"), None)
    assert (made.report.thought.status, made.report.thought.decision) == (CallStatus.OK, 7)
    assert not made.report.summary.thinking
    assert made.tally == Tally(asked=1, beside=1, applied=1)


def test_beside_a_verifier_what_can_be_undone_goes_on():
    made = begun()
    made.decide(CHECKS, 0.0)
    for row in ("go shelf", "pick cup", "go table"):
        goal = act(made)
        assert goal.step == step(row)
        made.finished(goal.uuid, DONE, 2.0)
    made.answer(answer(role=Role.VERIFIER, verdict=Verdict(False, None, 0.1)), 9.0)
    assert made.report.task.status.verdict == -1


def cutter(irreversible, looked=False, **world):
    cut = {
        "does": "cuts",
        "parameters": {"thing": "portable"},
        "needs": ["at {thing.place}"],
        "gives": ["cut {thing}"],
        "irreversible": irreversible,
    }
    skills = {
        **SKILLS,
        "skills": {**SKILLS["skills"], "cut": cut},
        "examples": [*SKILLS["examples"], {"say": "cut the cup", "plan": [["cut", "cup"]]}],
    }
    if looked:
        skills["examples"].append({"say": "look at the shelf", "plan": [["look", "shelf"]]})
    return Domain(SkillSet(**skills), World(**{**WORLD, **world}))


@pytest.mark.parametrize(("irreversible", "waits"), [("never", True), ("possible", False), ("always", False)])
def test_what_cannot_be_undone_waits_for_a_verifier_too(irreversible, waits):
    made = begun(cutter(irreversible), "cut the cup")
    made.decide(CHECKS, 0.0)
    made.finished(act(made).uuid, DONE, 2.0)
    assert (made.waits, made.thinks) == (waits, CHECKS)
    made.answer(answer(role=Role.VERIFIER, verdict=Verdict(True, None, 0.9)), 3.0)
    assert act(made).step == step("cut cup")


def test_only_act_is_taken_while_a_question_is_open():
    made = begun()
    made.decide(BESIDE, 0.0)
    assert made.decide(replace(BESIDE, id=8), 1.0) == ()
    assert made.decide(Decision(9, Action.PLANNER_2, 9.0, ""), 1.0) == ()
    assert (made.thinks, made.waits) == (BESIDE, True)


def test_the_step_that_failed_is_tried_again_and_its_success_withdraws_the_question():
    made = begun()
    made.finished(act(made).uuid, DONE, 2.0)
    made.finished(act(made).uuid, FAILED, 4.0)
    made.decide(BESIDE, 4.0)
    again = act(made, 4.0)
    assert again.step == step("pick cup")
    commands = made.finished(again.uuid, DONE, 6.0)
    assert commands == (Save(), Withdraw(7))
    assert (made.thinks, made.withdrawn, made.waits) == (None, BESIDE, True)
    assert not made.report.summary.thinking
    before = made.plan
    made.answer(stopped(), 6.1)
    assert (made.plan, made.withdrawn) == (before, None)
    thought = made.report.thought
    assert (thought.status, thought.seconds, thought.tokens) == (CallStatus.WITHDRAWN, 2.0, 60.0)
    assert made.report.outcome.status is ActStatus.SUCCESS  # told again
    assert made.spent[:3] == (1, 2.0, 60.0)
    assert made.tally == Tally(asked=1, beside=1, withdrawn=1, tokens_saved=20)


def test_another_step_than_the_one_that_failed_settles_nothing():
    made = begun()
    made.finished(act(made).uuid, FAILED, 2.0)
    made.finished(act(made).uuid, DONE, 4.0)
    made.finished(act(made).uuid, FAILED, 6.0)
    made.decide(BESIDE, 6.0)
    made.beliefs = made.beliefs.give(("at", "table"), 6.0)
    going = act(made, 6.0)
    assert going.step == step("go shelf")
    assert made.finished(going.uuid, DONE, 8.0) == (Save(),)
    assert made.thinks == BESIDE


def test_an_answer_beside_a_move_that_it_needs_lets_it_go_on():
    made = begun()
    made.decide(BESIDE, 0.0)
    going = act(made)
    assert made.answer(answer(plan=plan("put cup table", "shut cupboard")), 2.0) == (Save(),)
    assert (made.running, made.report.phase) == (step("go shelf"), Phase.EXECUTING)
    made.finished(going.uuid, DONE, 3.0)
    assert act(made).step == step("pick cup")


def test_a_move_that_the_merged_plan_does_not_begin_with_is_stopped_and_where_it_is_then_is_unknown():
    made = begun()
    made.decide(BESIDE, 0.0)
    going = act(made)
    assert made.answer(answer(plan=plan("put plate table")), 2.0) == (Stop(going.uuid), Save())
    number = made.report.number
    made.finished(going.uuid, SkillResult(Outcome.CANCELLED, "", 1.0), 3.0)
    assert made.beliefs.state.at == ""
    assert (made.waits, made.report.outcome, made.report.number) == (True, None, number + 1)
    assert act(made).step == step("go cupboard")


def test_what_is_not_a_move_finishes_first():
    made = begun()
    made.finished(act(made).uuid, DONE, 2.0)
    made.decide(CHECKS, 2.0)
    picking = act(made, 2.0)
    assert made.answer(answer(role=Role.VERIFIER, verdict=Verdict(False, None, 0.1)), 3.0) == (Save(),)
    made.finished(picking.uuid, DONE, 4.0)
    assert made.beliefs.state.held == ("cup",)


def test_a_row_that_runs_while_its_plan_is_replaced_is_done_in_the_other():
    made = at_open_cupboard()
    made.decide(CHECKS, 0.0)
    shutting = act(made)
    assert shutting.step == step("shut cupboard")
    made._put_in_force(plan("put cup table", "shut cupboard"), 1, 0.9)
    made.finished(shutting.uuid, DONE, 2.0)
    assert made.finished_rows == (False, True)


# Ends


def test_the_task_is_not_called_done_before_the_planner_has_answered():
    made = begun(cutter("never", looked=True), "look at the shelf")
    made.decide(BESIDE, 0.0)
    for row in ("go shelf", "look shelf"):
        goal = act(made)
        assert goal.step == step(row)
        made.finished(goal.uuid, DONE, 2.0)
    assert made.finished_rows == (True,)
    assert (made.status, made.waits) == (TaskStatus.RUNNING, False)
    made.answer(answer(plan=plan("look shelf", "put cup table")), 5.0)
    assert act(made).step == step("pick cup")


def test_the_task_is_called_done_without_the_verdict():
    made = begun(cutter("never", looked=True), "look at the shelf")
    made.decide(CHECKS, 0.0)
    made.finished(act(made).uuid, DONE, 2.0)
    assert made.finished(act(made).uuid, DONE, 4.0) == (Save(), Withdraw(7))
    assert made.status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("status", [CallStatus.TIMEOUT, CallStatus.BACKEND_DOWN, CallStatus.REFUSED, CallStatus.BUDGET])
def test_an_answer_without_a_plan_lets_the_robot_go_on_as_before(status):
    made = begun()
    made.decide(BESIDE, 0.0)
    made.finished(act(made).uuid, DONE, 2.0)
    made.answer(answer(status=status), 3.0)
    assert (made.report.thought.status, made.tally.applied) == (status, 0)
    assert act(made).step == step("pick cup")


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("end", ["pause", "cancel", "instruct"])
def test_a_person_who_interferes_withdraws_the_question(end, beside):
    made = begun()
    made.decide(replace(BESIDE, beside=beside), 0.0)
    commands = made.instruct("shut the cupboard", 1.0) if end == "instruct" else getattr(made, end)(1.0)
    assert Withdraw(7) in commands
    before, budget = made.plan, made.report.budget
    made.answer(answer(plan=plan("put cup cupboard")), 2.0)
    assert (made.plan, made.thinks) == (before, None)
    assert (made.tally.dropped, made.tally.applied) == (1, 0)
    if end == "instruct":
        assert made.report.budget == budget  # the new task does not pay for the old one's
    if end == "pause":
        made.resume(3.0)
        assert made.report.budget.time_s == budget.time_s - 2.0
        assert act(made).step == step("go shelf")


def test_what_a_look_contradicts_withdraws_the_question():
    made = begun()
    made.decide(BESIDE, 0.0)
    going = act(made)
    made.beliefs = made.beliefs.observe("shelf", (), 1.0)
    assert made.tick(1.5) == (Withdraw(7),)
    made.finished(going.uuid, DONE, 3.0)
    assert (made.waits, made.thinks) == (True, None)


def test_an_answer_that_comes_before_anybody_has_looked_is_held_against_what_is_known_now():
    made = begun()
    made.decide(BESIDE, 0.0)
    act(made)
    made.beliefs = made.beliefs.observe("shelf", (), 1.0)
    before = made.plan
    assert made.answer(answer(plan=plan("put cup cupboard")), 1.2) == (Withdraw(7), Save())
    assert (made.plan, made.tally.dropped, made.tally.applied) == (before, 1, 0)


def test_what_the_robot_itself_has_changed_contradicts_nothing():
    made = begun()
    made.decide(CHECKS, 0.0)
    made.finished(act(made).uuid, DONE, 2.0)
    made.finished(act(made).uuid, DONE, 4.0)  # the cup is not at the shelf any more
    made.beliefs = replace(made.beliefs, contradicted=1)
    assert made.tick(4.5) == ()
    assert made.thinks == CHECKS


def test_a_question_survives_no_restart():
    made = begun()
    made.decide(BESIDE, 0.0)
    going = act(made)
    made.sending(going.uuid, 1.0)
    value = json.loads(json.dumps(made.to_json()))
    again = TaskExecutive(TOY, ExecutiveSettings(sure=0.8))
    again.restore(value, 2.0)
    before = again.plan
    assert again.thinks is None
    assert again.answer(answer(plan=plan("put cup cupboard")), 3.0) == ()
    assert (again.plan, again.tally.dropped) == (before, 1)
    again.finished(going.uuid, DONE, 4.0)  # no step is lost
    assert act(again, 4.0).step == step("pick cup")


def test_another_question_may_be_asked_before_the_withdrawn_one_has_told_what_it_spent():
    made = begun()
    made.decide(BESIDE, 0.0)
    made.beliefs = made.beliefs.observe("shelf", (), 1.0)
    made.tick(1.5)
    made.decide(replace(BESIDE, id=8), 3.0)
    assert (made.thinks.id, made.spent[:2]) == (8, (1, 3.0))
    made.answer(stopped(7), 3.5)
    assert (made.thinks.id, made.spent[:2]) == (8, (1, 3.0))
    made.answer(answer(8, plan=plan("put cup cupboard")), 4.0)
    assert made.plan == plan("put cup cupboard")


def test_a_step_that_waits_for_its_server_is_not_sent_once_it_may_not_go_on():
    made = begun()
    made.decide(BESIDE, 0.0)
    going = act(made)
    made.unknown(going.uuid, "gone", 1.0)
    assert made.waits
    assert made.decide(ACT, 1.5) == ()
    assert made.held
    commands = made.finished(going.uuid, DONE, 2.0)  # it has arrived after all; `pick` is not for now
    assert not any(isinstance(each, Send) for each in commands)
    assert (made.held, made.waits, made.thinks) == ("", False, BESIDE)


def test_what_becomes_possible_again_goes_on():
    home = toy(
        battery={"field": "battery", "low": 30}, places={**WORLD["places"], "dock": {"room": "hall", "charger": True}}
    )
    made = begun(home)
    made.decide(BESIDE, 0.0)
    made.finished(act(made).uuid, DONE, 2.0)
    assert not made.waits
    made.charged(20.0)
    number = made.report.number
    assert made.tick(3.0) == ()
    assert (made.waits, made.report.number, made.report.summary.can_go_on) == (True, number + 1, True)
    assert act(made, 3.0).step == step("go dock")


# On one clock


class Thinker:
    """Answers as told after so many seconds."""

    name = "thinker"

    def __init__(self, plan, seconds):
        self.plan, self.seconds, self.asked = plan, seconds, []

    def ask(self, request):
        self.asked.append(request)
        made = self.plan if request.role is Role.PLANNER else None
        return Answer(
            request.decision, request.role, request.level, CallStatus.OK, self.seconds, "test", 100, 50, 1.0, plan=made
        )

    def close(self): ...


class Once:
    """An orchestrator that thinks once, after so many failures."""

    def __init__(self, inner, failures, beside):
        self.inner, self.failures, self.beside, self.calls = inner, failures, beside, []

    def decide(self, summary, asked=None, plan=None):
        decision = self.inner.decide(summary, Action.ACT, plan)
        if asked is None and self.failures == 0:
            self.failures = -1
            return replace(decision, action=Action.PLANNER_1, deadline_s=20.0, beside=self.beside)
        return decision

    def record_act(self, status, done):
        self.failures -= status is ActStatus.FAILURE
        self.inner.record_act(status, done)

    def record_call(self, call):
        self.calls.append(call)
        self.inner.record_call(call)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def played(beside, seconds, failures=0, failing=None, answers=None):
    orchestrator = Once(make_orchestrator("never", "groq-70b"), failures, beside)
    made, robot = TaskExecutive(TOY, ExecutiveSettings(sure=0.8), new_id=counting_ids()), ToyRobot(TOY, None, failing)
    session = DecisionSession(orchestrator)
    thinker = Thinker(plan("put cup table") if answers is None else answers, seconds)
    end = play_task(made, GOAL, robot, ManualClock(), session, thinker)
    assert end.status is TaskStatus.SUCCEEDED and len(thinker.asked) == 1 and session.late_outcomes == 0
    return end, robot, made, orchestrator.calls


@pytest.mark.parametrize(("call_s", "seconds"), [(1.0, 8.0), (2.0, 8.0), (5.0, 11.0)])
def test_a_call_takes_its_seconds_beside_skills(call_s, seconds):
    end, robot, _, calls = played(True, call_s)
    assert robot.log == ["go shelf", "pick cup", "go table", "put cup table"]
    assert (end.seconds, end.llm_s, end.calls) == (seconds, call_s, 1)  # the first skill takes 2 s
    assert [call.status for call in calls] == [CallStatus.OK]
    assert played(False, call_s)[0].seconds == 8.0 + call_s


def test_a_call_that_the_world_answers_first_is_withdrawn_and_half_paid():
    end, robot, made, calls = played(True, 5.0, failures=1, failing={("pick", Outcome.FAILED): 1})
    assert robot.log.count("pick cup") == 2
    assert (end.seconds, end.llm_s) == (9.0, 2.0)
    assert [(call.status, call.seconds) for call in calls] == [(CallStatus.WITHDRAWN, 2.0)]
    assert (made.tally.withdrawn, made.tally.tokens_saved, end.tokens) == (1, 38, 112)


def test_what_the_task_ends_with_is_withdrawn():
    end, _, made, _ = played(True, 50.0, failures=1, failing={("put", Outcome.FAILED): 1})
    assert (made.tally.withdrawn, end.llm_s) == (1, 2.0)


# In any order

FINAL_GOALS = (GOAL, "cut the cup", "shut the cupboard")


EDGES = set()
"""(stage, what happened), as far as it has happened in this process."""


class Watched(Thinking):
    """Records which edges were gone."""

    def after(self, happened):
        thinking, do = super().after(happened)
        EDGES.add((self.stage, happened))
        return Watched(thinking.stage, thinking.question), do


class AnyOrder:
    """One executive, to which things happen in an order drawn at random, and what must hold whatever that is."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.domain = CUTTER
        self.made = self.new()
        self.now_s = 0.0
        self.ids = itertools.count(1)
        self.running = {}  # uuid -> step
        self.open = None  # (decision, plan when it was asked), as this test sees it
        self.over = []  # decisions that are withdrawn, answered or forgotten
        self.applied = 0
        self.log = []

    def new(self):
        made = TaskExecutive(
            self.domain, ExecutiveSettings(sure=0.8, time_budget_s=1e6, token_budget=1e9), search=SEARCH
        )
        made._question.thinking = Watched()
        return made

    def happen(self):
        made = self.made
        may = ["instruct"] if made.status not in (TaskStatus.RUNNING, TaskStatus.PAUSED) else []
        may += ["decide"] * 6 if made.waits else ["decide"]
        may += ["end"] * 4 if self.running else []
        may += ["answer"] * (3 if self.open else 1)
        may += ["tick"] * 2 + ["sight", "charge", "accept"]
        may += self.draw.choices(["pause", "resume", "cancel", "restart", "instruct"], [3, 3, 1, 1, 1])
        may += ["resume"] * 4 if made.status is TaskStatus.PAUSED else []
        self.now_s += self.draw.choice([0.0, 0.1, 2.0])
        plan_before = made.plan
        what = self.draw.choice(may)
        self.log.append(what)
        applied = made.tally.applied
        self.take(getattr(self, what)())
        if self.made.tally.applied > applied and self.made is made:
            assert what in ("answer",)
        elif what in ("answer", "tick", "sight", "charge", "accept", "pause", "resume", "cancel"):
            assert self.made.plan == plan_before, f"{what} has changed the plan"
        self.check()

    # What happens

    def instruct(self):
        return self.made.instruct(self.draw.choice(FINAL_GOALS), self.now_s)

    def decide(self):
        waited, thought, before = self.made.waits, self.made.thinks, self.made.withdrawn
        action = self.draw.choice([Action.ACT] * 5 + list(Action)[1:])
        beside = action is not Action.ACT and self.draw.random() < 0.8
        decision = Decision(next(self.ids), action, 20.0, "", beside=beside)
        commands = self.made.decide(decision, self.now_s)
        asked = waited and thought is None and action is not Action.ACT
        assert (self.made.thinks == decision) == asked or Withdraw(decision.id) in commands
        if asked:
            assert self.open is None, "two questions at once"
            if before is not None:
                self.over.append(before)
            self.open = (decision, self.made.plan)
        if not waited:
            assert commands == ()
        return commands

    def end(self):
        uuid = self.draw.choice(sorted(self.running))
        step = self.running.pop(uuid)
        outcome = self.draw.choices(
            [Outcome.SUCCESS, Outcome.FAILED, Outcome.REFUSED, Outcome.UNPLANNABLE, Outcome.CANCELLED, Outcome.LOST],
            [8, 3, 1, 1, 1, 0.1],
        )[0]
        found = self.draw.sample(["cup", "plate"], self.draw.choice([0, 1, 1]))
        fields = {"found": [{"class": thing} for thing in found]} if step.skill == "look" else None
        return self.made.finished(uuid, SkillResult(outcome, "", 1.0, fields=fields), self.now_s)

    def answer(self):
        """To the open question, to one that is over, or to one that nobody asked."""
        asked = self.open[0] if self.open and self.draw.random() < 0.7 else None
        asked = asked or (self.draw.choice(self.over) if self.over and self.draw.random() < 0.8 else None)
        asked = asked or Decision(next(self.ids), Action.PLANNER_1, 1.0, "")
        status = self.draw.choices(list(CallStatus), [8, *[1] * (len(CallStatus) - 1)])[0]
        role, ok = asked.action.role, status is CallStatus.OK
        made = plan(
            self.draw.choice(["put cup table", "put cup cupboard", "shut cupboard", "cut cup", "put plate table"])
        )
        applied, held = self.made.tally.applied, self.open
        commands = self.made.answer(
            Answer(
                asked.id, role, asked.action.level, status, 1.0, "test", 10, 10,
                plan=made if ok and role is Role.PLANNER else None,
                verdict=Verdict(True, None, 0.9) if ok and role is Role.VERIFIER else None,
            ),
            self.now_s,
        )  # fmt: skip
        to_open = held is not None and held[0].id == asked.id and Withdraw(asked.id) not in commands
        if self.made.tally.applied > applied:
            assert to_open and ok, "a stale answer was applied"
            self.applied += 1
        if held is not None and held[0].id == asked.id:
            self.open = None
            self.over.append(asked)
        return commands

    def tick(self):
        return self.made.tick(self.now_s)

    def sight(self):
        place = self.draw.choice(["table", "shelf", "cupboard"])
        self.made.sighted(self.draw.choice(["cup", "plate"]), place, 0.9, self.now_s)
        return ()

    def charge(self):
        self.made.charged(self.draw.choice([20.0, 100.0, 100.0]))
        return ()

    def accept(self):
        return self.made.accepted(self.draw.choice(sorted(self.running)), self.now_s) if self.running else ()

    def pause(self):
        return self.made.pause(self.now_s)

    def resume(self):
        return self.made.resume(self.now_s)

    def cancel(self):
        return self.made.cancel(self.now_s)

    def restart(self):
        written = json.loads(json.dumps(self.made.to_json()))
        EDGES.add((self.made._question.stage, _restarted))
        self.made = self.new()
        commands = self.made.restore(written, self.now_s)
        if self.open is not None:
            self.over.append(self.open[0])
            self.open = None
        self.running = {uuid: step for uuid, step in self.running.items() if uuid in self.made._goals}
        return commands

    # What must hold

    def take(self, commands):
        for command in commands:
            if isinstance(command, Withdraw):
                if self.open is not None and self.open[0].id == command.decision:
                    self.over.append(self.open[0])
                    self.open = None
                else:
                    assert command.decision in {each.id for each in self.over}, "withdrawn what is not open"
            elif isinstance(command, Send):
                if self.open is not None:
                    decision = self.open[0]
                    assert decision.beside, f"{command.step} was sent while the robot stands"
                    assert command.step.skill != "cut", "what cannot be undone was begun beside a question"
                    again = self.made._question.thinking.question.failed == command.step
                    if decision.action.role is Role.PLANNER:
                        assert command.step.skill in ("go", "look") or again
                self.running[command.uuid] = command.step
                if self.draw.random() < 0.9:
                    self.made.sending(command.uuid, self.now_s)

    def check(self):
        made = self.made
        assert made.thinks == (self.open[0] if self.open else None)
        if made.status is not TaskStatus.RUNNING:
            assert made.thinks is None, "a question that nobody needs is open"
            return
        if self.open is not None:
            assert made.plan == self.open[1], "the plan was replaced beside the question"
        due = made.waits
        awaited = made.running is not None or bool(made.held) or made.thinks is not None
        assert due or awaited, "nothing is due and nothing is awaited"
        if made.thinks is not None and made.thinks.beside:
            assert made.report.summary.thinking
            assert made.report.phase is (Phase.WAITING if made.report.summary.can_go_on and due else Phase.EXECUTING)


@pytest.mark.parametrize("orders", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_what_never_happens_in_any_order(orders):
    EDGES.clear()
    applied = over = 0
    for seed in range(orders):
        order = AnyOrder(seed)
        for _ in range(30):
            try:
                order.happen()
            except Exception as error:
                error.add_note(f"order {seed}: {', '.join(order.log)}")
                raise
        applied += order.applied
        over += len(order.over)
    assert applied > orders / 3
    assert over > orders
    assert set(TRANSITIONS) == EDGES, set(TRANSITIONS) - EDGES


def test_kinds_of_skills():
    kinds = {name: kind_of_skill(skill) for name, skill in TOY.skills.skills.items()}
    changes = dict.fromkeys(("pick", "put", "open", "shut"), Kind.CHANGES)
    assert kinds == {"go": Kind.MOVES, "look": Kind.LOOKS, **changes}
    assert kind_of_skill(CUTTER.skills.skills["cut"]) is Kind.FINAL
    assert kind_of_skill(TOY.skills.skills["pick"], again=True) is Kind.AGAIN
    assert Stage.NONE is TaskExecutive(TOY)._question.stage


_restarted = next(happened for _, happened in TRANSITIONS if happened.value == "restarted")
CUTTER = cutter(
    "always",
    battery={"field": "battery", "low": 30},
    places={**WORLD["places"], "dock": {"room": "hall", "charger": True}},
)
SEARCH = Search(CUTTER)
