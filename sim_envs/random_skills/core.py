"""Episodes of robots that have skills of their own: `AlfredReplayCore` with a skill set per episode.

The same process as on ALFRED: each step of a plan is executed in one attempt or a few; a decision is ACT or THINK; a
planner's answer lowers reversible failures for the rest of the step, a verifier's the irreversible ones of the next
attempt. But how often skills fail, what cannot be undone, how much advice helps and how hard the world is are drawn
with the episode, from `SkillRanges`. A policy sees of them what a robot would know: what its maker wrote, and what it
has counted itself (`rarrl.orchestrator.skill_statistics`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.features import FOREIGN, N_TYPES, Situation, Steps, encode_nameless
from rarrl.types import CALL_TIMEOUT_S, StepView

from ..alfred.core import SCENE, AlfredReplayCore, EpisodeBank, EpisodeParams, Floats, StepResult, uniform
from .ranges import TRAINING_SETS, Range, SkillRanges

MAX_PARTS_STEPS = 8  # low-level steps of a part: the unit of `EpisodeBank.piece_steps`, without a meaning here
MEAN_DEPTH = 0.125  # of the hidden u in a step that is not hard: it is uniform from 0 to 0.25
HARD_DEPTH = 0.75  # what a hard step adds to it
NOTICED = (0.1, 0.7)  # chance that a failure contradicts a belief: in a step that is not hard, in one that is
MAX_FAILURE = 0.9  # failure probability of an attempt, at most: no step is hopeless
DECLARED_NO, DECLARED_POSSIBLE, DECLARED_ALWAYS = 0.0, 0.5, 1.0
ALWAYS_FROM = 0.8  # true share from which on a maker writes "always"
_UNKNOWN = StepView("unknown").irreversible
PRIOR_FAILURES = 2.0
"""Failures that the maker's word on what cannot be undone is worth; see `SkillStatistics`."""

# Streams of `uniform`, apart from those of `alfred.core` (0 to 6) and `alfred.episodes` (99 to 109).
_PER_SKILL = (
    BASE_A,
    BASE_B,
    RISKY,
    SHARE,
    LOOKS,
    SECONDS,
    ERROR_A,
    ERROR_B,
    SILENT,
    COUNT_A,
    COUNT_B,
    COUNT_C,
    COUNT_D,
) = tuple(range(20, 33))
_PER_ROBOT = tuple(range(40, 64))
NOTICE = 70
OWN = 80  # first of those of `planned_core`


