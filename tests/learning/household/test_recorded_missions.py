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
from rarrl_learning.household.hosted_calls import HostedCalls
from rarrl_learning.household.record_answers import HELD_OUT_SEED, MissionAnswers, mission_task
from rarrl_learning.household.recorded_missions import RecordedMissionsCore
from rarrl_learning.household.train_orchestrator import MISSION
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_learning.orchestrator.scenarios import fixed_episodes
from rarrl_sim_envs.alfred.episodes import EpisodeConfig, EpisodeSampler
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


def test_missions_of_nine_choices_at_a_hosted_models_latencies(profile):
    hosted = HostedCalls(load_profile("together-70b"))
    core = RecordedMissionsCore(profile, known_goals(), 12, hosted=[hosted], beside=True, time_share=1.0)
    config = EpisodeConfig(time_budget_s=60.0, token_budget=6000.0, cost_weight=0.002)
    fixed = fixed_episodes(EpisodeSampler(core.recordings.bank, [hosted.table], config), np.arange(12), 0)
    seconds = {}
    for beside in (False, True):
        rule = make_rule("interval", every=2, recipe="P2", beside=beside)
        first, again = rollout(core, fixed, rule), rollout(core, fixed, rule)
        assert (first.success == again.success).all() and (first.seconds == again.seconds).all()
        assert first.calls.sum() > 12 and first.seconds.mean() > 3.0 and first.tokens.mean() > 400.0
        seconds[beside] = np.mean([env.world.steps for env in core.envs]) * 0.1
        assert not any(executive.stale_applied for executive in core.executives)
    assert seconds[True] < 0.9 * seconds[False]

    core.begin(np.arange(12), fixed)
    mask = core.situation().choice_mask()
    assert mask[5:].any() and core.observe().shape == (12, core.width)
    result = core.step(np.full(12, 6), mask)
    waits = core.situation().thinking
    assert waits.any() and (result.seconds[waits] == 0.0).all() and (core.time_s[waits] == 60.0).all()
    assert not core.situation().choice_mask()[1:, waits].any()
    assert (result.reward <= 0.0).all()


def test_calls_cost_what_the_hosted_model_took_and_a_lost_one_has_no_answer(profile):
    calls, answers = HostedCalls(load_profile("perplexity-70b")), MissionAnswers(profile)
    own = answers.answer(0, Action.PLANNER_2, Plan(()))
    slow = [calls.cost(own, Action.PLANNER_2, 5, number) for number in range(400)]
    assert slow == [calls.cost(own, Action.PLANNER_2, 5, number) for number in range(400)]
    assert np.mean([answer.seconds for answer in slow]) == pytest.approx(calls.table.costs.mean_s[1], rel=0.1)
    lost = [answer for answer in slow if answer.status is CallStatus.INVALID]
    assert lost and all(answer.plan is None for answer in lost) and len(lost) < 40
    assert all(answer.plan == own.plan for answer in slow if answer.status is CallStatus.OK)
