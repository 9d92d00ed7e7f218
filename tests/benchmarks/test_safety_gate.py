"""benchmarks/safety_gate.py: its attempts and rides, and that they would notice a gate that does not hold."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from rarrl.config import GateConfig
from rarrl.safety.gate import SafetyGate
from rarrl.types import GateAction, GateReason, GateResult

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import safety_gate
import safety_gate_world as world


def test_the_gate_withstands_some_attempts():
    rows = safety_gate.run_attempts(20, seed=1)
    assert len(rows) == 4 and all((row["unsafe"], row["false_refusals"]) == (0, 0) for row in rows)


def test_the_oracles_notice_a_gate_that_lets_everything_through(monkeypatch):
    def open_gate(self, command, around, now_s, veto=None):
        return (
            GateResult(command.v, command.omega, GateAction.PASS) if command else GateResult.stop(GateReason.NO_COMMAND)
        )

    monkeypatch.setattr(SafetyGate, "check", open_gate)
    assert all(row["unsafe"] > 0 for row in safety_gate.run_attempts(40, seed=1))


def test_the_oracles_notice_a_gate_that_lets_nothing_through(monkeypatch):
    monkeypatch.setattr(SafetyGate, "check", lambda *_: GateResult.stop(GateReason.COMMAND_TOO_OLD))
    refusals = {row["invariant"][0]: row["false_refusals"] for row in safety_gate.run_attempts(40, seed=1)}
    assert refusals["1"] > 0 and refusals["2"] > 0 and refusals["4"] > 0


def test_the_oracle_of_what_was_seen():
    clear, wall = np.full(safety_gate.SECTORS, 5.0), np.full(safety_gate.SECTORS, 0.3)
    assert not safety_gate.leaves_what_was_seen(0.3, 0.0, clear)
    assert safety_gate.leaves_what_was_seen(0.5, 0.0, wall)
    assert not safety_gate.leaves_what_was_seen(0.1, 0.0, wall)
    assert safety_gate.leaves_what_was_seen(3.0, 0.0, clear)  # it would need 5 m


@pytest.mark.parametrize("gated", [True, False])
def test_a_ride_ends_well_only_with_the_gate(gated):
    ride = world.ride(2, GateConfig(sensor_x_m=0.2), 6.0, standing=12, movers=0, gated=gated)
    assert (ride.hit == "") == gated
    assert ride.way_m > 0.3 and (ride.least_m > 0) == gated


def test_clearance_is_measured_from_the_footprint():
    config = GateConfig(front_m=0.3, rear_m=0.3, half_width_m=0.2, sensor_x_m=0.2)
    discs = np.array([[1.0, 0.0, 0.1], [0.0, 0.5, 0.1], [0.6, 0.6, 0.1], [0.0, 0.0, 0.1]])
    gaps = world.clearances((0.0, 0.0, 0.0), config, discs)
    assert gaps.tolist() == pytest.approx([0.6, 0.2, 0.4, -0.1])
    turned = world.clearances((0.0, 0.0, math.pi / 2), config, discs[:1])
    assert turned[0] == pytest.approx(1.0 - 0.2 - 0.1)
    assert world.wall_clearance((0.0, 0.0, 0.0), config) == pytest.approx(world.ROOM_M - 0.3)
