"""Tables in the picture: every cell and sentence stands in it, below the missions."""

import pytest
from mission_fixtures import played, result

from rarrl_learning.household.report.figure import render
from rarrl_learning.household.report.mission_table import NOTE, Block
from rarrl_learning.household.report.table_picture import lines_of


def blocks(policies):
    results = {name: [result(name, seed, seed > 2 * i) for seed in range(9)] for i, name in enumerate(policies)}
    return [Block.of(thinker, 2.0, results) for thinker in ("the shipped model", "a hosted 70B model")]


def test_the_picture_has_the_table_of_many_missions(monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")  # text stays text
    table = blocks(("never", "always", "learned"))
    run = played("learned")
    text = render([run.trace], [run.result], "svg", table=table).decode()
    for block in table:
        assert block.title in text
        for row in block.rows():
            assert all(cell in text for cell in row.cells())
    assert NOTE[:40] in text and "its best rival" in text


def test_more_policies_are_more_lines():
    assert lines_of(blocks("abcd")) - lines_of(blocks("abc")) == pytest.approx(2)
    assert lines_of([]) == 0
