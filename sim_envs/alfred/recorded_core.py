"""AlfredReplay on recorded answers: was *this* plan right, and what did the verifier say of it?

Nothing is assumed of thinking here: an episode is one task of a recorded profile (`rarrl profile record`), and a call
replays what the model answered on this very task, its seconds and its tokens.

- The robot begins with the default plan, that of the nearest known goal. THINK(planner, l) puts the recorded plan of
  that level in force, THINK(verifier, l) gives the recorded verdict on the plan in force. A call without an answer
  costs its time and changes nothing; so does a second call of the same kind, for the answer is the same.
- While the plan in force is right, attempts fail as in the parametric world without thinking (`Dynamics`).
- A plan that is wrong at step k serves until there: every attempt at its step k fails, irreversibly with the share of
  that step's type. A wrong plan that ends before the expert's, or goes on after its end, loses the task when its last
  right step is done, without warning.
- A robot sees its task as the plan in force describes it: a GotoLocation before each step, the steps after. After
  `ATTEMPTS` attempts it gives up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import AlfredPlan, SubgoalType
from rarrl.alfred_plans import MAX_STEPS, same_steps
from rarrl.errors import InputError
from rarrl.latency.profile import CallRecord, LatencyProfile, TaskRecord
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.features import N_TYPES, PlanView, Situation
from rarrl.reasoner.plan import Plan
from rarrl.types import CALL_TIMEOUT_S

from .core import CATEGORIES, AlfredReplayCore, Dynamics, EpisodeBank, EpisodeParams, Floats, StepResult

ATTEMPTS = 40  # of an episode; the recorded tasks have 10 pieces on average and 28 at most
SOURCES = 3  # the default plan, planner 1's, planner 2's
NEVER = 99  # the step at which a right plan is wrong: after the end of any
_GOTO = int(SubgoalType.GotoLocation)


@dataclass(frozen=True)
class Recordings:
    """A recorded profile as arrays over its T tasks; the second axis is the source of a plan where there is one.

    Attributes:
        bank: one row per task
        table: what calls cost, over all tasks
        plan_id: (T, 3) which plan, -1 where there is no answer
        wrong_at: (T, 3) first wrong step, NEVER for a right plan
        ends: (T, 3) the plan is wrong by its length alone
        length: (T, 3) steps
        kinds: (T, 3, steps) sub-goal types
        remaining: (T, 3, steps, 8) types after a step, GotoLocation counted once per step
        confidence: (T, 3) of the planner in its plan, 0 to 1; similarity of the goals for the default plan
        seconds, tokens, answered: (T, 3, 4) of a call, the last axis as THINK_ACTIONS; a planner's are the same for all
            sources
        verdict: (T, 3, 2) 1 ok, -1 fault, 0 none
        p_ok: (T, 3, 2) the verifier's probability that the plan is right
        words, unknown: (T,) words of the goal, and how many of them the planner does not know
        step: (T, pieces) which step of the plan a piece belongs to
        closes: (T, pieces) the piece is the last of its step
        trial: (T,) tasks of one plan have one number
    """

    bank: EpisodeBank
    table: ReplayTable
    plan_id: NDArray[np.int64]
    wrong_at: NDArray[np.int64]
    ends: NDArray[np.bool_]
    length: NDArray[np.int64]
    kinds: NDArray[np.int64]
    remaining: Floats
    confidence: Floats
    seconds: Floats
    tokens: Floats
    answered: NDArray[np.bool_]
    verdict: Floats
    p_ok: Floats
    words: Floats
    unknown: Floats
    step: NDArray[np.int64]
    closes: NDArray[np.bool_]
    trial: NDArray[np.int64]

    @classmethod
    def from_profile(
        cls, profile: LatencyProfile, categories: Sequence[str] = CATEGORIES, only: Sequence[int] | None = None
    ) -> Recordings:
        """The tasks of `profile` that fall into `categories` (Navigation alone is none: it needs no plan). `only`:
        of these tasks of the profile, in this order.

        Raises: InputError for a profile without recorded answers, or not those of both roles and levels."""
        if profile.tasks is None or profile.plans is None or profile.records is None:
            recorded = "`rarrl profile record` makes one"
            raise InputError(f"latency profile {profile.name}: its answers are not recorded; {recorded}")

        table = ReplayTable.from_profile(profile)
        wanted = range(len(profile.tasks)) if only is None else only
        chosen = [i for i in wanted if category(profile.tasks[i].task_type) in categories]
        if not chosen:
            raise InputError(f"latency profile {profile.name}: no task of the categories {', '.join(categories)}")

        tasks = [profile.tasks[i] for i in chosen]
        bank = EpisodeBank.from_plans([_expert(task) for task in tasks], ("Inspection", "Delivery"))
        calls = _calls(profile, chosen)
        shapes = _shapes(profile, tasks, calls["plan_id"], calls.pop("right"))

        not_goto = bank.piece_type != _GOTO
        first = np.diff(bank.piece_subgoal, axis=1, prepend=-1) != 0  # of its sub-goal
        last = np.arange(bank.piece_type.shape[1]) == bank.pieces[:, None] - 1
        last[:, :-1] |= first[:, 1:]

        return cls(
            bank=bank,
            table=table,
            **calls,
            **shapes,
            words=np.array([float(task.words) for task in tasks]),
            unknown=np.array([float(task.unknown) for task in tasks]),
            step=np.maximum(np.cumsum(first & not_goto, axis=1) - not_goto, 0),
            closes=last & not_goto,
            trial=np.unique([task.trial for task in tasks], return_inverse=True)[1],
        )


def category(task_type: str) -> str:
    """Inspection or Delivery."""
    return "Inspection" if task_type == "look_at_obj_in_light" else "Delivery"


def _expert(task: TaskRecord) -> AlfredPlan:
    """The expert's plan of a task, without arguments."""
    kinds = tuple(SubgoalType(kind) for kind, _ in task.steps)
    return AlfredPlan(task.task_type, "", task.trial, kinds, ((),) * len(kinds), tuple(n for _, n in task.steps))


