"""One robot's task executive.

    instruct -> plan in force -> decision -> ACT: one skill -> outcome -> beliefs -> re-planned -> decision ...
                                             THINK: an answer -> another plan in force
                                             THINK beside: ACT goes on with what the answer cannot spoil

It starts with the plan of the nearest example, and works out what prepares each row of the plan from needs, gives and
beliefs (`rarrl.skills.search`), anew after every outcome. ACT carries out one skill of it. THINK(planner) puts another
plan in force; what of it was done already stays done. Without an orchestrator every decision is ACT. While a THINK
beside acting is open, decisions are due as long as a step is left that may go on (`rarrl.thinking`), and only ACT is
taken.

Events come in with the clock's time in seconds and return what is to be done (`rarrl.executive.commands`), in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise
from typing import Any
from uuid import uuid4

from rarrl.decision_loop import DecisionOutcome, Phase, Report, TaskView
from rarrl.executive.certainty import SURE, Certainty
from rarrl.executive.commands import Adopt, Command, Commands, Save, Send, Stop, Withdraw
from rarrl.executive.question import OpenQuestion, kind_of_skill
from rarrl.orchestrator.skill_statistics import SkillStatistics, Tried, priors_of
from rarrl.reasoner.base import MAX_GOAL_CHARS, Answer
from rarrl.skills.beliefs import START_CONFIDENCE, Beliefs, Mark
from rarrl.skills.domain import Domain, names_in
from rarrl.skills.facts import Fact, locates
from rarrl.skills.nearest import NearestExample, Recalled
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.permission import Permission
from rarrl.skills.plan import Plan, Step
from rarrl.skills.search import Preparation, Search
from rarrl.thinking import ANY_QUESTION, ENDS_TASK, STOPPED_BY_ANSWER, Do, Kind, Stage, Tally, may_go_on, unanswered
from rarrl.types import Action, ActStatus, Budget, CallStatus, Decision, PlanStatus, Role, StateSummary, StepView

AWAY_S = 1.0
"""Seconds between two attempts at a server that is not available: it may be starting."""
TURNED_DOWN_S = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait after each time in a row that a server turns a goal down before it runs: it may be busy, and does not
say so. After the last one the goal counts as refused; a robot that turns it down for good costs 7.5 s per step."""
NO_PLAN = StepView("no_plan", failures=0.99, attempts=50.0)
"""What stands in place of a plan where nothing known is near to the sentence: acting on it fails."""
PASSED_CONFIDENCE = 0.9
"""How sure the robot is that doors on the way that it took are open: it may have taken another one."""
DETOUR = 1.25
"""Real way to the straight one between doors: furniture, and doors that are not met in the middle."""
UNWRITTEN = 100
"""More reports than a process makes between two entries in its journal. A restarted one skips their numbers: an
orchestrator takes a report for old news that has a lower one than the last it heard."""
SPARE = 0.03
"""Share of a full battery that the way back to the charger must leave."""


@dataclass(frozen=True)
class ExecutiveSettings:
    """time_budget_s, token_budget: of thinking, per task. horizon: skills that one task may try. call_timeout_s: no
    call counts longer. sure: below this probability "done" is looked at again, where a skill can look. stuck: how often
    there may be nothing to do before the task is given up. refusals: how often one step may be refused, or have no way,
    before this task does without it, whatever beliefs changed in between. busy_s: how long a server may keep a goal
    after its time, or be away, before the task does without it."""

    time_budget_s: float = 20.0
    token_budget: float = 20_000.0
    horizon: int = 80
    call_timeout_s: float = 60.0
    sure: float = SURE
    stuck: int = 3
    refusals: int = 6
    busy_s: float = 60.0
    confirm: bool = True


class TaskStatus(str, Enum):
    """How a task stands. NEEDS_PERSON: it stands still until a person resumes, ends or replaces it."""

    NONE = "none"
    RUNNING = "running"
    PAUSED = "paused"
    NEEDS_PERSON = "needs_person"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


STANDING = frozenset({TaskStatus.PAUSED, TaskStatus.NEEDS_PERSON})
"""A task that `resume` goes on with."""
UNDER_WAY = STANDING | {TaskStatus.RUNNING}
"""A task that has not ended."""


@dataclass
class _Running:
    """A goal that was sent and has not ended. row: of the plan in force when it was sent; -1: it prepares one.
    task: its id. sent: it is on its way, or was about to be; a process that was killed before has not sent it.
    accepted: its server has said that it has it. overdue: it was stopped because its time was over.
    given_up: it was to stop, and what becomes of it is unknown."""

    uuid: str
    step: Step
    row: int
    task: str
    decision: int
    sent_s: float
    deadline_s: float
    stopped_s: float | None = None
    given_up: bool = False
    sent: bool = False
    accepted: bool = False
    overdue: bool = False
    needless: bool = False


@dataclass
class _Task:
    """One task. done: rows of any plan that were carried out. attempts: per step since beliefs changed. barred: steps
    that are not tried before beliefs change. refusals: per step since it last succeeded; having
    failed more often than it is tried again counts twice. looked_again: things that were looked for once more.
    looked_at: places that the robot has looked at. asks: the step before which a person is asked. allowed: steps that
    one has said yes to."""

    id: str
    goal: str
    permission: Permission
    plan: Plan | None
    recalled: tuple[float, int, int]  # similarity, words, unknown words
    budget: Budget
    source: int = 0
    confidence: float = 0.0
    finished: list[bool] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    tried: list[Step] = field(default_factory=list)
    attempts: dict[Step, int] = field(default_factory=dict)
    barred: set[Step] = field(default_factory=set)
    refusals: dict[Step, int] = field(default_factory=dict)
    verdict: tuple[int, int, float] = (0, 0, 0.5)
    answered: dict[int, Plan] = field(default_factory=dict)
    failed: tuple[int, str, str] | None = None  # row, outcome, why
    failed_step: Step | None = None
    acts: int = 0
    stuck: int = 0
    calls: int = 0
    llm_s: float = 0.0
    tokens: float = 0.0
    looked_again: set[str] = field(default_factory=set)
    looked_at: set[str] = field(default_factory=set)
    asks: Step | None = None
    allowed: set[Step] = field(default_factory=set)


