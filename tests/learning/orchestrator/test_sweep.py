"""A sweep: each cell is trained once, comes out the same wherever it is trained, and goes on where it was."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from safetensors.numpy import load, load_file
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.errors import InputError
from rarrl.orchestrator.learned import load_learned
from rarrl_learning.orchestrator.sweep import RESULTS, Cell, grid, run_sweep, train_cell
from rarrl_learning.spread import crew

needs_sb3 = pytest.mark.skipif(find_spec("sb3_contrib") is None, reason="training is not installed: rarrl[train]")
SMALL = 40_000
"""Decisions: one rollout of 1024 environments and a bit."""


class Trained:
    """Stands for a training: the weights are the cell's name."""

    def __init__(self, dies_at: int = -1) -> None:
        self.cells: list[Cell] = []
        self.dies_at = dies_at

    def __call__(self, cell, alfred, split, replicas):
        if len(self.cells) == self.dies_at:
            raise KeyboardInterrupt
        self.cells.append(cell)
        row = {"success": 0.1 * (cell.seed + 1), "llm_seconds": 2.0, "calls": 1.0, "misses": 0.0, "episodes": 4}
        return cell.name.encode(), {"cell": vars(cell), "data": "none", "row": row}


def test_a_grid_is_every_combination_once():
    cells = grid([0, 1], [3.0, None], ["groq-70b"], [0.01], 100)
    assert [cell.name for cell in cells] == [
        "seed0_budget3_groq-70b_price0.01",
        "seed1_budget3_groq-70b_price0.01",
        "seed0_budget-any_groq-70b_price0.01",
        "seed1_budget-any_groq-70b_price0.01",
    ]
    assert cells[0].episodes.budget_calls == (3.0, 3.0) and cells[0].episodes.call_price == (0.01, 0.01)
    assert cells[2].episodes.budget_calls == (1.0, 100.0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"budgets": [0.0]}, "--budgets: 0"),
        ({"prices": [float("nan")]}, "--prices"),
        ({"profiles": ["household"]}, "recorded answers"),
        ({"profiles": ["grok"]}, "grok"),
        ({"seeds": [1, 1]}, "two cells"),
    ],
)
def test_a_bad_grid_is_refused(changed, told):
    values = {"seeds": [0], "budgets": [None], "profiles": ["any"], "prices": [None], **changed}
    with pytest.raises(InputError, match=told):
        grid(**values, steps=100)


def test_what_is_done_is_not_trained_again(tmp_path):
    cells = grid([0, 1, 2], [None], ["any"], [None], 100)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(cells, tmp_path, one=Trained(dies_at=2))
    assert not (tmp_path / RESULTS).exists()
    (tmp_path / cells[1].name / "card.json").unlink()  # killed between weights and card

    again = Trained()
    told = []
    document = run_sweep(cells, tmp_path, one=again, progress=lambda done, text: told.append(done))
    assert [cell.seed for cell in again.cells] == [1, 2] and told == [2, 3]
    assert [row["seed"] for row in document["tables"]["cells"]] == [0, 1, 2]
    figure = document["figures"]["success_budget-any_any_price-any"]
    assert (figure["lo"], figure["hi"], figure["n"]) == (0.1, pytest.approx(0.3), 3)
    assert json.loads((tmp_path / RESULTS).read_text()) == document

    with pytest.raises(InputError, match="another sweep"):
        run_sweep(grid([0], [None], ["any"], [None], 200), tmp_path, one=again)
    (tmp_path / cells[0].name / "card.json").write_text("{}")
    with pytest.raises(InputError, match="no card of a sweep"):
        run_sweep(cells, tmp_path, one=again)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--seeds", "a", "--seeds"),
        ("--seeds", "4-0", "--seeds"),
        ("--budgets", "few", "--budgets"),
        ("--prices", ",", "nothing"),
    ],
)
def test_bad_options_get_one_line(tmp_path, option, value, told):
    result = CliRunner().invoke(app, ["sweep", "orchestrator", "--out", str(tmp_path), option, value])
    assert result.exit_code == 2 and told in result.stderr and len(result.stderr.splitlines()) == 1


@needs_sb3
@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    cells = grid([0, 1], [6.0], ["groq-70b"], [0.01], SMALL)
    here = {cell: train_cell(cell, "", None, 1) for cell in cells}
    with crew(2) as pool:
        document = run_sweep(cells, tmp_path, pool)
    for cell, (weights, card) in here.items():
        there = load_file(tmp_path / cell.name / "policy.safetensors")
        for name, values in load(weights).items():
            np.testing.assert_array_equal(there[name], values, err_msg=name)
        row = next(row for row in document["tables"]["cells"] if row["name"] == cell.name)
        assert {name: row[name] for name in card["row"]} == card["row"]
        assert np.isfinite(load_learned(tmp_path / cell.name).weights[0]).all()
    first, second = (card["row"] for _, card in here.values())
    assert first != second, "the seed matters"