def _calls(profile: LatencyProfile, chosen: Sequence[int]) -> dict[str, NDArray[Any]]:
    """What was answered, per task and source of the plan in force; keys as in `Recordings`, and `right` (T, 3)."""
    assert profile.tasks is not None
    t = len(chosen)
    plan_id = np.full((t, SOURCES), -1)
    right = np.zeros((t, SOURCES), bool)
    confidence = np.zeros((t, SOURCES))
    verdict = np.zeros((t, SOURCES, 2))
    p_ok = np.full((t, SOURCES, 2), 0.5)
    seconds = np.zeros((t, SOURCES, 4))
    tokens = np.zeros((t, SOURCES, 4))
    answered = np.zeros((t, SOURCES, 4), bool)
    seen = np.zeros((t, SOURCES, 4), bool)

    by_task: list[list[CallRecord]] = [[] for _ in profile.tasks]
    for record in profile.records or ():
        assert record.task is not None  # the schema of version 2
        by_task[record.task].append(record)

    for row, number in enumerate(chosen):
        task = profile.tasks[number]
        plan_id[row, 0] = task.default
        right[row, 0] = task.default_correct
        confidence[row, 0] = task.similarity
        for record in sorted(by_task[number], key=lambda r: r.role):  # planners first: they bring the plans
            planner = record.role == "planner"
            level = record.level
            where = np.ones(SOURCES, bool) if planner else plan_id[row] == record.plan
            option = level - 1 + 2 * (not planner)
            ok = record.finish == "stop"
            seen[row, where, option] = True
            answered[row, where, option] = ok
            seconds[row, where, option] = record.total_s
            tokens[row, where, option] = record.tokens_in + record.tokens_out

            if ok and planner:
                plan_id[row, level] = record.plan
                right[row, level] = record.correct is True
                confidence[row, level] = 0.0 if record.confidence is None else np.exp(record.confidence)
            elif ok:
                verdict[row, where, level - 1] = 1.0 if record.verdict else -1.0
                p_ok[row, where, level - 1] = bool(record.verdict) if record.p_ok is None else record.p_ok

    if not seen[plan_id >= 0].all():
        raise InputError(
            f"latency profile {profile.name}: a task lacks the answer of a role or level; record it with both roles "
            "and levels (`rarrl profile record --roles planner,verifier --levels 1,2`)"
        )
    return {
        "plan_id": plan_id,
        "right": right,
        "confidence": confidence,
        "verdict": verdict,
        "p_ok": p_ok,
        "seconds": seconds,
        "tokens": tokens,
        "answered": answered,
    }


