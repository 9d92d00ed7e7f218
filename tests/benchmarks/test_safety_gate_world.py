"""benchmarks/safety_gate_world.py: rides end well only with the gate."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from rarrl.config import GateConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import safety_gate_world as world


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
