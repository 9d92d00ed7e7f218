"""A task as a trial: what counts against its row, by hand-made tasks."""

import pytest

from rarrl_nodes.faults import executive
from rarrl_nodes.faults.campaign import outcome_of

ROW = executive.rows()[0]


def failed(**changes):
    task = executive.Task(status="succeeded", done=True, skills=9)
    for name, value in changes.items():
        setattr(task, name, value)
    return outcome_of(ROW, [executive.judged(task)])["failed"]


def test_a_task_that_was_done_is_fine_and_so_is_one_that_failed_with_a_reason():
    assert failed() == failed(status="failed", why="its server is gone") == failed(done=False) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "lost"}, "lost_tasks 1"),
        ({"two_goals_at_once": 1}, "1 of 9 outputs unsafe"),
        ({"stale_applied": 2}, "2 of 9 outputs unsafe"),
        ({"complained": False}, "silent 1"),
    ],
)
def test_what_must_not_happen(changes, why):
    assert why in failed(**changes)


def test_a_success_that_was_none_is_told():
    task = executive.Task(status="succeeded", done=False)
    assert executive.judged(task).counts["false_success"] == 1


def test_every_fault_has_a_row_and_its_mode():
    assert {row.name for row in executive.rows()} == {name for name, _, _ in executive.NAMES.values()}
    assert set(executive.MODES) | set(executive.FLOODS) | set(executive.RULES) <= set(executive.NAMES)
