"""From chunks of actions to one row per control tick: by time, without jumps, never from an old observation."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from rarrl.policy.base import ActionChunk

REFUSALS = ("shape", "not_finite", "future", "stale", "out_of_order")
"""Why a chunk is refused; see `ChunkBroker.push`."""
_DRIFT_LOW = -0.5
_DRIFT_HIGH = 1.5
"""Rows. A tick that is off by less than that from the row after the last one is jitter; beyond, rows are skipped."""


@dataclass(frozen=True, eq=False)
class Row:
    """The command of one tick. action: (a,) float32. observed_at: of the oldest observation that it rests on.

    index: of the row in its chunk."""

    action: np.ndarray
    observed_at: float
    index: int


@dataclass(frozen=True, eq=False)
class _Plan:
    chunk: ActionChunk
    actions: np.ndarray  # (horizon, a), blended
    since: np.ndarray  # (horizon,), the oldest observation in each row
    seam: int  # the last row that belongs to the seam; -1: there was nothing before


class ChunkBroker:
    """Takes chunks as they are ready and hands out one row per control tick. Times are seconds of one steady clock;
    row i of a chunk is for `observed_at + i * dt`, so that the rows which passed while it was computed are skipped.

    A new chunk takes over gradually: from its first row on, for n rows, a row is (1 - w) times the row of the plan so
    far plus w times its own, w = 1/(n+1), 2/(n+1), ...; rows are matched by their time. n is `blend_rows`, or fewer
    where the plan so far ends or rests on what would be too old then: a blended row is as old as the oldest observation
    in it.

    Args:
        shape: (horizon, a) of every chunk
        dt: seconds per row and tick
        max_age_s: rows that rest on an older observation are not handed out
        blend_rows: rows of a seam; 0 changes over at once
        replan_share: `wants_chunk` when less than this share of the rows that may be used is left"""

    def __init__(
        self, shape: tuple[int, int], dt: float, max_age_s: float, blend_rows: int = 2, replan_share: float = 0.7
    ) -> None:
        self._shape = shape
        self._dt = dt
        self._max_age_s = max_age_s
        self._blend_rows = blend_rows
        self._replan_share = replan_share
        # Row i is due from age i * dt on.
        self._usable = min(shape[0], int(max_age_s / dt + 1e-9) + 1)
        self._plan: _Plan | None = None
        self._next: ActionChunk | None = None  # takes over in the next tick
        self._index = -1  # of the last row handed out; -1: none of this plan
        self._last: np.ndarray | None = None  # handed out in the tick before
        self._newest = -math.inf
        self._refused: Counter[str] = Counter()
        self.chunks = 0
        self.rows = 0
        self.holds = 0
        self.seam_jump = np.zeros(shape[1])
        """(a,): the largest change from one tick to the next at a seam, per joint."""

    @property
    def refused(self) -> dict[str, int]:
        """Chunks refused, by reason."""
        return {reason: self._refused[reason] for reason in REFUSALS}

    def push(self, chunk: ActionChunk, now: float) -> str:
        """Takes a chunk over, or says why not: one of `REFUSALS`.

        shape: other rows, columns or dt. not_finite: NaN or infinity anywhere. future: observed after `now`. stale:
        no row of it may be used any more. out_of_order: its observation is not later than that of the chunk before."""
        reason = self._reason(chunk, now)
        if reason:
            self._refused[reason] += 1
            return reason
        self.chunks += 1
        self._newest = chunk.observed_at
        self._next = replace(chunk, actions=np.array(chunk.actions, np.float32))
        return ""

    def next_row(self, now: float) -> Row | None:
        """The row of this tick; None: hold, nothing that is fresh enough is left. To be called once per tick."""
        if self._next is not None:
            self._plan = self._blended(self._next, now)
            self._next = None
            self._index = -1

        row = self._row(now)
        if row is None or self._plan is None:
            self.holds += 1
            self._last = None
            return None
        if self._last is not None and row.index <= self._plan.seam:
            self.seam_jump = np.maximum(self.seam_jump, np.abs(row.action - self._last))
        self.rows += 1
        self._last = row.action
        return row

    def wants_chunk(self, now: float) -> bool:
        """Whether the next inference should begin: few rows are left, not only none."""
        if self._next is not None:
            due = self._due(self._next, now)
        elif self._plan is not None:
            due = max(self._due(self._plan.chunk, now), self._index)
        else:
            return True
        left = self._usable - due - 1
        return left < self._replan_share * self._usable

    def clear(self) -> None:
        """Forgets all rows: hold until the next chunk. Chunks of observations made before stay out of order."""
        self._plan = None
        self._next = None
        self._index = -1

    def _reason(self, chunk: ActionChunk, now: float) -> str:
        actions = chunk.actions
        if actions.shape != self._shape or not math.isclose(chunk.dt, self._dt, rel_tol=1e-6):
            return "shape"
        if not (np.isfinite(actions).all() and math.isfinite(chunk.observed_at)):
            return "not_finite"
        if chunk.observed_at > now:
            return "future"
        age = now - chunk.observed_at
        if age > self._max_age_s or age >= self._shape[0] * self._dt:
            return "stale"
        return "out_of_order" if chunk.observed_at <= self._newest else ""

    def _due(self, chunk: ActionChunk, now: float) -> int:
        """The row for `now`."""
        return math.floor((now - chunk.observed_at) / self._dt + 1e-9)

    def _blended(self, chunk: ActionChunk, now: float) -> _Plan:
        actions = chunk.actions.copy()
        since = np.full(len(chunk.actions), chunk.observed_at)
        first = self._due(chunk, now)
        old = self._plan
        if old is None:
            return _Plan(chunk, actions, since, seam=-1)

        shift = round((chunk.observed_at - old.chunk.observed_at) / self._dt)
        rows = range(first, min(first + self._blend_rows, len(actions), len(actions) - shift))
        fresh = [chunk.observed_at + row * self._dt - old.since[row + shift] <= self._max_age_s for row in rows]
        n = fresh.index(False) if False in fresh else len(fresh)
        for k, row in enumerate(rows[:n]):
            w = (k + 1) / (n + 1)
            actions[row] = (1 - w) * old.actions[row + shift] + w * actions[row]
            since[row] = min(since[row], old.since[row + shift])
        return _Plan(chunk, actions, since, seam=first + n)

    def _row(self, now: float) -> Row | None:
        plan = self._plan
        if plan is None:
            return None
        index = self._due(plan.chunk, now)
        if self._index >= 0:
            # Ticks come a little early or late: no row twice or left out for that; more than jitter is made up for.
            drift = (now - plan.chunk.observed_at) / self._dt - (self._index + 1)
            if _DRIFT_LOW <= drift <= _DRIFT_HIGH:
                index = self._index + 1
        if not 0 <= index < len(plan.actions):
            return None
        self._index = index
        for actions, since in ((plan.actions, float(plan.since[index])), (plan.chunk.actions, plan.chunk.observed_at)):
            if now - since <= self._max_age_s:
                return Row(actions[index], since, index)
        return None
