"""Records the shipped reasoner's answers on household missions as a profile, and replays them by mission.

The file is a latency profile of version 2, as `rarrl profile record` makes it on ALFRED; a task's trial names the seed
of its mission.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rarrl.alfred import AlfredPlan, Annotation, SubgoalType
from rarrl.alfred_plans import expert_plan
from rarrl.latency.profile import CallRecord, LatencyProfile, ProfileHeader, World
from rarrl.reasoner.base import Answer, Reasoner
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.results import machine
from rarrl.types import Action, CallStatus, Role
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.tasks import remaining_plan

from ..reasoner.record import FINISH, RecordConfig, RecordedTask, record_profile

# Far apart, so that no mission is ever in both.
TRAINING_SEED = 1_000_000  # of the first mission to learn from
HELD_OUT_SEED = 2_000_000  # of the first mission that policies are judged on
_TRIAL = "household-"  # a task's trial in the profile: this and the seed of its mission
_STATUS = {finish: status for status, finish in FINISH.items()}


def mission_task(env: HouseholdEnv, seed: int, known: NearestGoal) -> RecordedTask:
    """What is asked in the mission with this seed: goal, right plan, default plan, classes in the home."""
    env.reset(seed=seed)
    task = env.mission.task
    world = env.world
    rows = remaining_plan(world, task)
    source = AlfredPlan(
        task.task_type,
        "",
        f"{_TRIAL}{seed}",
        tuple(SubgoalType[row[0]] for row in rows),
        tuple(row[1:] for row in rows),
        (1,) * len(rows),
        (Annotation(task.goal, ()),),
        task.parameters,
    )
    met = tuple(sorted({*world.home.places, *(t.name for t in world.things)}))

    return RecordedTask(source, 0, expert_plan(source), known.recall(task.goal), met)


def record_missions(
    reasoner: Reasoner,
    known: NearestGoal,
    first_seed: int,
    missions: int,
    journal: Path,
    name: str,
    progress: Callable[[int, str], None] | None = None,
) -> LatencyProfile:
    """Asks for each mission both planners, and both verifiers on each plan that there is. What `journal` holds already
    is not asked again.

    Raises: InputError for another recording's journal, RarrlError where the model stays away."""
    env = HouseholdEnv(stereo=False)
    tasks = [mission_task(env, first_seed + number, known) for number in range(missions)]
    here = machine()
    header = ProfileHeader(
        name=name,
        kind="recorded",
        measured=f"{missions} missions of rarrl/HouseholdTwin-v0, seeds from {first_seed}; default plan: nearest known "
        "goal (tf-idf) of 240 other missions; known of a home: its furniture and the things in it",
        model="rarrl-planner (llama.cpp, one thread)",
        hardware=f"{here['processor']}, {here['cores']} cores shared with other work, {here['platform']}",
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        source="python benchmarks/household_orchestrator.py record",
        licence="recorded by rarrl",
        world=World.HOUSEHOLD,
    )
    config = RecordConfig("llama", f"household-{first_seed}", n=1)  # one number: a journal may be gone on with for more

    return record_profile(reasoner, tasks, config, header, journal, "household missions", progress)


class MissionAnswers:
    """The recorded answers by mission: `seed`, `default` and `answer` of task number `row`."""

    def __init__(self, profile: LatencyProfile) -> None:
        assert profile.tasks is not None and profile.plans is not None and profile.records is not None
        self._tasks = profile.tasks
        self._plans = [Plan.from_rows(plan) for plan in profile.plans]
        self._calls: dict[tuple[int, str, int, Plan | None], CallRecord] = {}
        for record in profile.records:
            assert record.task is not None
            judged = self._plans[record.plan] if record.role == "verifier" and record.plan is not None else None
            self._calls[record.task, record.role, record.level, judged] = record

    def __len__(self) -> int:
        return len(self._tasks)

    def seed(self, row: int) -> int:
        """The mission's seed."""
        return int(self._tasks[row].trial.removeprefix(_TRIAL))

    def answer(self, row: int, action: Action, plan: Plan, stretch: float = 1.0) -> Answer:
        """What was answered to THINK `action` while `plan` was in force. stretch: scales its seconds."""
        assert action.role is not None
        planner = action.role is Role.PLANNER
        call = self._calls[row, action.role.value, action.level, None if planner else plan]
        status = _STATUS.get(call.finish, CallStatus.INVALID)
        verdict = None
        if status is CallStatus.OK and not planner:
            verdict = Verdict(bool(call.verdict), None, float("nan") if call.p_ok is None else call.p_ok)
        return Answer(
            decision=0,
            role=action.role,
            level=action.level,
            status=status,
            seconds=call.total_s * stretch,
            backend="recorded",
            tokens_in=call.tokens_in,
            tokens_out=call.tokens_out,
            plan=self._plans[call.plan] if status is CallStatus.OK and planner and call.plan is not None else None,
            verdict=verdict,
            confidence=np.nan if call.confidence is None else call.confidence,
        )
