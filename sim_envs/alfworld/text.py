"""Reads what ALFWorld's world says, and nothing else: receptacles, what is seen on or in them, what is shut."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOTHING = "Nothing happens."
"""The answer to a command that cannot be done. It never says why."""
MAX_TEXT = 20_000
"""Characters of an answer that are read; the longest of ALFWorld's have about 1,000."""
_NAME = r"[a-z][a-z ]*? \d+"
_LISTED = re.compile(rf"\ban? ({_NAME})\b")
_AROUND = re.compile(r"Looking quickly around you, you see (?P<all>[^\n]*)")
_TASK = re.compile(r"Your task is to: (?P<task>[^\n]*)")
_SEEN = re.compile(rf"(?:On the|The) (?P<place>{_NAME})(?: is open\. In it)?, you see (?P<all>[^\n.]*)\.")
_SHUT = re.compile(rf"The (?P<place>{_NAME}) is closed\.")


@dataclass(frozen=True)
class Opening:
    """A game's first text. places: names of all receptacles, such as "cabinet 1". task: the goal sentence."""

    places: tuple[str, ...]
    task: str


@dataclass(frozen=True)
class Answer:
    """What a command was answered.

    happened: false for "Nothing happens." seen: receptacle -> names of what is on or in it. shut: receptacles that were
    said to be closed."""

    text: str
    happened: bool
    seen: dict[str, tuple[str, ...]]
    shut: tuple[str, ...]


def read_opening(text: str) -> Opening:
    """The first text of a game. Raises: ValueError where it lists no receptacles."""
    text = text[:MAX_TEXT]
    around, task = _AROUND.search(text), _TASK.search(text)
    places = tuple(sorted(set(_LISTED.findall(around["all"])), key=by_number)) if around is not None else ()
    if not places:
        raise ValueError('the opening text names no receptacles ("Looking quickly around you, you see a desk 1 ...")')
    return Opening(places, task["task"].strip() if task is not None else "")


def read_answer(text: str) -> Answer:
    """What a command was answered."""
    text = text[:MAX_TEXT].strip()
    seen = {found["place"]: tuple(_LISTED.findall(found["all"])) for found in _SEEN.finditer(text)}
    shut = tuple(found["place"] for found in _SHUT.finditer(text))
    return Answer(text, bool(text) and text != NOTHING, seen, shut)


def class_of(name: str) -> str:
    """The class in a name: "mug 1" is a mug.

    >>> class_of("mug 1")
    'mug'
    """
    return name.rpartition(" ")[0] or name


def by_number(name: str) -> tuple[str, int]:
    """To sort names: drawer 2 before drawer 10."""
    kind, _, number = name.rpartition(" ")
    return kind, int(number)
