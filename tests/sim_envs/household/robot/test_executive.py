"""The robot as the orchestrator sees it, in the twin, with the scripted expert at the wheel and answers made up."""

import math

import numpy as np
import pytest

from rarrl.alfred import STEP_VIEWS
from rarrl.alfred_plans import alfred_plan
from rarrl.clock import ManualClock
from rarrl.decision_loop import play_episode
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import Action, ActStatus, CallStatus, Role
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.drivers import ExpertDriver
from rarrl_sim_envs.household.robot.executive import ATTEMPTS, HouseholdExecutive
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.tasks import remaining_plan

KNOWN = known_goals(8)
WRONG = Plan.from_rows([["PickupObject", "laptop"], ["PutObject", "laptop", "toilet"]])


def make(disturbance=0.0, seconds=10.0, tokens=1e6, task_type=None):
    env = HouseholdEnv(task_type, stereo=False, disturbance=disturbance)
    return HouseholdExecutive(env, ExpertDriver(), KNOWN, seconds, tokens)


def right_plan(executive):
    return alfred_plan(remaining_plan(executive.env.world, executive.env.mission.task))


def planned(plan, seconds=0.2, tokens=50, level=1, status=CallStatus.OK):
    return Answer(1, Role.PLANNER, level, status, seconds, "made up", tokens, 0, plan=plan, confidence=math.log(0.9))


def judged(ok, level=2):
    verdict = Verdict(ok, None if ok else Fault.PLACE, 0.8 if ok else 0.1)
    return Answer(1, Role.VERIFIER, level, CallStatus.OK, 0.1, "made up", 10, 2, verdict=verdict)


def act_until(executive, done):
    while not executive.done and not done():
        executive.act()


class Oracle:
    """A reasoner that always answers the same."""

    name = "oracle"

    def __init__(self, plan):
        self.plan, self.requests = plan, []

    def ask(self, request):
        self.requests.append(request)
        return planned(self.plan, level=request.level) if request.role is Role.PLANNER else judged(True, request.level)

    def close(self):
        pass


class Costs:
    mean_s = p95_s = np.full(4, 0.2)
    mean_tokens = max_tokens = np.full(4, 60.0)


@pytest.mark.parametrize("number", range(6))
def test_a_right_plan_reaches_the_goal_and_a_wrong_one_does_not(number):
    executive = make()
    info = executive.begin(number)
    assert info.goal == executive.env.mission.task.goal and info.time_budget_s == 10.0
    right = right_plan(executive)
    call = executive.take(Action.PLANNER_1, planned(right))
    assert call.status is CallStatus.OK and executive.task.plan == right and executive.task.status.source == 1
    act_until(executive, lambda: False)
    assert executive.success and executive.summary.subgoal_index == len(executive.summary.subgoals)
    executive.begin(number)
    executive.take(Action.PLANNER_1, planned(WRONG))
    act_until(executive, lambda: False)
    assert executive.done and not executive.success


def test_the_same_episode_twice_is_the_same():
    runs = []
    for _ in range(2):
        executive = make(disturbance=2.0)
        executive.begin(3)
        executive.take(Action.PLANNER_1, planned(right_plan(executive)))
        seconds = []
        while not executive.done:
            seconds.append(executive.act().seconds)
        runs.append((seconds, executive.success))
    assert runs[0] == runs[1]


def test_it_begins_with_the_plan_of_the_nearest_goal_it_knows():
    executive = make()
    executive.begin(0)
    recalled = KNOWN.recall(executive.env.mission.task.goal)
    status = executive.task.status
    assert executive.task.plan == recalled.plan and status.source == 0 and status.answered == (False, False)
    assert status.confidence == status.similarity == recalled.similarity and status.verdict == 0
    assert set(executive.task.scene) == {
        *executive.env.world.home.places,
        *(t.name for t in executive.env.world.things),
    }
    assert executive.summary.subgoals[0].name == "GotoLocation" and executive.summary.horizon == ATTEMPTS


