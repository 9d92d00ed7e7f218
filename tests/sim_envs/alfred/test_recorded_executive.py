"""A robot that carries the plan in force out, right or wrong; recorded answers and live ones."""

from dataclasses import replace

import pytest
from hand_made import TASKS, WRONG, Expert, profile

from rarrl.alfred import SubgoalType, step_views
from rarrl.alfred_plans import expert_plan
from rarrl.clock import ManualClock
from rarrl.config import config_from_flat
from rarrl.decision_loop import play_episode
from rarrl.errors import InputError
from rarrl.events import ActEvent, ThinkEvent
from rarrl.latency.profile import save_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.thinking import Kind
from rarrl.types import Action, ActStatus, CallStatus, Decision
from rarrl_sim_envs.alfred.make import make_executive
from rarrl_sim_envs.alfred.recorded_core import NEVER


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "household.json"
    save_profile(profile(), path)
    return {"orchestrator.profile": str(path)}


def make(settings, **more):
    return make_executive(config_from_flat(settings | more, "test"))


def row_of(executive, number=0):
    executive.begin(number)
    return TASKS.index(next(task for task in TASKS if task.annotations[0].goal == executive.task.goal))


def answer(action, plan=None, verdict=None, status=CallStatus.OK, seconds=0.25):
    return Answer(7, action.role, action.level, status, seconds, "test", 30, 10, plan=plan, verdict=verdict)


def test_it_begins_with_its_own_plan_and_a_planners_takes_its_place(settings):
    executive = make(settings)
    info = executive.begin(0)
    assert info.goal == executive.task.goal and executive.task.plan == WRONG
    goto, pick, put = SubgoalType.GotoLocation, SubgoalType.PickupObject, SubgoalType.PutObject
    assert executive.summary.subgoals == step_views((goto, pick, goto, put)) and executive.summary.subgoal_index == 0
    status = executive.task.status
    assert (status.source, status.confidence, status.similarity, status.answered) == (0, 0.4, 0.4, (False, False))
    called = executive.think(Action.PLANNER_2, 10.0)
    assert (called.status, called.seconds, called.tokens) == (CallStatus.OK, 1.0, 40.0)
    expert = next(expert_plan(task) for task in TASKS if task.annotations[0].goal == info.goal)
    assert (executive.task.plan, executive.task.status.source) == (expert, 2)
    executive.begin(0)
    assert executive.task.plan == WRONG


def test_a_wrong_plan_never_succeeds_and_a_right_one_can(settings):
    executive = make(settings)
    for number in range(20):
        executive.begin(number)
        while not executive.done:
            executive.act()
        assert not executive.success
    won = 0
    for number in range(20):
        executive.begin(number)
        executive.think(Action.PLANNER_2, 10.0)
        while not executive.done:
            attempt = executive.act()
            assert attempt.status in ActStatus
        won += executive.success
        if executive.success:
            assert executive.summary.subgoal_index == len(executive.summary.subgoals)
    assert won > 5


def test_a_live_answer_stands_in_the_place_of_the_recorded_one(settings):
    executive = make(settings)
    expert = expert_plan(TASKS[row_of(executive)])
    other = Plan.from_rows([["PickupObject", "cup"], ["HeatObject", "cup"], ["PutObject", "cup", "shelf"]])
    taken = executive.take(Action.PLANNER_1, replace(answer(Action.PLANNER_1, other), confidence=-0.5))
    assert (taken.status, taken.seconds, taken.tokens) == (CallStatus.OK, 0.25, 40.0)
    assert executive.task.plan == other and len(executive.summary.subgoals) == 6
    status = executive.task.status
    assert (status.source, status.answered) == (1, (True, False)) and status.confidence == pytest.approx(
        0.6065, abs=1e-3
    )
    executive.take(Action.VERIFIER_1, answer(Action.VERIFIER_1, verdict=Verdict(False, Fault.OBJECT, 0.1)))
    status = executive.task.status
    assert (status.verdict, status.verdict_level, status.p_ok) == (-1, 1, 0.1)
    executive.take(Action.PLANNER_2, answer(Action.PLANNER_2, expert))
    status = executive.task.status
    assert executive.task.plan == expert and (status.source, status.verdict, status.answered) == (2, 0, (True, True))


