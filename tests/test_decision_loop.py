"""The chain of one decision, without ROS: episodes end, budgets hold, the same seed gives the same events."""

from dataclasses import replace

import pytest

from rarrl.alfred import SubgoalType, step_views
from rarrl.clock import ManualClock
from rarrl.config import config_from_flat
from rarrl.decision_loop import (
    DecisionOutcome,
    DecisionSession,
    EpisodeRunner,
    Phase,
    Report,
    TaskView,
    play_episode,
    replay,
)
from rarrl.events import ActEvent, EndEvent, EpisodeEvent, ShockEvent, ThinkEvent
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.types import (
    Action,
    ActStatus,
    Budget,
    CallStatus,
    Decision,
    LlmCall,
    PlanStatus,
    Role,
    StateSummary,
)
from rarrl_sim_envs.alfred.make import make_executive

PROFILE = "gpt4o-mini-anchor"
COSTS = ReplayTable.from_profile(load_profile(PROFILE)).costs


def executive(shock=False, **settings):
    flat = {"orchestrator.profile": PROFILE, **{k.replace("__", "."): v for k, v in settings.items()}}
    return make_executive(config_from_flat(flat, "test"), shock=shock)


def orchestrator(rule="always", **params):
    return Orchestrator(make_rule(rule, **params), COSTS, cost_weight=0.02)


def report(number=1, outcome=None, **changes):
    summary = StateSummary(step_views((SubgoalType.GotoLocation, SubgoalType.PutObject)), 0, 0, 9)
    base = Report("run", number, Phase.WAITING, 0, summary, Budget.full(20.0, 4000.0), outcome)
    return replace(base, **changes)


def test_an_episode_finishes_and_its_log_adds_up():
    events = []
    end = play_episode(executive(), orchestrator(), 0, ManualClock(), events.append)
    acts = [e for e in events if isinstance(e, ActEvent)]
    thinks = [e for e in events if isinstance(e, ThinkEvent)]
    assert isinstance(events[0], EpisodeEvent) and events[-1] is end and isinstance(end, EndEvent)
    assert end.acts == len(acts) > 0 and end.calls == len(thinks) > 0
    assert end.llm_seconds == pytest.approx(sum(e.t1 - e.t0 for e in thinks))
    assert end.tokens == sum(e.tokens for e in thinks)
    assert end.llm_seconds <= 20.0 and end.tokens <= 4000.0
    times = [t for e in events for t in ((e.t0, e.t1) if hasattr(e, "t0") else (e.t,))]
    assert times == sorted(times)
    assert len({e.decision for e in (*thinks, *acts)}) == len(thinks) + len(acts)


def test_a_spent_budget_leaves_only_act_and_the_task_goes_on():
    events = []
    settings = {"orchestrator__time_budget_s": 2.0, "orchestrator__token_budget": 4000.0}
    ends = replay(executive(**settings), orchestrator(), 20, events.append)
    left = 0.0
    for event in events:
        if isinstance(event, EpisodeEvent):
            left = event.time_budget_s
        if isinstance(event, ThinkEvent):
            assert left >= COSTS.mean_s.min(), "a call that the budget could not pay for"
            assert 0.0 <= event.time_left_s <= left
            left = event.time_left_s
    assert all(end.acts > 0 for end in ends) and any(end.success for end in ends)
    assert all(end.llm_seconds <= 2.0 + 1e-9 for end in ends)


def test_no_budget_means_no_call():
    ends = replay(executive(orchestrator__time_budget_s=0.0), orchestrator(), 5)
    assert [end.calls for end in ends] == [0] * 5


def test_the_same_seed_gives_the_same_events_and_another_seed_others():
    logs = []
    for seed in (4, 4, 5):
        logs.append([])
        replay(executive(replay__seed=seed), orchestrator("brace"), 10, logs[-1].append)
    assert logs[0] == logs[1] != logs[2]


def test_episodes_may_be_played_one_by_one():
    together, alone = [], []
    replay(executive(), orchestrator(), 6, together.append)
    replay(executive(), orchestrator(), [5], alone.append)
    of_5 = [e for e in together if e.episode == 5]
    assert len(alone) == len(of_5)
    assert [type(e) for e in alone] == [type(e) for e in of_5]


def test_a_shock_cuts_the_orchestrators_ledger_too():
    events = []
    thinker = orchestrator("boundary")
    replay(executive(shock=True), thinker, 10, events.append)
    shocks = [e for e in events if isinstance(e, ShockEvent)]
    assert shocks and all(e.time_left_s <= 20.0 * 0.4 for e in shocks)
    for shock in shocks:
        later = [e for e in events if isinstance(e, ThinkEvent) and e.episode == shock.episode and e.t0 >= shock.t]
        assert all(e.time_left_s <= shock.time_left_s for e in later)
    assert replay(executive(), orchestrator("boundary"), 10) != []


