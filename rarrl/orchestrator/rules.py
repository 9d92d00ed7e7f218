"""Rules that decide when to think. Each is a trigger and a recipe (the calls made before the next attempt).

The paper's (arXiv 2603.16673): never, always, fixed interval, uncertainty threshold. Ours besides: random at a
rate, after a failure, at sub-goal boundaries, budget-paced, a BRACE-style controller (arXiv 2608.01428: cool-down
and commit window), and a table of risky sub-goal types. Parameters are tuned by `rarrl tune rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rarrl.errors import InputError
from rarrl.orchestrator.features import Situation
from rarrl.types import Action, SubgoalType

Actions = NDArray[np.int64]
Mask = NDArray[np.bool_]
RECIPES: dict[str, tuple[Action, ...]] = {
    "P1": (Action.PLANNER_1,),
    "P2": (Action.PLANNER_2,),
    "V1": (Action.VERIFIER_1,),
    "V2": (Action.VERIFIER_2,),
    "P1V1": (Action.PLANNER_1, Action.VERIFIER_1),
    "P2V2": (Action.PLANNER_2, Action.VERIFIER_2),
}
RISK_SETS: dict[str, tuple[SubgoalType, ...]] = {
    "none": (),
    "heat_slice": (SubgoalType.SliceObject, SubgoalType.HeatObject),
    "put": (SubgoalType.PutObject,),
    "put_heat_slice": (SubgoalType.PutObject, SubgoalType.SliceObject, SubgoalType.HeatObject),
    "all_irreversible": (
        SubgoalType.PutObject,
        SubgoalType.SliceObject,
        SubgoalType.CleanObject,
        SubgoalType.HeatObject,
        SubgoalType.CoolObject,
    ),
    "all_but_goto": tuple(t for t in SubgoalType if t is not SubgoalType.GotoLocation),
}


_INF = float("inf")


class OrchestratorPolicy(Protocol):
    """Anything that decides. Contract: `act` returns (n,) int in 0..4; an action outside the mask means ACT."""

    @property
    def name(self) -> str:
        """For tables and pictures."""
        ...

    def act(self, s: Situation, mask: Mask) -> Actions:
        """The actions (n,) for situation `s` with action mask `mask` (5, n)."""
        ...


@dataclass(frozen=True)
class Rule:
    """A trigger (Situation -> (n,) bool) and the recipe of calls that it starts."""

    name: str
    trigger: Callable[[Situation], Mask]
    recipe: tuple[Action, ...]
    params: dict[str, Any]

    def act(self, s: Situation, mask: Mask) -> Actions:
        """The recipe's next call where the trigger fired (or the recipe is under way), else ACT."""
        done = s.history.calls_since_act.astype(np.int64)
        steps = np.array([int(a) for a in self.recipe] + [0])
        go = (done > 0) | self.trigger(s)
        actions = np.where(go, steps[np.minimum(done, len(self.recipe))], 0)
        return np.where(mask[actions, np.arange(s.n)], actions, 0)


@dataclass(frozen=True)
class RiskTable:
    """Verifies before the sub-goal types of a table, plans after failures, and paces itself by the budget.

    The strongest hand-made rule that we know: it sees the types that the environment makes irreversible."""

    name: str
    risky: tuple[SubgoalType, ...]
    verify: Action
    plan: Action
    failures: int
    pace: float
    theta: float
    params: dict[str, Any]

    def act(self, s: Situation, mask: Mask) -> Actions:
        """VERIFY before a risky attempt, PLAN after `failures` failures in this sub-goal, else ACT."""
        h, rows = s.history, np.arange(s.n)
        risky = np.isin(s.subgoal_type, [int(t) for t in self.risky]) & (h.ema_failure >= self.theta)
        verify = risky & (h.verifier_level == 0.0)
        plan = (h.subgoal_failures >= self.failures) & (h.planner_level == 0.0)
        actions = np.where(plan, int(self.plan), np.where(verify, int(self.verify), 0))
        actions = np.where(mask[actions, rows], actions, np.where(verify, int(self.verify), 0))
        risky_left = s.remaining[[int(t) for t in self.risky]].sum(axis=0) if self.risky else np.zeros(s.n)
        reserve = self.pace * risky_left * s.mean_s[int(self.verify) - 1]
        actions = np.where(
            (actions == int(self.plan)) & (s.time_s - s.mean_s[int(self.plan) - 1] < reserve), 0, actions
        )
        actions = np.where((actions == 0) & verify, int(self.verify), actions)
        return np.where(mask[actions, rows] & (h.calls_since_act < 2.0), actions, 0)


