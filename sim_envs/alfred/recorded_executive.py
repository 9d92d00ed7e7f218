"""One episode of recorded answers at a time; a live answer may stand in the place of the recorded one, and come while
the robot goes on (`rarrl.thinking`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rarrl.alfred import HOUSEHOLD_TASKS, SubgoalType, read_alfred, step_views
from rarrl.alfred_plans import same_plan
from rarrl.build import REPLAYED
from rarrl.config import Config
from rarrl.decision_loop import TaskView
from rarrl.errors import InputError
from rarrl.latency.profile import load_profile
from rarrl.reasoner.base import MAX_GOAL_CHARS, Answer
from rarrl.reasoner.plan import Plan
from rarrl.thinking import ANY_QUESTION, Kind, Present, Question, kind_of, may_go_on
from rarrl.types import CALL_TIMEOUT_S, Action, ActStatus, CallStatus, Decision, LlmCall, Role, StateSummary

from .core import Dynamics
from .episodes import EpisodeConfig, configured
from .executive import AlfredExecutive, Attempt, EpisodeInfo
from .recorded_core import RecordedCore, Recordings, category, put_shape


class RecordedExecutive(AlfredExecutive):
    """A robot in one episode of `RecordedCore`: it carries out the plan in force, right or wrong.

    `think` replays the recorded answer; `take` a live one, and `take_beside` one that came while the robot went on
    (`rarrl.decision_loop.GoesOn`). The plan in force is what `summary` and `task` tell.

    Args:
        recordings: its own; `take` writes into them.
        goals: the sentence of each task of `recordings`.
        experts: the right plan of each.
        plans: those that `recordings.plan_id` counts.
        homes: what the robot has met in each task's home, () where it knows nothing of it.
    """

    _core: RecordedCore

    def __init__(
        self,
        recordings: Recordings,
        goals: Sequence[str],
        experts: Sequence[Plan],
        plans: Sequence[Plan],
        config: EpisodeConfig,
        seed: int = 0,
        dynamics: Dynamics | None = None,
        homes: Sequence[tuple[str, ...]] = (),
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        super().__init__(recordings.bank, recordings.table, config, seed, dynamics, call_timeout_s=call_timeout_s)
        self._core = RecordedCore(recordings, 1, dynamics, call_timeout_s=call_timeout_s)
        self._goals, self._experts, self._plans = goals, experts, list(plans)
        self._homes = homes or [()] * len(goals)

    @property
    def summary(self) -> StateSummary:
        """Where the task stands, by the plan in force: a GotoLocation before each of its steps."""
        core, r = self._core, self._core.recordings
        row, source = int(core.row[0]), int(core.source[0])
        kinds = r.kinds[row, source, : r.length[row, source]]
        types = tuple(kind for step in kinds for kind in (SubgoalType.GotoLocation, SubgoalType(int(step))))
        index = len(types) if self.done and self.success else min(int(core.situation().subgoal_index[0]), len(types))
        summary = StateSummary(step_views(types), index, int(core.acts[0]), int(core.horizon[0]))
        kind = self._kind(summary)
        return replace(summary, can_go_on=kind is not None and may_go_on(self._question or ANY_QUESTION, kind))

    @property
    def task(self) -> TaskView:
        """The goal, the plan in force, and what is known of it."""
        core = self._core
        view = core.situation().plan
        assert view is not None
        row = int(core.row[0])
        plan = self._plans[core.recordings.plan_id[row, int(core.source[0])]]
        return TaskView(self._goals[row][:MAX_GOAL_CHARS], plan, view.status(), self._homes[row])

    def begin(self, number: int) -> EpisodeInfo:
        """Starts episode `number` of this seed."""
        self._question: Question | None = None
        self._failed: tuple[int, int] | None = None  # plan and row of the last attempt, where it failed
        self._succeeded: frozenset[tuple[int, int]] = frozenset()  # since the question was asked
        info = super().begin(number)
        return EpisodeInfo(**{**vars(info), "goal": self._goals[int(self._core.row[0])]})

    def take(self, action: Action, answer: Answer) -> LlmCall:
        """One call that a reasoner has answered: its seconds and tokens are spent, its plan or verdict holds from now.

        It was made, so that it is paid for whatever the recorded calls of its kind cost.

        Raises: ValueError for ACT, or an answer to something else; RuntimeError when the episode is over."""
        if (action.role, action.level) != (answer.role, answer.level):
            raise ValueError(f"{action.label} cannot take the answer of a {answer.role.value} at level {answer.level}")
        r, row, source = self._core.recordings, int(self._core.row[0]), int(self._core.source[0])
        option, level, ok = int(action) - 1, action.level, answer.status is CallStatus.OK
        r.seconds[row, :, option], r.tokens[row, :, option] = answer.seconds, answer.tokens
        r.answered[row, :, option] = ok
        if ok and action.role is Role.PLANNER and answer.plan is not None:
            self._put(row, level, answer.plan, answer.confidence)
        elif ok and answer.verdict is not None:
            same = r.plan_id[row] == r.plan_id[row, source]
            sure = float(answer.verdict.ok) if math.isnan(answer.verdict.p_ok) else answer.verdict.p_ok
            r.verdict[row, same, level - 1], r.p_ok[row, same, level - 1] = 1.0 if answer.verdict.ok else -1.0, sure
        result = self._step(action, np.ones((len(Action), 1), dtype=bool))
        status = CallStatus.TIMEOUT if ok and not result.call_ok[0] else answer.status
        self.deadline_misses += int(result.deadline_miss[0])
        return LlmCall(action, status, float(result.seconds[0]), float(result.tokens[0]))

    # Beside a question

    def act(self) -> Attempt:
        """See `AlfredExecutive`."""
        tried = self._plan_id, int(self._core.situation().subgoal_index[0])
        attempt = super().act()
        done = attempt.status is ActStatus.SUCCESS
        self._failed = None if done else tried
        self._succeeded |= {tried} if done else frozenset()
        return attempt

    @property
    def next_kind(self) -> Kind | None:
        """See `GoesOn`."""
        return self._kind(self.summary)

    def _kind(self, summary: StateSummary) -> Kind | None:
        if self.done or summary.subgoal_index >= len(summary.subgoals):
            return None
        step = summary.subgoals[summary.subgoal_index]
        failed = self._failed if self._question is None else self._question.failed
        again = failed == (self._plan_id, summary.subgoal_index)
        return kind_of(step.irreversible, moves=step.name == SubgoalType.GotoLocation.name, again=again)

    def question(self, decision: Decision) -> Question:
        """See `GoesOn`."""
        assert decision.action.role is not None
        self._succeeded = frozenset()
        self._question = Question(decision.id, decision.action.role, decision.beside, self._plan_id, self._failed)
        return self._question

    @property
    def _plan_id(self) -> int:
        """The plan in force, as `Recordings` counts plans."""
        core = self._core
        return int(core.recordings.plan_id[core.row[0], core.source[0]])

    def present(self) -> Present:
        """See `GoesOn`."""
        summary = self.summary
        done = summary.subgoal_index >= len(summary.subgoals)
        return Present(not self.done, self._plan_id, done, self._succeeded)

    def take_beside(self, action: Action, answer: Answer, stood_s: float) -> LlmCall:
        """See `GoesOn`. Time stands still in this world while a robot thinks."""
        self._question = None
        if not self.done:
            return self.take(action, answer)
        time_s, tokens = self.budget_left
        call = LlmCall(action, answer.status, min(answer.seconds, time_s), min(float(answer.tokens), tokens))
        self._core.time_s[0] -= call.seconds
        self._core.tokens[0] -= call.tokens
        return call

    def _put(self, row: int, level: int, plan: Plan, confidence: float) -> None:
        r, expert = self._core.recordings, self._experts[row]
        if plan not in self._plans:
            self._plans.append(plan)
        r.plan_id[row, level] = self._plans.index(plan)
        r.confidence[row, level] = 0.0 if math.isnan(confidence) else np.exp(confidence)
        put_shape(vars(r), row, level, plan, expert, same_plan(plan, expert))


def make_recorded_executive(config: Config, shock: bool = False) -> RecordedExecutive:
    """The executive of `config` on the recorded profile that it names, for the tasks whose goal sentences are at hand:
    in `replay.alfred`, else those of `HOUSEHOLD_TASKS`. `shock`: as `make_executive`.

    Raises: InputError: not a recorded profile, none of its tasks at hand, latencies scaled with a live reasoner."""
    orchestrator, replay = config.orchestrator, config.replay
    if orchestrator.reasoner != REPLAYED and replay.latency_scale != 1.0:
        raise InputError(
            "latency_scale: a live reasoner takes what it takes; leave it at 1, or set reasoner to profile"
        )
    source, split = (Path(replay.alfred), replay.split) if replay.alfred else (HOUSEHOLD_TASKS, None)
    sentences = {
        (plan.trial, number): annotation.goal
        for plan in read_alfred(source, split).plans
        for number, annotation in enumerate(plan.annotations)
    }
    profile = load_profile(orchestrator.profile)
    recorded = profile.tasks or ()
    kept = [
        number
        for number, task in enumerate(recorded)
        if (task.trial, task.annotation) in sentences and replay.category in ("all", category(task.task_type))
    ]
    if not kept:
        raise InputError(
            f"latency profile {profile.name}: no recorded task of category {replay.category} whose goal sentence is at "
            "hand; play profile household, or name the data set that it was recorded on (alfred, split)"
        )
    recordings = Recordings.from_profile(profile, only=kept)
    tasks, plans = [recorded[i] for i in kept], [Plan.from_rows(plan) for plan in profile.plans or ()]
    return RecordedExecutive(
        recordings,
        [sentences[task.trial, task.annotation] for task in tasks],
        [plans[task.expert] for task in tasks],
        plans,
        configured(config, shock),
        replay.seed,
        homes=[() if task.home is None else profile.homes[task.home] for task in tasks],
        call_timeout_s=config.language_model.call_timeout_s,
    )
