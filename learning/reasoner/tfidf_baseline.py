"""The baseline of the planner model: tf-idf of the goal sentence, a linear SVM for each goal parameter.

It names the task's parameters but writes no plan. Its out-of-fold mistakes also teach the verifier which classes are
easily taken for one another. Needs scikit-learn (extra [train]).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rarrl.reasoner.prompt import clean

from .curriculum import FIELDS, AnnotatedPlan, achieved, fields

FOLDS = 3  # of the out-of-fold mistakes: each baseline then learns from two thirds of the goals


class TfidfBaseline:
    """One classifier per field of FIELDS, fitted on goal sentences."""

    def __init__(self, goals: Sequence[str], targets: Sequence[tuple[str | bool, ...]]) -> None:
        """targets: the fields of each goal. Raises: ValueError where nothing is given."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_union
        from sklearn.svm import LinearSVC

        if not goals:
            raise ValueError("TfidfBaseline: no goals to fit")

        self._features = make_union(
            TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )

        x = self._features.fit_transform([clean(goal) for goal in goals])
        self._models: list[Any] = []
        for column in zip(*targets, strict=True):
            names = np.array([str(value) for value in column])
            self._models.append(
                str(names[0]) if len(set(names)) == 1 else LinearSVC(C=0.5, random_state=0).fit(x, names)
            )

    def ranked(self, goals: Sequence[str], count: int = 1) -> list[list[tuple[str, ...]]]:
        """Per field and goal: the `count` likeliest values as text, likeliest first."""
        x = self._features.transform([clean(goal) for goal in goals])
        found: list[list[tuple[str, ...]]] = []
        for model in self._models:
            if isinstance(model, str):
                found.append([(model,) for _ in goals])
                continue
            scores = model.decision_function(x)
            if scores.ndim == 1:  # two classes: one column, positive for the second
                scores = np.stack((-scores, scores), axis=1)
            order = np.argsort(-scores, axis=1)[:, :count]
            found.append([tuple(str(model.classes_[i]) for i in row) for row in order])

        return found


def with_confusions(training_set: Sequence[AnnotatedPlan], count: int = 4) -> list[AnnotatedPlan]:
    """The same lessons, with the classes that a baseline fitted without them found likeliest, next to the true one.

    Annotations of one plan share a fold."""
    fold = [hashlib.sha256(str(a.others and sorted((a.goal, *a.others))).encode()) for a in training_set]
    numbers = np.array([digest.digest()[0] % FOLDS for digest in fold])

    targets = [fields(*achieved(annotated.plan)) for annotated in training_set]
    confusions: list[dict[str, tuple[str, ...]]] = [{} for _ in training_set]
    for number in range(FOLDS):
        inside, outside = ([int(i) for i in np.flatnonzero(part)] for part in (numbers != number, numbers == number))
        if not inside or not outside:
            continue
        baseline = TfidfBaseline([training_set[i].goal for i in inside], [targets[i] for i in inside])
        ranked = baseline.ranked([training_set[i].goal for i in outside], count)
        for column, field in enumerate(FIELDS):
            if field in ("task_type", "sliced"):
                continue
            for i, names in zip(outside, ranked[column], strict=True):
                true = str(targets[i][column])
                others = tuple(name for name in names if name and name != true)
                if true and others:
                    confusions[i][true] = others

    return [replace(annotated, confusions=found) for annotated, found in zip(training_set, confusions, strict=True)]


def field_hits(goals: Sequence[str], truth: Sequence[tuple[str | bool, ...]], model: TfidfBaseline) -> np.ndarray:
    """(goals, fields) bool: where the likeliest value is the true one."""
    ranked = model.ranked(goals)
    named: defaultdict[int, list[bool]] = defaultdict(list)
    for column, answers in enumerate(ranked):
        for answer, target in zip(answers, truth, strict=True):
            named[column].append(answer[0] == str(target[column]))
    return np.array([named[column] for column in range(len(FIELDS))]).T
