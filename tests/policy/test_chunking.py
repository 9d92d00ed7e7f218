"""The broker: a row per tick, whatever chunks do. Properties first, then answers by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.policy.base import ActionChunk
from rarrl.policy.chunking import REFUSALS, ChunkBroker

DT, SHAPE, AGE = 0.1, (8, 2), 0.4


def chunk(observed_at, value=0.0, actions=None, dt=DT):
    """Row i is (value, i)."""
    rows = np.stack([np.full(8, value), np.arange(8)], axis=1) if actions is None else actions
    return ActionChunk(np.asarray(rows, np.float32), dt, observed_at)


def broker(**changes):
    return ChunkBroker(SHAPE, DT, AGE, **{"blend_rows": 2, "replan_share": 0.7, **changes})


# For each tick: how late it is, and the chunks that come before it: (age, values between -1 and 1, what is wrong).
DAMAGES = (None, "nan", "inf", "shape", "dt", "future")
CHUNKS = st.tuples(
    st.floats(0, 1), st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2), st.sampled_from(DAMAGES)
)
TICKS = st.lists(st.tuples(st.floats(0, 0.5), st.lists(CHUNKS, max_size=2)), max_size=40)


def play(target, ticks):
    """(time, what was pushed and the verdict, row) for each tick."""
    now = 100.0
    for late, chunks in ticks:
        now += DT + late
        pushed = []
        for age, ends, damage in chunks:
            actions = np.linspace(*np.array([ends, ends[::-1]]), 8).astype(np.float32)
            if damage in ("nan", "inf"):
                actions[3, 1] = float(damage)
            if damage == "shape":
                actions = actions[:, :1]
            observed_at = now + 0.01 if damage == "future" else now - age
            made = ActionChunk(actions, 2 * DT if damage == "dt" else DT, observed_at)
            pushed.append((made, damage, target.push(made, now)))
        yield now, pushed, target.next_row(now)


@given(TICKS, st.integers(0, 10))
def test_no_row_is_old_or_damaged_or_beyond_what_chunks_held(ticks, blend_rows):
    target, taken = broker(blend_rows=blend_rows), []
    for now, pushed, row in play(target, ticks):
        for made, damage, verdict in pushed:
            assert not (damage and not verdict), f"a chunk with {damage} was taken"
            assert verdict in ("", *REFUSALS)
            if not verdict:
                assert not taken or made.observed_at > taken[-1].observed_at
                taken.append(made)
        if row is None:
            continue
        assert now - row.observed_at <= AGE
        assert row.observed_at in [c.observed_at for c in taken]
        held = np.concatenate([c.actions for c in taken])
        assert (row.action >= held.min(axis=0) - 1e-6).all() and (row.action <= held.max(axis=0) + 1e-6).all()
    assert target.chunks == len(taken)
    assert target.rows + target.holds == len(ticks)
    assert sum(target.refused.values()) + len(taken) == sum(len(chunks) for _, chunks in ticks)


@given(TICKS)
def test_it_never_holds_while_a_chunk_is_fresh(ticks):
    target, newest = broker(), None
    for now, pushed, row in play(target, ticks):
        newest = max([c.observed_at for c, _, verdict in pushed if not verdict], default=newest)
        if newest is not None and now - newest <= AGE - 1e-6:
            assert row is not None


@given(st.lists(st.floats(-0.04, 0.04), min_size=3, max_size=3))
def test_jitter_of_ticks_neither_repeats_nor_skips_a_row(jitters):
    target = broker()
    target.push(chunk(0.0), 0.05)
    assert target.next_row(0.05).index == 0
    assert [target.next_row(0.05 + 0.1 * (i + 1) + j).index for i, j in enumerate(jitters)] == [1, 2, 3]


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 3))
def test_a_seam_goes_in_equal_steps(before, after, blend_rows):
    target = broker(blend_rows=blend_rows)
    target.push(chunk(0.0, before), 0.0)
    target.next_row(0.0)
    target.push(chunk(0.05, after), 0.09)
    for now in (0.1, 0.2, 0.3, 0.4):
        target.next_row(now)
    assert target.seam_jump[0] == pytest.approx(abs(after - before) / (blend_rows + 1), abs=1e-6)


def test_a_seam_by_hand():
    target = broker()
    target.push(chunk(0.0, 0.0), 0.0)
    assert target.next_row(0.0).action.tolist() == [0.0, 0.0]
    target.push(chunk(0.1, 3.0), 0.15)
    rows = [target.next_row(now) for now in (0.2, 0.3, 0.4)]
    # The second column counts rows: 2 of the old chunk, a third of the way to 1 of the new one, and so on.
    assert [row.action.tolist() for row in rows] == [
        pytest.approx([1.0, 2 - 1 / 3]),
        pytest.approx([2.0, 3 - 2 / 3]),
        [3.0, 3.0],
    ]
    assert [row.observed_at for row in rows] == [0.0, 0.0, 0.1]
    assert target.seam_jump == pytest.approx([1.0, 5 / 3])


def test_a_seam_is_shorter_where_the_old_rows_would_be_too_old():
    target = broker(blend_rows=3)
    target.push(chunk(0.0, 0.0), 0.0)
    for now in (0.0, 0.1, 0.2):
        target.next_row(now)
    target.push(chunk(0.2, 1.0), 0.25)
    rows = [target.next_row(now) for now in (0.3, 0.4, 0.5)]
    assert [row.action[0] for row in rows] == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    assert [row.observed_at for row in rows] == [0.0, 0.0, 0.2]


def test_a_blended_row_that_comes_too_late_gives_way_to_the_new_chunk():
    target = broker(blend_rows=3)
    target.push(chunk(0.0, 0.0), 0.0)
    target.next_row(0.0)
    target.push(chunk(0.2, 1.0), 0.25)
    target.next_row(0.3)
    row = target.next_row(0.44)
    assert (row.action[0], row.observed_at, row.index) == (1.0, 0.2, 2)


def test_what_passed_while_it_was_computed_is_skipped():
    target = broker()
    assert target.push(chunk(0.0), 0.25) == ""
    assert target.next_row(0.26).action[1] == 2.0


def test_a_stall_is_made_up_for():
    target = broker()
    target.push(chunk(0.0), 0.0)
    assert [target.next_row(now).index for now in (0.0, 0.1, 0.36)] == [0, 1, 3]


def test_rows_end_with_their_observation_then_hold():
    target = broker()
    target.push(chunk(0.0), 0.0)
    rows = [target.next_row(i / 10) for i in range(7)]
    assert [row and row.index for row in rows] == [0, 1, 2, 3, 4, None, None]
    assert (target.rows, target.holds) == (5, 2)


def test_a_hold_is_no_seam():
    target = broker()
    target.push(chunk(0.0, -1.0), 0.0)
    target.next_row(0.0)
    target.next_row(5.0)
    target.push(chunk(5.0, 1.0), 5.05)
    assert target.next_row(5.1).action[0] == pytest.approx(1.0)  # nothing fresh to blend with
    assert target.seam_jump[0] == 0.0


@pytest.mark.parametrize(
    ("made", "now", "reason"),
    [
        (chunk(1.0, dt=0.05), 1.0, "shape"),
        (chunk(1.0, actions=np.zeros((7, 2))), 1.0, "shape"),
        (chunk(1.0, actions=np.full((8, 2), np.nan)), 1.0, "not_finite"),
        (chunk(float("nan")), 1.0, "not_finite"),
        (chunk(1.1), 1.0, "future"),
        (chunk(1.0), 1.41, "stale"),
        (chunk(0.9), 1.0, "out_of_order"),
        (chunk(0.8), 1.0, "out_of_order"),
    ],
)
def test_refusals(made, now, reason):
    target = broker()
    target.push(chunk(0.9), 0.9)
    assert target.push(made, now) == reason
    assert target.refused == {**dict.fromkeys(REFUSALS, 0), reason: 1}
    assert target.chunks == 1


def test_chunks_shorter_than_the_limit_are_stale_when_they_are_over():
    target = ChunkBroker((2, 2), DT, AGE)
    assert target.push(ActionChunk(np.zeros((2, 2), np.float32), DT, 0.0), 0.21) == "stale"


def test_it_asks_before_it_is_empty():
    target = broker(replan_share=0.5)
    assert target.wants_chunk(0.0)
    target.push(chunk(0.0), 0.0)
    wants = []
    for i in range(5):
        target.next_row(i / 10)
        wants.append(target.wants_chunk(i / 10))
    # Five rows may be used; after the third two are left.
    assert wants == [False, False, True, True, True]


def test_cleared_means_hold():
    target = broker()
    target.push(chunk(0.0), 0.0)
    target.next_row(0.0)
    target.clear()
    assert target.next_row(0.1) is None
    assert target.push(chunk(0.0), 0.1) == "out_of_order"
    assert target.push(chunk(0.1), 0.1) == ""


def test_the_callers_array_is_not_kept():
    target, made = broker(), chunk(0.0, 1.0)
    target.push(made, 0.0)
    made.actions[:] = 9.0
    assert target.next_row(0.0).action[0] == 1.0
