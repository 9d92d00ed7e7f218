"""Rules that decide when to think. Each is a trigger and a recipe (the calls made before the next attempt).

The paper's (arXiv 2603.16673): never, always, fixed interval, uncertainty threshold. Ours besides: random at a
rate, after a failure, at sub-goal boundaries, budget-paced, a BRACE-style controller (arXiv 2608.01428: cool-down
and commit window), and a table of risky sub-goal types. Parameters are tuned by `rarrl tune rules`. With the parameter
`beside` (true or false) any of them thinks beside acting where that is possible.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import STEP_VIEWS
from rarrl.errors import InputError
from rarrl.orchestrator.beside import FIRST_BESIDE
from rarrl.orchestrator.features import Situation, type_of
from rarrl.plugins import Table, did_you_mean
from rarrl.strict_json import short
from rarrl.types import Action

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
RISK_SETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "heat_slice": ("SliceObject", "HeatObject"),
    "put": ("PutObject",),
    "put_heat_slice": ("PutObject", "SliceObject", "HeatObject"),
    "all_irreversible": ("PutObject", "SliceObject", "CleanObject", "HeatObject", "CoolObject"),
    "all_but_goto": tuple(name for name in STEP_VIEWS if name != "GotoLocation"),
}
"""Sets of ALFRED's actions by name, as `risk_table` takes them; a step with another name is in none."""


_INF = float("inf")


class OrchestratorPolicy(Protocol):
    """Anything that decides. Contract: `act` returns (n,) int in 0..4; an action outside the mask means ACT.

    One that thinks beside acting has an attribute `thinks_beside` that is true, gets a mask (9, n), and may return up
    to 8 (`rarrl.orchestrator.beside`)."""

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
    risky: tuple[str, ...]
    verify: Action
    plan: Action
    failures: float
    pace: float
    theta: float
    params: dict[str, Any]

    def act(self, s: Situation, mask: Mask) -> Actions:
        """VERIFY before a risky attempt, PLAN after `failures` failures in this sub-goal, else ACT."""
        types = [type_of(name) for name in self.risky]
        risky = np.isin(s.subgoal_type, types) & (s.history.ema_failure >= self.theta)
        plan = s.history.subgoal_failures >= self.failures
        risky_left = s.remaining[types].sum(axis=0) if types else np.zeros(s.n)
        return _verify_or_plan(s, mask, risky, plan, self.verify, self.plan, self.pace * risky_left)


@dataclass(frozen=True)
class RiskShare:
    """As `RiskTable`, without names: verifies before steps whose failures are expected to be beyond repair.

    The strongest hand-made rule that we know for skills that it has never seen."""

    name: str
    irreversible: float
    loss: float
    doubt: float
    verify: Action
    plan: Action
    failures: float
    pace: float
    params: dict[str, Any]

    def act(self, s: Situation, mask: Mask) -> Actions:
        """VERIFY before a risky attempt, PLAN after `failures` failures in this step or before a doubtful one, else
        ACT."""
        steps, h = s.steps, s.history
        risky = (steps.irreversible >= self.irreversible) & (steps.failures * steps.irreversible >= self.loss)
        plan = (h.subgoal_failures >= self.failures) | ((h.subgoal_acts == 0.0) & (steps.failures >= self.doubt))
        return _verify_or_plan(s, mask, risky, plan, self.verify, self.plan, self.pace * steps.rest_irreversible)


def _verify_or_plan(
    s: Situation,
    mask: Mask,
    risky: Mask,
    doubtful: Mask,
    verifier: Action,
    planner: Action,
    reserved: NDArray[np.float64],
) -> Actions:
    """Asks the planner where a step is doubtful, else the verifier where it is risky, each where its advice is not in
    force yet. The planner leaves the seconds of `reserved` verdicts (n,) untouched."""
    h, rows = s.history, np.arange(s.n)
    verify = risky & (h.verifier_level == 0.0)
    plan = doubtful & (h.planner_level == 0.0)
    actions = np.where(plan, int(planner), np.where(verify, int(verifier), 0))
    actions = np.where(mask[actions, rows], actions, np.where(verify, int(verifier), 0))
    reserve = reserved * s.mean_s[int(verifier) - 1]
    actions = np.where((actions == int(planner)) & (s.time_s - s.mean_s[int(planner) - 1] < reserve), 0, actions)
    actions = np.where((actions == 0) & verify, int(verifier), actions)
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
    failures: float
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


