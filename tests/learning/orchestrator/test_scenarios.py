"""Conditions on recorded answers; those of ALFRED replay: tests/sim_envs/alfred/test_episodes.py."""

from typing import Any

import numpy as np

from rarrl_learning.orchestrator.scenarios import AMPLE_TOKENS, recorded_conditions, recorded_training


def test_budgets_of_recorded_answers_scale_with_the_models_calls(make_table: Any) -> None:
    seconds = np.array([2.0, 4.0, 1.0, 1.0])[:, None].repeat(5, axis=1)  # each call once: 4 planner-1 calls
    table = make_table(seconds)
    conditions = recorded_conditions(table)
    assert conditions["binding"].budget_calls == (1.0, 8.0)
    assert conditions["unbound"].budget_calls == (4000.0, 4000.0)
    assert recorded_training(table).budget_calls == (0.5, 80.0)
    assert {config.token_budget for config in conditions.values()} == {AMPLE_TOKENS}
