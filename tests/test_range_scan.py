"""Readings of lidars as drivers send them: the same beams, however they are described, give the same scan."""

import doctest
import math

import numpy as np
import pytest

from rarrl import range_scan
from rarrl.range_scan import FAR_M, RangeScan

TURN = 2 * math.pi
STEP = math.radians(1)
BEARINGS = np.radians([-170, -90, -45, 0, 45, 90, 170])


def room(bearing):
    """Metres from (0.3, 0.1) to the walls of a room: x from -3 to 1.5, y from -2 to 2. No symmetry."""
    c, s = math.cos(bearing), math.sin(bearing)
    along = (1.2 if c > 0 else -3.3) / c if abs(c) > 1e-9 else math.inf
    across = (1.9 if s > 0 else -2.1) / s if abs(s) > 1e-9 else math.inf
    return min(along, across)


def seen(start, step, count, yaw=0.0, flipped=False):
    """What a lidar reads whose first beam is at `start` in its own frame."""
    sign = -1 if flipped else 1
    return [room(sign * (start + step * i) + yaw) for i in range(count)]


def scan(start, step, count, ranges=None, end=None, limits=(0.1, 10.0)):
    ranges = seen(start, step, count) if ranges is None else ranges
    end = start + step * (count - 1) if end is None else end
    return RangeScan.from_readings(start, end, step, np.array(ranges), *limits)


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(range_scan).failed == 0


@pytest.mark.parametrize(
    ("start", "step", "count"),
    [
        (-math.pi, STEP, 360),
        (0.0, STEP, 360),  # begins ahead
        (math.pi, -STEP, 360),  # clockwise
        (TURN - STEP, -STEP, 360),
        (-math.pi, STEP, 361),  # a closed circle: first and last beam are one
        (math.pi, -STEP, 361),
        (-math.pi, STEP, 540),  # one and a half turns
        (math.pi, -STEP, 720),  # two turns, clockwise
        (-math.pi, TURN / 359, 360),  # an increment that is made for one beam less
        (5 * math.pi, STEP, 360),  # angles that were never wrapped
    ],
)
def test_one_room_looks_alike_however_its_beams_are_told(start, step, count):
    made = scan(start, step, count)
    assert made.increment > 0 and made.increment * len(made.ranges) <= TURN + 1e-6
    np.testing.assert_allclose(made.reach(BEARINGS), [room(b) for b in BEARINGS], rtol=0.05)


def test_a_sensor_upside_down_sees_the_same_room_mirrored():
    start, step, count = math.radians(-100), STEP, 161
    made = scan(start, step, count, seen(start, step, count, flipped=True)).seen_upside_down()
    assert made.angle_min == pytest.approx(math.radians(-60))
    inside = np.radians([-50, -20, 0, 30, 60, 90])
    np.testing.assert_allclose(made.reach(inside), [room(b) for b in inside], rtol=0.05)
    assert np.isnan(made.reach(np.radians([-70.0]))).all(), "outside of its field nothing is seen"


@pytest.mark.parametrize(
    ("reading", "reach"),
    [
        (math.inf, 10.0),  # REP 117: nothing within the largest range
        (-math.inf, 0.0),  # too near to be measured
        (math.nan, 0.0),
        (0.0, 0.0),
        (-1.0, 0.0),
        (0.05, 0.0),  # below range_min
        (0.1, 0.1),
        (10.0, 10.0),
        (float(np.float32(10.0)), 10.0),
        (10.5, 0.0),  # above range_max: no reading
        (65.533, 0.0),
    ],
)
def test_what_a_reading_says(reading, reach):
    made = scan(-0.02, 0.02, 3, [1.0, reading, 1.0])
    assert made.reach(np.array([0.0]))[0] == pytest.approx(reach)
    assert made.without_reading == pytest.approx((reach == 0.0) / 3)


def test_of_two_beams_with_one_bearing_the_nearest_counts():
    ranges = [5.0] * 361
    ranges[0], ranges[360] = 4.0, 2.0
    assert scan(-math.pi, STEP, 361, ranges).reach(np.array([math.pi]))[0] == 2.0
    assert scan(-math.pi, STEP, 361, ranges[::-1]).reach(np.array([-math.pi]))[0] == 2.0


@pytest.mark.parametrize("limits", [(0.1, math.inf), (0.0, math.inf), (-1.0, float(np.finfo(np.float32).max))])
def test_a_sensor_without_a_largest_range_sees_as_far_as_any_map(limits):
    made = scan(-1e-4, 1e-4, 3, [1.0, math.inf, 50.0], limits=limits)
    assert made.range_max == FAR_M and made.ranges.tolist() == [1.0, FAR_M, 50.0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ranges": []}, "no ranges"),
        ({"step": 0.0}, "angle_increment not 0"),
        ({"step": math.nan}, "must be finite"),
        ({"start": math.inf}, "must be finite"),
        ({"end": math.nan}, "must be finite"),
        ({"limits": (0.1, 0.0)}, "range_max must be above range_min"),
        ({"limits": (0.1, math.nan)}, "range_max must be above range_min"),
        ({"limits": (math.nan, 5.0)}, "range_max must be above range_min"),
        ({"limits": (0.1, 1000.0)}, "are the ranges in metres"),  # 10 m in centimetres
        ({"limits": (5.0, 1.0)}, "range_max must be above range_min"),
        ({"end": math.pi / 2}, "which is right is not known"),  # two beams in three are missing
        ({"end": math.pi, "start": math.pi}, "which is right is not known"),  # clockwise, with a rising increment
        ({"end": 0.0}, "which is right is not known"),  # not filled in
    ],
)
def test_a_scan_that_contradicts_itself_is_refused(change, says):
    good = {"start": -math.pi, "step": STEP, "count": 360, "ranges": [1.0] * 360}
    with pytest.raises(ValueError, match=says) as caught:
        scan(**(good | change))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("beams", [-1, 1])
def test_a_last_angle_that_is_one_beam_off_is_common_and_harmless(beams):
    made = scan(-math.pi, STEP, 360, end=math.pi - STEP + beams * STEP)
    assert made.reach(np.array([0.0]))[0] == pytest.approx(room(0.0), rel=0.05)


@pytest.mark.parametrize(
    ("step_deg", "reach"),
    [(0.25, 10.0), (0.5, 10.0), (1.0, 10.0), (math.degrees(1.2) / 31, 6.0), (2.0, 7.16), (45.0, 0.318), (57.3, 0.25)],
)
def test_a_beam_tells_only_of_what_does_not_fit_between_it_and_the_next(step_deg, reach):
    """Lidars of a degree or less, and the stereo detector's 31 bearings, tell as much as they measure."""
    far = 6.0 if reach == 6.0 else 10.0
    made = scan(0.0, math.radians(step_deg), 4, [math.inf] * 4, limits=(0.1, far))
    assert made.range_max == pytest.approx(reach, rel=0.01) and set(made.ranges) == {made.range_max}


def test_one_beam_alone_frees_no_way():
    alone = RangeScan.from_readings(0.0, 0.0, 1.0, np.array([5.0]), 0.05, 10.0)
    assert alone.ranges.tolist() == [0.25]
