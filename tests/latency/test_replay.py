"""Replay: known answers, alignment, and bursts that survive the block bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl.latency.profile import CallRecord, LatencyProfile, ProfileHeader, load_profile, shipped_profiles
from rarrl.latency.replay import ProfileReplay, ReplayTable, block_row, option_samples
from rarrl.types import THINK_ACTIONS, Action, CallStatus


def record(role: str, level: int, total_s: float, finish: str = "stop", correct: bool | None = None) -> CallRecord:
    return CallRecord.model_validate(
        {
            "role": role,
            "level": level,
            "tokens_in": 10,
            "tokens_out": 5,
            "ttft_s": 0.0,
            "total_s": total_s,
            "finish": finish,
            "correct": correct,
        }
    )


def profile_of(*records: CallRecord) -> LatencyProfile:
    header = ProfileHeader(
        name="t", kind="recorded", measured="t", model="t", hardware="t", date="2026", source="t", licence="t"
    )
    return LatencyProfile(schema_version=1, header=header, records=records)


def small_profile() -> LatencyProfile:
    return profile_of(
        record("planner", 1, 1.0, correct=True),
        record("planner", 1, 2.0, "length"),
        record("planner", 1, 3.0, correct=False),
        record("planner", 2, 4.0),
        record("verifier", 1, 5.0, "timeout"),
        record("verifier", 2, 6.0, "error"),
        record("verifier", 2, 7.0),
    )


def test_table_by_hand() -> None:
    table = ReplayTable.from_profile(small_profile())
    assert table.rows == 3  # options with fewer records are cycled
    assert table.seconds.tolist() == [[1, 2, 3], [4, 4, 4], [5, 5, 5], [6, 7, 6]]
    assert table.ok.tolist() == [[True, False, True], [True] * 3, [False] * 3, [False, True, False]]
    assert table.correct.tolist() == [[1, -1, 0], [-1] * 3, [-1] * 3, [-1] * 3]
    assert table.judged.tolist() == [[2, 0, 0, 0], [1, 0, 0, 0]]
    assert table.costs.mean_s.tolist() == pytest.approx([2, 4, 5, 19 / 3])
    assert table.costs.max_tokens.tolist() == [10 + 256, 10 + 512, 10 + 256, 10 + 512]
    assert table.costs.ok_rate.tolist() == pytest.approx([2 / 3, 1, 0, 1 / 3])


def test_table_is_typed_and_read_only() -> None:
    table = ReplayTable.from_profile(load_profile("groq-70b"))
    assert table.seconds.dtype == table.tokens.dtype == np.float64
    assert table.ok.dtype == np.bool_ and table.correct.dtype == np.int8
    for array in (table.seconds, table.tokens, table.ok, table.correct, *vars(table.costs).values()):
        with pytest.raises(ValueError):
            array[:] = 0


def test_rows_can_be_chosen() -> None:
    assert ReplayTable.from_profile(small_profile(), rows=5).seconds[0].tolist() == [1, 2, 3, 1, 2]
    assert ReplayTable.from_profile(load_profile("gpt4o-mini-anchor"), rows=64).rows == 64
    with pytest.raises(ValueError, match="rows must be >= 1, got 0"):
        ReplayTable.from_profile(small_profile(), rows=0)


def test_a_profile_without_an_option_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no records of planner level 2"):
        ReplayTable.from_profile(profile_of(record("planner", 1, 1.0)))


def test_anchor_has_the_papers_mean_and_quantile() -> None:
    costs = ReplayTable.from_profile(load_profile("gpt4o-mini-anchor")).costs
    assert costs.mean_s[0] == pytest.approx(0.82, rel=0.01)
    assert costs.p95_s[0] == pytest.approx(1.34, rel=0.01)
    assert costs.mean_tokens[0] == 380
    assert costs.mean_s / costs.mean_s[0] == pytest.approx([1, 260 / 110, 35 / 110, 120 / 110], rel=1e-3)


@pytest.mark.parametrize("rows", [1, 100, 1024])
@pytest.mark.parametrize("sigma", [0.0, 0.33, 1.5])
def test_parametric_mean_and_error_rate_are_exact(rows: int, sigma: float) -> None:
    profile = load_profile("gpt4o-mini-anchor")
    options = [o.model_copy(update={"sigma": sigma, "error_rate": 0.25}) for o in profile.parametric or ()]
    table = ReplayTable.from_profile(profile.model_copy(update={"parametric": tuple(options)}), rows)
    expected = [np.exp(o.mu + sigma**2 / 2) for o in options]
    assert table.costs.mean_s == pytest.approx(expected, rel=1e-6)
    assert (~table.ok).sum(axis=1).tolist() == [round(0.25 * rows)] * 4


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_tables_hold_sane_costs(name: str) -> None:
    table = ReplayTable.from_profile(load_profile(name))
    costs = table.costs
    assert np.all(costs.median_s <= costs.p95_s) and np.all(costs.mean_tokens <= costs.max_tokens)
    typical = costs.median_s  # a mean of two dozen calls is that of the slowest two
    assert typical[1] > typical[0] > typical[2]  # longer answers take longer
    assert np.all(costs.ok_rate >= 0.9)


def test_options_of_an_imported_profile_share_their_moments() -> None:
    table = ReplayTable.from_profile(load_profile("replicate-70b"))
    correlation = np.corrcoef(table.seconds)
    assert correlation.min() > 0.7  # each column from a shuffle of its own would give about 0
    for role, level in (("planner", 2), ("verifier", 1)):
        samples = option_samples(load_profile("replicate-70b"), role, level)
        assert len(samples.seconds) == table.rows


@given(
    rows=st.integers(1, 2000),
    uniform=st.floats(0, 1, exclude_max=True),
    call=st.integers(0, 10**6),
    block=st.integers(1, 64),
)
def test_block_row_stays_in_range_and_runs_on(rows: int, uniform: float, call: int, block: int) -> None:
    row, following = block_row(rows, np.array([uniform, uniform]), np.array([call, call + 1]), block)
    assert 0 <= row < rows and 0 <= following < rows
    if (call + 1) % block:
        assert following == (row + 1) % rows


def test_block_row_draws_every_row_equally_often() -> None:
    rng = np.random.default_rng(0)
    rows = block_row(50, np.repeat(rng.random(20_000), 8), np.tile(np.arange(8), 20_000))
    counts = np.bincount(rows, minlength=50)
    assert counts.min() > 0.9 * counts.mean() and counts.max() < 1.1 * counts.mean()


def lag1(x: np.ndarray) -> float:
    return float(np.corrcoef(x[:-1], x[1:])[0, 1])


def test_block_bootstrap_keeps_the_bursts_that_independent_draws_lose() -> None:
    table = ReplayTable.from_profile(load_profile("replicate-70b"))
    seconds = table.seconds[0]
    rng = np.random.default_rng(0)
    n = 40_000
    blocks = seconds[block_row(table.rows, np.repeat(rng.random(n // 8), 8), np.arange(n))]
    independent = seconds[block_row(table.rows, rng.random(n), np.arange(n), block=1)]
    assert lag1(seconds) > 0.6  # the measurement is bursty
    assert lag1(blocks) > 0.7 * lag1(seconds)  # one join in eight breaks a run
    assert abs(lag1(independent)) < 0.05
    assert blocks.mean() == pytest.approx(seconds.mean(), rel=0.05)


def test_profile_replay_agrees_with_block_row() -> None:
    table = ReplayTable.from_profile(load_profile("perplexity-70b"))
    replay = ProfileReplay(table, seed=3)
    actions = [THINK_ACTIONS[i % 4] for i in range(40)]
    uniform = np.repeat(np.random.default_rng(3).random(5), 8)
    expected = block_row(table.rows, uniform, np.arange(40))
    for action, row in zip(actions, expected, strict=True):
        call = replay.call(action)
        option = int(action) - 1
        assert replay.row == row and call.action is action
        assert (call.seconds, call.tokens) == (table.seconds[option, row], table.tokens[option, row])
        assert call.status is (CallStatus.OK if table.ok[option, row] else CallStatus.INVALID)


def test_profile_replay_is_seeded_and_refuses_act() -> None:
    table = ReplayTable.from_profile(load_profile("groq-70b"))
    first, second, other = (ProfileReplay(table, seed) for seed in (1, 1, 2))
    calls = [[replay.call(Action.PLANNER_1).seconds for _ in range(30)] for replay in (first, second, other)]
    assert calls[0] == calls[1] != calls[2]
    with pytest.raises(ValueError, match="takes a THINK action, got ACT"):
        first.call(Action.ACT)
