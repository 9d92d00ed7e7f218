"""Recipe for general models in this process that plan with a robot's own skills and names.

Level 1 continues a text of the nearest examples, under a grammar of the domain. Level 2 reads the sentence by its
inverse: how likely is it that somebody who wants *this* says *that*? Each order that the examples and the names of this
world allow is put before the sentence, and the sentence is scored and never written (a noisy channel, after Min et al.,
"Noisy Channel Language Model Prompting for Few-Shot Text Classification", ACL 2022). A small model that writes wrong
plans for "something to drink" tells well how likely these words are after "put the soda on the desk". Where a thing
usually is, is asked in the same manner: the log-probability of each place after a question about the thing is compared
with that after a question about nothing (Zhao et al., "Calibrate before use", ICML 2021).

The verifier compares: a plan is wrong if another one is more likely."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rarrl.reasoner import prompt, skill_words, skills_prompt
from rarrl.reasoner.base import BrokenRuleError, Request, Shares
from rarrl.reasoner.language_model import CallFailedError, CallOutcome, LanguageModel
from rarrl.reasoner.plan import Fault, Verdict
from rarrl.skills.domain import Domain, names_in
from rarrl.skills.nearest import Order, said_as
from rarrl.skills.plan import Plan, Step
from rarrl.types import CallStatus, Role

SHOTS = 6
"""Nearest examples before the question."""
SAMPLE_TEMPERATURE = 0.8
"""Temperature of the plan that is written after one that failed."""
PLAN_TOKENS = 96
"""Tokens of one plan; eight steps of three words have about 60."""
MOST_ORDERS = 48
"""Orders that are weighed at once. Where names leave more open, first the thing is chosen, then the place."""
SAYING_SHARE = 0.5
"""Share of a call's time after which nothing further is asked."""
MIN_SAID = 4.0
"""Nats by which the sentence has to be likelier after the best order than after one that says nothing. With SmolLM2,
sentences of the training missions reach 5 to 20, most that ask for what the world lacks ("paint the wall") below 3."""
SHOWN = 1.0
"""Nats that speak for an order whose skills the robot's file has an example of, and as much again if it is of this very
plan: what a maker shows is what people ask for."""
ONE_MORE = 2.0
"""Nats by which the sentence has to become likelier for one step more, of things that it names."""
UNSAID = 5.0
"""Nats per step that a plan loses, as level 1's verifier weighs it, if it has no name in common with the goal; its
share counts. As for ALFRED's goals (`fewshot.UNSAID`)."""

SAID = (
    "Order: put the apple on the kitchen counter\nIn other words: I would like some fruit, in the kitchen please.\n\n"
    "Order: put the towels into the washing machine and close the washing machine\n"
    "In other words: All the dirty laundry has to be washed, and shut the door of it.\n\n"
    "Order: bring the pencil and the paper to the shelf\n"
    "In other words: Somebody wants to write a note over at the shelf.\n\n"
    "Order: {}\nIn other words:"
)
"""What people say who want something."""
NO_ORDER = "do it"
"""An order that says nothing."""
KEPT = "Where things are kept.\ncereal: cupboard\nice cream: freezer\nold newspapers: paper bin\n{}:"
"""Where a thing usually is."""
MAX_KNOWN = 200
"""Answers that do not depend on the goal, kept for a while: a few for each domain, and one for each thing."""
NO_THING = "thing"
"""A thing that says nothing."""


@dataclass(frozen=True)
class Read:
    """An order that a sentence may mean. nats: log-probability of the sentence after it, and what speaks for it
    before anything is said."""

    order: Order
    nats: float


