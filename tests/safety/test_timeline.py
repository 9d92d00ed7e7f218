"""Ages by stamps, on a wall clock that is set while the robot drives."""

import math

import pytest

from rarrl.safety.timeline import Timeline


def timeline(jump=0.0, at=10.0):
    """Looked at until `at`, where the wall clock (100 s ahead) was set by `jump`."""
    line = Timeline()
    line.look(100.0 + at - 0.05, at - 0.05)
    line.look(100.0 + at + jump, at)
    return line


def test_a_stamp_becomes_a_time_of_the_steady_clock():
    assert timeline().taken(109.8, 10.0) == pytest.approx(9.8)


def test_the_future_is_refused_but_for_a_hair():
    assert timeline().taken(110.01, 10.0) == 10.0
    assert timeline().taken(110.2, 10.0) == math.inf


@pytest.mark.parametrize("jump", [2.0, -2.0, 3600.0, -3600.0, 0.3, -0.3])
@pytest.mark.parametrize("age", [0.0, 0.1, 0.35])
def test_what_was_on_its_way_when_the_clock_was_set_is_as_old_as_it_is(jump, age):
    """Stamped by the old clock before the jump, read after it."""
    line = timeline(jump)
    stamp = 100.0 + (9.99 - age)
    assert line.taken(stamp, 10.05, last_s=9.9 - age) == pytest.approx(9.99 - age)


@pytest.mark.parametrize("jump", [2.0, -2.0, 3600.0, -3600.0, 0.3, -0.3])
def test_new_stamps_after_the_clock_was_set_are_good(jump):
    line = timeline(jump)
    last = 9.95
    for k in range(1, 100):  # what comes in order is never held to be old
        taken = 10.0 + 0.05 * k
        line.look(100.0 + jump + taken + 0.1, taken + 0.1)
        assert line.taken(100.0 + jump + taken, taken + 0.1, last) == pytest.approx(taken)
        last = taken


def test_where_two_readings_are_possible_the_older_one_holds():
    """The clock went back by 2 s; a message looks 0.1 s old. It may have been held up for 2.1 s: nothing newer came."""
    line = timeline(-2.0)
    line.look(100.0 - 2.0 + 10.5, 10.5)
    stamp = 100.0 - 2.0 + 10.4
    assert line.taken(stamp, 10.5, last_s=8.0) == pytest.approx(8.4)
    assert line.taken(stamp, 10.5, last_s=10.3) == pytest.approx(10.4)  # something newer came: it is not that old


def test_a_simulation_at_its_own_pace_is_no_jump():
    line = Timeline()
    for k in range(100):
        line.look(0.5 * 0.05 * k, 0.05 * k)
    assert line.jumps == 0


def test_it_wants_to_see_the_clocks_first():
    with pytest.raises(ValueError, match="look"):
        Timeline().taken(0.0, 0.0)