@dataclass(frozen=True)
class BesideRule:
    """Another rule, which thinks beside acting wherever the robot can go on meanwhile, and else stands."""

    rule: OrchestratorPolicy
    params: dict[str, Any]
    thinks_beside: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The rule's own, and that it thinks beside."""
        return f"{self.rule.name} beside"

    def act(self, s: Situation, mask: Mask) -> Actions:
        """The rule's choice; `mask` (9, n)."""
        actions = self.rule.act(s, mask[:FIRST_BESIDE])
        beside = np.where(actions > 0, actions + FIRST_BESIDE - 1, 0)
        return np.where(mask[beside, np.arange(s.n)], beside, actions)


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


def _brace(s: Situation, failures: float, cooldown: float, window: float) -> Mask:
    # BRACE: replan on evidence of failure, not within the cool-down, and commit to a fresh plan for a window
    # unless it fails twice in a row.
    h = s.history
    evidence = h.recent_failures.sum(axis=0) >= failures
    committed = (h.planner_level > 0.0) & (h.acts_since_think < window) & (h.consecutive_failures < 2.0)
    return np.asarray(evidence & (h.acts_since_think >= cooldown) & ~committed)


RuleMaker = Callable[..., OrchestratorPolicy]
Limits = tuple[float, float]
"""The lowest and the highest value of a parameter."""


@dataclass(frozen=True)
class RuleFamily:
    """One entry of the table of rules.

    make: makes the rule from its parameters; each has a default. axes: parameter -> the values that tuning tries.
    needs_plan: it reads what is known of the plan in force, or pays for a better one. That is there where answers are
        recorded or a reasoner is asked; on latencies alone nothing keeps a plan, and such a rule is not played.
    needs_guard: it relies on a verifier's verdict making the next attempt safer. Latencies alone are replayed so;
        recorded answers judge the plan instead, and such a rule says nothing there.
    needs_skills: it reads what the steps are expected to do, and is tuned on random skill sets alone.
    texts: names of parameters that are text; all others are finite numbers.
    limits: parameter -> the lowest and the highest value that is allowed; where it is left out, any number is."""

    name: str
    make: RuleMaker
    axes: Mapping[str, Sequence[Any]]
    needs_plan: bool
    needs_guard: bool
    needs_skills: bool
    texts: tuple[str, ...]
    limits: Mapping[str, Limits]

    @property
    def parameters(self) -> tuple[str, ...] | None:
        """The names of the parameters; None where `make` takes any."""
        try:
            found = inspect.signature(self.make).parameters.values()
        except (TypeError, ValueError):  # something that Python cannot look into
            return None
        if any(each.kind is each.VAR_KEYWORD for each in found):
            return None
        return tuple(each.name for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY))

    def grid(self) -> list[dict[str, Any]]:
        """All parameter sets that tuning tries."""
        return [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]


BESIDE = "beside"
"""The parameter that every rule takes: whether it thinks beside acting."""
RULES: Table[RuleFamily] = Table("rule")
"""Every rule there is, by the name of its family; `register_rule` adds to it."""


def register_rule(
    name: str,
    make: RuleMaker,
    *,
    axes: Mapping[str, Sequence[Any]] | None = None,
    needs_plan: bool = False,
    needs_guard: bool = False,
    needs_skills: bool = False,
    texts: tuple[str, ...] = (),
    limits: Mapping[str, Limits] | None = None,
) -> None:
    """Adds a rule to the table: `--policy NAME` and `NAME:{"key": value}` then play it, `rarrl tune rules` tunes it.

    The arguments are the fields of `RuleFamily`; without `axes` there is nothing to tune.

    Raises: ValueError where the name is taken or is no name."""
    RULES.register(name, RuleFamily(name, make, axes or {}, needs_plan, needs_guard, needs_skills, texts, limits or {}))


def families() -> tuple[str, ...]:
    """The names of all rules."""
    return tuple(RULES)


