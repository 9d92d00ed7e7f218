"""Facts about the robot and its world, as skills need and give them, and what a robot believes for the moment.

A fact is a tuple of words. Five kinds have a meaning of their own:

    at PLACE              where the robot is; one place at a time
    holding THING         what is in a hand
    hand_empty            a hand is free
    THING at PLACE        where things of a class are; several may be there. What is in a thing is where that is
    reachable PLACE       follows from rooms, and from doors that are open

`open PLACE` and all other facts, such as `clean mug`, are remembered as they are given; `not FACT` takes one away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Fact = tuple[str, ...]
"""Such as ("at", "desk") or ("soda", "at", "fridge")."""

_WORD = re.compile(r"\{[A-Za-z_]\w*(\.place)?\}|<[A-Za-z_]\w*>|[\w.|+-]+")
"""A placeholder, a group of things, or a name."""
_OF_SOMETHING = ("at", "holding", "open", "reachable")
"""Words that say nothing without a name behind them."""


def locates(words: Fact) -> bool:
    """Whether a fact says where a thing is: `THING at PLACE`.

    >>> locates(("soda", "at", "fridge")), locates(("at", "fridge"))
    (True, False)
    """
    return len(words) == 3 and words[1] == "at"


@dataclass(frozen=True)
class Condition:
    """A fact with placeholders: `{thing}` an argument, `{thing.place}` any place where such a thing is believed to be,
    `<knives>` anything of a group of the world file. negated: the fact must not hold, or is taken away."""

    words: tuple[str, ...]
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Reads such as `at {thing.place}`, `not open {place}`. Raises: ValueError.

        >>> Condition.parse("not open {place}")
        Condition(words=('open', '{place}'), negated=True)
        """
        words = text.split()
        negated = words[:1] == ["not"]
        words = words[negated:]
        lone = len(words) == 1 and words[0] in _OF_SOMETHING
        if lone or not 1 <= len(words) <= 4 or not all(_WORD.fullmatch(word) for word in words):
            raise ValueError(
                f"{text!r} is no fact (allowed: such as `at {{place}}`, `holding {{thing}}`, `not open fridge`)"
            )
        return cls(tuple(words), negated)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that it speaks of."""
        return frozenset(word[1:-1].removesuffix(".place") for word in self.words if word.startswith("{"))

    def filled(self, arguments: Mapping[str, str]) -> Condition:
        """The condition with its arguments; `{thing.place}` becomes `{soda.place}`."""
        words = []
        for word in self.words:
            if word.startswith("{"):
                name, dot, rest = word[1:-1].partition(".")
                value = arguments.get(name, name)
                word = f"{{{value}.{rest}}}" if dot else value
            words.append(word)
        return replace(self, words=tuple(words))

    @property
    def thing_sought(self) -> str:
        """The thing whose place it speaks of; "" where none."""
        return next((word[1:-7] for word in self.words if word.endswith(".place}")), "")

    def __str__(self) -> str:
        return ("not " if self.negated else "") + " ".join(self.words)


@dataclass(frozen=True)
class State:
    """What is the case, for planning. Hashable.

    at: the place or door where the robot is; "" unknown. room: "" where the world has no rooms. held: classes in the
    hands. located: (thing, place, how many). flags: all other facts."""

    at: str = ""
    room: str = ""
    held: tuple[str, ...] = ()
    located: frozenset[tuple[str, str, int]] = frozenset()
    flags: frozenset[Fact] = frozenset()

    def count(self, thing: str, place: str) -> int:
        """How many things of a class are believed to be at a place."""
        return next((n for t, p, n in self.located if (t, p) == (thing, place)), 0)

    def places_of(self, thing: str) -> tuple[str, ...]:
        """Where things of a class are believed to be."""
        return tuple(sorted(place for t, place, _ in self.located if t == thing))

    def meant(self, word: str) -> tuple[str, ...]:
        """The places that a word of a filled need stands for: where things are for `{soda.place}`, else the name."""
        return self.places_of(word[1:-7]) if word.startswith("{") else (word,)

    def things_at(self, place: str) -> tuple[str, ...]:
        """Classes of what is believed to be at a place."""
        return tuple(sorted(thing for thing, p, _ in self.located if p == place))

    def within(self, place: str) -> tuple[str, ...]:
        """Classes of what is believed to be at a place or in a thing, and of what is in or on that, and so on."""
        return _reached(place, self.things_at)

    def around(self, thing: str) -> tuple[str, ...]:
        """The places and things that a thing is at or in, and where these are, and so on."""
        return _reached(thing, self.places_of)

    def counted(self, thing: str, place: str, number: int) -> State:
        """The state with `number` things of a class at a place."""
        others = frozenset(entry for entry in self.located if entry[:2] != (thing, place))
        return replace(self, located=others | {(thing, place, number)} if number > 0 else others)

    def with_fact(self, fact: Fact, negated: bool = False) -> State:
        """The state after `fact` was given, or taken away."""
        if fact[0] == "at" and len(fact) == 2:
            return replace(self, at="" if negated else fact[1])
        if fact[0] == "holding":
            if negated:
                return replace(self, held=_without(self.held, fact[1]))
            left = self.counted(fact[1], self.at, self.count(fact[1], self.at) - 1)
            return replace(left, held=(*self.held, fact[1]))
        if fact == ("hand_empty",):
            return self if negated else replace(self, held=())
        if locates(fact):
            number = self.count(fact[0], fact[2]) + (-1 if negated else 1)
            state = self.counted(fact[0], fact[2], number)
            return state if negated else replace(state, held=_without(self.held, fact[0]))

        return replace(self, flags=self.flags - {fact} if negated else self.flags | {fact})


def _reached(start: str, step: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """What `step` leads to from `start`, once or more often, each name once: a cup may stand in a bowl in that cup."""
    found: dict[str, None] = {}
    queue = [start]
    while queue:
        for name in step(queue.pop()):
            if name not in found:
                found[name] = None
                queue.append(name)
    return tuple(found)


def _without(held: tuple[str, ...], thing: str) -> tuple[str, ...]:
    """`held` with one `thing` less."""
    if thing not in held:
        return held
    at = held.index(thing)
    return held[:at] + held[at + 1 :]
