"""Each fault of `bench planner`, once, through its backend: nothing raises, nothing is late, nothing stale is used."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.reasoner.answer_text import read_answer
from rarrl.reasoner.base import Request
from rarrl.reasoner.openai import OpenAiReasoner
from rarrl.types import Role
from rarrl_learning.reasoner import benchmark
from rarrl_learning.reasoner.faults import SERVER_FAULTS, WORKER_FAULTS, FaultyServer
from rarrl_learning.reasoner.injection import rows_of

QUICK_SERVER = [kind for kind in SERVER_FAULTS if kind not in ("hang", "half-open TCP", "slow drip", "slow headers")]
QUICK_WORKER = [kind for kind in WORKER_FAULTS if kind not in ("hang", "earlier id")]


def clean(row):
    return [row[key] for key in ("uncaught", "stale_applied", "plan_without_ok")] == [0, 0, 0]


@pytest.mark.parametrize("kind", QUICK_WORKER)
def test_worker_faults(kind):
    row = benchmark._count(lambda: benchmark._faulty_worker(kind), 1)
    assert clean(row), row
    if kind == "late":
        assert row["status"] == {"OK": 1, "TIMEOUT": 1}
    else:
        assert "OK" not in row["status"]


@pytest.mark.parametrize("kind", ["", *QUICK_SERVER])
def test_server_faults(kind):
    with FaultyServer(kind) as server:
        row = benchmark._count(lambda: OpenAiReasoner(server.url, "m"), 1)
    assert clean(row), row
    if kind == "":
        assert row["status"] == {"OK": 2}
    elif kind == "late":
        assert row["status"] == {"OK": 1, "TIMEOUT": 1}
    elif kind not in ("NaN numbers", "text for numbers"):  # the token counts are wrong there, the plan is not
        assert "OK" not in row["status"]


def test_the_count_can_lose():
    """A backend that raises, is late, or answers an earlier goal, is caught by the benchmark."""

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

    row = benchmark._count(Bad, 1)
    assert (row["uncaught"], row["stale_applied"]) == (1, 1)


KEYS = st.sampled_from(["plan", "ok", "fault", "reasoning", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.text(max_size=300) | VALUES.map(json.dumps))
def test_any_text_is_an_answer_or_a_value_error(text):
    for role in Role:
        try:
            read_answer(text, role)
        except ValueError as error:
            assert len(str(error)) < 500
    rows_of(text)
