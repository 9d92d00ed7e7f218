"""How people and models write names: "Mug", "mugs", "coffee machine", "CoffeeMachine", "mug 1", "the clock"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

_ARTICLES = ("a", "an", "the")


@dataclass(frozen=True)
class Mention:
    """A name that a text holds. start, end: which of its words."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Reads names. sayings: name -> what it is called besides; its own spelling is always one way to write it."""

    sayings: Mapping[str, tuple[str, ...]]

    def read(self, name: str, allowed: Iterable[str]) -> str:
        """Returns the one among `allowed` that `name` means, as models write names, or by the last words of what one of
        them alone is called ("clock").

        Raises: ValueError where it means none of them, or could mean several.

        >>> Lexicon({"coffeemachine": ("coffee machine",)}).read("Coffee_Machine", ["coffeemachine"])
        'coffeemachine'
        """
        allowed = tuple(allowed)
        if name in allowed:
            return name

        found: set[str] = set()
        for said in _glued([word for word in words_of(name) if word not in _ARTICLES]):
            found = {each for each in self._whole.get(said, ()) if each in allowed}
            found = found or {each for each in self._ends.get(said, ()) if each in allowed}
            if found:
                break

        if len(found) > 1:
            raise ValueError(f"{name!r:.40} may mean {', '.join(sorted(found))}")
        if not found:
            raise ValueError(f"{name!r:.40} is no name that may stand there")
        return found.pop()

    def spelt(self, name: str) -> frozenset[str]:
        """Returns the names that `name` is a writing of, in full: "Drills" of drill.

        >>> sorted(Lexicon({"knife": ()}).spelt("Knives"))
        ['knife']
        """
        return frozenset(each for said in _glued(words_of(name)) for each in self._whole.get(said, ()))

    def mentioned(self, text: str) -> tuple[Mention, ...]:
        """The names that `text` holds in full, in its order; of several readings the longest."""
        words = words_of(text)
        found: list[Mention] = []
        at = 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                meant = [each for said in _glued(words[at : at + length]) for each in self._whole.get(said, ())]
                if meant:
                    found.append(Mention(meant[0], at, at + length))
                    break
            at += length
        return tuple(found)

    def named(self, text: str) -> frozenset[str]:
        """Returns the names that `text` holds in full. "coffee table" names no coffee machine, and "table" nothing.

        >>> kitchen = Lexicon({"coffeemachine": ("coffee machine",), "coffeetable": ("coffee table",), "mug": ()})
        >>> sorted(kitchen.named("Put two mugs on the coffee machine, not on the table"))
        ['coffeemachine', 'mug']
        """
        return frozenset(mention.name for mention in self.mentioned(text))

    def may_mean(self, text: str) -> frozenset[str]:
        """All names that words of `text` may mean: in full, or by their last words; of several readings the longest.

        >>> kitchen = Lexicon({"coffeetable": ("coffee table",), "sidetable": ("side table",), "mug": ()})
        >>> sorted(kitchen.may_mean("the mugs go on the table"))
        ['coffeetable', 'mug', 'sidetable']
        """
        words = words_of(text)
        found: set[str] = set()
        at = 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                whole = {each for said in _glued(words[at : at + length]) for each in self._whole.get(said, ())}
                if whole:
                    break
            said = _glued(words[at : at + length])
            found |= whole.union(*(self._ends.get(each, ()) for each in said))
            at += length
        return frozenset(found)

    def mentions(self, text: str, name: str) -> bool:
        """Whether `text` holds the name, or a word that may mean it: "table" a dining table."""
        words = [said for word in words_of(text) for said in _glued([word])]
        return name in self.named(text) or any(name in self._ends.get(word, ()) for word in words)

    @cached_property
    def _said(self) -> list[tuple[list[str], str]]:
        """(what a name is called, as words; the name). What a name is comes before what others are called as well."""
        own = [(name, name) for name in sorted(self.sayings)]
        others = [(said, name) for name in sorted(self.sayings) for said in self.sayings[name]]
        found = [(words_of(said), name) for said, name in (*own, *others)]
        return [(words, name) for words, name in found if words]

    @cached_property
    def _longest(self) -> int:
        return max((len(said) for said, _ in self._said), default=1)

    @cached_property
    def _whole(self) -> dict[str, list[str]]:
        """What a name is called, without spaces -> the names."""
        return _index(self._said)

    @cached_property
    def _ends(self) -> dict[str, list[str]]:
        """The last words of what a name is called, without spaces -> the names."""
        return _index((said[at:], name) for said, name in self._said for at in range(1, len(said)))


def words_of(text: str) -> list[str]:
    """Words in lower case; CamelCase is split; numbers at the end, as in "mug 1" and "Mug_2", are left out."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    words = re.findall(r"\w+", text.replace("_", " ").lower())
    while len(words) > 1 and words[-1].isdecimal():
        words.pop()
    return words


def _index(sayings: Iterable[tuple[list[str], str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for said, name in sayings:
        names = found.setdefault("".join(said), [])
        if name not in names:
            names.append(name)
    return found


def _glued(words: list[str]) -> list[str]:
    """`words` without spaces, as they are and in the singular."""
    text = "".join(words)
    found = [text]
    if text.endswith("ves"):
        found += [text[:-3] + "f", text[:-3] + "fe"]
    if text.endswith("es"):
        found.append(text[:-2])
    if text.endswith("s") and not text.endswith("ss"):
        found.append(text[:-1])
    return found
