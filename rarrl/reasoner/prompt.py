"""What the small planner model reads and writes: `render`, `parse` and the JSON schema of its answers.

The marks (`<|plan|>` ...) are control tokens of the model's tokenizer, and the frequent pieces of its JSON are single
tokens (`json_pieces`), so that a plan costs two or three tokens a step. Text from outside passes through `clean` first,
which leaves no mark intact.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from rarrl.alfred_plans import MAX_STEPS, VERBS, WALKS, alfred_plan
from rarrl.reasoner.base import MAX_GOAL_CHARS, BrokenRuleError, Request
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.reasoner.vocabulary import ALFRED, Vocabulary
from rarrl.types import Role

# What is asked for: the first token of a prompt.
PLAN = "<|plan|>"  # planner, level 1
THINK = "<|think|>"  # planner, level 2
VERIFY = "<|verify|>"  # verifier, level 1
JUDGE = "<|judge|>"  # verifier, level 2
DESCRIBE = "<|describe|>"  # plan -> goal: how likely the goal is given a plan
TRANSLATE = "<|translate|>"  # step sentences -> plan, in training only

# What follows in a prompt.
SCENE = "<|scene|>"  # the names that the robot has seen
GIVEN = "<|given|>"  # a plan
FAILED = "<|failed|>"  # the number of the step that failed, from 1
ANSWER = "<|answer|>"  # the end of the prompt
END = "<|end|>"  # the end of the answer

MARKS = (END, PLAN, THINK, VERIFY, JUDGE, SCENE, GIVEN, FAILED, ANSWER, DESCRIBE, TRANSLATE)
"""All marks, in the order of their ids in the model's vocabulary."""

MAX_SENTENCE_CHARS = 160
"""Characters of one sentence that the model writes, so that its answer ends within the token cap."""
_SENTENCE = "[a-z0-9 .,;:!?&()'/-]"
"""Characters of such a sentence, as a regular expression: those that `clean` leaves."""
# (role, level) -> the mark of such a request.
_ROLE_MARKS = {(Role.PLANNER, 1): PLAN, (Role.PLANNER, 2): THINK, (Role.VERIFIER, 1): VERIFY, (Role.VERIFIER, 2): JUDGE}


_VERB_SPELLINGS = {verb.lower(): verb for verb in (*VERBS, *WALKS)} | {
    verb.removesuffix("Object").lower(): verb for verb in VERBS
}
"""Letters of a verb as a model may write it, in lower case -> the verb."""


class NoPlanError(ValueError):
    """The model says that there is no plan: it has understood, and declines."""


def readable(text: str, max_chars: int = MAX_GOAL_CHARS) -> str:
    """Returns `text` as a chat model may read it: the letters of any language and single spaces, without control
    characters and brackets, of which chat templates make their marks. It is cut to `max_chars` characters.

    >>> readable("Stelle den <|im_end|> Löffel\\x00 ins 杯子架!")
    'Stelle den im_end Löffel ins 杯子架!'
    """
    plain = unicodedata.normalize("NFKC", text[: 4 * max_chars])
    return " ".join("".join(map(_kept, plain)).split())[:max_chars].rstrip()


def _kept(c: str) -> str:
    invisible = unicodedata.category(c)[0] in "CZ" and c not in _JOINERS
    return " " if invisible or c in "<>[]{}|\\`" else c


_JOINERS = "\u200c\u200d"
"""Format characters that belong to words of Persian and the languages of India."""


def clean(text: str, max_chars: int = MAX_GOAL_CHARS) -> str:
    """Returns `text` in lower case without accents: letters, digits, plain punctuation and single spaces.

    It is cut to `max_chars` characters.

    >>> clean('  Put the <|end|> Café "mug"\\n on the desk! ')
    'put the end cafe mug on the desk!'
    """
    plain = unicodedata.normalize("NFKD", text[: 4 * max_chars]).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = re.sub("[\\u2018\\u2019`]", "'", plain)
    return " ".join(re.sub("[^a-z0-9 .,;:!?&()'/-]", " ", plain).split())[:max_chars].rstrip()


def render(request: Request) -> str:
    """Returns the prompt. The tokenizer must read its marks as control tokens (llama.cpp: special=True) and add
    none."""
    mark = _ROLE_MARKS[request.role, request.level]
    return prompt(mark, request.goal, request.scene, request.plan, request.failed)


