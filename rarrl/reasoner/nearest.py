"""Plans without a language model: the robot takes the plan of the most similar goal sentence that it knows.

Similarity is the cosine of words and pairs of neighbouring words, weighted by tf-idf (K. Sparck Jones, Journal of
Documentation 28(1), 1972). It needs numpy alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rarrl.alfred import AlfredPlan
from rarrl.alfred_plans import expert_plan
from rarrl.reasoner.plan import Plan
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary

_WORD = re.compile(r"[a-z]+")
"""A word; digits and punctuation say nothing about a household goal."""


@dataclass(frozen=True)
class NearestPlan:
    """The plan of the most similar known goal.

    similarity: 0 to 1. words: number of words of the goal that was asked for. unknown: how many of them no known goal
    has."""

    plan: Plan
    similarity: float
    words: int
    unknown: int


class NearestGoal:
    """Looks a goal up among known ones. Raises: ValueError if none is known."""

    def __init__(self, plans: Iterable[AlfredPlan] = (), goals: Iterable[tuple[str, Plan]] = ()) -> None:
        """plans: their annotated goals are known. goals: more of them, with their plans."""
        annotated = [(annotation.goal, expert_plan(plan)) for plan in plans for annotation in plan.annotations]
        pairs = [*annotated, *goals]
        known = [(_terms(goal), plan) for goal, plan in pairs]
        if not known:
            raise ValueError("NearestGoal needs at least one plan with an annotation")

        self._goals = [goal for goal, _ in pairs]
        self._plans = [plan for _, plan in known]
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, (terms, _) in enumerate(known):
            for term in terms:
                rows[term].append(row)

        self._rows = {term: np.array(found) for term, found in rows.items()}
        self._rare = float(np.log(len(known) + 1.0))
        self._weight = {term: float(self._rare - np.log(len(found))) for term, found in rows.items()}
        self._norm = np.array([np.sqrt(sum(self._weight[term] ** 2 for term in terms)) or 1.0 for terms, _ in known])

    def recall(self, goal: str) -> NearestPlan:
        """Returns the plan of the known goal that is most similar to `goal`; the first one if several are."""
        score = self._similarity(goal)
        best = int(score.argmax())
        words = _WORD.findall(goal.lower())
        unknown = sum(word not in self._rows for word in words)

        return NearestPlan(self._plans[best], min(float(score[best]), 1.0), len(words), unknown)

    def examples(self, goal: str, n: int, vocabulary: Vocabulary = ALFRED) -> list[tuple[str, Plan]]:
        """Returns the `n` known goals that are most similar to `goal`, with their plans, the most similar one last.

        Each plan stands there once. One that is known under this very goal is left out: it would be the answer. So is
        one that `vocabulary` does not allow."""
        known = zip(self._goals, self._plans, strict=True)
        taken = {plan for said, plan in known if _WORD.findall(said.lower()) == _WORD.findall(goal.lower())}
        found: list[tuple[str, Plan]] = []

        for row in np.argsort(-self._similarity(goal), kind="stable"):
            if len(found) == n:
                break
            if self._plans[row] not in taken:
                taken.add(self._plans[row])
                if not vocabulary.allows(self._plans[row]):
                    continue
                found.append((self._goals[row], self._plans[row]))

        return found[::-1]

    def _similarity(self, goal: str) -> np.ndarray:
        """Returns the similarity of `goal` to each known goal, (n,) float64, 0 to 1."""
        score = np.zeros(len(self._plans))
        terms = _terms(goal)
        for term in terms:
            if term in self._rows:
                score[self._rows[term]] += self._weight[term] ** 2

        norm = np.sqrt(sum(self._weight.get(term, self._rare) ** 2 for term in terms)) or 1.0
        return np.asarray(score / (self._norm * norm))


def _terms(goal: str) -> list[str]:
    """Returns words and pairs, each once, in their order, because sums must not depend on the hash of a string."""
    words = _WORD.findall(goal.lower())
    return list(dict.fromkeys([*words, *(f"{a} {b}" for a, b in pairwise(words))]))
