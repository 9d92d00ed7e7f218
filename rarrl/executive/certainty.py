"""How sure "done" is: the probability that what a skill should change has changed, where its result says success.

A result code is what a robot believes. This asks what else it knows: time, distance left, recoveries, the gripper, what
changed where it worked, and whether the thing was seen there afterwards. The model is a sum of log-odds: how far the
skill's word could be trusted so far, and a weight for each signal that there is. A signal that the robot does not have
adds nothing.

The weights are the same for all robots (`learning/executive/fit_certainty.py`). Trust is learned on the robot, per
skill, from what was seen later (`Certainty.confirm`). Only doubtful results are ever looked at, so counting how many of
those were lies would make each skill look worse than it is; the trust takes each answer together with the signals that
came before it (a Laplace step of Bayesian logistic regression, Spiegelhalter and Lauritzen, Networks 1990).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rarrl.skills.facts import locates
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import Skill
from rarrl.strict_json import read_json

WEIGHTS_PATH = Path(__file__).resolve().parents[1] / "data" / "done_certainty.json"
SURE = 0.9
"""Probability from which a step counts as done: of the least certain ones one in ten is not, of all far fewer. Above it
more steps are looked at in vain; below it a skill without signals is believed at its word. Chosen on training seeds."""
SURE_NOT = 0.2
"""Probability below which a step counts as not done, without a look: a wrong one costs a second try."""
MAX_DOUBLINGS = 3.0
"""Factors of two between time taken and expected that count; more is a wrong expectation rather than a sign."""
MAX_DISTANCE_M = 2.0
"""Metres left that count: at two metres nothing has arrived."""
MAX_RECOVERIES = 5.0
"""Recoveries that count; more say the same."""
CLOSED_M = 0.003
"""Metres between the fingers of a gripper, up to which nothing is there: play and calibration."""
MOVED_M = 0.002
"""Metres that fingers must have moved, to have done something."""
MAX_EVIDENCE = 12.0
"""Log-odds that signals may come to: 6 in a million. No sensor is surer than that."""
START_LOG_ODDS, START_SD = math.log(0.9 / 0.1), 1.0
"""Trust in a skill that nothing is known of: 10 % of its successes are lies, 95 % of skills between 1.5 % and 44 %."""

DEFAULT_FIELDS = {
    "distance_left_m": ("distance_left_m", "distance_remaining", "distance_to_goal", "distance_left"),
    "recoveries": ("recoveries", "number_of_recoveries", "num_retries"),
    "holding": ("holding",),
    "opening_m": ("opening_m",),
    "opening_before_m": ("opening_before_m",),
    "changed": ("changed",),
    "seen": ("seen",),
}
"""Signal -> fields that are read where the skill's `signals` names none: Nav2's names, and the signal's own."""


@dataclass(frozen=True)
class DoneSignals:
    """What a robot knows after a skill; None: it has no such signal.

    success: what the result code says. seconds, expected_s: taken, and expected. distance_left_m: metres to the goal.
    recoveries: how often the skill had to start over. holding: something is between the fingers. opening_m,
    opening_before_m: metres between the fingers, after and before. changed: voxels where it worked are others than
    before. seen: the thing was seen where the robot worked, after it."""

    success: bool = True
    seconds: float | None = None
    expected_s: float | None = None
    distance_left_m: float | None = None
    recoveries: float | None = None
    holding: bool | None = None
    opening_m: float | None = None
    opening_before_m: float | None = None
    changed: bool | None = None
    seen: bool | None = None

    @property
    def in_hand(self) -> bool | None:
        """Whether something is in the hand: as the gripper says, else by how far its fingers closed."""
        if self.holding is not None or self.opening_m is None:
            return self.holding
        closing = self.opening_before_m is None or self.opening_before_m - self.opening_m > MOVED_M
        return self.opening_m > CLOSED_M if closing else None


