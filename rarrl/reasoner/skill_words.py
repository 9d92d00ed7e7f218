"""Plans of any robot in words, `pick soda, place soda desk`: how they are written, what a model may write, how its
words are read.

One step is the skill and its arguments, with spaces between them. A grammar (llama.cpp) and a regular expression (JSON
schemas of servers) are made of the domain: its names, its numbers within their bounds, without what the operator
forbids, so that whatever a model writes under them passes `Domain.check`. Where nothing binds the model, names are
read as people write them, and never guessed: one that may mean two is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rarrl.errors import plain_line
from rarrl.reasoner.base import BrokenRuleError
from rarrl.skills.check import check_step
from rarrl.skills.domain import Domain
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import Parameter
from rarrl.skills.words import Lexicon

NONE = "none"
"""What stands for a plan where there is none."""
TEXT_CHARACTERS = 60
"""Characters of a text that a model writes as an argument, such as what to say: about 15 tokens."""
NUMBERS_OFFERED = 21
"""Numbers to choose from where the bounds hold fewer than two whole ones."""
DIGITS = 4
"""Digits before the point of a number whose bounds are not given."""

_BARE = re.compile(r"[\w.+-]+")
_CALL = re.compile(r"(\w[\w ]*)\((.*)\)")
"""A step as a call: place(soda, desk)."""
_PARTS = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s,()]+")
_BETWEEN = ",;\n"
"""Between two steps, but not within brackets or quotes."""
_SKILL_KEYS = ("skill", "action", "name", "verb", "step")
_ARGUMENT_KEYS = ("arguments", "args", "parameters")

Piece = tuple[bool, str]
"""Part of a rule: (whether it is a class of characters such as [0-9], the text)."""
Choice = tuple[tuple[Piece, ...], ...]
"""What may stand at one place: alternatives, each pieces in order."""


def in_words(plan: Plan) -> str:
    """Returns the steps of `plan` in words.

    >>> in_words(Plan.from_rows([["pick", "soda"], ["say", "here you are"]]))
    "pick soda, say 'here you are'"
    """
    return ", ".join(step_in_words(step) for step in plan.steps) or NONE


def step_in_words(step: Step) -> str:
    """Returns one step in words."""
    return " ".join([step.skill, *map(_quoted, step.arguments)])


def _quoted(argument: str) -> str:
    return argument if _BARE.fullmatch(argument) else f"'{argument}'"


# What a model may write


def _choices(domain: Domain) -> Iterator[tuple[str, tuple[Choice, ...]]]:
    """Each skill with what its arguments may be; several times where not all of them may be combined."""
    for name, values in domain.offered.items():
        parameters = list(domain.skills.skills[name].parameters.values())
        if not all(v or not domain.values(p) for v, p in zip(values, parameters, strict=True)):
            continue  # all that it could be done with is forbidden

        twice = {each for at, v in enumerate(values) for each in v if any(each in w for w in values[at + 1 :])}
        pairs = [*domain.pairs, *((each, each) for each in sorted(twice))]
        for named in _without_pairs(values, pairs):
            yield name, tuple(_choice(v, p) for v, p in zip(named, parameters, strict=True))


def _without_pairs(
    values: tuple[tuple[str, ...], ...], pairs: Iterable[tuple[str, str]]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Splits arguments that may not all be combined: a name of a pair stands on its own, its partners are left out."""
    partners: dict[str, set[str]] = {}
    for one, other in pairs:
        partners.setdefault(one, set()).add(other)
    yield from _split(values, partners)


