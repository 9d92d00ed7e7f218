"""The expert in whole missions."""

from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.mission import run_mission


def test_the_expert_does_missions_of_each_type_without_touching_anything():
    twin = HouseholdEnv(stereo=False)
    runs = [run_mission(twin, seed) for seed in range(8)]
    assert sum(run.success for run in runs) >= 7
    assert sum(run.collisions for run in runs) == 0
    assert any(run.disturbed for run in runs)


def test_the_plan_of_the_start_does_not_survive_every_disturbance():
    env = HouseholdEnv(stereo=False, disturbance=3.0, time_limit_s=120.0)
    kept = [run_mission(env, seed, replans=False) for seed in range(4)]
    made_again = [run_mission(env, seed) for seed in range(4)]
    assert sum(run.success for run in kept) < sum(run.success for run in made_again)
    assert all(run.share == 1.0 for run in made_again if run.success)
    assert all(run.seconds <= 120.0 for run in kept + made_again)


def test_a_run_is_repeatable():
    env = HouseholdEnv(stereo=False)
    assert run_mission(env, 5) == run_mission(env, 5)
