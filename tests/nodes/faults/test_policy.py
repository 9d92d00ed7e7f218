"""The policy's nonsense, and that a robot which takes it is told."""

import pytest

from rarrl.policy.actor import Actor
from rarrl.policy.chunking import ChunkBroker
from rarrl.safety.gate import SafetyGate
from rarrl.types import GateAction, GateResult
from rarrl_nodes.faults import policy

ROWS = {row.name: row for row in policy.rows()}


@pytest.mark.parametrize("name", ROWS)
def test_the_robot_holds(name):
    trials = ROWS[name].play(3, 1)
    assert all(trial.unsafe == 0 and trial.recover_s is not None for trial in trials)
    if ROWS[name].stops:
        assert all(trial.stop_s <= policy.LIMIT_S for trial in trials)


def test_a_broker_that_takes_everything_is_told(monkeypatch):
    monkeypatch.setattr(ChunkBroker, "_reason", lambda self, chunk, now: "")
    monkeypatch.setattr(policy, "Actor", lambda spec, dt, _: Actor(spec, dt, 100.0))
    for name in ("P3-late", "P3-again"):
        trials = ROWS[name].play(3, 1)
        assert sum(trial.counts["stale_applied"] for trial in trials) > 0, name


def test_a_gate_that_lets_everything_through_is_told(monkeypatch):
    monkeypatch.setattr(ChunkBroker, "_reason", lambda self, chunk, now: "")
    monkeypatch.setattr(
        SafetyGate, "check", lambda self, command, *_: GateResult(command.v, command.omega, GateAction.PASS)
    )
    for name in ("P1-policy", "P2-policy-range", "P2-policy-jumps"):
        assert sum(trial.unsafe for trial in ROWS[name].play(3, 1)) > 0, name
    assert sum(trial.counts["nan_published"] for trial in ROWS["P1-policy"].play(3, 1)) > 0