def test_a_live_plan_is_right_where_the_recorder_calls_it_right(settings):
    executive = make(settings)
    executive.begin(0)
    sliced = [["PickupObject", "knife"], ["SliceObject", "lettuce"], ["PutObject", "knife", "sink"]]
    executive._experts = [Plan.from_rows(sliced)] * len(TASKS)

    other_knife = [["PickupObject", "butterknife"], ["SliceObject", "lettuce"], ["PutObject", "butterknife", "shelf"]]
    for rows, right in ((other_knife, True), (other_knife[:2], False)):
        executive.take(Action.PLANNER_1, answer(Action.PLANNER_1, Plan.from_rows(rows)))
        recordings = executive._core.recordings
        row = int(executive._core.row[0])
        assert (recordings.wrong_at[row, 1] == NEVER, recordings.ends[row, 1]) == (right, not right)


def test_an_answer_that_failed_costs_and_changes_nothing(settings):
    executive = make(settings)
    executive.begin(0)
    before, left = executive.task, executive.budget_left
    taken = executive.take(Action.PLANNER_1, answer(Action.PLANNER_1, status=CallStatus.INVALID))
    assert taken.status is CallStatus.INVALID and executive.task.plan == before.plan
    assert executive.budget_left == (left[0] - 0.25, left[1] - 40)
    late = executive.take(Action.PLANNER_1, answer(Action.PLANNER_1, expert_plan(TASKS[0]), seconds=1000.0))
    assert late.status is CallStatus.TIMEOUT and executive.task.plan == before.plan and executive.budget_left[0] == 0.0


def test_a_live_call_is_paid_for_whatever_recorded_ones_cost(settings):
    executive = make(settings, **{"orchestrator.time_budget_s": 0.4, "orchestrator.token_budget": 50.0})
    executive.begin(0)  # a recorded call takes 0.5 s and up to 276 tokens: none could be afforded
    taken = executive.take(Action.PLANNER_1, answer(Action.PLANNER_1, expert_plan(TASKS[0])))
    assert (taken.status, taken.seconds, taken.tokens) == (CallStatus.OK, 0.25, 40.0)
    assert executive.budget_left == pytest.approx((0.15, 10.0))


def test_an_answer_to_something_else_is_refused(settings):
    executive = make(settings)
    executive.begin(0)
    with pytest.raises(ValueError, match="cannot take"):
        executive.take(Action.VERIFIER_1, answer(Action.PLANNER_1, WRONG))
    with pytest.raises(ValueError, match="cannot take"):
        executive.take(Action.ACT, answer(Action.PLANNER_1, WRONG))


def test_the_loop_with_a_live_reasoner(settings):
    costs = ReplayTable.from_profile(profile()).costs
    executive, events = make(settings), []
    wins = {"never": 0, "always": 0}
    for rule in wins:
        orchestrator = Orchestrator(make_rule(rule), costs, 0.004)
        for number in range(20):
            wins[rule] += play_episode(
                executive, orchestrator, number, ManualClock(), events.append, reasoner=Expert()
            ).success
    assert wins["never"] == 0 < wins["always"]
    answers = {event.answer for event in events if isinstance(event, ThinkEvent)}
    assert "ok" in answers and any(text.startswith("PickupObject(") for text in answers)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"orchestrator.profile": "gpt4o-mini-anchor", "orchestrator.reasoner": "llama"}, "recorded answers"),
        ({"orchestrator.reasoner": "llama", "replay.latency_scale": 2.0}, "latency_scale"),
        ({"replay.category": "Navigation"}, "Navigation"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, changes, words):
    with pytest.raises(InputError, match=words):
        make(settings, **changes)


def test_the_task_tells_what_was_known_of_its_home(tmp_path):
    recorded = profile()
    tasks = (recorded.tasks[0].model_copy(update={"home": 0}), *recorded.tasks[1:])
    save_profile(recorded.model_copy(update={"tasks": tasks, "homes": (("mug", "desk"),)}), tmp_path / "home.json")
    executive = make({"orchestrator.profile": str(tmp_path / "home.json")})
    told = {}
    for number in range(12):
        row = row_of(executive, number)
        told[row] = executive.task.scene
    assert told == {0: ("mug", "desk"), 1: (), 2: ()}


