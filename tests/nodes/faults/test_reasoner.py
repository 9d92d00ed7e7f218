"""Each fault of a language model, once, through its backend: nothing raises, nothing stale is used."""

import pytest

from rarrl.reasoner.base import Request
from rarrl.reasoner.openai import OpenAiReasoner
from rarrl.types import Role
from rarrl_learning.reasoner.faults import SERVER_FAULTS, WORKER_FAULTS, FaultyServer
from rarrl_nodes.faults import reasoner
from rarrl_nodes.faults.campaign import outcome_of

QUICK_SERVER = [kind for kind in SERVER_FAULTS if kind not in ("hang", "half-open TCP", "slow drip", "slow headers")]
QUICK_WORKER = [kind for kind in WORKER_FAULTS if kind not in ("hang", "earlier id")]


def told(trials):
    """How often each status came; after the trials were found clean."""
    assert not any(trial.unsafe or trial.counts["exceptions"] or trial.counts["stale_applied"] for trial in trials)
    statuses = [name for trial in trials for name in trial.counts if name.isupper()]
    return {name: statuses.count(name) for name in statuses}


@pytest.mark.parametrize("kind", QUICK_WORKER)
def test_worker_faults(kind):
    statuses = told(reasoner.workers(kind)(2, 0))
    if kind == "late":
        assert statuses == {"OK": 1, "TIMEOUT": 1}
    else:
        assert "OK" not in statuses


@pytest.mark.parametrize("kind", ["", *QUICK_SERVER])
def test_server_faults(kind):
    statuses = told(reasoner.servers(kind)(2, 0))
    if kind == "":
        assert statuses == {"OK": 2}
    elif kind == "late":
        assert statuses == {"OK": 1, "TIMEOUT": 1}
    elif kind not in ("NaN numbers", "text for numbers"):  # the token counts are wrong there, the plan is not
        assert "OK" not in statuses


def test_the_rows_can_lose():
    """A backend that raises, or answers an earlier goal, is caught."""

    class Bad:
        name = "bad"

        def __init__(self):
            self.last = None

        def ask(self, request):
            if self.last is None:
                self.last = request
                raise RuntimeError
            with FaultyServer("") as server:
                return OpenAiReasoner(server.url, "m").ask(
                    Request(request.decision, Role.PLANNER, 1, self.last.goal, 5.0)
                )

        def close(self):
            pass

    outcome = outcome_of(reasoner.rows()[0], reasoner.calls(Bad, 2))
    assert (outcome["counts"]["exceptions"], outcome["counts"]["stale_applied"], outcome["unsafe"]) == (1, 1, 1)
    assert outcome["failed"]


def test_a_model_and_a_server_come_back():
    assert all(trial.recover_s is not None for trial in reasoner.worker_killed(1, 0))
    trials = reasoner.server_back(2, 0)
    assert all(trial.recover_s is not None and trial.unsafe == 0 for trial in trials)


def test_every_kind_of_fault_is_in_a_row():
    injected = ", ".join(row.injected for row in reasoner.rows())
    for kind in (*WORKER_FAULTS, *SERVER_FAULTS):
        told = {"dies": "abort", "connection refused": "refused"}.get(kind, kind)
        assert told in injected, kind