def random_bank(ranges: SkillRanges, count: int, seed: int) -> EpisodeBank:
    """`count` random plans: which of its robot's skills each step uses, and in how many parts."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(ranges.steps[0], ranges.steps[1] + 1, count)
    skills = rng.integers(ranges.skills[0], ranges.skills[1] + 1, count)
    k = ranges.steps[1]
    m = k * ranges.parts[1]
    kinds = (rng.random((count, k)) * skills[:, None]).astype(np.int64)
    parts = rng.integers(ranges.parts[0], ranges.parts[1] + 1, (count, k))
    parts = np.where(rng.random((count, k)) < 0.6, ranges.parts[0], parts)  # most skills are a single attempt
    parts[np.arange(k) >= lengths[:, None]] = 0

    pieces = parts.sum(axis=1)
    ends = np.cumsum(parts, axis=1)
    piece_subgoal = np.minimum((np.arange(m)[None, :, None] >= ends[:, None, :]).sum(axis=2), lengths[:, None] - 1)
    return EpisodeBank(
        plans=(),
        plan_index=np.arange(count),
        category=np.ones(count, np.int64),
        piece_type=np.take_along_axis(kinds, piece_subgoal, axis=1),
        piece_subgoal=piece_subgoal,
        piece_steps=np.full((count, m), MAX_PARTS_STEPS),
        pieces=pieces,
        subgoals=lengths,
        subgoal_types=kinds,
        remaining=np.zeros((count, k, N_TYPES)),
    )


class RandomSkillsCore(AlfredReplayCore):
    """n robots side by side, each with a skill set of its own; see the module's text."""

    nameless = True

    def __init__(
        self,
        bank: EpisodeBank,
        tables: Sequence[ReplayTable],
        n: int,
        ranges: SkillRanges = TRAINING_SETS,
        hard: bool = False,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        super().__init__(bank, tables, n, None, hard, call_timeout_s)
        self.ranges = ranges
        k = bank.subgoal_types.shape[1]
        slots = ranges.skills[1]
        self._failure = np.zeros((slots, n))
        self._irreversible = np.zeros((slots, n))
        self._world = np.zeros((3, n))
        self._easy, self._slope, self._penalty = self._world
        self._help = np.zeros((2, 3, n))  # planner and verifier; by level
        self._retries = np.zeros(n)  # 0: not counted
        self._believing = np.zeros(n, bool)
        self._noticed = np.zeros(n)
        self._views = np.zeros((5, k, n))  # what is known of each step of the plan
        self._rest = np.zeros((7, k, n))  # and over those after it, as `Steps` has it
        self._foreign = np.full(n, FOREIGN)
        self._none = np.zeros((N_TYPES, n))

    @property
    def slots(self) -> int:
        """Most skills of a robot."""
        return self.ranges.skills[1]

    def _draw_world(self, where: NDArray[np.int64], params: EpisodeParams) -> None:
        r = self.ranges
        seed = params.seed
        m = len(seed)
        robot = iter(uniform(seed, _PER_ROBOT, 0))

        def between(span: Range, log: bool = False) -> Floats:
            low, high = span
            draw = next(robot)
            return low * (high / low) ** draw if log else low + (high - low) * draw

        # The world. The slope is such that a skill's failure share is its mean over all scenes.
        hard_scenes, low, high = between(r.hard_scenes), between(r.hard_low), between(r.hard_high)
        mean_u = MEAN_DEPTH + HARD_DEPTH * (hard_scenes * high + (1.0 - hard_scenes) * low)
        easy = between(r.easy)
        self._scene_hard[where] = np.where(uniform(seed, SCENE, 0) < hard_scenes, high, low)
        self._world[:, where] = easy, (1.0 - easy) / mean_u, between(r.penalty)
        for role in range(2):
            first = between(r.help_1) * (next(robot) >= r.useless)
            self._help[role, 1:, where] = np.stack([first, first + (1.0 - first) * between(r.help_2)], axis=1)
        pieces = self.bank.pieces[params.row]
        self.horizon[where] = np.ceil(between(r.slack) * pieces) + 1.0
        counting = next(robot) < r.counting
        self._retries[where] = np.where(counting, np.floor(between((r.retries[0], r.retries[1] + 1.0))), 0.0)
        self._believing[where] = next(robot) < r.believing
        self._noticed[where] = 0.0

        # The skills. All arrays (slots, m).
        mean, spread = between(r.failures, log=True), between(r.spread)
        careless = next(robot) < r.careless
        risky = between(r.risky)
        bias, error = between(r.bias) * np.where(next(robot) < 0.5, -1.0, 1.0), between(r.error)
        weight, experience = between(r.weight), np.floor(between(r.experience, log=True)) - 1.0
        index = np.repeat(np.arange(self.slots), m)
        draws = uniform(np.tile(seed, self.slots), _PER_SKILL, index).reshape(len(_PER_SKILL), self.slots, m)
        d = dict(zip(_PER_SKILL, draws, strict=True))
        looks = d[LOOKS] < r.looks
        failure = np.clip(mean * np.exp(spread * normal(d[BASE_A], d[BASE_B])), 0.005, 0.7)
        share = np.where(
            (d[RISKY] < risky) & ~careless & ~looks,
            r.irreversible[0] + (r.irreversible[1] - r.irreversible[0]) * d[SHARE],
            0.0,
        )
        self._failure[:, where], self._irreversible[:, where] = failure, share

        # What the robot knows of them: the maker's word, and what it has counted.
        logit = np.log(failure / (1.0 - failure)) + bias + error * normal(d[ERROR_A], d[ERROR_B])
        said = 1.0 / (1.0 + np.exp(-logit))
        failed = counted(failure, experience, d[COUNT_A], d[COUNT_B])
        declared = np.select([share == 0.0, share >= ALWAYS_FROM], [DECLARED_NO, DECLARED_ALWAYS], DECLARED_POSSIBLE)
        declared = np.where(d[SILENT] < r.silent, _UNKNOWN, declared)
        lost = counted(share, failed, d[COUNT_C], d[COUNT_D])
        seconds = r.seconds[0] * (r.seconds[1] / r.seconds[0]) ** d[SECONDS]
        known = np.stack(
            [
                (weight * said + failed) / (weight + experience),
                np.broadcast_to(weight + experience, failure.shape),
                (PRIOR_FAILURES * declared + lost) / (PRIOR_FAILURES + failed),
                seconds,
                looks,
            ]
        )
        self._look_ahead(where, params.row, known)

    def _look_ahead(self, where: NDArray[np.int64], row: NDArray[np.int64], known: Floats) -> None:
        """Writes down what is known (5, slots, m) along each plan, and over the steps to come."""
        kinds = self.bank.subgoal_types[row].T  # (k, m)
        there = np.arange(len(kinds))[:, None] < self.bank.subgoals[row]
        views = np.take_along_axis(known, kinds[None], axis=1)
        failures, attempts, irreversible, seconds, looks = views * there
        losses = failures * irreversible
        doubt = np.sqrt(failures * (1.0 - failures) / (attempts + 1.0))
        sums = np.stack([failures, losses, doubt, losses, irreversible, seconds, looks])
        from_here = np.cumsum(sums[:, ::-1], axis=1)[:, ::-1]
        from_here[3] = np.maximum.accumulate(losses[::-1], axis=0)[::-1]
        self._views[:, :, where] = views
        self._rest[:, :-1, where] = from_here[:, 1:]
        self._rest[:, -1, where] = 0.0

    @property
    def steps(self) -> Steps:
        """What a robot knows of its plan."""
        at = (slice(None), self.subgoal, self._arange)
        left = np.maximum(self._retries - self.attempt, 0.0)
        return Steps(*[*self._views[at], *self._rest[at], left, self._noticed])

    def situation(self) -> Situation:
        """What the policies may see. Arrays are views: use them before the next `step`."""
        own = {"subgoal_type": self._foreign, "remaining": self._none, "known_steps": self.steps}
        return Situation(**{**vars(super().situation()), **own})

    def observe(self) -> NDArray[np.float32]:
        """The encoded situation (n, features) by NAMELESS_FEATURE_NAMES."""
        return encode_nameless(self.situation())

    def _attempt(self) -> tuple[Floats, Floats]:
        """Failure probability of the next attempt without advice, and the share of it that is irreversible."""
        kind = self.subgoal_type, self._arange
        p = self._failure[kind] * (self._easy + self._slope * self.u)
        p += self._penalty * self.history.consecutive_failures
        return np.minimum(p, MAX_FAILURE), self._irreversible[kind]

    def failure_probabilities(self, planner_level: int = 0, verifier_level: int = 0) -> tuple[Floats, Floats]:
        """(irreversible, reversible) failure probability of the next attempt, (n,) each. Hidden from policies.

        With the advice in force, or with advice of the given levels where that is more."""
        p, share = self._attempt()
        planner = np.maximum(self.history.planner_level, planner_level).astype(np.int64)
        verifier = np.maximum(self.history.verifier_level, verifier_level).astype(np.int64)
        lost = p * share * (1.0 - self._help[1, verifier, self._arange] * self.u)
        wrong = p * (1.0 - share) * (1.0 - self._help[0, planner, self._arange] * self.u)
        return lost, wrong

    def _act(self, acts: NDArray[np.bool_], result: StepResult) -> None:
        chance = np.where(self.u > HARD_DEPTH, NOTICED[1], NOTICED[0])
        notice = uniform(self.seed, NOTICE, self.piece * 64 + self.attempt) < chance
        super()._act(acts, result)

        success = result.act_status == 0
        self._noticed += (result.act_status == 1) & notice & self._believing
        self._noticed[success] = 0.0
        result.done |= acts & ~success & (self._retries > 0.0) & (self.attempt > self._retries)

    def _think(self, action: NDArray[np.int64], thinks: NDArray[np.bool_]) -> StepResult:
        result = super()._think(action, thinks)
        self._noticed[result.call_ok & (action > 0) & (action <= 2)] = 0.0  # a new plan rests on beliefs of now
        return result


def normal(a: Floats, b: Floats) -> Floats:
    """Standard normal numbers from two uniform ones (Box and Muller)."""
    return np.asarray(np.sqrt(-2.0 * np.log(1.0 - a)) * np.cos(2.0 * np.pi * b))


def counted(share: Floats, times: Floats, a: Floats, b: Floats) -> Floats:
    """How often something happens that has probability `share`, in `times` trials: a binomial's normal approximation,
    rounded and cut off at what can be."""
    deviation = np.sqrt(np.maximum(times, 0.0) * share * (1.0 - share))
    return np.clip(np.round(share * times + deviation * normal(a, b)), 0.0, np.maximum(times, 0.0))