def _shapes(
    profile: LatencyProfile, tasks: Sequence[TaskRecord], plan_id: NDArray[np.int64], right: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """What the plans of each task look like and where they go wrong; keys as in `Recordings`."""
    plans = [Plan.from_rows(rows) for rows in profile.plans or ()]
    t = len(tasks)
    k = MAX_STEPS + 1
    shapes: dict[str, NDArray[Any]] = {
        "wrong_at": np.full((t, SOURCES), NEVER),
        "ends": np.zeros((t, SOURCES), bool),
        "length": np.ones((t, SOURCES), np.int64),
        "kinds": np.zeros((t, SOURCES, k), np.int64),
        "remaining": np.zeros((t, SOURCES, k, N_TYPES)),
    }
    for row, source in np.argwhere(plan_id >= 0):
        plan = plans[plan_id[row, source]]
        expert = plans[tasks[row].expert]
        put_shape(shapes, row, source, plan, expert, bool(right[row, source]))
    return shapes


def put_shape(shapes: Mapping[str, NDArray[Any]], row: int, source: int, plan: Plan, expert: Plan, right: bool) -> None:
    """Writes what `plan` looks like, and where it goes wrong, into the arrays of a task and source."""
    types = [int(SubgoalType[step.skill]) for step in plan.steps]
    n = len(types)
    k = shapes["kinds"].shape[2]
    shapes["length"][row, source] = n
    shapes["kinds"][row, source] = [*types, *[types[-1]] * (k - n)]
    shapes["remaining"][row, source] = 0.0
    for index in range(n - 1):
        shapes["remaining"][row, source, index] = np.bincount(types[index + 1 :], minlength=N_TYPES)
        shapes["remaining"][row, source, index, _GOTO] = n - 1 - index

    same = same_steps(plan, expert)
    shapes["wrong_at"][row, source] = NEVER if right else same
    shapes["ends"][row, source] = not right and same in (n, len(expert.steps))


class RecordedCore(AlfredReplayCore):
    """`AlfredReplayCore` on recorded answers; see the module's text."""

    def __init__(
        self,
        recordings: Recordings,
        n: int,
        dynamics: Dynamics | None = None,
        hard: bool = False,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        super().__init__(recordings.bank, [recordings.table], n, dynamics, hard, call_timeout_s)
        self.recordings = recordings
        self._plan_ints = np.zeros((2, n), np.int64)
        self.source, self._verdict_level = self._plan_ints
        self._answered = np.zeros((2, n), bool)

    def begin(self, where: NDArray[np.int64], params: EpisodeParams) -> None:
        """Starts an episode in each of the environments `where` (m,)."""
        super().begin(where, params)
        self.horizon[where] = ATTEMPTS
        self._plan_ints[:, where] = 0
        self._answered[:, where] = False

    def situation(self) -> Situation:
        """What the policies may see: the task as the plan in force describes it, and what is known of that plan."""
        r = self.recordings
        row = self.row
        source = self.source

        step = r.step[row, self.piece]
        length = r.length[row, source]
        inside = np.minimum(step, MAX_STEPS)
        goto = (self.subgoal_type == _GOTO) & (step < length)
        index = np.minimum(2 * step + ~goto, 2 * length)

        level = np.maximum(self._verdict_level - 1, 0)
        asked = self._verdict_level > 0
        mine = r.plan_id[row, source]
        known = np.stack([np.ones(self.n, bool), *self._answered])
        agreeing = ((mine == r.plan_id[row].T) & known).sum(axis=0) - 1

        kind = r.kinds[row, source, inside]
        remaining = r.remaining[row, source, inside].T
        remaining[kind, self._arange] += goto  # the step that it goes for is still to come

        plan = PlanView(
            source=source,
            confidence=r.confidence[row, source],
            similarity=r.confidence[row, 0],
            verdict=np.where(asked, r.verdict[row, source, level], 0.0),
            verdict_level=self._verdict_level.astype(np.float64),
            p_ok=np.where(asked, r.p_ok[row, source, level], 0.5),
            answered=self._answered,
            agreeing=agreeing.astype(np.float64),
            contradicted=r.wrong_at[row, source] < step,
            words=r.words[row],
            unknown=r.unknown[row],
        )
        return Situation(
            subgoal_type=np.where(goto, _GOTO, kind),
            remaining=remaining,
            subgoal_index=index.astype(np.float64),
            subgoal_count=2.0 * length.astype(np.float64),
            step=self.acts,
            horizon=self.horizon,
            history=self.history,
            time_s=self.time_s,
            tokens=self.tokens,
            initial_time_s=self.initial_time_s,
            initial_tokens=self.initial_tokens,
            cost_weight=self.cost_weight,
            plan=plan,
            known_steps=None,
            can_go_on=None,
            thinking=None,
            **self._cost_now,
        )

    def failure_probabilities(self, planner_level: int = 0, verifier_level: int = 0) -> tuple[Floats, Floats]:
        """(irreversible, reversible) failure probability of the next attempt, (n,) each. Hidden from policies.

        Advice changes nothing here but the plan: the levels are not looked at."""
        r = self.recordings
        d = self.dynamics
        row = self.row
        source = self.source

        p = self._base[self.subgoal_type] * (d.easy + d.slope * self.u)
        p += d.consecutive_penalty * self.history.consecutive_failures
        np.minimum(p, d.max_failure, out=p)
        share = self._share[self.subgoal_type]
        lost = p * share
        wrong = p * (1.0 - share)

        step = r.step[row, self.piece]
        wrong_at = r.wrong_at[row, source]
        length = r.length[row, source]
        stuck = (step >= wrong_at) & ((self.subgoal_type != _GOTO) | (step >= length))
        # At the end of a plan that should have gone on there is nothing to attempt: the robot calls the task done.
        stuck_share = np.where(step >= length, 1.0, self._share[r.kinds[row, source, np.minimum(step, MAX_STEPS)]])
        lost = np.where(stuck, stuck_share, lost)
        wrong = np.where(stuck, 1.0 - stuck_share, wrong)

        closing = r.ends[row, source] & (step + 1 == wrong_at) & r.closes[row, self.piece]
        return np.where(closing, 1.0 - wrong, lost), wrong

    def _think(self, action: NDArray[np.int64], thinks: NDArray[np.bool_]) -> StepResult:
        result = super()._think(action, thinks)
        planned = result.call_ok & (action > 0) & (action <= 2)
        judged = result.call_ok & (action > 2)
        if planned.any():
            r = self.recordings
            before = self.source.copy()
            self.source[planned] = action[planned]
            other = planned & (r.plan_id[self.row, self.source] != r.plan_id[self.row, before])
            self._verdict_level[other] = 0  # the verdict was on another plan
            self._answered[action[planned] - 1, planned] = True
        self._verdict_level[judged] = action[judged] - 2
        return result

    def _replay(self, where: NDArray[np.int64], option: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        r = self.recordings
        row = self.row[where]
        source = self.source[where]
        return r.seconds[row, source, option], r.tokens[row, source, option], r.answered[row, source, option]