class SkillsFewShot:
    """The recipe for requests with a domain. Call it with a request and a model, as any `Recipe`.

    Where things usually are does not depend on the goal, and is asked once for each domain. So one recipe belongs to
    one model."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Domain, str], dict[str, float]] = OrderedDict()

    def remember(self, key: tuple[Domain, str], ask: Callable[[], dict[str, float]]) -> dict[str, float]:
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

        plan = self._best(self._reads()).order.plan
        return CallOutcome(plan, self.confidence, skill_words.in_words(plan), where=self._where(plan))

    def _allowed(self, plan: Plan) -> Plan:
        """Raises: BrokenRuleError."""
        if why := self.request.rules(plan):
            raise BrokenRuleError(why)
        return plan

    # Writing

    def _plain(self, goal: str) -> str:
        """The goal with the first names of what it calls otherwise: small models do not connect coke with soda."""
        return said_as(goal, self.known.mentions(goal), {})

    def _asked(self) -> str:
        shots = self.known.examples(self.request.goal, SHOTS)
        text = "".join(f"Goal: {self._plain(say)}\nPlan: {skill_words.in_words(plan)}\n\n" for say, plan in shots)
        return f"{text}Goal: {self.goal}\nPlan:"

    def _write(self, temperature: float, seed: int) -> Plan:
        written = self.model.complete(
            self._asked(),
            grammar=skill_words.grammar(self.domain, " ", "\n"),
            max_tokens=PLAN_TOKENS,
            temperature=temperature,
            seed=seed,
        )
        if math.isnan(self.confidence):
            self.confidence = written.confidence
        return skill_words.read_words(written.text, self.domain)

    def _time_left(self) -> bool:
        return time.monotonic() - self.started < SAYING_SHARE * self.request.deadline_s

    # Level 2: the noisy channel

    def _best(self, reads: Sequence[Read]) -> Read:
        """The order that the sentence most likely means. Raises: CallFailedError where it means none."""
        rivals = [read for read in reads if read.order.plan != self.request.plan]
        if not rivals:
            plan = self._allowed(self._write(0.0, self.request.seed))
            return Read(Order(skill_words.in_words(plan), plan), -math.inf)

        best = max(rivals, key=lambda read: read.nats)
        nothing = self._nats([NO_ORDER])[0]
        if best.nats - nothing < MIN_SAID:
            raise CallFailedError(CallStatus.REFUSED, f"no order that this robot knows explains it: {self._names()}")

        others = [nothing, *(read.nats for read in rivals if read is not best)]
        best = self._extended(best, [read for read in rivals if len(read.order.plan.steps) == 1])
        self.confidence = best.nats - _log_sum([best.nats, *others])
        return best

    def _reads(self) -> list[Read]:
        """Every order that the goal may mean."""
        orders = self._orders({}, ("thing", "place"))
        if len(orders) > MOST_ORDERS:
            things = self._scored(self._orders({}, ("thing",)))
            best = max(things, key=lambda read: read.nats).order.plan
            named = names_in(best.steps) & set(self.domain.world.things)
            orders = self._orders({"thing": min(named)} if named else {}, ("place",))
        return self._scored(orders)

    def _orders(self, meant: Mapping[str, str], free: Sequence[str]) -> list[Order]:
        orders = self.known.orders(self.request.goal, meant, free)
        return [order for order in orders if not self.request.rules(order.plan)]

    def _scored(self, orders: Sequence[Order]) -> list[Read]:
        nats = self._nats([order.say for order in orders])
        return [Read(order, each + SHOWN * order.shown) for order, each in zip(orders, nats, strict=True)]

    def _nats(self, orders: Sequence[str]) -> list[float]:
        """Log-probability of the goal's words after each order."""
        return [self.model.score(SAID.format(order), [f" {self.goal}\n"])[0] for order in orders]

    def _extended(self, best: Read, single: Sequence[Read]) -> Read:
        """`best` and further steps, as long as the sentence names what they are about and becomes likelier for them."""
        said = {mention.name for mention in self.known.mentions(self.request.goal)}
        while self._time_left():
            left = said - names_in(best.order.plan.steps)
            more = [read.order for read in single if left & names_in(read.order.plan.steps)]
            longer = [_both(best.order, order) for order in more]
            scored = self._scored([order for order in longer if not self.request.rules(order.plan)])
            further = max(scored, key=lambda read: read.nats, default=best)
            if further.nats < best.nats + ONE_MORE:
                break
            best = further
        return best

    def _names(self) -> str:
        return f"it knows {', '.join(self.domain.world.things)}"[:200]

    # Where things usually are

    def _where(self, plan: Plan) -> dict[str, Shares]:
        """Where the things of a plan usually are, by what the model knows of homes."""
        world = self.domain.world
        places = [name for name, place in world.places.items() if place.holds]
        things = dict.fromkeys(a for step in plan.steps for a in step.arguments if a in world.things)
        found: dict[str, Shares] = {}
        for thing in list(things)[: skills_prompt.MAX_LOOKED_FOR]:
            if len(places) < 2 or not self._time_left():
                break
            found[thing] = _shares(self.recipe.remember((self.domain, thing), partial(self._kept, thing)))
        return found

    def _kept(self, thing: str) -> dict[str, float]:
        """Place -> nats by which it is likelier after a question about the thing than after one about nothing, averaged
        over what people call it."""
        places = [name for name, place in self.domain.world.places.items() if place.holds]
        sayings = [(name, f" {said}") for name in places for said in self.domain.aliases[name]]

        def likely(about: str) -> dict[str, float]:
            found: dict[str, list[float]] = {}
            scores = self.model.score(KEPT.format(about), [text for _, text in sayings])
            for (name, _), nats in zip(sayings, scores, strict=True):
                found.setdefault(name, []).append(nats)
            return {name: sum(each) / len(each) for name, each in found.items()}

        before = self.recipe.remember((self.domain, ""), partial(likely, NO_THING))
        after = likely(prompt.readable(thing.replace("_", " ")))
        return {name: after[name] - before[name] for name in places}

    # The verifier

    def _judge(self) -> CallOutcome:
        """Compares the plan with the one that the planner of this level would take."""
        given = self.request.plan
        assert isinstance(given, Plan)
        self.request = replace(self.request, role=Role.PLANNER, plan=None, failed=None)
        worth: dict[Plan, float] = {}
        if self.request.level == 2:
            reads = self._reads()
            best = self._best(reads)
            rival = best.order.plan
            worth = {read.order.plan: read.nats for read in reads} | {rival: best.nats}
        else:
            rival = self._write(0.0, self.request.seed)

        if given.steps == rival.steps:
            p_ok = 0.5 + 0.5 * math.exp(min(self.confidence, 0.0)) if not math.isnan(self.confidence) else 0.9
            return CallOutcome(Verdict(True, None, p_ok), self.confidence, "ok")

        if given not in worth:
            worth = self._weigh([given, rival])
        p_ok = 1.0 / (1.0 + math.exp(max(-50.0, min(50.0, worth[rival] - worth[given]))))
        text = f"more likely: {skill_words.in_words(rival)}"
        if p_ok >= 0.5:
            return CallOutcome(Verdict(True, None, p_ok), self.confidence, "ok")
        return CallOutcome(Verdict(False, _difference(given, rival, self.domain), p_ok), self.confidence, text)

    def _weigh(self, plans: Sequence[Plan]) -> dict[Plan, float]:
        """What each plan is worth: its log-probability after the goal by the root of its steps, less what nobody spoke
        of. By their number itself, saying a step twice would pay."""
        likely = self.model.score(self._asked(), [f" {skill_words.in_words(plan)}\n" for plan in plans])
        spoken = {mention.name for mention in self.known.mentions(self.request.goal)}
        worth = {}
        for plan, nats in zip(plans, likely, strict=True):
            used = names_in(plan.steps)
            worth[plan] = nats / math.sqrt(len(plan.steps)) - UNSAID * len(spoken ^ used) / max(len(spoken | used), 1)
        return worth


def _shares(nats: dict[str, float]) -> Shares:
    top = max(nats.values())
    weights = {name: math.exp(value - top) for name, value in nats.items()}
    total = sum(weights.values())
    return tuple(sorted(((name, w / total) for name, w in weights.items()), key=lambda pair: (-pair[1], pair[0])))


def _both(one: Order, other: Order) -> Order:
    return Order(f"{one.say} and {other.say}", Plan((*one.plan.steps, *other.plan.steps)), one.shown)


def _log_sum(nats: Sequence[float]) -> float:
    top = max(nats)
    return top + math.log(sum(math.exp(each - top) for each in nats))


def _difference(plan: Plan, better: Plan, domain: Domain) -> Fault:
    """What is wrong with `plan` if `better` is right."""
    if len(plan.steps) != len(better.steps):
        return Fault.EXTRA if len(plan.steps) > len(better.steps) else Fault.MISSING
    if sorted(map(str, plan.steps)) == sorted(map(str, better.steps)):
        return Fault.ORDER

    def things(steps: Sequence[Step]) -> list[list[str]]:
        return [[name for name in step.arguments if name in domain.world.things] for step in steps]

    return Fault.OBJECT if things(plan.steps) != things(better.steps) else Fault.PLACE
