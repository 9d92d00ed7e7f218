"""The clocks."""

import time

import pytest

from rarrl.clock import Clock, ManualClock, SteadyClock


def test_manual_clock_moves_only_when_told():
    clock = ManualClock(2.0)
    assert clock.now() == clock.now() == 2.0
    clock.advance(0.5)
    clock.sleep(0.25)
    clock.sleep(-1.0)
    assert clock.now() == 2.75


def test_manual_clock_never_runs_back():
    with pytest.raises(ValueError, match="never runs back"):
        ManualClock().advance(-0.1)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_speed_must_be_positive(speed):
    with pytest.raises(ValueError, match="speed"):
        SteadyClock(speed)


def test_fast_clock_sleeps_less_and_counts_more():
    clock: Clock = SteadyClock(speed=100.0)
    real, simulated = time.monotonic(), clock.now()
    clock.sleep(2.0)
    real, simulated = time.monotonic() - real, clock.now() - simulated
    assert 0.02 <= real < 1.0
    assert simulated >= 2.0
    assert simulated == pytest.approx(100.0 * real, rel=0.5)


def test_sleep_of_nothing_returns_at_once():
    start = time.monotonic()
    SteadyClock(speed=1e-3).sleep(-5.0)
    assert time.monotonic() - start < 0.5
