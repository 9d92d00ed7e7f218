"""As much PDDL as ALFWorld's problems hold: the facts that hold at the start, and the goal as nested lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from rarrl.errors import InputError
from rarrl.strict_json import short

Facts = Mapping[str, Set[tuple[str, ...]]]
"""Predicate -> the arguments for which it holds."""
Expression = str | list[Any]
"""A name, or a list in brackets."""

MAX_CONDITIONS = 40
"""Facts of a goal; ALFWorld's have 13."""
MAX_TRIED = 200_000
"""Facts that are held against a goal's conditions: each condition multiplies them. ALFWorld's need a few thousand."""
MAX_DEPTH = 60
"""Brackets within brackets; ALFWorld's goals have 8."""
_TOKEN = re.compile(r"[()]|[^\s()]+")
_COMMENT = re.compile(r";[^\n]*")
_FACT = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class Problem:
    """facts: predicate -> arguments, all in lower case, as the planner of TextWorld writes them. goal: read."""

    facts: dict[str, frozenset[tuple[str, ...]]]
    goal: Expression


def read_problem(text: str, where: str) -> Problem:
    """Reads a problem. Raises: InputError, one line that begins with `where`."""
    text = _COMMENT.sub("", text).lower()
    init, goal = text.find("(:init"), text.find("(:goal")
    if not 0 <= init < goal:
        raise InputError(f"{where}: no PDDL problem (it needs (:init ...) and then (:goal ...)); get the game again")

    found: dict[str, set[tuple[str, ...]]] = {}
    for fact in _FACT.findall(text, init + 1, goal):
        predicate, *arguments = fact.split() or [""]
        found.setdefault(predicate, set()).add(tuple(arguments))
    _, *parts = _read(_TOKEN.findall(text, goal), where)
    if len(parts) != 1:
        raise InputError(f"{where}: its goal has {len(parts)} parts (allowed: 1); get the game again")
    return Problem({predicate: frozenset(rows) for predicate, rows in found.items()}, parts[0])


def _read(tokens: Sequence[str], where: str) -> list[Expression]:
    """The first expression of `tokens`; what follows it is left."""
    stack: list[list[Expression]] = []
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token != ")":
            stack[-1].append(token)
        elif len(stack) == 1:
            return stack[0]
        else:
            done = stack.pop()
            stack[-1].append(done)
        if not 0 < len(stack) <= MAX_DEPTH:
            break
    raise InputError(f"{where}: brackets do not match, or are nested too deeply; get the game again")


def holds(goal: Expression, facts: Facts) -> bool:
    """Whether a goal of `and`, `exists`, `not`, `=` and facts holds.

    Raises: ValueError for anything else.

    >>> holds(["exists", ["?o", "-", "object"], ["hot", "?o"]], {"hot": {("mug_1",)}})
    True
    """
    conditions = list(islice(_conditions(goal, False), MAX_CONDITIONS + 1))
    if len(conditions) > MAX_CONDITIONS:
        raise ValueError(f"a goal has more than {MAX_CONDITIONS} conditions")
    conditions.sort(key=lambda each: each[0] or each[1][0] == "=")  # facts bind first
    return next(_bindings(conditions, {}, facts, count()), None) is not None


def _conditions(goal: Expression, negated: bool) -> Iterator[tuple[bool, list[str]]]:
    """(negated, fact) of each condition; all variables are of one scope, as in all of ALFWorld's goals."""
    if not isinstance(goal, list) or not goal:
        raise ValueError(f"{short(goal)} is no goal")
    if goal[0] == "and" and not negated:
        for each in goal[1:]:
            yield from _conditions(each, False)
    elif goal[0] == "exists" and len(goal) == 3 and not negated:
        yield from _conditions(goal[2], False)
    elif goal[0] == "not" and len(goal) == 2 and not negated:
        yield from _conditions(goal[1], True)
    elif all(isinstance(each, str) for each in goal) and goal[0] not in ("or", "forall", "imply", "when"):
        if goal[0] == "=" and len(goal) != 3:
            raise ValueError(f"{short(goal)} is not allowed in a goal (allowed: = of two names)")
        yield negated, [str(each) for each in goal]
    else:
        raise ValueError(f"{short(goal)} is not allowed in a goal (allowed: and, exists, not, =, facts)")


def _bindings(
    conditions: list[tuple[bool, list[str]]], bound: dict[str, str], facts: Facts, tried: Iterator[int]
) -> Iterator[dict[str, str]]:
    if not conditions:
        yield bound
        return

    (negated, (predicate, *words)), *rest = conditions
    if negated or predicate == "=":
        row = tuple(bound.get(word, word) for word in words)
        if (row[0] == row[1] if predicate == "=" else row in facts.get(predicate, ())) != negated:
            yield from _bindings(rest, bound, facts, tried)
        return
    for row in facts.get(predicate, ()):
        if next(tried) > MAX_TRIED:
            raise ValueError(f"a goal that takes more than {MAX_TRIED} tries")
        if len(row) == len(words):
            further = dict(bound)
            if all(further.setdefault(w, v) == v if w[0] == "?" else w == v for w, v in zip(words, row, strict=True)):
                yield from _bindings(rest, further, facts, tried)
