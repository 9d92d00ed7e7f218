"""Meta-World's figures and its control."""

from rarrl_sim_envs.metaworld.env import MT10, SEVEN
from rarrl_sim_envs.metaworld.suite import SUITE


def test_the_headline_is_over_the_seven_tasks_without_grasping():
    assert SUITE.figures["success_f16"] == (SEVEN, "trained", "success")
    assert SUITE.figures["success_mt10"][0] == MT10
    assert set(SEVEN) < set(MT10)


def test_the_swapped_instruction_is_the_opposite_where_the_scene_has_one():
    opposites = {name: SUITE.info(name).opposite for name in SUITE.tasks}
    for name, opposite in opposites.items():
        assert SUITE.control.task(name, 0) == SUITE.control.rule[name]
        assert opposite in ("", SUITE.control.task(name, 0))
    assert opposites["drawer-open"] == "drawer-close"
    assert opposites["reach"] == ""  # drawer-open, whose scene looks different