class Slow:
    """Answers with the right plan after 5 s."""

    name = "slow"

    def __init__(self, executive):
        self.executive = executive

    def ask(self, request):
        plan = next(expert_plan(task) for task in TASKS if task.annotations[0].goal == request.goal)
        made = answer(Action.PLANNER_1, plan, seconds=5.0)
        return replace(made, decision=request.decision, level=request.level)

    def close(self): ...


def test_a_live_call_beside_acting_lets_it_go_on_to_the_next_place(settings):
    executive = make(settings)
    costs = ReplayTable.from_profile(profile()).costs
    rule = make_rule("after_failure", recipe="P1", beside=True)
    events = []
    for number in range(10):
        play_episode(
            executive, Orchestrator(rule, costs, 0.004), number, ManualClock(), events.append, 0.0, Slow(executive)
        )
    beside = [event for event in events if isinstance(event, ThinkEvent) and event.beside]
    assert {event.status for event in beside} >= {"OK"}
    assert all(event.t1 - event.t0 <= 5.0 + 1e-6 for event in beside)
    during = [
        act
        for act in events
        for call in beside
        if isinstance(act, ActEvent) and act.episode == call.episode and call.t0 <= act.t0 < call.t1
    ]
    assert {act.subgoal for act in during} >= {"GotoLocation"}
    assert "SliceObject" not in {act.subgoal for act in during}


def test_a_call_that_is_replayed_is_stood_for(settings):
    executive = make(settings)
    costs = ReplayTable.from_profile(profile()).costs
    events = []
    rule = make_rule("after_failure", recipe="P1", beside=True)
    for number in range(10):
        play_episode(executive, Orchestrator(rule, costs, 0.004), number, ManualClock(), events.append)
    thinks = [event for event in events if isinstance(event, ThinkEvent)]
    assert thinks and not any(event.beside for event in thinks)


def test_it_goes_on_beside_a_question_and_the_answer_takes_effect(settings):
    executive = make(settings)
    executive.begin(0)
    assert executive.summary.can_go_on and executive.next_kind is Kind.MOVES
    asked = executive.question(Decision(7, Action.PLANNER_1, 10.0, "test", beside=True))
    while executive.next_kind is Kind.MOVES and not executive.done:
        executive.act()
    assert executive.summary.can_go_on == (executive.next_kind is Kind.AGAIN)  # it holds what changes things
    assert executive.present().plan == asked.plan and asked.failed is None
    right = next(expert_plan(task) for task in TASKS if task.annotations[0].goal == executive.task.goal)
    call = executive.take_beside(Action.PLANNER_1, answer(Action.PLANNER_1, plan=right), 0.0)
    assert (call.status, call.seconds, call.tokens) == (CallStatus.OK, 0.25, 40.0)
    assert executive.task.plan == right and executive.present().plan != asked.plan


def test_a_call_that_is_withdrawn_when_the_episode_is_over_is_paid_for(settings):
    executive = make(settings)
    executive.begin(0)
    executive.question(Decision(7, Action.PLANNER_1, 10.0, "test", beside=True))
    while not executive.done:
        executive.act()
    assert not executive.present().running and executive.next_kind is None
    before = executive.budget_left
    call = executive.take_beside(Action.PLANNER_1, answer(Action.PLANNER_1, status=CallStatus.WITHDRAWN), 0.0)
    assert call.status is CallStatus.WITHDRAWN
    assert executive.budget_left == pytest.approx((before[0] - 0.25, before[1] - 40.0))


def test_episodes_are_played_beside_a_live_reasoner(settings):
    events, ends = [], []
    executive = make(settings)
    costs = ReplayTable.from_profile(profile()).costs
    for number in range(12):
        orchestrator = Orchestrator(make_rule("always", recipe="P1", beside=True), costs, 0.0)
        ends.append(play_episode(executive, orchestrator, number, ManualClock(), events.append, reasoner=Expert()))
    thinks = [event for event in events if isinstance(event, ThinkEvent)]
    assert any(think.beside for think in thinks) and any(think.status == "OK" for think in thinks)
    assert sum(end.success for end in ends) > 3
    assert sum(end.calls for end in ends) == len(thinks)
