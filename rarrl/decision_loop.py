"""The exchange between robot and orchestrator, for one process and for the ROS graph alike.

    EpisodeRunner.report -> DecisionSession.answer -> Decision -> EpisodeRunner.execute, complete -> report ...

The robot reports its state and the outcome of the last decision; the orchestrator answers with the next decision. The
nodes carry these values over topics; `replay` hands them over directly. A THINK beside acting goes another way:

    EpisodeRunner.ask -> report (thinking) -> ACT, execute, complete -> ... -> answered -> report (thought)
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, cast, runtime_checkable

from rarrl.clock import Clock, ManualClock
from rarrl.events import ActEvent, EndEvent, EpisodeEvent, Event, KnownPlan, ShockEvent, ThinkEvent, facts_of
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.plan import Plan
from rarrl.skills.domain import Domain
from rarrl.thinking import (
    CallBeside,
    Do,
    Happened,
    Kind,
    Present,
    Question,
    Stage,
    Tally,
    Thinking,
    settled,
    unanswered,
)
from rarrl.types import Action, ActStatus, Budget, CallStatus, Decision, LlmCall, PlanStatus, Role, StateSummary

logger = logging.getLogger(__name__)
Log = Callable[[Event], None]


class Attempt(Protocol):
    """What came of an execution attempt; `seconds` of robot time."""

    @property
    def status(self) -> ActStatus: ...
    @property
    def seconds(self) -> float: ...
    @property
    def subgoal_done(self) -> bool: ...


class EpisodeInfo(Protocol):
    """What is known of an episode at its start."""

    @property
    def category(self) -> str: ...
    @property
    def task_type(self) -> str: ...
    @property
    def goal(self) -> str: ...
    @property
    def time_budget_s(self) -> float: ...
    @property
    def token_budget(self) -> float: ...


@dataclass(frozen=True)
class TaskView:
    """What a reasoner can be asked about: the goal sentence, the plan in force, and what is known of it.

    scene: classes that the robot has met in this home, () where it knows nothing of it. beliefs: what it believes of
    the names in play, in sentences. failed: the row of the plan that failed last, None where none did; outcome, why: of
    it (`rarrl.skills.outcome.Outcome`, and the robot's own words)."""

    goal: str
    plan: Plan
    status: PlanStatus
    scene: tuple[str, ...] = ()
    beliefs: tuple[str, ...] = ()
    failed: int | None = None
    outcome: str = ""
    why: str = ""


class Executive(Protocol):
    """Plays episodes: carries out attempts, and lets calls of a language model take effect.

    A call is either replayed by the executive itself (`think`), or answered by a reasoner and handed to it (`take`).
    One without a task that a reasoner could be asked about has `task` None and refuses `take`; one that cannot replay
    calls refuses `think`. In `rarrl_sim_envs`: `AlfredExecutive` (latencies alone), `RecordedExecutive` (both),
    `HouseholdExecutive` (reasoners alone)."""

    done: bool
    success: bool
    deadline_misses: int

    def begin(self, number: int) -> EpisodeInfo:
        """Starts episode `number`."""
        ...

    def act(self) -> Attempt:
        """One execution attempt."""
        ...

    def think(self, action: Action, deadline_s: float) -> LlmCall:
        """One replayed call. Raises: RuntimeError where it cannot replay calls."""
        ...

    def take(self, action: Action, answer: Answer) -> LlmCall:
        """One call that a reasoner has answered. Raises: RuntimeError where there is no task."""
        ...

    @property
    def summary(self) -> StateSummary:
        """Where the task stands."""
        ...

    @property
    def task(self) -> TaskView | None:
        """What a reasoner can be asked about; None where plans are not known to be right or wrong."""
        ...

    @property
    def budget_left(self) -> tuple[float, float]:
        """Seconds and tokens of thinking that are still granted."""
        ...


@runtime_checkable
class GoesOn(Protocol):
    """What an `Executive` has besides that can go on while a question is open (`rarrl.thinking`)."""

    @property
    def next_kind(self) -> Kind | None:
        """What the attempt does to the world that `act` would make now; None where there is none to make."""
        ...

    def question(self, decision: Decision) -> Question:
        """What `decision`, a THINK, asks, and what that rests on."""
        ...

    def present(self) -> Present:
        """What is the case now, and has come about since the last `question`."""
        ...

    def take_beside(self, action: Action, answer: Answer, stood_s: float) -> LlmCall:
        """`take` for an answer that was asked for beside acting: its seconds and tokens are spent; of the robot's time
        no more pass than `stood_s`, the seconds in which it has stood for the answer. One that is not OK, such as one
        that was WITHDRAWN, has no effect and is spent too, also where the episode is over."""
        ...


class Phase(str, Enum):
    """What the robot is doing: it waits for a decision, carries one out, or has played everything."""

    WAITING = "waiting"
    EXECUTING = "executing"
    FINISHED = "finished"


@dataclass(frozen=True)
class DecisionOutcome:
    """What came of the decision with the id `decision`: an attempt's status, or a call's."""

    decision: int
    action: Action
    status: ActStatus | CallStatus
    seconds: float
    tokens: float
    subgoal_done: bool


@dataclass(frozen=True)
class Report:
    """The robot's state as it is sent to the orchestrator.

    run: names the run; number: counts its states. budget: what the robot's side still grants (a shock shows here).
    outcome: of the last decision, None at an episode's start. task: see `Executive.task`. thought: what came of the
    last THINK that was asked beside acting; it stays until the next one is asked."""

    run: str
    number: int
    phase: Phase
    episode: int
    summary: StateSummary
    budget: Budget
    outcome: DecisionOutcome | None
    task: TaskView | None = None
    thought: DecisionOutcome | None = None


@dataclass(frozen=True)
class _Asked:
    """A THINK beside acting, where the robot stood when it was asked, and when that was."""

    decision: Decision
    before: StateSummary
    plan: KnownPlan | None
    t0: float


class EpisodeRunner:
    """The robot's side: carries decisions out with an executive, keeps time, writes the events.

    Args:
        executive: what acts and thinks.
        clock: simulated time; the caller of `execute` lets the seconds pass on it before `complete`.
        log: takes the events; None: they are not kept.
        run: names the run in the reports.
        origin_s: the clock's time at the run's start.
        beside: whether the caller can `ask`; False: the robot stands for each THINK, as for a call that is replayed.
    """

    def __init__(
        self,
        executive: Executive,
        clock: Clock,
        log: Log | None = None,
        run: str = "",
        origin_s: float = 0.0,
        beside: bool = True,
    ) -> None:
        self._executive = executive
        self._clock = clock
        self._log = log
        self._run = run
        self._origin_s = origin_s
        self._number = 0
        self._open: tuple[Decision, StateSummary, DecisionOutcome, float] | None = None
        goes_on = beside and callable(getattr(executive, "take_beside", None))
        self._beside = cast(GoesOn, executive) if goes_on else None
        self._thinking = Thinking()
        self._asked: _Asked | None = None
        self._idle_s = 0.0  # since when no attempt has been made
        self.report: Report | None = None
        self.end: EndEvent | None = None  # of the last episode that is over
        self.tally = Tally()

    @property
    def done(self) -> bool:
        """Whether the episode is over, and the call that was withdrawn at its end is paid for."""
        return self._executive.done and self._asked is None

    @property
    def can_think_beside(self) -> bool:
        """Whether the robot can go on while a question is open; else it stands, whatever a decision says."""
        return self._beside is not None

    @property
    def asks(self) -> Decision | None:
        """The THINK beside acting whose call is not over: `answered` it."""
        return None if self._asked is None else self._asked.decision

    @property
    def stands(self) -> bool:
        """Whether the robot stands until the answer comes."""
        return self._thinking.stage is Stage.WAITING

    @property
    def withdraws(self) -> bool:
        """Whether the call is to be stopped; what was spent until then is `answered`."""
        return self._thinking.stage is Stage.WITHDRAWN

    def begin(self, episode: int) -> Report:
        """Starts episode number `episode`."""
        info = self._executive.begin(episode)
        self._open = self._asked = None
        self._thinking = Thinking()
        self._thought: DecisionOutcome | None = None
        self._idle_s = self._now()
        self._episode = episode
        self._budget = Budget.full(info.time_budget_s, info.token_budget)
        self._calls = 0
        self._acts = 0
        self._lost = False
        self._llm_seconds = 0.0
        self._tokens = 0.0

        summary = self._summary()
        self._emit(
            EpisodeEvent(
                episode=episode,
                category=info.category,
                task_type=info.task_type,
                goal=info.goal,
                subgoals=tuple(s.name for s in summary.subgoals),
                facts=facts_of(summary.subgoals),
                time_budget_s=info.time_budget_s,
                token_budget=info.token_budget,
                horizon=summary.horizon,
                t=self._now(),
            )
        )
        return self._make_report(None)

    def execute(self, decision: Decision, answer: Answer | None = None) -> float:
        """Starts to carry `decision` out; the simulated seconds that it takes. `complete` returns the outcome.

        answer: of the reasoner that was asked for this THINK; None: the executive replays the call."""
        if decision.action is not Action.ACT:
            self._close_withdrawn()
        assert self._open is None and self.report is not None
        before = self._summary()
        if decision.action is Action.ACT:
            if self._thinking.open is not None:
                assert self._beside is not None
                kind = self._beside.next_kind
                if kind is None:
                    raise ValueError("EpisodeRunner.execute: there is nothing to attempt beside the question")
                self._thinking = self._thinking.start(kind)
            attempt = self._executive.act()
            outcome = DecisionOutcome(
                decision.id, Action.ACT, attempt.status, attempt.seconds, 0.0, attempt.subgoal_done
            )
        else:
            if answer is None:
                call = self._executive.think(decision.action, decision.deadline_s)
            else:
                call = self._executive.take(decision.action, answer)
            outcome = DecisionOutcome(decision.id, decision.action, call.status, call.seconds, call.tokens, False)

        self._answer = "" if answer is None else answer.summary
        task = self.report.task
        self._plan = None if task is None else KnownPlan.of(before, task.status)
        self._open = (decision, before, outcome, self._now())
        self.report = replace(self.report, phase=Phase.EXECUTING)
        return outcome.seconds

    def complete(self) -> Report:
        """The report after the seconds of `execute` have passed."""
        assert self._open is not None
        decision, before, outcome, t0 = self._open
        self._open = None

        if isinstance(outcome.status, ActStatus):
            self._acts += 1
            self._lost = outcome.status is ActStatus.LOST
            self._emit(
                ActEvent(
                    episode=self._episode,
                    decision=decision.id,
                    t0=t0,
                    t1=self._now(),
                    subgoal=before.subgoals[before.subgoal_index].name,
                    subgoal_index=before.subgoal_index,
                    status=outcome.status.value,
                    subgoal_done=outcome.subgoal_done,
                    why=decision.why,
                    plan=self._plan,
                    retries_left=before.retries_left or None,
                    contradicted=before.contradicted or None,
                    can_go_on=before.can_go_on or None,
                )
            )
        else:
            self._pay(outcome, decision, before, self._plan, (t0, self._now()))

        self._idle_s = self._now()
        self._notice_shock()
        if self.done:
            self._finish_episode()
        return self._make_report(outcome)

    def ask(self, decision: Decision) -> Report:
        """Opens the question of `decision`, a THINK beside acting: the report after it, in which only ACT is due, or
        nothing. Only where `can_think_beside`. A call that was withdrawn, and has not said what was spent, is paid
        for with the seconds until now."""
        self._close_withdrawn()
        assert self._open is None and self.report is not None and self._beside is not None
        before, task = self._summary(), self.report.task
        plan = None if task is None else KnownPlan.of(before, task.status)
        self._thinking = self._thinking.ask(self._beside.question(decision))
        self._asked = _Asked(decision, before, plan, self._now())
        self._thought = None
        self.tally = self.tally.plus(asked=1, beside=1)
        return self._make_report(None)

    def _close_withdrawn(self) -> None:
        """Pays for a call that was withdrawn and has not said what was spent: the next question comes."""
        if self._asked is not None:
            self.answered(unanswered(self._asked.decision, self._now() - self._asked.t0))

    def look(self) -> Report:
        """Of a world that goes on by itself, between two attempts: the report, a new one where the open question has
        been settled meanwhile, or where something may go on beside it, or nothing any more."""
        assert self._open is None and self.report is not None
        stage = self._thinking.stage
        self._look_whether_settled()
        return self.report if self._thinking.stage is stage else self._tell_again()

    def _tell_again(self) -> Report:
        """A report that is no attempt's; what the last one said of one is said again, in case nobody has heard it."""
        assert self.report is not None
        return self._make_report(self.report.outcome)

    def answered(self, answer: Answer) -> Report:
        """The answer to what it `asks` has come, between two attempts, or what was spent on it until it was withdrawn;
        the report after it. Any other answer is dropped."""
        assert self._open is None and self.report is not None
        self._look_whether_settled()
        withdrawn = self.withdraws
        self._thinking, do = self._thinking.after(self._thinking.heard(answer.decision, answer.status))
        if do is Do.DROP:
            self.tally = self.tally.of_dropped(answer)
        asked = self._asked
        if asked is None or answer.decision != asked.decision.id:
            return self.report

        if do is not Do.APPLY and withdrawn:
            answer = replace(answer, status=CallStatus.WITHDRAWN, plan=None, verdict=None)
        assert self._beside is not None
        stood_s = max(self._now() - self._idle_s, 0.0)
        call = self._beside.take_beside(asked.decision.action, answer, stood_s)
        self.tally = self.tally.plus(applied=do is Do.APPLY and call.status is CallStatus.OK)
        self._asked = None
        self._idle_s = self._now()
        self._thought = DecisionOutcome(
            asked.decision.id, call.action, call.status, call.seconds, call.tokens, subgoal_done=False
        )
        self._answer = answer.summary
        t1 = max(min(asked.t0 + call.seconds, self._now()), asked.t0)
        self._pay(self._thought, asked.decision, asked.before, asked.plan, (asked.t0, t1), True, answer.tokens_saved)
        self._notice_shock()
        if self.done:
            self._finish_episode()
        return self._tell_again()

    def _look_whether_settled(self) -> None:
        """Withdraws the question that the world has settled, or notices whether anything may go on beside it."""
        if self._thinking.open is None or self._beside is None:
            return
        if settled(self._thinking.open, self._beside.present()):
            self._thinking, _ = self._thinking.after(Happened.SETTLED)
            return
        kind = self._beside.next_kind
        goes_on = kind is not None and self._thinking.allows(kind)
        if goes_on is self.stands:
            self._thinking, _ = self._thinking.after(Happened.GOES_ON if goes_on else Happened.NOTHING_LEFT)

    def finish(self) -> Report:
        """The last report of the run."""
        assert self.report is not None
        self._number += 1
        self.report = replace(self.report, phase=Phase.FINISHED, number=self._number)
        return self.report

    def _pay(
        self,
        outcome: DecisionOutcome,
        decision: Decision,
        before: StateSummary,
        plan: KnownPlan | None,
        span: tuple[float, float],
        beside: bool = False,
        tokens_saved: int = 0,
    ) -> None:
        """Counts a call that is over, and writes its event. span: its begin and end. beside: the robot went on."""
        self._calls += outcome.status is not CallStatus.BUDGET or outcome.seconds > 0.0  # else it was never made
        self._llm_seconds += outcome.seconds
        self._tokens += outcome.tokens
        self._budget = self._budget.spend(outcome.seconds, outcome.tokens)
        assert outcome.action.role is not None
        self._emit(
            ThinkEvent(
                episode=self._episode,
                decision=decision.id,
                t0=span[0],
                t1=span[1],
                role=outcome.action.role.value,
                level=1 if outcome.action.level == 1 else 2,
                status=outcome.status.value,
                tokens=outcome.tokens,
                time_left_s=self._budget.time_s,
                tokens_left=self._budget.tokens,
                why=decision.why,
                answer=self._answer,
                plan=plan,
                retries_left=before.retries_left or None,
                contradicted=before.contradicted or None,
                can_go_on=before.can_go_on or None,
                beside=beside or None,
                tokens_saved=tokens_saved or None,
            )
        )

    def _notice_shock(self) -> None:
        time_s, tokens = (max(left, 0.0) for left in self._executive.budget_left)
        same = math.isclose(time_s, self._budget.time_s, abs_tol=1e-6) and math.isclose(
            tokens, self._budget.tokens, abs_tol=1e-6
        )
        self._budget = replace(self._budget, time_s=time_s, tokens=tokens)
        if not same:
            self._emit(ShockEvent(episode=self._episode, t=self._now(), time_left_s=time_s, tokens_left=tokens))

    def _finish_episode(self) -> None:
        self.end = EndEvent(
            episode=self._episode,
            t=self._now(),
            success=self._executive.success,
            lost=self._lost,
            llm_seconds=self._llm_seconds,
            tokens=self._tokens,
            calls=self._calls,
            acts=self._acts,
            deadline_misses=self._executive.deadline_misses,
        )
        self._emit(self.end)

    def _make_report(self, outcome: DecisionOutcome | None) -> Report:
        self._number += 1
        summary = self._summary()
        phase = Phase.WAITING
        if self._thinking.open is not None:
            self._look_whether_settled()
        if self._thinking.open is not None:
            summary = replace(summary, thinking=True, can_go_on=not self.stands)
            phase = Phase.EXECUTING if self.stands else Phase.WAITING
        self.report = Report(
            run=self._run,
            number=self._number,
            phase=phase,
            episode=self._episode,
            summary=summary,
            budget=self._budget,
            outcome=outcome,
            task=self._executive.task,
            thought=self._thought,
        )
        return self.report

    def _summary(self) -> StateSummary:
        summary = self._executive.summary
        return summary if self.can_think_beside else replace(summary, can_go_on=False)

    def _now(self) -> float:
        return self._clock.now() - self._origin_s

    def _emit(self, event: Event) -> None:
        if self._log is not None:
            self._log(event)


class DecisionSession:
    """The orchestrator's side: answers reports with decisions, and each report once.

    Reports may come twice, late or from another run: the same number gets the same decision again, an older one
    none, and the outcome of a decision that is not the pending one is dropped and counted in `late_outcomes`.

    Args:
        orchestrator: what decides.
        cap: (seconds, tokens) that one task may use at most, whatever the robot's side grants; None: no cap.
        home: classes that there are, for robots whose `TaskView.scene` is empty.
        domain: the robot that plans are for; None: ALFRED's.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        cap: tuple[float, float] | None = None,
        home: tuple[str, ...] = (),
        domain: Domain | None = None,
    ) -> None:
        self.orchestrator = orchestrator
        self.report: Report | None = None
        self.decision: Decision | None = None  # the answer to `report`; None while there is none
        self.idle = False
        self._first_token = -1, math.nan  # of the last answer: its decision, and seconds
        self.late_outcomes = 0
        self._cap = cap or (math.inf, math.inf)
        self._home = home
        self._domain = domain
        self.paused = False  # no decision is made; one that was made is carried out
        self.nobody_to_ask = False  # no reasoner would answer: every decision is ACT
        self._asked: Action | None = None  # the next decision, as `think_now` wished it
        self._beside: Decision | None = None  # a THINK whose answer the robot does not stand for

    def answer(self, report: Report) -> Decision | None:
        """The decision for `report`; None where it needs none, is old news, or the session is idle."""
        last = self.report

        if last is None or (report.run, report.episode) != (last.run, last.episode):
            self._begin(report)
        elif report.number < last.number:
            return None
        elif report.number > last.number:
            self._fold(report, last)

        self.report = report
        self.orchestrator.cut_budget(report.budget.time_s, report.budget.tokens)
        if report.phase is not Phase.WAITING or self.idle or self._over(report.summary):
            return None
        if self.decision is None and self.paused:
            return None
        if self.decision is None:
            asked = Action.ACT if report.summary.thinking or self.nobody_to_ask else self._asked
            self.decision = self.orchestrator.decide(report.summary, asked, report.task.status if report.task else None)
            if not report.summary.thinking:
                self._asked = None
        return self.decision

    def request(self, decision: Decision) -> Request | None:
        """What a reasoner is to be asked for `decision`, the answer to the present report; None where there is nothing
        to ask: it is ACT, or the robot has no task."""
        role = decision.action.role
        task = self.report.task if self.report is not None else None
        if role is None or task is None:
            return None
        return Request(
            decision=decision.id,
            role=role,
            level=decision.action.level,
            goal=task.goal,
            deadline_s=max(decision.deadline_s, 1e-3),
            scene=task.scene or self._home,
            plan=task.plan if role is Role.VERIFIER or task.failed is not None else None,
            failed=task.failed,
            seed=decision.id,
            domain=self._domain,
            beliefs=task.beliefs,
            outcome=task.outcome,
            why=task.why,
        )

    def think_now(self) -> str:
        """Makes the next decision THINK(planner, 1); "" if it may, else why not."""
        if self.report is None or self.report.phase is Phase.FINISHED:
            return "no episode is under way"
        if self.idle:
            return "cancelled: reset first, or wait for the next episode"
        if self.nobody_to_ask:
            return "the reasoner is down"
        if not self.orchestrator.allows(Action.PLANNER_1, self.report.summary):
            left = self.orchestrator.budget
            return (
                f"the budget does not allow a call, or enough were made for this attempt (left: {left.time_s:.1f} s, "
                f"{left.tokens:.0f} tokens)"
            )
        self._asked = Action.PLANNER_1
        return ""

    def cancel(self) -> None:
        """Drops the pending decision and makes none until `reset` or the next episode."""
        self.decision, self._asked, self.idle = None, None, True

    def reset(self) -> None:
        """A fresh history and budget for the task under way (what was spent already stays spent on the robot's
        side, whose next report says so). The outcome of a decision made before comes too late."""
        self.decision, self._asked, self.idle = None, None, False
        if self.report is not None:
            self._start(self.report.budget)

    def _begin(self, report: Report) -> None:
        # Mid-episode after a restart: the outcome is of a decision that this orchestrator did not make.
        self.late_outcomes += report.outcome is not None
        self.decision, self._asked, self.idle = None, None, False
        self._beside = None
        self._start(report.budget)

    def _start(self, granted: Budget) -> None:
        self.orchestrator.start(
            Budget.full(min(granted.initial_time_s, self._cap[0]), min(granted.initial_tokens, self._cap[1]))
        )

    def _fold(self, report: Report, last: Report) -> None:
        """Takes in what has come of decisions: an attempt and a call may end side by side, and a report may say again
        what the `last` one said."""
        pending, outcome, thought = self.decision, report.outcome, report.thought
        if pending is not None and pending.beside and (report.summary.thinking or thought != last.thought):
            self._beside, pending, self.decision = pending, None, None
        if report.phase is Phase.WAITING or outcome is not None:
            self.decision = None
        if outcome is not None:
            self._record(outcome, pending, again=outcome == last.outcome)
        if thought is not None:
            again = thought == last.thought
            self._record(thought, self._beside, again)
            self._beside = self._beside if again else None

    def heard(self, answer: Answer) -> None:
        """An answer has come to whoever asks: how long its first token took is known here alone."""
        self._first_token = answer.decision, answer.ttft_s

    def _record(self, outcome: DecisionOutcome, pending: Decision | None, again: bool) -> None:
        if pending is None or (outcome.decision, outcome.action) != (pending.id, pending.action):
            self.late_outcomes += not again
        elif isinstance(outcome.status, ActStatus):
            self.orchestrator.record_act(outcome.status, outcome.subgoal_done)
        else:
            decision, ttft_s = self._first_token
            call = LlmCall(outcome.action, outcome.status, outcome.seconds, outcome.tokens)
            self.orchestrator.record_call(replace(call, ttft_s=ttft_s) if decision == outcome.decision else call)

    @staticmethod
    def _over(summary: StateSummary) -> bool:
        return summary.subgoal_index >= len(summary.subgoals)


def play_episode(
    executive: Executive,
    orchestrator: Orchestrator,
    number: int,
    clock: Clock,
    log: Log | None = None,
    origin_s: float = 0.0,
    reasoner: Reasoner | None = None,
    home: tuple[str, ...] = (),
    session: DecisionSession | None = None,
) -> EndEvent:
    """Plays episode `number` to its end; its last event. `origin_s`: the clock's time at the run's start. `reasoner`:
    answers THINK where the executive has a task; None: the executive replays calls. `home`: see `DecisionSession`.
    `session`: of `orchestrator`, where somebody else looks into it, too; None: a new one."""
    robot = EpisodeRunner(executive, clock, log, origin_s=origin_s, beside=reasoner is not None)
    session = session or DecisionSession(orchestrator, home=home)
    report = robot.begin(number)
    call: CallBeside | None = None
    while not robot.done:
        if call is not None and (robot.withdraws or robot.stands or call.left_s(clock.now()) <= 0.0):
            if robot.stands:
                clock.sleep(call.left_s(clock.now()))
            report = robot.answered(call.at(clock.now()))
            call = None
            continue
        decision = session.answer(report)
        assert decision is not None  # a waiting robot in a task that is not over always gets one
        request = session.request(decision) if reasoner is not None else None
        answer = reasoner.ask(request) if reasoner is not None and request is not None else None
        if answer is not None:
            session.heard(answer)
        if decision.beside and answer is not None and robot.can_think_beside:
            report = robot.ask(decision)
            call = CallBeside(answer, clock.now(), decision.deadline_s)
        else:
            clock.sleep(robot.execute(decision, answer))
            report = robot.complete()
    assert robot.end is not None
    return robot.end


def replay(
    executive: Executive,
    orchestrator: Orchestrator,
    episodes: int | Iterable[int],
    log: Log | None = None,
    progress: Callable[[int], None] | None = None,
    clock: Clock | None = None,
    reasoner: Reasoner | None = None,
    home: tuple[str, ...] = (),
) -> list[EndEvent]:
    """Plays `episodes` (how many, or their numbers) one after another.

    `progress` is called with how many are over. `clock`: None means as fast as possible (simulated time only)."""
    clock = clock or ManualClock()
    origin_s = clock.now()
    ends: list[EndEvent] = []

    for number in range(episodes) if isinstance(episodes, int) else episodes:
        ends.append(play_episode(executive, orchestrator, number, clock, log, origin_s, reasoner, home))
        if progress is not None:
            progress(len(ends))
    return ends
