"""Calls side by side: no more than the server bears, none before it is due, none lost, and latencies without waits."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from chat_servers import PLAN, ChatServer, refuses, whole

from rarrl.build import make_reasoner
from rarrl.errors import InputError, RarrlError
from rarrl.reasoner.base import Answer, Request
from rarrl.types import CallStatus, Role
from rarrl_learning.reasoner import pace as module
from rarrl_learning.reasoner.pace import Pace, PacedReasoner
from rarrl_learning.reasoner.record import (
    RecordConfig,
    make_header,
    record_profile,
    server_reasoner,
    shipped_tasks,
)

HEARD_S = 1.0
"""Within which a client on a busy machine has heard of a refusal."""
FIRST = Request(0, Role.PLANNER, 1, "put a mug on the shelf", 20.0)


def test_a_refusal_halves_the_limit_once_for_a_burst_and_answers_raise_it_again():
    pace = Pace(8)
    for _ in range(8):
        assert pace.may_begin(0.0)
        pace.begins()
    assert not pace.may_begin(0.0), "no more than 8"

    pace.ends(1.0, refused_s=2.0)
    pace.ends(1.1, refused_s=0.5)  # the same burst; its shorter wait does not shorten the longer one
    assert (pace.limit, pace.not_before) == (4.0, 3.0)
    for _ in range(6):
        pace.ends(1.2)
    assert not pace.may_begin(2.9) and pace.may_begin(3.0)
    assert 5.0 < pace.limit < 6.0, "6 answers at 4 a round: one and a half more"
    for _ in range(200):
        pace.begins()
        pace.ends(4.0)
    assert pace.limit == 8.0


def test_the_limit_never_falls_below_one():
    pace = Pace(2)
    for at in range(5):
        pace.begins()
        pace.ends(float(at), refused_s=0.0)
    assert pace.limit == 1.0 and pace.may_begin(5.0)


class Busy:
    """A server with `places`, which answers 429 to whoever comes when all are taken, and counts."""

    def __init__(self, places: int, retry_s: float, takes_s: float = 0.05) -> None:
        self.places, self.retry_s, self.takes_s = places, retry_s, takes_s
        self.inside = self.peak = self.refused = self.answered = self.early = 0
        self.refused_at = -math.inf
        self._lock = threading.Lock()

    def __call__(self, body):
        now = time.monotonic()
        with self._lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            full = self.inside > self.places
            self.early += self.refused_at + HEARD_S < now < self.refused_at + self.retry_s - 0.05
            if full:
                self.refused += 1
                self.refused_at = now
        try:
            time.sleep(0.0 if full else self.takes_s)
            if full:
                return refuses(429, "too many requests", Retry_After=str(self.retry_s))
            self.answered += 1
            return whole(PLAN, prompt_tokens=10, completion_tokens=5)
        finally:
            with self._lock:
                self.inside -= 1


def recorded(url: str, config: RecordConfig, out: Path):
    tasks, data = shipped_tasks(config)
    made = server_reasoner(lambda: make_reasoner(f"openai:{url}#model"), config)
    try:
        header = make_header("mine", made.name, config)
        return record_profile(made, tasks, config, header, out / "mine.calls.jsonl", data), made
    finally:
        made.close()


def test_a_busy_server_gets_no_more_than_it_bears_and_no_call_is_lost(tmp_path):
    server = Busy(places=3, retry_s=1.5)
    config = RecordConfig("openai", "household_tasks", n=24, roles=(Role.PLANNER,), levels=(1,), concurrency=8)
    with ChatServer(server) as busy:
        profile, paced = recorded(busy.url, config, tmp_path)
    records = profile.records or ()
    assert [record.task for record in records] == list(range(24)), "in order, though they came in another"
    assert {record.finish for record in records} == {"stop"}
    assert server.refused and server.peak <= 8 and paced.refusals == server.refused
    assert server.early == 0, "Retry-After holds back every call, not only the one that was told"
    assert paced.pace.limit < 8.0
    assert server.refused < 24, "the limit fell, so that refusals became few"
    assert max(record.total_s for record in records) < 1.5, "what a call waited is no part of its latency"
    assert "8 tasks asked about side by side" in profile.header.measured
    assert "--concurrency 8" in profile.header.command


def test_side_by_side_records_what_one_at_a_time_does(tmp_path):
    config = RecordConfig("openai", "household_tasks", n=6, roles=(Role.PLANNER,), levels=(1, 2))
    found = []
    with ChatServer(lambda body: whole(PLAN, prompt_tokens=10, completion_tokens=5)) as quick:
        for number, concurrency in enumerate((1, 4)):
            folder = tmp_path / str(number)
            folder.mkdir()
            profile, _ = recorded(quick.url, replace(config, concurrency=concurrency), folder)
            found.append([replace_times(record) for record in profile.records or ()])
        with pytest.raises(InputError, match="concurrency"):
            recorded(quick.url, replace(config, concurrency=2), tmp_path / "1")
    assert found[0] == found[1] and len(found[0]) == 12


def replace_times(record):
    return record.model_copy(update={"total_s": 0.0, "ttft_s": 0.0})


class Refusing:
    """A reasoner whose server is always busy."""

    name = "refusing"

    def __init__(self) -> None:
        self.line = None
        self.asked = 0

    def ask(self, request: Request) -> Answer:
        self.asked += 1
        self.line.told.append(0.0)
        return Answer(request.decision, request.role, request.level, CallStatus.BACKEND_DOWN, 0.0, self.name)

    def close(self) -> None:
        pass


def test_a_server_that_stays_busy_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "LEAST_PAUSE_S", 0.0)
    refusing = Refusing()
    paced = PacedReasoner([refusing], FIRST)
    refusing.line = paced._free.get()
    paced._free.put(refusing.line)
    with pytest.raises(RarrlError, match="too busy 50 times"):
        paced.ask(FIRST)
    assert refusing.asked == module.MOST_REFUSALS
    paced.close()
    with pytest.raises(RarrlError, match="closed"):
        paced.ask(FIRST)


def test_a_server_that_goes_away_ends_all_and_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("rarrl_learning.reasoner.record.DOWN_WAITS_S", (0.0,))
    config = RecordConfig("openai", "household_tasks", n=12, roles=(Role.PLANNER,), levels=(1,), concurrency=3)
    answered = []
    up = threading.Event()

    def dies(body):
        if len(answered) >= 9 and not up.is_set():
            return refuses(500, "out of order")
        answered.append(1)
        return whole(PLAN, prompt_tokens=10, completion_tokens=5)

    with ChatServer(dies) as server:
        url = server.url
        with pytest.raises(RarrlError, match="is down"):
            recorded(url, config, tmp_path)
        kept = len((tmp_path / "mine.calls.jsonl").read_text().splitlines()) - 1
        assert 0 < kept <= 9 - 3, "less warm-up calls"
        up.set()
        profile, _ = recorded(url, config, tmp_path)
    assert [record.finish for record in profile.records or ()] == ["stop"] * 12
    assert len(answered) <= 9 + (12 - kept) + 3, "what was kept is not asked again; each reasoner is warmed up"


def test_only_a_server_is_asked_side_by_side(tmp_path):
    from typer.testing import CliRunner

    from rarrl.cli import app

    result = CliRunner().invoke(
        app, ["profile", "record", "--out", str(tmp_path / "p.json"), "--llm", "llama", "--concurrency", "2"]
    )
    assert result.exit_code == 2 and "--concurrency: only with --llm openai" in result.stderr
