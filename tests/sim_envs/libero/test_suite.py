"""LIBERO's suites and LIBERO-PRO's changes of them."""

import pytest

from rarrl_sim_envs.libero.suite import PLAIN, SUITES
from rarrl_sim_envs.libero.tasks import PERTURBATIONS


def test_each_suite_has_ten_tasks_and_four_changes():
    assert [suite.name for suite in PLAIN] == ["libero_object", "libero_goal", "libero_spatial"]
    assert len(SUITES) == len(PLAIN) * (1 + len(PERTURBATIONS))
    for suite in SUITES:
        assert len(suite.tasks) == 10
        assert suite.make.folder == suite.name
    assert [suite.play_steps for suite in PLAIN] == [280, 300, 220]  # as published evaluations allow


def test_a_change_is_played_with_its_own_words_alone():
    changed = SUITES[len(PLAIN) :]
    assert {suite.kinds for suite in changed} == {("trained",)}
    assert all(list(suite.figures) == [f"success_{suite.name.rsplit('_', 1)[1]}"] for suite in changed)


def test_the_gripper_is_never_disturbed():
    for suite in SUITES:
        assert suite.noise[-1] == 0
        assert len(suite.noise) == len(suite.robot.action_names)


@pytest.mark.parametrize("suite", PLAIN, ids=lambda suite: suite.name)
def test_the_control_asks_for_what_an_expert_does(suite):
    for name in suite.tasks:
        assert suite.tasks[suite.control.task(name, 0)].scripted
