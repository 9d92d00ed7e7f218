"""Pairs by stamp: late, lost, shuffled and drifting frames."""

import doctest
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.perception import pairing
from rarrl.perception.pairing import PairMatcher


def feed(matcher, events):
    """Pushes (side, stamp) events with the stamp as item; the stamps of the pairs that came out."""
    pairs = [matcher.push(side, stamp, stamp) for side, stamp in events]
    return [(pair.left, pair.right) for pair in pairs if pair]


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(pairing).failed == 0


def test_frames_pair_whichever_side_comes_first():
    events = [("left", 0), ("right", 1), ("right", 101), ("left", 100), ("left", 200), ("right", 199)]
    assert feed(PairMatcher(10), events) == [(0, 1), (100, 101), (200, 199)]


def test_a_lost_frame_costs_its_partner_only():
    matcher = PairMatcher(10)
    events = [(s, t) for t in range(0, 1000, 100) for s in ("left", "right") if (s, t) != ("right", 400)]
    assert [a for a, _ in feed(matcher, events)] == [t for t in range(0, 1000, 100) if t != 400]
    assert dict(matcher.drops) == {"unmatched": 1} and len(matcher) == 0


def test_a_side_that_runs_behind_gives_no_pair_and_is_counted():
    matcher = PairMatcher(10)
    assert feed(matcher, [e for t in range(0, 3000, 100) for e in (("left", t), ("right", t + 40))]) == []
    assert matcher.drops["unmatched"] >= 58


@pytest.mark.parametrize(("lag", "gap"), [(0, None), (8, None), (20, 20), (60, 40)])
def test_how_far_the_two_sides_are_apart_is_known(lag, gap):
    matcher = PairMatcher(10)
    events = [event for t in range(0, 1000, 100) for event in (("left", t), ("right", t + lag))]
    feed(matcher, sorted(events, key=lambda event: event[1]))
    assert matcher.gap_ns == gap
    matcher.reset()
    assert matcher.gap_ns is None


def test_stamps_never_run_back():
    matcher = PairMatcher(10)
    events = [("left", 100), ("right", 100), ("left", 50), ("right", 50), ("left", 100), ("right", 100)]
    assert feed(matcher, events) == [(100, 100)]
    assert matcher.drops["out_of_order"] == 4
    matcher.reset()
    assert feed(matcher, [("left", 5), ("right", 5)]) == [(5, 5)]


def test_a_silent_side_does_not_fill_the_memory():
    matcher = PairMatcher(10, waiting=4)
    assert feed(matcher, [("left", t) for t in range(0, 10_000, 100)]) == []
    assert len(matcher) == 4 and matcher.drops["overflow"] == 96
    assert feed(matcher, [("right", 9900)]) == [(9900, 9900)]


def test_the_nearer_of_two_candidates_is_taken():
    assert feed(PairMatcher(10), [("left", 0), ("left", 8), ("right", 9)]) == [(8, 9)]


@pytest.mark.parametrize("bad", [{"slop_ns": -1}, {"slop_ns": 1, "waiting": 0}])
def test_what_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        PairMatcher(**bad)


@given(st.lists(st.tuples(st.sampled_from(["left", "right"]), st.integers(0, 500)), max_size=80), st.integers(0, 30))
def test_whatever_comes_pairs_are_close_and_rise_and_nothing_is_lost_silently(events, slop):
    matcher = PairMatcher(slop)
    pairs = feed(matcher, events)
    assert all(abs(a - b) <= slop for a, b in pairs)
    assert all(x[0] < y[0] and x[1] < y[1] for x, y in itertools.pairwise(pairs))
    assert 2 * len(pairs) + sum(matcher.drops.values()) + len(matcher) == len(events)