class TaskExecutive:
    """See the module.

    Args:
        domain: skills and world.
        settings: budgets and limits.
        statistics: how often skills succeed here; learns from every outcome.
        certainty: how sure "done" is.
        new_id: makes the ids of goals and tasks, 32 hex digits.
        beliefs: what is believed at the start; None: what world.yaml says.
        search: of `domain`, with what it has solved before; None: a new one.
        recall: the plan that a sentence means without a language model; None: that of the nearest example of the
            skills' file.

    Attributes:
        status: how the task stands. why: in words.
        beliefs: what the robot believes now.
        ignored: results that belong to no goal of ours.
    """

    def __init__(
        self,
        domain: Domain,
        settings: ExecutiveSettings | None = None,
        statistics: SkillStatistics | None = None,
        certainty: Certainty | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex,
        beliefs: Beliefs | None = None,
        search: Search | None = None,
        recall: Callable[[str], Recalled] | None = None,
    ) -> None:
        self.domain = domain
        self.settings = settings or ExecutiveSettings()
        self.statistics = statistics or SkillStatistics(priors_of(domain.skills))
        self.certainty = certainty or Certainty()
        self.beliefs = beliefs or Beliefs.at_start(domain.world)
        self.status = TaskStatus.NONE
        self.why = ""
        self.ignored = 0
        self.battery = math.inf
        self._drain: dict[str, float] = {}  # per skill, the most that one second of it has taken so far
        self.report: Report | None = None
        self._recall = recall or NearestExample(domain).recall
        self._search = search or Search(domain)
        self._new_id = new_id
        self._run = new_id()[:16]
        self._number = 0
        self._episode = -1
        self._task: _Task | None = None
        self._goals: dict[str, _Running] = {}
        self._question = OpenQuestion()
        self._thought: DecisionOutcome | None = None
        self._held: tuple[Decision, float, Step] | None = None  # an ACT that waits for a server, since when, its step
        self._away: dict[str, tuple[float, float]] = {}  # server -> not available since, and tried again after
        self._turned_down: dict[Step, int] = {}  # how often in a row its server has turned the goal of a step down
        self._pending: list[tuple[int, Step]] = []  # rows that are done but not for sure, to be looked at
        self._now = 0.0

    # Tasks

    def instruct(self, goal: str, now_s: float) -> Commands:
        """A person gives a task; one that is under way is ended. The first decision is due after it."""
        self._now = now_s
        commands = (*self._stop_all(), *self._withdraw())
        goal = goal_of(goal)
        recalled = self._recall(goal)
        budget = Budget.full(self.settings.time_budget_s, self.settings.token_budget)
        self.beliefs = self.beliefs.fresh(now_s)
        permission = Permission(goal, self.domain)
        known = (recalled.similarity, recalled.words, recalled.unknown)
        self._task = _Task(self._new_id(), goal, permission, None, known, budget)
        self._episode += 1
        self._held = self._thought = None
        self._pending = []
        self._away = {}
        self._turned_down = {}
        self.status, self.why = TaskStatus.RUNNING, ""
        if recalled.plan is not None and not self.domain.check(recalled.plan):
            self._put_in_force(recalled.plan, 0, recalled.similarity)
        self._make_report(None)
        return (*commands, Save())

    def pause(self, now_s: float) -> Commands:
        """Stops the skill that runs and makes no further decision until `resume`."""
        self._now = now_s
        if self.status is not TaskStatus.RUNNING:
            return ()
        self.status, self.why = TaskStatus.PAUSED, "paused"
        self._held = None
        return (*self._stop_all(), *self._review(), Save())

    def resume(self, now_s: float) -> Commands:
        """Goes on after `pause`, and after a person was asked: it means yes, to this step in this task."""
        self._now = now_s
        task = self._task
        if self.status not in STANDING or task is None:
            return ()
        if task.asks is not None:
            task.allowed.add(task.asks)
            task.asks = None
        self.status, self.why = TaskStatus.RUNNING, ""
        if not self._awaited:
            self._make_report(None)
        return (Save(),)

    def cancel(self, now_s: float, why: str = "cancelled") -> Commands:
        """Ends the task; the skill that runs is stopped."""
        self._now = now_s
        if self._task is None or self.status not in UNDER_WAY:
            return ()
        commands = self._stop_all()
        self._end(TaskStatus.CANCELLED, why)
        return (*commands, *self._review(), Save())

    # Decisions

    @property
    def waits(self) -> bool:
        """Whether a decision is due."""
        stands = self._question.stage in (Stage.STANDING, Stage.WAITING)
        return self.status is TaskStatus.RUNNING and not (stands or self._held or self._awaited)

    @property
    def thinks(self) -> Decision | None:
        """The THINK whose answer is awaited."""
        return self._question.open

    @property
    def withdrawn(self) -> Decision | None:
        """The THINK that nobody needs any more, and whose call has not been answered."""
        return self._question.decision if self._question.stage is Stage.WITHDRAWN else None

    @property
    def tally(self) -> Tally:
        """What has become of questions since this process began."""
        return self._question.tally

    def decide(self, decision: Decision, now_s: float) -> Commands:
        """Carries a decision out: ACT sends the next skill, THINK waits for `answer`, or goes on beside it; one that
        asks a person holds the task (`resume` goes on). Dropped where none is due, and where it is THINK while a
        question is open."""
        self._now = now_s
        if not self.waits:
            return ()
        assert self.report is not None
        if decision.asks_person:
            self.report = replace(self.report, phase=Phase.EXECUTING)
            self.status, self.why = TaskStatus.NEEDS_PERSON, f"asks a person: {decision.why}"
            return (*self._review(), Save())
        if decision.action is not Action.ACT:
            return self._ask(decision) if self.thinks is None else ()
        self.report = replace(self.report, phase=Phase.EXECUTING)
        return self._act(decision)

    def _ask(self, decision: Decision) -> Commands:
        task = self._task
        assert task is not None and self.report is not None
        late = self.withdrawn
        if late is not None:  # what it has spent has not been told
            self.answer(unanswered(late, max(self._now - self._question.asked_s, 0.0)), self._now)
        self._question.ask(decision, task.id, task.plan, self._failed, self._named(), self.beliefs)
        self._question.asked_s = self._now
        self._thought = None
        self.report = replace(self.report, phase=Phase.EXECUTING)
        if not decision.beside:
            return ()
        commands = self._review()
        self._make_report(None)
        return commands

    def answer(self, answer: Answer, now_s: float) -> Commands:
        """Takes the answer to the THINK that is awaited, or what one has spent that was withdrawn; any other is
        dropped."""
        self._now = now_s
        commands = self._reconsider()
        asked = self._question.decision
        before = self._question.stage
        do = self._question.hear(answer)
        if asked is None or (do is Do.DROP and self._question.stage is before):
            return commands

        self._question.decision = None
        task = self._task if self._task is not None and self._task.id == self._question.task else None
        if task is None:  # it was asked for an earlier task
            return commands
        took = max(answer.seconds, 0.0) if math.isfinite(answer.seconds) else math.inf
        seconds = min(took, task.budget.time_s, self.settings.call_timeout_s)
        tokens = min(max(float(answer.tokens), 0.0), task.budget.tokens)
        status = CallStatus.WITHDRAWN if before is Stage.WITHDRAWN else answer.status
        if status is CallStatus.OK and took > seconds + 1e-9:
            status = CallStatus.TIMEOUT
        if status is CallStatus.OK and answer.plan is not None and self._is_refused(answer.plan):
            status = CallStatus.REFUSED
        task.budget = task.budget.spend(seconds, tokens)
        task.calls, task.llm_s, task.tokens = task.calls + 1, task.llm_s + seconds, task.tokens + tokens
        if do is Do.APPLY and status is CallStatus.OK:
            self._heed(answer)
            commands += self._stop_needless()
            self._question.tally = self._question.tally.plus(applied=1)

        outcome = DecisionOutcome(asked.id, asked.action, status, seconds, tokens, False)
        if asked.beside:
            self._thought = outcome
            self._tell_again()
        elif before is Stage.STANDING:
            self._make_report(outcome)
        return (*commands, Save())

    def _is_refused(self, plan: Plan) -> bool:
        """Whether a plan may not be carried out, or does what nobody asked for where the plan in force does not."""
        task = self._task
        assert task is not None
        if self.domain.check(plan):
            return True
        if not self.settings.confirm or task.plan is None or task.failed is not None or all(task.finished):
            return False
        permission, state = task.permission, self.beliefs.state
        return bool(permission.questions(plan, state)) and not permission.questions(task.plan, state)

    def _tell_again(self) -> None:
        """A report beside what runs; it repeats what the last one said of an attempt, in case nobody has heard that."""
        report = self.report
        if self.status in STANDING:
            return
        self._make_report(report.outcome if report is not None and not self._awaited else None)

    def _review(self) -> Commands:
        """Withdraws the question that the world has settled, or notices whether anything may go on beside it."""
        task, question = self._task, self._question
        if task is None or question.open is None:
            return ()
        done = task.plan is not None and all(task.finished) and not self._pending
        if question.is_settled(self.status is TaskStatus.RUNNING, task.plan, done, self.beliefs):
            return self._withdraw()
        if question.open.beside and not self._awaited and self._held is None:
            question.look(self._can_go_on())
        return ()

    def _reconsider(self) -> Commands:
        """`_review` where nothing else is reported."""
        stage = self._question.stage
        commands = self._review()
        if self._question.stage is not stage and self.status is TaskStatus.RUNNING:
            self._tell_again()
        return commands

    def _withdraw(self) -> Commands:
        return (Withdraw(self._question.withdraw()),) if self._question.open is not None else ()

    def _can_go_on(self) -> bool:
        """Whether a step is on that may go on beside the open question, or would beside a planner that is asked now."""
        _, found = self._next()
        step = found.steps[0] if found.steps else None
        if step is None or self.domain.check_now(step, self.beliefs.state):
            return False
        return may_go_on(self._question.thinking.open or ANY_QUESTION, self._kind(step))

    def _kind(self, step: Step) -> Kind:
        question = self._question.thinking.open
        return kind_of_skill(self.domain.skill(step), again=step == (question.failed if question else self._failed))

    @property
    def _failed(self) -> Step | None:
        """The step that failed last, where none has succeeded since."""
        return self._task.failed_step if self._task is not None and self._task.failed is not None else None

    def _stop_needless(self) -> Commands:
        """Stops what runs and is not what the plan that an answer has put in force begins with."""
        commands: list[Command] = []
        for running in self._goals.values():
            if running.stopped_s is not None or self._kind(running.step) not in STOPPED_BY_ANSWER:
                continue
            _, found = self._next()
            if running.step not in found.steps[:1]:
                running.stopped_s, running.needless = self._now, True
                commands.append(Stop(running.uuid))
        return tuple(commands)

    def _heed(self, answer: Answer) -> None:
        task = self._task
        assert task is not None
        if answer.where:
            self.beliefs = self.beliefs.hinted(answer.where)
        if answer.role is Role.PLANNER and answer.plan is not None and answer.plan.steps:
            confidence = 0.0 if math.isnan(answer.confidence) else math.exp(min(answer.confidence, 0.0))
            task.answered[answer.level] = answer.plan
            self._put_in_force(answer.plan, answer.level, confidence)
        elif answer.role is Role.VERIFIER and answer.verdict is not None:
            ok = answer.verdict.ok
            sure = float(ok) if math.isnan(answer.verdict.p_ok) else answer.verdict.p_ok
            task.verdict = (1 if ok else -1, answer.level, sure)

    def _put_in_force(self, plan: Plan, source: int, confidence: float) -> None:
        """Rows of the plan that were carried out already, under any plan, are not done again."""
        task = self._task
        assert task is not None
        if plan != task.plan:
            task.verdict = (0, 0, 0.5)
            task.stuck = 0
            task.failed = None
        task.plan, task.source, task.confidence = plan, source, confidence
        left = list(task.done)
        task.finished = []
        for step in plan.steps:
            task.finished.append(step in left)
            if step in left:
                left.remove(step)
        for running in self._goals.values():
            if running.row >= 0 and not running.given_up:
                rows = (row for row, step in enumerate(plan.steps) if step == running.step and not task.finished[row])
                running.row = next(rows, -1)
        self._pending = []

    # Acting

    def _act(self, decision: Decision) -> Commands:
        task = self._task
        assert task is not None
        if self.thinks is not None and not self._can_go_on():  # any more
            self._held = None
            commands = self._review()
            self._make_report(None)
            return commands
        row, found = self._next()
        blocked = self._blocked(found.steps[0]) if found.steps else ""
        if blocked:
            return self._hold(decision, found.steps[0], blocked)
        self._held = None
        if not found.steps:
            return self._nothing_to_do(decision, row, found.fault)
        step = found.steps[0]
        barred = self.domain.check_now(step, self.beliefs.state)  # the plan was checked from what world.yaml says
        if barred:
            return self._nothing_to_do(decision, max(row, 0), f"{step}: {barred}")
        doubt = self._doubt(row, found, step)
        if doubt:
            task.asks = step
            self.status, self.why = TaskStatus.NEEDS_PERSON, f"asks a person before {step}: {doubt}"
            return (*self._review(), Save())

        question = self._question
        question.thinking = question.thinking.start(self._kind(step))
        task.acts += 1
        is_row = len(found.steps) == 1 and not found.looks_for and row >= 0
        skill = self.domain.skill(step)
        running = _Running(
            self._new_id(), step, row if is_row else -1, task.id, decision.id, self._now, self._now + skill.timeout_s
        )
        self._goals[running.uuid] = running
        return Save(), Send(running.uuid, step, skill.timeout_s)

    def _doubt(self, row: int, found: Preparation, step: Step) -> str:
        """Why a person is asked before a step is sent; "" where it has leave (`rarrl.skills.permission`)."""
        task, state = self._task, self.beliefs.state
        assert task is not None
        if step in task.allowed or not self.settings.confirm:
            return ""
        plan = task.plan or Plan(())
        is_row = len(found.steps) == 1 and not found.looks_for and row >= 0
        prepares = task.permission.preparing(plan)[row] if is_row else True
        doubt = task.permission.question(step, state, prepares)
        if doubt:
            return doubt
        ahead = [plan.steps[at] for at in range(len(plan.steps)) if not task.finished[at]]
        for thing, place, maybe in self._may_be(step):
            for other in maybe:
                for each in dict.fromkeys((step, *ahead)):
                    as_other = Step(each.skill, tuple(other if a == thing else a for a in each.arguments))
                    if as_other == each:
                        continue
                    bad = self.domain.check_step(as_other) or task.permission.question(as_other, state, prepares=True)
                    if bad:
                        return f"{thing} at {place} may be {other}, and {as_other}: {bad}"
        return ""

    def _may_be(self, step: Step) -> list[tuple[str, str, list[str]]]:
        """The things that a step handles where the robot stands, and what each of them may be instead."""
        here, doubts = self.beliefs.state.at, self.beliefs.doubts
        return [(thing, here, sorted(doubts[thing, here])) for thing in step.arguments if (thing, here) in doubts]

    def _next(self) -> tuple[int, Preparation]:
        """The row of the plan that is on, and what is to be done for it now."""
        task = self._task
        assert task is not None
        if task.plan is None:
            return -1, Preparation(fault="no plan is known for this sentence")

        given_up = (step for step, times in task.refusals.items() if times >= self.settings.refusals)
        barred = frozenset(task.barred).union(given_up)
        charge = self._charge(barred)
        if charge is not None:
            return -1, charge
        check = self._check(barred)
        if check is not None:
            return -1, check

        for row, step in enumerate(task.plan.steps):
            if task.finished[row]:
                continue
            if self._holds_already(step):
                task.finished[row] = True
                continue
            found = self._prepared(step, barred)
            if found.fault and found.looks_for and found.looks_for not in task.looked_again:
                task.looked_again.add(found.looks_for)  # it may have been missed, or have come since: once more
                self.beliefs = self.beliefs.reconsidered(found.looks_for)
                found = self._prepared(step, barred)
            if found.fault and found.looks_for and self._is_there(step):  # no other one is found than that one
                found = self._look_whether(step, barred, found.fault)
                if not found.steps and not found.fault:
                    task.finished[row] = True
                    continue
            if found.steps and not self._comes_back(found.steps[0]):
                charge = self._to_charger(barred)
                return (row, found) if charge is None else (-1, charge)
            return row, found
        return -1, Preparation()

    def _prepared(self, step: Step, barred: frozenset[Step]) -> Preparation:
        if step in barred:
            return Preparation(fault=f"{step} was refused")
        assert self._task is not None and self._task.plan is not None
        return self._search.prepare(step, self.beliefs, barred, self._search.ends_of(self._task.plan, self._task.done))

    def _charge(self, barred: frozenset[Step]) -> Preparation | None:
        """The way to the charger where the battery is low."""
        world = self.domain.world
        if not world.battery.field or self.battery >= world.battery.low:
            return None
        return self._to_charger(barred)

    def _to_charger(self, barred: frozenset[Step]) -> Preparation | None:
        world = self.domain.world
        chargers = [name for name, place in world.places.items() if place.charger]
        for name in chargers:
            if self.beliefs.state.at == name:
                return None
            steps = self._search.go_to(name, self.beliefs.state, barred)
            if steps:
                return Preparation(steps)
        return None

    def _check(self, barred: frozenset[Step]) -> Preparation | None:
        """A look at what is not surely done, where the robot stands."""
        if not self._pending or not self.beliefs.state.at:
            return None
        step = self._search.look_here(self.beliefs.state)
        if step is None or step in barred:
            self._pending = []
            return None
        return Preparation((step,))

    def _holds_already(self, step: Step) -> bool:
        """Whether what a step would bring about is the case without it. A thing put somewhere counts only where this
        task has put it: the goal may want another one there."""
        effects = self.domain.skill(step).effects
        if not effects or any(locates(effect.words) for effect in effects):
            return False
        arguments = self.domain.arguments(step)
        return all(self._search.holds(effect.filled(arguments), self.beliefs.state) for effect in effects)

    def _is_there(self, step: Step) -> bool:
        """Whether more of a thing is where a step puts it than this task has put there."""
        arguments = self.domain.arguments(step)
        ends = [effect.filled(arguments).words for effect in self.domain.skill(step).effects if not effect.negated]
        ends = [words for words in ends if locates(words)]
        put = self._task.done.count(step) if self._task is not None else 0
        return bool(ends) and all(self.beliefs.state.count(thing, place) > put for thing, _, place in ends)

    def _look_whether(self, step: Step, barred: frozenset[Step], fault: str) -> Preparation:
        """A look at where a step would put a thing; nothing where this task has looked there, or where no skill can.
        fault: what is wrong where the robot cannot get there now."""
        task = self._task
        assert task is not None
        place = next((name for name in reversed(step.arguments) if name in self.domain.world.places), "")
        if not place or place in task.looked_at or not self._search.can_look_at(place):
            return Preparation()
        steps = self._search.look_at(place, self.beliefs.state, barred)
        return Preparation(steps or (), looks_for=str(step), fault="" if steps else fault)

    def _blocked(self, step: Step) -> str:
        """Why nothing may be sent to the server of a step."""
        server = self.domain.skill(step).run.server
        for running in self._goals.values():
            if self.domain.skill(running.step).run.server.lstrip("/") == server.lstrip("/"):
                return f"{server} has not ended {running.step} yet"
        if server in self._away and self._now < self._away[server][1]:
            return f"{server} is not available"
        return ""

    def _hold(self, decision: Decision, step: Step, why: str) -> Commands:
        """Waits for a server; nothing new is sent to it before its last goal has ended."""
        self._held = (decision, self._now if self._held is None else self._held[1], step)
        if self._now - self._held[1] < self.settings.busy_s:
            return ()
        self._held = None
        self._end(TaskStatus.FAILED, f"{why}, and {self.settings.busy_s:.0f} s have passed; restart its server")
        self._make_report(DecisionOutcome(decision.id, Action.ACT, ActStatus.FAILURE, 0.0, 0.0, False))
        return (Save(),)

    def _nothing_to_do(self, decision: Decision, row: int, fault: str) -> Commands:
        task = self._task
        assert task is not None
        if not fault and row < 0:
            self._end(TaskStatus.SUCCEEDED, "all rows of the plan are done")
            self._make_report(DecisionOutcome(decision.id, Action.ACT, ActStatus.SUCCESS, 0.0, 0.0, False))
            return (Save(),)
        task.stuck += 1
        task.failed = (max(row, 0), Outcome.UNPLANNABLE.value, fault)
        task.failed_step = None
        task.barred.clear()
        task.attempts.clear()
        if task.stuck >= self.settings.stuck:
            self._end(TaskStatus.FAILED, fault)
        self._make_report(DecisionOutcome(decision.id, Action.ACT, ActStatus.FAILURE, 0.0, 0.0, False))
        return (Save(),)

    # Results

    def sending(self, uuid: str, now_s: float) -> Commands:
        """A goal is about to leave: its server was found. It is sent after what this returns is carried out."""
        self._now = now_s
        running = self._goals.get(uuid)
        if running is None or running.sent:
            return ()
        running.sent, running.sent_s = True, now_s
        return (Save(),)

    def accepted(self, uuid: str, now_s: float) -> Commands:
        """A server has taken a goal."""
        self._now = now_s
        running = self._goals.get(uuid)
        if running is None or running.accepted:
            return ()
        running.sent = running.accepted = True
        self._turned_down.pop(running.step, None)
        return (Save(),)

    def unknown(self, uuid: str, why: str, now_s: float) -> Commands:
        """It is not known any more whether a goal is at work. Nothing new goes to its server until `finished`."""
        self._now = now_s
        running = self._goals.get(uuid)
        if running is None or running.given_up:
            return ()
        running.stopped_s = now_s if running.stopped_s is None else running.stopped_s
        return self._give_up(running, why)

    def finished(self, uuid: str, result: SkillResult, now_s: float) -> Commands:
        """A goal has ended. What it changed is believed, also where its time was over before."""
        self._now = now_s
        running = self._goals.pop(uuid, None)
        if running is None:
            self.ignored += 1
            return ()
        result = _plain(result, max(now_s - running.sent_s, 0.0))
        if running.overdue and result.outcome is Outcome.CANCELLED:
            late = f"no result within {self.domain.skill(running.step).timeout_s:g} s; stopped"
            result = replace(result, outcome=Outcome.FAILED, why=late)
        elif running.stopped_s is not None and not running.overdue and result.outcome is Outcome.FAILED:
            result = replace(result, outcome=Outcome.CANCELLED)

        step, skill = running.step, self.domain.skill(running.step)
        expected_s = self._search.seconds(step, self.beliefs.state)
        sure = self.certainty.judge(skill, step, result, expected_s)
        if not running.given_up:  # else it was counted when its time was over
            self._count(step, result)
        wait_s = self._wait_s(running, result)
        if wait_s:
            result = replace(result, outcome=Outcome.UNAVAILABLE)
            self._away[skill.run.server] = (now_s, now_s + wait_s)
        elif result.outcome is not Outcome.UNAVAILABLE:
            self._away.pop(skill.run.server, None)
        self._believe(running, result, sure)
        self._read_battery(step, result)
        if self._held is not None:
            return (Save(), *self._review(), *self._act(self._held[0]))
        if running.given_up or self._task is None or self.status not in UNDER_WAY:
            return (Save(), *self._reconsider())
        if running.task == self._task.id:
            return (Save(), *self._conclude(running, result, waits=bool(wait_s)))
        if self.status is TaskStatus.RUNNING:  # the last task's; now this one can begin
            self._make_report(None)
        return (Save(),)

    def _wait_s(self, running: _Running, result: SkillResult) -> float:
        """Seconds until a goal is sent once more that its server has turned down without a reason; 0: it is not."""
        is_action = bool(self.domain.skill(running.step).run.action)
        if not (is_action and running.sent and not running.accepted and result.outcome is Outcome.REFUSED):
            return 0.0
        times = self._turned_down.get(running.step, 0)
        self._turned_down[running.step] = times + 1
        return TURNED_DOWN_S[times] if times < len(TURNED_DOWN_S) else 0.0

    def _count(self, step: Step, result: SkillResult) -> None:
        """Attempts that were made and have ended tell of the skill; others of the world, or of its server."""
        if result.outcome in (Outcome.SUCCESS, Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST):
            success, lost = result.outcome is Outcome.SUCCESS, result.outcome is Outcome.LOST
            self.statistics.record(_tried(step), success, lost, result.seconds)

    def _believe(self, running: _Running, result: SkillResult, sure: float) -> None:
        """Folds an outcome into what is believed and what is done."""
        step = running.step
        task = self._task if self._task is not None and self._task.id == running.task else None
        skill, arguments = self.domain.skill(step), self.domain.arguments(step)
        if result.outcome is Outcome.SUCCESS:
            before = self.beliefs
            for effect in skill.effects:
                filled = effect.filled(arguments)
                self.beliefs = self.beliefs.give(filled.words, self._now, sure, filled.negated)
            self._question.succeed(step, before, self.beliefs)
            self._passed(step, before)
            places = self._observe(skill.observes, result, arguments)
            if task is not None:
                task.looked_at.update(places)
                if self.beliefs.state != before.state:
                    task.barred.clear()
                    task.attempts.clear()
                    task.stuck = 0
                task.tried.append(step)
                task.refusals.pop(step, None)
                self._mark_done(running, sure)
        elif running.needless and self.beliefs.state.at:  # stopped on its way: where it is now is not known
            self.beliefs = self.beliefs.give(("at", self.beliefs.state.at), self._now, sure, negated=True)
        elif result.outcome in (Outcome.REFUSED, Outcome.UNPLANNABLE):
            if result.outcome is Outcome.REFUSED:
                unseen, doubted = False, self._contradict(step)
            else:
                unseen = any(confidence <= START_CONFIDENCE for confidence, _, _ in self._doors_to(step))
                doubted = self._contradict_way(step)
            if task is not None:
                if not unseen:  # a door that the robot has never seen open explains it: that ends with the doors
                    task.refusals[step] = task.refusals.get(step, 0) + 1
                if not doubted:
                    task.barred.add(step)

    def _mark_done(self, running: _Running, sure: float) -> None:
        task, row = self._task, running.row
        if task is None or task.id != running.task or task.plan is None or not 0 <= row < len(task.plan.steps):
            return
        if task.plan.steps[row] != running.step or task.finished[row]:
            return  # another plan is in force
        task.finished[row] = True
        task.done.append(running.step)
        if sure < self.settings.sure and self.domain.skill(running.step).effects:
            self._pending.append((row, running.step))

    def _conclude(self, running: _Running, result: SkillResult, waits: bool = False) -> Commands:
        """What the orchestrator is told, and what is tried again. waits: its server was too busy for an attempt."""
        task = self._task
        assert task is not None
        step, skill = running.step, self.domain.skill(running.step)
        outcome = result.outcome
        row = self._current_row()
        if waits or (outcome is Outcome.UNAVAILABLE and self._waits_for(skill.run.server)):
            task.acts -= 1  # it may be starting: no attempt was made
        elif outcome in (Outcome.FAILED, Outcome.TIMEOUT, Outcome.UNAVAILABLE):
            task.attempts[step] = task.attempts.get(step, 0) + 1
            if task.attempts[step] > skill.retry:
                task.barred.add(step)
                task.refusals[step] = task.refusals.get(step, 0) + 2  # three rounds of retries, by default
        if outcome is Outcome.SUCCESS:
            task.failed = None
        elif outcome is not Outcome.CANCELLED:
            task.failed = (row, outcome.value, f"{step}: {result.why}"[:300])
            task.failed_step = step

        status = ActStatus.SUCCESS if outcome is Outcome.SUCCESS else ActStatus.FAILURE
        if outcome is Outcome.LOST:
            status = ActStatus.LOST
            self._end(TaskStatus.FAILED, result.why or "it cannot be repaired")
        elif task.acts >= self.settings.horizon:
            self._end(TaskStatus.FAILED, f"given up after {task.acts} attempts")
        elif task.plan is not None and all(task.finished) and not self._pending and self._may_end:
            self._end(TaskStatus.SUCCEEDED, "all rows of the plan are done")
        done = outcome is Outcome.SUCCESS
        if self.status in STANDING:
            return ()
        commands = self._review()
        attempted = not (running.needless and outcome is Outcome.CANCELLED)  # else it says nothing of the skill
        told = DecisionOutcome(running.decision, Action.ACT, status, result.seconds, 0.0, done)
        self._make_report(told if attempted else None)
        return commands

    @property
    def _may_end(self) -> bool:
        """Whether the task may end because the plan is done: not while a plan is awaited that may have more in it."""
        return self.thinks is None or self.thinks.action.role in ENDS_TASK

    def _waits_for(self, server: str) -> bool:
        """Whether a server that is not available is tried again: at once the first time, then every AWAY_S."""
        first = server not in self._away
        since = self._now if first else self._away[server][0]
        self._away[server] = (since, self._now if first else self._now + AWAY_S)
        return self._now - since < self.settings.busy_s

    def _observe(self, observes: Any, result: SkillResult, arguments: Mapping[str, str]) -> Iterable[str]:
        """What a skill has seen, and where it has looked; a result without a list says nothing."""
        if observes is None:
            return ()
        entries = (result.fields or {}).get(observes.list)
        if not isinstance(entries, (list, tuple)):
            self._pending = []  # another look would say no more
            return ()
        here = next((value for value in arguments.values() if value in self.domain.world.places), self.beliefs.state.at)
        seen: dict[str, list[str]] = {here: []} if here else {}
        for entry in entries:
            thing = self._class_of(str(_field(entry, observes.thing)))
            place = self._place_of(str(_field(entry, observes.place))) if observes.place else here
            if thing and place:
                seen.setdefault(place, []).append(thing)
        before = self.beliefs
        for place, things in seen.items():
            self.beliefs = self.beliefs.observe(place, things, self._now, observes.confidence)
            if not self.domain.world.is_open(place, self.beliefs.state):  # it was seen what is inside
                self.beliefs = self.beliefs.give(("open", place), self._now, observes.confidence)
        self._settle(here, before)
        return seen

    def _settle(self, here: str, before: Beliefs) -> None:
        """What was not surely done, now that the robot has looked."""
        task = self._task
        for row, step in self._pending:
            arguments, skill = self.domain.arguments(step), self.domain.skill(step)
            really = True
            for effect in skill.effects:
                words = effect.filled(arguments).words
                if locates(words) and words[2] == here and not effect.negated:
                    really = self.beliefs.state.count(words[0], here) >= before.state.count(words[0], here)
                elif words[0] == "holding" and self.beliefs.state.count(words[1], here) > before.state.count(
                    words[1], here
                ):
                    really = False
                    self.beliefs = self.beliefs.drop(words, self._now)
            self.certainty.confirm(step.skill, really)
            if not really and task is not None and row < len(task.finished):
                task.finished[row] = False
                if step in task.done:
                    task.done.remove(step)
                task.failed = (row, Outcome.FAILED.value, f"{step}: reported as done, but not found so")
                task.failed_step = step
        self._pending = []

    def _contradict(self, step: Step) -> bool:
        """Drops the belief that a refused step rested on: the least sure one, then the oldest. False where none is
        open to doubt."""
        arguments = self.domain.arguments(step)
        state = self.beliefs.state
        doubtful: list[tuple[float, float, Fact]] = []
        for condition in self.domain.skill(step).conditions:
            if condition.words[0] == "reachable":
                if self._contradict_way(step):
                    return True
                continue
            for fact in self._facts_behind(condition.filled(arguments).words, state.at):
                mark = self.beliefs.marks.get(fact)
                held = fact[0] == "holding" and fact[1] in state.held
                located = len(fact) == 3 and bool(state.count(fact[0], fact[2]))
                if mark is not None and (fact in state.flags or held or located):
                    doubtful.append((mark.confidence, mark.since_s, fact))
        for effect in self.domain.skill(step).effects:  # it may be the case already
            filled = effect.filled(arguments)
            if filled.words[0] == "open" and not self._search.holds(filled, state):
                self.beliefs = self.beliefs.give(filled.words, self._now, 0.5, filled.negated)
                return True
        if not doubtful:
            return False
        self.beliefs = self.beliefs.drop(min(doubtful)[2], self._now)
        return True

    def _facts_behind(self, words: Fact, here: str) -> tuple[Fact, ...]:
        """The facts that a filled need rests on where the robot stands."""
        if words[-1].startswith("{"):
            thing = words[-1][1:-7]
            if words[0] == "open":
                return (("open", here),)
            return ((thing, "at", here),)
        return (words,)

    def _contradict_way(self, step: Step) -> bool:
        """Something on the believed way is shut. Doors that the robot has not seen open are no longer taken to be;
        where it has seen all of them, the least sure one, then the oldest. False where there are none."""
        doors = self._doors_to(step)
        if not doors:
            return False
        unseen = [door for door in doors if door[0] <= START_CONFIDENCE]
        for _, _, fact in unseen or [min(doors)]:
            self.beliefs = self.beliefs.drop(fact, self._now)
        return True

    def _doors_to(self, step: Step) -> list[tuple[float, float, Fact]]:
        """Confidence, since when, and fact of each door on the believed way."""
        marks = self.beliefs.marks
        doors: list[Fact] = [("open", name) for name in self._search.doors_to(step.arguments, self.beliefs.state)]
        return [(marks[door].confidence, marks[door].since_s, door) for door in doors if door in marks]

    def _passed(self, step: Step, before: Beliefs) -> None:
        """The doors on the way that a skill has gone were open."""
        if any(condition.words[0] == "reachable" for condition in self.domain.skill(step).conditions):
            passed: dict[Fact, Mark] = {
                ("open", name): Mark(PASSED_CONFIDENCE, self._now)
                for name in self._search.doors_to(step.arguments, before.state)
                if before.marks.get(("open", name), Mark(0.0, 0.0)).confidence < PASSED_CONFIDENCE
            }
            self.beliefs = replace(self.beliefs, marks={**self.beliefs.marks, **passed})

    def charged(self, level: float) -> None:
        """The battery's level, in the unit of `World.battery`."""
        self.battery = level

    def sighted(
        self,
        thing: str,
        place: str,
        confidence: float,
        now_s: float,
        others: Iterable[str] = (),
        beside: Iterable[str] | None = None,
    ) -> None:
        """A detector reports a thing at a place, by the names of world.yaml; others are left out.

        others: what it may be as well. beside: all that the same report holds of this place; None: not known."""
        self._now = now_s
        known = self._class_of(thing)
        if known and place in self.domain.world.places:
            missing = set() if beside is None else set(self.beliefs.state.things_at(place)) - {known}
            missing -= set(map(self._class_of, beside or ()))
            maybe = filter(None, map(self._class_of, others))
            self.beliefs = self.beliefs.sight(known, place, now_s, confidence, maybe, missing)

    def _class_of(self, name: str) -> str:
        """The class that a name of an instance means, such as soda0 or a soda of `soda`; "" where none."""
        things = {thing.lower(): thing for thing in self.domain.world.things}
        plain = name.strip().lower()
        bare = plain.rstrip("0123456789").rstrip("_-. ")
        for each in (plain, bare):
            if each in things:
                return things[each]
        return next(
            (thing for thing in things.values() if plain in (a.lower() for a in self.domain.aliases[thing])), ""
        )

    def _place_of(self, name: str) -> str:
        """The place that a name means, such as table of table_tabletop; "" where none."""
        places = self.domain.world.places
        if name in places:
            return name
        return max((place for place in places if name.startswith(f"{place}_")), key=len, default="")

    def _read_battery(self, step: Step, result: SkillResult) -> None:
        name = self.domain.world.battery.field
        value = (result.fields or {}).get(name)
        if isinstance(value, (int, float)) and math.isfinite(value):
            used = self.battery - float(value)
            if math.isfinite(used) and result.seconds > 0.0 and used >= 0.0:
                self._drain[step.skill] = max(used / result.seconds, self._drain.get(step.skill, 0.0))
            self.battery = float(value)
            return
        place = self.domain.world.places.get(self.beliefs.state.at)
        if result.outcome is Outcome.SUCCESS and place is not None and place.charger and math.isfinite(self.battery):
            self.battery = self.domain.world.battery.full  # nothing else tells of it

    def _comes_back(self, step: Step) -> bool:
        """Whether the battery is enough for a step and the way to the charger after it, as far as skills have shown
        what they take."""
        world, state = self.domain.world, self.beliefs.state
        if not world.battery.field or not self._drain or not math.isfinite(self.battery):
            return True
        end = step.arguments[0] if self.domain.skill(step).speed_mps and step.arguments else state.at
        need = self._drain.get(step.skill, 0.0) * self._seconds_of(step, state.at or state.room, end)
        home = []
        for name, place in world.places.items():
            if place.charger:
                movers = [Step(s, (name,)) for s in self._drain if self.domain.skills.skills[s].speed_mps]
                home += [self._drain[m.skill] * self._seconds_of(m, end, name) for m in movers]
                if end == name:
                    home.append(0.0)
        return not home or self.battery - need - min(home) >= SPARE * world.battery.full

    def _seconds_of(self, step: Step, start: str, end: str) -> float:
        """Seconds of one attempt that leads from a place to another, through the doors that are believed open."""
        skill, state = self.domain.skill(step), self.beliefs.state
        if not skill.speed_mps:
            return skill.expected_s
        room = self.domain.world.room_of(start) or state.room
        stops = [start, *self._search.doors_to((end,), replace(state, room=room)), end]
        metres = sum(self.domain.world.distance_m(a, b) for a, b in pairwise(stops))
        return skill.expected_s + DETOUR * metres / skill.speed_mps

    # Time

    def tick(self, now_s: float) -> Commands:
        """Deadlines. Call it a few times per second."""
        self._now = now_s
        commands: list[Command] = []
        for running in list(self._goals.values()):
            if running.stopped_s is None and now_s >= running.deadline_s:
                running.stopped_s, running.overdue = now_s, True
                commands.append(Stop(running.uuid))
            skill = self.domain.skill(running.step)
            if running.stopped_s is not None and now_s >= running.stopped_s + skill.cancel_s and not running.given_up:
                commands += self._give_up(running, "no result, also after it was cancelled")
        if self._held is not None:
            decision, since, step = self._held
            if not self._blocked(step) or now_s - since >= self.settings.busy_s:
                commands += self._act(decision)
        return (*commands, *self._reconsider())

    def _give_up(self, running: _Running, why: str) -> Commands:
        """The end of a goal is not awaited any more."""
        running.given_up = True
        why = _printable(why)
        task = self._task
        if task is not None and task.id == running.task and self.status is TaskStatus.RUNNING:
            result = SkillResult(Outcome.TIMEOUT, why, self._now - running.sent_s)
            self._count(running.step, result)
            return (Save(), *self._conclude(running, result))
        return (Save(),)

    @property
    def held(self) -> str:
        """Why an ACT waits for its server, "" where none does; `tick` sends it."""
        return "" if self._held is None else self._blocked(self._held[2]) or "ready"

    def _stop_all(self) -> Commands:
        commands = []
        for running in self._goals.values():
            if running.stopped_s is None:
                running.stopped_s = self._now
                commands.append(Stop(running.uuid))
        return tuple(commands)

    @property
    def _awaited(self) -> bool:
        """Whether a goal is under way whose end is awaited."""
        return any(not running.given_up for running in self._goals.values())

    # What others see

    @property
    def running(self) -> Step | None:
        """The skill that runs."""
        return next((goal.step for goal in self._goals.values() if not goal.given_up), None)

    @property
    def asks(self) -> Step | None:
        """The step before which a person is asked."""
        return self._task.asks if self._task is not None and self.status is TaskStatus.NEEDS_PERSON else None

    @property
    def plan(self) -> Plan | None:
        """The plan in force."""
        return self._task.plan if self._task is not None else None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The rows of the plan in force."""
        return self.plan.steps if self.plan is not None else ()

    @property
    def finished_rows(self) -> tuple[bool, ...]:
        """Which rows of the plan in force are done."""
        return tuple(self._task.finished) if self._task is not None and self.plan is not None else ()

    @property
    def spent(self) -> tuple[int, float, float, int]:
        """Calls, seconds and tokens of thinking, and attempts of skills, in this task."""
        task = self._task
        return (task.calls, task.llm_s, task.tokens, task.acts) if task is not None else (0, 0.0, 0.0, 0)

    def _current_row(self) -> int:
        task = self._task
        assert task is not None
        return next((row for row, done in enumerate(task.finished) if not done), max(len(task.finished) - 1, 0))

    def _end(self, status: TaskStatus, why: str) -> None:
        self.status, self.why = status, why
        self._held = None

    def _make_report(self, outcome: DecisionOutcome | None) -> None:
        task = self._task
        assert task is not None
        self._number += 1
        over = self.status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)
        beside = self.thinks is not None and self.thinks.beside
        summary = replace(self._summary(over), thinking=beside, can_go_on=not over and self._can_go_on())
        waits = self.waits or not (beside or self._thought is not None)
        self.report = Report(
            run=self._run,
            number=self._number,
            phase=Phase.WAITING if waits or over else Phase.EXECUTING,
            episode=self._episode,
            summary=summary,
            budget=task.budget,
            outcome=outcome,
            task=self._view(),
            thought=self._thought,
        )

    def _summary(self, over: bool) -> StateSummary:
        """Steps that were done, what prepares the row that is on, and the rows after it."""
        task = self._task
        assert task is not None
        if task.plan is None:
            return StateSummary((NO_PLAN,), int(over), task.acts, max(self.settings.horizon, task.acts + 1))
        done = [self.statistics.view(_tried(step)) for step in task.tried]
        ahead: list[Step] = []
        left = 0
        if not over:
            row, found = self._next()
            ahead = list(found.steps)
            rest = [step for number, step in enumerate(task.plan.steps) if number > row and not task.finished[number]]
            if found.looks_for and row >= 0:
                ahead.append(task.plan.steps[row])
            ahead += rest
            if ahead:
                left = self.domain.skill(ahead[0]).retry - task.attempts.get(ahead[0], 0)
        views = (*done, *(self.statistics.view(_tried(step)) for step in ahead))
        return StateSummary(
            views or (NO_PLAN,),
            len(done) if views else int(over),
            task.acts,
            max(self.settings.horizon, task.acts + 1),
            retries_left=max(left, 0),
            contradicted=self.beliefs.contradicted,
        )

    def _view(self) -> TaskView:
        task = self._task
        assert task is not None
        plan = task.plan or Plan(())
        row, outcome, why = task.failed or (None, "", "")
        return TaskView(
            goal=task.goal,
            plan=plan,
            status=self._plan_status(),
            scene=(),
            beliefs=self.beliefs.about(self._named()),
            failed=row,
            outcome=outcome,
            why=why,
        )

    def _named(self) -> set[str]:
        """The names in play, which a language model is told of."""
        task = self._task
        assert task is not None
        plan = task.plan or Plan(())
        return set(names_in(plan.steps)) | set(self.domain.lexicon.named(task.goal))

    def _plan_status(self) -> PlanStatus:
        task = self._task
        assert task is not None
        similarity, words, unknown = task.recalled
        verdict, level, p_ok = task.verdict
        return PlanStatus(
            source=task.source,
            confidence=task.confidence,
            similarity=similarity,
            verdict=verdict,
            verdict_level=level,
            p_ok=p_ok,
            answered=(1 in task.answered, 2 in task.answered),
            agreeing=max(sum(plan == task.plan for plan in task.answered.values()) - (task.source > 0), 0),
            contradicted=task.plan is not None and any(step not in task.plan.steps for step in task.done),
            words=words,
            unknown=unknown,
        )

    # Journal

    def to_json(self) -> dict[str, Any]:
        """All that a restarted process needs to go on."""
        task = self._task
        return {
            "now_s": self._now,
            "run": self._run,
            "number": self._number,
            "episode": self._episode,
            "status": self.status.value,
            "why": self.why,
            "battery": self.battery if math.isfinite(self.battery) else None,
            "beliefs": self.beliefs.to_json(),
            "goals": [
                {
                    "uuid": goal.uuid,
                    "step": [goal.step.skill, *goal.step.arguments],
                    "row": goal.row,
                    "task": goal.task,
                    "decision": goal.decision,
                    "sent_s": goal.sent_s,
                    "deadline_s": goal.deadline_s,
                    "stopped_s": goal.stopped_s,
                    "given_up": goal.given_up,
                    "sent": goal.sent,
                    "accepted": goal.accepted,
                    "overdue": goal.overdue,
                }
                for goal in self._goals.values()
            ],
            "pending": [[row, step.skill, *step.arguments] for row, step in self._pending],
            "task": None
            if task is None
            else {
                "id": task.id,
                "goal": task.goal,
                "plan": None if task.plan is None else task.plan.to_rows(),
                "recalled": list(task.recalled),
                "budget": [
                    task.budget.time_s,
                    task.budget.tokens,
                    task.budget.initial_time_s,
                    task.budget.initial_tokens,
                ],
                "source": task.source,
                "confidence": task.confidence,
                "finished": task.finished,
                "done": Plan(tuple(task.done)).to_rows(),
                "tried": Plan(tuple(task.tried)).to_rows(),
                "attempts": _counted_rows(task.attempts),
                "barred": Plan(tuple(sorted(task.barred, key=str))).to_rows(),
                "refusals": _counted_rows(task.refusals),
                "verdict": list(task.verdict),
                "answered": {str(level): plan.to_rows() for level, plan in task.answered.items()},
                "failed": None if task.failed is None else list(task.failed),
                "looked_again": sorted(task.looked_again),
                "looked_at": sorted(task.looked_at),
                "allowed": Plan(tuple(sorted(task.allowed, key=str))).to_rows(),
                "asks": None if task.asks is None else [task.asks.skill, *task.asks.arguments],
                "acts": task.acts,
                "stuck": task.stuck,
                "spent": [task.calls, task.llm_s, task.tokens],
            },
        }

    def restore(self, value: Mapping[str, Any], now_s: float) -> Commands:
        """Goes on from a journal of the same domain; goals that were under way are taken up again.

        Raises: ValueError, KeyError or TypeError where it is none, or does not fit the domain."""
        shift = now_s - float(value["now_s"])
        self._now = now_s
        beliefs = Beliefs.from_json(self.domain.world, value["beliefs"])
        marks = {fact: replace(mark, since_s=mark.since_s + shift) for fact, mark in beliefs.marks.items()}
        status = TaskStatus(value["status"])
        task = None if value["task"] is None else self._task_from(value["task"])
        if task is None and status in UNDER_WAY:
            raise ValueError(f"the journal says {status.value}, and no task")
        written = [self._goal_from(each, shift) for each in value["goals"]]
        goals = [goal for goal in written if goal.sent]
        if task is not None:
            task.acts -= sum(goal.task == task.id for goal in written if not goal.sent)
        for goal in goals:  # what became of it while nobody listened has to be heard first
            skill = self.domain.skill(goal.step)
            goal.deadline_s = min(
                max(goal.deadline_s, now_s + skill.accept_s), now_s + max(skill.timeout_s, skill.accept_s)
            )
            goal.stopped_s = None if goal.stopped_s is None else now_s
        pending = [(int(row), self._step_from(step)) for row, *step in value["pending"]]

        self.beliefs = replace(beliefs, marks=marks)
        self.battery = math.inf if value["battery"] is None else float(value["battery"])
        self._run, self._episode = str(value["run"]), int(value["episode"])
        self._number = int(value["number"]) + UNWRITTEN
        self.status, self.why, self._task = status, str(value["why"]), task
        self._goals = {goal.uuid: goal for goal in goals}
        self._question.restart()
        self._held = self._thought = None
        self._pending = pending
        if task is not None and status not in STANDING:
            self._make_report(None)
        commands: list[Command] = []
        for goal in goals:
            sent_ago_s = max(now_s - goal.sent_s, 0.0)
            commands.append(Adopt(goal.uuid, goal.step, goal.deadline_s - now_s, goal.accepted, sent_ago_s))
            if goal.stopped_s is not None:
                commands.append(Stop(goal.uuid))
        return tuple(commands)

    def _task_from(self, value: Mapping[str, Any]) -> _Task:
        plan = None if value["plan"] is None else Plan.from_rows(value["plan"])
        if plan is not None and self.domain.check(plan):
            raise ValueError(f"the plan in the journal does not fit the skills: {self.domain.check(plan)}")
        similarity, words, unknown = value["recalled"]
        calls, llm_s, tokens = value["spent"]
        task = _Task(
            str(value["id"]),
            str(value["goal"]),
            Permission(str(value["goal"]), self.domain),
            plan,
            (float(similarity), int(words), int(unknown)),
            Budget(*map(float, value["budget"])),
            int(value["source"]),
            float(value["confidence"]),
            list(map(bool, value["finished"])),
            list(Plan.from_rows(value["done"]).steps),
            list(Plan.from_rows(value["tried"]).steps),
        )
        task.attempts, task.refusals = _steps_counted(value["attempts"]), _steps_counted(value["refusals"])
        task.barred = set(Plan.from_rows(value["barred"]).steps)
        verdict, level, p_ok = value["verdict"]
        task.verdict = int(verdict), int(level), float(p_ok)
        task.answered = {int(level): Plan.from_rows(rows) for level, rows in value["answered"].items()}
        if value["failed"] is not None:
            row, outcome, why = value["failed"]
            task.failed = int(row), str(outcome), str(why)
        task.looked_again = set(map(str, value["looked_again"]))
        task.looked_at = set(map(str, value["looked_at"]))
        task.allowed = {self._step_from(row) for row in value.get("allowed", ())}
        task.asks = self._step_from(value["asks"]) if value.get("asks") else None
        task.acts, task.stuck = int(value["acts"]), int(value["stuck"])
        task.calls, task.llm_s, task.tokens = int(calls), float(llm_s), float(tokens)
        if plan is not None and len(task.finished) != len(plan.steps):
            raise ValueError("the journal's plan and its finished rows differ in length")
        return task

    def _step_from(self, row: Any) -> Step:
        skill, *arguments = row
        step = Step(str(skill), tuple(map(str, arguments)))
        fault = self.domain.check_step(step)
        if fault:
            raise ValueError(f"{step} in the journal does not fit the skills: {fault}")
        return step

    def _goal_from(self, value: Mapping[str, Any], shift: float) -> _Running:
        return _Running(
            str(value["uuid"]),
            self._step_from(value["step"]),
            int(value["row"]),
            str(value["task"]),
            int(value["decision"]),
            float(value["sent_s"]) + shift,
            float(value["deadline_s"]) + shift,
            None if value["stopped_s"] is None else float(value["stopped_s"]) + shift,
            bool(value["given_up"]),
            bool(value["sent"]),
            bool(value["accepted"]),
            bool(value["overdue"]),
        )


def goal_of(sentence: str) -> str:
    """The goal of a task that a person gives with `sentence`: on one line, at most MAX_GOAL_CHARS."""
    return _printable(sentence, MAX_GOAL_CHARS)


def _plain(result: SkillResult, seconds: float) -> SkillResult:
    """A result as it can be printed, published and counted, whatever a skill has put into it. seconds: where it says
    none that can be."""
    outcome, took, fields = result.outcome, result.seconds, result.fields
    return SkillResult(
        Outcome(outcome) if outcome in list(Outcome) else Outcome.FAILED,
        _printable(str(result.why or "")),
        max(took, 0.0) if isinstance(took, (int, float)) and math.isfinite(took) else seconds,
        result.certainty,
        fields if isinstance(fields, Mapping) else None,
    )


def _printable(text: str, most: int = 500) -> str:
    """`text` on one line, without control characters, which a terminal would obey and a message may not hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())[:most].rstrip()


def _counted_rows(steps: Mapping[Step, int]) -> list[list[Any]]:
    return [[times, step.skill, *step.arguments] for step, times in sorted(steps.items(), key=str)]


def _steps_counted(rows: Any) -> dict[Step, int]:
    return {Step(str(skill), tuple(map(str, arguments))): int(times) for times, skill, *arguments in rows}


def _tried(step: Step) -> Tried:
    """As statistics count a step: its class is what it is done to."""
    return Tried(step.skill, step.arguments[0] if step.arguments else "")


def _field(entry: object, path: str) -> object:
    """A dotted field of an entry, which is a mapping or an object; "" where it has none."""
    for part in path.split("."):
        entry = entry.get(part, "") if isinstance(entry, Mapping) else getattr(entry, part, "")
    return entry