def plain_families() -> tuple[str, ...]:
    """Those that play on latencies alone."""
    return tuple(family.name for family in RULES.values() if not family.needs_plan and not family.needs_skills)


def skill_families() -> tuple[str, ...]:
    """Those that play on latencies alone, with any robot's skills."""
    return tuple(family.name for family in RULES.values() if not family.needs_plan)


def recorded_families() -> tuple[str, ...]:
    """Those that play on recorded answers."""
    return tuple(family.name for family in RULES.values() if not family.needs_guard)


def make_rule(family: str, **params: Any) -> OrchestratorPolicy:
    """The rule `family` with `params`; what is left out keeps its default. Each takes `beside` besides its own: whether
    it thinks beside acting, where that is possible.

    Raises: InputError for an unknown family or parameter, or a value that is not allowed."""
    if family not in RULES:
        known = families()
        raise InputError(
            f"rule {short(family)} is unknown; known rules: {', '.join(known)}{did_you_mean(family, known)}"
        )
    entry = RULES[family]
    own = {name: value for name, value in params.items() if name != BESIDE}
    for name, value in own.items():
        _check_parameter(entry, name, value)
    beside = params.get(BESIDE, False)
    if not isinstance(beside, bool):
        raise InputError(f"rule {family!r}: parameter {BESIDE} must be true or false, got {beside!r}")
    try:
        rule = entry.make(**own)
    except TypeError as error:  # of a user's rule
        raise InputError(f"rule {family!r}: {error}") from None
    except InputError as error:
        raise InputError(f"rule {family!r}: {error}") from None
    return BesideRule(rule, dict(params)) if beside else rule


def _check_parameter(entry: RuleFamily, name: str, value: Any) -> None:
    """Raises: InputError that names the rule, the parameter and what is allowed."""
    known = entry.parameters
    if known is not None and name not in known:
        allowed = ", ".join((*known, BESIDE))
        raise InputError(
            f"rule {entry.name!r}: parameter {short(name)} is unknown; allowed: {allowed}{did_you_mean(name, known)}"
        )

    text = name in entry.texts
    kind, wanted = (str, "text") if text else (int | float, "a finite number")
    if not isinstance(value, kind) or isinstance(value, bool) or value != value or value in (_INF, -_INF):
        raise InputError(f"rule {entry.name!r}: parameter {name} must be {wanted}, got {value!r}")
    if isinstance(value, str) or name not in entry.limits:
        return

    low, high = entry.limits[name]
    if not low <= value <= high:
        allowed = f"{low:g} or more" if high == _INF else f"{low:g} to {high:g}"
        raise InputError(f"rule {entry.name!r}: parameter {name} must be {allowed}, got {value!r}")


def grid(family: str, beside: bool = False) -> list[dict[str, Any]]:
    """All parameter sets that tuning tries for `family`. beside: those of the rule that thinks beside acting."""
    return [params | ({BESIDE: True} if beside else {}) for params in RULES[family].grid()]


def _one_of(table: Mapping[Any, Any], key: Any, parameter: str) -> Any:
    """`table[key]`. Raises: InputError where there is none."""
    if key not in table:
        raise InputError(f"{parameter} {key!r} is not an allowed value (allowed: {', '.join(map(str, table))})")
    return table[key]


def _rule(family: str, trigger: Callable[[Situation], Mask], recipe: str, **params: Any) -> Rule:
    return Rule(family, trigger, _one_of(RECIPES, recipe, "recipe"), {"recipe": recipe, **params})


def _make_never() -> Rule:
    """Never; always ACT."""
    return Rule("never", _never, (Action.ACT,), {})


def _make_always(recipe: str = "P2V2") -> Rule:
    """Before every attempt."""
    return _rule("always", _always, recipe)


def _make_interval(every: float = 3, recipe: str = "P1") -> Rule:
    """After `every` attempts since the last call; before the first attempt too."""
    return _rule("interval", lambda s: s.history.acts_since_think >= every, recipe, every=every)


def _make_random(rate: float = 0.3, recipe: str = "P1") -> Rule:
    """Before a share `rate` of the decisions, drawn from a hash of the situation."""
    return _rule("random", lambda s: _random(s, rate), recipe, rate=rate)


