"""Rows of budgets can lose: a log with a call too many, a breaker that never opens."""

from types import SimpleNamespace

import pytest

from rarrl.events import EndEvent, EpisodeEvent, ShockEvent, ThinkEvent
from rarrl.reasoner.breaker import CircuitBreaker
from rarrl_nodes.faults import budget

ROWS = {row.name: row for row in budget.rows()}


def log(*calls, shock=None):
    """Calls as (seconds, tokens) on a budget of 10 s and 1000 tokens; a cut to `shock` seconds comes first."""
    events = [EpisodeEvent.model_construct(time_budget_s=10.0, token_budget=1000.0)]
    if shock is not None:
        events.append(ShockEvent.model_construct(time_left_s=shock, tokens_left=1000.0))
    events += [ThinkEvent.model_construct(t0=0.0, t1=seconds, tokens=tokens) for seconds, tokens in calls]
    return [*events, EndEvent.model_construct()]


def test_calls_within_the_budget_are_fine():
    trial = budget.judged(log((4.0, 100.0), (5.0, 100.0)), 1.0)
    assert trial.unsafe == 0 and trial.counts == {"calls_after_exhaustion": 0, "lost_tasks": 0, "calls": 2}


@pytest.mark.parametrize(
    ("events", "late", "unsafe"),
    [
        (log((9.5, 10.0), (0.4, 10.0)), 1, 1),  # 0.5 s left, and no call takes less than 1 s
        (log((1.0, 1000.0), (1.0, 0.0)), 1, 1),
        (log((9.0, 10.0), (3.0, 10.0)), 0, 1),  # longer than was left
        (log((4.0, 10.0), (4.0, 10.0), shock=4.5), 1, 2),
    ],
)
def test_calls_beyond_the_budget_are_told(events, late, unsafe):
    trial = budget.judged(events, 1.0)
    assert (trial.counts["calls_after_exhaustion"], trial.unsafe) == (late, unsafe)


def test_an_episode_without_an_end_and_a_call_where_none_may_be():
    assert budget.judged(log()[:-1], 1.0).counts["lost_tasks"] == 1
    assert budget.judged(log((1.0, 1.0)), 1.0, none=True).unsafe == 1


@pytest.mark.parametrize("name", ["B1-wish", "B1-senseless", "L3"])
def test_quick_rows_hold(name):
    trials = ROWS[name].play(20, 3)
    assert len(trials) == 20 and sum(trial.unsafe for trial in trials) == 0


def test_a_spent_budget_in_episodes():
    trials = ROWS["B1-spent"].play(3, 0)
    assert len(trials) == 3 and all(trial.unsafe == 0 for trial in trials)


def test_a_breaker_that_never_opens_is_told(monkeypatch):
    monkeypatch.setattr(CircuitBreaker, "record", lambda self, ok: None)
    assert all(trial.unsafe for trial in budget.wedged(3, 0))


def test_wishes_beyond_the_budget_are_told(monkeypatch):
    from rarrl.orchestrator.features import Situation

    free = SimpleNamespace(mask=Situation.action_mask)
    monkeypatch.setattr(Situation, "action_mask", lambda self: free.mask(self) | True)
    assert sum(trial.counts["calls_after_exhaustion"] for trial in budget.wishes(20, 0)) > 0
