"""Accuracy of a reasoner's plans and verdicts on ALFRED's annotations, from the goal sentence alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rarrl.alfred import TASK_TYPES, AlfredData, AlfredPlan
from rarrl.alfred_plans import expert_plan, normal_form
from rarrl.errors import InputError
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.reasoner.plan import Plan
from rarrl.results import Figure
from rarrl.types import CALL_TIMEOUT_S, CallStatus, Role

from .curriculum import FIELDS, ExampleSampler, achieved, annotated_plans, fields, homes

RESAMPLES = 2_000  # bootstrap draws of plans; an AUC takes the first 400 of them


@dataclass(frozen=True)
class Item:
    """One annotation. cluster: number of its plan: annotations of one plan are no independent samples.

    corrupted: a plan with one thing wrong, for the verifier. home: what the robot has met in this home, for level 2."""

    goal: str
    plan: Plan
    task_type: str
    target: tuple[str | bool, ...]
    cluster: int
    corrupted: Plan
    home: tuple[str, ...] = ()


def items(data: AlfredData, seed: int, known: Iterable[AlfredPlan] = ()) -> list[Item]:
    """All annotations of a split. known: the robot's earlier tasks, see `homes`.

    Raises: InputError where none has goal parameters."""
    found = []
    places = homes(data.plans, known)
    training_set = annotated_plans(data.plans)

    sampler = ExampleSampler(training_set, seed)
    at = 0
    for cluster, source in enumerate(data.plans):
        for _ in source.annotations:
            annotated = training_set[at]
            at = at + 1
            if source.parameters is None:
                continue
            target = fields(source.task_type, source.parameters)
            corrupted = sampler.corrupt(annotated)
            expert = expert_plan(source)
            home = places[cluster]
            found.append(Item(annotated.goal, expert, source.task_type, target, cluster, corrupted, home))

    if not found:
        raise InputError(f"ALFRED {data.split}: no annotation with goal parameters; give a split that has them")

    return found


@dataclass(frozen=True)
class Judged:
    """What a reasoner made of one item. p_ok of a verdict: 0 or 1 where the model states none; NaN: no verdict.

    replanned: the plan after a verifier (level 1, 2) found level 1's plan wrong; that plan where it found it ok.
    plan_2_blind: of a level 2 that knows nothing of the home."""

    plan_1: Plan | None
    plan_2: Plan | None
    p_ok_1: float
    p_ok_2: float
    p_ok_corrupted: float
    replanned_1: Plan | None
    replanned_2: Plan | None
    tokens: tuple[int, int]
    plan_2_blind: Plan | None = None


def judge(reasoner: Reasoner, item: Item, number: int, seed: int, deadline_s: float = CALL_TIMEOUT_S) -> Judged:
    """Asks everything that is measured of one item. deadline_s: of each call; quality is measured here, not time."""

    def ask(role: Role, level: int, plan: Plan | None = None, home: bool = True) -> Answer:
        scene = item.home if home and level == 2 else ()
        return reasoner.ask(Request(number, role, level, item.goal, deadline_s, scene, plan, seed=seed))

    first = ask(Role.PLANNER, 1)
    second = ask(Role.PLANNER, 2)
    blind = ask(Role.PLANNER, 2, home=False)
    if first.plan is None:
        spent = (first.tokens_out, second.tokens_out)
        return Judged(None, second.plan, np.nan, np.nan, np.nan, None, None, spent, blind.plan)

    verdicts = [ask(Role.VERIFIER, level, first.plan) for level in (1, 2)]
    after = []
    for verdict in verdicts:
        plan = first.plan
        if verdict.verdict is not None and not verdict.verdict.ok:
            again = ask(Role.PLANNER, verdict.level, first.plan)
            plan = again.plan or plan
        after.append(plan)

    return Judged(
        first.plan,
        second.plan,
        _p_ok(verdicts[0]),
        _p_ok(verdicts[1]),
        _p_ok(ask(Role.VERIFIER, 1, item.corrupted)),
        after[0],
        after[1],
        (first.tokens_out, second.tokens_out),
        blind.plan,
    )


def _p_ok(answer: Answer) -> float:
    if answer.status is not CallStatus.OK or answer.verdict is None:
        return float("nan")
    known = not np.isnan(answer.verdict.p_ok)
    return answer.verdict.p_ok if known else float(answer.verdict.ok)


def evaluate(
    reasoner: Reasoner,
    data: AlfredData,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: Iterable[AlfredPlan] = (),
    deadline_s: float = CALL_TIMEOUT_S,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures and tables of one split. Level 1, and with it all accuracies of parameters, is from the goal sentence
    alone; level 2 looks up what the robot has met in this home in its earlier tasks, the `known` ones (`*_blind`: not
    even that).

    A plan is right where its normal form is the expert's (`normal_form`: which knife slices, and where it is left, no
    goal says); `plan_exact_*` counts only plans that are the same word for word. Intervals: 95 %, bootstrap over
    plans. gain_verifier: a plan of level 1, verified at level 2, and planned again at level 2 where that says wrong;
    gain_verifier_level1: both at level 1. verifier_auc: right against wrong among the plans that the planner itself
    wrote at level 1; verifier_auc_spoilt: those that are right against expert plans with one thing wrong. A figure that
    nothing was measured of (no verdict, no wrong plan) is left out."""
    asked = items(data, seed, known)
    found = []
    for number, item in enumerate(asked):
        found.append(judge(reasoner, item, number, seed, deadline_s))
        progress(number + 1, len(asked))
    return _summary(asked, found, seed)


