"""A plan without a language model: that of the most similar example, with the names that the sentence holds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rarrl.skills.domain import Domain
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import Example
from rarrl.skills.words import Mention, words_of

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SMALL = frozenset(
    words_of("a an the to of in on into onto at and or is are it its my me us please for from with that this some all")
)
"""Words that say nothing about which skill or thing is meant."""
_KINDS = ("thing", "place", "door", "room")
"""Of names."""


@dataclass(frozen=True)
class Recalled:
    """What the nearest example comes to.

    plan: None where no example has a word or name in common with the sentence. similarity: 0 to 1. words: of the
    sentence. unknown: how many of them are neither a name, nor in an example."""

    plan: Plan | None
    similarity: float
    words: int
    unknown: int


@dataclass(frozen=True)
class Order:
    """An order that leaves no question open, in words, and the plan for it.

    shown: 2 where the robot's file has an example of this very plan, 1 where it has one of the same skills, else 0."""

    say: str
    plan: Plan
    shown: int = 0


class NearestExample:
    """Looks a sentence up among a domain's examples.

    Two sentences are compared with the names in them replaced by their kind, so that "bring a coke to the desk" is
    near to "bring the snacks to the table"; then the names change places."""

    def __init__(self, domain: Domain, more: Sequence[Example] = ()) -> None:
        """more: examples beside those of the file."""
        self._domain = domain
        parameters = (each for skill in domain.skills.skills.values() for each in skill.parameters.values())
        self._counts = any("number" in each.kinds for each in parameters)
        self._known = [(example, self._abstract(example.say)) for example in (*domain.skills.examples, *more)]
        self._shown = {Plan.from_rows(example.plan) for example in domain.skills.examples}
        self._always_open = {("open", name) for name, place in domain.world.places.items() if not place.opens}
        self._vocabulary = {word for _, (words, _) in self._known for word in words}

    def recall(self, sentence: str) -> Recalled:
        """The plan of the nearest example; of several the first."""
        words, mentions = self._abstract(sentence)
        total = len(words_of(sentence))
        named = sum(mention.end - mention.start for mention in mentions)
        unknown = sum(word not in self._vocabulary and not word.startswith("<") for word in words)
        unknown = min(unknown, total - named)
        if not self._known or not words:
            return Recalled(None, 0.0, total, unknown)

        example, theirs, best = self._ranked(words)[0]
        if best <= 0.0:
            return Recalled(None, 0.0, total, unknown)
        plan = _renamed(self._reworded(example, sentence), self._renames(theirs, mentions))
        if not plan.steps or self._domain.check(plan):
            return Recalled(None, best, total, unknown)
        return Recalled(plan, best, total, unknown)

    def examples(self, sentence: str, n: int) -> list[tuple[str, Plan]]:
        """The `n` examples that are most similar to a sentence, with their plans, the most similar one last."""
        best = self._ranked(self._abstract(sentence)[0])[:n]
        return [(example.say, Plan.from_rows(example.plan)) for example, _, _ in reversed(best)]

    def orders(self, sentence: str, meant: Mapping[str, str], free: Collection[str]) -> list[Order]:
        """What a sentence may ask for: an example of each sequence of skills (the nearest), with the names that the
        sentence holds in the place of its own, and as it stands.

        A kind of name that an example holds once, and the sentence never, is that in `meant` (kind -> name); each name
        of the kind, where it is in `free` and not in `meant`; else the example's own. Plans that open or shut what
        cannot be are left out."""
        words, ours = self._abstract(sentence)
        said = {self._kind(mention.name) for mention in ours}
        skills = {_skills(plan) for plan in self._shown}
        said_of: dict[Plan, str] = {}
        shapes = set()

        for example, theirs, _ in self._ranked(words):
            plan = self._reworded(example, sentence)
            if _skills(plan) in shapes:
                continue
            shapes.add(_skills(plan))

            kinds = [self._kind(name) for name in {mention.name for mention in theirs}]
            unsaid = [k for k in _KINDS if kinds.count(k) == 1 and k not in said and (k in meant or k in free)]
            for names in itertools.product(*([meant[k]] if k in meant else self._nameable(k) for k in unsaid)):
                extra = tuple(Mention(name, 0, 0) for name in names)
                renames = self._renames(theirs, (*ours, *extra))
                said_of.setdefault(_renamed(plan, renames), said_as(example.say, theirs, renames))
            said_of.setdefault(plan, said_as(example.say, theirs, {}))

        return [
            Order(said, plan, (plan in self._shown) + (_skills(plan) in skills))
            for plan, said in said_of.items()
            if plan.steps and not self._domain.check(plan) and self._can_be(plan)
        ]

    def _can_be(self, plan: Plan) -> bool:
        """Whether no step opens or shuts a place that the world says neither of."""
        return not any(
            effect.filled(self._domain.arguments(step)).words in self._always_open
            for step in plan.steps
            for effect in self._domain.skill(step).effects
        )

    def _nameable(self, kind: str) -> list[str]:
        names = self._domain.world.names(kind)
        return [name for name in names if self._domain.may_name(name, kind == "place")]

    def mentions(self, sentence: str) -> tuple[Mention, ...]:
        """The names that a sentence holds, in its order."""
        return self._domain.lexicon.mentioned(sentence)

    def _abstract(self, sentence: str) -> tuple[tuple[str, ...], tuple[Mention, ...]]:
        """The words that count, names as `<kind>`; and the names."""
        words, mentions = words_of(sentence), self.mentions(sentence)
        taken = {at for mention in mentions for at in range(mention.start, mention.end)}
        kept = [word for at, word in enumerate(words) if at not in taken and word not in _SMALL]
        if self._counts:
            kept = [word for word in kept if not word.isdecimal()] + ["<number>"] * len(_NUMBER.findall(sentence))
        return (*kept, *(f"<{self._kind(mention.name)}>" for mention in mentions)), mentions

    def _kind(self, name: str) -> str:
        world = self._domain.world
        return next(kind for kind in _KINDS if name in world.names(kind))

    def _ranked(self, words: tuple[str, ...]) -> list[tuple[Example, tuple[Mention, ...], float]]:
        """The examples with the names in them, and how similar they are to a sentence's words; the most similar first,
        of several in the order of the file."""
        scored = [(example, theirs, self._similarity(words, known)) for example, (known, theirs) in self._known]
        return sorted(scored, key=lambda each: -each[2])

    def _similarity(self, ours: tuple[str, ...], theirs: tuple[str, ...]) -> float:
        """Dice's coefficient over words with repetitions."""
        left, common = list(theirs), 0
        for word in ours:
            if word in left:
                left.remove(word)
                common += 1
        return 2.0 * common / (len(ours) + len(theirs)) if ours or theirs else 0.0

    def _reworded(self, example: Example, sentence: str) -> Plan:
        """The example's plan with the sentence's own numbers, and fixed words where it says others of the same
        argument: "shut the roof" is not done as "open the roof" is."""
        theirs, ours = words_of(example.say), words_of(sentence)
        numbers = dict(zip(_NUMBER.findall(example.say), _NUMBER.findall(sentence), strict=False))
        steps = []
        for step in Plan.from_rows(example.plan).steps:
            arguments = list(step.arguments)
            for at, parameter in enumerate(self._domain.skill(step).parameters.values()):
                word = arguments[at]
                if word in numbers and "number" in parameter.kinds:
                    arguments[at] = numbers[word]
                elif word.lower() in theirs and word.lower() not in ours:
                    said = [other for other in parameter.one_of if other.lower() in ours]
                    arguments[at] = said[0] if said else word
            steps.append(Step(step.skill, tuple(arguments)))
        return Plan(tuple(steps))

    def _renames(self, theirs: tuple[Mention, ...], ours: tuple[Mention, ...]) -> dict[str, str]:
        """Which of our names takes the place of which of theirs, kind by kind in the order in which they are said;
        names that are left over change places whatever their kind, as in "shut the door" after "shut the cupboard"."""
        renames: dict[str, str] = {}
        old_left: list[str] = []
        new_left: list[str] = []
        for kind in _KINDS:
            old = list(dict.fromkeys(m.name for m in theirs if self._kind(m.name) == kind))
            new = list(dict.fromkeys(m.name for m in ours if self._kind(m.name) == kind))
            renames |= dict(zip(old, new, strict=False))
            old_left += old[len(new) :]
            new_left += new[len(old) :]
        return renames | dict(zip(old_left, new_left, strict=False))


def said_as(text: str, mentions: Sequence[Mention], renames: Mapping[str, str]) -> str:
    """`text` with each of its `mentions` by the first name of what it means, after `renames`.

    >>> said_as("bring a coke to the desk", [Mention("soda", 2, 3), Mention("desk", 5, 6)], {"desk": "side_table"})
    'bring a soda to the side table'
    """
    text = text.replace("_", " ")
    words = [(match.start(), match.end()) for match in re.finditer(r"\w+", text)]
    for mention in reversed(mentions):
        start, end = words[mention.start][0], words[mention.end - 1][1]
        text = text[:start] + renames.get(mention.name, mention.name).replace("_", " ") + text[end:]
    return text


def _skills(plan: Plan) -> tuple[str, ...]:
    return tuple(step.skill for step in plan.steps)


def _renamed(plan: Plan, renames: Mapping[str, str]) -> Plan:
    return Plan(tuple(Step(s.skill, tuple(renames.get(a, a) for a in s.arguments)) for s in plan.steps))