def _make_threshold(theta: float = 0.2, recipe: str = "P1") -> Rule:
    """While the failure rate (a moving average over the last attempts) is above `theta`."""
    return _rule("threshold", lambda s: s.history.ema_failure > theta, recipe, theta=theta)


def _make_after_failure(failures: float = 1, recipe: str = "P1") -> Rule:
    """After `failures` failed attempts in a row."""
    return _rule("after_failure", lambda s: s.history.consecutive_failures >= failures, recipe, failures=failures)


def _make_boundary(recipe: str = "V1") -> Rule:
    """Before the first attempt at each sub-goal."""
    return _rule("boundary", lambda s: s.history.subgoal_acts == 0.0, recipe)


def _make_paced(share: float = 1.0, recipe: str = "V1") -> Rule:
    """Before the first attempt at each sub-goal, if the calls cost at most `share` of its even part of the budget."""
    calls = _one_of(RECIPES, recipe, "recipe")
    return _rule("paced", lambda s: _paced(s, share, calls), recipe, share=share)


def _make_brace(failures: float = 1, cooldown: float = 2, window: float = 3, recipe: str = "P1") -> Rule:
    """At `failures` failures among the last five attempts, but not within `cooldown` attempts of the last call, nor
    within `window` attempts of a new plan unless that failed twice in a row (BRACE, arXiv 2608.01428)."""
    return _rule(
        "brace",
        lambda s: _brace(s, failures, cooldown, window),
        recipe,
        failures=failures,
        cooldown=cooldown,
        window=window,
    )


def _make_risk_table(
    risky: str = "all_irreversible",
    verify: int = 1,
    plan: int = 1,
    failures: float = 1,
    pace: float = 0.0,
    theta: float = 0.0,
) -> RiskTable:
    """Asks the verifier (level `verify`) before sub-goals of the kinds `risky` while the failure rate is at least
    `theta`, and the planner (level `plan`) after `failures` failures in a sub-goal; it keeps `pace` of the seconds that
    the risky sub-goals to come will need."""
    return RiskTable(
        name="risk_table",
        risky=_one_of(RISK_SETS, risky, "risky"),
        verify=_one_of(_VERIFIERS, verify, "verify"),
        plan=_one_of(_PLANNERS, plan, "plan"),
        failures=failures,
        pace=pace,
        theta=theta,
        params={
            "risky": risky,
            "verify": verify,
            "plan": plan,
            "failures": failures,
            "pace": pace,
            "theta": theta,
        },
    )


def _make_risk_share(
    irreversible: float = 0.3,
    loss: float = 0.0,
    doubt: float = 2.0,
    verify: int = 1,
    plan: int = 1,
    failures: float = 1,
    pace: float = 0.0,
) -> RiskShare:
    """Asks the verifier (level `verify`) before steps of which at least the share `irreversible` of the failures cannot
    be undone and that lose the task at least with the probability `loss`; and the planner (level `plan`) after
    `failures` failures in a step, or before one that fails at least with the probability `doubt` (2: before none). It
    keeps `pace` of the seconds that the risky steps to come will need. Knows no names of skills."""
    return RiskShare(
        name="risk_share",
        irreversible=irreversible,
        loss=loss,
        doubt=doubt,
        verify=_one_of(_VERIFIERS, verify, "verify"),
        plan=_one_of(_PLANNERS, plan, "plan"),
        failures=failures,
        pace=pace,
        params={
            "irreversible": irreversible,
            "loss": loss,
            "doubt": doubt,
            "verify": verify,
            "plan": plan,
            "failures": failures,
            "pace": pace,
        },
    )


def _make_start(recipe: str = "P1") -> Rule:
    """Once, before the first attempt of the task."""
    return _rule("start", lambda s: s.step == 0.0, recipe)


def _make_confidence(
    default: float = 2.0, theta: float = 0.95, verify: int = 0, first: int = 1, failures: float = 2
) -> ConfidenceRule:
    """While the plan in force is doubtful: a default plan below `default` similarity, a planner's below `theta` mean
    token probability, any plan after `failures` failures in a row. With `verify` (a level; 0: never) a plan that has
    not failed yet goes to the verifier first; otherwise the planner is asked, from level `first` up."""
    params = {"default": default, "theta": theta, "verify": verify, "first": first, "failures": failures}
    return ConfidenceRule("confidence", default, theta, verify, first, failures, params)


