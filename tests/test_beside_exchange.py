"""The exchange between robot and orchestrator while a question is open: times overlap, and no outcome is lost."""

from dataclasses import dataclass, replace

import pytest

from rarrl.alfred import STEP_VIEWS
from rarrl.clock import ManualClock
from rarrl.config import Config
from rarrl.decision_loop import DecisionSession, EpisodeRunner, GoesOn, Phase, TaskView, play_episode
from rarrl.events import ActEvent, EventWriter, RunEvent, ThinkEvent, read_events, to_line
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan
from rarrl.report.page import _decisions
from rarrl.report.runs import read_run
from rarrl.thinking import Present, Question, Tally, kind_of, unanswered
from rarrl.types import Action, ActStatus, CallStatus, Decision, LlmCall, PlanStatus, Role, StateSummary
from rarrl.why import explain, label

PROFILE = "gpt4o-mini-anchor"
COSTS = ReplayTable.from_profile(load_profile(PROFILE)).costs
GO, PICK, CUT = "GotoLocation", "PickupObject", "SliceObject"
PLAN = Plan.from_rows([["PickupObject", "mug"]])
STATUS = PlanStatus(0, 0.5, 0.5, 0, 0, 0.5, (False, False), 0, False, 4, 0)
BESIDE = Decision(7, Action.PLANNER_1, 20.0, "test", beside=True)
ACT = Decision(8, Action.ACT, 0.0, "test")


@dataclass(frozen=True)
class Info:
    category: str = "Place"
    task_type: str = "pick_and_place_simple"
    goal: str = "put a mug on the desk"
    time_budget_s: float = 20.0
    token_budget: float = 1000.0


@dataclass(frozen=True)
class Attempt:
    status: ActStatus
    seconds: float
    subgoal_done: bool


class Home:
    """Steps that take 2 s each; those named in `failing` fail as often as it says. stood: seconds for each answer."""

    def __init__(self, *steps, failing=None):
        self.steps, self.failures = steps, dict(failing or {})
        self.deadline_misses = 0
        self.begin(0)

    def begin(self, number):
        self.failing = dict(self.failures)
        self.index = self.acts = 0
        self.done = self.success = False
        self.budget_left = (20.0, 1000.0)
        self.plan, self.stood, self.taken = PLAN, [], []
        self.failed, self.succeeded = None, set()
        return Info()

    @property
    def summary(self):
        return StateSummary(tuple(STEP_VIEWS[each] for each in self.steps), self.index, self.acts, 40)

    @property
    def task(self):
        return TaskView("put a mug on the desk", self.plan, STATUS)

    def act(self):
        assert not self.done
        name = self.steps[self.index]
        fails = self.failing.get(name, 0) > 0
        self.acts += 1
        self.failed = name if fails else None
        if fails:
            self.failing[name] -= 1
            return Attempt(ActStatus.FAILURE, 2.0, False)
        self.succeeded.add(name)
        self.index += 1
        self.done = self.success = self.index == len(self.steps)
        return Attempt(ActStatus.SUCCESS, 2.0, True)

    def think(self, action, deadline_s):
        raise RuntimeError

    def take(self, action, answer):
        return self.take_beside(action, answer, answer.seconds)

    @property
    def next_kind(self):
        name = None if self.done else self.steps[self.index]
        return name and kind_of(STEP_VIEWS[name].irreversible, moves=name == GO, again=name == self.asked_for)

    @property
    def asked_for(self):
        return self.failed

    def question(self, decision):
        self.succeeded.clear()
        return Question(decision.id, decision.action.role, decision.beside, self.plan, self.failed)

    def present(self):
        return Present(not self.done, self.plan, self.done, frozenset(self.succeeded))

    def take_beside(self, action, answer, stood_s):
        self.stood.append(stood_s)
        self.taken.append(answer)
        time_s, tokens = self.budget_left
        self.budget_left = time_s - answer.seconds, tokens - answer.tokens
        if answer.status is CallStatus.OK:
            self.plan = answer.plan
        return LlmCall(action, answer.status, answer.seconds, float(answer.tokens))