def _split(
    values: tuple[tuple[str, ...], ...], partners: Mapping[str, set[str]]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    apart = []
    for at, names in enumerate(values):
        for one in names:
            barred = partners.get(one, set())
            if barred and not all(barred.isdisjoint(v) for i, v in enumerate(values) if i != at):
                alone = tuple(
                    (one,) if i == at else tuple(name for name in v if name not in barred) for i, v in enumerate(values)
                )
                if all(left or not v for left, v in zip(alone, values, strict=True)):
                    apart.append(alone)
                rest = tuple(name for name in values[at] if name != one)
                values = (*values[:at], rest, *values[at + 1 :])
        if names and not values[at]:
            break
    else:
        yield values
    for alone in reversed(apart):
        yield from _split(alone, partners)


def _choice(names: tuple[str, ...], parameter: Parameter) -> Choice:
    if names:
        return tuple(((False, _quoted(name)),) for name in names)
    if "number" in parameter.kinds:
        return tuple(_number(parameter.minimum, parameter.maximum))
    return (((False, "'"), (True, f"[a-zA-Z0-9 .,:;!?-]{{1,{TEXT_CHARACTERS}}}"), (False, "'")),)


def _number(minimum: float, maximum: float) -> Iterator[tuple[Piece, ...]]:
    """Numbers from `minimum` to `maximum`: whole ones and two decimals between them, or some to choose from."""
    bound = 10.0**DIGITS - 1
    low = minimum if math.isfinite(minimum) else min(-bound, maximum)
    high = maximum if math.isfinite(maximum) else max(bound, minimum)
    first, last = math.ceil(low), math.floor(high)
    if last - first < 2:
        steps = (low + (high - low) * i / (NUMBERS_OFFERED - 1) for i in range(NUMBERS_OFFERED))
        for text in dict.fromkeys(f"{value:.4g}" for value in steps):
            if low <= float(text) <= high:
                yield ((False, text),)
        return

    decimals: tuple[Piece, ...] = ((False, "."), (True, "[0-9]{1,2}"))
    for sign, start, end in (("", max(first, 0), last), ("-", max(-last, 1), -first)):
        for digits in _whole(start, end):
            yield (((False, sign),) if sign else ()) + digits
        for digits in _whole(start, end - 1):  # with decimals it stays below the bound
            yield (((False, sign),) if sign else ()) + digits + decimals


def _whole(start: int, end: int) -> Iterator[tuple[Piece, ...]]:
    """Whole numbers from `start` to `end`, both at least 0, as few alternatives of digits."""
    while start <= end:
        size = 1  # the largest block of digits that may be anything
        while start % (10 * size) == 0 and start + 10 * size - 1 <= end and start:
            size *= 10
        free = len(str(size)) - 1
        head = start // size
        last = head
        while last % 10 < 9 and (last + 2) * size - 1 <= end:
            last += 1

        fixed = str(head)[:-1]
        digit: Piece = (True, f"[{head % 10}-{last % 10}]") if last > head else (False, str(head % 10))
        yield (*(((False, fixed),) if fixed else ()), digit, *((True, "[0-9]") for _ in range(free)))
        start = (last + 1) * size


def grammar(domain: Domain, before: str = "", after: str = "") -> str:
    """Returns the GBNF of plans in words, of at least one step. before, after: literals around them."""
    rules = []
    names = []
    for number, (skill, arguments) in enumerate(_choices(domain)):
        written = "".join(f' " " {_gbnf(choice)}' for choice in arguments)
        names.append(f"step-{number}")
        rules.append(f"step-{number} ::= {_literal(skill)}{written}")
    if not names:
        raise BrokenRuleError("the operator forbids all that this robot can do")

    rules.append(f"step ::= {' | '.join(names)}")
    most = domain.max_steps
    more = f' (", " step){{0,{most - 1}}}' if most > 1 else ""
    ends = [f" {_literal(after)}" if after else ""]
    starts = f"{_literal(before)} " if before else ""
    return "\n".join([f"root ::= {starts}step{more}{ends[0]}", *rules]) + "\n"


def _gbnf(choice: Choice) -> str:
    written = [" ".join(text if is_class else _literal(text) for is_class, text in pieces) for pieces in choice]
    return f"({' | '.join(written)})"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def pattern(domain: Domain) -> str:
    """Returns the regular expression of one step in words, as JSON schemas write it."""
    steps = []
    for skill, arguments in _choices(domain):
        written = []
        for choice in arguments:
            options = ["".join(text if c else _escaped(text) for c, text in pieces) for pieces in choice]
            written.append(f" ({'|'.join(options)})")
        steps.append(skill + "".join(written))
    return f"^({'|'.join(steps)})$"


def _escaped(text: str) -> str:
    return re.sub(r"([.+*?()\[\]{}|^$\\/-])", r"\\\1", text) if not _BARE.fullmatch(text) or "." in text else text


# What a model has written


def read_plan(rows: Sequence[Any], domain: Domain) -> Plan:
    """Reads steps in words, in rows, or as objects. Raises: ValueError where one is no step; BrokenRuleError where it
    is one that this robot does not have."""
    return Plan(tuple(_read_step(number, row, domain) for number, row in enumerate(rows, start=1)))


def read_words(text: str, domain: Domain) -> Plan:
    """Reads a plan in words. Raises: ValueError, BrokenRuleError."""
    steps = _steps(text)
    if not steps:
        raise ValueError("answer: empty; expected a plan in words")
    return read_plan(steps, domain)


def _steps(text: str) -> list[str]:
    """A plan's steps, in one pass: a model may write a hundred thousand commas."""
    steps: list[str] = []
    end, in_brackets, in_quotes = len(text), False, False
    for at in range(len(text) - 1, -1, -1):  # from the end: what closes says what is inside
        sign = text[at]
        if sign in "()":
            in_brackets = sign == ")"
        elif sign == "'":
            in_quotes = not in_quotes
        elif sign in _BETWEEN and not in_brackets and not in_quotes:
            steps.append(text[at + 1 : end].strip())
            end = at
    steps.append(text[:end].strip())
    return [step for step in reversed(steps) if step]


def _read_step(number: int, row: Any, domain: Domain) -> Step:
    name, arguments = _parts(number, row)
    skills = domain.skills.skills
    try:
        skill = _skill_meant(name, domain)
        if isinstance(arguments, Mapping):
            arguments = [arguments[key] for key in skills[skill].parameters if key in arguments]
        values = [str(value) for value in arguments]
        parameters = list(skills[skill].parameters.values())
        if len(values) == len(parameters):
            values = [read_name(v, domain, p) for v, p in zip(values, parameters, strict=True)]
    except BrokenRuleError as error:
        raise BrokenRuleError(f"step {number}: {error}") from None

    step = Step(skill, tuple(values))
    if fault := check_step(step, domain):
        raise BrokenRuleError(f"step {number}, {plain_line(str(step), 80)}: {fault}")
    return step


def _parts(number: int, row: Any) -> tuple[str, Sequence[Any] | Mapping[str, Any]]:
    """The skill and the arguments of a step, however it is written."""
    if isinstance(row, str) and (called := _CALL.fullmatch(row.strip())):
        inside = [part.strip().strip("'\"") for part in called.group(2).split(",")]
        return called.group(1), [part for part in inside if part]
    if isinstance(row, str) and row.strip():
        skill, *arguments = [part.strip("'\"") for part in _PARTS.findall(row)] or [""]
        return skill, arguments
    if isinstance(row, list) and row and all(isinstance(part, str | int | float) for part in row):
        return str(row[0]), row[1:]
    if isinstance(row, dict):
        key = next((each for each in _SKILL_KEYS if isinstance(row.get(each), str)), None)
        inner = next((row[each] for each in _ARGUMENT_KEYS if isinstance(row.get(each), list | dict)), None)
        if key is not None:
            rest = {name: value for name, value in row.items() if name != key}
            return row[key], inner if inner is not None else rest
        if len(row) == 1 and isinstance(next(iter(row.values())), list | dict):
            return next(iter(row.items()))
    raise ValueError(f"answer: step {number} is no skill with its arguments: {row!r:.80}")


def read_name(text: str, domain: Domain, parameter: Parameter) -> str:
    """Returns the argument that `text` means: a name as it is or as people write it ("the Coffee Machine", "sodas").

    Raises: BrokenRuleError where it means none of those allowed, or may mean several."""
    allowed = domain.values(parameter)
    if not allowed:
        return text
    lexicon = Lexicon({name: domain.aliases.get(name, ()) for name in allowed}) if parameter.one_of else domain.lexicon
    try:
        return lexicon.read(text, allowed)
    except ValueError as error:
        raise BrokenRuleError(f"{error} (allowed: {', '.join(allowed)[:300]})") from None


def _skill_meant(text: str, domain: Domain) -> str:
    try:
        return Lexicon(dict.fromkeys(domain.offered, ())).read(text, domain.offered)
    except ValueError:
        allowed = ", ".join(domain.offered)
        raise BrokenRuleError(f"{text[:40]!r} is no skill of this robot (allowed: {allowed[:300]})") from None
