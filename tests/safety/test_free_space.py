"""What counts as free: seen, or vouched for, and nothing else."""

import doctest
import math

import numpy as np
import pytest

from rarrl.range_scan import RangeScan
from rarrl.safety import free_space
from rarrl.safety.free_space import FreeSpace


def scan(ranges, field=math.pi / 2, far=3.0):
    n = len(ranges)
    return RangeScan(-field / 2 + field / n / 2, field / n, np.array(ranges, dtype=float), far)


def space(memory=10.0, pose=(0.0, 0.0, 0.0)):
    free = FreeSpace(2.0, memory, 0.1)
    free.move(pose)
    return free


def is_free(free, x, y):
    """Of the cell at x, y in the fixed frame."""
    cell = (np.floor(np.array([x, y]) / free.cell_m) - free._corner).astype(int)
    return bool(free.free()[tuple(cell)])


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(free_space).failed == 0


def test_nothing_is_free_before_anything_was_seen():
    free = space()
    assert not any(is_free(free, x, 0.0) for x in (-1.0, 0.05, 1.0))
    assert len(free.edges(0.5)) > 0  # all around the robot


def test_a_scan_frees_its_wedges_up_to_where_sight_ends():
    free = space()
    free.see(scan([1.0, math.inf, math.nan]), (0.0, 0.0, 0.0))
    assert is_free(free, 1.5, 0.05)  # the middle wedge, to range_max
    right, left = math.radians(-30), math.radians(30)
    assert is_free(free, 0.8 * math.cos(right), 0.8 * math.sin(right))
    assert not is_free(free, 1.1 * math.cos(right), 1.1 * math.sin(right))  # behind what ends the sight
    assert not is_free(free, 0.5 * math.cos(left), 0.5 * math.sin(left))  # NaN: nothing is known
    assert not is_free(free, 0.05, 1.0) and not is_free(free, -0.5, 0.05)  # outside the field of view


def test_the_latest_look_holds_and_what_left_the_view_stays():
    free = space()
    free.see(scan([2.0]), (0.0, 0.0, 0.0))
    assert is_free(free, 1.5, 0.05)
    free.see(scan([1.0]), (0.0, 0.0, 0.0))
    assert not is_free(free, 1.5, 0.05) and is_free(free, 0.5, 0.05)
    free.move((0.0, 0.0, math.pi))
    free.see(scan([1.0]), (0.0, 0.0, math.pi))  # looks the other way
    assert is_free(free, 0.5, 0.05) and is_free(free, -0.5, 0.05)


def test_a_scan_that_tells_nothing_blocks_while_it_is_the_newest_but_takes_no_memory_away():
    free = space()
    free.vouch(1.0)
    free.see(scan([2.0]), (0.0, 0.0, 0.0))
    before = free.free()
    free.see(scan([0.01] * 31), (0.0, 0.0, 0.0))
    assert not is_free(free, 0.5, 0.05) and not is_free(free, 1.5, 0.05) and is_free(free, -0.5, 0.05)
    free.see(scan([2.0]), (0.0, 0.0, 0.0))
    assert (free.free() == before).all()


def test_a_thing_that_was_seen_stays_where_it_was_when_it_leaves_the_view():
    free = space()
    free.see(scan([2.0]), (0.0, 0.0, 0.0))
    free.see(scan([1.0]), (0.0, 0.0, 0.0))
    free.see(scan([2.0]), (0.0, 0.0, math.pi))
    assert not is_free(free, 1.15, 0.05) and is_free(free, 0.5, 0.05)


def test_a_thing_thinner_than_a_cell_is_not_overlooked():
    ranges = np.full(900, 3.0)
    ranges[450] = 1.0  # a tenth of a degree: 2 mm wide
    free = space()
    free.see(scan(ranges), (0.0, 0.0, 0.0))
    assert not is_free(free, 1.001, 0.0005)


def test_what_was_seen_is_forgotten_after_a_way_also_of_turning():
    free = space(memory=1.0)
    free.vouch(0.5)
    free.move((0.3, 0.0, 0.0))
    assert is_free(free, 0.0, 0.05)
    free.move((0.3, 0.0, 2.0))  # a way of 0.3 + 2 * 0.5
    assert not is_free(free, 0.0, 0.05)


def test_the_window_follows_the_robot_and_forgets_what_leaves_it():
    free = space()
    free.vouch(0.5)
    for x in np.arange(0.0, 5.0, 0.5):
        free.move((float(x), 0.0, 0.0))
    assert not free.free().any()
    free.vouch(0.3)
    assert is_free(free, 4.5, 0.05) and not is_free(free, 4.05, 0.05)


def test_edges_are_told_in_the_robots_frame():
    free = space(pose=(1.0, 1.0, math.pi / 2))
    free.see(scan([1.0], field=0.5), (1.0, 1.0, math.pi / 2))  # looks along the fixed frame's y
    edges = free.edges(0.0)
    ahead = edges[np.abs(edges[:, 1]) < 0.1]
    assert ahead[:, 0].max() == pytest.approx(1.0, abs=0.15)
    assert edges[:, 0].min() > -0.2


