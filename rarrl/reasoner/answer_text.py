"""Reads a chat model's answer: the JSON object after its thoughts, whatever is written around it.

Models that think write their thoughts first, in marks that differ from family to family and that servers do not always
take away; models that chat put the object into a code fence, between sentences, or write several and mean the last.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rarrl.reasoner import prompt, skill_words
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary
from rarrl.skills.domain import Domain
from rarrl.types import Role

MAX_CHARACTERS = 200_000
"""Characters at the end of a text that are looked at: a thinking model writes fewer with 32,000 tokens."""
MAX_TRIES = 500
"""Opening braces at which an object is looked for, so that a text of braces alone does not take long."""
MAX_SCANNED = 4 * MAX_CHARACTERS
"""Characters that may be read in all at braces where no whole object begins: about 50 ms on a laptop."""
UNKNOWN_LOG_P = -9999.0
"""What OpenAI's servers say for a token that is not among the likeliest: no log-probability, but that it is unknown."""

_THOUGHTS_END = re.compile(
    r"</\s*(?:think|thinking|thought|thoughts|reasoning|reason|analysis|reflection|seed:think)\s*>"
    r"|\[/THINK\]"  # Magistral
    r"|◁/think▷"  # Kimi
    r"|<\|END_THINKING\|>"  # Command A
    r"|<\|channel\|>\s*final\b[^{]{0,60}?<\|message\|>"  # gpt-oss (harmony)
    r"|^analysis[^<]*?assistantfinal"  # the same, its special tokens removed by the server
    r"|<channel\|>",  # Gemma 4
    re.IGNORECASE | re.DOTALL,
)
_THOUGHTS_BEGIN = re.compile(
    r"\s*(?:<\s*(?:think|thinking|thought|thoughts|reasoning|reason|analysis|reflection|seed:think)\s*>"
    r"|\[THINK\]|◁think▷|<\|START_THINKING\|>|(?:<\|start\|>assistant)?<\|channel\|>\s*(?:analysis|commentary)"
    r"|<\|channel>)",
    re.IGNORECASE,
)
_KEYS = {Role.PLANNER: ("plan", "thoughts"), Role.VERIFIER: ("ok", "fault", "achieves")}
"""What an answer of a role may hold; a chat model's other keys are left out."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Found:
    """A JSON object in a text. start, end: where it stands."""

    value: dict[str, Any]
    start: int
    end: int


def thoughts_end(text: str) -> int:
    """Where the thoughts of a model end in `text`; 0 if there are none, its length if they have not ended.

    >>> [thoughts_end(text) for text in ("hm</think>{}", "{}", "<think>hm")]
    [10, 0, 9]
    """
    ends = [match.end() for match in _THOUGHTS_END.finditer(text, max(len(text) - MAX_CHARACTERS, 0))]
    if ends:
        return ends[-1]
    return len(text) if _THOUGHTS_BEGIN.match(text) else 0


def objects(text: str) -> list[Found]:
    """The JSON objects of an answer, in order: those after the thoughts.

    >>> [found.value for found in objects('<think>{"a": 1}?</think> Sure:\\n```JSON\\n{"ok": true}\\n```\\nDone.')]
    [{'ok': True}]
    """
    begin = max(len(text) - MAX_CHARACTERS, 0)
    whole = text[begin:].strip()
    if whole.startswith("{"):  # marks inside of its texts mean nothing
        try:
            value = json.loads(whole)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            start = text.index(whole, begin)
            return [Found(value, start, start + len(whole))]

    return list(_scan(text, max(begin, thoughts_end(text))))


def _scan(text: str, begin: int) -> Iterator[Found]:
    left = MAX_SCANNED
    for _ in range(MAX_TRIES):
        begin = text.find("{", begin)
        if begin < 0 or left < 0:
            return

        try:
            value, end = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            left -= _scanned(text, begin, error)
            begin += 1
            continue

        yield Found(value, begin, end)
        begin = end


def _scanned(text: str, begin: int, error: ValueError | RecursionError) -> int:
    """Characters of `text` that were read from `begin` to `error`, at most."""
    if isinstance(error, json.JSONDecodeError) and not error.msg.startswith("Unterminated"):  # says where it begins
        return error.pos - begin
    return len(text) - begin


def read_answer(text: str, role: Role, vocabulary: Vocabulary = ALFRED, domain: Domain | None = None) -> Plan | Verdict:
    """Reads the last plan or verdict in `text`. Keys that an answer does not need are left out, and an object around it
    is taken away.

    vocabulary: the names that a plan may hold; domain: whose plan it is, None for ALFRED's household.
    Raises: NoPlanError where the model says that there is no plan; BrokenRuleError where it names what the robot does
    not know; ValueError, one line: there is none, or what is wrong with the last one."""
    candidates = [value for found in objects(text) for value in (*_inner(found.value, role), found.value)]
    candidates = [value for value in candidates if _KEYS[role][0] in value]
    trouble: ValueError | None = None
    for value in reversed(candidates):
        known = {key: each for key, each in value.items() if key in _KEYS[role]}
        try:
            if domain is not None and role is Role.PLANNER:
                return _read_skills(known["plan"], domain)
            return prompt.parse(json.dumps(known), role, vocabulary)
        except ValueError as error:
            trouble = trouble or error

    if trouble is not None:
        raise trouble
    raise ValueError(_nothing_found(text, role))


def _read_skills(rows: Any, domain: Domain) -> Plan:
    if not isinstance(rows, list):
        raise ValueError(f'answer: expected {{"plan": [step, ...]}}, got {rows!r:.60}')
    if not rows:
        raise prompt.NoPlanError("the model says that there is no plan for this goal with this robot's skills")
    return skill_words.read_plan(rows, domain)


def _inner(value: dict[str, Any], role: Role) -> list[dict[str, Any]]:
    return [each for each in value.values() if isinstance(each, dict)] if _KEYS[role][0] not in value else []


def _nothing_found(text: str, role: Role) -> str:
    wanted = f'JSON object with "{_KEYS[role][0]}"'
    if not text.strip():
        return f"answer: empty; expected a {wanted}"

    end = thoughts_end(text)
    if end == len(text):
        return f"answer: thoughts alone, and no {wanted} after them: {text[-60:]!r}"
    cut_short = ", or it is cut short" if "{" in text[end:] else ""
    return f"answer: no {wanted}{cut_short}: {text[end:][-60:]!r}"


def mean_log_probability(tokens: Sequence[tuple[str, float]]) -> float:
    """The mean log-probability of the tokens of an answer's last JSON object; NaN where nothing is known.

    tokens: text and log-probability of each, in order."""
    text = "".join(piece for piece, _ in tokens)
    found = objects(text)
    start, end = (found[-1].start, found[-1].end) if found else (thoughts_end(text), len(text))

    at = 0
    inside = []
    for piece, log_p in tokens:
        if at < end and at + len(piece) > start and UNKNOWN_LOG_P < log_p < math.inf:
            inside.append(log_p)
        at += len(piece)
    return sum(inside) / len(inside) if inside else math.nan


def p_ok(alternatives: Sequence[Mapping[str, float]]) -> float:
    """A verdict's probability of ok, from the last object that says it; NaN where it is not known.

    alternatives: per token, text -> log-probability of the most likely ones, the one that was written first. In a
    tokenizer that was not made for verdicts, the value behind `"ok":` is a token of its own, or begins one.

    >>> round(p_ok([{'{"ok': 0.0}, {'":': 0.0}, {" true": -0.2, " false": -1.8}, {"}": 0.0}]), 2)
    0.83
    """
    pieces = [next(iter(tokens), "") for tokens in alternatives]
    whole = "".join(pieces)
    starts = [found.start for found in objects(whole) if '"ok"' in whole[found.start : found.end]]
    start = starts[-1] if starts else thoughts_end(whole)

    at = 0
    text = ""
    result = math.nan
    for piece, tokens in zip(pieces, alternatives, strict=True):
        at += len(piece)
        if at <= start:
            continue

        shares = {_VALUE.search(text + token): _share(p) for token, p in tokens.items()}
        yes = sum(share for found, share in shares.items() if found and "true".startswith(found.group(1)))
        no = sum(share for found, share in shares.items() if found and "false".startswith(found.group(1)))
        if not yes + no <= 0.5 and not _VALUE.search(text):
            result = yes / (yes + no)
        text = (text + piece)[-_VALUE_CHARACTERS:]
    return result


def _share(log_p: float) -> float:
    return math.exp(min(log_p, 0.0)) if log_p > UNKNOWN_LOG_P else math.nan


_VALUE_CHARACTERS = 100
"""Characters before a token in which `"ok":` is looked for."""
_VALUE = re.compile(r'"ok"\s*:\s*([truefals]+)[\s,}]*[^:]*$')
"""The value of `"ok"` at the end of a text, or the beginning of that value."""