def test_a_clock_that_does_not_begin_at_zero_does_not_move_the_times():
    early, late = [], []
    replay(executive(), orchestrator(), 2, early.append, clock=ManualClock(0.0))
    replay(executive(), orchestrator(), 2, late.append, clock=ManualClock(1000.0))
    assert [e.t for e in early if hasattr(e, "t")] == pytest.approx([e.t for e in late if hasattr(e, "t")])


def test_a_call_is_cut_at_the_decisions_deadline():
    robot, session = EpisodeRunner(executive(), clock := ManualClock()), DecisionSession(orchestrator())
    decision = session.answer(robot.begin(0))
    assert decision.action is not Action.ACT
    seconds = robot.execute(replace(decision, deadline_s=0.05))
    clock.advance(seconds)
    told = robot.complete()
    assert seconds == 0.05 and told.outcome.status is CallStatus.TIMEOUT
    assert told.budget.time_s == pytest.approx(20.0 - 0.05)


def test_the_same_report_gets_the_same_decision():
    session = DecisionSession(orchestrator())
    first = session.answer(report())
    assert session.answer(report()) is first
    assert session.answer(report(number=2)).id > first.id
    assert session.answer(report(number=1)) is None  # old news


def test_late_outcomes_are_dropped_and_counted():
    session = DecisionSession(orchestrator())
    decision = session.answer(report())
    other = DecisionOutcome(decision.id + 5, decision.action, CallStatus.OK, 3.0, 500.0, False)
    session.answer(report(2, other))
    assert session.late_outcomes == 1
    assert session.orchestrator.budget.time_s == 20.0, "nobody's outcome is not paid for"
    decision = session.decision
    wrong_kind = DecisionOutcome(decision.id, Action.ACT, ActStatus.FAILURE, 1.0, 0.0, False)
    session.answer(report(3, wrong_kind))
    assert session.late_outcomes == 2 and session.orchestrator.history.consecutive_failures[0] == 0
    right = DecisionOutcome(session.decision.id, session.decision.action, CallStatus.OK, 3.0, 500.0, False)
    session.answer(report(4, right))
    assert session.late_outcomes == 2 and session.orchestrator.budget.time_s == 17.0


def test_a_restarted_orchestrator_takes_up_the_episode_with_what_is_left():
    outcome = DecisionOutcome(7, Action.PLANNER_1, CallStatus.OK, 1.0, 300.0, False)
    session = DecisionSession(orchestrator())
    assert session.answer(report(15, outcome, budget=Budget(5.0, 900.0, 20.0, 4000.0))) is not None
    assert session.late_outcomes == 1
    assert (session.orchestrator.budget.time_s, session.orchestrator.budget.tokens) == (5.0, 900.0)


def test_the_cap_holds_whatever_the_robot_grants():
    session = DecisionSession(orchestrator(), cap=(3.0, 100.0))
    assert session.answer(report()).action is Action.ACT  # 100 tokens pay for nothing
    assert session.orchestrator.budget == Budget.full(3.0, 100.0)


def test_think_now_is_taken_once_or_refused_with_a_reason():
    session = DecisionSession(orchestrator("never"))
    assert session.think_now() == "no episode is under way"
    decision = session.answer(report())
    assert decision.action is Action.ACT
    assert session.think_now() == ""
    done = DecisionOutcome(decision.id, Action.ACT, ActStatus.SUCCESS, 1.0, 0.0, False)
    asked = session.answer(report(2, done))
    assert asked.action is Action.PLANNER_1
    answered = DecisionOutcome(asked.id, asked.action, CallStatus.OK, 1.0, 300.0, False)
    assert session.answer(report(3, answered)).action is Action.ACT
    session.answer(report(4, budget=Budget(0.0, 4000.0, 20.0, 4000.0)))
    assert "budget" in session.think_now()


def test_where_nobody_can_be_asked_every_decision_is_act():
    session = DecisionSession(orchestrator("always"))
    session.nobody_to_ask = True
    decision = session.answer(report())
    assert decision.action is Action.ACT and session.think_now() == "the reasoner is down"
    session.nobody_to_ask = False
    done = DecisionOutcome(decision.id, Action.ACT, ActStatus.SUCCESS, 1.0, 0.0, False)
    assert session.answer(report(2, done)).action is not Action.ACT


def test_cancel_is_idle_until_reset_or_the_next_episode():
    session = DecisionSession(orchestrator())
    decision = session.answer(report())
    session.cancel()
    assert session.answer(report()) is None and "cancelled" in session.think_now()
    late = DecisionOutcome(decision.id, decision.action, CallStatus.OK, 1.0, 300.0, False)
    assert session.answer(report(2, late)) is None and session.late_outcomes == 1
    session.reset()
    assert session.answer(report(2, late)).id > decision.id
    session.cancel()
    assert session.answer(report(3, episode=1)) is not None


