"""Missions without driving: like those with it, the same twice, and with the interface of the replayed ones."""

import numpy as np
import pytest

from rarrl.alfred_plans import alfred_plan, same_plan
from rarrl.latency.profile import load_profile
from rarrl.orchestrator.features import ALL_FEATURE_NAMES
from rarrl.orchestrator.rules import make_rule
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan
from rarrl.types import Action, ActStatus, CallStatus, Role
from rarrl_learning.household.record_answers import HELD_OUT_SEED, MissionAnswers, mission_task
from rarrl_learning.household.recorded_missions import RecordedMissionsCore
from rarrl_learning.household.train_orchestrator import MISSION
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_learning.orchestrator.scenarios import fixed_episodes
from rarrl_sim_envs.alfred.episodes import EpisodeSampler
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.drivers import ExpertDriver
from rarrl_sim_envs.household.robot.executive import HouseholdExecutive
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver
from rarrl_sim_envs.household.tasks import remaining_plan


@pytest.fixture(scope="module")
def profile():
    return load_profile("household-heldout")


def drive(driver, people, n, disturbance=1.0):
    """Success and seconds of n missions with the right plan, put in force again after each failure."""
    env = HouseholdEnv(stereo=False, people=people, disturbance=disturbance)
    executive, done, seconds = HouseholdExecutive(env, driver, known_goals(4), 100.0, 1e6), [], []
    for number in range(n):
        executive.begin(number)
        answer = Answer(0, Role.PLANNER, 1, CallStatus.OK, 0.0, "", plan=alfred_plan(_rows(executive)))
        executive.take(Action.PLANNER_1, answer)
        while not executive.done:
            if executive.act().status is not ActStatus.SUCCESS and not executive.done:
                executive.take(Action.PLANNER_1, answer)
        done.append(executive.success)
        seconds.append(env.world.steps * 0.1)
    return np.mean(done), np.mean(seconds)


def _rows(executive):
    return remaining_plan(executive.env.world, executive.env.mission.task)


def test_what_is_known_is_right_and_repeatable():
    known = known_goals(4)
    assert known is known_goals(4)
    env = HouseholdEnv(stereo=False)
    env.reset(seed=HELD_OUT_SEED)
    recalled = known.recall(env.mission.task.goal)
    assert recalled.plan.steps and 0 <= recalled.similarity <= 1 and recalled.words > 0


@pytest.mark.slow
def test_skipping_the_drive_comes_to_what_driving_comes_to():
    driver = TeleportDriver()
    skipped, skipped_s = drive(driver, 0, 30)
    driven, driven_s = drive(ExpertDriver(), 2, 30)
    assert abs(skipped - driven) <= 0.1 and skipped_s == pytest.approx(driven_s, rel=0.2)
    assert drive(driver, 0, 3) == drive(TeleportDriver(), 0, 3)  # ways that are known change nothing
    assert drive(driver, 0, 12, disturbance=0.0)[0] == 1.0


def test_a_recording_is_of_the_missions_that_it_names(profile):
    answers = MissionAnswers(profile)
    env = HouseholdEnv(stereo=False)
    for row in (0, 7):
        task = mission_task(env, answers.seed(row), known_goals())
        recorded = profile.tasks[row]
        assert task.expert == Plan.from_rows(profile.plans[recorded.expert])
        assert task.default.plan == Plan.from_rows(profile.plans[recorded.default])
        assert task.home == profile.homes[recorded.home]
        planned = answers.answer(row, Action.PLANNER_2, task.default.plan, 2.0)
        judged = answers.answer(row, Action.VERIFIER_1, task.default.plan)
        assert planned.role is Role.PLANNER and planned.plan is not None and planned.seconds > 0
        assert judged.verdict is not None and judged.seconds < planned.seconds


def test_the_core_plays_like_the_player(profile):
    core = RecordedMissionsCore(profile, known_goals(), 8)
    config = MISSION
    sampler = EpisodeSampler(core.recordings.bank, [core.recordings.table], config)
    fixed = fixed_episodes(sampler, np.arange(8), 0)
    rule = make_rule("after_failure", failures=1, recipe="P1V1")
    first, again = rollout(core, fixed, rule), rollout(core, fixed, rule)
    assert (first.success == again.success).all() and (first.acts == again.acts).all()
    assert first.calls.sum() > 0 and (first.seconds <= 20.0).all()
    assert core.observe().shape == (8, len(ALL_FEATURE_NAMES)) and np.isfinite(core.observe()).all()
    core.begin(np.arange(8), fixed)
    for i, executive in enumerate(core.executives):
        view = core.situation().plan
        assert view.similarity[i] == executive.status.similarity and core.time_s[i] == 20.0
    result = core.step(np.full(8, int(Action.PLANNER_2)))
    assert (result.act_status == -1).all() and (core.time_s < 20.0).all() and (result.reward <= 0).all()
    core.tokens[:] = 0.0
    for executive in core.executives:
        executive.budget_left = (0.0, 0.0)
    assert (core.step(np.full(8, int(Action.PLANNER_2))).tokens == 0.0).all()


def test_the_default_plan_is_right_as_often_as_recorded(profile):
    plans = [Plan.from_rows(rows) for rows in profile.plans]
    same = [same_plan(plans[task.default], plans[task.expert]) for task in profile.tasks]
    assert same == [task.default_correct for task in profile.tasks] and 0.25 < np.mean(same) < 0.55
