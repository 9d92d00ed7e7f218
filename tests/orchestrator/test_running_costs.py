"""The expected costs of calls follow the calls that are made."""

import json

import numpy as np
import pytest

from rarrl.latency.replay import ThinkCosts
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.rules import make_rule
from rarrl.orchestrator.running_costs import COLD_AFTER_S, CostsOfRobots, RunningCosts
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


class Now:
    """A clock that is set by hand."""

    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


def robot(now=None):
    return RunningCosts(PRIOR, now or Now())


def after(*calls):
    costs = robot()
    for each in calls:
        costs.observe(each)
    return costs


def test_without_a_call_the_profile_is_believed():
    costs = robot()
    for name in ("mean_s", "p95_s", "mean_tokens", "max_tokens"):
        assert np.allclose(getattr(costs, name), getattr(PRIOR, name))


def test_calls_of_one_kind_tell_of_the_others_too():
    costs = after(*[call(seconds=8.0, tokens=300.0)] * 4)
    assert costs.mean_s[0] == pytest.approx(8.0, rel=0.15)
    assert costs.mean_s[1:] == pytest.approx([16.0, 8.0, 16.0], rel=0.2)
    assert costs.mean_tokens == pytest.approx(300.0, rel=0.1)
    assert costs.max_tokens == pytest.approx(1200.0, rel=0.1)


def test_the_kinds_are_told_apart_where_they_differ():
    costs = after(*[call(Action.PLANNER_1, 1.0), call(Action.VERIFIER_1, 2.5)] * 15)
    assert costs.mean_s[0] < 1.4 < 2.0 < costs.mean_s[2]


@pytest.mark.parametrize(
    "made, slower",
    [
        (call(status=CallStatus.TIMEOUT, seconds=20.0, tokens=0.0), True),  # at least so long
        (call(status=CallStatus.INVALID), True),
        (call(status=CallStatus.REFUSED), True),
        (call(status=CallStatus.BACKEND_DOWN), False),  # says nothing of an answer
        (call(status=CallStatus.BUDGET, seconds=0.0), False),  # was never made
    ],
)
def test_what_a_failed_call_tells(made, slower):
    costs = after(made)
    assert (costs.mean_s[0] > 2.0) if slower else (costs.mean_s[0] == pytest.approx(1.0))
    tokens_told = slower and made.status is not CallStatus.TIMEOUT
    assert (costs.mean_tokens[0] > 120.0) if tokens_told else (costs.mean_tokens[0] == pytest.approx(100.0))


def test_a_call_that_was_given_up_early_tells_little_and_one_given_up_late_much():
    early, late = (after(*[call(status=CallStatus.TIMEOUT, seconds=s)] * 3).mean_s[0] for s in (0.2, 10.0))
    assert early < 1.4
    assert late > 10.0, "each would have taken longer than that"


def test_one_slow_call_is_half_believed_and_forgotten_after_normal_ones():
    costs = after(*[call(seconds=0.9)] * 10)
    before = costs.mean_s[0]
    costs.observe(call(seconds=9.0))
    assert before < costs.mean_s[0] < 6.0
    for _ in range(4):
        costs.observe(call(seconds=0.9))
    assert costs.mean_s[0] == pytest.approx(before, rel=0.2)


def test_a_server_that_becomes_slow_is_believed_after_three_calls():
    costs = after(*[call(seconds=0.9)] * 50, *[call(seconds=8.0)] * 3)
    assert costs.mean_s[0] > 6.0
    assert costs.p95_s[0] > 8.0


SPREAD = 0.4


def run_of_calls(factor, spread=SPREAD, robots=1500, before=30, after_=40, seed=0):
    """Whether each call stayed below the predicted 95 % quantile, (calls, robots); and the predicted means."""
    rng, rows = np.random.default_rng(seed), np.arange(robots)
    mean = np.array([1.0, 2.0, 0.5, 1.0])
    costs = CostsOfRobots(mean, mean * np.exp(1.645 * SPREAD - SPREAD**2 / 2), mean * 100, mean * 400, robots)
    below, means, no = [], [], np.zeros(robots, bool)
    for number in range(before + after_):
        kind = rng.integers(0, 4, robots)
        seconds = mean[kind] * np.exp(-(SPREAD**2) / 2 + spread * rng.standard_normal(robots))
        seconds *= factor if number >= before else 1.0
        below.append(seconds <= costs.p95_s[kind, rows])
        means.append(np.median(costs.mean_s[0]))
        costs.observe(rows, kind, seconds, np.zeros(robots), no, no)
        costs.update()
    return np.array(below).mean(axis=1), np.array(means)