@dataclass(frozen=True)
class Effects:
    """What a skill that is done has changed, as far as a sensor could tell. None: it changes no such thing.

    holds: something is in the hand (True), or no more (False). leaves: the thing is where the robot worked (True), or
    no more (False). moves_things: something where it worked is not as before."""

    holds: bool | None = None
    leaves: bool | None = None
    moves_things: bool = False

    @classmethod
    def of(cls, skill: Skill) -> Effects:
        """From what the skill `gives`."""
        holds: bool | None = None
        leaves: bool | None = None
        moves = False
        for given in skill.effects:
            if given.words[0] == "holding":
                holds = not given.negated
                leaves = False if holds else leaves
            elif given.words == ("hand_empty",):
                holds = given.negated
            elif locates(given.words):
                leaves = not given.negated
                holds = False if leaves else holds
            moves |= not (given.words[0] == "at" and len(given.words) == 2)
        return cls(holds, leaves, moves)


def features(effects: Effects, signals: DoneSignals) -> dict[str, float]:
    """Name -> value of each signal that there is; what a signal means depends on what the skill should change.

    >>> features(Effects(holds=True), DoneSignals(holding=False))
    {'holds:empty': 1.0}
    """
    found: dict[str, float] = {}
    if signals.seconds is not None and signals.expected_s:
        doublings = math.log2(max(signals.seconds, 0.01) / max(signals.expected_s, 0.01))
        found["quick"] = min(max(-doublings, 0.0), MAX_DOUBLINGS)
        found["slow"] = min(max(doublings, 0.0), MAX_DOUBLINGS)
    if signals.distance_left_m is not None:
        found["distance:known"] = 1.0
        found["distance:m"] = min(abs(signals.distance_left_m), MAX_DISTANCE_M)
    if signals.recoveries is not None:
        found["recoveries"] = min(max(signals.recoveries, 0.0), MAX_RECOVERIES)

    if effects.holds is not None and signals.in_hand is not None:
        found[f"{'holds' if effects.holds else 'releases'}:{'full' if signals.in_hand else 'empty'}"] = 1.0
    if effects.moves_things and signals.changed is not None:
        found[f"changed:{'yes' if signals.changed else 'no'}"] = 1.0
    if effects.leaves is not None and signals.seen is not None:
        found[f"{'leaves' if effects.leaves else 'takes'}:{'seen' if signals.seen else 'unseen'}"] = 1.0
    return {name: value for name, value in found.items() if value}


FEATURES = (
    *("quick", "slow", "distance:known", "distance:m", "recoveries"),
    *("holds:full", "holds:empty", "releases:empty", "releases:full"),
    *("changed:yes", "changed:no", "leaves:seen", "leaves:unseen", "takes:unseen", "takes:seen"),
)
"""All names that `features` gives."""
SIGNS = {
    **dict.fromkeys(("quick", "slow", "distance:m", "recoveries", "holds:empty", "releases:full"), -1),
    **dict.fromkeys(("changed:no", "leaves:unseen", "takes:seen"), -1),
    **dict.fromkeys(("distance:known", "holds:full", "releases:empty", "changed:yes"), 1),
    **dict.fromkeys(("leaves:seen", "takes:unseen"), 1),
}
"""Feature -> the only sign that its weight may have, whatever a small sample says."""


@dataclass(frozen=True)
class Trust:
    """How far a skill's word can be trusted: log-odds that a success is none of its lies, with their spread, and how
    often it was seen to be true or false."""

    log_odds: float = START_LOG_ODDS
    sd: float = START_SD
    confirmed: int = 0
    lies: int = 0

    def after(self, evidence: float, really_done: bool) -> Trust:
        """The trust after it was seen whether a success, which came with signals worth `evidence`, was true."""
        p = _sigmoid(self.log_odds + evidence)
        precision = self.sd**-2 + p * (1.0 - p)
        return Trust(
            self.log_odds + (really_done - p) / precision,
            precision**-0.5,
            self.confirmed + really_done,
            self.lies + (not really_done),
        )

    def widened(self, per_look: float) -> Trust:
        """The trust a while later: a robot wears out, or is mended."""
        return replace(self, sd=min(math.hypot(self.sd, per_look), START_SD))


def evidence(effects: Effects, signals: DoneSignals, weights: Mapping[str, float]) -> float:
    """Log-odds that the signals add."""
    total = sum(weights.get(name, 0.0) * value for name, value in features(effects, signals).items())
    return min(max(total, -MAX_EVIDENCE), MAX_EVIDENCE)


