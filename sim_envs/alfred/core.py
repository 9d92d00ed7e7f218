"""The decision process of RARRL (arXiv 2603.16673) on ALFRED's plans: one numpy core for many robots.

An episode is one ALFRED expert plan. Each sub-goal is executed in pieces of at most `CHUNK_STEPS` low-level
steps (one action chunk); a decision is ACT (one attempt at the next piece) or THINK(role, level) (one call of
the language model, whose seconds and tokens are replayed from a latency profile).

- The chance that an attempt fails is p_exec = base[type] (easy + slope u) + penalty x consecutive failures,
  with u the *hidden* uncertainty of this sub-goal in this scene.
- A share of the failures is irreversible, by type: the task is lost, without warning.
- A planner's answer lowers reversible failures by (1 - eta u) for the rest of the sub-goal; a verifier's
  lowers irreversible ones by (1 - eta u) for the next attempt. A call that fails costs its time, changes nothing.
- The episode succeeds when all pieces are done within `horizon` attempts.

Randomness is a hash of (episode seed, stream, index): two policies on the same seed meet the same scene, the
same luck at the same attempt, and the same latency at the same call (common random numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import AlfredPlan, SubgoalType
from rarrl.latency.replay import BLOCK, ReplayTable, block_row
from rarrl.orchestrator.features import N_TYPES, History, Situation, encode
from rarrl.types import CALL_TIMEOUT_S, ActStatus

Floats = NDArray[np.float64]

CHUNK_STEPS = 8  # low-level steps of an attempt: rows of an action chunk
STEP_S = 0.25  # s that one low-level step takes on the robot; an assumption, ALFRED's steps have no duration
CATEGORIES = ("Navigation", "Inspection", "Delivery")
"""Kinds of episode, as in RARRL's evaluation."""


@dataclass(frozen=True)
class Dynamics:
    """Constants of the world. Tuples are in the order of SubgoalType.

    `base_failure` follows the order of ALFRED's published sub-goal failure rates (Shridhar et al. 2020,
    table 4), scaled down to a capable policy; `irreversible` is the share of failures that lose the task.
    `eta` holds planner 1, planner 2, verifier 1, verifier 2. No public record has these for a real robot:
    they are assumptions, kept in this one place.
    """

    base_failure: tuple[float, ...] = (0.22, 0.24, 0.30, 0.38, 0.12, 0.28, 0.32, 0.28)
    irreversible: tuple[float, ...] = (0.0, 0.03, 0.75, 0.85, 0.0, 0.65, 0.80, 0.65)
    easy: float = 0.04  # share of base_failure at u = 0
    slope: float = 2.5  # growth of that share with u: at u = 1 it is 2.54
    consecutive_penalty: float = 0.05  # added to the failure probability per failure since the last success
    max_failure: float = 0.9  # failure probability of an attempt, at most: no sub-goal is hopeless
    eta: tuple[float, ...] = (0.60, 0.85, 0.60, 0.90)  # share of the failures that advice prevents, at u = 1
    hard_scenes: float = 0.45  # share of scenes that are hard (cluttered, unfamiliar)
    hard_share: tuple[float, float] = (0.04, 0.85)  # chance that a sub-goal is hard in an easy, a hard scene
    slack: float = 2.0  # attempts allowed: slack x pieces + 1