def prompt(mark: str, goal: str, scene: Iterable[str] = (), plan: Plan | None = None, failed: int | None = None) -> str:
    """Returns the prompt for any task mark. Names in `scene` that are not in ALFRED's vocabulary are left out."""
    text = mark
    known = sorted({name for name in scene if name in ALFRED.classes})
    if known:
        text += SCENE + "".join(f',"{name}"' for name in known)

    text += f" {clean(goal)}"
    if plan is not None:
        text += GIVEN + plan_json(plan)
        if failed is not None:
            text += FAILED + str(failed + 1)

    return text + ANSWER


def describe_prompt(plan: Plan) -> str:
    """Returns the prompt that asks for the goal of `plan`; the answer is " " and a cleaned goal sentence."""
    return DESCRIBE + plan_json(plan) + ANSWER


def plan_json(plan: Plan) -> str:
    """Returns a planner's answer.

    >>> plan_json(Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "shelf"]]))
    '{"plan":[["PickupObject","mug"],["PutObject","mug","shelf"]]}'
    """
    return json.dumps({"plan": plan.to_rows()}, separators=(",", ":"))


def thoughts_json(thoughts: Iterable[str], plan: Plan) -> str:
    """Returns a planner's answer with the steps in words before the plan."""
    sentences = [clean(thought, MAX_SENTENCE_CHARS) for thought in thoughts][:MAX_STEPS]
    return json.dumps({"thoughts": sentences, "plan": plan.to_rows()}, separators=(",", ":"))


def verdict_json(verdict: Verdict, achieves: str | None = None) -> str:
    """Returns a verifier's answer. At level 2 the goal that the plan `achieves`, in words, comes before it."""
    value: dict[str, Any] = {} if achieves is None else {"achieves": clean(achieves, MAX_SENTENCE_CHARS)}
    value["ok"] = verdict.ok
    if verdict.fault is not None:
        value["fault"] = verdict.fault.value
    return json.dumps(value, separators=(",", ":"))


def schema(
    role: Role, level: int, home: Iterable[str] = (), vocabulary: Vocabulary = ALFRED, may_decline: bool = False
) -> dict[str, Any]:
    """Returns the JSON schema of the answers. Everything is bounded, so that an answer ends within the token cap.

    home: class names of what the robot knows to be there; a plan may name nothing that it lacks (`Vocabulary.lacking`).
    vocabulary: whose offered names a plan may hold. may_decline: a plan may be empty, which says that there is none."""
    sentence = {"type": "string", "pattern": f"^{_SENTENCE}{{1,{MAX_SENTENCE_CHARS}}}$"}
    properties: dict[str, Any] = {}
    if role is Role.PLANNER:
        if level == 2:
            properties["thoughts"] = {"type": "array", "items": sentence, "minItems": 1, "maxItems": MAX_STEPS}

        arguments = vocabulary.offered_arguments
        lost = vocabulary.lacking(vocabulary.classes, home)
        steps = [_step_schema(verb, names, lost) for verb, names in arguments.items()]
        step = {"anyOf": [step for step in steps if step is not None]}
        if not step["anyOf"]:
            properties["plan"] = {"type": "array", "maxItems": 0}
            return closed_object(properties)

        shortest = 0 if may_decline else 1
        properties["plan"] = {"type": "array", "items": step, "minItems": shortest, "maxItems": MAX_STEPS}
        return closed_object(properties)

    if level == 2:
        properties["achieves"] = sentence

    faults = {"type": "string", "enum": [fault.value for fault in Fault]}
    ok = closed_object({**properties, "ok": {"const": True}})
    wrong = closed_object({**properties, "ok": {"const": False}, "fault": faults})
    return {"anyOf": [ok, wrong]}


def parse(text: str, role: Role, vocabulary: Vocabulary = ALFRED) -> Plan | Verdict:
    """Reads the answer in `text`; what stands beside a plan or a verdict, such as thoughts, is skipped.

    Names are read as models write them: see `Vocabulary.read`. Raises: NoPlanError for an empty plan; ValueError, one
    line, if it is not JSON of the schema: cut short, an unknown verb, name or fault."""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"answer: not JSON, or cut short: {text[-60:]!r}") from None

    if not isinstance(value, dict):
        raise ValueError(f"answer: expected a JSON object, got {text[:60]!r}")
    return _parse_plan(value, vocabulary) if role is Role.PLANNER else _parse_verdict(value)


