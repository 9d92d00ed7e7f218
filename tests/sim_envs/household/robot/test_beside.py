"""The robot goes on beside a question: what it does meanwhile, when the answer counts, what a withdrawn call costs."""

import math

import numpy as np
import pytest

from rarrl.alfred_plans import alfred_plan
from rarrl.clock import ManualClock
from rarrl.decision_loop import GoesOn, play_episode
from rarrl.events import ThinkEvent
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.thinking import Kind, Stage
from rarrl.types import Action, ActStatus, CallStatus, Decision, Role
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.executor import Event
from rarrl_sim_envs.household.robot.beside import BesideExecutive
from rarrl_sim_envs.household.robot.drivers import STOPPED, ExpertDriver
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver
from rarrl_sim_envs.household.tasks import remaining_plan
from rarrl_sim_envs.household.world import DT

KNOWN = known_goals(8)
DRIVERS = [TeleportDriver, ExpertDriver]


def make(driver=TeleportDriver, number=0, seconds=100.0, task_type=None):
    """A mission with the right plan in force, without people and luck."""
    env = HouseholdEnv(task_type, stereo=False, people=0, disturbance=0.0)
    executive = BesideExecutive(env, driver(), KNOWN, seconds, 1e6)
    executive.begin(number)
    right = alfred_plan(remaining_plan(env.world, env.mission.task))
    executive.take(Action.PLANNER_1, planned(right, seconds=0.0))
    return executive, right


def planned(plan, seconds=1.0, tokens=(50, 100), level=1, status=CallStatus.OK, decision=0):
    confidence = math.log(0.9)
    return Answer(decision, Role.PLANNER, level, status, seconds, "hand", *tokens, plan=plan, confidence=confidence)


def judged(seconds=1.0, tokens=(50, 100), ok=True):
    return Answer(0, Role.VERIFIER, 1, CallStatus.OK, seconds, "hand", *tokens, verdict=Verdict(ok, None, 0.8))


def now(executive):
    return executive.env.world.steps * DT


@pytest.mark.parametrize("driver", DRIVERS)
def test_it_drives_on_and_the_answer_to_the_same_plan_costs_no_time(driver):
    standing, right = make(driver)
    standing.take(Action.PLANNER_2, planned(right, 3.0, level=2))
    going, _ = make(driver)
    assert going.can_go_on and not going.summary.thinking
    going.ask(Action.PLANNER_2, planned(right, 3.0, level=2))
    assert going.summary.thinking and going.summary.can_go_on and now(going) == 0.0 and now(standing) == 3.0
    for executive in (standing, going):
        while not executive.done:
            executive.act()
        assert executive.success and executive.tally.applied == 2
    assert standing.stood_s == pytest.approx(3.0) and going.stood_s == 0.0
    assert now(going) == pytest.approx(now(standing) - 3.0, abs=2.0)  # the way begun anew takes its turn
    (call,) = going.calls
    assert (call.status, call.seconds, call.tokens) == (CallStatus.OK, 3.0, 150.0)
    assert going.budget_left == standing.budget_left and going.summary.step == standing.summary.step


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_answer_that_leads_elsewhere_stops_the_drive(driver):
    executive, right = make(driver)
    world = executive.env.world
    before = executive.row
    other = next(t.name for t in world.things if t.on and t.on != before[1] and t.name != right.steps[0].arguments[0])
    elsewhere = Plan.from_rows([["PickupObject", other], ["PutObject", other, "desk"]])
    executive.ask(Action.PLANNER_1, planned(elsewhere, 1.0))
    attempt = executive.act()
    assert executive.event.reason == STOPPED and 1.0 <= attempt.seconds < 6.0 and not world.arrived(before[1])
    assert attempt.status is ActStatus.SUCCESS and not attempt.subgoal_done
    assert executive.plan == elsewhere and executive.row != before and executive.thinking.stage is Stage.NONE


def test_it_stands_where_nothing_may_go_on():
    executive, right = make(task_type="pick_and_place_simple")
    while executive.row[0] != "PutObject":
        executive.act()
    begun = now(executive)
    assert not executive.can_go_on and executive.next_kind is Kind.FINAL
    executive.ask(Action.PLANNER_1, planned(right, 2.0))
    assert now(executive) == pytest.approx(begun + 2.0) and not executive.summary.thinking
    assert executive.stood_s == pytest.approx(2.0) and executive.calls[0].status is CallStatus.OK


def test_a_way_that_ends_before_the_answer_is_stood_out():
    executive, right = make()
    executive.ask(Action.PLANNER_1, planned(right, 60.0))
    executive.act()
    assert executive.row[0] == "PickupObject" and not executive.summary.thinking
    assert now(executive) == pytest.approx(60.0) and 20.0 < executive.stood_s < 60.0