@dataclass(frozen=True)
class EpisodeBank:
    """Plans as padded arrays: P rows, one per (plan, category); M = most pieces, K = most sub-goals.

    Attributes:
        plans: the plans
        plan_index: (P,) row -> index in `plans`
        category: (P,) index in CATEGORIES
        piece_type, piece_subgoal: (P, M) sub-goal type of a piece, and the number of its sub-goal
        piece_steps: (P, M) low-level steps of a piece, at most CHUNK_STEPS
        pieces, subgoals: (P,) how many there are
        subgoal_types: (P, K)
        remaining: (P, K, 8) sub-goals of each type after the k-th
    """

    plans: tuple[AlfredPlan, ...]
    plan_index: NDArray[np.int64]
    category: NDArray[np.int64]
    piece_type: NDArray[np.int64]
    piece_subgoal: NDArray[np.int64]
    piece_steps: NDArray[np.int64]
    pieces: NDArray[np.int64]
    subgoals: NDArray[np.int64]
    subgoal_types: NDArray[np.int64]
    remaining: Floats

    @classmethod
    def from_plans(cls, plans: Sequence[AlfredPlan], categories: Sequence[str] = CATEGORIES) -> EpisodeBank:
        """Each plan gives its own episode (Inspection for look_at_obj_in_light, else Delivery) and, as
        Navigation, the episode of its GotoLocation sub-goals alone.

        Raises: ValueError if no plan falls into `categories`."""
        rows: list[tuple[int, int, list[tuple[SubgoalType, int]]]] = []
        for index, plan in enumerate(plans):
            whole = list(zip(plan.subgoals, plan.low_steps, strict=True))
            goto = [pair for pair in whole if pair[0] is SubgoalType.GotoLocation]
            kind = "Inspection" if plan.task_type == "look_at_obj_in_light" else "Delivery"
            for name, subgoals in ((kind, whole), ("Navigation", goto)):
                if name in categories and subgoals:
                    rows.append((index, CATEGORIES.index(name), subgoals))
        if not rows:
            raise ValueError(f"no episode of the categories {tuple(categories)} in {len(plans)} plans")

        chunks = [[-(-max(steps, 1) // CHUNK_STEPS) for _, steps in subgoals] for _, _, subgoals in rows]
        p = len(rows)
        m = max(sum(counts) for counts in chunks)
        k = max(len(subgoals) for _, _, subgoals in rows)
        piece_type = np.zeros((p, m), np.int64)
        piece_subgoal = np.zeros((p, m), np.int64)
        piece_steps = np.zeros((p, m), np.int64)
        subgoal_types = np.zeros((p, k), np.int64)
        remaining = np.zeros((p, k, N_TYPES))

        for row, ((_, _, subgoals), counts) in enumerate(zip(rows, chunks, strict=True)):
            piece = 0
            for index, ((kind_, steps), count) in enumerate(zip(subgoals, counts, strict=True)):
                subgoal_types[row, index] = kind_
                for later, _ in subgoals[index + 1 :]:
                    remaining[row, index, later] += 1.0
                for part in range(count):
                    piece_type[row, piece] = kind_
                    piece_subgoal[row, piece] = index
                    piece_steps[row, piece] = min(CHUNK_STEPS, max(steps, 1) - part * CHUNK_STEPS)
                    piece += 1

        return cls(
            plans=tuple(plans),
            plan_index=np.array([r[0] for r in rows]),
            category=np.array([r[1] for r in rows]),
            piece_type=piece_type,
            piece_subgoal=piece_subgoal,
            piece_steps=piece_steps,
            pieces=np.array([sum(c) for c in chunks]),
            subgoals=np.array([len(r[2]) for r in rows]),
            subgoal_types=subgoal_types,
            remaining=remaining,
        )

    def __len__(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True)
class EpisodeParams:
    """What an episode starts with; arrays (m,).

    Attributes:
        row: of the bank
        seed: of everything that is drawn in the episode
        table: index of the language model's replay table
        time_s, tokens: the budget
        cost_weight: points of success per second of thinking
        latency_scale: factor on the seconds of calls
        jitter: standard deviation of their logarithm, on top
        shock_at: the piece at which the budget is cut to SHOCK_LEAVES of what is left, when its attempt is decided; -1:
            never
    """

    row: NDArray[np.int64]
    seed: NDArray[np.uint64]
    table: NDArray[np.int64]
    time_s: Floats
    tokens: Floats
    cost_weight: Floats
    latency_scale: Floats
    jitter: Floats
    shock_at: NDArray[np.int64]

    def take(self, where: NDArray[np.int64]) -> EpisodeParams:
        """The rows `where`."""
        return EpisodeParams(**{f.name: getattr(self, f.name)[where] for f in fields(self)})


SHOCK_LEAVES = 0.4
"""Share of the budget that a shock leaves: enough to go on, not enough to go on as before."""

# Constants of splitmix64, as published; as uint64, so that numpy wraps around without converting.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)
_S11 = np.uint64(11)

SCENE, HARD, DEPTH, LUCK, ROW, JITTER_A, JITTER_B = range(7)
"""Streams of an episode: what is drawn in one says nothing about what is drawn in another."""


def _key(stream: int) -> int:
    """What a stream's seeds are mixed with: numbers that differ in about half of their bits."""
    return (stream * 0xD6E8FEB86659FD93 + 0xA5A5A5A5) & 0xFFFFFFFFFFFFFFFF


_KEYS = np.array([_key(stream) for stream in range(128)], np.uint64)
"""Of all streams: 0 to 6 here, from 99 on in `episodes`."""


def uniform(seed: NDArray[np.uint64], stream: int | Sequence[int], index: NDArray[Any] | int) -> Floats:
    """Numbers in [0, 1) that depend on (seed, stream, index) alone: splitmix64 (Steele et al. 2014).

    Shape (n,) for one stream; (streams, n) for several, which costs little more."""
    key = _KEYS[stream] if isinstance(stream, int) else _KEYS[list(stream), None]
    if isinstance(index, int):
        offset: Any = np.uint64((index + 1) * int(_GOLDEN) & 0xFFFFFFFFFFFFFFFF)
    else:
        offset = (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    x = (seed ^ key) + offset
    x = (x ^ (x >> _S30)) * _MIX1
    x = (x ^ (x >> _S27)) * _MIX2
    x ^= x >> _S31
    return np.asarray((x >> _S11) * (1.0 / (1 << 53)))


@dataclass
class StepResult:
    """What one decision did; arrays (n,).

    Attributes:
        act_status: -1 where no attempt was made, else 0 SUCCESS, 1 FAILURE, 2 LOST (index in ACT_STATUS)
        seconds, tokens: spent on the call; 0 for ACT
        call_ok: the call gave an answer in time
        deadline_miss: the call ran out of the budget
        shocked: the budget was cut at this decision
        done, success: the episode is over; with success
        exec_s: seconds of the attempt
        reward: see `AlfredReplayEnv`
    """

    act_status: NDArray[np.int64]
    seconds: Floats
    tokens: Floats
    call_ok: NDArray[np.bool_]
    deadline_miss: NDArray[np.bool_]
    shocked: NDArray[np.bool_]
    done: NDArray[np.bool_]
    success: NDArray[np.bool_]
    exec_s: Floats
    reward: Floats = field(default_factory=lambda: np.zeros(0))


ACT_STATUS = (ActStatus.SUCCESS, ActStatus.FAILURE, ActStatus.LOST)
"""What the numbers 0, 1, 2 of `StepResult.act_status` mean."""


class AlfredReplayCore:
    """n episodes side by side. `begin` starts some of them, `step` takes one decision in each.

    An action that the mask forbids is executed as ACT. A finished episode stands still until `begin`.
    `hard`: a call that runs out of the budget ends the episode (failure) instead of only its own answer.
    """

    nameless = False  # whether its skills have names that a policy could know

    def __init__(
        self,
        bank: EpisodeBank,
        tables: Sequence[ReplayTable],
        n: int,
        dynamics: Dynamics | None = None,
        hard: bool = False,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        if not tables:
            raise ValueError("AlfredReplayCore needs at least one ReplayTable")
        self.bank = bank
        self.tables = tuple(tables)
        self.n = n
        self.hard = hard
        self.call_timeout_s = call_timeout_s

        d = self.dynamics = dynamics or Dynamics()
        self._base = np.array(d.base_failure)
        self._share = np.array(d.irreversible)
        self._eta_planner = np.array([0.0, d.eta[0], d.eta[1]])
        self._eta_verifier = np.array([0.0, d.eta[2], d.eta[3]])

        # The tables side by side, padded to the longest: (tables, THINK actions, rows).
        rows = max(t.seconds.shape[1] for t in self.tables)
        self._rows = np.array([t.seconds.shape[1] for t in self.tables])
        self._seconds = np.zeros((len(self.tables), 4, rows))
        self._tokens = np.zeros((len(self.tables), 4, rows))
        self._ok = np.zeros((len(self.tables), 4, rows), dtype=bool)
        for i, t in enumerate(self.tables):
            self._seconds[i, :, : self._rows[i]] = t.seconds
            self._tokens[i, :, : self._rows[i]] = t.tokens
            self._ok[i, :, : self._rows[i]] = t.ok
        self._costs = {
            name: np.stack([getattr(t.costs, name) for t in self.tables])
            for name in ("mean_s", "p95_s", "mean_tokens", "max_tokens")
        }

        # Rows of two arrays, so that `begin` clears an environment's numbers in two writes.
        self.history = History(n)
        self._ints = np.zeros((6, n), np.int64)
        self.row, self.table, self.piece, self.attempt, self.calls, self.shock_at = self._ints
        self._floats = np.zeros((10, n))
        (
            self.time_s,
            self.tokens,
            self.initial_time_s,
            self.initial_tokens,
            self.cost_weight,
            self.latency_scale,
            self.jitter,
            self.acts,
            self.horizon,
            self.u,
        ) = self._floats

        self.seed = np.zeros(n, np.uint64)
        self._scene_hard = np.zeros(n)
        self.alive = np.zeros(n, dtype=bool)
        self._cost_now = {name: np.ones((4, n)) for name in self._costs}
        self._pieces = np.ones(n, np.int64)
        self._subgoals = np.ones(n)
        self.subgoal_type = np.zeros(n, np.int64)
        self.subgoal = np.zeros(n, np.int64)
        self._remaining = np.zeros((N_TYPES, n))
        self._arange = np.arange(n)

    def begin(self, where: NDArray[np.int64], params: EpisodeParams) -> None:
        """Starts an episode in each of the environments `where` (m,)."""
        self._ints[:, where] = 0
        self.row[where] = params.row
        self.table[where] = params.table
        self.shock_at[where] = params.shock_at
        for name in ("time_s", "tokens", "cost_weight", "latency_scale", "jitter"):
            getattr(self, name)[where] = getattr(params, name)
        self.initial_time_s[where] = params.time_s
        self.initial_tokens[where] = params.tokens
        self.seed[where] = params.seed
        self.acts[where] = 0.0

        self._pieces[where] = self.bank.pieces[params.row]
        self._draw_world(where, params)
        self._subgoals[where] = self.bank.subgoals[params.row]
        for name, values in self._costs.items():
            self._cost_now[name][:, where] = values[params.table].T

        self.history.reset(where)
        self.alive[where] = True
        self._enter(where)

    def _draw_world(self, where: NDArray[np.int64], params: EpisodeParams) -> None:
        """What an episode has of its own beside its plan: how hard its scene is, and the attempts that are allowed."""
        d = self.dynamics
        hard_scene = uniform(params.seed, SCENE, 0) < d.hard_scenes
        self._scene_hard[where] = np.where(hard_scene, d.hard_share[1], d.hard_share[0])
        self.horizon[where] = np.ceil(d.slack * self.bank.pieces[params.row]) + 1.0

    def _enter(self, where: NDArray[np.int64]) -> None:
        """Looks up what the current piece of the environments `where` is, and its hidden u."""
        row = self.row[where]
        piece = self.piece[where]
        subgoal = self.bank.piece_subgoal[row, piece]
        self.subgoal[where] = subgoal
        self.subgoal_type[where] = self.bank.piece_type[row, piece]
        self._remaining[:, where] = self.bank.remaining[row, subgoal].T

        seed = self.seed[where]
        hard, depth = uniform(seed, (HARD, DEPTH), subgoal)
        self.u[where] = 0.25 * depth + 0.75 * (hard < self._scene_hard[where])

    def situation(self) -> Situation:
        """What the policies may see. Arrays are views: use them before the next `step`."""
        return Situation(
            subgoal_type=self.subgoal_type,
            remaining=self._remaining,
            subgoal_index=self.subgoal.astype(np.float64),
            subgoal_count=self._subgoals,
            step=self.acts,
            horizon=self.horizon,
            history=self.history,
            time_s=self.time_s,
            tokens=self.tokens,
            initial_time_s=self.initial_time_s,
            initial_tokens=self.initial_tokens,
            cost_weight=self.cost_weight,
            mean_s=self._cost_now["mean_s"],
            p95_s=self._cost_now["p95_s"],
            mean_tokens=self._cost_now["mean_tokens"],
            max_tokens=self._cost_now["max_tokens"],
        )

    def observe(self) -> NDArray[np.float32]:
        """The encoded situation (n, N_FEATURES)."""
        return encode(self.situation())

    def failure_probabilities(self, planner_level: int = 0, verifier_level: int = 0) -> tuple[Floats, Floats]:
        """(irreversible, reversible) failure probability of the next attempt, (n,) each. Hidden from policies.

        With the advice in force, or with advice of the given levels where that is more."""
        d = self.dynamics
        h = self.history
        p = self._base[self.subgoal_type] * (d.easy + d.slope * self.u) + d.consecutive_penalty * h.consecutive_failures
        np.minimum(p, d.max_failure, out=p)

        share = self._share[self.subgoal_type]
        planner = np.maximum(h.planner_level, planner_level).astype(np.int64)
        verifier = np.maximum(h.verifier_level, verifier_level).astype(np.int64)
        lost = p * share * (1.0 - self._eta_verifier[verifier] * self.u)
        wrong = p * (1.0 - share) * (1.0 - self._eta_planner[planner] * self.u)
        return lost, wrong

    def luck(self) -> Floats:
        """The draw (n,) that decides the next attempt: LOST below the irreversible probability, FAILURE
        above one minus the reversible one. Hidden from policies; the oracle peeks."""
        return uniform(self.seed, LUCK, self.piece * 64 + self.attempt)

    def step(self, actions: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> StepResult:
        """Takes one decision in each living episode. `actions` (n,) int in 0..4.

        `mask` (5, n) is the current action mask where the caller has it already."""
        if mask is None:
            mask = self.situation().action_mask()

        action = np.where(mask[actions, self._arange] & self.alive, actions, 0)
        thinks = action > 0
        acts = self.alive & ~thinks
        result = self._think(action, thinks)
        self._act(acts, result)
        self._shock(result)

        np.logical_and(self.alive, ~result.done, out=self.alive)
        result.reward = result.success - self.cost_weight * result.seconds
        return result

    def _think(self, action: NDArray[np.int64], thinks: NDArray[np.bool_]) -> StepResult:
        """The calls of the robots that think: what they cost, and whether they gave an answer."""
        zeros = np.zeros(self.n)
        no = np.zeros(self.n, dtype=bool)
        result = StepResult(
            np.full(self.n, -1), zeros, zeros.copy(), no, no.copy(), no.copy(), no.copy(), no.copy(), zeros.copy()
        )
        where = np.flatnonzero(thinks)
        if not len(where):
            return result

        option = action[where] - 1
        call = self.calls[where]
        seed = self.seed[where]
        measured, tokens, answered = self._replay(where, option)
        seconds = measured * self.latency_scale[where]
        sigma = self.jitter[where]
        if sigma.any():
            radius = np.sqrt(-2.0 * np.log(1.0 - uniform(seed, JITTER_A, call)))
            normal = radius * np.cos(2.0 * np.pi * uniform(seed, JITTER_B, call))
            seconds = seconds * np.exp(sigma * normal - 0.5 * sigma * sigma)  # log-normal, its mean kept

        deadline = np.minimum(self.time_s[where], self.call_timeout_s)
        ok = answered & (seconds <= deadline)
        miss = (seconds > self.time_s[where]) | (tokens > self.tokens[where])
        result.deadline_miss[where] = miss
        result.done[where] = miss & self.hard
        result.seconds[where] = spent = np.minimum(seconds, deadline)
        result.tokens[where] = tokens = np.minimum(tokens, self.tokens[where])
        result.call_ok[where] = ok

        self.time_s[where] -= spent
        self.tokens[where] -= tokens
        self.calls[where] += 1

        expected = self._cost_now["mean_s"][option, where]
        all_expected = np.ones(self.n)
        all_expected[where] = expected
        self.history.record_think(action, result.call_ok, result.seconds, all_expected)
        return result

    def _replay(self, where: NDArray[np.int64], option: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Seconds, tokens and whether there is an answer, (m,) each, of a call of `option` by the robots `where`."""
        table = self.table[where]
        call = self.calls[where]
        row = block_row(self._rows[table], uniform(self.seed[where], ROW, call // BLOCK), call)
        return self._seconds[table, option, row], self._tokens[table, option, row], self._ok[table, option, row]

    def _act(self, acts: NDArray[np.bool_], result: StepResult) -> None:
        """The attempts of the robots that act: how each ended, and what comes next."""
        lost, wrong = self.failure_probabilities()
        luck = self.luck()
        is_lost = acts & (luck < lost)
        success = acts & ~is_lost & (luck <= 1.0 - wrong)
        status = np.where(is_lost, 2, np.where(success, 0, 1))
        result.act_status[:] = np.where(acts, status, -1)
        result.exec_s[:] = self.bank.piece_steps[self.row, self.piece] * (STEP_S * acts)

        self.acts += acts
        self.attempt[:] = np.where(success, 0, self.attempt + acts)
        self.piece += success
        finished = success & (self.piece >= self._pieces)
        moved = np.flatnonzero(success & ~finished)
        before = self.subgoal[moved]
        subgoal_done = finished.copy()
        if len(moved):
            self._enter(moved)
            subgoal_done[moved] = self.subgoal[moved] != before
        self.history.record_act(acts, success, subgoal_done)

        result.success[:] = finished
        result.done |= is_lost | finished | (acts & (self.acts >= self.horizon))
        np.minimum(self.piece, self._pieces - 1, out=self.piece)

    def _shock(self, result: StepResult) -> None:
        """Cuts the budgets whose time has come."""
        shocked = self.alive & (self.shock_at >= 0) & (self.piece >= self.shock_at)
        if shocked.any():
            factor = np.where(shocked, SHOCK_LEAVES, 1.0)
            self.time_s *= factor
            self.tokens *= factor
            self.shock_at[shocked] = -1
            result.shocked |= shocked
