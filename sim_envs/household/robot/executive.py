"""A robot in a home as the orchestrator sees it: carries the plan in force out, and takes a reasoner's answers.

It begins with a plan that needs no language model, that of the nearest goal it knows. THINK(planner, l) puts another
plan in force, from where the robot stands in it; ACT is one attempt at the sub-goal that is on, and never re-plans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rarrl.alfred import STEP_VIEWS
from rarrl.alfred_plans import normal_form
from rarrl.decision_loop import TaskView
from rarrl.errors import InputError
from rarrl.reasoner.base import MAX_GOAL_CHARS, Answer
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan
from rarrl.types import (
    CALL_TIMEOUT_S,
    Action,
    ActStatus,
    CallStatus,
    LlmCall,
    PlanStatus,
    Role,
    StateSummary,
)

from ...alfred.executive import Attempt, EpisodeInfo
from ...alfred.recorded_core import category
from ..env import HouseholdEnv
from ..executor import Event, checked
from ..expert import find_target
from ..world import DT, Row
from .drivers import LOST_S, Driver
from .remaining_plan import Progress, progress
from .task_memory import TaskMemory

ATTEMPTS = 40
"""Attempts after which the robot gives a mission up. The longest plan has 12 steps, which are 24 sub-goals with
GotoLocation; what is left is for retries."""
_OF_THINGS = ("PickupObject", "SliceObject", "PutObject")
_STILL = np.zeros(3)


@dataclass
class _Answers:
    """What reasoners have said in this mission. plans: of the planner, by level. verdict: on the plan in force: 1 (ok)
    or -1 (a fault), level, probability of ok."""

    plans: dict[int, Plan] = field(default_factory=dict)
    verdict: tuple[int, int, float] = (0, 0, 0.5)


class HouseholdExecutive:
    """Missions in a home (`rarrl.decision_loop.Executive`): `begin`, then `act` or `take` until `done`.

    A mission ends when all goal conditions are met (success), when the plan in force is done and they are not (the
    robot calls it done), after ATTEMPTS attempts, and when the environment's time is up. No attempt is ever LOST:
    whatever goes wrong here can be recovered from. A sub-goal whose place the robot does not know fails at once.

    Args:
        env: rendered or the twin.
        driver: carries out attempts.
        known: goals that the robot knows plans for (`known_goals`).
        time_budget_s, token_budget: of thinking, per mission.
        call_timeout_s: no call counts longer.
        first_seed: mission number n has the seed first_seed + n.

    event: how the last attempt ended, with its reason. plan: the one in force.
    """

    def __init__(
        self,
        env: HouseholdEnv,
        driver: Driver,
        known: NearestGoal,
        time_budget_s: float,
        token_budget: float,
        call_timeout_s: float = CALL_TIMEOUT_S,
        first_seed: int = 0,
    ) -> None:
        self.env = env
        self.driver = driver
        self._known = known
        self._first_seed = first_seed
        self._budget = (time_budget_s, token_budget)
        self._call_timeout_s = call_timeout_s

        self.done = True
        self.success = False
        self.deadline_misses = 0
        self.event: Event | None = None
        self.plan = Plan(())

    def start_budget(self, time_s: float, tokens: float) -> None:
        """What each mission begun from now on may spend on thinking."""
        self._budget = (time_s, tokens)

    def begin(self, number: int) -> EpisodeInfo:
        """Starts mission number `number`, with the default plan in force."""
        env = self.env
        env.reset(seed=self._first_seed + number)
        self.driver.begin(env)

        self.done = False
        self.success = False
        self.deadline_misses = 0
        self.event = None
        self.budget_left = self._budget
        self._acts = 0
        self._owed_s = 0.0

        task = env.mission.task
        self._goal = task.goal[:MAX_GOAL_CHARS]
        self._recalled = self._known.recall(self._goal)
        self._deeds = TaskMemory(env)
        self._answers = _Answers()
        self._put_in_force(self._recalled.plan, 0, self._recalled.similarity)

        time_s, tokens = self._budget
        return EpisodeInfo(number, category(task.task_type), task.task_type, task.goal, "", time_s, tokens)

    @property
    def summary(self) -> StateSummary:
        """Where the task stands, by the plan in force: a GotoLocation before each step of it that is done, then what is
        left as it is carried out."""
        kinds = [name for step in self._skipped for name in ("GotoLocation", step.skill)]
        index = len(kinds) + self.env.executor.index
        kinds += [row[0] for row in self._rows]
        return StateSummary(
            tuple(STEP_VIEWS[kind] for kind in kinds),
            len(kinds) if self.done and self.success else index,
            self._acts,
            max(ATTEMPTS, 1),
        )

    @property
    def task(self) -> TaskView:
        """The goal, the plan in force, what is known of it, and the classes that there are in this home."""
        return TaskView(self._goal, self.plan, self.status, self._deeds.met)

    @property
    def status(self) -> PlanStatus:
        """What is known of the plan in force."""
        recalled, answers = self._recalled, self._answers
        verdict, level, p_ok = answers.verdict
        return PlanStatus(
            source=self._source,
            confidence=self._confidence,
            similarity=recalled.similarity,
            verdict=verdict,
            verdict_level=level,
            p_ok=p_ok,
            answered=(1 in answers.plans, 2 in answers.plans),
            agreeing=sum(other == self.plan for other in (recalled.plan, *answers.plans.values())) - 1,
            contradicted=self._contradicted(),
            words=recalled.words,
            unknown=recalled.unknown,
        )

    @property
    def row(self) -> Row | None:
        """The sub-goal that is on; None where the plan is done."""
        index = self.env.executor.index
        return self._rows[index] if index < len(self._rows) else None

    def act(self) -> Attempt:
        """One attempt at the sub-goal that is on.

        Raises: RuntimeError when the mission is over."""
        self._check_open()
        env, begun = self.env, self.env.world.steps
        event = self._attempt()
        self._acts += 1
        self.event = event
        self._deeds.note(event, begun)
        self._end()
        return Attempt(event.status, (env.world.steps - begun) * DT, event.status is ActStatus.SUCCESS)

    def _attempt(self) -> Event:
        return self.driver.attempt(self.env) if self._is_known(self.env.executor.row) else self._give_up()

    def think(self, action: Action, deadline_s: float = math.inf) -> LlmCall:
        """Not here: what a call would come to is not known. Raises: RuntimeError; ask a reasoner."""
        raise RuntimeError(f"{action.label} needs an answer: give `play_episode` a reasoner, or call take()")

    def take(self, action: Action, answer: Answer) -> LlmCall:
        """One call that a reasoner has answered: its seconds and tokens are spent and pass in the home, its plan or
        verdict holds from then on. Without budget there is no call.

        Raises: ValueError for ACT, or an answer to something else; RuntimeError when the mission is over."""
        self._check_open()
        call = self._call(action, answer)
        self._spend(call)
        self._pass(call.seconds)
        if call.status is CallStatus.OK and not self.done:
            self._heed(action, answer)
        return call

    def _call(self, action: Action, answer: Answer) -> LlmCall:
        """What a call comes to within the budget; none without any. Raises: ValueError as `take`."""
        if action.role is None or (action.role, action.level) != (answer.role, answer.level):
            raise ValueError(f"{action.label} cannot take the answer of a {answer.role.value} at level {answer.level}")
        time_s, tokens_left = self.budget_left
        if time_s <= 0 or tokens_left <= 0:
            return LlmCall(action, CallStatus.BUDGET, 0.0, 0.0)
        self.deadline_misses += answer.seconds > time_s or answer.tokens > tokens_left
        deadline_s = min(time_s, self._call_timeout_s)
        seconds, tokens = min(answer.seconds, deadline_s), min(float(answer.tokens), tokens_left)
        status = answer.status
        if status is CallStatus.OK and answer.seconds > deadline_s:
            status = CallStatus.TIMEOUT
        return LlmCall(action, status, seconds, tokens)

    def _spend(self, call: LlmCall) -> None:
        time_s, tokens = self.budget_left
        self.budget_left = max(time_s - call.seconds, 0.0), max(tokens - call.tokens, 0.0)

    def _heed(self, action: Action, answer: Answer) -> None:
        if action.role is Role.PLANNER and answer.plan is not None and answer.plan.steps:
            confidence = 0.0 if math.isnan(answer.confidence) else math.exp(answer.confidence)
            self._answers.plans[action.level] = answer.plan
            self._put_in_force(answer.plan, action.level, confidence)
        elif action.role is Role.VERIFIER and answer.verdict is not None:
            ok = answer.verdict.ok
            sure = float(ok) if math.isnan(answer.verdict.p_ok) else answer.verdict.p_ok
            self._answers.verdict = (1 if ok else -1, action.level, sure)

    def _put_in_force(self, plan: Plan, source: int, confidence: float) -> None:
        """From where the robot stands in it: what it has done already is left out."""
        if source == 0 or plan != self.plan:
            self._answers.verdict = (0, 0, 0.5)  # it was on another plan
        self.plan, self._source, self._confidence = plan, source, confidence
        self._follow(self._left())
        self.done = not self._rows  # nothing is left, so the robot calls it done

    def _left(self) -> Progress:
        """What is left of the plan in force, by what the robot believes now."""
        world, deeds = self.env.world, self._deeds
        goals = {step.arguments[-1] for step in self.plan.steps}
        lit, here = frozenset(deeds.lit), deeds.here()
        return progress(self.plan, deeds.things(), world.held, lit, deeds.look, deeds.spare(goals), here)

    def _follow(self, left: Progress) -> None:
        """Begins with the first row of `left`."""
        self._skipped, self._rows = left.done, left.rows
        usable = next((i for i, row in enumerate(left.rows) if not _is_of_homes(row)), len(left.rows))
        self.env.executor.set_plan(left.rows[:usable], self.env.world.steps)

    def _is_known(self, row: Row | None) -> bool:
        """Whether a sub-goal can be tried: the robot knows a place for it, or has come to search.

        Where it has put down one of a class already, another one must be where it stands: otherwise it would pick the
        first one up again."""
        env = self.env
        if row is None:  # classes that no home has
            return False
        if row[0] in _OF_THINGS and row[-1] not in env.world.home.places:
            env.memory.update(env.world)
            places = {at for i, at in env.memory.known.items() if env.world.things[i].name == row[-1]}
            return not places or bool(places & self._deeds.here()) or not self._deeds.has_put(row[-1])
        return find_target(env.world, row, env.memory) is not None

    def _give_up(self) -> Event:
        """A failed attempt at a sub-goal that begins nowhere."""
        assert self.row is not None
        row = self.row
        for _ in range(round(LOST_S / DT)):
            if not self.env.is_late:
                self._stand()
        return Event(row, ActStatus.FAILURE, "not here")

    def _pass(self, seconds: float) -> None:
        """The robot stands while it thinks; whole steps pass, the rest is owed."""
        self._owed_s += seconds
        while self._owed_s >= DT - 1e-9 and not self.done:
            self._owed_s -= DT
            self._stand()
            self._end()

    def _stand(self) -> None:
        """A step. What was under way may end in it, and where it stands may be where it was to go."""
        *_, info = self.env.advance(_STILL)
        if info["event"] is not None:
            self._deeds.note(info["event"], self.env.world.steps)

    def _end(self) -> None:
        """Notices that the mission is over."""
        env = self.env
        self.success = env.is_done
        self.done = env.is_done or self.row is None or self._acts >= ATTEMPTS or env.is_late

    def _contradicted(self) -> bool:
        """Whether the robot has done a step that the plan in force does not contain."""
        plan = set(normal_form(self.plan).steps)
        done = normal_form(Plan(tuple(self._deeds.steps))).steps if self._deeds.steps else ()
        return any(step not in plan for step in done)

    def _check_open(self) -> None:
        if self.done:
            raise RuntimeError("the mission is over: call begin() for the next one")


def _is_of_homes(row: Row) -> bool:
    """Whether a sub-goal is one that homes here could hold at all."""
    try:
        checked(row)
    except InputError:
        return False
    return True
