"""Random skill sets where plans are kept: a call brings a plan, right or wrong, or a verdict on the one in force.

As `alfred.recorded_core` is to `alfred.core`, with drawn answers in the place of recorded ones: advice changes nothing
but the plan. A plan that is wrong from step k serves until there; every attempt from then on fails, until another plan
takes its place. A second call of the same kind on the same plan gives the same answer.

How often a model is right is drawn from `SkillRanges`, where its profile does not tell; a profile whose answers were
judged (`rarrl profile record`) gives what was counted, as far off as so few answers leave it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.features import PlanView, Situation

from ..alfred.core import EpisodeParams, Floats, StepResult, uniform
from .core import OWN, RandomSkillsCore, normal

SOURCES = 3  # the robot's own plan, planner 1's, planner 2's
NEVER = 99  # step from which a right plan is wrong: after the end of any
HARD_GOAL = 0.5  # share of a goal's difficulty in the chance that an answer is right, as a variance
DOUBT_SPREAD = 0.35  # of `features.doubt`, among plans that are alike
_STREAMS = tuple(range(OWN, OWN + 40))


class PlannedSkillsCore(RandomSkillsCore):
    """`RandomSkillsCore` whose robots keep plans; see the module's text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        n = self.n
        self.right = np.zeros((SOURCES, n), bool)
        self._wrong_at = np.zeros((SOURCES, n), np.int64)
        self._confidence = np.zeros((SOURCES, n))
        self._p_ok = np.zeros((SOURCES, 2, n))
        self._words = np.zeros((2, n))
        self.source = np.zeros(n, np.int64)
        self._verdict_level = np.zeros(n, np.int64)
        self._answered = np.zeros((2, n), bool)
        self._judged = np.stack([table.judged for table in self.tables]).astype(np.float64)  # (tables, 2, 4)

    def _draw_world(self, where: NDArray[np.int64], params: EpisodeParams) -> None:
        super()._draw_world(where, params)
        r = self.ranges
        draw = iter(uniform(params.seed, _STREAMS, 0))

        # How likely each plan is right: a hard goal is hard for all three.
        count, right_of = self._judged[params.table].transpose(1, 2, 0)
        own = r.default_right[0] + (r.default_right[1] - r.default_right[0]) * next(draw)
        luck_1, luck_2 = next(draw), next(draw)
        first = r.planner_1[0] + (r.planner_1[1] - r.planner_1[0]) * luck_1
        second = first + (1.0 - first) * (r.planner_2[0] + (r.planner_2[1] - r.planner_2[0]) * luck_2)
        first = _as_counted(first, count[0], right_of[0], luck_1)
        second = _as_counted(second, count[1], right_of[1], luck_2)
        goal = normal(next(draw), next(draw))
        skill = np.stack([own, first, second])
        noise = np.stack([normal(next(draw), next(draw)) for _ in range(SOURCES)])
        luck = np.sqrt(HARD_GOAL) * goal + np.sqrt(1.0 - HARD_GOAL) * noise
        right = luck < _quantile(skill)
        steps = self.bank.subgoals[params.row]
        self.right[:, where] = right
        self._wrong_at[:, where] = np.where(
            right, NEVER, (np.stack([next(draw) for _ in range(SOURCES)]) * steps).astype(np.int64)
        )

        # What shows: confidence, the verifier's word, and words of the goal that the robot never met.
        told = r.told[0] + (r.told[1] - r.told[0]) * next(draw)
        for source in range(SOURCES):
            away = normal(next(draw), next(draw)) + told * np.where(right[source], -0.5, 0.5)
            self._confidence[source, where] = 1.001 - 10.0 ** (1.5 * (np.clip(DOUBT_SPREAD * away, -1.0, 1.0) - 1.0))
        luck_3 = next(draw)
        judge = r.judge[0] + (r.judge[1] - r.judge[0]) * luck_3
        for level in range(2):
            good = judge + (1.0 - judge) * 0.4 * level
            good = _as_counted(good, count[2 + level], right_of[2 + level], luck_3)
            for source in range(SOURCES):
                fooled = next(draw) >= good
                sure = 0.5 + 0.5 * np.clip(2.0 * good - 1.0, 0.05, 0.98)
                self._p_ok[source, level, where] = np.where(right[source] ^ fooled, sure, 1.0 - sure)
        words = np.floor(3.0 + 12.0 * next(draw))
        self._words[:, where] = words, np.clip(np.floor(goal + 0.8 * normal(next(draw), next(draw))), 0.0, words)
        self.source[where] = 0
        self._verdict_level[where] = 0
        self._answered[:, where] = False

    def situation(self) -> Situation:
        """What the policies may see, and what is known of the plan in force."""
        at = self.source, self._arange
        asked = self._verdict_level > 0
        p_ok = self._p_ok[self.source, np.maximum(self._verdict_level - 1, 0), self._arange]
        known = np.stack([np.ones(self.n, bool), *self._answered])
        same = (np.arange(SOURCES)[:, None] == self.source) | (self.right & self.right[at])
        plan = PlanView(
            source=self.source,
            confidence=np.clip(self._confidence[at], 0.0, 1.0),
            similarity=np.clip(self._confidence[0], 0.0, 1.0),
            verdict=np.where(asked, np.where(p_ok > 0.5, 1.0, -1.0), 0.0),
            verdict_level=self._verdict_level.astype(np.float64),
            p_ok=np.where(asked, p_ok, 0.5),
            answered=self._answered,
            agreeing=(same & known).sum(axis=0) - 1.0,
            contradicted=self._wrong_at[at] < self.subgoal,
            words=self._words[0],
            unknown=self._words[1],
        )
        return Situation(**{**vars(super().situation()), "plan": plan})

    def failure_probabilities(self, planner_level: int = 0, verifier_level: int = 0) -> tuple[Floats, Floats]:
        """(irreversible, reversible) failure probability of the next attempt, (n,) each. Hidden from policies.

        Advice changes nothing here but the plan: the levels are not looked at."""
        p, share = self._attempt()
        stuck = self._wrong_at[self.source, self._arange] <= self.subgoal
        p = np.where(stuck, 1.0, p)
        return p * share, p * (1.0 - share)

    def _think(self, action: NDArray[np.int64], thinks: NDArray[np.bool_]) -> StepResult:
        result = super()._think(action, thinks)
        planned = np.flatnonzero(result.call_ok & (action > 0) & (action <= 2))
        judged = result.call_ok & (action > 2)
        if len(planned):
            before, now = self.source[planned], action[planned]
            self.source[planned] = now
            other = (before != now) & ~(self.right[before, planned] & self.right[now, planned])
            self._verdict_level[planned[other]] = 0  # the verdict was on another plan
            self._answered[now - 1, planned] = True
        self._verdict_level[judged] = action[judged] - 2
        return result


def _as_counted(assumed: Floats, count: Floats, right: Floats, draw: Floats) -> Floats:
    """The chance that an answer is right: `assumed` where none was judged, else drawn about what was counted, with the
    mean and deviation that Bayes leaves (a beta distribution, from a uniform one before the first answer)."""
    mean = (right + 1.0) / (count + 2.0)
    deviation = np.sqrt(mean * (1.0 - mean) / (count + 3.0))
    drawn = np.clip(mean + np.sqrt(3.0) * deviation * (2.0 * draw - 1.0), 0.01, 0.99)
    return np.where(count > 0.0, drawn, assumed)


def _quantile(share: Floats) -> Floats:
    """Below which value a standard normal number lies with probability `share`; the logistic approximation, which is
    good to 0.01 in the share."""
    return np.asarray(np.log(share / (1.0 - share)) / 1.702)