def test_the_failed_step_may_be_tried_again_and_settles_the_question():
    executive, right = make(task_type="pick_and_place_simple")
    while executive.row[0] != "PickupObject":
        executive.act()
    row, taken = executive.row, executive.driver.attempt
    executive.driver.attempt = lambda env, until=0: Event(row, ActStatus.FAILURE, "slipped")
    executive.act()
    executive.driver.attempt = taken
    assert executive.can_go_on and executive.next_kind is Kind.AGAIN
    executive.ask(Action.PLANNER_2, planned(right, 10.0, (50, 100), level=2))
    assert executive.summary.thinking
    begun = now(executive)
    assert executive.act().status is ActStatus.SUCCESS and not executive.summary.thinking
    (call,) = executive.calls
    passed = now(executive) - begun
    assert call.status is CallStatus.WITHDRAWN and call.seconds == pytest.approx(passed) and passed < 3.0
    assert call.tokens == 50 + round(100 * passed / 10.0) and executive.tally.withdrawn == 1
    assert executive.tally.tokens_saved == 150 - call.tokens and executive.stale_applied == 0
    assert executive.budget_left == (100.0 - call.seconds, 1e6 - 150.0 - call.tokens)


def test_what_fails_beside_a_question_is_not_tried_for_ever():
    executive, right = make(task_type="pick_and_place_simple")
    while executive.row[0] != "PickupObject":
        executive.act()
    row = executive.row
    executive.driver.attempt = lambda env, until=0: Event(row, ActStatus.FAILURE, "slipped")
    executive.act()
    executive.ask(Action.PLANNER_1, planned(right, 5.0))
    acts = executive.summary.step
    executive.act()
    assert executive.summary.step == acts + 1 and executive.calls[0].status is CallStatus.OK
    assert executive.stood_s == pytest.approx(5.0)


def test_beside_a_verifier_more_may_go_on_and_the_end_of_the_mission_settles_it():
    executive, _ = make(task_type="look_at_obj_in_light")
    while executive.row[0] != "PickupObject":
        executive.act()
    executive.ask(Action.VERIFIER_1, judged(200.0))
    while not executive.done:
        assert executive.summary.thinking and executive.next_kind in (Kind.MOVES, Kind.CHANGES)
        executive.act()
    assert executive.success and executive.calls[0].status is CallStatus.WITHDRAWN
    assert executive.tally.withdrawn == 1 and executive.task.status.verdict == 0


def test_a_call_without_an_answer_changes_nothing_and_is_paid_for():
    executive, right = make()
    executive.ask(Action.PLANNER_1, planned(None, 1.0, status=CallStatus.INVALID))
    while executive.summary.thinking:
        executive.act()
    assert executive.plan == right and executive.calls[0].status is CallStatus.INVALID
    assert executive.budget_left[0] == 99.0
    executive.budget_left = (0.0, 0.0)
    executive.calls = []
    executive.ask(Action.PLANNER_1, planned(right, 1.0))
    assert [call.status for call in executive.calls] == [CallStatus.BUDGET] and not executive.summary.thinking


def test_one_question_at_a_time():
    executive, right = make()
    executive.ask(Action.PLANNER_1, planned(right, 30.0))
    for again in (executive.ask, executive.take):
        with pytest.raises(RuntimeError, match="open already"):
            again(Action.PLANNER_1, planned(right))
    with pytest.raises(ValueError):
        make()[0].ask(Action.PLANNER_2, planned(right))


class Model:
    """Answers every planner with the right plan after some seconds."""

    name = "model"

    def __init__(self, plan, seconds):
        self.plan, self.seconds = plan, seconds

    def ask(self, request):
        return planned(self.plan, self.seconds, level=request.level, decision=request.decision)

    def close(self):
        pass


class Costs:
    mean_s = p95_s = np.full(4, 2.0)
    mean_tokens = max_tokens = np.full(4, 150.0)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_exchange_of_one_process_plays_it(driver):
    played = {}
    for beside in (False, True):
        executive, right = make(driver)
        assert isinstance(executive, GoesOn)
        clock, events = ManualClock(), []
        brain = Orchestrator(make_rule("interval", every=2, recipe="P2", beside=beside), Costs(), 0.01)
        end = play_episode(executive, brain, 0, clock, events.append, reasoner=Model(right, 2.0))
        thinks = [event for event in events if isinstance(event, ThinkEvent)]
        assert end.success and end.calls == len(thinks) >= 2 and executive.stale_applied == 0
        assert any(event.beside for event in thinks) == beside
        assert clock.now() == pytest.approx(now(executive), abs=0.3)
        played[beside] = now(executive), executive.stood_s
    assert played[True][0] < played[False][0] and played[True][1] < played[False][1]


def test_a_decision_beside_asks_what_it_rests_on():
    executive, right = make()
    question = executive.question(Decision(7, Action.PLANNER_1, 5.0, "", beside=True))
    assert (question.decision, question.role, question.plan, question.failed) == (7, Role.PLANNER, right, None)
    call = executive.take_beside(Action.PLANNER_1, planned(right, 2.0, decision=7), 0.5)
    assert call.status is CallStatus.OK and now(executive) == pytest.approx(0.5) and not executive.summary.thinking
