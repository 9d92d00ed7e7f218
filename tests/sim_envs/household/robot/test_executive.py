"""The robot as the orchestrator sees it, in the twin, with the scripted expert at the wheel and answers made up."""

import math

import numpy as np
import pytest

from rarrl.clock import ManualClock
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.pipeline import play_episode
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import Action, ActStatus, CallStatus, Role, SubgoalType
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.drivers import ExpertDriver
from rarrl_sim_envs.household.robot.executive import ATTEMPTS, HouseholdPlayer
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.tasks import remaining_plan

KNOWN = known_goals(8)
WRONG = Plan.from_rows([["PickupObject", "laptop"], ["PutObject", "laptop", "toilet"]])


def make(disturbance=0.0, seconds=10.0, tokens=1e6, task_type=None):
    env = HouseholdEnv(task_type, stereo=False, disturbance=disturbance)
    return HouseholdPlayer(env, ExpertDriver(), KNOWN, seconds, tokens)


def right_plan(player):
    return Plan.from_rows(remaining_plan(player.env.world, player.env.mission.task))


def planned(plan, seconds=0.2, tokens=50, level=1, status=CallStatus.OK):
    return Answer(1, Role.PLANNER, level, status, seconds, "made up", tokens, 0, plan=plan, confidence=math.log(0.9))


def judged(ok, level=2):
    verdict = Verdict(ok, None if ok else Fault.PLACE, 0.8 if ok else 0.1)
    return Answer(1, Role.VERIFIER, level, CallStatus.OK, 0.1, "made up", 10, 2, verdict=verdict)


def act_until(player, done):
    while not player.done and not done():
        player.act()


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
    player = make()
    info = player.begin(number)
    assert info.goal == player.env.mission.task.goal and info.time_budget_s == 10.0
    right = right_plan(player)
    call = player.take(Action.PLANNER_1, planned(right))
    assert call.status is CallStatus.OK and player.task.plan == right and player.task.status.source == 1
    act_until(player, lambda: False)
    assert player.success and player.summary.subgoal_index == len(player.summary.subgoals)
    player.begin(number)
    player.take(Action.PLANNER_1, planned(WRONG))
    act_until(player, lambda: False)
    assert player.done and not player.success


def test_the_same_episode_twice_is_the_same():
    runs = []
    for _ in range(2):
        player = make(disturbance=2.0)
        player.begin(3)
        player.take(Action.PLANNER_1, planned(right_plan(player)))
        seconds = []
        while not player.done:
            seconds.append(player.act().seconds)
        runs.append((seconds, player.success))
    assert runs[0] == runs[1]


def test_it_begins_with_the_plan_of_the_nearest_goal_it_knows():
    player = make()
    player.begin(0)
    recalled = KNOWN.recall(player.env.mission.task.goal)
    status = player.task.status
    assert player.task.plan == recalled.plan and status.source == 0 and status.answered == (False, False)
    assert status.confidence == status.similarity == recalled.similarity and status.verdict == 0
    assert set(player.task.scene) == {*player.env.world.home.places, *(t.name for t in player.env.world.things)}
    assert player.summary.subgoals[0] is SubgoalType.GotoLocation and player.summary.horizon == ATTEMPTS


def test_a_new_plan_goes_on_where_the_robot_stands():
    player = make(task_type="pick_heat_then_place_in_recep")
    player.begin(1)
    right = right_plan(player)
    player.take(Action.PLANNER_1, planned(right))
    act_until(player, lambda: player.row is not None and player.row[0] == "PutObject")
    attempts, before = player.summary.step, player.summary
    player.take(Action.PLANNER_2, planned(right, level=2))
    summary = player.summary
    assert summary.step == attempts and summary.subgoals[summary.subgoal_index :] == (SubgoalType.PutObject,)
    assert before.subgoals[before.subgoal_index :] == (SubgoalType.PutObject,)
    assert player.task.status.agreeing == 1
    act_until(player, lambda: False)
    assert player.success and player.summary.step == attempts + 1


def test_after_a_wrong_plan_the_hand_is_emptied_first_and_the_right_one_still_reaches_the_goal():
    player = make(task_type="pick_clean_then_place_in_recep")
    player.begin(2)
    right, world = right_plan(player), player.env.world
    other = next(t.name for t in world.things if t.name != right.steps[0].arguments[0] and t.on not in world.shut)
    player.take(Action.PLANNER_1, planned(Plan.from_rows([["PickupObject", other], ["PutObject", other, "desk"]])))
    act_until(player, lambda: world.held >= 0)
    assert not player.task.status.contradicted
    player.take(Action.PLANNER_2, planned(right, level=2))
    assert player.task.status.contradicted
    assert next(row for row in player._rows if row[0] != "GotoLocation")[:2] == ("PutObject", other)
    act_until(player, lambda: False)
    assert player.success


def moved(number):
    """A mission whose thing is carried elsewhere while the robot drives there, played until that is noticed."""
    player = make(task_type="pick_and_place_simple")
    player.begin(number)
    right, world = right_plan(player), player.env.world
    player.take(Action.PLANNER_1, planned(right))
    out = {world.things[0].on, right.steps[-1].arguments[1], "desklamp", "floorlamp"}
    places = [p for n, p in world.home.places.items() if not p.opens and world.free_slots(p) and n not in out]
    world.put_on(0, max(places, key=lambda p: math.dist(p.front, (world.x, world.y))))
    act_until(player, lambda: player.event is not None and player.event.status is ActStatus.FAILURE)
    return player, right