@dataclass(frozen=True)
class ConfidenceRule:
    """Asks while the plan in force is doubtful: the strongest hand-made rule that we know for recorded answers.

    Doubtful is a default plan below `default` similarity, a planner's below `theta` mean probability a token, and any
    after `failures` failures in a row. With `verify` (a level; 0: never) a plan that did not fail yet goes to the
    verifier first, and one that it finds ok is kept. Else the planner is asked, level `first` before level 2."""

    name: str
    default: float
    theta: float
    verify: int
    first: int
    failures: int
    params: dict[str, Any]

    def act(self, s: Situation, mask: Mask) -> Actions:
        """The next call, else ACT. Raises: InputError where answers are not recorded."""
        p, failed = s.plan, s.history.consecutive_failures >= self.failures
        if p is None:
            raise InputError("rule confidence needs recorded answers; play a recorded profile, or choose another rule")
        doubtful = p.confidence < np.where(p.source == 0, self.default, self.theta)
        verify = doubtful & ~failed & (p.verdict == 0.0) & (self.verify > 0)
        replan = failed | (doubtful & (p.verdict <= 0.0))
        first = (self.first == 1) & ~p.answered[0] & ~p.answered[1]
        planner = np.where(first, int(Action.PLANNER_1), np.where(p.answered[1], 0, int(Action.PLANNER_2)))
        judge = int(Action.VERIFIER_1) + self.verify - 1
        actions = np.where(verify, judge, np.where(replan, planner, 0))
        # A verdict that cannot be paid for leaves the planner, where that one can.
        allowed = mask[actions, np.arange(s.n)]
        actions = np.where(allowed | ~verify, actions, planner)
        return np.where(mask[actions, np.arange(s.n)], actions, 0)


def _never(s: Situation) -> Mask:
    return np.zeros(s.n, dtype=bool)


def _always(s: Situation) -> Mask:
    return np.ones(s.n, dtype=bool)


def _recipe_seconds(s: Situation, recipe: tuple[Action, ...]) -> NDArray[np.float64]:
    return np.asarray(sum(s.mean_s[int(a) - 1] for a in recipe))


def _recipe_tokens(s: Situation, recipe: tuple[Action, ...]) -> NDArray[np.float64]:
    return np.asarray(sum(s.mean_tokens[int(a) - 1] for a in recipe))


def _paced(s: Situation, share: float, recipe: tuple[Action, ...]) -> Mask:
    left = np.maximum(s.subgoal_count - s.subgoal_index, 1.0)
    fresh = s.history.subgoal_acts == 0.0
    return fresh & (
        (_recipe_seconds(s, recipe) <= share * s.time_s / left) & (_recipe_tokens(s, recipe) <= share * s.tokens / left)
    )


def _random(s: Situation, rate: float) -> Mask:
    # A hash of what differs from decision to decision, so that a run repeats without a generator's state.
    key = np.sin(s.step * 12.9898 + s.subgoal_index * 78.233 + s.time_s * 37.719 + s.tokens * 0.6180339) * 43758.5453
    return np.asarray(key - np.floor(key) < rate)


def _brace(s: Situation, failures: int, cooldown: int, window: int) -> Mask:
    # BRACE: replan on evidence of failure, not within the cool-down, and commit to a fresh plan for a window
    # unless it fails twice in a row.
    h = s.history
    evidence = h.recent_failures.sum(axis=0) >= failures
    committed = (h.planner_level > 0.0) & (h.acts_since_think < window) & (h.consecutive_failures < 2.0)
    return np.asarray(evidence & (h.acts_since_think >= cooldown) & ~committed)


def make_rule(family: str, **params: Any) -> OrchestratorPolicy:
    """The rule `family` with `params` as listed by `grid(family)`.

    Raises: InputError for an unknown family or parameter, or a value that is no number where one is needed."""
    for name, value in params.items():
        kind, wanted = (str, "text") if name in ("recipe", "risky") else (int | float, "a finite number")
        if not isinstance(value, kind) or isinstance(value, bool) or value != value or value in (_INF, -_INF):
            raise InputError(f"rule {family!r}: parameter {name} must be {wanted}, got {value!r}")
    try:
        return _MAKERS[family](**params)
    except KeyError as error:
        known = ", ".join(_MAKERS)
        what = (
            f"rule {family!r}: {error} is not an allowed value" if family in _MAKERS else f"rule {family!r} is unknown"
        )
        raise InputError(f"{what}; known rules: {known}; their parameters: `grid` in baselines.py") from None
    except TypeError as error:
        raise InputError(f"rule {family!r}: {error}") from None