def test_a_new_plan_goes_on_where_the_robot_stands():
    executive = make(task_type="pick_heat_then_place_in_recep")
    executive.begin(1)
    right = right_plan(executive)
    executive.take(Action.PLANNER_1, planned(right))
    act_until(executive, lambda: executive.row is not None and executive.row[0] == "PutObject")
    attempts, before = executive.summary.step, executive.summary
    executive.take(Action.PLANNER_2, planned(right, level=2))
    summary = executive.summary
    assert summary.step == attempts and summary.subgoals[summary.subgoal_index :] == (STEP_VIEWS["PutObject"],)
    assert before.subgoals[before.subgoal_index :] == (STEP_VIEWS["PutObject"],)
    assert executive.task.status.agreeing == 1
    act_until(executive, lambda: False)
    assert executive.success and executive.summary.step == attempts + 1


def test_after_a_wrong_plan_the_hand_is_emptied_first_and_the_right_one_still_reaches_the_goal():
    executive = make(task_type="pick_clean_then_place_in_recep")
    executive.begin(2)
    right, world = right_plan(executive), executive.env.world
    other = next(t.name for t in world.things if t.name != right.steps[0].arguments[0] and t.on not in world.shut)
    executive.take(Action.PLANNER_1, planned(Plan.from_rows([["PickupObject", other], ["PutObject", other, "desk"]])))
    act_until(executive, lambda: world.held >= 0)
    assert not executive.task.status.contradicted
    executive.take(Action.PLANNER_2, planned(right, level=2))
    assert executive.task.status.contradicted
    assert next(row for row in executive._rows if row[0] != "GotoLocation")[:2] == ("PutObject", other)
    act_until(executive, lambda: False)
    assert executive.success


def moved(number):
    """A mission whose thing is carried elsewhere while the robot drives there, played until that is noticed."""
    executive = make(task_type="pick_and_place_simple")
    executive.begin(number)
    right, world = right_plan(executive), executive.env.world
    executive.take(Action.PLANNER_1, planned(right))
    out = {world.things[0].on, right.steps[-1].arguments[1], "desklamp", "floorlamp"}
    places = [p for n, p in world.home.places.items() if not p.opens and world.free_slots(p) and n not in out]
    world.put_on(0, max(places, key=lambda p: math.dist(p.front, (world.x, world.y))))
    act_until(executive, lambda: executive.event is not None and executive.event.status is ActStatus.FAILURE)
    return executive, right


def test_what_was_moved_is_looked_for_by_thinking_and_never_by_acting():
    unseen = 0
    for number in range(12):
        executive, right = moved(number)
        if executive.done or 0 in executive.env.memory.known:  # seen by the way
            continue
        unseen, row = unseen + 1, executive.row
        executive.act()
        executive.act()
        assert executive.row == row and not executive.done  # acting tries the same again
        while not executive.done:
            if executive.event.status is ActStatus.FAILURE:
                executive.take(Action.PLANNER_1, planned(right, 0.0))
            executive.act()
        assert executive.success
    assert unseen >= 3


def test_without_budget_there_is_no_call_and_no_time_passes():
    executive = make(seconds=0.5, tokens=100.0)
    executive.begin(0)
    right = right_plan(executive)
    late = executive.take(Action.PLANNER_1, planned(right, seconds=0.7))
    assert late.status is CallStatus.TIMEOUT and late.seconds == 0.5 and executive.deadline_misses == 1
    assert executive.task.status.source == 0 and executive.budget_left == (0.0, 50.0)
    steps = executive.env.world.steps
    refused = executive.take(Action.PLANNER_1, planned(right))
    assert refused.status is CallStatus.BUDGET and refused.seconds == refused.tokens == 0.0
    assert executive.env.world.steps == steps and executive.task.status.source == 0


