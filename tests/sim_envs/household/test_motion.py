"""Arcs and limits."""

import math

import pytest
from household_fixtures import world_of

from rarrl_sim_envs.household.motion import DT, MAX_ACCEL, MAX_ALPHA, MAX_OMEGA, MAX_V, MIN_V, advance, limited, wrap


def test_arcs_are_exact():
    x, y, heading = advance(1.0, 2.0, 0.0, 0.5, 0.0)
    assert (x, y, heading) == (1.0 + 0.5 * DT, 2.0, 0.0)
    pose = (0.0, 0.0, 0.0)
    for _ in range(round(2 * math.pi / (0.5 * DT))):  # nearly a circle of radius 0.4 / 0.5
        pose = advance(*pose, 0.4, 0.5)
    assert math.hypot(pose[0], pose[1]) < 0.4 * DT
    x, y, _ = advance(0.0, 0.0, 0.0, 0.4, 0.5)
    assert math.hypot(x, y - 0.8) == pytest.approx(0.8)


def test_speed_grows_by_the_limit_of_acceleration():
    world = world_of()
    world.step(0.6, 0.0)
    assert world.v == pytest.approx(MAX_ACCEL * DT)


def test_angles_are_wrapped():
    assert wrap(3 * math.pi / 2) == pytest.approx(-math.pi / 2)
    assert wrap(-0.5) == pytest.approx(-0.5)


def test_speeds_are_limited_and_so_are_their_changes():
    assert limited(9.0, -9.0, 0.0, 0.0) == pytest.approx((MAX_ACCEL * DT, -MAX_ALPHA * DT))
    assert limited(9.0, 9.0, MAX_V, MAX_OMEGA) == (MAX_V, MAX_OMEGA)
    assert limited(-9.0, 0.0, MIN_V, 0.0) == (MIN_V, 0.0)
