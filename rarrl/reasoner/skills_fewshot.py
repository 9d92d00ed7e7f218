"""Recipe for general models in this process that plan with a robot's own skills and names.

Level 1 continues a text of the nearest examples, under a grammar of the domain. Level 2 asks what small models can
tell: closed questions, whose answers are scored and never written. Which thing of this world does "something to drink"
mean; where is such a thing usually kept? Each answer's log-probability after the question is compared with that after a
question that says nothing (SayCan's scoring, Ahn et al. 2022, with the calibration of Zhao et al., "Calibrate before
use", ICML 2021), averaged over what people call the thing. The plans of the nearest examples with the names that are
said, or meant, in them, and those that the model writes, are then weighed against each other.

The verifier compares: a plan is wrong if another one is more likely."""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rarrl.reasoner import prompt, skill_words, skills_prompt
from rarrl.reasoner.base import BrokenRuleError, Request, Shares
from rarrl.reasoner.language_model import CallFailedError, CallOutcome, LanguageModel
from rarrl.reasoner.plan import Fault, Verdict
from rarrl.skills.domain import Domain
from rarrl.skills.plan import Plan, Step
from rarrl.skills.words import Mention
from rarrl.types import CallStatus, Role

SHOTS = 6
"""Nearest examples before the question."""
SAMPLES = 1
"""Plans that level 2 samples besides the likeliest one; each costs half a CPU second. Chosen by hand, for its price."""
SAMPLE_TEMPERATURE = 0.8
"""Temperature of these samples."""
PLAN_TOKENS = 96
"""Tokens of one plan; eight steps of three words have about 60."""
SKELETONS = 4
"""Nearest examples whose plans level 2 fills with names."""
SAMPLING_SHARE = 0.5
"""Share of a call's time after which no further plan is sampled."""
MIN_MEANT = 2.5
"""Nats by which the best name has to be likelier after the request than after one that says nothing. Names of things
that the world does not have at all ("the screwdriver") stayed below, with SmolLM2."""
UNSAID = 5.0
"""Nats per step that a plan loses if it has no name in common with the goal; its share counts. As for ALFRED's goals
(`fewshot.UNSAID`)."""
SURELY = 0.5
"""Nats per step by which a plan must be better than the nearest example's to take its place. Chosen by hand."""

THING = (
    "Request: bring something to eat\nThing: apple\n\nRequest: I need to write a note\nThing: pencil\n\n"
    "Request: {}\nThing:"
)
"""Which thing is meant."""
PLACE = (
    "Request: put the plates where we have dinner\nPlace: dining table\n\nRequest: the shoes belong near the door\n"
    "Place: hallway\n\nRequest: {}\nPlace:"
)
"""Which place is meant."""
KEPT = "Where things are kept.\ncereal: cupboard\nice cream: freezer\nold newspapers: paper bin\n{}:"
"""Where a thing usually is."""
MAX_KNOWN = 200
"""Answers that do not depend on the goal, kept for a while: a few for each domain, and one for each thing."""
NOTHING_SAID = "do it"
"""A request that says nothing."""
NO_THING = "thing"
"""A thing that says nothing."""


@dataclass(frozen=True)
class Understood:
    """What a sentence means in a world. said: the names that it holds. meant: names that the model chose for what is
    not named, kind -> name; sure: nats in favour of each."""

    said: tuple[Mention, ...]
    meant: dict[str, str]
    sure: dict[str, float]


class SkillsFewShot:
    """The recipe for requests with a domain. Call it with a request and a model, as any `Recipe`.

    What does not depend on the goal is asked once for each domain: how likely names are after a question that says
    nothing, and where things usually are. So one recipe belongs to one model."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Domain, str, str], dict[str, float]] = OrderedDict()

    def remember(self, key: tuple[Domain, str, str], ask: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What `ask` answers, asked once."""
        if key not in self._known:
            self._known[key] = ask()
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]

    def __call__(self, request: Request, model: LanguageModel) -> CallOutcome:
        """Carries out a request. Raises: CallFailedError; BrokenRuleError; ValueError if the text is no plan."""
        domain = request.domain
        assert domain is not None
        return _Call(request, domain, model, self).carry_out()