def test_a_jump_of_the_pose_forgets_all():
    free = space()
    free.vouch(0.5)
    assert free.move((0.9, 0.0, 0.0)) and is_free(free, 0.2, 0.05)
    assert not free.move((3.0, 0.0, 0.0)) and not free.free().any()


@pytest.mark.parametrize(
    ("first", "increment", "ranges", "far"),
    [
        (math.nan, 0.1, [1.0], 3.0),
        (0.0, 0.0, [1.0], 3.0),
        (0.0, -0.1, [1.0], 3.0),
        (0.0, math.nan, [1.0], 3.0),
        (0.0, 1.0, [1.0] * 7, 3.0),
        (0.0, 0.1, [], 3.0),
        (0.0, 0.1, [1.0], 0.0),
        (0.0, 0.1, [1.0], math.inf),
    ],
)
def test_numbers_that_make_no_scan_are_refused(first, increment, ranges, far):
    with pytest.raises(ValueError, match="RangeScan"):
        RangeScan(first, increment, np.array(ranges), far)


def test_a_pose_must_be_finite():
    with pytest.raises(ValueError, match="finite"):
        space().move((math.nan, 0.0, 0.0))


def test_a_full_circle_has_no_gap_behind():
    turn = RangeScan(-math.pi, 2 * math.pi / 360, np.full(360, 1.0), 3.0)
    assert (turn.reach(np.linspace(-7.0, 7.0, 999)) == 1.0).all()


def test_a_scan_tells_nothing_of_what_is_nearer_than_its_blind_zone():
    def low(ranges):
        return RangeScan(-math.pi / 6, math.pi / 6, np.array(ranges), 3.0, blind_m=0.6)

    free = space()
    free.see(low([2.0, 2.0, 2.0]), (0.0, 0.0, 0.0))
    assert is_free(free, 0.9, 0.05) and not is_free(free, 0.4, 0.05)  # nobody has looked there from further off
    free.move((0.8, 0.0, 0.0))
    free.see(low([2.0, 2.0, 2.0]), (0.8, 0.0, 0.0))
    assert is_free(free, 0.95, 0.05)  # seen before: it stays free
    free.see(low([2.0, 0.35, 2.0]), (0.8, 0.0, 0.0))
    assert is_free(free, 1.25, 0.05)  # so near, an obstacle is as likely an error
    free.see(low([2.0, 0.02, 2.0]), (0.8, 0.0, 0.0))
    assert not is_free(free, 1.25, 0.05)  # but a scan that tells nothing at all blocks
    free.see(low([2.0, 0.7, 2.0]), (0.5, 0.0, 0.0))
    free.see(low([2.0, 2.0, 2.0]), (0.8, 0.0, 0.0))
    assert not is_free(free, 1.25, 0.05)  # what was seen to stand there may be below the view now


def test_the_newest_scan_tells_what_is_in_view():
    free = space()
    assert free.in_view(0.0)  # nothing was looked at: nowhere else to look
    free.see(scan([1.0] * 5), (0.0, 0.0, 0.0))
    assert free.in_view(0.7) and not free.in_view(0.9) and not free.in_view(math.pi)
    free.move((0.0, 0.0, 1.0))
    assert not free.in_view(0.0) and free.in_view(-1.0)


def moved_in(free, x, y, since_s):
    """Whether, for all that is known, something that moves can have come to x, y since then."""
    cell = (np.floor(np.array([x, y]) / free.cell_m) - free._corner).astype(int)
    return not free.free(since_s)[tuple(cell)]


def test_what_is_out_of_view_may_have_been_walked_into_and_what_is_in_view_not():
    free = space()
    free.vouch(1.0, 10.0)
    free.see(scan([2.0] * 9), (0.0, 0.0, 0.0), at_s=10.0)
    for k in range(1, 6):
        free.see(scan([2.0] * 9), (0.0, 0.0, 0.0), at_s=10.0 + k)
    assert is_free(free, -0.5, 0.05), "what stands still is not forgotten"
    assert moved_in(free, -0.5, 0.05, 10.5) and not moved_in(free, -0.5, 0.05, 10.0)
    assert not moved_in(free, 1.5, 0.05, 15.0)


def test_where_the_robot_stood_nobody_was_then():
    free = space()
    free.vouch(1.0, 10.0)
    for k in range(1, 11):
        free.move((0.05 * k, 0.0, 0.0))
        free.cover(lambda x, y: np.hypot(x, y) <= 0.2, 10.0 + k)
    assert not moved_in(free, 0.35, 0.05, 20.0) and moved_in(free, -0.35, 0.05, 20.0)
    assert not moved_in(free, -0.05, 0.05, 12.0) and moved_in(free, -0.05, 0.05, 12.5)
    free.move((5.0, 0.0, 0.0))  # a jump
    assert moved_in(free, 4.95, 0.05, 0.0)


def test_nobody_stands_unseen_in_the_blind_zone_ahead():
    free = space()
    free.vouch(1.0, 10.0)
    low = RangeScan(-0.5, 0.25, np.full(5, 2.0), 3.0, blind_m=0.6)
    free.see(low, (0.0, 0.0, 0.0), at_s=20.0)
    assert not moved_in(free, 0.35, 0.05, 20.0) and moved_in(free, -0.35, 0.05, 20.0)
