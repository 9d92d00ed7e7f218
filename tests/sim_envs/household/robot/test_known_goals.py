"""Goals that were reached before: repeatable, of other missions, each with the plan that reached it."""

import numpy as np
import pytest

from rarrl.alfred_plans import alfred_plan
from rarrl_sim_envs.household.robot.known_goals import EXPERIENCE_PATH, known_goals, main
from rarrl_sim_envs.household.tasks import draw_mission, remaining_plan


def test_a_known_goal_is_found_with_the_plan_that_reached_it():
    known = known_goals(12)
    mission = draw_mission(np.random.default_rng([6007, 0, 3]))
    rows = [row for row in remaining_plan(mission.world(0, 0, 0.0), mission.task) if row[0] != "GotoLocation"]
    found = known.recall(mission.task.goal)
    assert found.plan == alfred_plan(rows)


def test_the_same_numbers_give_the_same_goals_and_another_seed_others():
    assert known_goals(5, 1) is known_goals(5, 1)
    goal = draw_mission(np.random.default_rng([6007, 1, 0])).task.goal
    assert known_goals(5, 1).recall(goal).similarity > known_goals(5, 2).recall(goal).similarity


def test_no_mission_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one plan"):
        known_goals(0)


def test_the_file_holds_what_would_be_drawn(tmp_path):
    main(tmp_path / "goals.jsonl")
    assert (tmp_path / "goals.jsonl").read_bytes() == EXPERIENCE_PATH.read_bytes()
