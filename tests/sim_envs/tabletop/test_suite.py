"""The tabletop's starts and its control."""

from rarrl_sim_envs.tabletop.suite import SUITE


def test_each_task_learns_from_images_of_its_own():
    starts = [SUITE.start(name, i) for name in SUITE.tasks for i in range(3)]
    assert sorted(starts) == list(range(3 * 24))


def test_the_wrong_instruction_depends_on_the_start_and_is_never_the_right_one():
    for name in SUITE.tasks:
        others = [SUITE.control.task(name, start) for start in range(30)]
        assert name not in others
        assert len(set(others)) > 8
        assert others == [SUITE.control.task(name, start) for start in range(30)]
