"""Replays a latency profile: a table of draws for the four THINK actions, and a block bootstrap over its rows.

Slow calls of a hosted model come in bursts. Drawing single calls at random would break the bursts up and make the tail
of a task's language model time look shorter than it is. So runs of consecutive calls are drawn: the moving block
bootstrap (H. R. Kuensch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics
17(3), 1989), circular at the end of the table (Politis and Romano, 1992) so that every row is drawn equally often.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rarrl.latency.profile import MAX_SECONDS, CallRecord, LatencyProfile, ParametricOption
from rarrl.types import MAX_NEW_TOKENS, THINK_ACTIONS, Action, CallStatus, LlmCall

PARAMETRIC_ROWS = 1024
"""Draws that stand for a parametric distribution, one per equally likely slice. Chosen by hand."""
BLOCK = 8
"""Consecutive calls that are drawn together, because slow calls come in bursts: with `replicate-70b` neighbouring calls
correlate by 0.75. The number was chosen by hand."""
_SHUFFLE_SEED = 20231201
"""Seed of the shuffle of a parametric table; any fixed value, because the table must be the same everywhere."""

Floats = NDArray[np.float64]
"""An array of numbers."""
Bools = NDArray[np.bool_]
"""An array of truth values."""


@dataclass(frozen=True)
class ThinkCosts:
    """What each THINK action costs. Arrays of shape (4,), float64, in the order of `rarrl.types.THINK_ACTIONS`.

    mean_s, median_s, p95_s: seconds per call, failed calls included (they take time too). mean_tokens: tokens read and
    written per call. max_tokens: prompt and cap, or the largest number seen if that is more. ok_rate: share of calls
    with a usable answer."""

    mean_s: Floats
    median_s: Floats
    p95_s: Floats
    mean_tokens: Floats
    max_tokens: Floats
    ok_rate: Floats


@dataclass(frozen=True)
class ReplayTable:
    """N replayable calls for each of the four THINK actions (axis 0, order of `rarrl.types.THINK_ACTIONS`).

    seconds, tokens: (4, N) float64. ok: (4, N) bool, whether the answer is usable. correct: (4, N) int8, 1 right, 0
    wrong, -1 unknown. The arrays are read-only. Row j is one moment: in an imported profile all four calls derive from
    the same request, so a burst slows every option at once.

    judged: (2, 4) int64: of how many answers the profile knows whether they are right, and how many of them are. In
    `correct` a row of the profile may come more than once, here it is counted once."""

    name: str
    seconds: Floats
    tokens: Floats
    ok: Bools
    correct: NDArray[np.int8]
    costs: ThinkCosts
    judged: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 4), np.int64))

    @property
    def rows(self) -> int:
        """N, the number of rows."""
        return int(self.seconds.shape[1])

    @classmethod
    def from_profile(cls, profile: LatencyProfile, rows: int | None = None) -> ReplayTable:
        """Builds the table of `profile`.

        Args:
            profile: must know all four THINK actions.
            rows: N. None means as many as the option with most records has (others are cycled), and PARAMETRIC_ROWS
                for a parametric profile.

        Raises: InputError if an option is missing; ValueError if `rows` is below 1."""
        if rows is not None and rows < 1:
            raise ValueError(f"ReplayTable rows must be >= 1, got {rows}")

        for action in THINK_ACTIONS:
            profile.require(_role(action), action.level)

        if profile.parametric is not None:
            columns = _parametric_columns(profile.parametric, rows or PARAMETRIC_ROWS)
        else:
            columns = _recorded_columns(profile.records or (), rows)

        seconds, tokens, ok, correct, max_tokens = columns
        judged = _judged(profile.records or ())
        for array in (seconds, tokens, ok, correct, judged):
            array.setflags(write=False)

        return cls(profile.name, seconds, tokens, ok, correct, _costs(seconds, tokens, ok, max_tokens), judged)


_Columns = tuple[Floats, Floats, Bools, NDArray[np.int8], Floats]
"""seconds, tokens, ok, correct: (4, N) each; max_tokens: (4,)."""


def block_row(
    table_rows: int | NDArray[np.integer],
    uniform: NDArray[np.floating],
    call_index: NDArray[np.integer],
    block: int = BLOCK,
) -> NDArray[np.int64]:
    """Returns the row of the table for each call, by the circular moving block bootstrap (see the module's docstring).

    Args:
        table_rows: N, rows in the table.
        uniform: draws in [0, 1), one per (episode, block); the caller draws a new one whenever
            `call_index % block == 0` and repeats it within the block.
        call_index: 0-based number of the call in its episode; broadcasts with `uniform`.
        block: calls replayed in their measured order before a new start is drawn.

    Returns: int64 rows in 0..N-1: (floor(uniform * N) + call_index % block) % N."""
    start = np.floor(np.asarray(uniform, dtype=np.float64) * table_rows).astype(np.int64)
    return (start + np.asarray(call_index, dtype=np.int64) % block) % table_rows


@dataclass(frozen=True)
class Samples:
    """The calls of one role and level in measured order, (n,) each. A parametric option gives PARAMETRIC_ROWS draws."""

    seconds: Floats
    tokens_in: Floats
    tokens_out: Floats
    ok: Bools


def option_samples(profile: LatencyProfile, role: str, level: int) -> Samples:
    """Returns the calls that `profile` has for `role` at `level`. Raises: InputError if it has none."""
    profile.require(role, level)
    if profile.parametric is not None:
        option = next(o for o in profile.parametric if (o.role, o.level) == (role, level))
        order, fail_rank = _shuffles(PARAMETRIC_ROWS)

        return Samples(
            _lognormal_slices(option.mu, option.sigma, PARAMETRIC_ROWS)[order],
            np.full(PARAMETRIC_ROWS, float(option.tokens_in)),
            np.full(PARAMETRIC_ROWS, float(option.tokens_out)),
            fail_rank >= round(option.error_rate * PARAMETRIC_ROWS),
        )

    records = [r for r in profile.records or () if (r.role, r.level) == (role, level)]
    return Samples(
        np.array([r.total_s for r in records]),
        np.array([r.tokens_in for r in records], dtype=np.float64),
        np.array([r.tokens_out for r in records], dtype=np.float64),
        np.array([r.finish == "stop" for r in records]),
    )


class ProfileReplay:
    """Answers THINK actions one after another from a table, as `block_row` does for many episodes at once."""

    def __init__(self, table: ReplayTable, seed: int, block: int = BLOCK) -> None:
        self.table = table
        self.row = -1
        """Row of the last call, -1 before the first one. `table.correct[int(action) - 1, row]` is its outcome."""
        self._block = block
        self._rng = np.random.default_rng(seed)
        self._calls = 0
        self._uniform = 0.0

    def call(self, action: Action) -> LlmCall:
        """Returns the next call. Its status is INVALID if the profile's call gave no usable answer.

        Raises: ValueError for ACT, which calls nothing."""
        if action is Action.ACT:
            raise ValueError("ProfileReplay.call takes a THINK action, got ACT")

        if self._calls % self._block == 0:
            self._uniform = self._rng.random()

        self.row = int(block_row(self.table.rows, np.float64(self._uniform), np.int64(self._calls), self._block))
        self._calls += 1
        option = THINK_ACTIONS.index(action)

        return LlmCall(
            action,
            CallStatus.OK if self.table.ok[option, self.row] else CallStatus.INVALID,
            float(self.table.seconds[option, self.row]),
            float(self.table.tokens[option, self.row]),
        )


def _role(action: Action) -> str:
    assert action.role is not None
    return action.role.value


def _recorded_columns(records: tuple[CallRecord, ...], rows: int | None) -> _Columns:
    options = [[r for r in records if (r.role, r.level) == (_role(a), a.level)] for a in THINK_ACTIONS]
    n = rows or max(len(option) for option in options)

    seconds = np.empty((4, n))
    tokens = np.empty((4, n))
    ok = np.empty((4, n), dtype=np.bool_)
    correct = np.empty((4, n), dtype=np.int8)
    max_tokens = np.empty(4)
    for i, option in enumerate(options):
        index = np.arange(n) % len(option)
        seconds[i] = np.array([r.total_s for r in option])[index]
        tokens[i] = np.array([r.tokens_in + r.tokens_out for r in option], dtype=np.float64)[index]
        ok[i] = np.array([r.finish == "stop" for r in option])[index]
        correct[i] = np.array([-1 if r.correct is None else int(r.correct) for r in option], dtype=np.int8)[index]
        cap = max(r.tokens_in for r in option) + MAX_NEW_TOKENS[THINK_ACTIONS[i].level]
        max_tokens[i] = max(cap, max(r.tokens_in + r.tokens_out for r in option))

    return seconds, tokens, ok, correct, max_tokens


def _judged(records: tuple[CallRecord, ...]) -> NDArray[np.int64]:
    counts = np.zeros((2, 4), np.int64)
    for i, action in enumerate(THINK_ACTIONS):
        option = (_role(action), action.level)
        known = [r.correct for r in records if (r.role, r.level) == option and r.finish == "stop"]
        counts[:, i] = sum(right is not None for right in known), sum(right is True for right in known)
    return counts


def _parametric_columns(options: tuple[ParametricOption, ...], n: int) -> _Columns:
    """Draws once per 1/N slice of the distribution and shuffles, so that mean and quantiles have no sampling noise.

    All options share the shuffle (a slow moment is slow for each of them); failures have a shuffle of their own."""
    by_option: dict[tuple[str, int], ParametricOption] = {(option.role, option.level): option for option in options}
    ordered = [by_option[_role(action), action.level] for action in THINK_ACTIONS]
    order, fail_rank = _shuffles(n)
    seconds = np.stack([_lognormal_slices(o.mu, o.sigma, n)[order] for o in ordered])
    tokens = np.stack([np.full(n, float(o.tokens_in + o.tokens_out)) for o in ordered])
    ok = np.stack([fail_rank >= round(o.error_rate * n) for o in ordered])
    cap = [o.tokens_in + max(o.tokens_out, MAX_NEW_TOKENS[o.level]) for o in ordered]

    return seconds, tokens, ok, np.full((4, n), -1, dtype=np.int8), np.array(cap, dtype=np.float64)


def _shuffles(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(_SHUFFLE_SEED)
    return rng.permutation(n), rng.permutation(n)


def _lognormal_slices(mu: float, sigma: float, n: int) -> Floats:
    """Returns the mean of each of the n equally likely slices of a lognormal, ascending; their mean is the exact mean.

    Partial expectation of a lognormal: E[X; z0 < Z < z1] = exp(mu + sigma^2/2) (Phi(z1 - sigma) - Phi(z0 - sigma))."""
    normal = NormalDist()
    z = [normal.inv_cdf(k / n) for k in range(1, n)]
    cdf = np.array([0.0, *(normal.cdf(value - sigma) for value in z), 1.0])
    return np.minimum(n * np.exp(mu + sigma**2 / 2) * np.diff(cdf), MAX_SECONDS)


def _costs(seconds: Floats, tokens: Floats, ok: Bools, max_tokens: Floats) -> ThinkCosts:
    arrays = (
        seconds.mean(axis=1),
        np.median(seconds, axis=1),
        np.quantile(seconds, 0.95, axis=1),
        tokens.mean(axis=1),
        max_tokens,
        ok.mean(axis=1),
    )

    for array in arrays:
        array.setflags(write=False)

    return ThinkCosts(*arrays)
