"""Whether a goal is one that the shipped planner was made for, and how likely its plan is right.

Its grammar lets the planner write nothing but plans, so it has one for any sentence. Two surprises tell whether that
means anything: how unlikely the plan is given the goal, and how unlikely the goal's words are given the plan, which the
model knows because it was also trained to describe plans. "do a backflip" describes no plan. Two logistic regressions
on ALFRED's development plans turn the surprises into probabilities (`benchmarks/planner_scope.py`).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rarrl.alfred_plans import ALFRED_DOMAIN, KNIVES
from rarrl.reasoner import prompt as p
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallFailedError, LanguageModel
from rarrl.reasoner.plan import Plan
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.skills.plan import Step
from rarrl.types import CallStatus

IN_SCOPE = (4.77, -4.75, -1.50, -1.72)
"""Weights of 1 and of `features` in the log-odds that a goal is in scope.

Fitted on 1,769 development goals against 600 step sentences of ALFRED ("turn left and walk to the bed") and some of the
sentences in `benchmarks/planner_scope.json`; shifted so that 0 is where 7 in 1,000 development goals are refused."""
RIGHT = (-2.86, -0.65, -1.32, 0.0)
"""The same in the log-odds that the plan is right, fitted on the development goals alone."""
MIN_RIGHT = 0.1
"""Probability of being right below which a plan is not worth a robot's while; no right one of ALFRED was below it."""
MAX_WORD_NATS = 5.0
"""Nats per word of a goal above which it is no description of the plan, for a verifier."""
_WORD_NATS = 0.3
_TOKEN_NATS = 0.01
"""Nats added before the logarithm, so that a model that is all but certain does not outweigh all else."""

KINDS = (
    "put the mug on the desk",
    "put two pillows on the sofa",
    "put a clean cup on the shelf",
    "put a hot potato on the table",
    "put a cold apple in the sink",
    "put a spoon in a mug and the mug on the counter",
    "look at the book under the desk lamp",
)
"""An example of each kind of task that the planner was trained on."""
ABSTAINS = "I know seven kinds of task, and this seems to be none of them. Examples: " + "; ".join(KINDS)
"""Why a goal out of scope gets no plan."""

_COURTESY = re.compile(
    r"^(?:hey|hi|ok|okay|please|kindly|now|robot|(?:could|can|would|will) you|"
    r"i(?: would|'d)? (?:like|want|need)(?: you)?(?: to)?|go and|you should)\b[ ,:]*"
    r"|[ ,]*\b(?:please|for me|thanks)[ .!]*$"
)
"""What people say around a goal; the annotators of ALFRED did not, so it would count as a surprise."""
_BELONGS = re.compile(
    r"^((?:the|this|that) .+?) (?:belongs?|goes) (.+?)(?:, (?:so )?(?:bring|put|take) it there)?[ .!]*$"
)
"""Another way to say "put it there"."""
_TREATMENTS = {
    "HeatObject": ("microwave", r"heat|hot|warm|microwav|cook|bak|toast|boil|roast|fry|fried|nuk"),
    "CoolObject": ("fridge", r"cool|cold|chill|refrig|freez|frozen|ice\b|icy"),
    "CleanObject": ("sinkbasin", r"clean|wash|rins|wet|scrub|damp|soak|fill|wip|water\b"),
}
"""Where a thing is treated, and the beginnings of the words that ask for it in the annotations of ALFRED's train
split."""
_DROPPED = frozenset(("Cc", "Cf", "Mn", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sk", "Zl", "Zp", "Zs"))
"""Kinds of characters (Unicode) that a sentence means the same without: punctuation, accents, spaces."""
_LANDMARKS = re.compile(
    r"\b(?:from|off|near|by|beside|behind|under|next to|close to|front of|left of|right of|(?:that is|that's|which is) "
    r"(?:in|on))\b.*?(?=[,.;]|\b(?:to|and|then|into?|onto?)\b|$)"
)
"""Where something is or stands, as opposed to where it goes."""
_SEVERAL = re.compile(
    r"\b(?:two|2|both|pair|couple|three|3|several|all|every|each|another|second|2nd|other|more|\w+s)\b"
)
"""Words that ask for more than one; any plural is one of them."""
EDIT_NATS = 1.0
"""By how much an edited plan must make the goal likelier to be taken, nats: it must explain it better, not as well."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a plan.

    word_nats: how unlikely a word of the goal is, given the plan, nats. token_nats: how unlikely a token of the plan
    is, given the goal, nats. unspoken: share of the plan's classes that no word of the goal may mean."""

    word_nats: float
    token_nats: float
    unspoken: float = 0.0

    @property
    def p_in_scope(self) -> float:
        """The probability that the goal is one of the tasks that the model knows, shifted: below 0.5 it abstains."""
        return self._probability(IN_SCOPE)

    @property
    def p_right(self) -> float:
        """The probability that the plan is right, for a goal in scope."""
        return self._probability(RIGHT)

    def _probability(self, weights: Sequence[float]) -> float:
        odds = weights[0] + sum(w * x for w, x in zip(weights[1:], features(self), strict=True))
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, odds))))


def features(seen: Evidence) -> tuple[float, float, float]:
    """Returns the inputs of the regressions. Surprises differ by their ratio, so their logarithms are taken."""
    return math.log(seen.word_nats + _WORD_NATS), math.log(seen.token_nats + _TOKEN_NATS), seen.unspoken


def unspoken(plan: Plan, goal: str) -> float:
    """Returns the share of the classes in `plan` that no word of `goal` may mean; which knife slices, no goal says.

    >>> unspoken(Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "sidetable"]]), "a mug for the table")
    0.0
    """
    names = {name for step in plan.steps for name in step.arguments}
    if any(step.skill == "SliceObject" for step in plan.steps):
        names -= KNIVES
    return sum(not ALFRED.mentions(goal, name) for name in names) / max(len(names), 1)