_VERIFIERS = {1: Action.VERIFIER_1, 2: Action.VERIFIER_2}  # by level
_PLANNERS = {1: Action.PLANNER_1, 2: Action.PLANNER_2}
_RECIPE_AXIS = {"recipe": tuple(RECIPES)}
_RECIPE = ("recipe",)

_COUNT: Limits = (1, _INF)  # of attempts or failures: with fewer the rule would be "always"
_SHARE: Limits = (0, 1)  # a probability, or a rate of failures
_AMOUNT: Limits = (0, _INF)

register_rule("never", _make_never)
register_rule("always", _make_always, axes=_RECIPE_AXIS, texts=_RECIPE)
register_rule(
    "interval",
    _make_interval,
    axes={"every": (1, 2, 3, 4, 6, 8, 12), **_RECIPE_AXIS},
    texts=_RECIPE,
    limits={"every": _COUNT},
)
register_rule(
    "random",
    _make_random,
    axes={"rate": (0.05, 0.1, 0.2, 0.3, 0.5, 0.7), **_RECIPE_AXIS},
    texts=_RECIPE,
    limits={"rate": _SHARE},
)
register_rule(
    "threshold",
    _make_threshold,
    axes={"theta": (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), **_RECIPE_AXIS},
    texts=_RECIPE,
    limits={"theta": _SHARE},
)
register_rule(
    "after_failure",
    _make_after_failure,
    axes={"failures": (1, 2, 3), **_RECIPE_AXIS},
    texts=_RECIPE,
    limits={"failures": _COUNT},
)
register_rule("boundary", _make_boundary, axes=_RECIPE_AXIS, texts=_RECIPE)
register_rule(
    "paced",
    _make_paced,
    axes={"share": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0), **_RECIPE_AXIS},
    texts=_RECIPE,
    limits={"share": _AMOUNT},
)
register_rule(
    "brace",
    _make_brace,
    axes={"failures": (1, 2, 3), "cooldown": (1, 2, 4), "window": (1, 3, 6), **_RECIPE_AXIS},
    texts=_RECIPE,
    limits={"failures": _COUNT, "cooldown": _AMOUNT, "window": _AMOUNT},
)
register_rule(
    "risk_table",
    _make_risk_table,
    axes={
        "risky": tuple(RISK_SETS),
        "verify": (1, 2),
        "plan": (1, 2),
        "failures": (1, 2, 9),
        "pace": (0.0, 0.5, 1.0),
        "theta": (0.0, 0.01, 0.1, 0.2),
    },
    needs_guard=True,
    texts=("risky",),
    limits={"failures": _COUNT, "pace": _AMOUNT, "theta": _SHARE},
)
register_rule(
    "risk_share",
    _make_risk_share,
    axes={
        "irreversible": (0.01, 0.3, 0.6),
        "loss": (0.0, 0.01, 0.03, 0.08),
        "doubt": (0.25, 2.0),
        "verify": (1, 2),
        "plan": (1, 2),
        "failures": (1, 2, 9),
        "pace": (0.0, 0.5, 1.0),
    },
    needs_guard=True,
    needs_skills=True,
    # With a doubt above 1 no step is doubtful.
    limits={"irreversible": _SHARE, "loss": _SHARE, "doubt": (0, 2), "failures": _COUNT, "pace": _AMOUNT},
)
register_rule("start", _make_start, axes=_RECIPE_AXIS, needs_plan=True, texts=_RECIPE)
register_rule(
    "confidence",
    _make_confidence,
    axes={
        "default": (0.0, 0.7, 0.8, 0.9, 2.0),
        "theta": (0.0, 0.9, 0.97, 2.0),
        "verify": (0, 1, 2),
        "first": (1, 2),
        "failures": (1, 2, 9),
    },
    needs_plan=True,
    # A similarity and a probability below the threshold are doubtful: with 2 every plan is.
    limits={"default": (0, 2), "theta": (0, 2), "verify": (0, 2), "first": (1, 2), "failures": _COUNT},
)
