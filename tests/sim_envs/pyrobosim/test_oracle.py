"""Every mission can be done, and the simulator takes as long as the oracle reckoned."""

import pytest

pytest.importorskip("pyrobosim", reason='needs pip install "rarrl[pyrobosim]"')

from rarrl_sim_envs.pyrobosim.missions import TEST_SEEDS, VARIANTS, mission
from rarrl_sim_envs.pyrobosim.oracle import fastest, play


def test_it_fetches_and_no_more():
    m = mission(1, "plain", TEST_SEEDS[0])
    rows = fastest(m.robot(), m.goal)
    assert [(skill, *arguments.values()) for skill, arguments in rows] == [
        ("navigate", "pantry"),
        ("pick", "snacks"),
        ("navigate", "table"),
        ("place", "table"),
    ]
    assert play(m).success


def test_it_charges_first_where_the_battery_would_not_do():
    m = mission(1, "battery", TEST_SEEDS[0])
    assert fastest(m.robot(), m.goal)[0] == ("navigate", {"place": "charger"})
    assert play(m).success


def test_nothing_left_to_do_is_no_row():
    m = mission(1, "plain", TEST_SEEDS[0])
    robot = m.robot()
    play(m, robot)
    assert m.goal.met(robot.truth()) and fastest(robot, m.goal) == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_mission_can_be_done_three_times_over(number, variant):
    for seed in TEST_SEEDS[:10]:
        m = mission(number, variant, seed)
        played = play(m)
        assert played.success and played.seconds < m.horizon_s / 1.5, m.name