def certainty(effects: Effects, signals: DoneSignals, trust: Trust, weights: Mapping[str, float]) -> float:
    """Probability that the effects are there; 0 where the result is no success.

    The less is known of the skill, the nearer to a half."""
    if not signals.success:
        return 0.0
    mean = trust.log_odds + evidence(effects, signals, weights)
    return _sigmoid(mean / math.sqrt(1.0 + math.pi * trust.sd**2 / 8.0))


DRIFT = 0.05
"""Log-odds by which trust gets less certain with each look, so that old ones fade: after about 400 of them."""


@lru_cache(maxsize=1)
def shipped_weights() -> Mapping[str, float]:
    """Feature -> log-odds, of `rarrl/data/done_certainty.json`."""
    found = read_json(WEIGHTS_PATH, "weights of done certainty")
    return {str(name): float(value) for name, value in found["weights"].items()}


class Certainty:
    """Judges results of one robot's skills, and learns how far each skill's word can be trusted.

    Args:
        weights: feature -> log-odds; None: the shipped ones.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = shipped_weights() if weights is None else weights
        self._trust: dict[str, Trust] = {}
        self._last: dict[str, float] = {}  # evidence of each skill's last success

    def judge(self, skill: Skill, step: Step, result: SkillResult, expected_s: float) -> float:
        """Probability that `step` is really done; 0 for results that are no success.

        expected_s: seconds that it should have taken, of the robot's clock."""
        if result.outcome is not Outcome.SUCCESS:
            self._last.pop(step.skill, None)
            return 0.0

        signals, effects = read_signals(skill, result, expected_s), Effects.of(skill)
        self._last[step.skill] = evidence(effects, signals, self._weights)
        return certainty(effects, signals, self.trust(step.skill), self._weights)

    def confirm(self, skill_name: str, really_done: bool) -> None:
        """What was seen later of the skill's last success."""
        told = self._last.get(skill_name, 0.0)
        self._trust[skill_name] = self.trust(skill_name).widened(DRIFT).after(told, really_done)

    def trust(self, skill_name: str) -> Trust:
        """How far a skill's word can be trusted."""
        return self._trust.get(skill_name, Trust())

    def to_json(self) -> dict[str, Any]:
        """What was learned, as it is kept with the robot's statistics."""
        return {
            name: {"log_odds": trust.log_odds, "sd": trust.sd, "confirmed": trust.confirmed, "lies": trust.lies}
            for name, trust in sorted(self._trust.items())
        }

    @classmethod
    def from_json(cls, value: Any, weights: Mapping[str, float] | None = None) -> Certainty:
        """The inverse of `to_json`. Raises: ValueError, KeyError or TypeError where it is none."""
        found = cls(weights)
        for name, each in dict(value).items():
            trust = Trust(float(each["log_odds"]), float(each["sd"]), int(each["confirmed"]), int(each["lies"]))
            if not (math.isfinite(trust.log_odds) and 0.0 < trust.sd <= START_SD):
                raise ValueError(f"trust in {name}: log_odds must be finite and sd above 0, at most {START_SD:g}")
            found._trust[str(name)] = trust
        return found


def read_signals(skill: Skill, result: SkillResult, expected_s: float) -> DoneSignals:
    """The signals that a result holds, in the fields that the skill's `signals` names, else in `DEFAULT_FIELDS`."""
    fields = result.fields or {}
    read: dict[str, Any] = {}
    for name, defaults in DEFAULT_FIELDS.items():
        sources = (skill.signals[name],) if name in skill.signals else defaults
        found = next((value for value in (_field(fields, each) for each in sources) if value is not None), None)
        as_flag = name in ("holding", "changed", "seen")
        read[name] = _flag(found) if as_flag else _number(found)
    seconds = result.seconds if result.seconds > 0 and math.isfinite(result.seconds) else None
    return DoneSignals(result.outcome is Outcome.SUCCESS, seconds, expected_s if expected_s > 0 else None, **read)


def _field(fields: Mapping[str, object], name: str) -> object:
    """The value of a field, dotted or nested; of `not NAME` the opposite."""
    if name.startswith("not "):
        flag = _flag(_field(fields, name[4:]))
        return None if flag is None else not flag
    if name in fields:
        return fields[name]
    head, _, rest = name.partition(".")
    inner = fields.get(head)
    return _field(inner, rest) if rest and isinstance(inner, Mapping) else None


def _flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, (bool, int)) else None


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -50.0), 50.0)))