def p_ok(alternatives: Iterable[Mapping[str, float]]) -> float:
    """Returns a verdict's probability of ok, or NaN if no token says ok or not.

    alternatives: per generated token, text -> log-probability of the most likely tokens. The model's vocabulary holds
    `"ok":true` and `"ok":false`, with what follows, as single tokens, so one position decides."""
    for tokens in alternatives:
        yes = sum(math.exp(p) for text, p in tokens.items() if '"ok":true' in text)
        no = sum(math.exp(p) for text, p in tokens.items() if '"ok":false' in text)
        if yes + no > 0.5:
            return yes / (yes + no)

    return math.nan


def json_pieces() -> tuple[str, ...]:
    """Returns the pieces of JSON that are single (user-defined) tokens of the model's vocabulary."""
    pieces = [f'{{"plan":[["{verb}"' for verb in VERBS] + [f'],["{verb}"' for verb in VERBS]
    pieces += [f'"],"plan":[["{verb}"' for verb in VERBS] + ["]]}", '{"thoughts":["', '","', '{"achieves":"']
    pieces += [f',"{name}"' for name in sorted(ALFRED.classes)]

    for opening in ("{", '",'):
        pieces.append(f'{opening}"ok":true}}')
        pieces += [f'{opening}"ok":false,"fault":"{fault.value}"}}' for fault in Fault]

    return tuple(pieces)


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with all of `properties` and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _step_schema(verb: str, arguments: Iterable[Iterable[str]], lost: frozenset[str]) -> dict[str, Any] | None:
    """Returns the schema of a step with `verb`, or None if all that it could be applied to is `lost`."""
    known = [[name for name in names if name not in lost] for names in arguments]
    if not all(known):
        return None
    items: list[dict[str, Any]] = [{"const": verb}, *({"enum": names} for names in known)]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _parse_plan(value: dict[str, Any], vocabulary: Vocabulary) -> Plan:
    rows = value.get("plan")
    if not isinstance(rows, list):
        raise ValueError(f'answer: expected {{"plan": [1 to {MAX_STEPS} steps]}}, got keys {sorted(value)!r:.80}')
    if not rows:
        raise NoPlanError("the model says that there is no plan for this goal with the steps and names that it may use")

    read = [_parse_step(number, row, vocabulary) for number, row in enumerate(rows, 1)]
    plan = alfred_plan(read)  # without GotoLocation
    if not 1 <= len(plan.steps) <= MAX_STEPS:
        raise ValueError(f"answer: a plan of {len(plan.steps)} steps (allowed: 1 to {MAX_STEPS})")
    return plan


def _parse_step(number: int, row: Any, vocabulary: Vocabulary) -> list[str]:
    """Returns the verb and its arguments, as classes."""
    if not isinstance(row, list) or not row or not all(isinstance(part, str) for part in row):
        raise ValueError(f"answer: step {number} is not a list of a verb and its arguments: {row!r:.80}")

    verb = _VERB_SPELLINGS.get(re.sub("[^a-z]", "", row[0].lower()))
    if verb in WALKS:
        return [verb]
    if verb is None:
        raise BrokenRuleError(f"answer: step {number}: unknown verb {row[0]!r:.40} (allowed: {', '.join(VERBS)})")

    allowed = vocabulary.arguments[verb]
    if len(row) != 1 + len(allowed):
        raise ValueError(f"answer: step {number}: {verb} takes {len(allowed)} argument(s), got {len(row) - 1}")
    try:
        return [verb, *(vocabulary.read(name, names) for name, names in zip(row[1:], allowed, strict=True))]
    except ValueError as error:
        raise BrokenRuleError(f"answer: step {number}: {verb} cannot take {error}") from None


def _parse_verdict(value: dict[str, Any]) -> Verdict:
    ok = value.get("ok")
    fault = value.get("fault")
    names = [each.value for each in Fault]

    if not isinstance(ok, bool) or set(value) - {"ok", "fault", "achieves"}:
        raise ValueError(f'answer: expected {{"ok": true or false, ...}}, got keys {sorted(value)!r:.80}')
    if ok and fault is not None:
        raise ValueError(f"answer: ok, and yet a fault: {fault!r:.40}")
    if not ok and fault not in names:
        raise ValueError(f"answer: unknown fault {fault!r:.40} (allowed: {', '.join(names)})")

    return Verdict(ok, None if ok else Fault(fault))