def explained(request: Request, model: LanguageModel, plans: Sequence[Plan]) -> tuple[Plan, float]:
    """Returns the plan that explains the goal best, and nats per word of the goal given it. The first is kept unless
    another is better by `EDIT_NATS`. Raises: CallFailedError."""
    goal = bare(request.goal)
    likely = [model.score(p.describe_prompt(plan), [f" {goal}{p.END}"])[0] for plan in plans]
    best = max(range(len(plans)), key=likely.__getitem__)
    if likely[best] < likely[0] + EDIT_NATS:
        best = 0

    words = len(re.findall(r"[a-z0-9]+", goal))
    return plans[best], max(-likely[best], 0.0) / (words + 1)


def bare(goal: str) -> str:
    """Returns a goal, cleaned, without courtesies; all of it if nothing else is there.

    >>> bare("Could you please put the mug on the desk?")
    'put the mug on the desk?'
    """
    text = goal = p.clean(goal)
    while (shorter := _COURTESY.sub("", text)) != text:
        text = shorter
    text = _BELONGS.sub(r"put \1 \2", text)
    text = re.sub(r"\b(?:my|our|your)\b", "the", re.sub(r"\b(bring|give|get|fetch|hand) (?:me|us)\b", r"\1", text))
    return text if re.search("[a-z0-9]", text) else goal


def unread(goal: str) -> str:
    """Returns the letters and pictures of `goal` that `prompt.clean` would drop: the shipped planner reads a-z alone.

    >>> unread("stelle die Tasse auf das Regal"), unread("put the 杯子 on the café table")
    ('', '杯子')
    """
    plain = unicodedata.normalize("NFKD", goal).lower()
    return "".join(c for c in plain if ord(c) > 127 and unicodedata.category(c) not in _DROPPED)


def check_readable(request: Request) -> None:
    """Raises: CallFailedError (REFUSED) for what the shipped planner cannot do as it stands: for another robot than
    ALFRED's, and a goal of other letters, or of names that only this robot's operator knows."""
    if request.domain is not None and not request.domain.is_robot_of(ALFRED_DOMAIN):
        raise CallFailedError(
            CallStatus.REFUSED,
            f"this model plans for ALFRED's household alone, and knows no skill of {request.domain.skills.robot[:60]}; "
            "ask a chat model for that (llama:PATH.gguf or openai:URL#MODEL)",
        )

    own = sorted(request.vocabulary.named(request.goal) & frozenset(request.vocabulary.own))
    if own:
        raise CallFailedError(
            CallStatus.REFUSED,
            f"this model was not trained on the operator's own {', '.join(own)}; ask a chat model for that "
            "(llama:PATH.gguf or openai:URL#MODEL)",
        )

    lost = unread(request.goal)
    if lost:
        raise CallFailedError(
            CallStatus.REFUSED,
            f"this model reads English in the letters a to z alone, and the goal holds {lost[:20]!r}; say it in "
            "English, or ask a chat model of that language",
        )


def grounded(plan: Plan, goal: str) -> list[Plan]:
    """Returns what to choose from instead of `plan`: first the plan without what nothing in `goal` asks for, then edits
    of it that use a place that the goal names.

    Left out are heating, cooling and cleaning, because no goal needs them to be guessed. Whether to carry a container
    on to some place, or to do a thing twice, only the model can tell (`deliberate`).

    >>> rows = [["PickupObject", "cup"], ["CoolObject", "cup"], ["PutObject", "cup", "sinkbasin"]]
    >>> [str(each) for each in grounded(Plan.from_rows(rows), "Chill the cup and put it in the drawer.")][1:]
    ['PickupObject(cup); CoolObject(cup); PutObject(cup, drawer)']
    """
    text = p.clean(goal)
    targets = ALFRED.named(_LANDMARKS.sub(" ", text))
    base = Plan(tuple(step for step in plan.steps if _asked(step, plan, text, targets)) or plan.steps)
    found = {base: None}
    steps = base.steps

    last = steps[-1]
    if last.skill == "PutObject" and not ALFRED.mentions(text, last.arguments[1]):
        used = {name for step in steps for name in step.arguments}
        used |= {_TREATMENTS[step.skill][0] for step in steps if step.skill in _TREATMENTS}
        for place in sorted((targets - used) & set(ALFRED.known.places)):
            found[_moved(base, last.arguments[1], place)] = None

        put, pick = steps[-3:-1] if len(steps) > 3 else (last, last)
        if pick.skill == "PickupObject" and put.arguments[1:] == pick.arguments == last.arguments[:1]:
            found[Plan(steps[:-2])] = None

    picked = [n for n, step in enumerate(steps) if step.skill == "PickupObject"]
    if len(picked) == 2 and steps[0] == steps[picked[1]] and not _SEVERAL.search(text):
        found[Plan(steps[: picked[1]])] = None
    return list(found)


def _asked(step: Step, plan: Plan, text: str, targets: frozenset[str]) -> bool:
    """Whether a word asks for this step; it may also name the appliance on the way to another place."""
    if step.skill not in _TREATMENTS:
        return True
    appliance, words = _TREATMENTS[step.skill]
    goes_on = appliance not in plan.steps[-1].arguments and plan.steps[-1].arguments[-1] in targets
    return bool(re.search(rf"\b(?:re|un|pre)?-?(?:{words})", text)) or (appliance in targets and goes_on)


def _moved(plan: Plan, old: str, new: str) -> Plan:
    steps = (
        Step(step.skill, (step.arguments[0], new)) if step.arguments[1:] == (old,) else step for step in plan.steps
    )
    return Plan(tuple(steps))