def runner(*steps, failing=None):
    clock, events, home = ManualClock(), [], Home(*steps, failing=failing)
    made = EpisodeRunner(home, clock, events.append)
    made.begin(0)
    return made, home, clock, events


def answer(decision=7, seconds=3.0, **fields):
    return Answer(decision, Role.PLANNER, 1, CallStatus.OK, seconds, "test", 60, 40, 1.0, plan=PLAN, **fields)


def act(made, clock, decision=ACT):
    clock.sleep(made.execute(decision))
    return made.complete()


def test_which_executives_can_go_on():
    assert isinstance(Home(GO), GoesOn)
    assert runner(GO)[0].can_think_beside


def test_an_attempt_beside_a_question_and_what_the_reports_say():
    made, home, clock, events = runner(GO, PICK)
    report = made.ask(BESIDE)
    assert (report.summary.thinking, report.summary.can_go_on, report.phase) == (True, True, Phase.WAITING)
    assert made.asks == BESIDE
    report = act(made, clock)
    assert (report.outcome.decision, report.thought) == (8, None)
    assert (report.summary.can_go_on, report.phase, made.stands) == (False, Phase.EXECUTING, True)
    clock.sleep(1.0)
    report = made.answered(answer())
    assert home.stood == [1.0]  # of the three seconds of the call
    assert (report.thought.decision, report.thought.status, report.thought.seconds) == (7, CallStatus.OK, 3.0)
    assert (report.summary.thinking, report.phase, made.asks) == (False, Phase.WAITING, None)
    assert made.tally == Tally(asked=1, beside=1, applied=1)

    went, thought = [e for e in events if isinstance(e, ActEvent | ThinkEvent)]
    assert (went.t0, went.t1) == (0.0, 2.0)
    assert (thought.t0, thought.t1, thought.beside, thought.tokens_saved) == (0.0, 3.0, True, None)
    assert act(made, clock, replace(ACT, id=9)).thought == report.thought  # until the next is asked


def test_what_the_world_settles_is_withdrawn_and_paid_for_as_far_as_it_went():
    made, home, clock, events = runner(PICK, GO, failing={PICK: 1})
    act(made, clock, replace(ACT, id=6))
    made.ask(BESIDE)
    report = act(made, clock)
    assert made.withdraws and not made.stands
    assert not report.summary.thinking
    spent = replace(answer(seconds=2.0), status=CallStatus.WITHDRAWN, plan=None, tokens_out=10, tokens_saved=30)
    report = made.answered(spent)
    assert home.stood == [0.0] and home.plan is PLAN
    assert (report.thought.status, report.thought.tokens) == (CallStatus.WITHDRAWN, 70.0)
    assert report.outcome.decision == 8  # told again: nobody may have heard it
    assert report.budget.time_s == 18.0
    line = next(e for e in events if isinstance(e, ThinkEvent))
    assert (line.status, line.t0, line.t1, line.tokens_saved) == ("WITHDRAWN", 2.0, 4.0, 30)
    assert made.tally == Tally(asked=1, beside=1, withdrawn=1, tokens_saved=30)


def test_an_answer_that_comes_although_the_question_is_settled_has_no_effect():
    made, home, clock, _ = runner(PICK, GO, failing={PICK: 1})
    act(made, clock, replace(ACT, id=6))
    made.ask(BESIDE)
    act(made, clock)
    report = made.answered(replace(answer(), plan=Plan.from_rows([["PickupObject", "pen"]])))
    assert home.plan is PLAN
    assert (report.thought.status, made.tally.dropped, made.tally.applied) == (CallStatus.WITHDRAWN, 1, 0)


def test_an_answer_to_nothing_is_dropped():
    made, home, _, _ = runner(GO)
    before = made.report
    assert made.answered(answer()) is before
    made.ask(BESIDE)
    before = made.report
    assert made.answered(answer(decision=3)) is before
    assert (home.taken, made.asks, made.tally.dropped) == ([], BESIDE, 2)