def _rule(family: str, trigger: Callable[[Situation], Mask], recipe: str, **params: Any) -> Rule:
    return Rule(family, trigger, RECIPES[recipe], {"recipe": recipe, **params})


_MAKERS: dict[str, Callable[..., OrchestratorPolicy]] = {
    "never": lambda: Rule("never", _never, (Action.ACT,), {}),
    "always": lambda recipe="P2V2": _rule("always", _always, recipe),
    "interval": lambda every=3, recipe="P1": _rule(
        "interval", lambda s: s.history.acts_since_think >= every, recipe, every=every
    ),
    "random": lambda rate=0.3, recipe="P1": _rule("random", lambda s: _random(s, rate), recipe, rate=rate),
    "threshold": lambda theta=0.2, recipe="P1": _rule(
        "threshold", lambda s: s.history.ema_failure > theta, recipe, theta=theta
    ),
    "after_failure": lambda failures=1, recipe="P1": _rule(
        "after_failure", lambda s: s.history.consecutive_failures >= failures, recipe, failures=failures
    ),
    "boundary": lambda recipe="V1": _rule("boundary", lambda s: s.history.subgoal_acts == 0.0, recipe),
    "paced": lambda share=1.0, recipe="V1": _rule(
        "paced", lambda s: _paced(s, share, RECIPES[recipe]), recipe, share=share
    ),
    "brace": lambda failures=1, cooldown=2, window=3, recipe="P1": _rule(
        "brace",
        lambda s: _brace(s, failures, cooldown, window),
        recipe,
        failures=failures,
        cooldown=cooldown,
        window=window,
    ),
    "risk_table": lambda risky="all_irreversible", verify=1, plan=1, failures=1, pace=0.0, theta=0.0: RiskTable(
        "risk_table",
        RISK_SETS[risky],
        {1: Action.VERIFIER_1, 2: Action.VERIFIER_2}[verify],
        {1: Action.PLANNER_1, 2: Action.PLANNER_2}[plan],
        failures,
        pace,
        theta,
        {"risky": risky, "verify": verify, "plan": plan, "failures": failures, "pace": pace, "theta": theta},
    ),
    "start": lambda recipe="P1": _rule("start", lambda s: s.step == 0.0, recipe),
    "confidence": lambda default=2.0, theta=0.95, verify=0, first=1, failures=2: ConfidenceRule(
        "confidence",
        default,
        theta,
        verify,
        first,
        failures,
        {"default": default, "theta": theta, "verify": verify, "first": first, "failures": failures},
    ),
}
FAMILIES: tuple[str, ...] = tuple(_MAKERS)
RULE_FAMILIES: tuple[str, ...] = FAMILIES[:-2]
"""Those that need no plan: `start` would pay for a plan that the parametric world does not keep."""
RECORDED_FAMILIES: tuple[str, ...] = tuple(name for name in FAMILIES if name != "risk_table")
"""Those that play on recorded answers: no verifier guards an attempt there, so a table of risky ones says nothing."""


def grid(family: str) -> list[dict[str, Any]]:
    """All parameter sets that tuning tries for `family`."""
    recipes = list(RECIPES)
    axes: dict[str, dict[str, list[Any]]] = {
        "never": {},
        "always": {"recipe": recipes},
        "interval": {"every": [1, 2, 3, 4, 6, 8, 12], "recipe": recipes},
        "random": {"rate": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7], "recipe": recipes},
        "threshold": {"theta": [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "recipe": recipes},
        "after_failure": {"failures": [1, 2, 3], "recipe": recipes},
        "boundary": {"recipe": recipes},
        "paced": {"share": [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0], "recipe": recipes},
        "brace": {"failures": [1, 2, 3], "cooldown": [1, 2, 4], "window": [1, 3, 6], "recipe": recipes},
        "risk_table": {
            "risky": list(RISK_SETS),
            "verify": [1, 2],
            "plan": [1, 2],
            "failures": [1, 2, 9],
            "pace": [0.0, 0.5, 1.0],
            "theta": [0.0, 0.01, 0.1, 0.2],
        },
        "start": {"recipe": recipes},
        "confidence": {
            "default": [0.0, 0.7, 0.8, 0.9, 2.0],
            "theta": [0.0, 0.9, 0.97, 2.0],
            "verify": [0, 1, 2],
            "first": [1, 2],
            "failures": [1, 2, 9],
        },
    }
    keys = axes[family]
    return [dict(zip(keys, values, strict=True)) for values in product(*keys.values())]
