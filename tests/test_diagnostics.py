"""Rates, quantiles and silence, by hand."""

import pytest

from rarrl.diagnostics import WINDOW, Announcer, Heartbeat, Latencies, why_silent


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
    heartbeat = Heartbeat("the executive")
    assert heartbeat.silent_s(10.0) is None
    assert heartbeat.complaint(10.0, timeout_s=5.0) == "the executive not heard yet"

    heartbeat.hear(10.0)
    assert heartbeat.silent_s(12.0) == 2.0
    assert heartbeat.complaint(15.0, timeout_s=5.0) == ""
    assert heartbeat.complaint(15.1, timeout_s=5.0) == "the executive silent for 5 s"


def lines(states, **settings):
    """What an announcer prints of (second, ok, text)."""
    announcer = Announcer(**settings)
    printed = [(at, announcer.judge(float(at), ok, text)) for at, ok, text in states]
    return [(at, line) for at, line in printed if line]


STORIES = {
    "all well from the start": ([(s, True, "driving") for s in range(100)], []),
    "nothing comes": (
        [(s, False, f"no scan for {s} s") for s in range(70)],
        [(2, "no scan for 2 s"), (62, "still: no scan for 62 s")],
    ),
    "in passing": ([(0, True, "a"), (1, False, "blocked"), (2, True, "a"), (3, True, "a"), (9, True, "a")], []),
    "comes and goes": (
        [(s, s >= 5, "driving" if s >= 5 else "no scan") for s in range(9)],
        [(2, "no scan"), (7, "driving")],
    ),
    "another reason": (
        [(s, False, "no scan" if s < 5 else "no command") for s in range(9)],
        [(2, "no scan"), (7, "no command")],
    ),
    "two reasons in turn": (
        [(s, False, ("no scan", "no odom")[s % 2]) for s in range(25)],
        [(10, "no scan"), (21, "no odom")],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_the_console_hears_of_changes_alone(story):
    states, printed = STORIES[story]
    assert lines(states) == printed


IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        ({"kinds": []}, "nothing publishes /left"),
        ({"kinds": [], "compressed": True}, "only /left/compressed is published: ros2 run image_transport republish"),
        ({"kinds": [COMPRESSED]}, f"/left carries {COMPRESSED}, needed {IMAGE}: ros2 run image_transport republish"),
        ({"kinds": ["std_msgs/msg/String"]}, f"/left carries std_msgs/msg/String, needed {IMAGE}"),
        ({"kinds": [IMAGE], "qos": "best effort"}, "its quality of service does not fit: best effort"),
        ({"kinds": [COMPRESSED, IMAGE]}, "/left is published, but nothing has come"),
    ],
)
def test_why_nothing_was_heard(graph, says):
    line = why_silent("/left", IMAGE, **graph)
    assert says in line and "\n" not in line