def test_what_was_moved_is_looked_for_by_thinking_and_never_by_acting():
    unseen = 0
    for number in range(12):
        player, right = moved(number)
        if player.done or 0 in player.env.memory.known:  # seen by the way
            continue
        unseen, row = unseen + 1, player.row
        player.act()
        player.act()
        assert player.row == row and not player.done  # acting tries the same again
        while not player.done:
            if player.event.status is ActStatus.FAILURE:
                player.take(Action.PLANNER_1, planned(right, 0.0))
            player.act()
        assert player.success
    assert unseen >= 3


def test_without_budget_there_is_no_call_and_no_time_passes():
    player = make(seconds=0.5, tokens=100.0)
    player.begin(0)
    right = right_plan(player)
    late = player.take(Action.PLANNER_1, planned(right, seconds=0.7))
    assert late.status is CallStatus.TIMEOUT and late.seconds == 0.5 and player.deadline_misses == 1
    assert player.task.status.source == 0 and player.budget_left == (0.0, 50.0)
    steps = player.env.world.steps
    refused = player.take(Action.PLANNER_1, planned(right))
    assert refused.status is CallStatus.BUDGET and refused.seconds == refused.tokens == 0.0
    assert player.env.world.steps == steps and player.task.status.source == 0


def test_the_seconds_of_thinking_pass_in_the_home():
    player = make()
    player.begin(0)
    people = [(p.x, p.y) for p in player.env.world.people]
    for seconds, steps in ((0.25, 2), (0.25, 5), (1.0, 15)):
        player.take(Action.VERIFIER_2, _slow(seconds))
        assert player.env.world.steps == steps
    assert people != [(p.x, p.y) for p in player.env.world.people]
    assert player.budget_left == pytest.approx((8.5, 1e6 - 36))


def _slow(seconds):
    return Answer(1, Role.VERIFIER, 2, CallStatus.OK, seconds, "made up", 10, 2, verdict=Verdict(True, None, 0.8))


@pytest.mark.parametrize("status", [CallStatus.INVALID, CallStatus.TIMEOUT, CallStatus.REFUSED, CallStatus.BUDGET])
def test_a_call_without_an_answer_changes_no_plan(status):
    player = make()
    player.begin(0)
    before = player.task
    call = player.take(Action.PLANNER_1, planned(None, status=status))
    assert call.status is status and player.task == before


def test_plans_of_things_that_no_home_has_fail_and_crash_nothing():
    player = make()
    for plan in (
        [["PickupObject", "unicorn"], ["PutObject", "unicorn", "moon"]],
        [["ToggleObject", "desk"]],
        [["PutObject", "mug", "mug"]],
        [["HeatObject", ""]],
        [["SliceObject", "bread"], ["SliceObject", "bread"]],
    ):
        player.begin(7)
        player.take(Action.PLANNER_1, planned(Plan.from_rows(plan)))
        while not player.done:
            assert player.act().seconds <= 61
        assert not player.success and player.summary.step <= ATTEMPTS


def test_a_verdict_is_on_the_plan_in_force():
    player = make()
    player.begin(0)
    player.take(Action.VERIFIER_2, judged(False))
    assert (player.task.status.verdict, player.task.status.verdict_level, player.task.status.p_ok) == (-1, 2, 0.1)
    player.take(Action.PLANNER_1, planned(right_plan(player)))
    assert (player.task.status.verdict, player.task.status.p_ok) == (0, 0.5)


def test_who_is_where_it_was_to_go_goes_on_after_thinking():
    player = make()
    player.begin(0)
    right, world = right_plan(player), player.env.world
    player.take(Action.PLANNER_1, planned(right, seconds=0.0))
    assert player.row[0] == "GotoLocation"
    world.teleport(*world.home.places[player.row[1]].stand())
    player.take(Action.VERIFIER_2, _slow(0.5))
    assert player.row == player.env.executor.row == ("PickupObject", right.steps[0].arguments[0])
    act_until(player, lambda: False)
    assert player.success


def test_wrong_use_is_told():
    player = make()
    with pytest.raises(RuntimeError, match="over"):
        player.act()
    player.begin(0)
    with pytest.raises(RuntimeError, match="reasoner"):
        player.think(Action.PLANNER_1)
    with pytest.raises(ValueError, match="answer"):
        player.take(Action.VERIFIER_1, planned(WRONG))
    with pytest.raises(ValueError, match="ACT"):
        player.take(Action.ACT, planned(WRONG))


def test_the_pipeline_plays_missions_with_it():
    player = make(disturbance=1.0)
    player.begin(4)
    oracle, events, clock = Oracle(right_plan(player)), [], ManualClock()
    orchestrator = Orchestrator(make_rule("after_failure", failures=1, recipe="P1V1"), Costs(), 0.0)
    player.start_budget(100.0, 1e6)
    end = play_episode(player, orchestrator, 4, clock, events.append, reasoner=oracle)
    assert end.acts == sum(type(e).__name__ == "ActEvent" for e in events) <= ATTEMPTS
    assert clock.now() == pytest.approx(player.env.world.steps * 0.1, abs=0.11)
    assert end.calls == len(oracle.requests)
