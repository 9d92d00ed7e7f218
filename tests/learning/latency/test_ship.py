import math

import pytest

from rarrl.types import THINK_ACTIONS
from rarrl_learning.latency.import_logs import ANSWER_MEDIAN_TOKENS
from rarrl_learning.latency.ship import gpt4o_mini_anchor


def test_the_anchor_has_the_papers_mean_and_quantile():
    planner = next(o for o in gpt4o_mini_anchor().parametric or () if (o.role, o.level) == ("planner", 1))
    assert math.exp(planner.mu + planner.sigma**2 / 2) == pytest.approx(0.82, abs=0.002)
    assert math.exp(planner.mu + 1.6449 * planner.sigma) == pytest.approx(1.34, abs=0.005)
    assert planner.tokens_in + planner.tokens_out == 380


def test_other_options_are_scaled_by_the_length_of_their_answers():
    options = {(o.role, o.level): o for o in gpt4o_mini_anchor().parametric or ()}
    assert len(options) == len(THINK_ACTIONS)
    ratio = ANSWER_MEDIAN_TOKENS["planner", 2] / ANSWER_MEDIAN_TOKENS["planner", 1]
    assert math.exp(options["planner", 2].mu - options["planner", 1].mu) == pytest.approx(ratio, rel=1e-3)
