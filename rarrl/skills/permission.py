"""What an instruction gives leave to: rules, no model.

A language model, a label, a note or another node may put any step into a plan. Leave comes from two sources that none
of them can write: the sentence of the person, and the robot's two files (`confirm`, `words` and `freely` in
skills.yaml, `confirm` in world.yaml). A step without leave is not refused for good: a person is asked first.

A sentence is read in clauses. "Put the knife in the drawer and bring the cup to the sofa" gives leave to bring the cup
to the sofa, and none to bring the knife there. Clauses that say not, and text in quotes, give none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rarrl.skills.domain import Domain
from rarrl.skills.facts import Condition, State
from rarrl.skills.plan import Plan, Step
from rarrl.skills.words import words_of

_QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|\u00ab[^\u00bb]*\u00bb|(?<!\w)'[^']+'(?!\w)")
_BETWEEN = re.compile(r"[.;:!?,()\n]+|\b(?:and|then|but|or|while|before|after)\b", re.IGNORECASE)
"""Between two clauses."""
_NOT = re.compile(r"\b(?:not|never|no|don'?t|doesn'?t|without|except|avoid|instead of|rather than)\b.*", re.IGNORECASE)
_BEFORE_SAID = re.compile(r"\b(?:it|them|that|this|these|those|one|ones|both)\b", re.IGNORECASE)
"""Words that stand for a thing of another clause."""


@dataclass(frozen=True)
class _Clause:
    """Part of a sentence. words: in lower case, with spaces between them. things: names of what is carried or handled.
    spots: of places, doors and rooms."""

    words: str
    things: frozenset[str]
    spots: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return self.things | self.spots

    @property
    def refers(self) -> bool:
        """Whether a word stands for a thing of another clause."""
        return bool(_BEFORE_SAID.search(self.words))


class Permission:
    """What `goal`, a person's sentence, gives leave to in a domain."""

    def __init__(self, goal: str, domain: Domain) -> None:
        self.goal = goal
        self.domain = domain
        self._clauses = tuple(self._read(part) for part in _BETWEEN.split(_QUOTED.sub(" , ", goal)))

    def question(self, step: Step, state: State, prepares: bool = False) -> str:
        """Why a person has to be asked before a step in `state`; "" where it may be carried out.

        prepares: it was added, or stands in the plan, because a step that has leave needs it."""
        skill = self.domain.skill(step)
        if skill.confirm == "always":
            return f"{step.skill} needs a person's yes each time"
        if skill.freely and step.arguments and not self._is_meant(step.arguments[0], skill.freely):
            return f"{step.skill} is not meant for {step.arguments[0][:40]!r}, which needs a person's yes each time"
        touched = self._touched(step, state)
        for when, names in self._listed(touched):
            if when == "always":
                return f"{' with '.join(names)} needs a person's yes each time"
            if not self._named_together(names):
                return f"the instruction does not name {' with '.join(names)}"
        if skill.confirm == "unasked" and not prepares:
            return self._unasked(step)
        return ""

    def questions(self, plan: Plan, state: State) -> dict[int, str]:
        """Row of `plan` -> why a person has to be asked before it."""
        prepares = self.preparing(plan)
        found = {row: self.question(step, state, prepares[row]) for row, step in enumerate(plan.steps)}
        return {row: why for row, why in found.items() if why}

    def preparing(self, plan: Plan) -> tuple[bool, ...]:
        """Whether each row of `plan` gives what a later row needs that has leave itself."""
        found: list[bool] = []
        wanted: list[Condition] = []
        for step in reversed(plan.steps):
            arguments, skill = self.domain.arguments(step), self.domain.skill(step)
            given = [effect.filled(arguments) for effect in skill.effects]
            prepares = any(self._serves(fact, need) for fact in given for need in wanted)
            found.insert(0, prepares)
            if prepares or not self._unasked(step):
                wanted += [need.filled(arguments) for need in skill.conditions]
        return tuple(found)

    # The sentence

    def _read(self, text: str) -> _Clause:
        text = _NOT.sub(" ", text)
        world = self.domain.world
        names = set(self.domain.lexicon.may_mean(text))
        said = set(words_of(text))
        for group, members in world.groups.items():
            word = group.lower()
            if said & {word, f"{word}s", word.removesuffix("s")}:
                names |= set(members)
        things = frozenset(name for name in names if name in world.things)
        return _Clause(" ".join(re.findall(r"\w+", text.lower())), things, frozenset(names) - things)

    def _where(self, name: str) -> list[int]:
        return [at for at, clause in enumerate(self._clauses) if name in clause.names]

    def _named_together(self, names: Sequence[str]) -> bool:
        """Whether the sentence names all of `names`, each with the next."""
        if not all(map(self._where, names)):
            return False
        return all(self._bound(one, other) for one, other in pairwise(names))

    def _bound(self, one: str, other: str) -> bool:
        return any(
            a == b or b in self._partners(a, self._is_thing(other)) or a in self._partners(b, self._is_thing(one))
            for a in self._where(one)
            for b in self._where(other)
        )

    def _is_thing(self, name: str) -> bool:
        return name in self.domain.world.things

    def _partners(self, at: int, things: bool) -> set[int]:
        """The clauses whose things (else places) a clause speaks of that names none itself: the nearest ones."""

        def has(clause: _Clause) -> bool:
            return bool(clause.things if things else clause.spots)

        here = self._clauses[at]
        if has(here) and not (things and here.refers):
            return set()
        before = next((i for i in range(at - 1, -1, -1) if has(self._clauses[i])), None)
        after = next((i for i in range(at + 1, len(self._clauses)) if has(self._clauses[i])), None)
        return {i for i in (before, after) if i is not None}

    # A step

    def _unasked(self, step: Step) -> str:
        """What of a step the sentence does not ask for; "" where it asks for all."""
        skill = self.domain.skill(step)
        verbs = [i for i, clause in enumerate(self._clauses) if _begins(skill.words, clause.words)]
        if skill.words and not verbs:
            return f"the instruction does not ask to {step.skill.replace('_', ' ')}"
        given = list(zip(step.arguments, skill.parameters.values(), strict=True))
        known = self.domain.world.named
        names = [value for value, parameter in given if value in known and not self._is_tool(value, parameter.kinds)]
        for name in names:
            if not self._where(name):
                return f"the instruction does not name {name}"
        if not self._named_together(names):
            return f"the instruction does not bring {' and '.join(names)} together"
        if skill.words and names and not any(self._said_of(verb, names[0]) for verb in verbs):
            return f"the instruction does not ask to {step.skill.replace('_', ' ')} {names[0]}"
        for value, parameter in given:
            if value not in known and not self._says(value, parameter.kinds, parameter.one_of):
                return f"the instruction does not say {value[:40]!r}"
        return ""

    def _said_of(self, verb: int, name: str) -> bool:
        return any(at == verb or at in self._partners(verb, self._is_thing(name)) for at in self._where(name))

    def _is_tool(self, name: str, kinds: Iterable[str]) -> bool:
        """Whether a name is what the skill is done with, as a microwave to heat: its maker lists those that serve."""
        world = self.domain.world
        thing = world.things.get(name)
        is_fixed = thing is None or not thing.portable
        return is_fixed and all(kind in world.groups for kind in kinds)

    def _says(self, value: str, kinds: Sequence[str], one_of: Sequence[str]) -> bool:
        if "number" in kinds:
            numbers = re.findall(r"-?\d+(?:\.\d+)?", self.goal)
            return any(float(number) == float(value) for number in numbers)
        if one_of:
            return any(_begins((value.lower(),), clause.words) for clause in self._clauses)
        return value.lower() in self.goal.lower()

    def _is_meant(self, value: str, freely: Sequence[str]) -> bool:
        """Whether a skill's maker lists what it would be done to; a text has to be one of his."""
        if value in self.domain.world.named:
            return any(value in self.domain.world.members(word) for word in freely)
        return value.casefold() in (word.casefold() for word in freely)

    def _touched(self, step: Step, state: State) -> tuple[list[str], list[str]]:
        """The things that a step handles, with what they hold, and its places, with what they stand in."""
        things, places = self.domain.roles(step)
        things += [load for thing in things for load in state.within(thing)]
        places += [each for place in places for each in state.around(place)]
        places += [room for room in map(self.domain.world.room_of, places) if room]
        return things, places

    def _listed(self, touched: tuple[list[str], list[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What of the world's `confirm` a step touches, what needs a yes each time first."""
        things, places = touched
        world = self.domain.world
        for when, entry in world.confirm.entries:
            if len(entry) == 1:
                yield from ((when, (name,)) for name in world.members(*entry) if name in (*things, *places))
                continue
            ones, others = map(world.members, entry)
            yield from ((when, (a, b)) for a in things if a in ones for b in places if b in others)

    def _serves(self, fact: Condition, need: Condition) -> bool:
        """Whether a given fact is one that is needed."""
        if fact.negated != need.negated or len(fact.words) != len(need.words):
            return False
        return all(
            want == got or want.endswith(".place}") or (want.startswith("<") and got in self.domain.world.members(want))
            for got, want in zip(fact.words, need.words, strict=True)
        )


def _begins(beginnings: Iterable[str], words: str) -> bool:
    """Whether a word of `words` begins with one of `beginnings`, which may be several words."""
    return any(re.search(rf"\b{re.escape(each.lower())}", words) for each in beginnings)