def test_what_may_not_go_on_is_not_begun():
    made, _, _, _ = runner(PICK)
    made.ask(BESIDE)
    assert made.stands
    with pytest.raises(ValueError, match="may not start while waiting"):
        made.execute(ACT)


def test_an_episode_is_over_once_its_last_call_is_paid_for():
    made, _, clock, events = runner(GO)
    made.ask(BESIDE)
    act(made, clock)
    assert made.withdraws and not made.done and made.end is None
    made.answered(unanswered(BESIDE, 2.0))
    assert made.done and made.end is events[-1]
    assert (made.end.llm_seconds, made.end.calls, made.end.acts) == (2.0, 1, 1)


def test_another_question_pays_for_the_one_that_was_withdrawn():
    made, home, clock, _ = runner(PICK, GO, PICK, failing={PICK: 1})
    act(made, clock, replace(ACT, id=6))
    made.ask(BESIDE)
    act(made, clock)
    made.ask(replace(BESIDE, id=9))
    assert (made.asks.id, home.taken[0].seconds, home.taken[0].status) == (9, 2.0, CallStatus.WITHDRAWN)


# The orchestrator's side


class Recording(Orchestrator):
    """Keeps what it is told. thinks: decisions (by number, from 1) that are to think beside acting."""

    def __init__(self, *thinks):
        super().__init__(make_rule("never"), COSTS, 0.02)
        self.thinks, self.told = thinks, []

    def decide(self, summary, asked=None, plan=None):
        made = super().decide(summary, asked, plan)
        if asked is None and made.id in self.thinks:
            return replace(made, action=Action.PLANNER_1, deadline_s=20.0, beside=True)
        return made

    def record_act(self, status, done, pending=None):
        self.told.append(status)
        super().record_act(status, done, pending)

    def record_call(self, call):
        self.told.append(call.status)
        super().record_call(call)


def test_only_act_is_decided_while_a_question_is_open_and_every_outcome_is_heard_once():
    made, _, clock, _ = runner(GO, GO, PICK)
    orchestrator = Recording(1, 2, 3)
    session = DecisionSession(orchestrator)
    asked = session.answer(made.report)
    assert asked.beside
    first = session.answer(made.ask(asked))
    assert first.action is Action.ACT  # though the policy would think
    clock.sleep(made.execute(first))
    report = made.complete()
    second = session.answer(report)
    assert second.action is Action.ACT
    again = made.answered(answer(decision=asked.id, seconds=2.0))
    assert (session.answer(again).action, orchestrator.told) == (Action.ACT, [ActStatus.SUCCESS, CallStatus.OK])
    assert session.answer(again) == session.answer(again)
    assert session.late_outcomes == 0


def test_an_outcome_that_only_the_second_of_two_reports_tells_is_heard():
    made, _, clock, _ = runner(GO, GO, PICK)
    orchestrator = Recording(1)
    session = DecisionSession(orchestrator)
    asked = session.answer(made.report)
    clock.sleep(made.execute(session.answer(made.ask(asked))))
    made.complete()  # this report is lost
    session.answer(made.answered(answer(decision=asked.id, seconds=2.0)))
    assert orchestrator.told == [ActStatus.SUCCESS, CallStatus.OK]
    assert session.late_outcomes == 0


def test_an_orchestrator_that_is_restarted_in_between_drops_what_it_did_not_ask():
    made, _, clock, _ = runner(GO, GO, PICK)
    asked = DecisionSession(Recording(1)).answer(made.report)
    made.ask(asked)
    orchestrator = Recording()
    session = DecisionSession(orchestrator)
    decision = session.answer(made.report)
    assert decision.action is Action.ACT
    clock.sleep(made.execute(decision))
    session.answer(made.complete())
    session.answer(made.answered(answer(decision=asked.id, seconds=2.0)))
    assert orchestrator.told == [ActStatus.SUCCESS]


