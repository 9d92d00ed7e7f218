"""Conditions on recorded answers; those of ALFRED replay: tests/sim_envs/alfred/test_episodes.py."""

from dataclasses import replace
from typing import Any

import numpy as np

from rarrl_learning.orchestrator.scenarios import (
    AMPLE_TOKENS,
    SKILLSET_CONDITIONS,
    recorded_conditions,
    recorded_training,
    with_tokens,
)


def test_budgets_of_recorded_answers_scale_with_the_models_calls(make_table: Any) -> None:
    seconds = np.array([2.0, 4.0, 1.0, 1.0])[:, None].repeat(5, axis=1)  # each call once: 4 planner-1 calls
    table = make_table(seconds)
    conditions = recorded_conditions(table)
    assert conditions["binding"].budget_calls == (1.0, 8.0)
    assert conditions["unbound"].budget_calls == (4000.0, 4000.0)
    assert recorded_training(table).budget_calls == (0.5, 80.0)
    assert {config.token_budget for config in conditions.values()} == {AMPLE_TOKENS}


def test_a_model_whose_answers_were_judged_is_bounded_in_seconds_alone(make_table: Any) -> None:
    table, answers = make_table(np.ones((4, 5))), SKILLSET_CONDITIONS["answers"]
    assert with_tokens(answers, [table]) == answers
    judged = replace(table, judged=np.ones((2, 4), np.int64))
    assert with_tokens(answers, [table, judged]) == replace(answers, token_budget=AMPLE_TOKENS)
