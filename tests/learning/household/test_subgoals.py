import pytest

from rarrl_learning.household.subgoals import subgoal_figures


def test_figures_by_hand():
    found = {
        "PickupObject": [(True, True), (True, False), (False, False), (True, True)],
        "PutObject": [(True, False), (False, False), (True, True), (True, True)],
    }
    figures, rows = subgoal_figures(found)
    assert rows[0] == {"verb": "PickupObject", "episodes": 4, "done": 3, "at the first attempt": 2}
    success = figures["subgoal_success"]
    assert success.value == pytest.approx(6 / 8) and success.n == 8 and success.lo < 0.75 < success.hi
    assert figures["subgoal_first_try"].value == pytest.approx(4 / 8)
