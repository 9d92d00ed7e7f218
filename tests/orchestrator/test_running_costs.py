"""The expected costs of calls follow the calls that are made."""

import numpy as np
import pytest

from rarrl.latency.replay import ThinkCosts
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.orchestrator.running_costs import RunningCosts
from rarrl.types import Action, Budget, CallStatus, LlmCall

PRIOR = ThinkCosts(
    mean_s=np.array([1.0, 2.0, 1.0, 2.0]),
    median_s=np.array([1.0, 2.0, 1.0, 2.0]),
    p95_s=np.array([2.0, 4.0, 2.0, 4.0]),
    mean_tokens=np.full(4, 100.0),
    max_tokens=np.full(4, 400.0),
    ok_rate=np.ones(4),
)


def call(action=Action.PLANNER_1, seconds=8.0, tokens=300.0, status=CallStatus.OK):
    return LlmCall(action, status, seconds, tokens)


def test_without_a_call_the_profile_is_believed():
    costs = RunningCosts(PRIOR)
    for name in ("mean_s", "p95_s", "mean_tokens", "max_tokens"):
        assert np.allclose(getattr(costs, name), getattr(PRIOR, name))


def test_calls_of_one_kind_tell_of_the_others_too():
    costs = RunningCosts(PRIOR)
    costs.observe(call(seconds=8.0, tokens=300.0))
    assert np.allclose(costs.mean_s, [8, 16, 8, 16])
    assert np.allclose(costs.p95_s, [16, 32, 16, 32])
    assert np.allclose(costs.mean_tokens, 300.0)
    assert np.allclose(costs.max_tokens, 1200.0)

    costs.observe(call(Action.VERIFIER_1, seconds=2.0))  # twice the profile; the others: sqrt(8 * 2) = 4 times
    assert np.allclose(costs.mean_s, [(4 + 8) / 2, 8.0, (4 + 2) / 2, 8.0])


@pytest.mark.parametrize(
    "made, mean_s",
    [
        (call(status=CallStatus.TIMEOUT, seconds=20.0, tokens=0.0), 20.0),  # at least so long
        (call(status=CallStatus.INVALID), 8.0),
        (call(status=CallStatus.REFUSED), 8.0),
        (call(status=CallStatus.BACKEND_DOWN), 1.0),  # says nothing of an answer
        (call(status=CallStatus.BUDGET, seconds=0.0), 1.0),  # was never made
    ],
)
def test_what_a_failed_call_tells(made, mean_s):
    costs = RunningCosts(PRIOR)
    costs.observe(made)
    assert costs.mean_s[0] == pytest.approx(mean_s)
    assert costs.mean_tokens[0] == pytest.approx(300.0 if made.tokens and mean_s == 8.0 else 100.0)


def test_a_server_that_becomes_slow_is_believed_after_a_while():
    costs = RunningCosts(PRIOR)
    for seconds in [1.0] * 100 + [9.0] * 20:
        costs.observe(call(seconds=seconds))
    assert costs.mean_s[0] == pytest.approx(9.0, rel=0.01)


def test_an_orchestrator_takes_its_own_calls_in():
    orchestrator = Orchestrator(make_rule("always"), RunningCosts(PRIOR), 0.004)
    orchestrator.start(Budget.full(30.0, 10_000.0))
    orchestrator.record_call(call(seconds=20.0))
    assert orchestrator.costs.mean_s[0] == pytest.approx(20.0)
    assert orchestrator.history.latency_log_ratio[0] == pytest.approx(np.log(20.0)), "against what was expected before"
