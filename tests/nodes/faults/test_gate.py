"""The attempts on the gate, and that their oracles would notice a gate that does not hold."""

import numpy as np
import pytest

from rarrl.safety.gate import SafetyGate
from rarrl.types import GateAction, GateReason, GateResult
from rarrl_nodes.faults import gate
from rarrl_nodes.faults.campaign import play_row

ROWS = gate.rows()


def played(trials):
    return {row.name: row.play(trials, 1) for row in ROWS}


def total(trials, name):
    return sum(trial.counts.get(name, 0) for trial in trials)


def test_the_gate_withstands_some_attempts():
    for name, trials in played(20).items():
        assert sum(trial.unsafe for trial in trials) == total(trials, "false_stops") == 0, name


def test_the_rows_notice_a_gate_that_lets_everything_through(monkeypatch):
    def open_gate(self, command, around, now_s, veto=None):
        return (
            GateResult(command.v, command.omega, GateAction.PASS) if command else GateResult.stop(GateReason.NO_COMMAND)
        )

    monkeypatch.setattr(SafetyGate, "check", open_gate)
    found = played(40)
    assert all(sum(trial.unsafe for trial in trials) > 0 for trials in found.values())
    assert total(found["P2-gate"], "nan_published") > 0 and total(found["C3-gate"], "stale_applied") > 0
    outcome = play_row(ROWS[0], seed=1, quick=True)
    assert outcome["unsafe"] > 0 and outcome["unsafe_bound"] is None
    assert outcome["failed"][0].endswith("outputs unsafe")


def test_the_rows_notice_a_gate_that_lets_nothing_through(monkeypatch):
    monkeypatch.setattr(SafetyGate, "check", lambda *_: GateResult.stop(GateReason.COMMAND_TOO_OLD))
    found = played(40)
    assert all(total(found[name], "false_stops") > 0 for name in ("C3-gate", "P2-gate", "C1-gate"))


def test_the_oracle_of_what_was_seen():
    clear, wall = np.full(gate.SECTORS, 5.0), np.full(gate.SECTORS, 0.3)
    assert not gate.leaves_what_was_seen(0.3, 0.0, clear)
    assert gate.leaves_what_was_seen(0.5, 0.0, wall)
    assert not gate.leaves_what_was_seen(0.1, 0.0, wall)
    assert gate.leaves_what_was_seen(3.0, 0.0, clear)  # it would need 5 m


def test_falling_silent_is_timed_on_the_fake_clock():
    row = next(row for row in ROWS if row.name == "C1-gate")
    trials = row.play(30, 2)
    assert all(0.0 < trial.stop_s < trial.detect_s < gate.STOP_S for trial in trials)
    assert [trial.stop_s for trial in row.play(30, 2)] == [trial.stop_s for trial in trials]
    assert [trial.stop_s for trial in row.play(30, 3)] != pytest.approx([trial.stop_s for trial in trials])