# In one process


class Thinker:
    name = "thinker"

    def __init__(self, seconds):
        self.seconds, self.asked = seconds, 0

    def ask(self, request):
        self.asked += 1
        return Answer(
            request.decision, request.role, request.level, CallStatus.OK, self.seconds, "test", 60, 40, 1.0, plan=PLAN
        )

    def close(self): ...


def played(seconds, *steps, thinks=(1,), failing=None, log=None):
    clock = ManualClock()
    home, orchestrator, events = Home(*steps, failing=failing), Recording(*thinks), []

    def keep(event):
        events.append(event)
        if log is not None:
            log(event)

    end = play_episode(home, orchestrator, 0, clock, keep, reasoner=Thinker(seconds))
    assert end.success
    return end, home, orchestrator, events


@pytest.mark.parametrize(("call_s", "ends", "stood"), [(1.0, 6.0, [0.0]), (4.0, 6.0, [0.0]), (5.0, 7.0, [1.0])])
def test_a_call_takes_its_seconds_on_the_clock_of_the_attempts(call_s, ends, stood):
    end, home, orchestrator, _ = played(call_s, GO, GO, PICK)
    assert (end.t, end.llm_seconds) == (ends, call_s)
    assert home.stood == stood
    assert orchestrator.told.count(CallStatus.OK) == 1


def test_a_call_that_is_withdrawn_in_one_process():
    end, _, orchestrator, events = played(9.0, PICK, GO, thinks=(2,), failing={PICK: 1})
    assert (end.t, end.llm_seconds) == (6.0, 2.0)
    line = next(e for e in events if isinstance(e, ThinkEvent))
    assert (line.status, line.tokens, line.tokens_saved) == ("WITHDRAWN", 65.0, 35)
    assert orchestrator.told == [ActStatus.FAILURE, ActStatus.SUCCESS, CallStatus.WITHDRAWN]


def test_a_robot_that_cannot_go_on_stands_whatever_the_decision_says():
    class Standing:
        def __init__(self, home):
            self.home = home

        def __getattr__(self, name):
            if name in ("next_kind", "question", "present", "take_beside"):
                raise AttributeError(name)
            return getattr(self.home, name)

    home = Home(GO, PICK)
    orchestrator = Recording(1)
    end = play_episode(Standing(home), orchestrator, 0, ManualClock(), reasoner=Thinker(3.0))
    assert home.stood == [3.0] and end.success
    assert orchestrator.told[0] is CallStatus.OK


# The log


@pytest.fixture
def run(tmp_path):
    header = RunEvent(policy="never", profile=PROFILE, seed=0, speed=1.0, date="2026", source="in_process")
    with EventWriter(tmp_path, header) as log:
        played(3.0, GO, GO, PICK, log=log)
    return read_run(tmp_path)


def test_the_log_holds_what_overlaps_and_is_read_back(run, tmp_path):
    kinds = [type(event) for event in read_events(tmp_path).events]
    assert kinds[1:5] == [ActEvent, ActEvent, ThinkEvent, ActEvent]
    (episode,) = run.episodes
    assert '"beside": true' in to_line(episode.thinks[0])
    assert "tokens_saved" not in to_line(episode.thinks[0])


def test_the_page_lists_it_where_it_was_decided(run):
    (episode,) = run.episodes
    text = _decisions(run, episode, 0, True)
    assert text.index("THINK(planner, 1) beside acting") < text.index("ACT GotoLocation")


def test_why_takes_decisions_in_the_order_in_which_they_were_made(run):
    found = explain(run, Config().orchestrator.cost_weight)
    assert [one.decision for one in found] == [1, 2, 3, 4]
    assert [label(one.choice) for one in found] == ["THINK(planner, 1) beside", "ACT", "ACT", "ACT"]
    assert not found[1].allowed[1:].any() and not found[2].allowed[1:].any()  # a question was open
    assert found[3].allowed[1:].any()