def _summary(asked: Sequence[Item], found: Sequence[Judged], seed: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    spread = Bootstrap([item.cluster for item in asked], seed)
    named = np.array(
        [
            [a == b for a, b in zip(fields(*achieved(f.plan_1)), i.target, strict=True)] if f.plan_1 else [False] * 6
            for i, f in zip(asked, found, strict=True)
        ]
    )
    all_named = named.min(axis=1)
    right = {
        name: np.array([_right(getattr(f, name), i.plan) for i, f in zip(asked, found, strict=True)])
        for name in ("plan_1", "plan_2", "plan_2_blind", "replanned_1", "replanned_2")
    }
    exact = {name: np.array([getattr(f, name) == i.plan for i, f in zip(asked, found, strict=True)]) for name in right}
    named_2 = np.array(
        [
            [a == b for a, b in zip(fields(*achieved(f.plan_2)), i.target, strict=True)] if f.plan_2 else [False] * 6
            for i, f in zip(asked, found, strict=True)
        ]
    )
    ok_1, ok_2 = (np.array([getattr(f, name) for f in found]) for name in ("p_ok_1", "p_ok_2"))
    corrupted = np.array([f.p_ok_corrupted for f in found])
    figures = {f"{name}_accuracy": spread.mean(named[:, i]) for i, name in enumerate(FIELDS)}
    figures |= {
        "all_parameters_accuracy": spread.mean(all_named),
        "object_accuracy_level2": spread.mean(named_2[:, FIELDS.index("object")]),
        "all_parameters_accuracy_level2": spread.mean(named_2.min(axis=1)),
        "plan_accuracy_level1": spread.mean(right["plan_1"]),
        "plan_accuracy_level2": spread.mean(right["plan_2"]),
        "gain_level2": spread.mean(right["plan_2"] * 1.0 - right["plan_1"]),
        "gain_level2_blind": spread.mean(right["plan_2_blind"] * 1.0 - right["plan_1"]),
        "plan_accuracy_verified": spread.mean(right["replanned_2"]),
        "gain_verifier": spread.mean(right["replanned_2"] * 1.0 - right["plan_1"]),
        "gain_verifier_level1": spread.mean(right["replanned_1"] * 1.0 - right["plan_1"]),
        "plan_exact_level1": spread.mean(exact["plan_1"]),
        "plan_exact_level2": spread.mean(exact["plan_2"]),
        "verifier_auc": spread.auc(ok_1, right["plan_1"]),
        "verifier_auc_level2": spread.auc(ok_2, right["plan_1"]),
        "verifier_auc_spoilt": spread.auc(
            np.r_[ok_1, corrupted], np.r_[right["plan_1"], np.zeros(len(corrupted), bool)]
        ),
        "tokens_level1": spread.mean(np.array([f.tokens[0] for f in found]), "tokens"),
        "tokens_level2": spread.mean(np.array([f.tokens[1] for f in found]), "tokens"),
    }
    figures = {name: figure for name, figure in figures.items() if not np.isnan(figure.value)}
    kinds = np.array([item.task_type for item in asked])
    by_type = {
        kind: {
            "n": int((kinds == kind).sum()),
            "all_parameters_accuracy": round(float(all_named[kinds == kind].mean()), 4),
            **{f"plan_accuracy_level{k}": round(float(right[f"plan_{k}"][kinds == kind].mean()), 4) for k in (1, 2)},
        }
        for kind in TASK_TYPES
        if (kinds == kind).any()
    }

    return figures, {"by_task_type": by_type}


def _right(plan: Plan | None, expert: Plan) -> bool:
    return plan is not None and normal_form(plan) == normal_form(expert)


class Bootstrap:
    """Means and AUCs with 95 % intervals: whole clusters are drawn again and again."""

    def __init__(self, clusters: Sequence[int], seed: int) -> None:
        _, self._cluster = np.unique(np.asarray(clusters), return_inverse=True)
        count = int(self._cluster.max()) + 1
        self._draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)

    def mean(self, values: np.ndarray, unit: str = "share") -> Figure:
        """values: (n,), one per item."""
        values = np.asarray(values, np.float64)
        sums = self._draws @ np.bincount(self._cluster, values)
        sizes = self._draws @ np.bincount(self._cluster)
        lo, hi = np.quantile(sums / sizes, (0.025, 0.975))
        return Figure(float(values.mean()), unit, len(values), float(lo), float(hi))

    def auc(self, scores: np.ndarray, positive: np.ndarray) -> Figure:
        """Probability that a positive scores above a negative, ties half. scores: (k n,), the items k times over;
        NaN is left out. NaN where one side is empty."""
        cluster = np.tile(self._cluster, len(scores) // len(self._cluster))
        known = ~np.isnan(scores)
        scores = scores[known]
        positive = positive[known]
        cluster = cluster[known]
        draws = [auc(scores, positive, weights[cluster]) for weights in self._draws[:400]]
        value = auc(scores, positive, np.ones(len(scores)))
        lo, hi = np.nanquantile(draws, (0.025, 0.975)) if not np.isnan(value) else (value, value)

        return Figure(value, "probability", len(scores), float(lo), float(hi))


def auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float:
    """Weighted Mann-Whitney statistic.

    >>> auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]), np.ones(4))
    0.875
    """
    order = np.unique(scores, return_inverse=True)[1]
    good = np.bincount(order, weights * positive)
    bad = np.bincount(order, weights * ~positive, minlength=len(good))
    pairs = good.sum() * bad.sum()

    return float((good * (np.cumsum(bad) - bad / 2)).sum() / pairs) if pairs else float("nan")