class _Call:
    """One request."""

    def __init__(self, request: Request, domain: Domain, model: LanguageModel, recipe: SkillsFewShot) -> None:
        self.recipe = recipe
        self.request = request
        self.domain = domain
        self.model = model
        self.known = skills_prompt.known_examples(domain)
        self.goal = self._plain(prompt.readable(request.goal))
        self.started = time.monotonic()
        self.confidence = math.nan

    def carry_out(self) -> CallOutcome:
        request = self.request
        if request.role is Role.VERIFIER:
            return self._judge()
        if request.level == 1:
            temperature = (
                SAMPLE_TEMPERATURE if request.plan is not None else 0.0
            )  # another one than the one that failed
            plan = self._allowed(self._write(temperature, request.seed))
            return CallOutcome(plan, self.confidence, skill_words.in_words(plan))

        plan = self._best()
        return CallOutcome(plan, self.confidence, skill_words.in_words(plan), where=self._where(plan))

    def _allowed(self, plan: Plan) -> Plan:
        """Raises: BrokenRuleError."""
        if why := self.request.rules(plan):
            raise BrokenRuleError(why)
        return plan

    # Writing

    def _plain(self, goal: str) -> str:
        """The goal with the first names of what it calls otherwise: small models do not connect coke with soda."""
        words = [(match.group(), match.start(), match.end()) for match in re.finditer(r"\w+", goal.replace("_", " "))]
        text = goal.replace("_", " ")
        for mention in reversed(self.known.mentions(goal)):
            start, end = words[mention.start][1], words[mention.end - 1][2]
            text = text[:start] + mention.name + text[end:]
        return text

    def _asked(self, goal: str) -> str:
        shots = self.known.examples(self.request.goal, SHOTS)
        text = "".join(f"Goal: {self._plain(say)}\nPlan: {skill_words.in_words(plan)}\n\n" for say, plan in shots)
        return f"{text}Goal: {goal}\nPlan:"

    def _write(self, temperature: float, seed: int) -> Plan:
        written = self.model.complete(
            self._asked(self.goal),
            grammar=skill_words.grammar(self.domain, " ", "\n"),
            max_tokens=PLAN_TOKENS,
            temperature=temperature,
            seed=seed,
        )
        if math.isnan(self.confidence):
            self.confidence = written.confidence
        return skill_words.read_words(written.text, self.domain)

    def _time_left(self) -> bool:
        return time.monotonic() - self.started < SAMPLING_SHARE * self.request.deadline_s

    # Level 2: closed questions

    def _best(self) -> Plan:
        """The best of the nearest examples' plans, filled with names, and of the model's own."""
        understood = self._understand()
        plans = self._filled(understood)
        own = [self._write(0.0, self.request.seed)]
        for number in range(SAMPLES):
            if self._time_left():
                try:
                    own.append(self._write(SAMPLE_TEMPERATURE, self.request.seed * 64 + number + 1))
                except CallFailedError as error:
                    if error.status is not CallStatus.BUDGET:
                        raise

        candidates = [plan for plan in dict.fromkeys([*plans, *own]) if not self.request.rules(plan)]
        others = [plan for plan in candidates if plan != self.request.plan] or candidates
        if not others:
            return self._allowed(own[0])
        if understood.sure and min(understood.sure.values()) < MIN_MEANT:
            raise CallFailedError(CallStatus.REFUSED, self._unknown(understood))

        worth = self._weigh(others, understood)
        best = max(others, key=lambda plan: worth[plan])
        return best if worth[best] > worth[others[0]] + SURELY else others[0]

    def _unknown(self, understood: Understood) -> str:
        kind = min(understood.sure, key=lambda kind: understood.sure[kind])
        names = ", ".join(self.domain.world.names(kind))[:200]
        return f"no {kind} that this robot knows seems to be meant (it knows {names})"

    def _understand(self) -> Understood:
        """Finds the names that are said, and asks for those that a plan like the nearest example's needs besides."""
        said = self.known.mentions(self.request.goal)
        needed = self.known.needed(self.request.goal)
        meant: dict[str, str] = {}
        sure: dict[str, float] = {}
        for kind in ("thing", "place"):
            names = [name for name in self.domain.world.names(kind) if self.domain.may_name(name, kind == "place")]
            if kind in needed and names and not any(self._kind(mention.name) == kind for mention in said):
                asked = THING if kind == "thing" else PLACE
                scores = self._chosen(asked, self.request.goal, NOTHING_SAID, names)
                meant[kind] = max(scores, key=lambda name: scores[name])
                sure[kind] = scores[meant[kind]]
        return Understood(said, meant, sure)

    def _chosen(self, asked: str, about: str, nothing: str, names: Sequence[str]) -> dict[str, float]:
        """Name -> nats by which it is likelier after a question about `about` than after one about `nothing`."""
        sayings = [(name, f" {said}") for name in names for said in self.domain.aliases[name]]

        def likely(question: str) -> dict[str, float]:
            found: dict[str, list[float]] = {}
            scores = self.model.score(question, [text for _, text in sayings])
            for (name, _), nats in zip(sayings, scores, strict=True):
                found.setdefault(name, []).append(nats)
            return {name: sum(each) / len(each) for name, each in found.items()}

        before = self.recipe.remember((self.domain, asked, nothing), lambda: likely(asked.format(nothing)))
        after = likely(asked.format(prompt.readable(about)))
        return {name: after[name] - before[name] for name in names}

    def _filled(self, understood: Understood) -> list[Plan]:
        """The plans of the nearest examples with the names that are said or meant, the nearest one first."""
        return self.known.filled(self.request.goal, SKELETONS, understood.meant)

    def _weigh(self, plans: Sequence[Plan], understood: Understood) -> dict[Plan, float]:
        """What each plan is worth: its log-probability after the goal by the root of its steps, less what nobody spoke
        of. By their number itself, saying a step twice would pay."""
        hint = ", ".join(understood.meant.values())
        goal = f"{self.goal} ({hint})" if hint else self.goal
        likely = self.model.score(self._asked(goal), [f" {skill_words.in_words(plan)}\n" for plan in plans])

        spoken = {mention.name for mention in understood.said} | set(understood.meant.values())
        worth = {}
        for plan, nats in zip(plans, likely, strict=True):
            used = {name for step in plan.steps for name in step.arguments}
            worth[plan] = nats / math.sqrt(len(plan.steps)) - UNSAID * len(spoken ^ used) / max(len(spoken | used), 1)
        return worth

    def _kind(self, name: str) -> str:
        return next(kind for kind in ("thing", "place", "door", "room") if name in self.domain.world.names(kind))

    def _where(self, plan: Plan) -> dict[str, Shares]:
        """Where the things of a plan usually are, by what the model knows of homes."""
        world = self.domain.world
        places = [name for name, place in world.places.items() if place.holds]
        things = dict.fromkeys(a for step in plan.steps for a in step.arguments if a in world.things)
        found: dict[str, Shares] = {}
        for thing in list(things)[: skills_prompt.MAX_LOOKED_FOR]:
            if len(places) < 2 or not self._time_left():
                break
            found[thing] = _shares(self.recipe.remember((self.domain, KEPT, f"of {thing}"), partial(self._kept, thing)))
        return found

    def _kept(self, thing: str) -> dict[str, float]:
        """Place -> nats in favour of it as the place where a thing is kept."""
        places = [name for name, place in self.domain.world.places.items() if place.holds]
        return self._chosen(KEPT, thing.replace("_", " "), NO_THING, places)

    # The verifier

    def _judge(self) -> CallOutcome:
        """Compares the plan with those that the planner of this level would take."""
        given = self.request.plan
        assert isinstance(given, Plan)
        self.request = replace(self.request, role=Role.PLANNER, plan=None, failed=None)
        rival = self._write(0.0, self.request.seed) if self.request.level == 1 else self._best()
        if _same(given, rival):
            p_ok = 0.5 + 0.5 * math.exp(min(self.confidence, 0.0)) if not math.isnan(self.confidence) else 0.9
            return CallOutcome(Verdict(True, None, p_ok), self.confidence, "ok")

        understood = (
            self._understand()
            if self.request.level == 2
            else Understood(self.known.mentions(self.request.goal), {}, {})
        )
        worth = self._weigh([given, rival], understood)
        p_ok = 1.0 / (1.0 + math.exp(max(-50.0, min(50.0, worth[rival] - worth[given]))))
        text = f"more likely: {skill_words.in_words(rival)}"
        if p_ok >= 0.5:
            return CallOutcome(Verdict(True, None, p_ok), self.confidence, "ok")
        return CallOutcome(Verdict(False, _difference(given, rival, self.domain), p_ok), self.confidence, text)


def _shares(nats: dict[str, float]) -> Shares:
    top = max(nats.values())
    weights = {name: math.exp(value - top) for name, value in nats.items()}
    total = sum(weights.values())
    return tuple(sorted(((name, w / total) for name, w in weights.items()), key=lambda pair: (-pair[1], pair[0])))


def _same(plan: Plan, other: Plan) -> bool:
    return plan.steps == other.steps


def _difference(plan: Plan, better: Plan, domain: Domain) -> Fault:
    """What is wrong with `plan` if `better` is right."""
    if len(plan.steps) != len(better.steps):
        return Fault.EXTRA if len(plan.steps) > len(better.steps) else Fault.MISSING
    if sorted(map(str, plan.steps)) == sorted(map(str, better.steps)):
        return Fault.ORDER

    def things(steps: Sequence[Step]) -> list[list[str]]:
        return [[name for name in step.arguments if name in domain.world.things] for step in steps]

    return Fault.OBJECT if things(plan.steps) != things(better.steps) else Fault.PLACE
