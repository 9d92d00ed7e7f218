"""Rates, quantiles and silence, by hand."""

import pytest

from rarrl.diagnostics import WINDOW, Heartbeat, Latencies


def test_without_events_everything_is_zero():
    latencies = Latencies()
    assert (latencies.rate(10.0), latencies.quantile_ms(0.5)) == (0.0, 0.0)


def test_quantiles_are_in_milliseconds_and_do_not_depend_on_the_order():
    latencies = Latencies()
    for seconds in (0.003, 0.001, 0.004, 0.002):
        latencies.add(0.0, seconds)
    assert latencies.quantile_ms(0.0) == pytest.approx(1.0)
    assert latencies.quantile_ms(0.5) == pytest.approx(3.0)
    assert latencies.quantile_ms(1.0) == pytest.approx(4.0)


def test_the_rate_counts_only_recent_events():
    latencies = Latencies()
    for time in (0.0, 8.0, 9.0, 10.0):
        latencies.add(time, 0.001)
    assert latencies.rate(10.0, over_s=5.0) == pytest.approx(3 / 5)
    assert latencies.rate(100.0, over_s=5.0) == 0.0


def test_old_durations_leave_the_window():
    latencies = Latencies()
    latencies.add(0.0, 9.0)
    for _ in range(WINDOW):
        latencies.add(1.0, 0.001)
    assert latencies.quantile_ms(1.0) == pytest.approx(1.0)


def test_a_heartbeat_complains_until_the_first_sign_of_life_and_after_the_timeout():
    heartbeat = Heartbeat("replay_node")
    assert heartbeat.silent_s(10.0) is None
    assert heartbeat.complaint(10.0, timeout_s=5.0) == "replay_node not heard yet"

    heartbeat.hear(10.0)
    assert heartbeat.silent_s(12.0) == 2.0
    assert heartbeat.complaint(15.0, timeout_s=5.0) == ""
    assert heartbeat.complaint(15.1, timeout_s=5.0) == "replay_node silent for 5 s"