def test_95_percent_of_the_calls_stay_below_the_quantile_and_again_after_a_shift():
    below, means = run_of_calls(4.0)
    assert 0.93 <= below[5:30].mean() <= 0.97
    assert below[30] < 0.2, "nobody could know the first one"
    assert 0.93 <= below[34:].mean() <= 0.97
    assert means[29] == pytest.approx(1.0, rel=0.05)
    assert means[33] > 3.0, "three calls later"


@pytest.mark.parametrize("spread", [0.25, 0.55])
def test_the_spread_is_learnt_where_the_profile_is_wrong_about_it(spread):
    below, _ = run_of_calls(1.0, spread, after_=60)
    assert 0.93 <= below[-30:].mean() <= 0.99


def test_the_first_call_and_one_after_a_pause_are_expected_to_be_slow_once_such_calls_were():
    now = Now()
    costs = robot(now)
    for _ in range(6):  # a slow one, then three as the profile says, then a long pause
        for seconds in (5.0, 0.9, 0.9, 0.9):
            now.s += seconds
            costs.observe(call(seconds=seconds))
        now.s += 2 * COLD_AFTER_S
    assert costs.mean_s[0] > 3.0, "the pause is seen"
    now.s += 0.9
    costs.observe(call(seconds=5.0))
    assert costs.mean_s[0] < 1.6, "and forgotten with the call after it"


def test_what_was_learnt_outlives_a_restart():
    costs = after(*[call(seconds=6.0, tokens=200.0)] * 8)
    restarted = robot()
    restarted.remember(json.loads(json.dumps(costs.memory())))
    assert restarted.calls == 8
    assert np.allclose(restarted.mean_s, costs.mean_s, rtol=0.3)
    assert np.allclose(restarted.mean_tokens, costs.mean_tokens)
    assert np.allclose(restarted.max_tokens, costs.max_tokens)


def test_the_memory_of_something_else_is_refused():
    memory = robot().memory()
    memory["seconds"]["_mean"] = [[1.0]]
    with pytest.raises(ValueError, match="does not fit 1 robots"):
        robot().remember(memory)


def test_an_orchestrator_takes_its_own_calls_in():
    orchestrator = Orchestrator(make_rule("always"), robot(), 0.004)
    orchestrator.start(Budget.full(30.0, 10_000.0))
    orchestrator.record_call(call(seconds=20.0))
    assert orchestrator.costs.mean_s[0] > 5.0
    assert orchestrator.history.latency_log_ratio[0] == pytest.approx(np.log(20.0)), "against what was expected before"


def test_a_queue_costs_every_kind_of_call_the_same_seconds():
    short, long = Action.PLANNER_1, Action.PLANNER_2
    told, untold = robot(), robot()
    for wait_s in (0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0):
        seconds = 0.9 + wait_s
        told.observe(LlmCall(short, CallStatus.OK, seconds, 100.0, ttft_s=0.2 + wait_s))
        untold.observe(LlmCall(short, CallStatus.OK, seconds, 100.0))

    assert told.wait_s == pytest.approx(5.0, rel=0.1)
    assert told.mean_s[short - 1] == pytest.approx(5.9, rel=0.15)
    assert told.mean_s[long - 1] == pytest.approx(1.8 + 5.0, rel=0.15), "2 s of work, 5 s of waiting"
    assert untold.mean_s[long - 1] > 9.0, "who does not know of the queue takes the server for slower"


def test_a_busy_computer_is_seen_before_the_call_once_calls_were_seen_to_follow_it():
    slowdown = [1.0]
    costs = RunningCosts(PRIOR, Now(), slowdown=lambda: slowdown[0])
    for busy in (1.0, 1.0, 4.0, 4.0, 1.0, 1.0, 4.0, 4.0, 1.0):
        slowdown[0] = busy
        assert (costs.mean_s > 0.0).all()  # a decision looks at them
        costs.observe(call(seconds=0.9 * busy))

    assert costs.mean_s[0] == pytest.approx(1.0, rel=0.25)
    slowdown[0] = 4.0
    assert costs.mean_s[0] == pytest.approx(4.0, rel=0.25)
    assert costs.p95_s[0] > 4.0