def test_reset_is_fresh_but_what_was_spent_stays_spent_at_the_robot():
    session = DecisionSession(orchestrator())
    decision = session.answer(report())
    failed = DecisionOutcome(decision.id, decision.action, CallStatus.INVALID, 4.0, 300.0, False)
    session.answer(report(2, failed, budget=Budget(16.0, 3700.0, 20.0, 4000.0)))
    assert session.orchestrator.history.last_call_ok[0] == 0.0
    session.reset()
    assert session.orchestrator.history.last_call_ok[0] == 1.0
    session.answer(report(3, budget=Budget(16.0, 3700.0, 20.0, 4000.0)))
    assert session.orchestrator.budget.time_s == 16.0


@pytest.mark.parametrize("phase", [Phase.EXECUTING, Phase.FINISHED])
def test_no_decision_unless_the_robot_waits(phase):
    assert DecisionSession(orchestrator()).answer(report(phase=phase)) is None


STATUS = PlanStatus(0, 0.4, 0.4, 0, 0, 0.5, (False, False), 0, False, 6, 0)


class Home:
    """A household at the edge of the test: a executive of ours whose calls are answered from outside."""

    def __init__(self, **settings):
        self._executive = executive(**settings)
        plan = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])
        self.task = TaskView("put the mug on the desk", plan, STATUS)
        self.taken = []

    def __getattr__(self, name):
        return getattr(self._executive, name)

    def begin(self, number):
        self.spent = (0.0, 0)
        return self._executive.begin(number)

    @property
    def budget_left(self):
        time_s, tokens = self._executive.budget_left
        return time_s - self.spent[0], tokens - self.spent[1]

    def take(self, action, answer):
        self.taken.append(answer)
        self.spent = (self.spent[0] + answer.seconds, self.spent[1] + answer.tokens)
        self.task = replace(self.task, plan=answer.plan or self.task.plan)
        return LlmCall(action, answer.status, answer.seconds, answer.tokens)


class Parrot:
    """A reasoner that always says the same."""

    name = "parrot"

    def __init__(self):
        self.asked = []

    def ask(self, request):
        self.asked.append(request)
        plan = Plan.from_rows([["PickupObject", "cup"]]) if request.role is Role.PLANNER else None
        verdict = Verdict(True) if request.role is Role.VERIFIER else None
        return Answer(
            request.decision,
            request.role,
            request.level,
            CallStatus.OK,
            0.5,
            "parrot",
            30,
            10,
            plan=plan,
            verdict=verdict,
        )


def test_a_reasoner_is_asked_and_its_answer_taken():
    home, parrot, events = Home(), Parrot(), []
    end = play_episode(home, orchestrator(), 0, ManualClock(), events.append, reasoner=parrot)
    thinks = [event for event in events if isinstance(event, ThinkEvent)]
    assert len(parrot.asked) == len(home.taken) == len(thinks) == end.calls > 0
    assert end.llm_seconds == pytest.approx(0.5 * end.calls) and end.tokens == 40 * end.calls
    assert [think.t1 - think.t0 for think in thinks] == pytest.approx([0.5] * len(thinks))
    for request, think in zip(parrot.asked, thinks, strict=True):
        assert (request.decision, request.role.value, request.level) == (think.decision, think.role, think.level)
        assert request.goal == "put the mug on the desk" and 0.0 < request.deadline_s <= 20.0
        assert think.answer == ("PickupObject(cup)" if request.role is Role.PLANNER else "ok")
    verified = [request.plan for request in parrot.asked if request.role is Role.VERIFIER]
    assert verified and verified[-1] == Plan.from_rows([["PickupObject", "cup"]])


def test_what_cannot_be_asked_is_left_to_the_player():
    session = DecisionSession(orchestrator())
    session.answer(report())  # a robot that tells no task
    assert session.request(Decision(1, Action.PLANNER_1, 5.0, "")) is None
    session.answer(report(number=2, task=Home().task))
    asked = session.request(Decision(2, Action.PLANNER_2, 5.0, ""))
    assert asked is not None and (asked.role, asked.level, asked.decision) == (Role.PLANNER, 2, 2)
    judged = session.request(Decision(2, Action.VERIFIER_1, 5.0, ""))
    assert asked.plan is None and judged is not None and judged.plan == Home().task.plan
    assert session.request(Decision(2, Action.ACT, 0.0, "")) is None
    assert asked.scene == judged.scene == ()
    parrot = Parrot()
    end = play_episode(executive(), orchestrator(), 0, ManualClock(), reasoner=parrot)
    assert end.calls > 0 and not parrot.asked


def test_what_the_robot_tells_of_its_home_comes_before_what_the_orchestrator_knows():
    session = DecisionSession(orchestrator(), home=("box", "shelf"))
    think = Decision(1, Action.PLANNER_2, 5.0, "")
    session.answer(report(task=Home().task))
    assert session.request(think).scene == ("box", "shelf")
    session.answer(report(number=2, task=replace(Home().task, scene=("mug", "desk"))))
    assert session.request(think).scene == ("mug", "desk")