def test_the_seconds_of_thinking_pass_in_the_home():
    executive = make()
    executive.begin(0)
    people = [(p.x, p.y) for p in executive.env.world.people]
    for seconds, steps in ((0.25, 2), (0.25, 5), (1.0, 15)):
        executive.take(Action.VERIFIER_2, _slow(seconds))
        assert executive.env.world.steps == steps
    assert people != [(p.x, p.y) for p in executive.env.world.people]
    assert executive.budget_left == pytest.approx((8.5, 1e6 - 36))


def _slow(seconds):
    return Answer(1, Role.VERIFIER, 2, CallStatus.OK, seconds, "made up", 10, 2, verdict=Verdict(True, None, 0.8))


@pytest.mark.parametrize("status", [CallStatus.INVALID, CallStatus.TIMEOUT, CallStatus.REFUSED, CallStatus.BUDGET])
def test_a_call_without_an_answer_changes_no_plan(status):
    executive = make()
    executive.begin(0)
    before = executive.task
    call = executive.take(Action.PLANNER_1, planned(None, status=status))
    assert call.status is status and executive.task == before


def test_plans_of_things_that_no_home_has_fail_and_crash_nothing():
    executive = make()
    for plan in (
        [["PickupObject", "unicorn"], ["PutObject", "unicorn", "moon"]],
        [["ToggleObject", "desk"]],
        [["PutObject", "mug", "mug"]],
        [["HeatObject", ""]],
        [["SliceObject", "bread"], ["SliceObject", "bread"]],
    ):
        executive.begin(7)
        executive.take(Action.PLANNER_1, planned(Plan.from_rows(plan)))
        while not executive.done:
            assert executive.act().seconds <= 61
        assert not executive.success and executive.summary.step <= ATTEMPTS


def test_a_verdict_is_on_the_plan_in_force():
    executive = make()
    executive.begin(0)
    executive.take(Action.VERIFIER_2, judged(False))
    assert (executive.task.status.verdict, executive.task.status.verdict_level, executive.task.status.p_ok) == (
        -1,
        2,
        0.1,
    )
    executive.take(Action.PLANNER_1, planned(right_plan(executive)))
    assert (executive.task.status.verdict, executive.task.status.p_ok) == (0, 0.5)


def test_who_is_where_it_was_to_go_goes_on_after_thinking():
    executive = make()
    executive.begin(0)
    right, world = right_plan(executive), executive.env.world
    executive.take(Action.PLANNER_1, planned(right, seconds=0.0))
    assert executive.row[0] == "GotoLocation"
    world.teleport(*world.home.places[executive.row[1]].stand())
    executive.take(Action.VERIFIER_2, _slow(0.5))
    assert executive.row == executive.env.executor.row == ("PickupObject", right.steps[0].arguments[0])
    act_until(executive, lambda: False)
    assert executive.success


def test_wrong_use_is_told():
    executive = make()
    with pytest.raises(RuntimeError, match="over"):
        executive.act()
    executive.begin(0)
    with pytest.raises(RuntimeError, match="reasoner"):
        executive.think(Action.PLANNER_1)
    with pytest.raises(ValueError, match="answer"):
        executive.take(Action.VERIFIER_1, planned(WRONG))
    with pytest.raises(ValueError, match="ACT"):
        executive.take(Action.ACT, planned(WRONG))


def test_the_pipeline_plays_missions_with_it():
    executive = make(disturbance=1.0)
    executive.begin(4)
    oracle, events, clock = Oracle(right_plan(executive)), [], ManualClock()
    orchestrator = Orchestrator(make_rule("after_failure", failures=1, recipe="P1V1"), Costs(), 0.0)
    executive.start_budget(100.0, 1e6)
    end = play_episode(executive, orchestrator, 4, clock, events.append, reasoner=oracle)
    assert end.acts == sum(type(e).__name__ == "ActEvent" for e in events) <= ATTEMPTS
    assert clock.now() == pytest.approx(executive.env.world.steps * 0.1, abs=0.11)
    assert end.calls == len(oracle.requests)
